"""Graphs: what is computed. Frozen; a pass returns a new one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..errors import UserError
from .op import Op, RuleError, operand_names, result_names
from .types import Array, Kind, Sym, TensorType, Value, syms_of


@dataclass(frozen=True, eq=False)
class Node:
    """One use of an operator. `origin` tells the user where it came from in the model."""

    op: Op
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    name: str
    origin: str = ""

    @property
    def shape(self) -> Hashable:
        """Equal for nodes that compute the same on operands of the same types, constants or not."""
        return self.op, tuple((name, value.type, value.kind is Kind.CONST) for name, value in self.operands.items())

    @cached_property
    def operands(self) -> Mapping[str, Value]:
        """Inputs and outputs that are there, by the names of the operator's access maps."""
        pairs = [*zip(operand_names(self.op, len(self.inputs)), self.inputs, strict=True)]
        pairs += zip(result_names(self.op, len(self.outputs)), self.outputs, strict=True)
        return {name: value for name, value in pairs if value is not None}

    @cached_property
    def types(self) -> tuple[TensorType | None, ...]:
        """Types of inputs and outputs, as `Op.domain` takes them."""
        return (*(v.type if v else None for v in self.inputs), *(v.type for v in self.outputs))

    def __repr__(self) -> str:
        return f"{type(self.op).__name__} {self.name}"


