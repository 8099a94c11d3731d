"""Whether one call is worth it: what kernels cost, and what lies between two calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.plan import Tiled
from ..solve.together import least, mates, product_of
from ..targets.base import Kernel, Target

MEETING = 60.0  # cycles of a barrier, and of starting the transfers of a call


def cheaper(target: Target, new: Node, old: Sequence[Node]) -> bool:
    """Whether a kernel runs the node in fewer cycles than the others take one by one."""
    return cost(target, [new]) < cost(target, old)


def cost(target: Target, nodes: Sequence[Node]) -> float:
    """Cycles of nodes one by one; views take none."""
    return sum(_cost(target, node) + MEETING for node in nodes if not node.op.view) - MEETING


def cheapest(target: Target, forms: Sequence[Graph]) -> int:
    """Which of the forms of a graph costs the least, code included; the first of those that have the same operators."""
    kinds = [Counter(type(node.op) for node in form.nodes) for form in forms]
    some = [i for i, kind in enumerate(kinds) if kind not in kinds[:i]]
    return min(some, key=lambda i: with_code(target, forms[i])) if len(some) > 1 else 0


def with_code(target: Target, graph: Graph) -> float:
    """Cycles of all nodes of a graph, and of what their kernels' code adds: each is fetched, and drives out others."""
    best = [_best(target, node) for node in graph.nodes if not node.op.view]
    code: dict[str, int] = {}
    for way in best:
        for kernel in way.kernels:
            one = target.engine(kernel).name if target.engine(kernel).asynchronous else kernel.symbol
            code[one] = target.code.call(kernel) if target.code else 0
    return sum(way.cycles + MEETING for way in best) + (target.code.added if target.code else 0) * sum(code.values())


def _cost(target: Target, node: Node) -> float:
    return _best(target, node).cycles


@dataclass(frozen=True)
class _Way:
    """How a node is best run, all by itself."""

    cycles: float
    kernels: tuple[Kernel, ...]


def _best(target: Target, node: Node) -> _Way:
    """By the quickest kernel, or by two engines that share the node. Plans want a kernel of the cores in any case."""
    rows = [k for k in target.kernels if k.op is type(node.op) and k.misfit(node) is None]
    ways = [_Way(k.cycles(node), (k,)) for k in rows if not target.engine(k).asynchronous]
    shared = _shared(target, node) if ways else None
    for kernel in target.beside(node) if ways else ():
        engine = target.engine(kernel)
        ways.append(_Way(engine.issue + engine.latency + kernel.cycles(node), (kernel,)))
    if shared is not None:
        ways.append(_Way(shared.cycles, shared.kernels))
    return min(ways, key=lambda way: way.cycles, default=_Way(np.inf, ()))


@dataclass(frozen=True, eq=False)
class _Alike:
    """A node for the cache: layers of a network have the same shapes and costs."""

    target: Target
    node: Node
    others: tuple[Kernel, ...]

    @cached_property
    def key(self) -> Hashable:
        costs = tuple(kernel.cycles(product_of(self.node, kernel)) for kernel in self.others)
        return id(self.target), self.node.shape, tuple(map(id, self.others)), costs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _shared(target: Target, node: Node) -> Tiled | None:
    """By two engines at once."""
    others = mates(node, target)
    return _least(_Alike(target, node, others)) if others else None


@lru_cache(maxsize=256)
def _least(alike: _Alike) -> Tiled | None:
    return least(alike.node, alike.others, alike.target)
