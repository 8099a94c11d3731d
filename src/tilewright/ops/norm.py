"""Normalisations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, F64, I8, I16, Array, TensorType
from ..quant.requant import half, integer_root
from .common import present


@dataclass(frozen=True)
class LayerNorm(Op):
    """y = (x - mean) / sqrt(variance + eps) * w + b over the last axis (Ba et al. 2016). x: [..., c], w and b: [c]."""

    eps: float = 1e-5
    operands = ("x", "w", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, b = present(types)
        require(x.dtype in (F32, F64), "norms of floats; quantised networks carry their own")
        require(x.rank >= 1 and w.shape == b.shape == (x.shape[-1],), "weight and bias have one element per channel")
        require(x.dtype == w.dtype == b.dtype, "x, w and b have the same element type")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        assert types[0] is not None
        lead = [f"t{i}" for i in range(types[0].rank - 1)]
        row = ", ".join([*lead, "*"])
        return Domain.of(" ".join(lead), {"x": row, "w": "*", "b": "*", "y": row}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, w, b = present(arrays)
        wide = x.astype(np.float64)
        centred = wide - wide.mean(-1, keepdims=True)
        root = np.sqrt((centred * centred).mean(-1, keepdims=True) + self.eps)
        return np.asarray(centred / root * w + b).astype(x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, c = draw(st.integers(1, 5)), draw(st.integers(1, 70))
        channel = TensorType((c,), F32)
        return cls(eps=draw(st.sampled_from([1e-5, 1e-3]))), (TensorType((t, c), F32), channel, channel)


@dataclass(frozen=True)
class RMSNorm(Op):
    """y = x / sqrt(mean(x^2) + eps) * w over the last axis (Zhang and Sennrich 2019). x: [..., c], w: [c]."""

    eps: float = 1e-5
    operands = ("x", "w")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w = types
        assert x
        assert w
        require(x.rank >= 1 and w.shape == (x.shape[-1],), "the weight has one element per channel")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        assert types[0] is not None
        lead = [f"t{i}" for i in range(types[0].rank - 1)]
        row = ", ".join([*lead, "*"])
        return Domain.of(f"{' '.join(lead)} c", {"x": row, "w": "*", "y": ", ".join([*lead, "c"])}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, w = arrays
        assert x is not None
        assert w is not None
        wide = x.astype(np.float64)
        root = np.sqrt((wide * wide).mean(-1, keepdims=True) + self.eps)
        return np.asarray(wide / root * w).astype(x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, c = draw(st.integers(1, 5)), draw(st.integers(1, 70))
        return cls(eps=draw(st.sampled_from([1e-5, 1e-6, 1e-3]))), (
            TensorType((t, c), F32),
            TensorType((c,), F32),
        )


@dataclass(frozen=True)
class QuantisedRMSNorm(Op):
    """RMSNorm of i16 in integers: y = clip((t * w + half) >> shift) with t = 2^15 x / sqrt(sum(x^2) + eps).

    x: [..., c] i16, w: [c] i16 (gain, scale of the result and sqrt(c) folded in), eps: an integer, in units of
    x^2 times c; y: i8. The root is that of the sum times 4^k, brought to 2^30 .. 2^32, so 16 bits wide; one division
    makes it a reciprocal. Every step but the sum fits 32 bits: |x * reciprocal| <= 2^30, |t| <= 2^15.
    """

    shift: int = 15
    eps: int = 1
    operands = ("x", "w")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w = present(types)
        require(x.dtype == w.dtype == I16, "x and the weight are i16")
        require(x.rank >= 1 and w.shape == (x.shape[-1],), "the weight has one element per channel")
        require(1 <= self.shift <= 30 and 1 <= self.eps < 1 << 51, "the shift is 1 .. 30, eps at least 1")
        require(isinstance(w.shape[0], int) and w.shape[0] <= 1 << 20, "at most 2^20 channels")
        return (x.with_dtype(I8),)

    def domain(self, *types: TensorType | None) -> Domain:
        assert types[0] is not None
        lead = [f"t{i}" for i in range(types[0].rank - 1)]
        row = ", ".join([*lead, "*"])
        return Domain.of(f"{' '.join(lead)} c", {"x": row, "w": "*", "y": ", ".join([*lead, "c"])}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, w = present(arrays)
        wide = x.astype(np.int64)
        total = (wide * wide).sum(-1, keepdims=True) + self.eps
        k = (32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)) >> 1  # exact below 2^53
        scaled = np.where(k >= 0, total << np.maximum(2 * k, 0), total >> np.maximum(-2 * k, 0))
        t = wide * ((1 << 30) // integer_root(scaled)) >> (15 - k)
        return np.asarray(np.clip(t * w + half(self.shift) >> self.shift, I8.low, I8.high), np.int8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, c = draw(st.integers(1, 5)), draw(st.integers(1, 70))
        op = cls(draw(st.integers(1, 24)), draw(st.integers(1, 1 << 20)))
        return op, (TensorType((t, c), I16), TensorType((c,), I16))
