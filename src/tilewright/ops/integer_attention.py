"""Attention of QuantLib networks: an additive mask that saturates, a softmax of floors, everything by tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import I8, I32, U8, Array, Dim, TensorType
from ..quant.requant import requantise
from .common import padded, present, wrapped


@dataclass(frozen=True)
class IntegerAttention(Op):
    """Attention over all rows of k and v, exact for any mask; masked positions keep the weight that saturation leaves.

    q: [t, heads * hd], k and v: [s, kv_heads * hd], all i8; y as q. numbers: [4] i32 (mul, add, mul_out, add_out).
    Per head and row, with sums in i32 and tables of 256 indexed by the bits of their argument:
        c[s] = clip((q . k[s] * mul + add) >> shift)                                                    i8
        a[s] = plain[c[s]] where the mask is 0, else join[scale[c[s]] + hide[mask[s]] + 256]            i8
        e[s] = exp[max a - a[s]],  p[s] = weight[e[s] (levels - 1) / max(sum e, 1)]                     u32, i8
        y = clip((sum of p[s] v[s] * mul_out + add_out) >> out_shift)
    plain, scale, hide, weight: [256] i8; join: [512] i8; exp: [256] i32. mask: [1 or t, s] of i8 or u8; without one,
    scale, hide and join are left out, too. exp (levels - 1) and the sum of exp fit 32 bits without sign.
    """

    heads: int
    kv_heads: int
    shift: int = 0
    out_shift: int = 0
    levels: int = 256
    operands = ("q", "k", "v", "plain", "exp", "weight", "numbers", "mask?", "scale?", "hide?", "join?")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        q, k, v, plain, exp, weight, numbers = present(types[:7])
        mask, *others = padded(types, 11)[7:]
        require(q.dtype == k.dtype == v.dtype == I8 and q.rank == k.rank == 2, "q, k and v are matrices of i8")
        tokens, width = q.static_shape
        require(self.heads % self.kv_heads == 0, "query heads are a multiple of key/value heads")
        require(width % self.heads == 0, "q is [t, heads * hd]")
        channels = width // self.heads * self.kv_heads
        require(k.shape == v.shape and k.static_shape[1] == channels, "k and v are [s, kv_heads * hd]")
        require(k.static_shape[0] >= 1, "there is a position to attend to")
        require(plain.shape == weight.shape == exp.shape == (256,), "tables have 256 entries")
        require(plain.dtype == weight.dtype == I8 and exp.dtype == I32, "plain and weight are i8, exp is i32")
        require(numbers.shape == (4,) and numbers.dtype == I32, "numbers are mul, add, mul_out, add_out in i32")
        require(0 <= self.shift <= 62 and 0 <= self.out_shift <= 62, "shifts are 0 .. 62")
        require(2 <= self.levels <= 256, "there are 2 .. 256 levels")
        require(all((o is None) == (mask is None) for o in others), "scale, hide and join come with a mask")
        if mask is not None:
            scale, hide, join = present(others)
            require(mask.shape in ((tokens, k.shape[0]), (1, k.shape[0])), "the mask is [1 or t, s]")
            require(mask.dtype in (I8, U8), "the mask is i8 or u8")
            require(
                scale.shape == hide.shape == (256,) and join.shape == (512,), "join has 512 entries, the others 256"
            )
            require(scale.dtype == hide.dtype == join.dtype == I8, "scale, hide and join are i8")
        return (q,)

    def domain(self, *types: TensorType | None) -> Domain:
        q, k = present(types[:2])
        mask = types[7] if len(types) > 8 else None
        group, width = self.heads // self.kv_heads, q.static_shape[1] // self.kv_heads
        extents: dict[str, Dim] = {"g": self.kv_heads, "e": width, "s": k.static_shape[0]}
        queries, cache = f"t, {width}*g+e", f"s, {width}*g+e/{group}"
        maps = {"q": queries, "k": cache, "v": cache} | dict.fromkeys(("plain", "exp", "weight", "numbers"), "*")
        if mask is not None:
            maps["mask"] = f"{'t' if mask.shape[0] == q.shape[0] else '0'}, s"
            maps |= dict.fromkeys(("scale", "hide", "join"), "*")
        return Domain.of("t g | s e", {**maps, "y": queries}, extents=extents, macs=2)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        assert types[1] is not None
        return (0, largest_exponential(self.levels, types[1].static_shape[0]) + 1) if operand == "exp" else None

    def tiled(self, ranges: Ranges) -> Op:
        kv_heads = ranges["g"][1] - ranges["g"][0]
        heads = self.heads // self.kv_heads * kv_heads
        return IntegerAttention(heads, kv_heads, self.shift, self.out_shift, self.levels)

    def reference(self, *arrays: Array | None) -> Array:
        q, k, v, plain, exp, weight, numbers = present(arrays[:7])
        mask, scale, hide, join = padded(arrays, 11)[7:]
        tokens, seen = len(q), len(k)
        hd, group = q.shape[1] // self.heads, self.heads // self.kv_heads
        queries = q.astype(np.float64).reshape(tokens, self.kv_heads, group, hd)  # float64 is exact, and fast
        keys, values = (c.astype(np.float64).reshape(seen, self.kv_heads, hd) for c in (k, v))
        sums = (queries.transpose(1, 2, 0, 3) @ keys.transpose(1, 2, 0)[:, None]).astype(np.int64)
        code = _clipped(sums, numbers[0], numbers[1], self.shift).view(np.uint8)
        a = plain[code]
        if mask is not None and scale is not None and hide is not None and join is not None:
            moved = scale[code].astype(np.int64) + hide[np.ascontiguousarray(mask).view(np.uint8)]
            a = np.where(mask != 0, join[moved + 256], a)
        e = exp[a.max(-1, keepdims=True).astype(np.int64) - a].astype(np.int64)
        p = weight[e * (self.levels - 1) // np.maximum(e.sum(-1, keepdims=True), 1)]
        mixed = (p.astype(np.float64) @ values.transpose(1, 0, 2)[:, None]).astype(np.int64)
        y = _clipped(mixed, numbers[2], numbers[3], self.out_shift)
        return np.ascontiguousarray(y.transpose(2, 0, 1, 3)).reshape(q.shape)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, s, kv, group, hd = (draw(st.integers(1, n)) for n in (4, 40, 3, 3, 9))
        heads, table = kv * group, TensorType((256,), I8)
        cache = TensorType((s, kv * hd), I8)
        operands: list[TensorType | None] = [TensorType((t, heads * hd), I8), cache, cache]
        operands += [table, TensorType((256,), I32), table, TensorType((4,), I32)]
        if draw(st.booleans()):
            mask = TensorType((draw(st.sampled_from([1, t])), s), draw(st.sampled_from([I8, U8])))
            operands += [mask, table, table, TensorType((512,), I8)]
        shifts = draw(st.integers(4, 40)), draw(st.integers(4, 40))
        return cls(heads, kv, *shifts, draw(st.sampled_from([256, 128]))), tuple(operands)


def largest_exponential(levels: int, positions: int) -> int:
    """The largest entry of exp with which quotients and sums of `positions` entries fit 32 bits without sign."""
    return int(min(I32.high, ((1 << 32) - 1) // (levels - 1), ((1 << 32) - 1) // positions))


def _clipped(sums: Array, mul: Array, add: Array, shift: int) -> Array:
    return requantise(wrapped(sums, np.dtype(np.int32)), mul, add, shift, I8.low, I8.high).astype(np.int8)
