"""The host's portable kernels on one core of the cluster: what stands behind every kernel of the chip's own."""

from __future__ import annotations

import math
from dataclasses import replace

from ...ir.graph import Node
from ...ir.types import nominal
from ..base import Kernel

CALL = 60.0  # cycles of a call, before its loops
VISIT = 9.0  # cycles of a core for each point of the iteration domain: scalar code, loads, address arithmetic
RANK = 1e-3  # rows of the host that state a cost state a rank among rows of one operator


def portable(row: Kernel) -> Kernel:
    """The row with a cost in cycles of the chip."""

    def cycles(node: Node) -> float:
        shapes = {name: value.type.shape for name, value in node.operands.items()}
        extents = node.op.domain(*node.types).extents(shapes).values()
        points = math.prod(nominal(extent) for extent in extents)
        touched = sum(math.prod(map(nominal, shape)) for shape in shapes.values())
        return CALL + VISIT * max(points, touched) + (RANK * row.cycles(node) if row.costed else 0.0)

    return replace(row, cycles=cycles)
