"""Elementwise operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I8, I16, I32, Array, TensorType
from ..quant.requant import half
from .common import padded, present


def _same(rank: int, *operands: str) -> Domain:
    dims = [f"i{axis}" for axis in range(rank)]
    return Domain.of(" ".join(dims), dict.fromkeys(operands, ", ".join(dims)), macs=0)


@dataclass(frozen=True)
class _Binary(Op):
    """Elementwise on two operands of one shape."""

    operands = ("a", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b = types
        assert a
        assert b
        require(a.shape == b.shape and a.dtype == b.dtype, "both operands have the same shape and element type")
        return (a,)

    def domain(self, *types: TensorType | None) -> Domain:
        assert types[0] is not None
        return _same(types[0].rank, "a", "b", "y")

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        kind = TensorType(tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))), F32)
        return cls(), (kind, kind)


@dataclass(frozen=True)
class Add(_Binary):
    """y = a + b."""

    def reference(self, *arrays: Array | None) -> Array:
        a, b = arrays
        assert a is not None
        assert b is not None
        return np.asarray(a + b)


@dataclass(frozen=True)
class SwiGLU(_Binary):
    """y = silu(a) * b, the gated activation of llama (Shazeer 2020). silu(a) = a / (1 + exp(-a))."""

    def reference(self, *arrays: Array | None) -> Array:
        a, b = arrays
        assert a is not None
        assert b is not None
        wide = a.astype(np.float64)
        return np.asarray(wide / (1.0 + np.exp(-np.clip(wide, -700, 700))) * b).astype(a.dtype)


@dataclass(frozen=True)
class QuantisedSwiGLU(Op):
    """y = clip((table[a + 128] * b + half) >> shift): the gate by a table, which holds the scales, times b.

    a and b: i8 of one shape, table: [256] i16 of silu times a constant; y: i8. The product fits 32 bits.
    """

    shift: int = 0
    operands = ("a", "b", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b, table = present(types)
        require(a.shape == b.shape and a.dtype == b.dtype == I8, "both operands are i8 of the same shape")
        require(table.shape == (256,) and table.dtype == I16, "the table is 256 elements of i16")
        require(0 <= self.shift <= 29, "the shift is 0 .. 29")
        return (a,)

    def domain(self, *types: TensorType | None) -> Domain:
        assert types[0] is not None
        same = _same(types[0].rank, "a", "b", "y")
        dims = ", ".join(same.parallel)
        return Domain.of(" ".join(same.parallel), {"a": dims, "b": dims, "table": "*", "y": dims}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        a, b, table = present(arrays)
        product = table[a.astype(np.int64) + 128].astype(np.int64) * b
        return np.asarray(np.clip(product + half(self.shift) >> self.shift, I8.low, I8.high), np.int8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        kind = TensorType(tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))), I8)
        return cls(draw(st.integers(0, 20))), (kind, kind, TensorType((256,), I16))


@dataclass(frozen=True)
class Saturate(Op):
    """y = clip(x + r): sums that join a residual stream, or (without r) that are held in fewer bits.

    x: i32, r: i16 of the same shape; y: i16. `fits`: x + r is known to stay within 32 bits.
    """

    fits: bool = False
    operands = ("x", "r?")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, r = padded(types, 2)
        require(x is not None and x.dtype == I32, "x is i32")
        assert x is not None
        require(r is None or (r.dtype == I16 and r.shape == x.shape), "the residual stream is i16 of the same shape")
        return (TensorType(x.shape, I16),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, r = padded(types[:-1], 2)
        assert x is not None
        return _same(x.rank, "x", *(("r",) if r is not None else ()), "y")

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        return (I32.low - I16.low, I32.high + I16.low + 1) if operand == "x" and self.fits else None

    def reference(self, *arrays: Array | None) -> Array:
        x, r = padded(arrays, 2)
        assert x is not None
        total = x.astype(np.int64) + (0 if r is None else r)
        return np.asarray(np.clip(total, I16.low, I16.high), np.int16)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = tuple(draw(st.lists(st.integers(1, 30), min_size=1, max_size=3)))
        return cls(draw(st.booleans())), (
            TensorType(shape, I32),
            TensorType(shape, I16) if draw(st.booleans()) else None,
        )
