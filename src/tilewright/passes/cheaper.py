"""Whether one call is worth it: what kernels cost, and what lies between two calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.graph import Node
from ..targets.base import Target

MEETING = 60.0  # cycles of a barrier, and of starting the transfers of a call


def cheaper(target: Target, new: Node, old: Sequence[Node]) -> bool:
    """Whether a kernel runs the node in fewer cycles than the others take one by one."""
    return cost(target, [new]) < cost(target, old)


def cost(target: Target, nodes: Sequence[Node]) -> float:
    """Cycles of nodes one by one; views take none."""
    return sum(_cost(target, node) + MEETING for node in nodes if not node.op.view) - MEETING


def _cost(target: Target, node: Node) -> float:
    """By the quickest kernel, or by two engines that share the node."""
    rows = [k for k in target.kernels if k.op is type(node.op) and k.misfit(node) is None]
    cores = min((k.cycles(node) for k in rows if not target.engine(k).asynchronous), default=np.inf)
    best = cores
    for kernel in target.beside(node):
        engine, cycles = target.engine(kernel), kernel.cycles(node)
        if kernel.split(node) is not None and cores < np.inf:  # core 0 has less of it: it describes jobs
            cycles *= engine.beside
            cycles = cycles * cores / (cycles + cores) + engine.describe / target.cores
        best = min(best, engine.issue + cycles + engine.latency)
    return best