@dataclass(frozen=True, eq=False)
class Bound:
    """An input or output of the network that is kept as state: the model's own view of it.

    The value is the first rows of the state, their elements split into the axes `split` (of which the first two, 1 and
    the number of rows, come from the rows), transposed by `perm`. Converters bring one into the other outside of a run.
    """

    value: Value
    state: Value
    split: tuple[int, ...]
    perm: tuple[int, ...]

    @property
    def rows(self) -> int:
        return self.split[1]

    def stored(self, state: Array) -> Array:
        """The value, from the logical state."""
        return np.ascontiguousarray(state[: self.rows].reshape(self.split).transpose(self.perm))

    def loaded(self, value: Array, state: Array) -> Array:
        """The logical state with the value in it."""
        after = np.array(state)
        after[: self.rows] = value.transpose(np.argsort(self.perm)).reshape(self.rows, -1)
        return after


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which they can run, the interface, and the state that survives a run.

    `states` are the values in which state enters a run; `updates` maps each, by name, to the value that holds it at
    the end (the same storage, see `Op.aliases`). `syms` are the run-time parameters, in the order of the C call.
    Inputs and outputs that are `bound` to state are loaded before and stored after a run, which does not take them.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    states: tuple[Value, ...] = ()
    syms: tuple[Sym, ...] = ()
    bound: tuple[Bound, ...] = ()

    @cached_property
    def arguments(self) -> tuple[Value, ...]:
        """Inputs that a run takes from its caller."""
        held = {b.value for b in self.bound}
        return tuple(v for v in self.inputs if v not in held)

    @cached_property
    def results(self) -> tuple[Value, ...]:
        """Outputs that a run gives to its caller."""
        held = {b.value for b in self.bound}
        return tuple(v for v in self.outputs if v not in held)

    @cached_property
    def loads(self) -> tuple[Bound, ...]:
        """Inputs that become state before a run."""
        return tuple(b for b in self.bound if b.value in self.inputs)

    @cached_property
    def stores(self) -> tuple[Bound, ...]:
        """Outputs that are read from state after a run."""
        return tuple(b for b in self.bound if b.value not in self.inputs)

    @cached_property
    def producers(self) -> Mapping[Value, Node]:
        return {value: node for node in self.nodes for value in node.outputs}

    @cached_property
    def consumers(self) -> Mapping[Value, tuple[Node, ...]]:
        users: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    users.setdefault(value, []).append(node)
        return {value: tuple(nodes) for value, nodes in users.items()}

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Every value once: interface, then in order of the nodes."""
        seen: dict[Value, None] = dict.fromkeys((*self.inputs, *self.states))
        for node in self.nodes:
            seen.update(dict.fromkeys(v for v in node.inputs if v is not None))
            seen.update(dict.fromkeys(node.outputs))
        return tuple(seen)

    @property
    def constants(self) -> Iterator[Value]:
        return (value for value in self.values if value.kind is Kind.CONST)

    def storage(self, value: Value) -> Value:
        """The value whose storage this one shares: follows in-place updates back to their state."""
        while (node := self.producers.get(value)) is not None:
            operand = node.op.aliases.get(result_names(node.op, len(node.outputs))[node.outputs.index(value)])
            if operand is None:
                return value
            value = node.operands[operand]
        return value

    def specialise(self, name: str, env: Mapping[str, int | Sym]) -> Graph:
        """The graph with some Syms fixed, or others in their place. Constants are shared.

        For instance decode is prefill of one token.
        """
        new: dict[Value, Value] = {}

        def of(value: Value) -> Value:
            if value not in new:
                kind = value.type.substitute(env)
                new[value] = value if kind == value.type else replace(value, type=kind)
            return new[value]

        nodes = tuple(
            Node(
                n.op.at(env),
                tuple(of(v) if v else None for v in n.inputs),
                tuple(map(of, n.outputs)),
                n.name,
                n.origin,
            )
            for n in self.nodes
        )
        left = (env.get(s.name, s) for s in self.syms)
        return Graph(
            name,
            nodes,
            tuple(map(of, self.inputs)),
            tuple(map(of, self.outputs)),
            tuple(map(of, self.states)),
            tuple(s for s in left if isinstance(s, Sym)),
            tuple(replace(b, value=of(b.value), state=of(b.state)) for b in self.bound),
        )


class Builder:
    """Builds a graph node by node; types follow from the operators' shape rules."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []
        self.states: list[Value] = []
        self._names: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """The name, with a number where it is taken."""
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if count == 0 else self.unique(f"{name}_{count}")

    def input(self, name: str, kind: TensorType) -> Value:
        value = Value(self.unique(name), kind, Kind.INPUT)
        self.inputs.append(value)
        return value

    def state(self, name: str, kind: TensorType) -> Value:
        value = Value(self.unique(name), kind, Kind.STATE)
        self.states.append(value)
        return value

    def add(
        self, op: Op, *inputs: Value | None, name: str = "", origin: str = "", names: tuple[str, ...] = ()
    ) -> tuple[Value, ...]:
        """Append a node and return its results. A broken rule becomes a UserError that names the node."""
        node_name = self.unique(name or type(op).__name__.lower())
        try:
            types = op.infer(*(v.type if v is not None else None for v in inputs))
        except RuleError as error:
            shapes = ", ".join("-" if v is None else repr(v.type) for v in inputs)
            raise UserError(
                f"{type(op).__name__} cannot take ({shapes})", where=node_name, origin=origin, rule=str(error),
                hint="check the model's shapes at this node",
            ) from None  # fmt: skip
        labels = names or tuple(node_name if i == 0 else f"{node_name}.{i}" for i in range(len(types)))
        operands = dict(zip(operand_names(op, len(inputs)), inputs, strict=True))
        outputs = []
        for label, kind, result in zip(labels, types, result_names(op, len(types)), strict=True):
            source = operands.get(op.aliases.get(result, ""))
            outputs.append(Value(label, kind, source.kind if source is not None else Kind.ACT))
        self.nodes.append(Node(op, inputs, tuple(outputs), node_name, origin))
        return tuple(outputs)

    def __call__(self, op: Op, *inputs: Value | None, name: str = "", origin: str = "") -> Value:
        """`add` for operators with one result."""
        (value,) = self.add(op, *inputs, name=name, origin=origin)
        return value

    def finish(self, outputs: tuple[Value, ...], syms: tuple[Sym, ...] = ()) -> Graph:
        """The graph; Syms that appear but were not listed are added in order of appearance."""
        found = list(syms)
        for node in self.nodes:
            used = [*node.op.syms, *(s for v in node.outputs for d in v.type.shape for s in syms_of(d))]
            found += [s for s in dict.fromkeys(used) if s not in found]
        return Graph(self.name, tuple(self.nodes), tuple(self.inputs), outputs, tuple(self.states), tuple(found))
