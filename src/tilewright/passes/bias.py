"""The bias of a requantised convolution apart from its rounding, where a kernel of the target is faster so.

(sum * mul + add) >> shift with add = b * mul + rest is ((sum + b) * mul + rest) >> shift. Lowered networks fold bias
and zero point of x into add, one number of 64 bits per channel; the rest, rounding and zero point of the result, is
one number for all channels whose lower half is often zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import I32, I64, Array, Value, const
from ..ops import Conv2D, DepthwiseConv2D, Requantise, ResidualConv2D
from ..quant.requant import accumulator_range, half
from ..targets.base import Target
from .cheaper import cost


def bias_apart(graph: Graph, target: Target) -> Graph:
    """Convolutions with a bias of their own where that costs fewer cycles."""
    nodes = []
    for node in graph.nodes:
        apart = _apart(node)
        nodes.append(apart if apart is not None and cost(target, [apart]) < cost(target, [node]) else node)
    return replace(graph, nodes=tuple(nodes))


def _apart(node: Node) -> Node | None:
    """The same node with a bias, None where its addends are no multiples of the multipliers."""
    op = node.op
    if not isinstance(op, (Conv2D, DepthwiseConv2D, ResidualConv2D)) or not isinstance(op.epilogue, Requantise):
        return None
    if len(node.inputs) < 5 or node.inputs[2] is not None:
        return None
    _, w, _, mul, add = node.inputs[:5]
    split = _split(op.epilogue, mul, add) if mul is not None and add is not None else None
    if split is None or w is None or w.data is None:
        return None
    bias, rest = split
    matrix = np.moveaxis(w.data, -1, 0) if isinstance(op, DepthwiseConv2D) else w.data
    x = node.operands["x"].type.dtype
    low, high = (ends + bias for ends in accumulator_range(matrix, x.low, x.high))
    if low.min() < I32.low or high.max() > I32.high or abs(bias).max() > I32.high:
        return None
    b = const(f"{node.name}.b", np.broadcast_to(bias, (len(matrix),)), I32)
    common = const(f"{node.name}.rest", np.array([rest]), I64)
    return replace(node, inputs=(*node.inputs[:2], b, mul, common, *node.inputs[5:]))


def _split(epilogue: Requantise, mul: Value, add: Value) -> tuple[Array, int] | None:
    """(bias, rest) with add = bias * mul + rest for every channel; rest rounds, and adds a zero point of the result."""
    if mul.data is None or add.data is None or epilogue.shift >= 55:
        return None
    factor, addend = mul.data.astype(np.int64), add.data.astype(np.int64)
    for zero in range(epilogue.dtype.low, epilogue.dtype.high + 1) if epilogue.dtype.bits == 8 else (0,):
        for rounding in (half(epilogue.shift), 0):
            rest = (zero << epilogue.shift) + rounding
            bias = (addend - rest) // np.where(factor == 0, 1, factor)
            if (bias * factor == addend - rest).all():
                return bias, rest
    return None
