"""Matrix products with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I8, I32, U8, Array, TensorType
from .common import exact_product, padded
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
        per = TensorType((draw(st.sampled_from([1, o])),), I32)
        return cls(Requantise(10, -128, 127, I8)), (x, w, None, per, per)
