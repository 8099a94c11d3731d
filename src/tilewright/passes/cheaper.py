"""Whether one call is worth it: what kernels cost, and what lies between two calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.graph import Node
from ..targets.base import Target

MEETING = 60.0  # cycles of a barrier, and of starting the transfers of a call


def cheaper(target: Target, new: Node, old: Sequence[Node]) -> bool:
    """Whether a kernel runs the node in fewer cycles than the others take one by one."""
    return _cost(target, new) < sum(_cost(target, node) + MEETING for node in old) - MEETING


def _cost(target: Target, node: Node) -> float:
    rows = (k for k in target.kernels if k.op is type(node.op) and k.misfit(node) is None)
    return min((k.cycles(node) for k in rows), default=np.inf)
