"""Sums of tokens that enter an attention of quantised llamas: queries, and keys and values that caches take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I16, I32, U8, Array, DType, TensorType
from ..quant.requant import half
from .attention import Append
from .caching import _Caching
from .common import present
from .rope import QuantisedRoPE


@dataclass(frozen=True)
class TurnedHeads(_Caching):
    """Products of tokens become queries, keys and values: requantised, the first two turned, the others appended.

    x: [t, kv_heads * (group + 2) * hd] i32 within +-bound, for each head of the caches its group of queries, its key
    and its value; mul: u8 from 1 on, one per column of x; angles: [t, hd] i16, rows of QuantisedRoPE's table. With
    the shift of each, clip((x * mul + half) >> shift) is i16 for queries and keys, which are then turned, and i8 for
    values.
    state_k, state_v: [positions, kv_heads * hd] i8, updated in place; y, the queries: [t, heads * hd] i8.
    """

    q_shift: int = 0
    k_shift: int = 0
    v_shift: int = 0
    turn: int = 14
    bound: int = (1 << 31) - 1
    operands = ("state_k", "state_v", "x", "mul", "angles")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        state_k, state_v, x, mul, angles = present(types)
        require(self.heads % self.kv_heads == 0, "query heads are a multiple of key/value heads")
        require(x.rank == 2 and angles.rank == 2 and angles.shape[0] == x.shape[0], "x is [t, c], angles are [t, hd]")
        hd = angles.static_shape[1]
        require(x.dtype == I32 and x.shape[1] == self.kv_heads * (self.group + 2) * hd, "x has i32 for all heads")
        require(mul.shape == x.shape[1:] and mul.dtype == U8, "the multipliers are u8, one per column")
        require(all(0 <= s <= 30 for s in (self.q_shift, self.k_shift, self.v_shift)), "shifts are 0 .. 30")
        require(0 < self.bound < 1 << 31, "the bound is positive and fits 32 bits")
        for heads in (self.heads, self.kv_heads):
            QuantisedRoPE(heads, self.turn).infer(TensorType((x.shape[0], heads * hd), I16), angles)
        rows = TensorType((x.shape[0], self.kv_heads * hd), I8)
        queries = TensorType((x.shape[0], self.heads * hd), I8)
        return queries, *(Append(self.pos).infer(state, rows)[0] for state in (state_k, state_v))

    def domain(self, *types: TensorType | None) -> Domain:
        hd = present((types[4],))[0].static_shape[1]
        rows, queries = (self.group + 2) * hd, self.group * hd
        maps = {"x": f"t, {rows}*g+e", "mul": f"{rows}*g+e", "angles": "t, *", "y": f"t, {queries}*g+c"}
        maps |= dict.fromkeys(("state_k", "state_v", "k", "v"), f"*, {hd}*g+d")
        extents = {"g": self.kv_heads, "e": rows, "c": queries, "d": hd}
        return Domain.of("t g | e c d", maps, extents=extents, macs=0)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        return {"angles": (-(1 << 14), (1 << 14) + 1), "x": (-self.bound, self.bound + 1), "mul": (1, 256)}.get(operand)

    def reference(self, *arrays: Array | None) -> tuple[Array, ...]:
        state_k, state_v, x, mul, angles = present(arrays)
        tokens, hd = angles.shape
        wide = (x.astype(np.int64) * mul).reshape(tokens, self.kv_heads, self.group + 2, hd)

        def rows(part: Array, shift: int, dtype: DType) -> Array:
            found = np.clip(part + half(shift) >> shift, dtype.low, dtype.high)
            return np.ascontiguousarray(found, dtype.numpy).reshape(tokens, -1)

        q, k = rows(wide[:, :, :-2], self.q_shift, I16), rows(wide[:, :, -2], self.k_shift, I16)
        y = QuantisedRoPE(self.heads, self.turn).reference(q, angles)
        turned = QuantisedRoPE(self.kv_heads, self.turn).reference(k, angles)
        append = Append(self.pos)
        v = append.reference(state_v, rows(wide[:, :, -1], self.v_shift, I8))
        return y, append.reference(state_k, turned), v

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, kv, group = (draw(st.integers(1, 3)) for _ in range(3))
        hd, pos = 2 * draw(st.integers(1, 8)), draw(st.integers(0, 9))
        state = TensorType((pos + t + draw(st.integers(0, 3)), kv * hd), I8)
        width = kv * (group + 2) * hd
        q_shift, k_shift, v_shift = (draw(st.integers(4, 20)) for _ in "qkv")
        op = cls(
            kv * group, kv, pos, q_shift, k_shift, v_shift, draw(st.integers(10, 24)), draw(st.integers(1, 1 << 22))
        )
        return op, (state, state, TensorType((t, width), I32), TensorType((width,), U8), TensorType((t, hd), I16))
