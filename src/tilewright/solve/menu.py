"""Which kernel runs each node. Kernels that share a constant or a state must agree on its layout."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping

from ..debug import debug
from ..errors import UserError
from ..ir.graph import Graph, Node
from ..ir.plan import Choice
from ..ir.types import Kind, Value, maximum, nominal
from ..targets.base import Kernel, Target
from .trace import menu_text

Layouts = Mapping[Value, str]  # "" is the logical layout
LAYER = 3000.0  # cycles to fetch the code of a layer


def choose(entries: Iterable[Graph], target: Target) -> tuple[dict[str, dict[str, Choice]], dict[Value, str]]:
    """Choices by entry and node name, and the layout of every constant and state; least cycles at nominal sizes."""
    uses = [_Use(graph, node, target) for graph in entries for node in graph.nodes if not node.op.view]
    if target.code is not None:
        _same_for_layers(uses)
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

    def agrees(self, kernel: Kernel, layouts: Layouts) -> bool:
        return all(kernel.layout(name) == layouts.get(value, "") for name, value in self.shared.items())

    def best(self, layouts: Layouts) -> Choice:
        """The cheapest kernel under the layouts. IndexError never: `_layouts` only offers feasible ones."""
        options = [k for k in self.candidates if self.agrees(k, layouts)]
        kernel = min(options, key=lambda k: k.cycles(self.node))
        cycles = kernel.cycles(self.node)
        return Choice(kernel, cycles, cycles * growth_of(self.node), kernel.scratch(self.node))


def _same_for_layers(uses: Iterable[_Use]) -> None:
    """Nodes alike keep the kernels that can run all of them, where layers that differ would cost more: in a loop.

    A kind of layer of its own is printed apart, and its code is fetched anew.
    """
    layers: dict[Hashable, list[_Use]] = {}
    for use in uses:
        layers.setdefault((id(use.graph), use.node.shape), []).append(use)
    for group in layers.values():
        common = set.intersection(*({k.symbol for k in use.candidates} for use in group))
        if not common or all(len(use.candidates) == len(common) for use in group):
            continue
        own = [min(use.candidates, key=lambda k: k.cycles(use.node)) for use in group]
        kept = [tuple(k for k in use.candidates if k.symbol in common) for use in group]
        more = sum(
            min(k.cycles(use.node) for k in rows) - best.cycles(use.node)
            for use, rows, best in zip(group, kept, own, strict=True)
        )
        if more <= LAYER * (len({k.symbol for k in own}) - 1):
            for use, rows in zip(group, kept, strict=True):
                use.candidates = rows


def growth_of(node: Node) -> float:
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
        for value in use.shared.values():
            parent[root(i)] = root(first.setdefault(value, i))
    groups: dict[int, list[_Use]] = {}
    for i, use in enumerate(uses):
        groups.setdefault(root(i), []).append(use)
    return list(groups.values())


def _layouts(group: list[_Use]) -> dict[Value, str]:
    """The assignment of layouts to the group's shared values that costs the fewest cycles."""
    layouts: dict[Value, str] = {}
    for use in group:
        kernel = min(use.candidates, key=lambda k: k.cycles(use.node))
        for name, value in use.shared.items():
            if layouts.setdefault(value, kernel.layout(name)) != kernel.layout(name):
                return _negotiated(group)
    return layouts  # each node has its cheapest kernel: no assignment is better


def _negotiated(group: list[_Use]) -> dict[Value, str]:
    """Layouts by CP-SAT, where the cheapest kernels disagree. UserError where no assignment suits every node."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    chosen: dict[tuple[Value, str], cp_model.IntVar] = {}
    costs = []
    for number, use in enumerate(group):
        picks = [model.new_bool_var(f"{number}.{k.symbol}") for k in use.candidates]
        model.add_exactly_one(picks)
        for kernel, pick in zip(use.candidates, picks, strict=True):
            costs.append(int(kernel.cycles(use.node)) * pick)
            for name, value in use.shared.items():
                key = value, kernel.layout(name)
                if key not in chosen:
                    chosen[key] = model.new_bool_var(f"{value.name}: {key[1]}")
                model.add_implication(pick, chosen[key])
    for value in dict.fromkeys(v for v, _ in chosen):
        model.add_exactly_one(var for (v, _), var in chosen.items() if v is value)
    model.minimize(sum(costs))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        names = ", ".join(sorted({use.node.name for use in group}))
        raise UserError(
            f"the kernels of {names} want different layouts of a constant that they share",
            where=group[0].node.name, origin=group[0].node.origin, rule="a constant has one layout",
            hint="give each node a copy of the constant",
        )  # fmt: skip
    return {value: layout for (value, layout), var in chosen.items() if solver.value(var)}
