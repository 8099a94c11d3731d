"""Whether one call is worth it: what kernels cost, and what lies between two calls."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ..ir.graph import Node
from ..solve.together import least, mates, product_of
from ..targets.base import Kernel, Target

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
    alone = [(target.engine(kernel), kernel.cycles(node)) for kernel in target.beside(node)]
    both = _shared(target, node) if cores < np.inf else np.inf
    return min(cores, both, *(engine.issue + engine.latency + cycles for engine, cycles in alone))


@dataclass(frozen=True, eq=False)
class _Alike:
    """A node for the cache: layers of a network have the same shapes and costs."""

    target: Target
    node: Node
    others: tuple[Kernel, ...]

    @cached_property
    def key(self) -> Hashable:
        costs = tuple(kernel.cycles(product_of(self.node)) for kernel in self.others)
        return id(self.target), self.node.shape, tuple(map(id, self.others)), costs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _shared(target: Target, node: Node) -> float:
    """By two engines at once."""
    others = mates(node, target)
    return _least(_Alike(target, node, others)) if others else np.inf


@lru_cache(maxsize=256)
def _least(alike: _Alike) -> float:
    return least(alike.node, alike.others, alike.target)
