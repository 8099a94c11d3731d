"""Batched matrix products of two activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I8, I32, U8, Array, TensorType
from .common import aligned, broadcast, dims, exact_product, padded, present, static
from .epilogue import Epilogue, Requantise, accumulated, finish, finished_type, requant_maps


@dataclass(frozen=True)
class MatMul(Op):
    """y[.., m, n] = sum over k of a[.., m, k] b[.., k, n]; leading axes broadcast.

    `transpose_b`: b is [.., n, k]. Integers accumulate in i32 and may be requantised with one multiplier.
    """

    transpose_b: bool = False
    epilogue: Epilogue = None
    operands = ("a", "b", "mul?", "add?")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b = present(types[:2])
        mul, add = padded(types, 4)[2:]
        require(a.rank >= 2 and b.rank >= 2, "both operands are matrices or stacks of them")
        m, k = static(a.shape)[-2:]
        inner, n = static(b.shape)[-2:][:: -1 if self.transpose_b else 1]
        require(k == inner, f"inner dimensions agree, they are {k} and {inner}")
        lead = broadcast(a.shape[:-2], b.shape[:-2])
        acc = accumulated(a, b)
        require(mul is None or mul.shape == (1,), "products of activations have one multiplier")
        return (TensorType((*lead, m, n), finished_type(self.epilogue, acc, 1, None, mul, add)),)

    def domain(self, *types: TensorType | None) -> Domain:
        a, b = present(types[:2])
        lead = broadcast(a.shape[:-2], b.shape[:-2])
        names = dims(len(lead), "t")
        left, right = aligned(a.shape[:-2], names), aligned(b.shape[:-2], names)
        maps = {
            "a": ", ".join(filter(None, [left, "m, k"])),
            "b": ", ".join(filter(None, [right, "n, k" if self.transpose_b else "k, n"])),
            "y": ", ".join([*names, "m", "n"]),
        }
        if len(types) > 4:
            maps |= requant_maps(self.epilogue, types[2], types[3], "0")
        return Domain.of(f"{' '.join(names)} m n | k", maps, extents=dict(zip(names, lead, strict=True)))

    def reference(self, *arrays: Array | None) -> Array:
        a, b = present(arrays[:2])
        mul, add = padded(arrays, 4)[2:]
        acc = exact_product(a, np.swapaxes(b, -1, -2) if self.transpose_b else b)
        return finish(self.epilogue, acc, a, b, mul, add)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        from .common import partly_broadcast, shape_strategy

        m, k, n = (draw(st.integers(1, high)) for high in (5, 12, 9))
        lead = shape_strategy(draw, min_rank=0, max_rank=2, high=3)
        other = partly_broadcast(draw, lead)
        flip = draw(st.booleans())
        tail = (n, k) if flip else (k, n)
        if draw(st.booleans()):
            return cls(flip), (TensorType((*lead, m, k), F32), TensorType((*other, *tail), F32))
        a, b = (TensorType((*lead, m, k), draw(st.sampled_from([I8, U8]))), TensorType((*other, *tail), I8))
        if draw(st.booleans()):
            return cls(flip), (a, b)
        one = TensorType((1,), I32)
        return cls(flip, Requantise(8, -128, 127, I8)), (a, b, one, one)
