"""One product for the queries, keys and values of a token, and one call for what attention and caches take of its sums.

For quantised llamas: an engine beside the cores computes products quickly where their results are plain sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Graph, Node
from ..ir.types import I8, U8, Array, Value
from ..ops import Append, Linear, QuantisedAttention, QuantisedRoPE, Requantise, RowsAt, TurnedHeads
from ..targets.base import Target
from .cheaper import cost
from .new_heads import by_heads
from .rewrite import Rewriter, exchanged, made
from .sums import bound_of


def turned_heads(graph: Graph, target: Target, attention: Node, old: Sequence[Node], makers: Sequence[Node],
                 otherwise: float) -> Graph | None:  # fmt: skip
    """The graph with two nodes in place of an attention's three products, rotations and appends.

    `old`: what gives q, k and v; `makers`: the products behind. None where that costs more than `otherwise`, cycles of
    the best form of the products and rotations, and the appends.
    """
    appends = [graph.producers[v] for v in attention.inputs[1:3] if v is not None]
    assert isinstance(attention.op, QuantisedAttention)
    if any(not isinstance(n.op, Append) for n in appends):
        return None
    r, name, op = Rewriter(graph), attention.name, attention.op
    q, k, _ = old
    x, table, kv_heads = makers[0].inputs[0], q.inputs[1], op.kv_heads
    assert x is not None
    assert table is not None
    assert isinstance(q.op, QuantisedRoPE)
    w, mul = (_joined([m.inputs[i] for m in makers], kv_heads) for i in (1, 3))
    if w is None or mul is None:
        return None
    angles = _angles(graph, r, table, q)
    weights = r.const(f"{name}.w", w, I8)
    product = made(Linear(), [x, weights], r.unique(f"{name}.sums"), attention)
    q_shift, k_shift, v_shift = (
        m.op.epilogue.shift for m in makers if isinstance(m.op, Linear) and isinstance(m.op.epilogue, Requantise)
    )
    heads = TurnedHeads(op.heads, kv_heads, q.op.pos, q_shift, k_shift, v_shift, q.op.shift, bound_of(weights))
    inputs = [*(n.inputs[0] for n in appends), *product.outputs, r.const(f"{name}.mul", mul, U8), angles.outputs[0]]
    outputs = q.outputs[0], *(n.outputs[0] for n in appends)
    last = Node(heads, tuple(inputs), outputs, r.unique(f"{name}.heads"), attention.origin)
    gone = [*makers, q, k, *appends]
    if cost(target, [product, last]) >= otherwise + cost(target, appends):
        return None
    fresh = [] if angles in graph.nodes else [angles]
    graph = exchanged(graph, gone, [product, last])
    return replace(graph, nodes=(*fresh, *graph.nodes))


def _angles(graph: Graph, r: Rewriter, table: Value, like: Node) -> Node:
    """The token's row of the table in a memory that is near, for all layers."""
    assert isinstance(like.op, QuantisedRoPE)
    op = RowsAt(1, like.op.pos)
    found = (n for n in graph.nodes if n.op == op and n.inputs == (table,))
    return next(found, None) or made(op, [table], r.unique("angles"), like)


def _joined(values: Sequence[Value | None], kv_heads: int) -> Array | None:
    """Rows of all constants by heads; None where one is computed."""
    arrays = [v.data for v in values if v is not None and v.data is not None]
    return by_heads(arrays, kv_heads) if len(arrays) == len(values) else None
