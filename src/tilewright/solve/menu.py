"""Which kernel runs each node. Kernels that share a constant or a state must agree on its layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from ..debug import debug
from ..ir.graph import Graph, Node
from ..ir.plan import Choice
from ..ir.types import Kind, Value, maximum, nominal
from ..targets.base import Kernel, Target
from .trace import menu_text

Layouts = Mapping[Value, str]  # "" is the logical layout


def choose(entries: Iterable[Graph], target: Target) -> tuple[dict[str, dict[str, Choice]], dict[Value, str]]:
    """Choices by entry and node name, and the layout of every constant and state; least cycles at nominal sizes."""
    uses = [_Use(graph, node, target) for graph in entries for node in graph.nodes if not node.op.view]
    choices: dict[str, dict[str, Choice]] = {}
    layouts: dict[Value, str] = {}
    for group in _connected(uses):
        layouts |= _layouts(group)
        for use in group:
            choices.setdefault(use.graph.name, {})[use.node.name] = use.best(layouts)
    return choices, layouts


class _Use:
    """One node, the kernels that can run it, and the shared values that it touches."""

    def __init__(self, graph: Graph, node: Node, target: Target) -> None:
        self.graph, self.node = graph, node
        debug(4, lambda: menu_text(node, target))
        self.candidates = target.candidates(node)
        self.shared = {
            name: graph.storage(value)
            for name, value in node.operands.items()
            if value.kind in (Kind.CONST, Kind.STATE)
        }

    def layout(self, kernel: Kernel, operand: str) -> str:
        packing = kernel.packing.get(operand)
        return packing.name if packing else ""

    def agrees(self, kernel: Kernel, layouts: Layouts) -> bool:
        return all(self.layout(kernel, name) == layouts.get(value, "") for name, value in self.shared.items())

    def best(self, layouts: Layouts) -> Choice:
        """The cheapest kernel under the layouts. IndexError never: `_layouts` only offers feasible ones."""
        options = [k for k in self.candidates if self.agrees(k, layouts)]
        kernel = min(options, key=lambda k: k.cycles(self.node))
        cycles = kernel.cycles(self.node)
        return Choice(kernel, cycles, cycles * _growth(self.node), kernel.scratch(self.node))


def _growth(node: Node) -> float:
    """How much longer the node takes at the maximum of its run-time sizes than at the nominal ones."""
    shapes = {name: value.type.shape for name, value in node.operands.items()}
    ratio = 1.0
    for extent in node.op.domain(*node.types).extents(shapes).values():
        ratio *= maximum(extent) / max(1, nominal(extent))
    return ratio


def _connected(uses: list[_Use]) -> list[list[_Use]]:
    """Groups of uses that are linked by shared values."""
    parent = list(range(len(uses)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[Value, int] = {}
    for i, use in enumerate(uses):
        if len(use.candidates) == 1 and not use.candidates[0].packing and not any(use.shared):
            continue
        for value in use.shared.values():
            parent[root(i)] = root(first.setdefault(value, i))
    groups: dict[int, list[_Use]] = {}
    for i, use in enumerate(uses):
        groups.setdefault(root(i), []).append(use)
    return list(groups.values())


def _layouts(group: list[_Use]) -> dict[Value, str]:
    """The assignment of layouts to the group's shared values that costs the fewest cycles."""
    options: dict[Value, set[str]] = {}
    for use in group:
        for name, value in use.shared.items():
            options.setdefault(value, set()).update(use.layout(k, name) for k in use.candidates)
    values = [v for v, names in options.items() if len(names) > 1]
    fixed = {v: next(iter(names)) for v, names in options.items() if len(names) == 1}
    best: tuple[float, dict[Value, str]] | None = None
    for combination in itertools.islice(itertools.product(*(sorted(options[v]) for v in values)), 4096):
        layouts = {**fixed, **dict(zip(values, combination, strict=True))}
        if all(any(use.agrees(k, layouts) for k in use.candidates) for use in group):
            cost = sum(use.best(layouts).cycles for use in group)
            if best is None or cost < best[0]:
                best = cost, layouts
    if best is None:
        names = ", ".join(sorted(use.node.name for use in group))
        raise LookupError(f"no common layout for the constants of {names}")
    return best[1]
