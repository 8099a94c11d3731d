"""Products of one token with what follows them as one call, where cores share the work and meet after every call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import U8, DType, Value
from ..ops import (
    Append,
    GatedLinear,
    GatedSums,
    Linear,
    QuantisedAttention,
    QuantisedRoPE,
    QuantisedSwiGLU,
    Requantise,
)
from ..quant.requant import half
from ..targets.base import Target
from .by_tables import joined_by_tables
from .cheaper import cheapest, cost
from .new_heads import new_heads
from .rewrite import Results, Rewriter, rewrite
from .sums import bound_of, gated_sums, joined_sums, own_table
from .turned_heads import turned_heads


def one_call(graph: Graph, target: Target) -> Graph:
    """Gate, up and SwiGLU are one product, so are q, k and v with their rotations, where that costs fewer cycles.

    So are products with the sum or product through tables that follows them, and what enters attentions by tables.
    """
    if target.cores == 1:
        return graph
    for node in graph.nodes:
        group = _triple(graph, node)
        if group:
            graph = _entered(graph, target, node, group) or graph

    def gated(r: Rewriter, node: Node) -> Results:
        if not isinstance(node.op, QuantisedSwiGLU):
            return None
        makers = [r.producer(v, Linear) for v in node.inputs[:2]]
        if any(m is None or not r.single(m.outputs[0]) for m in makers):
            return None
        pair = [m for m in makers if m is not None]
        if pair[0].inputs[0] is not pair[1].inputs[0] or not all(_rounded(m, bits=8) for m in pair):
            return None
        operands = [pair[0].inputs[0], *(m.inputs[i] for m in pair for i in (1, 3)), own_table(r, node)]
        shifts = _shift(pair[0]), _shift(pair[1]), node.op.shift
        op = GatedLinear(*shifts)
        apart, whole = cost(target, [*pair, node]), cost(target, [Node(op, tuple(operands), node.outputs, node.name)])
        w = pair[0].inputs[1]
        if pair[0].inputs[3] is not None and w is not None:
            found = gated_sums(r, target, node, pair, GatedSums(*shifts, bound_of(w)), min(apart, whole))
            if found is not None:
                return found
        return r.add(op, operands, node) if whole < apart else None

    def joined(r: Rewriter, node: Node) -> Results:
        return joined_sums(r, target, node)

    def apart(r: Rewriter, node: Node) -> Results:
        return joined_sums(r, target, node, always=True)

    some = rewrite(graph, gated, joined, rounds=1)
    forms = [some, rewrite(some, apart, rounds=1)] if target.accelerated else [some]
    graph = joined_by_tables(forms[cheapest(target, forms)], target)
    return new_heads(graph, target)


def _entered(graph: Graph, target: Target, attention: Node, group: Sequence[Node]) -> Graph | None:
    """The graph with sums that enter an attention in one call, where that beats the other forms."""
    makers = _makers(graph.producers, group)
    return turned_heads(graph, target, attention, group, makers, cost(target, [*makers, *group[:2]]))


def _triple(graph: Graph, node: Node) -> list[Node]:
    """The nodes that make q, k and v of an attention from products of one row; none where they are not such."""
    if not isinstance(node.op, QuantisedAttention):
        return []
    q, *caches = node.inputs[:3]
    appends = [graph.producers.get(v) for v in caches if v is not None]
    rows = [n.inputs[1] for n in appends if n is not None and isinstance(n.op, Append)]
    found = [graph.producers.get(v) for v in (q, *rows) if v is not None]
    nodes = [n for n in found if n is not None]
    if len(nodes) < 3 or any(len(graph.consumers[n.outputs[0]]) > 1 for n in nodes):
        return []
    turned, k, v = nodes
    if not isinstance(turned.op, QuantisedRoPE) or not isinstance(k.op, QuantisedRoPE) or not isinstance(v.op, Linear):
        return []
    same = turned.inputs[1] is k.inputs[1] and (turned.op.pos, turned.op.shift) == (k.op.pos, k.op.shift)
    makers = _makers(graph.producers, nodes)
    if not same or len(makers) < 3 or any(m.inputs[0] is not v.inputs[0] for m in makers):
        return []
    if any(len(graph.consumers[m.outputs[0]]) > 1 for m in makers):
        return []
    bits = (16, 16, 8)
    return nodes if all(_rounded(m, bits=b) for m, b in zip(makers, bits, strict=True)) else []


def _makers(producers: Mapping[Value, Node], group: Sequence[Node]) -> list[Node]:
    """The products behind q, k and v."""
    found = [producers.get(n.inputs[0]) for n in group[:2] if n.inputs[0] is not None]
    return [*(m for m in found if m is not None and isinstance(m.op, Linear)), group[2]]


def _rounded(node: Node, bits: int) -> bool:
    """Whether a product of one row has 8-bit multipliers per row, rounds half up, and is cut to its type alone."""
    op = node.op
    if not isinstance(op, Linear) or not isinstance(op.epilogue, Requantise) or len(node.inputs) != 5:
        return False
    x, w, b, mul, add = node.inputs
    if x is None or w is None or b is not None or mul is None or add is None or add.data is None:
        return False
    dtype: DType = op.epilogue.dtype
    whole = dtype.is_signed and dtype.bits == bits and (op.epilogue.low, op.epilogue.high) == (dtype.low, dtype.high)
    rounds = op.epilogue.shift <= 30 and bool(np.all(add.data == half(op.epilogue.shift)))
    return (
        whole and rounds and x.type.shape[:-1] == (1,) and mul.type.dtype == U8 and mul.type.shape == w.type.shape[:1]
    )


def _shift(node: Node) -> int:
    assert isinstance(node.op, Linear)
    assert isinstance(node.op.epilogue, Requantise)
    return node.op.epilogue.shift
