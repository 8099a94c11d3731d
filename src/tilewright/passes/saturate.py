"""Products with results of 16 bits in two steps, where an engine beside the cores is quick but has no such results."""

from __future__ import annotations

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import I16, I32, Value
from ..ops import Linear, LinearAdd, QuantisedRoPE, Requantise, Saturate
from ..quant.requant import accumulator_range, half
from ..targets.base import Target
from .cheaper import cost
from .rewrite import Results, Rewriter, made, rewrite


def saturate_apart(graph: Graph, target: Target) -> Graph:
    """Sums of several rows are scaled in 32 bits, then cut to 16 or joined with a residual, where that is cheaper.

    Nodes of one shape are treated alike, so that layers stay so. One row has quicker functions on the cores.
    """
    groups: dict[object, list[Node]] = {}
    for node in graph.nodes:
        groups.setdefault(node.shape, []).append(node)
    known: dict[object, bool] = {}

    def pays(r: Rewriter, node: Node) -> bool:
        pairs = [_steps(r, n) for n in groups.get(node.shape, ())]
        if not pairs or any(pair is None or not target.beside(pair[0]) for pair in pairs):
            return False
        new = [step for pair in pairs if pair is not None for step in pair]
        return cost(target, new) < cost(target, groups[node.shape])

    def rule(r: Rewriter, node: Node) -> Results:
        pair = _steps(r, node)
        if pair is None:
            return None
        if node.shape not in known:
            known[node.shape] = pays(r, node)
        if not known[node.shape]:
            return None
        sums, last = pair
        return r.add(last.op, (r.add(sums.op, sums.inputs, node)[0], *last.inputs[1:]), node)

    def cut_in(r: Rewriter, node: Node) -> Results:
        """Rotations that cut sums themselves, where a kernel does."""
        cut = r.producer(node.inputs[0], Saturate) if isinstance(node.op, QuantisedRoPE) else None
        if cut is None or (len(cut.inputs) > 1 and cut.inputs[1] is not None) or not r.single(cut.outputs[0]):
            return None
        new = made(node.op, (cut.inputs[0], *node.inputs[1:]), node.name, node)
        return r.add(new.op, new.inputs, node) if cost(target, [new]) < np.inf else None

    return rewrite(rewrite(graph, rule, rounds=1), cut_in, rounds=1) if target.accelerated else graph


def _steps(r: Rewriter, node: Node) -> tuple[Node, Node] | None:
    """The product with results of 32 bits, and what cuts them."""
    found = _scaled(r, node)
    if found is None:
        return None
    op, inputs, residual = found
    sums = made(op, inputs, f"{node.name}.sums", node)
    return sums, Node(Saturate(_fits(sums)), (sums.outputs[0], residual), node.outputs, node.name)


def _fits(sums: Node) -> bool:
    """Whether scaled sums and a residual of 16 bits stay within 32 bits together."""
    w, mul, add = (sums.operands[name].data for name in ("w", "mul", "add"))
    epilogue, x = sums.op.attributes["epilogue"], sums.operands["x"].type.dtype
    if w is None or mul is None or add is None or "b" in sums.operands:
        return False
    ends = [bound * mul.astype(np.int64) for bound in accumulator_range(w, x.low, x.high)]
    most = max(int(np.abs(end + add.astype(np.int64)).max()) for end in ends)
    return bool((most >> epilogue.shift) + 1 - I16.low <= I32.high)


def _scaled(r: Rewriter, node: Node) -> tuple[Linear, tuple[Value | None, ...], Value | None] | None:
    """The product with results of 32 bits, its operands, and what its results join."""
    whole = I32.low, I32.high, I32
    if not isinstance(node.op, Linear | LinearAdd) or node.inputs[0] is None:
        return None
    if set(node.inputs[0].type.shape[:-1]) <= {1}:
        return None
    if isinstance(node.op, LinearAdd):
        x, w, residual, mul = node.inputs
        add = r.const(f"{node.name}.half", np.array([half(node.op.shift)]), I32)
        return Linear(Requantise(node.op.shift, *whole)), (x, w, None, mul, add), residual
    cut = node.op.epilogue
    if not isinstance(cut, Requantise) or (cut.dtype, cut.low, cut.high) != (I16, I16.low, I16.high):
        return None
    return Linear(Requantise(cut.shift, *whole)), node.inputs, None
