"""Float activations, integer weights: for chips with an FPU and little flash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I4, I8, I32, U8, Array, TensorType, maximum
from .common import padded, present

STEPS = 63
"""Scales of groups are 1 .. 63 parts of the row's: six bits, in a byte."""


@dataclass(frozen=True)
class WeightOnlyLinear(Op):
    """y[t, o] = scale[o] * sum over i of x[t, i] w[o, i] (* step[o, i / group] where there are groups).

    x: [..., i] f32, w: [o, i] i8 or i4, scale: [o] f32, step: [o, ceil(i / group)] u8 within 1 .. 63, the scale of a
    group of weights as a multiple of its row's; y: f32.
    """

    group: int = 0
    operands = ("x", "w", "scale", "step?")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w, scale, step = padded(types, 4)
        assert x
        assert w
        assert scale
        require(x.dtype == F32 and w.dtype in (I8, I4) and w.rank == 2, "x is f32, the weight a matrix of i8 or i4")
        require(x.rank >= 1 and x.shape[-1] == w.shape[1], "the last axis of x is as long as the rows of w")
        require(scale.dtype == F32 and scale.shape == w.shape[:1], "the scale is f32, one per row")
        require((step is not None) == (self.group > 0), "groups have steps")
        if step is not None:
            groups = -(-maximum(w.shape[1]) // self.group)
            require(step.shape == (w.shape[0], groups) and step.dtype == U8, "the steps are u8, one per row and group")
        return (TensorType((*x.shape[:-1], w.shape[0]), F32),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, _, _, step = padded(types[:-1], 4)
        assert x is not None
        lead = [f"t{i}" for i in range(x.rank - 1)]
        maps = {"x": ", ".join([*lead, "i"]), "w": "o, i", "scale": "o", "y": ", ".join([*lead, "o"])}
        maps |= {"step": f"o, i/{self.group}"} if step is not None else {}
        return Domain.of(f"{' '.join(lead)} o | i", maps)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        return (1, STEPS + 1) if operand == "step" else None

    def reference(self, *arrays: Array | None) -> Array:
        x, w, scale, step = padded(arrays, 4)
        assert x is not None
        assert w is not None
        assert scale is not None
        wide = w.astype(np.float64)
        if step is not None:
            wide = wide * np.repeat(step, self.group, axis=1)[:, : w.shape[1]]
        return np.asarray(x.astype(np.float64) @ wide.T * scale).astype(np.float32)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (6, 40, 70))
        x, scale = TensorType((t, i), F32), TensorType((o,), F32)
        if draw(st.booleans()):
            return cls(), (x, TensorType((o, i), I8), scale)
        group = 16
        return cls(group), (x, TensorType((o, i), I4), scale, TensorType((o, -(-i // group)), U8))


@dataclass(frozen=True)
class WeightOnlyEmbed(Op):
    """y[t] = table[tokens[t]] * scale[tokens[t]]. tokens: [t] i32, table: [vocabulary, c] i8, scale: f32 per row."""

    operands = ("tokens", "table", "scale")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        tokens, table, scale = present(types)
        require(tokens.rank == 1 and tokens.dtype == I32, "tokens are a vector of i32")
        require(table.rank == 2 and table.dtype == I8, "the table is [vocabulary, channels] of i8")
        require(scale.dtype == F32 and scale.shape == table.shape[:1], "the scale is f32, one per row")
        return (TensorType((tokens.shape[0], table.shape[1]), F32),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"tokens": "t", "table": "*, c", "scale": "*", "y": "t, c"}, macs=0)

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        assert types[1] is not None
        return (0, maximum(types[1].shape[0])) if operand == "tokens" else None

    def reference(self, *arrays: Array | None) -> Array:
        tokens, table, scale = present(arrays)
        rows = np.clip(tokens, 0, len(table) - 1)
        return np.asarray(table[rows].astype(np.float32) * scale[rows, None])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, rows, c = (draw(st.integers(1, n)) for n in (6, 30, 20))
        return cls(), (TensorType((t,), I32), TensorType((rows, c), I8), TensorType((rows,), F32))
