"""Whether a requantisation provably stays within 32 bits: by the ranges of its operands, not by samples."""

from __future__ import annotations

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import Array, Value
from ..ops import Conv2D, DepthwiseConv2D, Linear, MatMul, QuantizedAdd, QuantizedMul, Requant, Requantise
from .requant import accumulator_range, fits32

Range = tuple[int, int]
LIMIT = 1 << 31


def stored_range(graph: Graph, value: Value) -> Range:
    """Least and greatest stored integer: of a constant, of the clamp that made the value, or of its type."""
    if value.data is not None and value.data.size:
        return int(value.data.min()), int(value.data.max())
    node = graph.producers.get(value)
    while node is not None and node.op.view and node.inputs[0] is not None:
        node = graph.producers.get(node.inputs[0])
    if node is not None:
        clamp = node.op.attributes.get("epilogue", node.op)
        if isinstance(clamp, (Requantise, Requant, QuantizedAdd, QuantizedMul)):
            return clamp.low, clamp.high
    return value.type.dtype.low, value.type.dtype.high


def proven(graph: Graph, node: Node) -> bool | None:
    """Whether each sum times its multiplier, with the addend and without, fits 32 bits; None: it has none."""
    op, inputs = node.op, [v for v in node.inputs if v is not None]
    match op:
        case Conv2D() | DepthwiseConv2D() | Linear() | MatMul() if isinstance(op.epilogue, Requantise):
            low, high = _sums(graph, node)
            mul, add = inputs[-2].data, inputs[-1].data
            return mul is not None and add is not None and fits32(low, high, mul, add)
        case Requant():
            x, mul, add = (*stored_range(graph, inputs[0]),), inputs[1].data, inputs[2].data
            return mul is not None and add is not None and fits32(np.array(x[0]), np.array(x[1]), mul, add)
        case QuantizedAdd():
            (a_low, a_high), (b_low, b_high) = (stored_range(graph, v) for v in inputs)
            left, right = sorted((a_low * op.mul_a, a_high * op.mul_a)), sorted((b_low * op.mul_b, b_high * op.mul_b))
            bounds = (left[0] + right[0], left[1] + right[1], left[0] + right[0] + op.add, left[1] + right[1] + op.add)
            return all(-LIMIT <= b < LIMIT for b in (*bounds, *left, *right))
        case QuantizedMul():
            ends = [
                [v - zero for v in stored_range(graph, x)]
                for x, zero in zip(inputs, (op.zero_a, op.zero_b), strict=True)
            ]
            products = [a * b * op.mul for a in ends[0] for b in ends[1]]
            return all(-LIMIT <= p + add < LIMIT for p in products for add in (0, op.add))
        case _:
            return None


def _sums(graph: Graph, node: Node) -> tuple[Array, Array]:
    """Bounds of the sums per channel."""
    x, w = node.inputs[:2]
    assert x is not None
    assert w is not None
    low, high = stored_range(graph, x)
    if isinstance(node.op, MatMul):
        other, depth = stored_range(graph, w), x.type.static_shape[-1]
        ends = [a * b * depth for a in (low, high) for b in other]
        return np.array([min(0, *ends)]), np.array([max(0, *ends)])
    low, high = min(low, 0), max(high, 0)  # windows may be cut short by padding with 0
    assert w.data is not None
    rows = np.moveaxis(w.data, -1, 0) if isinstance(node.op, DepthwiseConv2D) else w.data
    return accumulator_range(rows, low, high)
