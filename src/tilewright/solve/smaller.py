"""Another kernel for a node that does not fit the scratchpad: slower, but with smaller tiles or less scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..ir.graph import Graph, Node
from ..ir.plan import Choice
from ..ir.types import Kind, Value
from ..targets.base import Kernel, Target
from .decide import Menus

Choices = Mapping[str, Mapping[str, Choice]]
Packings = Mapping[Value, str]


def smaller(
    entries: Sequence[Graph], choices: Choices, packings: Packings, target: Target, menus: Menus, node: Node, least: int
) -> tuple[Choices, Packings] | None:
    """Choices and layouts with the quickest kernel for the node that needs less than `least` bytes, or None."""
    graph = next(g for g in entries if node in g.nodes)
    present = choices[graph.name][node.name]
    ways = []
    for kernel in target.candidates(node):
        if kernel is present.kernel or not _fits_layouts(graph, entries, packings, node, kernel):
            continue
        choice = replace(present, kernel=kernel)
        menu = menus.of(node, choice, False)
        if menu and min(way.least for way in menu) < least:
            ways.append((kernel.cycles(node), choice))
    if not ways:
        return None
    _, choice = min(ways, key=lambda pair: pair[0])
    layouts = dict(packings)
    for name, value in node.operands.items():
        if value.kind is Kind.CONST:
            layouts[graph.storage(value)] = choice.kernel.layout(name)
    mine = {**choices[graph.name], node.name: choice}
    return {**choices, graph.name: mine}, layouts


def _fits_layouts(graph: Graph, entries: Sequence[Graph], packings: Packings, node: Node, kernel: Kernel) -> bool:
    """Whether constants and state that others read too keep their layouts."""
    for name, value in node.operands.items():
        if value.kind not in (Kind.CONST, Kind.STATE):
            continue
        home = graph.storage(value)
        readers = sum(g.storage(v) is home for g in entries for n in g.nodes for v in n.inputs if v is not None)
        if (readers > 1 or value.kind is Kind.STATE) and packings.get(home, "") != kernel.layout(name):
            return False
    return True
