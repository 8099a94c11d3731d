"""Products of QuantLib networks with the sum or product through tables that follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Apart, Op, Within, require
from ..ir.types import I8, I32, U8, Array, TensorType, Value, const
from ..quant.requant import requantise
from .common import exact_product, present
from .epilogue import Requantise
from .linear import Linear
from .requantised import TableBinary, TablePairs

ONE = TensorType((1,), I32)
TABLE = TensorType((256,), I8)
WINDOW = 252  # inputs that an engine of windows of 3x3 pixels and 28 channels takes at once
FEW = 16  # inputs that may be left to the cores


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

    def apart(self, *inputs: Value | None) -> tuple[Apart, ...]:
        """The product as bytes; the sums of all but a few last inputs, too, where these are many."""
        x, w, r, table_r, table, numbers = inputs
        if x is None or w is None or r is None or numbers is None or numbers.data is None:
            return ()
        mul, add, *after = _each(numbers)
        v = Within(0, TensorType(r.type.shape, I8))
        rest = TableBinary("add", self.out_shift)
        found = [Apart(_product(self.shift), (x, w, None, mul, add), rest, (r, v, table_r, table, *after))]
        cols = w.type.static_shape[1]
        first = cols // WINDOW * WINDOW
        if first and 0 < cols - first <= FEW and w.data is not None:
            head, tail = (const(w.name, part, I8) for part in np.split(w.data, [first], axis=1))
            sums = Within(0, TensorType(r.type.shape, I32))
            last = RestJoin(self.shift, self.out_shift, cols << 14)
            found.append(Apart(FirstSums(), (x, head), last, (sums, x, tail, r, table_r, table, numbers)))
        return tuple(found)

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

    def apart(self, *inputs: Value | None) -> tuple[Apart, ...]:
        """Pairs of results of both: with multipliers in turns, as the rows are."""
        x, w, table_a, table_b, numbers = inputs
        if x is None or w is None or w.data is None or numbers is None or numbers.data is None:
            return ()
        if self.a_shift != self.b_shift or numbers.data[1] != numbers.data[3]:
            return ()
        rows = w.type.static_shape[0]
        mul = const(numbers.name, np.resize(numbers.data[[0, 2]], rows), I32)
        _, add, _, _, *after = _each(numbers)
        pairs = Within(0, TensorType((*x.type.shape[:-1], rows), I8))
        product, rest = _product(self.a_shift), TablePairs(self.shift)
        return (Apart(product, (x, w, None, mul, add), rest, (pairs, table_a, table_b, *after)),)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 30, 40))
        operands = TensorType((t, i), I8), TensorType((2 * o, i), I8), TABLE, TABLE, TensorType((6,), I32)
        return cls(*(draw(st.integers(0, 24)) for _ in range(3))), operands


@dataclass(frozen=True)
class FirstSums(Op):
    """y[t, o] = sum over the first inputs, as many as w has, of x[t, i] w[o, i].

    x: [..., n] i8; w: [o, i] i8; y: [..., o] i32.
    """

    operands = ("x", "w")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w = present(types)
        require(x.dtype == w.dtype == I8 and w.rank == 2, "x is i8, the weight is a matrix [out, in] of i8")
        require(w.static_shape[1] <= x.static_shape[-1], "rows of w are no longer than the last axis of x")
        return (TensorType((*x.shape[:-1], w.shape[0]), I32),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, w = present(types[:2])
        lead = _lead(x)
        maps = {"x": ", ".join([*lead, "i"]), "w": "o, i", "y": ", ".join([*lead, "o"])}
        return Domain.of(f"{' '.join(lead)} o | i", maps, extents={"i": w.static_shape[1]})

    def reference(self, *arrays: Array | None) -> Array:
        x, w = present(arrays)
        return np.asarray(exact_product(x[..., : w.shape[1]], w.T), np.int32)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 40, 40))
        return cls(), (TensorType((t, i + draw(st.integers(0, 9))), I8), TensorType((o, i), I8))


@dataclass(frozen=True)
class RestJoin(Op):
    """LinearJoin, of which s has the sums of the first inputs: w has the weights of the last ones.

    s: [..., o] i32 within +-bound, as are sums of all; x: [..., n] i8; w: [o, i] i8; the others as there.
    """

    shift: int = 0
    out_shift: int = 0
    bound: int = (1 << 31) - 1
    operands = ("s", "x", "w", "r", "table_r", "table", "numbers")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        s, x, w, r, table_r, table, numbers = present(types)
        require(w.rank == 2 and w.static_shape[1] <= x.static_shape[-1], "rows of w are no longer than those of x")
        require(s.shape == r.shape and s.dtype == I32, "sums are i32, as many as there are residuals")
        require(0 < self.bound < 1 << 31, "the bound is positive and fits 32 bits")
        last = x.with_shape((*x.shape[:-1], w.shape[1]))
        return LinearJoin(self.shift, self.out_shift).infer(last, w, r, table_r, table, numbers)

    def domain(self, *types: TensorType | None) -> Domain:
        x, w = present(types[1:3])
        lead, (inputs, own) = _lead(x), (x.static_shape[-1], w.static_shape[1])
        rows = ", ".join([*lead, "o"])
        maps = {"s": rows, "x": ", ".join([*lead, f"i+{inputs - own}"]), "w": "o, i", "r": rows, "y": rows}
        return Domain.of(
            f"{' '.join(lead)} o | i", maps | dict.fromkeys(("table_r", "table", "numbers"), "*"), extents={"i": own}
        )  # fmt: skip

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        w = types[2]
        assert w is not None
        most = self.bound - (w.static_shape[1] << 14)
        return (-most, most + 1) if operand == "s" else None

    def reference(self, *arrays: Array | None) -> Array:
        s, x, w, r, table_r, table, numbers = present(arrays)
        sums = s + exact_product(x[..., x.shape[-1] - w.shape[1] :], w.T)
        v = requantise(sums, numbers[:1], numbers[1:2], self.shift, I8.low, I8.high).astype(np.int8)
        return TableBinary("add", self.out_shift).reference(r, v, table_r, table, numbers[2:3], numbers[3:])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 40, 12))
        op = cls(draw(st.integers(0, 24)), draw(st.integers(0, 24)), 1 << 22)
        s, x, w = TensorType((t, o), I32), TensorType((t, i + draw(st.integers(0, 9))), I8), TensorType((o, i), I8)
        return op, (s, x, w, TensorType((t, o), draw(st.sampled_from([I8, U8]))), TABLE, TABLE, TensorType((4,), I32))
