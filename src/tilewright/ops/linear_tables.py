"""Products of QuantLib networks with the sum or product through tables that follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I32, U8, Array, TensorType
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

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 30, 40))
        operands = TensorType((t, i), I8), TensorType((2 * o, i), I8), TABLE, TABLE, TensorType((6,), I32)
        return cls(*(draw(st.integers(0, 24)) for _ in range(3))), operands
