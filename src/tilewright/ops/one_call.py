"""Products of quantised language models with what follows them: fewer calls where cores meet after each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I16, U8, Array, DType, TensorType
from ..quant.requant import half
from .common import exact_product, present
from .pointwise import QuantisedSwiGLU


def _check(x: TensorType, w: TensorType, mul: TensorType, shift: int) -> None:
    require(x.rank == 2 and w.rank == 2 and x.shape[1] == w.shape[1], "x is [t, i] and weights are [o, i]")
    require(x.dtype == w.dtype == I8, "x and weights are i8")
    require(mul.shape == w.shape[:1] and mul.dtype == U8, "the multipliers are u8, one per row")
    require(0 <= shift <= 30, "shifts are 0 .. 30")


def _rows(x: Array, w: Array, mul: Array, shift: int, dtype: DType) -> Array:
    """clip((x w^T * mul + half) >> shift)."""
    wide = exact_product(x, w.T).astype(np.int64) * mul + half(shift) >> shift
    return np.asarray(np.clip(wide, dtype.low, dtype.high), dtype.numpy)


@dataclass(frozen=True)
class GatedLinear(Op):
    """QuantisedSwiGLU of two products of x, both i8: clip((x w^T * mul + half) >> shift) with their own shifts.

    x: [t, i] i8; w_gate, w_up: [o, i] i8; mul_gate, mul_up: [o] u8; table: [256] i16; y: [t, o] i8.
    """

    gate_shift: int = 0
    up_shift: int = 0
    shift: int = 0
    operands = ("x", "w_gate", "mul_gate", "w_up", "mul_up", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w_gate, mul_gate, w_up, mul_up, table = present(types)
        _check(x, w_gate, mul_gate, self.gate_shift)
        _check(x, w_up, mul_up, self.up_shift)
        require(w_gate.shape == w_up.shape, "both products have as many rows")
        y = TensorType((x.shape[0], w_up.shape[0]), I8)
        return QuantisedSwiGLU(self.shift).infer(y, y, table)

    def domain(self, *types: TensorType | None) -> Domain:
        maps = {"x": "t, i", "w_gate": "o, i", "mul_gate": "o", "w_up": "o, i", "mul_up": "o", "table": "*"}
        return Domain.of("t o | i", {**maps, "y": "t, o"}, macs=2)

    def reference(self, *arrays: Array | None) -> Array:
        x, w_gate, mul_gate, w_up, mul_up, table = present(arrays)
        gate, up = _rows(x, w_gate, mul_gate, self.gate_shift, I8), _rows(x, w_up, mul_up, self.up_shift, I8)
        return QuantisedSwiGLU(self.shift).reference(gate, up, table)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 40, 40))
        x, w, mul = TensorType((t, i), I8), TensorType((o, i), I8), TensorType((o,), U8)
        op = cls(*(draw(st.integers(low, high)) for low, high in ((8, 18), (8, 18), (0, 20))))
        return op, (x, w, mul, w, mul, TensorType((256,), I16))
