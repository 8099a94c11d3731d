"""Products with results of 16 bits in two steps, where an engine beside the cores is quick but has no such results."""

from __future__ import annotations

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import I16, I32, Value
from ..ops import Linear, LinearAdd, Requantise, Saturate
from ..quant.requant import half
from ..targets.base import Target
from .cheaper import cost
from .rewrite import Results, Rewriter, rewrite

MARGIN = 1.25  # what is gained where it is little goes into fetching the code of another kernel


def saturate_apart(graph: Graph, target: Target) -> Graph:
    """Sums are scaled in 32 bits, then cut to 16, or joined with a residual stream: where that costs fewer cycles.

    Nodes of one shape are treated alike, so that layers stay so.
    """
    groups: dict[object, list[Node]] = {}
    for node in graph.nodes:
        groups.setdefault(node.shape, []).append(node)

    def pays(r: Rewriter, node: Node) -> bool:
        pairs = [_steps(r, n) for n in groups[node.shape]]
        if any(pair is None or not target.beside(pair[0]) for pair in pairs):
            return False
        new = [step for pair in pairs if pair is not None for step in pair]
        return cost(target, new) * MARGIN < cost(target, groups[node.shape])

    def rule(r: Rewriter, node: Node) -> Results:
        pair = _steps(r, node)
        if pair is None or node.shape not in groups or not pays(r, node):
            return None
        sums, last = pair
        return r.add(last.op, (r.add(sums.op, sums.inputs, node)[0], *last.inputs[1:]), node)

    return rewrite(graph, rule, rounds=1)


def _steps(r: Rewriter, node: Node) -> tuple[Node, Node] | None:
    """The product with results of 32 bits, and what cuts them."""
    found = _scaled(r, node)
    if found is None:
        return None
    op, inputs, residual = found
    (kind,) = op.infer(*(v.type if v is not None else None for v in inputs))
    sums = Node(op, inputs, (Value(f"{node.name}.sums", kind),), f"{node.name}.sums", node.origin)
    return sums, Node(Saturate(), (sums.outputs[0], residual), node.outputs, node.name)


def _scaled(r: Rewriter, node: Node) -> tuple[Linear, tuple[Value | None, ...], Value | None] | None:
    """The product with results of 32 bits, its operands, and what its results join."""
    whole = I32.low, I32.high, I32
    if isinstance(node.op, LinearAdd):
        x, w, residual, mul = node.inputs
        add = r.const(f"{node.name}.half", np.array([half(node.op.shift)]), I32)
        return Linear(Requantise(node.op.shift, *whole)), (x, w, None, mul, add), residual
    if not isinstance(node.op, Linear) or not isinstance(node.op.epilogue, Requantise):
        return None
    cut = node.op.epilogue
    if (cut.dtype, cut.low, cut.high) != (I16, I16.low, I16.high):
        return None
    return Linear(Requantise(cut.shift, *whole)), node.inputs, None
