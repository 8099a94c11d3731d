"""What follows the sums of products of quantised language models, where an engine beside the cores makes the sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I16, I32, U8, Array, TensorType
from ..quant.requant import half
from .common import present
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
