"""Matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, Array, TensorType


@dataclass(frozen=True)
class Linear(Op):
    """y[t, o] = sum over i of x[t, i] w[o, i], plus b[o]. x: [..., i], w: [o, i], b: [o]."""

    operands = ("x", "w", "b?")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, *rest = types
        require(x is not None and w is not None and w.rank == 2, "the weight is a matrix [out, in]")
        assert x
        assert w
        require(x.rank >= 1 and x.shape[-1] == w.shape[1], "the last axis of x is as long as the rows of w")
        require(x.dtype == w.dtype, "x and w have the same element type")
        for b in rest:
            require(b is None or b.shape == (w.shape[0],), "the bias has one element per row of w")
        return (x.with_shape((*x.shape[:-1], w.shape[0])),)

    def domain(self, *types: TensorType | None) -> Domain:
        assert types[0] is not None
        lead = [f"t{i}" for i in range(types[0].rank - 1)]
        bias = {"b": "o"} if len(types) == 4 and types[2] is not None else {}
        maps = {"x": ", ".join([*lead, "i"]), "w": "o, i", "y": ", ".join([*lead, "o"]), **bias}
        return Domain.of(f"{' '.join(lead)} o | i", maps)

    def reference(self, *arrays: Array | None) -> Array:
        x, w, *rest = arrays
        assert x is not None
        assert w is not None
        y = x.astype(np.float64) @ w.astype(np.float64).T
        if rest and rest[0] is not None:
            y = y + rest[0]
        return np.asarray(y, x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (5, 40, 40))
        bias = TensorType((o,), F32) if draw(st.booleans()) else None
        return cls(), (TensorType((t, i), F32), TensorType((o, i), F32), bias)
