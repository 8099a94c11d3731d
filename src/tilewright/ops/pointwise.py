"""Elementwise operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, Array, TensorType


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
