"""Attention over a cache that is state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import F32, I8, I32, U8, Array, Dim, Expr, TensorType
from ..quant.requant import half
from .common import present


@dataclass(frozen=True)
class Append(Op):
    """Write rows into a state, in place. state: [capacity, c], x: [t, c]; row t of x goes to row pos + t."""

    pos: Dim = 0
    operands = ("state", "x")
    results = ("y",)
    aliases = {"y": "state"}

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        state, x = types
        assert state
        assert x
        require(
            state.rank == x.rank == 2 and state.shape[1] == x.shape[1],
            "state and rows have the same channels",
        )
        require(state.dtype == x.dtype, "state and rows have the same element type")
        return (state,)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"state": "*, c", "x": "t, c", "y": "*, c"}, macs=0)

    def tiled(self, ranges: Ranges) -> Op:
        return Append((Expr.of(self.pos) + ranges["t"][0]).simplified())

    def reference(self, *arrays: Array | None) -> Array:
        state, x = arrays
        assert state is not None
        assert x is not None
        assert isinstance(self.pos, int)
        after = np.array(state)
        after[self.pos : self.pos + x.shape[0]] = x
        return after

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, c, pos = draw(st.integers(1, 4)), draw(st.integers(1, 20)), draw(st.integers(0, 6))
        return cls(pos), (TensorType((pos + t + draw(st.integers(0, 3)), c), F32), TensorType((t, c), F32))


@dataclass(frozen=True)
class Attention(Op):
    """Causal grouped-query attention (Ainslie et al. 2023) over cached keys and values.

    q: [t, heads * hd], k and v: [capacity, kv_heads * hd]. Row t of q stands at position pos + t and sees the rows
    0 .. pos + t of k and v. Softmax of q.k * scale, query head h reads head h * kv_heads // heads of the cache.
    """

    heads: int
    kv_heads: int
    scale: float
    pos: Dim = 0
    operands = ("q", "k", "v")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        q, k, v = types
        assert q
        assert k
        assert v
        require(self.heads % self.kv_heads == 0, "query heads are a multiple of key/value heads")
        require(
            q.rank == 2 and isinstance(q.shape[1], int) and q.shape[1] % self.heads == 0,
            "q is [tokens, heads * hd]",
        )
        assert isinstance(q.shape[1], int)
        width = q.shape[1] // self.heads * self.kv_heads
        require(
            k.shape == v.shape and k.rank == 2 and k.shape[1] == width,
            "k and v are [capacity, kv_heads * hd]",
        )
        require(q.dtype == k.dtype == v.dtype, "q, k and v have the same element type")
        return (q,)

    def domain(self, *types: TensorType | None) -> Domain:
        q = types[0]
        assert q is not None
        assert isinstance(q.shape[1], int)
        group = self.heads // self.kv_heads
        width = q.shape[1] // self.kv_heads  # channels of the query heads that share a head of the cache
        seen = (Expr.of(self.pos) + q.shape[0]).simplified()
        extents: dict[str, Dim] = {"g": self.kv_heads, "e": width, "s": seen}
        queries, cache = f"t, {width}*g+e", f"s, {width}*g+e/{group}"
        maps = {"q": queries, "k": cache, "v": cache, "y": queries}
        return Domain.of("t g | s e", maps, extents=extents, macs=2)

    def tiled(self, ranges: Ranges) -> Op:
        kv_heads = ranges["g"][1] - ranges["g"][0]
        heads = self.heads // self.kv_heads * kv_heads
        return Attention(heads, kv_heads, self.scale, (Expr.of(self.pos) + ranges["t"][0]).simplified())

    def reference(self, *arrays: Array | None) -> Array:
        q, k, v = arrays
        assert q is not None
        assert k is not None
        assert v is not None
        assert isinstance(self.pos, int)
        tokens, seen = q.shape[0], self.pos + q.shape[0]
        hd, group = q.shape[1] // self.heads, self.heads // self.kv_heads
        queries = q.astype(np.float64).reshape(tokens, self.kv_heads, group, hd)
        keys = k[:seen].astype(np.float64).reshape(seen, self.kv_heads, hd)
        values = v[:seen].astype(np.float64).reshape(seen, self.kv_heads, hd)
        scores = queries.transpose(1, 2, 0, 3) @ keys.transpose(1, 2, 0)[:, None] * self.scale
        hidden = np.arange(seen)[None, :] > self.pos + np.arange(tokens)[:, None]
        scores = np.where(hidden, -np.inf, scores)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        mixed = weights @ values.transpose(1, 0, 2)[:, None]
        return np.asarray(mixed.transpose(2, 0, 1, 3)).reshape(q.shape).astype(q.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, kv, group, pos = (draw(st.integers(low, high)) for low, high in ((1, 4), (1, 3), (1, 3), (0, 9)))
        hd = 2 * draw(st.integers(1, 9))
        cache = TensorType((pos + t + draw(st.integers(0, 3)), kv * hd), F32)
        return cls(kv * group, kv, float(hd) ** -0.5, pos), (
            TensorType((t, kv * group * hd), F32),
            cache,
            cache,
        )


@dataclass(frozen=True)
class QuantisedAttention(Op):
    """Causal grouped-query attention in integers; geometry as in `Attention`.

    q: [t, heads * hd], k and v: [capacity, kv_heads * hd], all i8; mul and out: [heads] i32; table: [256] u8; y: i8.
    For every head h, with sums exact in i32 or u32:
        d[s] = max over s of (q.k[s]) - q.k[s],  p[s] = table[min((d[s] * mul[h] + half) >> shift, 255)],
        r = (out[h] + sum(p) / 2) / sum(p),      y = clip((sum of p[s] v[s] * r + half) >> out_shift).
    The table holds 255 e^-i/step, and its first entry is not 0. So p is relative to the greatest: a flat distribution
    over a long context keeps its precision, and no p is multiplied again. |sum of p v * r| <= 128 (out + sum(p)).
    """

    heads: int
    kv_heads: int
    shift: int
    out_shift: int
    pos: Dim = 0
    operands = ("q", "k", "v", "mul", "out", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        q, k, v, mul, out, table = present(types)
        require(q.dtype == k.dtype == v.dtype == I8, "q, k and v are i8")
        require(mul.shape == out.shape == (self.heads,) and mul.dtype == out.dtype == I32, "mul and out: i32 per head")
        require(table.shape == (256,) and table.dtype == U8, "the table is 256 elements of u8")
        require(0 <= self.shift <= 31 and 1 <= self.out_shift <= 28, "shift is 0 .. 31, out_shift 1 .. 28")
        return self._plain.infer(q, k, v)

    @property
    def _plain(self) -> Attention:
        return Attention(self.heads, self.kv_heads, 1.0, self.pos)

    def domain(self, *types: TensorType | None) -> Domain:
        plain = self._plain.domain(*types[:3], types[-1])
        group = self.heads // self.kv_heads
        extents = dict(plain.given) | {"m": group}
        width = dict(plain.given)["e"]
        queries, cache = f"t, {width}*g+e", f"s, {width}*g+e/{group}"
        per_head = f"{group}*g+m"
        maps = {"q": queries, "k": cache, "v": cache, "mul": per_head, "out": per_head, "table": "*", "y": queries}
        return Domain.of("t g | s e m", maps, extents=extents, macs=2, besides=("m",))

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        assert types[0] is not None
        assert isinstance(types[0].shape[1], int)
        furthest = 2 * types[0].shape[1] // self.heads * 128 * 128  # no distance between scores is greater
        return {"mul": (0, (1 << 30) // furthest), "out": (0, 1 << 23)}.get(operand)

    def tiled(self, ranges: Ranges) -> Op:
        plain = self._plain.tiled(ranges)
        assert isinstance(plain, Attention)
        return QuantisedAttention(plain.heads, plain.kv_heads, self.shift, self.out_shift, plain.pos)

    def reference(self, *arrays: Array | None) -> Array:
        q, k, v, mul, out, table = present(arrays)
        assert isinstance(self.pos, int)
        tokens, seen = q.shape[0], self.pos + q.shape[0]
        hd, group = q.shape[1] // self.heads, self.heads // self.kv_heads
        queries = q.astype(np.float64).reshape(tokens, self.kv_heads, group, hd)  # float64 is exact, and fast
        keys, values = (c[:seen].astype(np.float64).reshape(seen, self.kv_heads, hd) for c in (k, v))
        scores = (queries.transpose(1, 2, 0, 3) @ keys.transpose(1, 2, 0)[:, None]).astype(np.int64)
        hidden = np.arange(seen)[None, :] > self.pos + np.arange(tokens)[:, None]
        scores = np.where(hidden, np.iinfo(np.int32).min, scores)
        distance = scores.max(-1, keepdims=True) - scores
        per_head = mul.astype(np.int64).reshape(self.kv_heads, group, 1, 1)
        index = np.minimum(distance * per_head + half(self.shift) >> self.shift, 255)
        p = np.where(hidden, 0, table[index]).astype(np.int64)
        total = p.sum(-1, keepdims=True)
        r = (out.astype(np.int64).reshape(self.kv_heads, group, 1, 1) + total // 2) // total
        mixed = (p.astype(np.float64) @ values.transpose(1, 0, 2)[:, None]).astype(np.int64)
        y = np.clip(mixed * r + half(self.out_shift) >> self.out_shift, I8.low, I8.high)
        return np.asarray(y.transpose(2, 0, 1, 3).reshape(q.shape), np.int8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, kv, group, pos = (draw(st.integers(low, high)) for low, high in ((1, 4), (1, 3), (1, 3), (0, 40)))
        hd, heads = 2 * draw(st.integers(1, 9)), kv * group
        cache = TensorType((pos + t + draw(st.integers(0, 3)), kv * hd), I8)
        op = cls(heads, kv, draw(st.integers(4, 24)), draw(st.integers(15, 24)), pos)
        head = TensorType((heads,), I32)
        return op, (TensorType((t, heads * hd), I8), cache, cache, head, head, TensorType((256,), U8))
