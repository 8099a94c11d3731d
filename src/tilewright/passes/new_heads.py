"""The product that gives queries, keys and values, rotations, and what caches take: one operator, where it is cheaper.

For decoders of QuantLib's, whose caches are state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import I8, I32, Array, TensorType, Value
from ..ops import Append, IntegerAttention, Linear, LookUp, NewHeads, Requantise, Reshape, RotateHeads
from ..targets.base import Target
from .cheaper import cheaper
from .rewrite import Rewriter
from .tables import codes


@dataclass(frozen=True)
class _Rows:
    """What an attention reads of new tokens: the product behind it, its rotation, a table after that, all nodes."""

    product: Node
    turn: Node | None
    table: Array
    nodes: list[Node]


def new_heads(graph: Graph, target: Target) -> Graph:
    """In place of the small operators before every attention, where their kernels together cost more."""
    if graph.syms:  # entries that share weights with others keep them
        return graph
    for node in graph.nodes:
        found = _found(graph, node) if isinstance(node.op, IntegerAttention) else None
        if found is None:
            continue
        new, old = found
        if cheaper(target, new[-1], [n for n in old if not n.op.view]):
            last = max(graph.nodes.index(n) for n in old)
            kept = [[n for n in part if n not in old] for part in (graph.nodes[:last], graph.nodes[last:])]
            graph = replace(graph, nodes=(*kept[0], *new, *kept[1]))
    return graph


def _found(graph: Graph, attention: Node) -> tuple[list[Node], list[Node]] | None:
    """The nodes that may stand before an attention, and those whose place they take."""
    assert isinstance(attention.op, IntegerAttention)
    caches = [graph.producers.get(v) for v in attention.inputs[1:3] if v is not None]
    appends = [n for n in caches if n is not None and isinstance(n.op, Append)]
    if len(appends) < 2 or appends[0].op != appends[1].op:
        return None
    rows = [_rows(graph, v) for v in (attention.inputs[0], *(n.inputs[1] for n in appends))]
    q, k, v = rows
    if q is None or k is None or v is None or q.turn is None or k.turn is None or v.turn is not None:
        return None
    if _shown(graph, q.turn.inputs[1]) != _shown(graph, k.turn.inputs[1]) or not np.array_equal(q.table, codes(I8)):
        return None
    new = _joined(graph, attention, (q, k, v), appends)
    return None if new is None else (new, [*q.nodes, *k.nodes, *v.nodes, *appends])


def _shown(graph: Graph, value: Value | None) -> tuple[Value | None, TensorType | None]:
    """What a value shows, and under which shape."""
    node = graph.producers.get(value) if value is not None else None
    source = node.inputs[0] if node is not None and isinstance(node.op, Reshape) else value
    return source, value.type if value is not None else None


def _rows(graph: Graph, value: Value | None) -> _Rows | None:
    """Rows from a product; nobody else reads what is on the way."""
    nodes, turn, table = list[Node](), None, codes(I8)
    while value is not None and len(graph.consumers[value]) == 1 and value.type.dtype == I8:
        node = graph.producers.get(value)
        if node is None or value in graph.outputs:
            return None
        nodes.append(node)
        entries: Value | None = None
        if isinstance(node.op, Linear):
            return _Rows(node, turn, table, nodes)
        if isinstance(node.op, RotateHeads) and turn is None:
            turn, entries = node, node.inputs[4] if len(node.inputs) > 4 else None
        elif isinstance(node.op, LookUp) and turn is None:
            entries = node.inputs[1]
        elif not isinstance(node.op, Reshape):
            return None
        if entries is not None and entries.data is not None:
            table = table[entries.data.view(np.uint8)]
        value = node.inputs[0]
    return None


def _joined(graph: Graph, attention: Node, parts: Sequence[_Rows], appends: Sequence[Node]) -> list[Node] | None:
    """The operator, behind views of its operands; its results are the values that the small ones had."""
    assert isinstance(attention.op, IntegerAttention)
    (q, k, _), kv_heads = parts, attention.op.kv_heads
    assert q.turn is not None
    assert k.turn is not None
    weights = _weights([p.product for p in parts], kv_heads)
    turns = [_numbers(p.turn.inputs[2:4]) for p in (q, k) if p.turn is not None]
    x, r, (tokens, _) = q.product.inputs[0], _shown(graph, q.turn.inputs[1])[0], q.turn.outputs[0].type.static_shape
    if weights is None or any(n is None for n in turns) or x is None or r is None or q.turn.inputs[1] is None:
        return None
    w, mul, shift, add = weights
    assert isinstance(q.turn.op, RotateHeads)
    assert isinstance(k.turn.op, RotateHeads)
    assert isinstance(appends[0].op, Append)
    op = NewHeads(attention.op.heads, kv_heads, shift, q.turn.op.shift, k.turn.op.shift, appends[0].op.pos)
    unique, name = Rewriter(graph), f"{attention.name}.heads"
    views = [
        Node(Reshape(shape), (value,), (Value(unique.unique(f"{name}.{what}"), value.type.with_shape(shape)),),
             unique.unique(f"{name}.{what}"), attention.origin)
        for what, value, shape in (("x", x, (tokens, w.shape[1])), ("r", r, q.turn.inputs[1].type.static_shape))
    ]  # fmt: skip
    numbers = np.concatenate([[add], *(n for n in turns if n is not None)])
    constants = [
        unique.const(f"{name}.{what}", data, dtype)
        for what, data, dtype in (("w", w, I8), ("mul", mul, I32), ("table_k", k.table, I8),
                                  ("table_v", parts[2].table, I8), ("numbers", numbers.astype(np.int32), I32))
    ]  # fmt: skip
    inputs = (*(n.inputs[0] for n in appends), views[0].outputs[0], *constants[:2], views[1].outputs[0], *constants[2:])
    outputs = q.nodes[0].outputs[0], *(n.outputs[0] for n in appends)
    return [*views, Node(op, inputs, outputs, unique.unique(name), attention.origin)]


def _weights(products: Sequence[Node], kv_heads: int) -> tuple[Array, Array, int, int] | None:
    """Weights and multipliers of all heads, for each one of the caches together; the shift and the addend of all."""
    weights, muls, common = [], [], set()
    for node in products:
        assert isinstance(node.op, Linear)
        if len(node.inputs) != 5:
            return None
        x, w, b, mul, add = node.inputs
        addend, epilogue = _numbers([add]), node.op.epilogue
        if w is None or w.data is None or b is not None or mul is None or mul.data is None or addend is None:
            return None
        if not isinstance(epilogue, Requantise) or (epilogue.low, epilogue.high) != (I8.low, I8.high):
            return None
        if w.type.dtype != I8 or mul.type.dtype != I32 or x is None or x.type.dtype != I8:
            return None
        rows, cols = w.type.static_shape
        weights.append(w.data.reshape(kv_heads, -1, cols))
        muls.append(np.broadcast_to(mul.data, (rows,)).reshape(kv_heads, -1))
        common.add((x, epilogue.shift, int(addend[0])))
    if len(common) > 1:
        return None
    ((_, shift, number),) = common
    joined = np.concatenate(weights, axis=1)
    return joined.reshape(-1, joined.shape[2]), np.concatenate(muls, axis=1).reshape(-1), shift, number


def _numbers(values: Sequence[Value | None]) -> Array | None:
    """Single constants of 32 bits in a row."""
    arrays = [v.data.reshape(-1) for v in values if v is not None and v.data is not None and v.type.dtype == I32]
    return np.concatenate(arrays) if [a.size for a in arrays] == [1] * len(values) else None
