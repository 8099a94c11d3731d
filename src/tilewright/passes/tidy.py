"""Operators that change nothing go; outputs get bytes of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import Kind, Value
from ..ops import Binary, Cast, Concat, Copy, Dequantize, Expand, Pad, Quantize, Requant, Slice, Unary
from ..quant.requant import requantise
from ..targets.base import Target
from .fold import fold_rule
from .rewrite import Results, Rewriter, renamed, rewrite


def no_op(r: Rewriter, node: Node) -> Results:
    """Casts to the same type, sums with zero, products with one, borders of nothing, joins of one part."""
    x, y = node.inputs[0] if node.inputs else None, node.outputs[0]
    if x is None or x.type.shape != y.type.shape or x.type.dtype != y.type.dtype or len(node.outputs) != 1:
        return _neutral(node, 1) if isinstance(node.op, Binary) and node.op.function in ("add", "mul") else None
    match node.op:
        case Cast() | Expand():
            return (x,)
        case Pad() if not any(node.op.before) and not any(node.op.after):
            return (x,)
        case Slice() if not any(node.op.start) and all(s == 1 for s in node.op.step):
            return (x,)
        case Concat() if len(node.inputs) == 1:
            return (x,)
        case Binary():
            found = _neutral(node, 0)
            return found or (_neutral(node, 1) if node.op.function in ("add", "mul") else None)
        case Unary(function="relu") if _not_negative(r, x):
            return (x,)
        case _:
            return None


def _neutral(node: Node, index: int) -> Results:
    """The operand at `index` where the other one is a constant that leaves it as it is."""
    assert isinstance(node.op, Binary)
    x, other = node.inputs[index], node.inputs[1 - index]
    y = node.outputs[0]
    neutral = {"add": 0, "sub": 0, "mul": 1, "div": 1}.get(node.op.function)
    if x is None or other is None or other.data is None or neutral is None:
        return None
    same = x.type.shape == y.type.shape and x.type.dtype == y.type.dtype
    return (x,) if same and bool(np.all(other.data == neutral)) and other.data.size else None


def _not_negative(r: Rewriter, x: Value) -> bool:
    maker = r.producer(x, (Unary, Requant))
    if maker is None:
        return False
    return (isinstance(maker.op, Unary) and maker.op.function in ("relu", "sigmoid", "exp", "abs", "sqrt")) or (
        isinstance(maker.op, Requant) and maker.op.low >= 0)  # fmt: skip


def identity_requant(r: Rewriter, node: Node) -> Results:
    """A requantisation that leaves every value of an 8-bit type as it is, by enumeration."""
    if not isinstance(node.op, Requant):
        return None
    x, mul, add = node.inputs
    assert x is not None
    assert mul is not None
    assert add is not None
    if x.type.dtype != node.op.dtype or x.type.dtype.bits != 8 or mul.data is None or add.data is None:
        return None
    values = np.arange(x.type.dtype.low, x.type.dtype.high + 1)
    maker = r.producer(x, Requant)
    if maker is not None and isinstance(maker.op, Requant):
        values = np.arange(maker.op.low, maker.op.high + 1)
    table = requantise(values[:, None], mul.data[None], add.data[None], node.op.shift, node.op.low, node.op.high)
    return (x,) if bool((table == values[:, None]).all()) else None


def joined_parts(r: Rewriter, node: Node) -> Results:
    """Joins lose parts that are empty."""
    if not isinstance(node.op, Concat):
        return None
    axis = node.op.axis
    parts = [v for v in node.inputs if v is not None and v.type.static_shape[axis] > 0]
    if not parts or len(parts) == len(node.inputs):
        return None
    return (parts[0],) if len(parts) == 1 else r.add(node.op, parts, node)


def requantised_twice(r: Rewriter, node: Node) -> Results:
    """Quantising what was just dequantised the same way."""
    if not isinstance(node.op, Quantize):
        return None
    maker = r.producer(node.inputs[0], Dequantize)
    if maker is None or maker.inputs[0] is None or node.inputs[2] is None:
        return None
    if maker.inputs[0].type.dtype != node.inputs[2].type.dtype:
        return None
    for mine, other in zip(node.inputs[1:], maker.inputs[1:], strict=True):
        if mine is None or other is None or mine.data is None or other.data is None:
            return None
        if mine.data.shape != other.data.shape or not np.array_equal(mine.data, other.data):
            return None
    return (maker.inputs[0],)


TIDY_RULES = (fold_rule, no_op, identity_requant, joined_parts, requantised_twice)


def tidy(graph: Graph, _target: Target) -> Graph:
    """Remove operators that change nothing."""
    return rewrite(graph, *TIDY_RULES)


def outputs(graph: Graph, _target: Target) -> Graph:
    """Every output is computed by an operator into bytes of its own; copies that are not needed for that go."""

    def rule(r: Rewriter, node: Node) -> Results:
        if not isinstance(node.op, Copy) or node.inputs[0] is None:
            return None
        source = node.inputs[0]
        maker = r.producers.get(source)
        free = maker is not None and not maker.op.view and source not in graph.outputs and r.single(source)
        return (source,) if free or node.outputs[0] not in graph.outputs else None

    graph = rewrite(graph, rule, rounds=1)
    nodes, results = list(graph.nodes), list[Value]()
    for value in graph.outputs:
        if value not in graph.results:
            results.append(value)
            continue
        maker = graph.producers.get(value)
        if maker is not None and not maker.op.view and value.kind is Kind.ACT and value not in results:
            results.append(value)
            continue
        copy = Value(f"{value.name}.copy{len(results)}", value.type)
        nodes.append(Node(Copy(), (value,), (copy,), copy.name, maker.origin if maker is not None else ""))
        results.append(copy)
    named = tuple(replace(v, name=old.name) for v, old in zip(results, graph.outputs, strict=True))
    grown = replace(graph, nodes=tuple(nodes), outputs=tuple(results))
    interface = {v.name for v in graph.inputs}
    if any(n.name in interface or [m.name for m in named].count(n.name) > 1 for n in named):
        return grown  # an output that is an input, or another one, keeps the copy's name
    return renamed(grown, named)
