"""How rows of this target share a call between the cores, and what that costs."""

from __future__ import annotations

import math

from ...ir.graph import Node
from ..base import Split

CORES = 8
CALL = 40.0  # cycles of the least call: arguments, the range
BANKS = 16


def flat(node: Node) -> Split:
    """Every element of the result by itself."""
    return Split(node.op.domain(*node.types).parallel)


def in_step(node: Node) -> bool:
    """Whether all cores begin in the same bank with 32-bit elements: then they wait for one another at every store."""
    return per_core(math.prod(node.operands["y"].type.static_shape)) % BANKS == 0


def up(size: int, part: int) -> int:
    """How many parts a size takes, the last one perhaps not whole."""
    return -(-size // part)


def per_core(count: int, unit: int = 1) -> int:
    """The most of `count` elements, in multiples of `unit`, that a core has."""
    return up(up(count, unit), CORES) * unit
