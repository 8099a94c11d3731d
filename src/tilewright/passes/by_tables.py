"""Products of QuantLib's decoders with the sum or product through tables that follows them, as one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.op import Op
from ..ir.types import I8, I32, Array, Value
from ..ops import Linear, LinearGate, LinearJoin, Requantise, TableBinary
from ..targets.base import Target
from .cheaper import cheaper, cheapest
from .order import together
from .rewrite import Results, Rewriter, Rule, rewrite


@dataclass(frozen=True)
class _Product:
    """A product of bytes with constant weights, requantised to any byte with one number of each."""

    node: Node
    x: Value
    w: Value
    shift: int
    numbers: Array  # multiplier and addend


KINDS = LinearJoin, LinearGate


def joined_by_tables(graph: Graph, target: Target) -> Graph:
    """Products joined with what follows them, those kinds of which calls and code together cost the least."""
    some = [KINDS, KINDS[:1], KINDS[1:], ()] if target.accelerated else [KINDS]
    forms = [rewrite(graph, by_tables(target, kinds), rounds=1) for kinds in some]
    return forms[cheapest(target, [together(form, target) for form in forms])]


def by_tables(target: Target, kinds: Sequence[type[Op]] = KINDS) -> Rule:
    """The rule that joins products with what follows them, as operators of these kinds, where that is cheaper."""

    def rule(r: Rewriter, node: Node) -> Results:
        found = _joined(r, node)
        if found is None:
            return None
        new, products = found
        if not isinstance(new.op, tuple(kinds)):
            return None
        return r.add(new.op, new.inputs, node) if cheaper(target, new, [*(p.node for p in products), node]) else None

    return rule


def _joined(r: Rewriter, node: Node) -> tuple[Node, list[_Product]] | None:
    """A sum with one of its operands' products, or a product with those of both; and these."""
    if not isinstance(node.op, TableBinary):
        return None
    numbers = numbers_of(node.inputs[4], node.inputs[5])
    products = [_product(r, value) for value in node.inputs[:2]]
    if numbers is None:
        return None
    if node.op.function == "mul":
        a, b = products
        pair = _gate(r, node, a, b, numbers) if a is not None and b is not None else None
        return (pair, [a, b]) if pair is not None and a is not None and b is not None else None
    for at in (1, 0):
        p = products[at]
        if p is not None:
            (shift, first), (out_shift, last) = by_16(p.shift, p.numbers), by_16(node.op.shift, numbers)
            op = LinearJoin(shift, out_shift)
            r_and_tables = node.inputs[1 - at], node.inputs[3 - at], node.inputs[2 + at]
            constant = r.const(f"{node.name}.numbers", np.concatenate([first, last]), I32)
            return Node(op, (p.x, p.w, *r_and_tables, constant), node.outputs, node.name), [p]
    return None


def _gate(r: Rewriter, node: Node, a: _Product, b: _Product, numbers: Array) -> Node | None:
    """The product of two products of one row, whose weights are used nowhere else."""
    shared = r.graph.syms or any(r.uses[p.w] > 1 for p in (a, b))
    if a.node is b.node or a.x is not b.x or a.w.type != b.w.type or shared:
        return None
    assert isinstance(node.op, TableBinary)
    assert a.w.data is not None
    assert b.w.data is not None
    steps = (by_16(a.shift, a.numbers), by_16(b.shift, b.numbers), by_16(node.op.shift, numbers))
    op = LinearGate(*(shift for shift, _ in steps))
    w = r.const(f"{node.name}.w", np.stack([a.w.data, b.w.data], axis=1).reshape(-1, a.w.type.static_shape[1]), I8)
    constant = r.const(f"{node.name}.numbers", np.concatenate([part for _, part in steps]), I32)
    return Node(op, (a.x, w, *node.inputs[2:4], constant), node.outputs, node.name)


def _product(r: Rewriter, value: Value | None) -> _Product | None:
    """What makes a value that nobody else reads."""
    maker = r.producer(value, Linear)
    if maker is None or value is None or not r.single(value) or len(maker.inputs) != 5:
        return None
    assert isinstance(maker.op, Linear)
    (x, w, b), epilogue, numbers = maker.inputs[:3], maker.op.epilogue, numbers_of(*maker.inputs[3:])
    if x is None or w is None or w.data is None or b is not None or numbers is None:
        return None
    if not isinstance(epilogue, Requantise) or (epilogue.low, epilogue.high, epilogue.dtype) != (I8.low, I8.high, I8):
        return None
    return _Product(maker, x, w, epilogue.shift, numbers) if x.type.dtype == w.type.dtype == I8 else None


def by_16(shift: int, numbers: Array) -> tuple[int, Array]:
    """The same requantisation with a shift of 16, for which chips have the fastest code, where its numbers fit."""
    scaled = numbers.astype(np.int64) << max(16 - shift, 0)
    return (16, scaled.astype(np.int32)) if shift < 16 and abs(scaled).max() < 1 << 31 else (shift, numbers)


def numbers_of(*values: Value | None) -> Array | None:
    """Multipliers and addends in a row, where all are single constants of 32 bits."""
    arrays = [v.data.reshape(-1) for v in values if v is not None and v.data is not None and v.type.dtype == I32]
    return np.concatenate(arrays) if [a.size for a in arrays] == [1] * len(values) else None
