"""The host's portable kernels on one core of the cluster: what stands behind every kernel of the chip's own."""

from __future__ import annotations

import math
from dataclasses import replace

from ...ir.graph import Node
from ...ir.types import nominal
from ...ops import Binary, Softmax
from ..base import Kernel
from ..host.generic import broadcast_rows

CALL = 60.0  # cycles of a call, before its loops
VISIT = 9.0  # cycles of a core for each point of the iteration domain: scalar code, loads, address arithmetic
BROADCAST = 40.0  # for each run of elements of a pair that follow each other in both
DIVISION = 14.1  # of a division, of which the cluster makes one at a time
SOFTMAX = 105.0  # for each element: an exponential, a division, the host's three passes
FUNCTIONS = {  # cycles of a core for an element of host functions, measured on the chip's simulator
    "neg": 9.5, "abs": 11.0, "relu": 12.0, "floor": 21.0, "ceil": 24.5, "round": 16.0, "leaky": 11.0,
    "hardsigmoid": 20.0, "hardswish": 21.0, "exp": 67.0, "sigmoid": 113.0, "silu": 113.0, "tanh": 90.0, "erf": 90.0,
    "gelu": 91.0, "gelu_tanh": 92.0, "recip": DIVISION, "sqrt": DIVISION, "div": DIVISION,
}  # fmt: skip
RANK = 1e-3  # rows of the host that state a cost state a rank among rows of one operator


def portable(row: Kernel) -> Kernel:
    """The row with a cost in cycles of the chip."""

    def cycles(node: Node) -> float:
        shapes = {name: value.type.shape for name, value in node.operands.items()}
        extents = node.op.domain(*node.types).extents(shapes).values()
        points = math.prod(nominal(extent) for extent in extents)
        touched = sum(math.prod(map(nominal, shape)) for shape in shapes.values())
        results = sum(math.prod(map(nominal, value.type.shape)) for value in node.outputs)
        each = VISIT * max(points, touched) + _function(node) * results
        return CALL + each + (RANK * row.cycles(node) if row.costed else 0.0)

    return replace(row, cycles=cycles)


def _function(node: Node) -> float:
    """Cycles of an element of the result beside the loads and stores around it."""
    if isinstance(node.op, Softmax):
        return SOFTMAX
    cycles = FUNCTIONS.get(str(node.op.attributes.get("function")), 0.0)
    sized = all(isinstance(d, int) for value in node.operands.values() for d in value.type.shape)
    if isinstance(node.op, Binary) and sized:
        runs = broadcast_rows(node, "a", "b")
        cycles += BROADCAST / max(1, runs[2 + (runs[0] - 1) * 3])
    return cycles
