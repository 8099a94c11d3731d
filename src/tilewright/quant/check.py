"""What has to hold for an integer graph, proven from its types and constants before anything is compiled."""

from __future__ import annotations

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import Value
from ..ir.verify import VerifyError
from ..ops import Linear, LinearAdd, Requantise
from .requant import accumulator_range, fits32, half


def float_ops(graph: Graph) -> int:
    """Nodes with a float operand or result."""
    return sum(any(v.type.dtype.is_float for v in node.operands.values()) for node in graph.nodes)


def check_integer(graph: Graph) -> Graph:
    """The graph, if no value in it is a float and every constant keeps the limits under which its operator is exact.

    Raises VerifyError naming the node.
    """
    for node in graph.nodes:
        types = [v.type if v is not None else None for v in node.inputs]
        for name, value in node.operands.items():
            if value.type.dtype.is_float:
                raise VerifyError(f"{node!r} has the float {value!r} in an integer graph")
            limits = node.op.limits(name, *types)
            if value.data is not None and limits is not None and not _within(value, *limits):
                raise VerifyError(f"{node!r}: {value!r} leaves {limits[0]} .. {limits[1] - 1}")
    return graph


def _within(value: Value, low: int, stop: int) -> bool:
    assert value.data is not None
    return value.data.size == 0 or (int(value.data.min()) >= low and int(value.data.max()) < stop)


def narrow(node: Node) -> bool:
    """Whether a product of int8 activations by rows stays within 32 bits up to its shift, for any activations."""
    if isinstance(node.op, LinearAdd):
        add = half(node.op.shift)
    elif isinstance(node.op, Linear) and isinstance(node.op.epilogue, Requantise) and "add" in node.operands:
        addend = node.operands["add"].data
        if addend is None or addend.size != 1:
            return False
        add = int(addend[0])
    else:
        return False
    w, mul, x = node.operands["w"].data, node.operands["mul"].data, node.operands["x"].type.dtype
    if w is None or mul is None or x.bits > 8:
        return False
    low, high = accumulator_range(w, x.low, x.high)
    return fits32(low, high, mul.astype(np.int64), np.array(add))
