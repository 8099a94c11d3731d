"""Products of QuantLib networks with the sum or product through tables that follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Apart, Op, Within, require
from ..ir.types import I8, I32, U8, Array, TensorType, Value, const
from .common import present
from .epilogue import Requantise
from .linear import Linear
from .requantised import TableBinary

ONE = TensorType((1,), I32)
TABLE = TensorType((256,), I8)


def _product(shift: int) -> Linear:
    return Linear(Requantise(shift, I8.low, I8.high, I8))


def _lead(x: TensorType) -> list[str]:
    """Names of all axes of x but the last."""
    return [f"t{i}" for i in range(x.rank - 1)]


def _each(numbers: Value) -> list[Value]:
    """A constant for each of them."""
    assert numbers.data is not None
    return [const(numbers.name, number.reshape(1), I32) for number in numbers.data]


@dataclass(frozen=True)
class LinearJoin(Op):
    """A residual that a product joins: y = clip((table_r[r] + table[v]) * mul_out + add_out >> out_shift).

    v = clip((x w^T * mul + add) >> shift), i8, as the sum is. x: [..., i] i8, w: [o, i] i8, r and y: [..., o], r of i8
    or u8; tables: [256] i8, indexed by the bits of their argument; numbers: [4] i32 (mul, add, mul_out, add_out).
    """

    shift: int = 0
    out_shift: int = 0
    operands = ("x", "w", "r", "table_r", "table", "numbers")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, r, table_r, table, numbers = present(types)
        require(x.dtype == w.dtype == I8, "x and the weight are i8")
        require(numbers.shape == (4,) and numbers.dtype == I32, "numbers are mul, add, mul_out, add_out in i32")
        (v,) = _product(self.shift).infer(x, w, None, ONE, ONE)
        return TableBinary("add", self.out_shift).infer(r, v, table_r, table, ONE, ONE)

    def domain(self, *types: TensorType | None) -> Domain:
        lead = _lead(present(types[:1])[0])
        rows = ", ".join([*lead, "o"])
        maps = {"x": ", ".join([*lead, "i"]), "w": "o, i", "r": rows, "y": rows}
        return Domain.of(f"{' '.join(lead)} o | i", maps | dict.fromkeys(("table_r", "table", "numbers"), "*"))

    def reference(self, *arrays: Array | None) -> Array:
        x, w, r, table_r, table, numbers = present(arrays)
        v = _product(self.shift).reference(x, w, None, numbers[:1], numbers[1:2])
        return TableBinary("add", self.out_shift).reference(r, v, table_r, table, numbers[2:3], numbers[3:])

    def apart(self, *inputs: Value | None) -> Apart | None:
        x, w, r, table_r, table, numbers = inputs
        if x is None or w is None or r is None or numbers is None or numbers.data is None:
            return None
        mul, add, *after = _each(numbers)
        v = Within(0, TensorType(r.type.shape, I8))
        rest = TableBinary("add", self.out_shift)
        return Apart(_product(self.shift), (x, w, None, mul, add), rest, (r, v, table_r, table, *after))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 40, 40))
        r = TensorType((t, o), draw(st.sampled_from([I8, U8])))
        operands = TensorType((t, i), I8), TensorType((o, i), I8), r, TABLE, TABLE, TensorType((4,), I32)
        return cls(*(draw(st.integers(0, 24)) for _ in range(2))), operands


@dataclass(frozen=True)
class LinearGate(Op):
    """The product of two products of x: y = clip((table_a[a] * table_b[b] * mul_out + add_out) >> shift).

    a and b are i8: clip((x w^T * mul + add) >> a_shift), with numbers of their own. x: [..., i] i8; w: [2 o, i] i8,
    rows of a and b in turns; tables: [256] i8, indexed by the bits of their argument; numbers: [6] i32 (mul and add of
    a, of b, mul_out, add_out); y: [..., o] i8.
    """

    a_shift: int = 0
    b_shift: int = 0
    shift: int = 0
    operands = ("x", "w", "table_a", "table_b", "numbers")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, table_a, table_b, numbers = present(types)
        require(x.dtype == w.dtype == I8, "x and the weight are i8")
        require(w.rank == 2 and w.static_shape[0] % 2 == 0, "the weight is a matrix [2 out, in]")
        require(numbers.shape == (6,) and numbers.dtype == I32, "numbers are mul, add of a, b and the result in i32")
        half = w.with_shape((w.static_shape[0] // 2, w.shape[1]))
        a, b = (_product(shift).infer(x, half, None, ONE, ONE)[0] for shift in (self.a_shift, self.b_shift))
        return TableBinary("mul", self.shift).infer(a, b, table_a, table_b, ONE, ONE)

    def domain(self, *types: TensorType | None) -> Domain:
        x, w = present(types[:2])
        lead = _lead(x)
        maps = {"x": ", ".join([*lead, "i"]), "w": "2*o+k, i", "y": ", ".join([*lead, "o"])}
        return Domain.of(
            f"{' '.join(lead)} o | k i", maps | dict.fromkeys(("table_a", "table_b", "numbers"), "*"),
            extents={"o": w.static_shape[0] // 2, "k": 2},
        )  # fmt: skip

    def reference(self, *arrays: Array | None) -> Array:
        x, w, table_a, table_b, numbers = present(arrays)
        a, b = (
            _product(shift).reference(x, w[k::2], None, numbers[2 * k : 2 * k + 1], numbers[2 * k + 1 : 2 * k + 2])
            for k, shift in enumerate((self.a_shift, self.b_shift))
        )
        out = TableBinary("mul", self.shift)
        return np.asarray(out.reference(a, b, table_a, table_b, numbers[4:5], numbers[5:]))

    def apart(self, *inputs: Value | None) -> Apart | None:
        """All rows of a, then all of b: of one row of inputs both have their results side by side."""
        x, w, table_a, table_b, numbers = inputs
        if x is None or w is None or w.data is None or numbers is None or numbers.data is None:
            return None
        one_row = all(d == 1 for d in x.type.shape[:-1])
        if self.a_shift != self.b_shift or numbers.data[1] != numbers.data[3] or not one_row:
            return None
        o, name = w.type.static_shape[0] // 2, w.name
        rows = const(name, np.concatenate([w.data[0::2], w.data[1::2]]), I8)
        mul = const(numbers.name, np.repeat(numbers.data[[0, 2]], o), I32)
        _, add, _, _, *after = _each(numbers)
        half = TensorType((*x.type.shape[:-1], o), I8)
        rest = TableBinary("mul", self.shift)
        found = Within(0, half), Within(o, half)
        return Apart(_product(self.a_shift), (x, rows, None, mul, add), rest, (*found, table_a, table_b, *after))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 30, 40))
        operands = TensorType((t, i), I8), TensorType((2 * o, i), I8), TABLE, TABLE, TensorType((6,), I32)
        return cls(*(draw(st.integers(0, 24)) for _ in range(3))), operands
