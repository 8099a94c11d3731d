"""Table look-up and selection of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I32, Array, Dim, Expr, TensorType, maximum


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
