"""Matrix products with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I4, I8, I16, I32, U8, Array, TensorType
from ..quant.requant import half
from .common import exact_product, padded, present
from .epilogue import Clamp, Epilogue, Requantise, accumulated, finish, finished_type, requant_maps


@dataclass(frozen=True)
class Linear(Op):
    """y[t, o] = sum over i of x[t, i] w[o, i], plus b[o]. x: [..., i], w: [o, i], b: [o].

    Integers accumulate exactly in i32 (b is i32 then) and may be requantised per output channel or with one multiplier.
    """

    epilogue: Epilogue = None
    operands = ("x", "w", "b?", "mul?", "add?")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, b, mul, add = padded(types, 5)
        require(x is not None and w is not None and w.rank == 2, "the weight is a matrix [out, in]")
        assert x
        assert w
        require(x.rank >= 1 and x.shape[-1] == w.shape[1], "the last axis of x is as long as the rows of w")
        require(isinstance(w.shape[0], int), "the weight has a fixed number of rows")
        assert isinstance(w.shape[0], int)
        dtype = finished_type(self.epilogue, accumulated(x, w), w.shape[0], b, mul, add)
        return (TensorType((*x.shape[:-1], w.shape[0]), dtype, x.quant if dtype == x.dtype else None),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, _, b, mul, add = padded(types[:-1], 5)
        assert x is not None
        lead = [f"t{i}" for i in range(x.rank - 1)]
        maps = {"x": ", ".join([*lead, "i"]), "w": "o, i", "y": ", ".join([*lead, "o"])}
        maps |= {"b": "o"} if b is not None else {}
        maps |= requant_maps(self.epilogue, mul, add, "o")
        return Domain.of(f"{' '.join(lead)} o | i", maps)

    def reference(self, *arrays: Array | None) -> Array:
        x, w, b, mul, add = padded(arrays, 5)
        assert x is not None
        assert w is not None
        acc = exact_product(x, w.T)
        return finish(self.epilogue, acc if b is None else acc + b, x, w, mul, add)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (5, 40, 40))
        if draw(st.booleans()):
            bias = TensorType((o,), F32) if draw(st.booleans()) else None
            return cls(draw(st.sampled_from([None, Clamp(0.0)]))), (
                TensorType((t, i), F32),
                TensorType((o, i), F32),
                bias,
            )
        x, w = TensorType((t, i), draw(st.sampled_from([I8, U8]))), TensorType((o, i), I8)
        if draw(st.booleans()):
            return cls(), (x, w, TensorType((o,), I32) if draw(st.booleans()) else None)
        per = draw(st.sampled_from([1, o]))
        mul = TensorType((per,), draw(st.sampled_from([I32, U8])))
        epilogue = draw(st.sampled_from([Requantise(10, -128, 127, I8), Requantise(7, -32768, 32767, I16)]))
        return cls(epilogue), (x, w, None, mul, TensorType((per,), I32))


@dataclass(frozen=True)
class LinearAdd(Op):
    """y[t, o] = clip(r[t, o] + ((sum over i of x[t, i] w[o, i] * mul[o] + half) >> shift)): into a residual stream.

    x: [t, i] i8, w: [o, i] i8 or i4, r: [t, o] i16, mul: [o] u8; y: as r, saturated to i16.
    """

    shift: int = 0
    operands = ("x", "w", "r", "mul")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, r, mul = present(types)
        require(x.rank == 2 and w.rank == 2 and x.shape[1] == w.shape[1], "x is [t, i] and the weight [o, i]")
        require(x.dtype == I8 and w.dtype in (I8, I4) and r.dtype == I16, "x is i8, the weight i8 or i4, r i16")
        require(r.shape == (x.shape[0], w.shape[0]), "the residual stream is [t, o]")
        require(mul.shape == w.shape[:1] and mul.dtype == U8, "the multipliers are u8, one per row")
        require(0 <= self.shift < 63, "the shift is 0 .. 62")
        return (r,)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t o | i", {"x": "t, i", "w": "o, i", "r": "t, o", "mul": "o", "y": "t, o"})

    def reference(self, *arrays: Array | None) -> Array:
        x, w, r, mul = present(arrays)
        acc = exact_product(x, w.T).astype(np.int32)
        wide = (acc.astype(np.int64) * mul + half(self.shift) >> self.shift) + r
        return np.asarray(np.clip(wide, I16.low, I16.high), np.int16)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (6, 50, 90))
        w = TensorType((o, i), draw(st.sampled_from([I8, I4])))
        operands = (TensorType((t, i), I8), w, TensorType((t, o), I16), TensorType((o,), U8))
        return cls(draw(st.integers(0, 30))), operands
