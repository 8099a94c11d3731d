"""The product that gives queries, keys and values, rotations, and what caches take: few operators, where cheaper.

For decoders of QuantLib's, whose caches are state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.op import Op
from ..ir.types import I8, I32, Array, TensorType, Value
from ..ops import (
    Append,
    EnterHeads,
    IntegerAttention,
    Linear,
    LookUp,
    NewHeads,
    Requantise,
    Reshape,
    RotateHeads,
    Row,
)
from ..targets.base import Target
from .by_tables import numbers_of
from .cheaper import cost
from .rewrite import Rewriter, exchanged
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
        forms, old = found
        new = min(forms, key=partial(cost, target))
        if cost(target, new) < cost(target, old):
            graph = exchanged(graph, old, new)
    return graph


def _found(graph: Graph, attention: Node) -> tuple[list[list[Node]], list[Node]] | None:
    """The nodes that may stand before an attention, in one way or another, and those whose place they take."""
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
    entry = _entry(graph, attention, (q, k, v), appends)
    if entry is None:
        return None
    forms = [_whole(graph, entry), *filter(None, [_apart(graph, entry)])]
    return forms, [*q.nodes, *k.nodes, *v.nodes, *appends]


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


@dataclass(frozen=True)
class _Entry:
    """All that stands before an attention: products of `x`, what follows them, and where it goes.

    Weights and multipliers are of queries, keys and values; `turns`: multipliers and addends of rotations.
    """

    attention: Node
    x: Value
    r: Value
    r_shape: tuple[int, ...]
    weights: Sequence[Array]
    muls: Sequence[Array]
    shift: int
    add: int
    turns: Array
    tables: Sequence[Array]
    enter: EnterHeads
    states: tuple[Value | None, ...]
    outputs: tuple[Value, ...]

    @property
    def name(self) -> str:
        return f"{self.attention.name}.heads"

    @property
    def tokens(self) -> int:
        return self.outputs[0].type.static_shape[0]

    def view(self, unique: Rewriter, what: str, op: Op, value: Value, shape: tuple[int, ...]) -> Node:
        name = unique.unique(f"{self.name}.{what}")
        return Node(op, (value,), (Value(name, value.type.with_shape(shape)),), name, self.attention.origin)


def _entry(graph: Graph, attention: Node, parts: Sequence[_Rows], appends: Sequence[Node]) -> _Entry | None:
    assert isinstance(attention.op, IntegerAttention)
    (q, k, v), first = parts, appends[0].op
    assert isinstance(first, Append)
    assert q.turn is not None
    assert k.turn is not None
    found = _weights([p.product for p in parts])
    turns = [numbers_of(*p.turn.inputs[2:4]) for p in (q, k) if p.turn is not None]
    matrices = q.turn.inputs[1]
    x, r = q.product.inputs[0], _shown(graph, matrices)[0]
    if found is None or any(n is None for n in turns) or x is None or r is None or matrices is None:
        return None
    weights, muls, shift, add = found
    assert isinstance(q.turn.op, RotateHeads)
    assert isinstance(k.turn.op, RotateHeads)
    enter = EnterHeads(attention.op.heads, attention.op.kv_heads, first.pos, q.turn.op.shift, k.turn.op.shift)
    return _Entry(
        attention, x, r, matrices.type.static_shape, weights, muls, shift, add,
        np.concatenate([n for n in turns if n is not None]), (k.table, v.table), enter,
        tuple(n.inputs[0] for n in appends), (q.nodes[0].outputs[0], *(n.outputs[0] for n in appends)),
    )  # fmt: skip


def _whole(graph: Graph, entry: _Entry) -> list[Node]:
    """One operator, behind views of its operands; its results are the values that the small ones had."""
    unique, e = Rewriter(graph), entry.enter
    w, mul = by_heads(entry.weights, e.kv_heads), by_heads(entry.muls, e.kv_heads)
    op = NewHeads(e.heads, e.kv_heads, e.pos, entry.shift, e.q_shift, e.k_shift)
    views = [
        entry.view(unique, what, Reshape(shape), value, shape)
        for what, value, shape in (("x", entry.x, (entry.tokens, w.shape[1])), ("r", entry.r, entry.r_shape))
    ]
    x, r = (n.outputs[0] for n in views)
    after = _after(unique, entry, np.concatenate([[entry.add], entry.turns]))
    inputs = (*entry.states, x, *_product(unique, entry, w, mul), r, *after)
    return [*views, Node(op, inputs, entry.outputs, unique.unique(entry.name), entry.attention.origin)]


def by_heads(arrays: Sequence[Array], kv_heads: int) -> Array:
    """Rows of all, those of each head of the caches together."""
    joined = np.concatenate([a.reshape(kv_heads, -1, *a.shape[1:]) for a in arrays], axis=1)
    return joined.reshape(-1, *joined.shape[2:])


def _apart(graph: Graph, entry: _Entry) -> list[Node] | None:
    """The product of one token by itself, views of its parts, and an operator for what follows."""
    w, mul = np.concatenate(entry.weights), np.concatenate(entry.muls)
    total, widths = len(w), [len(part) for part in entry.weights]
    if entry.tokens > 1 or any(total % width for width in widths):
        return None
    unique, name = Rewriter(graph), f"{entry.name}.product"
    x = entry.view(unique, "x", Reshape((1, w.shape[1])), entry.x, (1, w.shape[1]))
    r = entry.view(unique, "r", Reshape(entry.r_shape), entry.r, entry.r_shape)
    add = unique.const(f"{entry.name}.add", np.array([entry.add]), I32)
    rows = Value(unique.unique(name), TensorType((1, total), I8))
    operands = (x.outputs[0], *_product(unique, entry, w, mul), add)
    op = Linear(Requantise(entry.shift, I8.low, I8.high, I8))
    found = [x, r, Node(op, (*operands[:2], None, *operands[2:]), (rows,), unique.unique(name), entry.attention.origin)]
    parts, at = list[Value](), 0
    for what, width in zip("qkv", widths, strict=True):
        shape = (total // width, width)
        found.append(entry.view(unique, f"{what}_rows", Reshape(shape), rows, shape))
        found.append(entry.view(unique, what, Row(at // width), found[-1].outputs[0], (1, width)))
        parts.append(found[-1].outputs[0])
        at += width
    inputs = (*entry.states, *parts, r.outputs[0], *_after(unique, entry, entry.turns))
    return [*found, Node(entry.enter, inputs, entry.outputs, unique.unique(entry.name), entry.attention.origin)]


def _product(unique: Rewriter, entry: _Entry, w: Array, mul: Array) -> tuple[Value, ...]:
    return unique.const(f"{entry.name}.w", w, I8), unique.const(f"{entry.name}.mul", mul, I32)


def _after(unique: Rewriter, entry: _Entry, numbers: Array) -> tuple[Value, ...]:
    """Tables, and numbers."""
    named = zip(("table_k", "table_v"), entry.tables, strict=True)
    tables = [unique.const(f"{entry.name}.{what}", table, I8) for what, table in named]
    return *tables, unique.const(f"{entry.name}.numbers", numbers.astype(np.int32), I32)


def _weights(products: Sequence[Node]) -> tuple[list[Array], list[Array], int, int] | None:
    """Weights and multipliers of each product; the shift and the addend of all."""
    weights, muls, common = [], [], set()
    for node in products:
        assert isinstance(node.op, Linear)
        if len(node.inputs) != 5:
            return None
        x, w, b, mul, add = node.inputs
        addend, epilogue = numbers_of(add), node.op.epilogue
        if w is None or w.data is None or b is not None or mul is None or mul.data is None or addend is None:
            return None
        if not isinstance(epilogue, Requantise) or (epilogue.low, epilogue.high) != (I8.low, I8.high):
            return None
        if w.type.dtype != I8 or mul.type.dtype != I32 or x is None or x.type.dtype != I8:
            return None
        weights.append(w.data)
        muls.append(np.broadcast_to(mul.data, w.type.static_shape[:1]))
        common.add((x, epilogue.shift, int(addend[0])))
    if len(common) > 1:
        return None
    ((_, shift, number),) = common
    return weights, muls, shift, number
