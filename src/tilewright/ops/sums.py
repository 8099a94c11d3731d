"""What follows the sums of products of quantised language models, where an engine beside the cores makes the sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I16, I32, U8, Array, TensorType
from ..quant.requant import half
from .common import exact_product, present
from .pointwise import QuantisedSwiGLU


def _check(x: TensorType, mul: TensorType, bound: int, *shifts: int) -> None:
    require(x.rank == 2 and x.dtype == I32, "x is [t, c] of i32")
    require(mul.shape == x.shape[1:] and mul.dtype == U8, "the multipliers are u8, one per column")
    require(all(0 <= shift <= 30 for shift in shifts), "shifts are 0 .. 30")
    require(0 < bound < 1 << 31, "the bound is positive and fits 32 bits")


@dataclass(frozen=True)
class ScaledAdd(Op):
    """y = clip(r + ((x * mul + half) >> shift)): sums join a residual stream.

    x: [t, c] i32 within +-bound; r: [t, c] i16; mul: [c] u8; y: [t, c] i16.
    """

    shift: int = 0
    bound: int = (1 << 31) - 1
    operands = ("x", "r", "mul")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, r, mul = present(types)
        _check(x, mul, self.bound, self.shift)
        require(r.shape == x.shape and r.dtype == I16, "the residual stream is i16 of the same shape")
        return (r,)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"x": "t, c", "r": "t, c", "mul": "c", "y": "t, c"}, macs=0)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        return (-self.bound, self.bound + 1) if operand == "x" else None

    def reference(self, *arrays: Array | None) -> Array:
        x, r, mul = present(arrays)
        total = (x.astype(np.int64) * mul + half(self.shift) >> self.shift) + r
        return np.asarray(np.clip(total, I16.low, I16.high), np.int16)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, c = draw(st.integers(1, 4)), draw(st.integers(1, 40))
        op = cls(draw(st.integers(0, 24)), draw(st.integers(1, 1 << 22)))
        return op, (TensorType((t, c), I32), TensorType((t, c), I16), TensorType((c,), U8))


@dataclass(frozen=True)
class RestAdd(Op):
    """y = clip(r + (((s + sum over i of x[t, i] w[c, i]) * mul + half) >> shift)): ScaledAdd of sums that lack inputs.

    s: [t, c] i32; x: [t, i] i8; w: [c, i] i8; s and the products together within +-bound; r, mul, y: as of ScaledAdd.
    """

    shift: int = 0
    bound: int = (1 << 31) - 1
    operands = ("s", "x", "w", "r", "mul")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        s, x, w, r, mul = present(types)
        require(x.rank == 2 and w.rank == 2 and x.shape[1] == w.shape[1], "x is [t, i] and the weight [c, i]")
        require((x.shape[0], w.shape[0]) == s.shape and x.dtype == w.dtype == I8, "x and w are i8, s is [t, c]")
        return ScaledAdd(self.shift, self.bound).infer(s, r, mul)

    def domain(self, *types: TensorType | None) -> Domain:
        maps = {"s": "t, c", "x": "t, i", "w": "c, i", "r": "t, c", "mul": "c", "y": "t, c"}
        return Domain.of("t c | i", maps)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        w = types[2]
        assert w is not None
        most = self.bound - w.static_shape[1] * (1 << 14)
        return (-most, most + 1) if operand == "s" else None

    def reference(self, *arrays: Array | None) -> Array:
        s, x, w, r, mul = present(arrays)
        sums = s.astype(np.int64) + exact_product(x, w.T)
        return ScaledAdd(self.shift, self.bound).reference(sums, r, mul)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, c, i = (draw(st.integers(1, n)) for n in (4, 40, 6))
        op = cls(draw(st.integers(0, 24)), draw(st.integers(1, 1 << 22)) + (4 * i << 14))
        s, r = TensorType((t, c), I32), TensorType((t, c), I16)
        return op, (s, TensorType((t, 4 * i), I8), TensorType((c, 4 * i), I8), r, TensorType((c,), U8))


@dataclass(frozen=True)
class GatedSums(Op):
    """QuantisedSwiGLU of the two halves of every row of sums, each clip((x * mul + half) >> shift) to i8 first.

    x: [t, 2 o] i32 within +-bound, gates before what they gate; mul: [2 o] u8, from 1 on; table: [256] i16;
    y: [t, o] i8.
    """

    gate_shift: int = 0
    up_shift: int = 0
    shift: int = 0
    bound: int = (1 << 31) - 1
    operands = ("x", "mul", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, mul, table = present(types)
        _check(x, mul, self.bound, self.gate_shift, self.up_shift)
        require(mul.static_shape[0] % 2 == 0, "there are as many gates as columns that they gate")
        y = TensorType((x.shape[0], mul.static_shape[0] // 2), I8)
        return QuantisedSwiGLU(self.shift).infer(y, y, table)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t o", {"x": "t, *", "mul": "*", "table": "*", "y": "t, o"}, macs=0)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        return {"x": (-self.bound, self.bound + 1), "mul": (1, 256)}.get(operand)

    def reference(self, *arrays: Array | None) -> Array:
        x, mul, table = present(arrays)
        halves = np.split(x.astype(np.int64) * mul, 2, axis=1)
        gate, up = (
            np.clip(part + half(shift) >> shift, I8.low, I8.high).astype(np.int8)
            for part, shift in zip(halves, (self.gate_shift, self.up_shift), strict=True)
        )
        return QuantisedSwiGLU(self.shift).reference(gate, up, table)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o = draw(st.integers(1, 4)), draw(st.integers(1, 40))
        gate_shift, up_shift, shift = (draw(st.integers(low, high)) for low, high in ((8, 24), (8, 24), (0, 20)))
        op = cls(gate_shift, up_shift, shift, draw(st.integers(1, 1 << 22)))
        return op, (TensorType((t, 2 * o), I32), TensorType((2 * o,), U8), TensorType((256,), I16))
