"""Integer weights under float activations: int8 with a scale per row, or 4 bits with a scale per group of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..frontend.checkpoint import LlamaCheckpoint
from ..ir.graph import Builder, Graph, Node
from ..ir.types import I4, I8, Array, Value, const
from ..ops import Embed, Linear, WeightOnlyEmbed, WeightOnlyLinear
from ..ops.weight_only import STEPS
from .rounding import Moments, compensated, nearest

if TYPE_CHECKING:
    from .lower import Recipe

GROUP = 16
"""Columns of a 4-bit row that share a scale."""


@dataclass(frozen=True)
class Grouped:
    """A 4-bit matrix: w = weights * scale[row] * step[row, column / GROUP]."""

    weights: Array
    scale: Array
    step: Array


def group_spans(w: Array, importance: Array, top: int) -> Array:
    """[rows, groups]: for each group of columns the step of least weighted squared error."""
    rows, cols = w.shape
    groups = -(-cols // GROUP)
    padded, weight = np.zeros((rows, groups * GROUP)), np.zeros(groups * GROUP)
    padded[:, :cols], weight[:cols] = w, importance
    cells, weight = padded.reshape(rows, groups, GROUP), weight.reshape(groups, GROUP)
    peak = np.maximum(np.abs(cells).max(-1), 1e-12)
    best, span = np.full(peak.shape, np.inf), peak / top
    for ratio in np.linspace(0.6, 1.1, 26):
        step = (peak * ratio / top)[..., None]
        error = np.clip(np.rint(cells / step), -top - 1, top) * step - cells
        cost = (error * error * weight).sum(-1)
        span, best = np.where(cost < best, step[..., 0], span), np.minimum(cost, best)
    return np.asarray(span)


def grouped(w: Array, inputs: Moments, top: int = 7) -> Grouped:
    """Round with GPTQ's compensation: each group takes its scale before its first column is rounded."""
    spans = group_spans(w, np.diag(inputs.second), top)
    scale = (spans.max(1) / STEPS).astype(np.float32)
    step = np.clip(np.rint(spans / scale[:, None]), 1, STEPS).astype(np.uint8)
    steps = np.repeat(step * scale[:, None].astype(np.float64), GROUP, axis=1)[:, : w.shape[1]]
    return Grouped(compensated(w, steps, top, inputs), scale, step)


def rows8(w: Array) -> tuple[Array, Array]:
    """Int8 weights and their scale per row."""
    scale = np.maximum(np.abs(w).max(1) / 127, 1e-12).astype(np.float32)
    return nearest(w, scale, 127), scale


INPUTS = {
    "wq": "attn_in", "wk": "attn_in", "wv": "attn_in", "wo": "attention", "gate": "ffn_in", "up": "ffn_in",
    "down": "swiglu",
}  # fmt: skip
"""The node of a block whose result each matrix reads."""


def graph(model: LlamaCheckpoint, seen: Mapping[str, Array], recipe: Recipe, chunk: int, *, all_logits: bool) -> Graph:
    """The float graph with integer matrices. Embedding and head have eight bits always."""
    from ..frontend.llama import graph as float_graph

    plain = float_graph(model, chunk, all_logits=all_logits)
    b = Builder(plain.name)
    new: dict[Value, Value | None] = {}
    made: dict[str, tuple[Value, ...]] = {}

    @cache
    def moments(site: str) -> Moments:
        return Moments.seen(seen[site])

    def constants(node: Node, value: Value) -> tuple[Value, ...]:
        """Weights, scale and, of groups, steps in place of a float matrix."""
        if value.name not in made:
            assert value.data is not None
            block, _, name = (node.origin or "").rpartition(".")
            if name in INPUTS and recipe.bits(node.origin) == 4:
                g = grouped(value.data, moments(f"{block}.{INPUTS[name]}"))
                made[value.name] = (
                    const(value.name, g.weights, I4), const(f"{value.name}_scale", g.scale),
                    const(f"{value.name}_step", g.step),
                )  # fmt: skip
            else:
                weights, scale = rows8(value.data)
                made[value.name] = const(value.name, weights, I8), const(f"{value.name}_scale", scale)
        return made[value.name]

    for value in plain.inputs:
        new[value] = b.input(value.name, value.type)
    for value in plain.states:
        new[value] = b.state(value.name, value.type)
    for node in plain.nodes:
        op, operands = node.op, [new.get(v, v) if v is not None else None for v in node.inputs]
        if isinstance(op, (Embed, Linear)) and isinstance(matrix := node.inputs[1], Value):
            weights = constants(node, matrix)
            op = WeightOnlyEmbed() if isinstance(op, Embed) else WeightOnlyLinear(GROUP if len(weights) == 3 else 0)
            operands = [operands[0], *weights]
        results = b.add(op, *operands, name=node.name, origin=node.origin)
        new |= zip(node.outputs, results, strict=True)
    outputs = tuple(v for v in (new[o] for o in plain.outputs) if v is not None)
    return b.finish(outputs, plain.syms)
