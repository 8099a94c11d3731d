"""Rotary position embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import F32, I8, I16, I32, Array, Dim, Expr, TensorType
from ..quant.requant import half
from .common import present


@dataclass(frozen=True)
class RoPE(Op):
    """Rotate pairs of channels of every head by an angle that grows with the position (Su et al. 2021).

    x: [t, heads * hd], table: [positions, hd] with hd/2 cosines, then hd/2 sines. Row t of x stands at position
    pos + t. Pairs are neighbours (2i, 2i+1), as in llama2.c; Hugging Face's halves are permuted by the frontend.
    """

    heads: int
    pos: Dim = 0
    operands = ("x", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, table = types
        assert x
        assert table
        require(
            x.rank == 2 and isinstance(x.shape[1], int) and x.shape[1] % self.heads == 0,
            "x is [tokens, heads * hd]",
        )
        assert isinstance(x.shape[1], int)
        require(table.rank == 2 and table.shape[1] == x.shape[1] // self.heads, "the table is [positions, hd]")
        require(x.shape[1] // self.heads % 2 == 0, "the head dimension is even")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"x": "t, *", "table": "*, *", "y": "t, c"}, macs=0)

    def tiled(self, ranges: Ranges) -> Op:
        return RoPE(self.heads, (Expr.of(self.pos) + ranges["t"][0]).simplified())

    def reference(self, *arrays: Array | None) -> Array:
        x, table = arrays
        assert x is not None
        assert table is not None
        assert isinstance(self.pos, int)
        tokens, half = x.shape[0], table.shape[1] // 2
        rows = table[self.pos : self.pos + tokens].astype(np.float64)
        cos, sin = rows[:, None, :half], rows[:, None, half:]
        pairs = x.astype(np.float64).reshape(tokens, self.heads, half, 2)
        a, b = pairs[..., 0], pairs[..., 1]
        turned = np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)
        return turned.reshape(x.shape).astype(x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, heads, hd, pos = (
            draw(st.integers(1, 4)),
            draw(st.integers(1, 4)),
            2 * draw(st.integers(1, 8)),
            draw(st.integers(0, 9)),
        )
        table = TensorType((pos + t + draw(st.integers(0, 3)), hd), F32)
        return cls(heads, pos), (TensorType((t, heads * hd), F32), table)


def rope_table(positions: int, head_dim: int, theta: float) -> Array:
    """[positions, hd]: hd/2 cosines, then hd/2 sines of position * theta^(-2i/hd), computed in double precision."""
    frequency = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    angle = np.outer(np.arange(positions), frequency)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class QuantisedRoPE(Op):
    """RoPE of i16 to i8: as `RoPE`, with cosines and sines times 2^14 and the result shifted right by `shift`.

    x: [t, heads * hd] i16, or i32 that is cut to 16 bits; table: [positions, hd] i16; y: i8, rounded half up and
    saturated. |sum| < 2^31.
    """

    heads: int
    shift: int = 14
    pos: Dim = 0
    operands = ("x", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, table = present(types)
        require(x.dtype in (I16, I32) and table.dtype == I16, "x is i16 or i32, the table i16")
        require(0 <= self.shift <= 29, "the shift is 0 .. 29")
        RoPE(self.heads, self.pos).infer(x, table)
        return (x.with_dtype(I8),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"x": "t, *", "table": "*, *", "y": "t, c"}, macs=0)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        return (-(1 << 14), (1 << 14) + 1) if operand == "table" else None

    def tiled(self, ranges: Ranges) -> Op:
        return QuantisedRoPE(self.heads, self.shift, (Expr.of(self.pos) + ranges["t"][0]).simplified())

    def reference(self, *arrays: Array | None) -> Array:
        x, table = present(arrays)
        assert isinstance(self.pos, int)
        tokens, pairs = x.shape[0], table.shape[1] // 2
        rows = table[self.pos : self.pos + tokens].astype(np.int64)
        cos, sin = rows[:, None, :pairs], rows[:, None, pairs:]
        wide = np.clip(x.astype(np.int64), I16.low, I16.high).reshape(tokens, self.heads, pairs, 2)
        a, b = wide[..., 0], wide[..., 1]
        turned = np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)
        return np.asarray(np.clip(turned + half(self.shift) >> self.shift, I8.low, I8.high), np.int8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, heads, pairs, pos = (draw(st.integers(low, high)) for low, high in ((1, 4), (1, 4), (1, 8), (0, 9)))
        table = TensorType((pos + t + draw(st.integers(0, 3)), 2 * pairs), I16)
        op = cls(heads, draw(st.integers(0, 24)), pos)
        return op, (TensorType((t, heads * 2 * pairs), draw(st.sampled_from([I16, I32]))), table)
