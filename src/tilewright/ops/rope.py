"""Rotary position embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import F32, Array, Dim, Expr, TensorType


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
