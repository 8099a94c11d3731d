"""Nodes in forms that an engine beside the cores computes: without a residual, a stride, or a wide requantisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..ir.graph import Graph, Node
from ..ir.op import Op, RuleError
from ..ir.types import I32, Kind, Value, const
from ..ops import Conv2D, DepthwiseConv2D, Linear, Requant, Requantise, ResidualConv2D, Slice
from ..ops.common import padded
from ..targets.base import Target
from .cheaper import cost
from .rewrite import Rewriter, rewrite

Operands = Sequence[Value | None]


def beside(graph: Graph, target: Target) -> Graph:
    """Where it is cheaper, residuals join apart, convolutions with a stride are computed densely and thinned, and sums
    are requantised apart.
    """
    if not any(engine.asynchronous for engine in target.engines):
        return graph

    def parted(r: Rewriter, node: Node) -> tuple[Value, ...] | None:
        op, residual = node.op, node.inputs[-1]
        if not isinstance(op, ResidualConv2D) or op.join is None or residual is None:
            return None
        alone = Conv2D(op.stride, op.pad, op.dilation, op.pad_value, op.epilogue)
        sums = _node(alone, node.inputs[:5], node)
        joined = _node(op.join, (sums.outputs[0], residual), node)
        ways = [[sums, joined], [*(_dense(sums) or (sums,)), joined]]
        if min(cost(target, nodes) for nodes in ways) >= cost(target, [node]):
            return None
        return r.add(op.join, (*r.add(alone, node.inputs[:5], node), residual), node)

    def thinned(r: Rewriter, node: Node) -> tuple[Value, ...] | None:
        nodes = _dense(node)
        if nodes is None or cost(target, nodes) >= cost(target, [node]):
            return None
        whole, thin = nodes
        return r.add(thin.op, r.add(whole.op, whole.inputs, node), node)

    def summed(r: Rewriter, node: Node) -> tuple[Value, ...] | None:
        nodes = _sums(node)
        if nodes is None or cost(target, nodes) >= cost(target, [node]):
            return None
        whole, after = nodes
        return r.add(after.op, (*r.add(whole.op, whole.inputs, node), *after.inputs[1:]), node)

    return rewrite(graph, parted, thinned, summed)


def _dense(node: Node) -> tuple[Node, Node] | None:
    """A convolution without its stride, and what picks the results; None where it has none."""
    op = node.op
    if not isinstance(op, Conv2D) or op.stride == (1, 1):
        return None
    try:
        whole = _node(replace(op, stride=(1, 1)), node.inputs, node)
    except RuleError:
        return None
    kept = node.outputs[0].type.static_shape
    return whole, _node(Slice((0,) * 4, (1, *op.stride, 1), kept), whole.outputs, node)


def _sums(node: Node) -> tuple[Node, Node] | None:
    """A convolution, or a product of several rows, and its requantisation apart: an engine's may be too narrow."""
    op = node.op
    if not isinstance(op, Conv2D | DepthwiseConv2D | Linear) or not isinstance(op.epilogue, Requantise):
        return None
    x, w, b, mul, add = padded(node.inputs, 5)
    assert x is not None
    if b is not None or mul is None or mul.data is None or set(x.type.shape[:-1]) <= {1}:
        return None
    whole = _node(replace(op, epilogue=None), (x, w), node)
    after = Requant(op.epilogue.shift, op.epilogue.low, op.epilogue.high, -1, op.epilogue.dtype)
    return whole, _node(after, (*whole.outputs, const(mul.name, mul.data, I32), add), node)


def _node(op: Op, inputs: Operands, like: Node) -> Node:
    """A node to be looked at."""
    types = op.infer(*(value.type if value is not None else None for value in inputs))
    return Node(op, tuple(inputs), tuple(Value(like.name, kind, Kind.ACT) for kind in types), like.name, like.origin)
