"""Table look-up and selection of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import F32, I8, I16, I32, U8, Array, Dim, Expr, TensorType, maximum
from ..quant.requant import half, requantise
from .common import present


@dataclass(frozen=True)
class Embed(Op):
    """y[t] = table[tokens[t]]. tokens: [t] i32, table: [vocabulary, c]. Tokens are in range: the API checks them."""

    operands = ("tokens", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        tokens, table = types
        assert tokens
        assert table
        require(tokens.rank == 1 and tokens.dtype == I32, "tokens are a vector of i32")
        require(table.rank == 2, "the table is [vocabulary, channels]")
        return (table.with_shape((tokens.shape[0], table.shape[1])),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"tokens": "t", "table": "*, c", "y": "t, c"}, macs=0)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        assert types[1] is not None
        return (0, maximum(types[1].shape[0])) if operand == "tokens" else None

    def reference(self, *arrays: Array | None) -> Array:
        tokens, table = arrays
        assert tokens is not None
        assert table is not None
        return np.asarray(table[np.clip(tokens, 0, len(table) - 1)])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, rows, c = (draw(st.integers(1, n)) for n in (6, 30, 20))
        return cls(), (TensorType((t,), I32), TensorType((rows, c), F32))


@dataclass(frozen=True)
class Row(Op):
    """y[0] = x[index]: one row, for instance the last token's. A view: no data moves."""

    index: Dim = 0
    operands = ("x",)
    view = True

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = types
        assert x
        require(x.rank == 2, "x is a matrix")
        return (x.with_shape((1, x.shape[1])),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"x": "*, c", "y": "t, c"}, macs=0)

    def offset(self, *types: TensorType | None) -> Dim:
        assert types[0] is not None
        assert isinstance(types[0].shape[1], int)
        return (Expr.of(self.index) * types[0].shape[1]).simplified()

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = arrays
        assert x is not None
        assert isinstance(self.index, int)
        return x[self.index : self.index + 1]

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, c = draw(st.integers(1, 6)), draw(st.integers(1, 20))
        return cls(draw(st.integers(0, t - 1))), (TensorType((t, c), F32),)


@dataclass(frozen=True)
class RowsAt(Op):
    """y[t] = x[pos + t] for `count` rows: those of a table that tokens need, brought to where they are used.

    x: [rows, c]; y: [count, c].
    """

    count: Dim = 1
    pos: Dim = 0
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.rank == 2, "x is a matrix")
        return (x.with_shape((self.count, x.shape[1])),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"x": "*, c", "y": "t, c"}, macs=0)

    def tiled(self, ranges: Ranges) -> Op:
        first, last = ranges["t"]
        return RowsAt(last - first, (Expr.of(self.pos) + first).simplified())

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        assert isinstance(self.pos, int)
        assert isinstance(self.count, int)
        return np.array(x[self.pos : self.pos + self.count])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        count, pos, c = (draw(st.integers(low, high)) for low, high in ((1, 4), (0, 9), (1, 20)))
        return cls(count, pos), (TensorType((pos + count + draw(st.integers(0, 3)), c), F32),)


@dataclass(frozen=True)
class QuantisedEmbed(Op):
    """y[t] = clip((table[tokens[t]] * mul[tokens[t]] + half) >> shift): rows with a scale each become one scale.

    tokens: [t] i32, table: [vocabulary, c] i8, mul: [vocabulary] u8; y: [t, c] i16. half is 2^(shift - 1).
    """

    shift: int = 0
    operands = ("tokens", "table", "mul")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        tokens, table, mul = present(types)
        require(tokens.rank == 1 and tokens.dtype == I32, "tokens are a vector of i32")
        require(table.rank == 2 and table.dtype == I8, "the table is [vocabulary, channels] of i8")
        require(mul.shape == table.shape[:1] and mul.dtype == U8, "the multipliers are u8, one per row of the table")
        require(0 <= self.shift <= 30, "the shift is 0 .. 30")
        return (TensorType((tokens.shape[0], table.shape[1]), I16),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"tokens": "t", "table": "*, c", "mul": "*", "y": "t, c"}, macs=0)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        assert types[1] is not None
        return (0, maximum(types[1].shape[0])) if operand == "tokens" else None

    def reference(self, *arrays: Array | None) -> Array:
        tokens, table, mul = present(arrays)
        rows = np.clip(tokens, 0, len(table) - 1)
        y = requantise(table[rows], mul[rows, None], np.int64(half(self.shift)), self.shift, I16.low, I16.high)
        return y.astype(np.int16)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, rows, c = (draw(st.integers(1, n)) for n in (6, 40, 20))
        operands = (TensorType((t,), I32), TensorType((rows, c), I8), TensorType((rows,), U8))
        return cls(draw(st.integers(0, 18))), operands
