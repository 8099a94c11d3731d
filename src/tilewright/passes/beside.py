"""Nodes in forms that an engine beside the cores computes: with other strides, windows, requantisations, residuals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.op import Op, RuleError
from ..ir.types import I32, Kind, Value, const
from ..ops import (
    Conv2D,
    DepthwiseConv2D,
    Linear,
    Pad,
    Requant,
    Requantise,
    Reshape,
    ResidualConv2D,
    Slice,
    Windows,
)
from ..ops.common import padded
from ..targets.base import Target
from .cheaper import cost
from .rewrite import Results, Rewriter, rewrite

Form = list[Node]  # nodes that together compute another: each reads results of those before


def beside(graph: Graph, target: Target) -> Graph:
    """Each node in its cheapest form, where an engine beside the cores is there to compute some."""
    if not any(engine.asynchronous for engine in target.engines):
        return graph

    def rule(r: Rewriter, node: Node) -> Results:
        best = min(_forms(node, target), key=lambda form: _cost(form, target), default=[node])
        if _cost(best, target) >= _cost([node], target):
            return None
        made: dict[Value, Value] = {}
        for part in best:
            inputs = [value and made.get(value, value) for value in part.inputs]
            made |= zip(part.outputs, r.add(part.op, inputs, node), strict=True)
        return tuple(made[value] for value in best[-1].outputs)

    return rewrite(graph, rule)


def _cost(form: Form, target: Target) -> float:
    return cost(target, [node for node in form if not node.op.view])


def _forms(node: Node, target: Target) -> Iterator[Form]:
    """Other forms of a node of fixed sizes."""
    if any(not isinstance(d, int) for value in node.operands.values() for d in value.type.shape):
        return
    if isinstance(node.op, ResidualConv2D):
        yield from _parted(node, target)
    for form in (_dense, _gathered, _sums):
        try:
            found = form(node)
        except RuleError:
            continue
        if found is not None:
            yield _narrowed(found, target)


def _narrowed(form: Form, target: Target) -> Form:
    """The form with sums requantised apart where that is cheaper."""
    found: Form = []
    made: dict[Value, Value] = {}
    for node in form:
        again = replace(node, inputs=tuple(value and made.get(value, value) for value in node.inputs))
        best = min([[again], _sums(again) or [again]], key=lambda nodes: _cost(nodes, target))
        made[node.outputs[0]] = best[-1].outputs[0]
        found += best
    return found


def _parted(node: Node, target: Target) -> Iterator[Form]:
    """A convolution, in its own cheapest form, and the sum with the residual."""
    op = node.op
    assert isinstance(op, ResidualConv2D)
    if op.join is None:
        return
    alone = _node(Conv2D(op.stride, op.pad, op.dilation, op.pad_value, op.epilogue), node.inputs[:5], node)
    best = min([[alone], *_forms(alone, target)], key=lambda form: _cost(form, target))
    yield [*best, _node(op.join, (best[-1].outputs[0], node.inputs[5]), node)]


def _dense(node: Node) -> Form | None:
    """A convolution without its stride, and what picks the results."""
    op = node.op
    if not isinstance(op, Conv2D) or op.stride == (1, 1):
        return None
    whole = _node(replace(op, stride=(1, 1)), node.inputs, node)
    kept = node.outputs[0].type.static_shape
    return [whole, _node(Slice((0,) * 4, (1, *op.stride, 1), kept), whole.outputs, node)]


def _gathered(node: Node) -> Form | None:
    """The windows of a convolution side by side, as the channels of one of single pixels."""
    op = node.op
    if not isinstance(op, Conv2D):
        return None
    x, w, *rest = node.inputs
    if x is None or w is None or w.data is None:
        return None
    outputs, *kernel, _ = w.type.static_shape
    if kernel == [1, 1]:
        return None
    form: Form = []
    if any(op.pad):
        top, left, bottom, right = op.pad
        form.append(_node(Pad((0, top, left, 0), (0, bottom, right, 0), op.pad_value), (x,), node))
    seen = _node(Windows((kernel[0], kernel[1]), op.stride, op.dilation), form[-1].outputs if form else (x,), node)
    flat = _node(Reshape((*node.outputs[0].type.static_shape[:3], w.data[0].size)), seen.outputs, node)
    weights = const(w.name, np.asarray(w.data).reshape(outputs, 1, 1, -1), w.type.dtype)
    return [*form, seen, flat, _node(Conv2D(epilogue=op.epilogue), (*flat.outputs, weights, *rest), node)]


def _sums(node: Node) -> Form | None:
    """A convolution, or a product of several rows, and its requantisation apart: an engine's may be too narrow."""
    op = node.op
    if not isinstance(op, Conv2D | DepthwiseConv2D | Linear) or not isinstance(op.epilogue, Requantise):
        return None
    x, w, b, mul, add = padded(node.inputs, 5)
    if b is not None or x is None or mul is None or mul.data is None or set(x.type.shape[:-1]) <= {1}:
        return None
    if not all(isinstance(d, int) for d in x.type.shape):
        return None
    whole = _node(replace(op, epilogue=None), (x, w), node)
    after = Requant(op.epilogue.shift, op.epilogue.low, op.epilogue.high, -1, op.epilogue.dtype)
    return [whole, _node(after, (*whole.outputs, const(mul.name, mul.data, I32), add), node)]


def _node(op: Op, inputs: Sequence[Value | None], like: Node) -> Node:
    """A node to be looked at."""
    types = op.infer(*(value.type if value is not None else None for value in inputs))
    return Node(op, tuple(inputs), tuple(Value(like.name, kind, Kind.ACT) for kind in types), like.name, like.origin)
