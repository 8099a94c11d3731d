"""Heads turned by a matrix that is computed at run time: the rotary embedding of QuantLib networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import I8, I32, I64, Array, TensorType
from ..quant.requant import requantise
from .common import exact_product, padded, present, wrapped


@dataclass(frozen=True)
class RotateHeads(Op):
    """y[t, h] = table[clip((x[t, h] . r[t] * mul + add) >> shift)]: every head of a row times the row's matrix.

    x: [t, heads * hd] i8, r: [t or 1, hd, hd] i8 (first its rows, which are summed over), mul and add: [1]; y: i8.
    The table ([256] i8, indexed by the bits of the 8-bit result) is left out where nothing follows.
    """

    heads: int
    shift: int = 0
    operands = ("x", "r", "mul", "add", "table?")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, r, mul, add = present(types[:4])
        table = padded(types, 5)[4]
        require(x.dtype == r.dtype == I8 and x.rank == 2 and r.rank == 3, "x is [t, heads * hd] of i8, r [t, hd, hd]")
        tokens, width = x.static_shape
        require(width % self.heads == 0, "x is [t, heads * hd]")
        hd = width // self.heads
        require(r.shape in ((tokens, hd, hd), (1, hd, hd)), "r is one matrix [hd, hd], or one per row of x")
        require(mul.shape == add.shape == (1,) and mul.dtype == I32 and add.dtype in (I32, I64), "mul and add are one")
        require(table is None or (table.shape == (256,) and table.dtype == I8), "the table is 256 elements of i8")
        require(0 <= self.shift < 63, "the shift is 0 .. 62")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        x, r = present(types[:2])
        hd = x.static_shape[1] // self.heads
        maps = {"x": f"t, {hd}*h+i", "r": f"{'t' if r.shape[0] == x.shape[0] else '0'}, i, j", "mul": "0", "add": "0"}
        maps |= {"table": "*"} if len(types) > 5 and types[4] is not None else {}
        return Domain.of("t h | i j", {**maps, "y": f"t, {hd}*h+j"}, extents={"h": self.heads})

    def tiled(self, ranges: Ranges) -> Op:
        return RotateHeads(ranges["h"][1] - ranges["h"][0], self.shift)

    def reference(self, *arrays: Array | None) -> Array:
        x, r, mul, add = present(arrays[:4])
        table = padded(arrays, 5)[4]
        tokens, width = x.shape
        heads = x.reshape(tokens, self.heads, width // self.heads)
        acc = wrapped(exact_product(heads, r), np.dtype(np.int32))
        y = requantise(acc, mul, add, self.shift, I8.low, I8.high).astype(np.int8).reshape(x.shape)
        return y if table is None else np.asarray(table[y.view(np.uint8)])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, heads, hd = (draw(st.integers(1, n)) for n in (4, 5, 9))
        r = TensorType((draw(st.sampled_from([1, t])), hd, hd), I8)
        add = TensorType((1,), draw(st.sampled_from([I32, I64])))
        table = TensorType((256,), I8) if draw(st.booleans()) else None
        return cls(heads, draw(st.integers(0, 24))), (
            TensorType((t, heads * hd), I8),
            r,
            TensorType((1,), I32),
            add,
            table,
        )
