"""Tiles, buffers and homes, decided together: one menu entry per node, and which values stay in the scratchpad."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..debug import debug
from ..ir.graph import Graph, Node
from ..ir.plan import Choice, Stream, Tiled, aligned
from ..ir.repeats import layers
from ..ir.types import Kind, Value
from ..targets.base import Kernel, Target
from .parts import steps_of
from .tilings import menu, root, uncut, worthwhile
from .together import mates, together

SECONDS = 6.0  # deterministic time of the search
TRIFLE = 1 << 10  # bytes of an input whose transfer costs more to start than to do


@dataclass(frozen=True)
class Decision:
    """What runs each node (by name; views have nothing), and the values that live in the scratchpad as a whole."""

    ways: Mapping[str, Tiled]
    near: frozenset[Value]


class ScratchpadError(Exception):
    """No tile of a node fits; `way` is the smallest."""

    def __init__(self, node: Node, way: Tiled) -> None:
        super().__init__(f"{node!r} needs at least {way.least} bytes")
        self.node, self.way = node, way


@dataclass(frozen=True)
class Life:
    """From the step that writes a value (or first reads an input) to the last that reads it."""

    first: int
    last: int


def comes_first(value: Value) -> bool:
    """Whether a value is an input so small that it comes before all else: later it would wait for large transfers."""
    return value.kind is Kind.INPUT and value.type.bytes <= TRIFLE


def lives(graph: Graph) -> dict[Value, Life]:
    """Of every value that has bytes of its own and is computed, or an input."""
    found: dict[Value, Life] = {}
    for step, node in enumerate(graph.nodes):
        for value in (*node.inputs, *node.outputs):
            if value is None:
                continue
            home, _ = root(graph, value)
            if home.kind in (Kind.CONST, Kind.STATE):
                continue
            life = found.get(home, Life(0 if comes_first(home) else step, step))
            found[home] = Life(life.first, step)
    return found


class Menus:
    """Menus of the nodes of graphs; nodes of one shape share one."""

    def __init__(self, target: Target, graphs: Sequence[Graph]) -> None:
        self.target = target
        self.alike: dict[object, list[Node]] = {}
        for node in (n for graph in graphs for n in graph.nodes if not n.op.view):
            self.alike.setdefault(node.shape, []).append(node)
        self.common: dict[object, tuple[Kernel, ...]] = {}
        self.others: dict[object, tuple[Kernel, ...]] = {}
        self.menus: dict[object, list[Tiled]] = {}
        self.wholes: dict[object, Tiled | None] = {}

    def of(self, node: Node, choice: Choice, states_near: bool) -> list[Tiled]:
        """Ways to run the node: whole or cut, by its kernel, by one beside the cores, or by both at once."""
        key = self._key(node, choice, states_near)
        if key not in self.menus:
            kernels = (choice.kernel, *self.beside(node))
            found = [way for kernel in kernels for way in menu(node, kernel, self.target, states_near)]
            mixed = together(node, choice.kernel, self.rows(node), self.like(node), self.target, states_near)
            self.menus[key] = worthwhile([*found, *mixed]) if len(kernels) > 1 or mixed else found
        return self.menus[key]

    def offered(self, node: Node, choice: Choice, states_near: bool) -> tuple[Tiled, ...]:
        """What `of` gave for such a node, nothing where nobody asked."""
        return tuple(self.menus.get(self._key(node, choice, states_near), ()))

    def whole(self, node: Node, choice: Choice, states_near: bool) -> Tiled | None:
        """The quickest way to run the node that cuts no tiles; None where it cannot be run so."""
        key = self._key(node, choice, states_near)
        if key not in self.wholes:
            kernels = (choice.kernel, *self.beside(node))
            found = [way for kernel in kernels if (way := uncut(node, kernel, self.target, states_near))]
            found += together(node, choice.kernel, self.rows(node), self.like(node), self.target, states_near)
            self.wholes[key] = min(found, key=lambda way: way.cycles, default=None)
        return self.wholes[key]

    def beside(self, node: Node) -> tuple[Kernel, ...]:
        """Kernels of asynchronous engines that can run the node, each bound to all nodes alike that it can run."""
        rows = () if steps_of(node) else self.rows(node)
        key = node.shape, tuple(map(id, rows))
        if key not in self.others:
            like = self.like(node) if rows else []
            self.others[key] = tuple(row.bound(like) for row in rows)
        return self.others[key]

    def rows(self, node: Node) -> tuple[Kernel, ...]:
        """The same before they are bound: those that all nodes of the shape have, if any, so that layers stay alike.

        Of a node that can be taken apart, they run its product.
        """
        if node.shape not in self.common:
            each = [mates(n, self.target) for n in self.alike[node.shape]]
            self.common[node.shape] = tuple(row for row in each[0] if all(row in rows for rows in each))
        return self.common[node.shape] or mates(node, self.target)

    def like(self, node: Node) -> list[Node]:
        """Nodes of one shape for which the same kernels are beside the cores, this one among them."""
        return [n for n in self.alike[node.shape] if self.rows(n) == self.rows(node)]

    def _key(self, node: Node, choice: Choice, states_near: bool) -> object:
        rows = (choice.kernel, *self.rows(node))  # rows may share a function
        kinds = tuple(value.kind for value in node.operands.values())
        return node.shape, kinds, tuple(map(id, rows)), states_near


def whole(graph: Graph, choices: Mapping[str, Choice], menus: Menus, states_near: bool) -> Decision | None:
    """Everything in the scratchpad, nothing cut: the best there is, if it fits. None where a node cannot."""
    ways: dict[str, Tiled] = {}
    for node in graph.nodes:
        if not node.op.view:
            way = menus.whole(node, choices[node.name], states_near)
            if way is None:
                return None
            ways[node.name] = way
    return Decision(ways, frozenset(lives(graph)) - _looked_up(graph, ways))


def _looked_up(graph: Graph, ways: Mapping[str, Tiled]) -> set[Value]:
    """Inputs that every call uses wherever they are."""
    found = {value for value in graph.inputs if value.kind is Kind.INPUT}
    for node in graph.nodes:
        direct = ways[node.name].kernel.direct if node.name in ways else frozenset()
        found -= {root(graph, value)[0] for name, value in node.operands.items() if name not in direct}
    return found


def alone(
    graphs: Sequence[Graph], choices: Mapping[str, Mapping[str, Choice]], menus: Menus, capacity: int, states_near: bool
) -> list[Decision]:
    """Nothing stays in the scratchpad, each node has all of it: what any capacity allows that allows anything.

    ScratchpadError with the node whose smallest tile is the largest, where that does not fit.
    """
    options = [
        {n: menus.of(n, choices[graph.name][n.name], states_near) for n in graph.nodes if not n.op.view}
        for graph in graphs
    ]
    least = [(node, min(ways, key=lambda way: way.least)) for menu in options for node, ways in menu.items()]
    node, smallest = max(least, key=lambda pair: pair[1].least, default=(None, None))
    if node is not None and smallest is not None and smallest.least > capacity:
        raise ScratchpadError(node, smallest)
    return [
        Decision(
            {n.name: min((w for w in ways if w.least <= capacity), key=Tiled.time) for n, ways in menu.items()},
            frozenset(),
        )
        for menu in options
    ]


def decide(
    graph: Graph, choices: Mapping[str, Choice], menus: Menus, capacity: int, states_near: bool
) -> Decision | None:
    """The decision with the fewest predicted cycles within `capacity` bytes at every step; None where there is none."""
    return _Model(graph, choices, menus, capacity, states_near).solve()


class _Model:
    """Variables and constraints. Layers that repeat are cut alike and keep alike values near: they stay one loop."""

    def __init__(
        self, graph: Graph, choices: Mapping[str, Choice], menus: Menus, capacity: int, states_near: bool
    ) -> None:
        from ortools.sat.python import cp_model

        self.cp, self.model = cp_model, cp_model.CpModel()
        self.graph, self.capacity, self.dma = graph, capacity, menus.target.dma
        options = {n.name: menus.of(n, choices[n.name], states_near) for n in graph.nodes if not n.op.view}
        self.lives, self.repeat = lives(graph), layers(graph, {name: id(menu) for name, menu in options.items()})
        self.alike: dict[Hashable, Any] = {}  # variables, by what they are of each layer or follow from
        made = {value: (self._role(step), i) for step, n in enumerate(graph.nodes) for i, value in enumerate(n.outputs)}
        self.near: dict[Value, Any] = {
            value: self._bool(f"near {value.name}", made.get(value, (None, 0)))
            for value in self.lives
            if aligned(value.type.bytes) <= capacity
        }
        self.load: list[list[Any]] = [[] for _ in graph.nodes]  # bytes at each step, as terms
        self.costs: list[Any] = []
        self.picks: dict[str, list[tuple[Tiled, Any]]] = {}
        for step, node in enumerate(graph.nodes):
            if not node.op.view:
                self._node(step, node, options[node.name])
        self._values()

    def _role(self, step: int) -> int | None:
        return self.repeat.role(step) if self.repeat else None

    def _bool(self, name: str, part: tuple[int | None, Hashable]) -> Any:
        """A variable, the same one for what is the same part of each layer."""
        if part[0] is None:
            return self.model.new_bool_var(name)
        if part not in self.alike:
            self.alike[part] = self.model.new_bool_var(name)
        return self.alike[part]

    def _node(self, step: int, node: Node, options: list[Tiled]) -> None:
        fitting = [way for way in options if way.own <= self.capacity]
        role = self._role(step)
        picks = [self._bool(f"{node.name} {way.tile}", (role, f"way {i}")) for i, way in enumerate(fitting)]
        self.model.add_exactly_one(picks)
        self.picks[node.name] = list(zip(fitting, picks, strict=True))
        cores, serial = [], []  # terms of cycles: of the cores and of transfers that they wait for; of all transfers
        parts: list[int] = []  # the variables that decide them
        for way, pick in self.picks[node.name]:
            self.load[step].append(way.own * pick)
            own = way.cycles + way.around + (way.constants.issue if way.constants else 0)
            cores.append(round(own) * pick)
            if way.serial:
                serial.append(round(own) * pick)
            if way.constants:
                serial.append(round(way.constants.cycles) * pick)
            for stream in way.streams:
                far = self._far(way, pick, node, stream)
                parts.append(far.index)
                self.load[step].append(aligned(stream.size) * way.depth * far)
                cores.append(round(stream.issue + stream.cycles / way.count) * far)
                serial.append(round(stream.cycles + (stream.issue if way.serial else 0)) * far)
        alike = (role, tuple(parts))
        time = self.alike.get(alike)
        if time is None:
            time = self.model.new_int_var(0, 1 << 40, f"{node.name} cycles")
            self.model.add(time >= sum(cores))
            self.model.add(time >= sum(serial))
        if role is not None:
            self.alike[alike] = time
        self.costs.append(time)

    def _far(self, way: Tiled, pick: Any, node: Node, stream: Stream) -> Any:
        """Whether the node runs this way and the stream's value does not stay in the scratchpad."""
        value, _ = root(self.graph, node.operands[stream.operand])
        near = self.near.get(value)
        if near is None:
            return pick
        far = self.alike.get((pick.index, near.index, stream.near))
        if far is None:
            far = self.model.new_bool_var(f"{node.name} {way.tile} {stream.operand} far")
            self.model.add(far >= pick - near)
            self.alike[pick.index, near.index, stream.near] = far
            if not stream.near:
                self.model.add_implication(pick, ~near)
        return far

    def _values(self) -> None:
        assert self.dma is not None
        outputs = {root(self.graph, v)[0] for v in self.graph.results}
        for value, near in self.near.items():
            life = self.lives[value]
            for step in range(life.first, life.last + 1):
                self.load[step].append(aligned(value.type.bytes) * near)
            if value.kind is Kind.INPUT or value in outputs:
                moving = self.dma.issue + self.dma.cycles(value.type.bytes, outward=value in outputs)
                self.costs.append(round(moving) * near)

    def solve(self) -> Decision | None:
        for terms in self.load:
            if terms:
                self.model.add(sum(terms) <= self.capacity)
        self.model.minimize(sum(self.costs))
        solver = self.cp.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 0
        solver.parameters.max_deterministic_time = SECONDS
        solver.parameters.relative_gap_limit = 0.01
        status = solver.solve(self.model)
        debug(
            5, lambda: f"tiles of {self.graph.name}: {solver.status_name(status)}, {solver.objective_value:,.0f} cycles"
        )
        if status not in (self.cp.OPTIMAL, self.cp.FEASIBLE):
            return None
        ways = {name: next(way for way, pick in picks if solver.value(pick)) for name, picks in self.picks.items()}
        return Decision(ways, frozenset(v for v, near in self.near.items() if solver.value(near)))
