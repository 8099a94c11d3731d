"""Rewriting graphs: one walk in order, in which a rule may replace each node by other values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..ir.graph import Graph, Node
from ..ir.op import Op, operand_names, result_names
from ..ir.types import Array, DType, Kind, Value, const

Results = tuple[Value, ...] | None  # what takes the place of a node's results
Rule = Callable[["Rewriter", Node], Results]


class Rewriter:
    """The new graph as far as it is built. Rules see nodes whose inputs are already new."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.producers: dict[Value, Node] = {}
        self.new: dict[Value, Value] = {}
        self.names = {v.name for v in graph.values} | {n.name for n in graph.nodes}
        self.uses: dict[Value, int] = {}  # of old values, outputs of the graph included
        for node in graph.nodes:
            for value in node.inputs:
                if value is not None:
                    self.uses[value] = self.uses.get(value, 0) + 1
        for value in graph.outputs:
            self.uses[value] = self.uses.get(value, 0) + 1
        self.changed = False

    def unique(self, name: str) -> str:
        fresh, count = name, 0
        while fresh in self.names:
            count += 1
            fresh = f"{name}.{count}"
        self.names.add(fresh)
        return fresh

    def const(self, name: str, data: Array, dtype: DType | None = None) -> Value:
        return const(self.unique(name), data, dtype)

    def add(self, op: Op, inputs: Sequence[Value | None], like: Node) -> tuple[Value, ...]:
        """A new node that takes the place of (part of) an old one."""
        types = op.infer(*(v.type if v is not None else None for v in inputs))
        base = self.unique(like.name)
        operands = dict(zip(operand_names(op, len(inputs)), inputs, strict=True))
        values = []
        for i, (kind, result) in enumerate(zip(types, result_names(op, len(types)), strict=True)):
            source = operands.get(op.aliases.get(result, ""))
            name = base if i == 0 else self.unique(f"{base}.{i}")
            values.append(Value(name, kind, source.kind if source is not None else Kind.ACT))
        self._append(Node(op, tuple(inputs), tuple(values), base, like.origin))
        return tuple(values)

    def _append(self, node: Node) -> None:
        self.nodes.append(node)
        self.producers |= dict.fromkeys(node.outputs, node)

    def producer(self, value: Value | None, kind: type[Op] | tuple[type[Op], ...]) -> Node | None:
        """The node that makes a value, if it is of one of these operators."""
        node = self.producers.get(value) if value is not None else None
        return node if node is not None and isinstance(node.op, kind) else None

    def single(self, value: Value) -> bool:
        """Whether one node alone reads the value, so that it disappears when that node is replaced."""
        return self.uses.get(value, 0) <= 1

    def replace(self, node: Node, results: Sequence[Value]) -> None:
        """Readers of the node's results read these values from now on."""
        self.changed = True
        for old, new in zip(node.outputs, results, strict=True):
            self.new[old] = new
            self.uses[new] = self.uses.get(new, 0) + self.uses.get(old, 0) - node.inputs.count(new)

    def of(self, value: Value | None) -> Value | None:
        return self.new.get(value, value) if value is not None else None


def rewrite(graph: Graph, *rules: Rule, rounds: int = 20) -> Graph:
    """Apply rules until nothing changes. Dead nodes go; outputs keep their names."""
    for _ in range(rounds):
        rewriter = Rewriter(graph)
        for node in graph.nodes:
            current = Node(node.op, tuple(rewriter.of(v) for v in node.inputs), node.outputs, node.name, node.origin)
            for rule in rules:
                results = rule(rewriter, current)
                if results is not None:
                    rewriter.replace(node, results)
                    break
            else:
                rewriter._append(current)
        outputs = tuple(rewriter.new.get(v, v) for v in graph.outputs)
        alive = _alive(rewriter.nodes, outputs, graph.states)
        graph = renamed(replace(graph, nodes=alive, outputs=outputs), graph.outputs)
        if not rewriter.changed:
            break
    return graph


def made(op: Op, inputs: Sequence[Value | None], name: str, like: Node) -> Node:
    """A node that is in no graph yet; its results have its name."""
    types = op.infer(*(v.type if v is not None else None for v in inputs))
    return Node(op, tuple(inputs), tuple(Value(name, kind) for kind in types), name, like.origin)


def exchanged(graph: Graph, old: Sequence[Node], new: Sequence[Node]) -> Graph:
    """The graph with new nodes where the last of the old ones stands, and without these."""
    at = max(graph.nodes.index(n) for n in old)
    before, after = ([n for n in part if n not in old] for part in (graph.nodes[:at], graph.nodes[at:]))
    return replace(graph, nodes=(*before, *new, *after))


def _alive(nodes: list[Node], outputs: tuple[Value, ...], states: tuple[Value, ...]) -> tuple[Node, ...]:
    """Nodes that an output needs, or that update state."""
    needed = {*outputs}
    kept: list[Node] = []
    for node in reversed(nodes):
        if any(v in needed for v in node.outputs) or (node.op.aliases and states):
            kept.append(node)
            needed |= {v for v in node.inputs if v is not None}
    return tuple(reversed(kept))


def renamed(graph: Graph, outputs: tuple[Value, ...]) -> Graph:
    """The graph with its outputs under the names of `outputs`; whatever else holds such a name gives it up."""
    wanted = {v: o.name for v, o in zip(graph.outputs, outputs, strict=True) if v.name != o.name and v.kind is Kind.ACT}
    if not wanted:
        return graph
    taken, used = set(wanted.values()), {v.name for v in graph.values}
    fresh: dict[Value, Value] = {}
    for value in graph.values:
        if value in wanted:
            fresh[value] = replace(value, name=wanted[value])
        elif value.name in taken and value.kind not in (Kind.INPUT, Kind.STATE):
            name = f"{value.name}.inner"
            while name in used:
                name += "_"
            used.add(name)
            fresh[value] = replace(value, name=name)

    def of(value: Value) -> Value:
        return fresh.get(value, value)

    nodes = tuple(
        Node(
            n.op, tuple(of(v) if v is not None else None for v in n.inputs), tuple(map(of, n.outputs)), n.name, n.origin
        )
        for n in graph.nodes
    )
    return replace(graph, nodes=nodes, outputs=tuple(map(of, graph.outputs)))
