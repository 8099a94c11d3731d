"""Nodes in forms that an engine beside the cores computes: with other strides, windows, requantisations, residuals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.op import RuleError
from ..ir.types import I32, I64, Array, Value, const
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
from .rewrite import Results, Rewriter, made, rewrite

Form = list[Node]  # nodes that together compute another: each reads results of those before


def beside(graph: Graph, target: Target) -> Graph:
    """Each node in its cheapest form, where an engine beside the cores is there to compute some."""
    if not target.accelerated:
        return graph

    def rule(r: Rewriter, node: Node) -> Results:
        best = min(_forms(node, target), key=lambda form: cost(target, form), default=[node])
        if cost(target, best) >= cost(target, [node]):
            return None
        new: dict[Value, Value] = {}
        for part in best:
            inputs = [value and new.get(value, value) for value in part.inputs]
            new |= zip(part.outputs, r.add(part.op, inputs, node), strict=True)
        return tuple(new[value] for value in best[-1].outputs)

    return rewrite(graph, rule)


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
    new: dict[Value, Value] = {}
    for node in form:
        again = replace(node, inputs=tuple(value and new.get(value, value) for value in node.inputs))
        best = min([[again], _sums(again) or [again]], key=lambda nodes: cost(target, nodes))
        new[node.outputs[0]] = best[-1].outputs[0]
        found += best
    return found


def _parted(node: Node, target: Target) -> Iterator[Form]:
    """A convolution, in its own cheapest form, and the sum with the residual."""
    op = node.op
    assert isinstance(op, ResidualConv2D)
    if op.join is None:
        return
    alone = made(Conv2D(op.stride, op.pad, op.dilation, op.pad_value, op.epilogue), node.inputs[:5], node.name, node)
    best = min([[alone], *_forms(alone, target)], key=lambda form: cost(target, form))
    yield [*best, made(op.join, (best[-1].outputs[0], node.inputs[5]), node.name, node)]


def _dense(node: Node) -> Form | None:
    """A convolution without its stride, and what picks the results."""
    op = node.op
    if not isinstance(op, Conv2D | DepthwiseConv2D) or op.stride == (1, 1):
        return None
    whole = made(replace(op, stride=(1, 1)), node.inputs, node.name, node)
    kept = node.outputs[0].type.static_shape
    return [whole, made(Slice((0,) * 4, (1, *op.stride, 1), kept), whole.outputs, node.name, node)]


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
        form.append(made(Pad((0, top, left, 0), (0, bottom, right, 0), op.pad_value), (x,), node.name, node))
    seen = made(
        Windows((kernel[0], kernel[1]), op.stride, op.dilation), form[-1].outputs if form else (x,), node.name, node
    )
    flat = made(Reshape((*node.outputs[0].type.static_shape[:3], w.data[0].size)), seen.outputs, node.name, node)
    weights = const(w.name, np.asarray(w.data).reshape(outputs, 1, 1, -1), w.type.dtype)
    return [*form, seen, flat, made(Conv2D(epilogue=op.epilogue), (*flat.outputs, weights, *rest), node.name, node)]


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
    whole = made(replace(op, epilogue=None), (x, w), node.name, node)
    shift, factors, addends = _by_upper_half(op.epilogue.shift, mul.data, add)
    after = Requant(shift, op.epilogue.low, op.epilogue.high, -1, op.epilogue.dtype)
    return [whole, made(after, (*whole.outputs, const(mul.name, factors, I32), addends), node.name, node)]


def _by_upper_half(shift: int, mul: Array, add: Value | None) -> tuple[int, Array, Value | None]:
    """A requantisation with powers of two in it so that its shift is 32, of which kernels make less than of a smaller
    one: what remains is the upper half of a product of 64 bits.
    """
    more = 32 - shift
    if more <= 0 or add is None or add.data is None:
        return shift, mul, add
    factors, addends = mul.astype(np.int64) << more, add.data.astype(np.int64)
    if abs(factors).max() > I32.high or abs(addends).max() > I32.high << 30 - more:
        return shift, mul, add
    return 32, factors.astype(np.int32), const(add.name, addends << more, I64)
