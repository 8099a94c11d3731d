"""The integer functions of QuantLib networks: activations, norms and softmaxes without floats, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I32, U8, Array, DType, TensorType
from ..quant.requant import integer_root, truncated
from .common import aligned, broadcast, dims, present, shape_strategy

_NARROW = (I8, U8)


def _rows(rank: int, **others: str) -> Domain:
    """Rows along the last axis: each element of y needs the whole row of x."""
    lead = dims(rank - 1, "t")
    x, y = (", ".join([*lead, last]) for last in ("*", "c"))
    return Domain.of(" ".join([*lead, "c"]), {"x": x, **others, "y": y}, macs=0)


@dataclass(frozen=True)
class IntegerSoftmax(Op):
    """iSoftmax over the last axis: exp by a quadratic and a shift, y in 0 .. levels - 1.

    d = x - max; z = min(-d / log2, 31); p = d + z log2; e = (a (p + b)^2 + c) >> z; y = e (levels - 1) / sum e.
    """

    a: int = 1
    b: int = 0
    c: int = 0
    log2: int = 1
    levels: int = 256
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.dtype in _NARROW and x.rank >= 1, f"iSoftmax takes i8 or u8, not {x.dtype}")
        require(self.log2 > 0 and 2 <= self.levels <= 256, "log2 is positive and there are 2 .. 256 levels")
        peak = max(abs(self.a) * max((v + self.b) ** 2 for v in (-self.log2, 0)) + abs(self.c), 1)
        require(peak * (self.levels - 1) < 1 << 32, "exponentials times levels fit 32 bits")
        return (TensorType(x.shape, U8),)

    def domain(self, *types: TensorType | None) -> Domain:
        return _rows(present(types[:1])[0].rank)

    def reference(self, *arrays: Array | None) -> Array:
        wide = present(arrays)[0].astype(np.int64)
        d = wide - wide.max(-1, keepdims=True)
        z = np.clip(-d // self.log2, 0, 31)
        e = (self.a * (d + z * self.log2 + self.b) ** 2 + self.c) >> z
        return np.asarray(e * (self.levels - 1) // np.maximum(e.sum(-1, keepdims=True), 1)).astype(np.uint8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        op = cls(1, draw(st.integers(20, 90)), draw(st.integers(100, 4000)), draw(st.integers(20, 64)))
        return op, (TensorType(shape_strategy(draw), draw(st.sampled_from([I8, U8]))),)


@dataclass(frozen=True)
class ShiftSoftmax(Op):
    """ITAMax over the last axis: powers of two by shifts. `group` 0: the row at once; else ITAPartialMax, streaming."""

    levels: int = 256
    group: int = 0
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.dtype == I8 and x.rank >= 1, f"ITAMax takes i8, not {x.dtype}")
        require(2 <= self.levels <= 256 and self.group >= 0, "there are 2 .. 256 levels")
        whole = not self.group or (isinstance(x.shape[-1], int) and x.shape[-1] >= self.group)
        require(whole, "a row holds at least one group")
        return (TensorType(x.shape, U8),)

    def domain(self, *types: TensorType | None) -> Domain:
        return _rows(present(types[:1])[0].rank)

    def reference(self, *arrays: Array | None) -> Array:
        x = present(arrays)[0].astype(np.int64)
        if not self.group:
            shift = (x.max(-1, keepdims=True) - x + 16) >> 5
            total = (256 >> shift).sum(-1, keepdims=True)
            return np.asarray(((self.levels - 1) * 256 // total) >> shift).astype(np.uint8)
        most, total = np.full(x.shape[:-1], -128, np.int64), np.zeros(x.shape[:-1], np.int64)
        for first in range(0, x.shape[-1] - self.group + 1, self.group):
            part = x[..., first : first + self.group]
            peak = part.max(-1)
            shift = np.where(peak > most, (peak - most + 16) >> 5, 0)
            most = np.maximum(most, peak)
            total = (total >> shift) + (256 >> ((most[..., None] - part + 16) >> 5)).sum(-1)
        inverse = (self.levels // 2 - 1) * 256 // np.maximum(total, 1)
        distance = np.maximum(most[..., None] - x + 16, 0) >> 5
        return np.asarray(inverse[..., None] >> distance).astype(np.uint8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        return cls(256, draw(st.sampled_from([0, shape[-1]]))), (TensorType(shape, I8),)


@dataclass(frozen=True)
class IntegerRMSNorm(Op):
    """iRMSNorm over the last axis: clip((x w / floor(sqrt(sum x^2 / n + 1))) >> shift). Division truncates to zero."""

    shift: int = 0
    operands = ("x", "w")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w = present(types)
        require(x.dtype == I8 and w.dtype == I32, f"x is i8 and w i32, they are {x.dtype} and {w.dtype}")
        require(x.rank >= 1 and w.shape in ((x.shape[-1],), (1,)), "the weight has one element per channel, or one")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        return _rows(present(types[:1])[0].rank, w="*")

    def reference(self, *arrays: Array | None) -> Array:
        x, w = present(arrays)
        wide = x.astype(np.int64)
        root = integer_root(truncated((wide * wide).sum(-1, keepdims=True), np.asarray(x.shape[-1])) + 1)
        return np.asarray(np.clip(truncated(wide * w, root) >> self.shift, -128, 127)).astype(np.int8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, high=20)
        return cls(draw(st.integers(0, 18))), (TensorType(shape, I8), TensorType((shape[-1],), I32))


@dataclass(frozen=True)
class IntegerLayerNorm(Op):
    """iLayerNorm over the last axis: ((x - mean) w / floor(sqrt(variance + 1)) + b) >> shift, wrapped to 8 bits."""

    shift: int = 0
    operands = ("x", "w", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, b = present(types)
        require(x.dtype == I8 and w.dtype == b.dtype == I32, "x is i8, weight and bias are i32")
        one = (x.shape[-1],) if x.rank else ()
        require(w.shape in (one, (1,)) and b.shape in (one, (1,)), "weight and bias have one element per channel")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        return _rows(present(types[:1])[0].rank, w="*", b="*")

    def reference(self, *arrays: Array | None) -> Array:
        x, w, b = present(arrays)
        wide, n = x.astype(np.int64), np.asarray(x.shape[-1])
        centred = wide - truncated(wide.sum(-1, keepdims=True), n)
        root = integer_root(truncated((centred * centred).sum(-1, keepdims=True), n) + 1)
        return np.asarray((truncated(centred * w, root) + b) >> self.shift).astype(np.int8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, high=20)
        channel = TensorType((shape[-1],), I32)
        return cls(draw(st.integers(0, 18))), (TensorType(shape, I8), channel, channel)


@dataclass(frozen=True)
class _Activation(Op):
    """An integer function of one i8 argument, result i32."""

    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.dtype in _NARROW, f"the argument is i8 or u8, not {x.dtype}")
        return (TensorType(x.shape, I32),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        return Domain.of(" ".join(names), dict.fromkeys("xy", ", ".join(names)), macs=0)


@dataclass(frozen=True)
class IntegerHardswish(_Activation):
    """iHardswish: x * (clip(x + three, 0, six) * one_over_six)."""

    one_over_six: int = 1
    three: int = 3
    six: int = 6

    def reference(self, *arrays: Array | None) -> Array:
        wide = present(arrays)[0].astype(np.int64)
        return np.asarray(wide * (np.clip(wide + self.three, 0, self.six) * self.one_over_six)).astype(np.int32)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        three = draw(st.integers(1, 120))
        return cls(draw(st.integers(1, 60)), three, 2 * three), (TensorType(shape_strategy(draw), I8),)


@dataclass(frozen=True)
class IntegerGELU(_Activation):
    """iGELU: q = min(|x|, -b); l = sign(x) (one - (q + b)^2); y = x ((one + l) >> 1)."""

    b: int = -100
    one: int = 10000

    def reference(self, *arrays: Array | None) -> Array:
        x = present(arrays)[0].astype(np.int64)
        q = np.minimum(np.abs(x), -self.b)
        return np.asarray(x * ((self.one + np.sign(x) * (self.one - (q + self.b) ** 2)) >> 1)).astype(np.int32)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        return cls(-draw(st.integers(1, 120)), draw(st.integers(100, 20000))), (TensorType(shape_strategy(draw), I8),)


@dataclass(frozen=True)
class IntegerAffine(Op):
    """iNoNorm: ((x w + b) mul) >> shift in 32 bits, with broadcasting, without rounding or clamp."""

    mul: int = 1
    shift: int = 0
    dtype: DType = I8
    operands = ("x", "w", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, b = present(types)
        require(x.dtype in _NARROW and w.dtype == b.dtype == I32, "x is i8 or u8, weight and bias are i32")
        require(self.dtype in (I8, I32), "the result is i8 or i32")
        require(broadcast(x.shape, w.shape, b.shape) == x.shape, "weight and bias broadcast to x")
        return (TensorType(x.shape, self.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, w, b = present(types[:3])
        names = dims(x.rank)
        maps = {"x": ", ".join(names), "w": aligned(w.shape, names), "b": aligned(b.shape, names)}
        return Domain.of(" ".join(names), {**maps, "y": ", ".join(names)}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, w, b = present(arrays)
        wide = ((x.astype(np.int64) * w + b) * self.mul).astype(np.int32)
        return np.asarray(wide >> self.shift).astype(self.dtype.numpy)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        op = cls(draw(st.integers(1, 50)), draw(st.integers(0, 12)), draw(st.sampled_from([I8, I32])))
        return op, (TensorType(shape, I8), TensorType(shape, I32), TensorType((shape[-1],), I32))


@dataclass(frozen=True)
class IntegerDivide(Op):
    """IntegerDiv: delta eta a / (eta b + eps), rounded half away from zero; a and b broadcast. The divisor is not 0."""

    delta: int = 1
    eta: int = 1
    eps: int = 1
    operands = ("a", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b = present(types)
        require(
            a.dtype.is_integer and b.dtype.is_integer and max(a.dtype.bits, b.dtype.bits) <= 32,
            "a and b are integers up to 32 bits",
        )
        return (TensorType(broadcast(a.shape, b.shape), I32),)

    def domain(self, *types: TensorType | None) -> Domain:
        a, b = present(types[:2])
        shape = broadcast(a.shape, b.shape)
        names = dims(len(shape))
        maps = {"a": aligned(a.shape, names), "b": aligned(b.shape, names), "y": ", ".join(names)}
        return Domain.of(" ".join(names), maps, extents=dict(zip(names, shape, strict=True)), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        a, b = present(arrays)
        below = self.eta * b.astype(np.int64) + self.eps
        above = self.delta * self.eta * a.astype(np.int64)
        below = np.where(below == 0, 1, below)
        return truncated(above + np.where(above >= 0, 1, -1) * (below >> 1), below).astype(np.int32)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        from .common import partly_broadcast

        shape = shape_strategy(draw)
        op = cls(draw(st.integers(1, 300)), draw(st.integers(1, 300)), 1)
        return op, (TensorType(shape, I32), TensorType(partly_broadcast(draw, shape), U8))
