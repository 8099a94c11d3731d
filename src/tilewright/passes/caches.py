"""Caches that a network takes in and gives out, grown by new rows, become state that is appended to in place."""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Bound, Graph, Node
from ..ir.types import I8, Kind, TensorType, Value
from ..ops import Append, Concat, IntegerAttention, LookUp, Reshape, RotateHeads, Transpose
from ..targets.base import Target
from .heads import rotation_table
from .layout import LAYOUT_RULES, layout
from .rewrite import Results, Rewriter, rewrite
from .tables import codes

Role = tuple[int, TensorType, bool]  # operand of attention, type of the rows, whether they come from a table
HEADS_FIRST = (0, 2, 1, 3)


class _Caches:
    """The caches of a graph that attention reads, and the rule that puts state in their place."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.states: list[Value] = []
        self.bound: list[Bound] = []

    def rule(self, r: Rewriter, node: Node) -> Results:
        if not isinstance(node.op, IntegerAttention):
            return None
        inputs = list(node.inputs)
        for at, heads in ((1, node.op.kv_heads), (2, node.op.kv_heads)):
            rows = inputs[at]
            assert rows is not None
            inputs[at] = self.grown(r, node, rows, heads) or self.fresh(r, node, rows, heads) or rows
        return None if inputs == list(node.inputs) else r.add(node.op, inputs, node)

    def grown(self, r: Rewriter, node: Node, rows: Value, heads: int) -> Value | None:
        """Rows of a join of an input of the network with new rows, where the join is an output and nothing else."""
        flat = r.producer(rows, Reshape)
        first = flat.inputs[0] if flat is not None else None
        turned = r.producer(first, Transpose) if heads > 1 else None  # of a single head it moves nothing
        if heads > 1 and (turned is None or turned.op != Transpose(HEADS_FIRST) or not r.single(turned.outputs[0])):
            return None
        join = r.producer(turned.inputs[0] if turned is not None else first, Concat)
        if join is None or len(join.inputs) != 2 or join.outputs[0].type.rank != 4 or join.op != Concat(2):
            return None
        (old, new), whole = join.inputs, join.outputs[0]
        if old is None or new is None:
            return None
        interface = old in self.graph.inputs and whole in self.graph.outputs and whole.type.shape[:2] == (1, heads)
        if not interface or r.uses[old] != 1 or r.uses[whole] != 2:
            return None
        added = r.add(Reshape((new.type.static_shape[2], rows.type.static_shape[1])),
                      [r.add(Transpose(HEADS_FIRST), [new], node)[0]], node)[0]  # fmt: skip
        return self.append(r, node, rows.type, added, heads, old, whole)

    def fresh(self, r: Rewriter, node: Node, rows: Value, heads: int) -> Value | None:
        """Rows that are also an output of the network, heads first: a cache that was empty."""
        positions, width = rows.type.static_shape
        shape = (1, heads, positions, width // heads)
        for whole in self.graph.outputs:
            if whole.type.shape != shape or r.uses.get(whole, 0) != 1 or whole in (b.value for b in self.bound):
                continue
            if self.shown(whole) is self.flat(rows):
                return self.append(r, node, rows.type, rows, heads, None, whole)
        return None

    def shown(self, whole: Value) -> Value | None:
        """What an output shows with its heads first."""
        turned, shape = self.graph.producers.get(whole), whole.type.static_shape
        if turned is not None and isinstance(turned.op, Transpose) and turned.op.perm == HEADS_FIRST:
            assert turned.inputs[0] is not None
            return self.flat(turned.inputs[0])
        return self.flat(whole) if 1 in shape[1:3] else None  # where a transpose moves nothing

    def flat(self, value: Value) -> Value:
        """The value whose elements, in this order, have another shape here."""
        node = self.graph.producers.get(value)
        return node.inputs[0] or value if node is not None and isinstance(node.op, Reshape) else value

    def append(
        self, r: Rewriter, node: Node, kind: TensorType, added: Value, heads: int, old: Value | None, whole: Value
    ) -> Value:
        """State of all rows, with the added ones at its end."""
        positions, width = kind.static_shape
        first = positions - added.type.static_shape[0]
        state = Value(r.unique(f"{whole.name}.cache"), kind, Kind.STATE)
        self.states.append(state)
        for value, rows in ((old, first), (whole, positions)):
            if value is not None:
                self.bound.append(Bound(value, state, (1, rows, heads, width // heads), HEADS_FIRST))
        return r.add(Append(first), [state, added], node)[0]


def caches(graph: Graph, target: Target) -> Graph:
    """Caches of attention as state, where the target has a kernel that appends to them."""
    if not any(kernel.op is Append for kernel in target.kernels):
        return graph
    found = _Caches(graph)
    changed = rewrite(graph, found.rule, rounds=1)
    if not found.states:
        return graph
    outside = {b.value: Value(b.value.name, b.value.type, Kind.OUTPUT) for b in found.bound if b.value in graph.outputs}
    changed = replace(
        changed,
        outputs=tuple(outside.get(old, new) for old, new in zip(graph.outputs, changed.outputs, strict=True)),
        states=(*graph.states, *found.states),
        bound=tuple(replace(b, value=outside.get(b.value, b.value)) for b in found.bound),
    )
    return alike(layout(changed, target))


def alike(graph: Graph) -> Graph:
    """Rows on their way into a cache take a table in every block where they do so in one: one code path for all."""
    tables: dict[Node, Role] = {}
    for node in graph.nodes:
        if isinstance(node.op, IntegerAttention):
            for at in (1, 2):
                append = graph.producers.get(_present(node.inputs[at]))
                if append is not None and isinstance(append.op, Append):
                    tables[append] = (at, _present(append.inputs[1]).type, _tabled(graph, append))
    wanted = {(at, kind) for at, kind, has in tables.values() if has}
    missing = {n.name for n, (at, kind, has) in tables.items() if (at, kind) in wanted and not has}

    def rule(r: Rewriter, node: Node) -> Results:
        if node.name not in missing:
            return None
        state, x = node.inputs
        assert x is not None
        y = r.add(LookUp(), [x, r.const(f"{node.name}.table", codes(I8), I8)], node)[0]
        return r.add(node.op, [state, y], node)

    return rewrite(graph, rule, rotation_table, *LAYOUT_RULES, rounds=3)


def _present(value: Value | None) -> Value:
    assert value is not None
    return value


def _tabled(graph: Graph, append: Node) -> bool:
    """Whether what is appended comes from a table."""
    maker = graph.producers.get(_present(append.inputs[1]))
    while maker is not None and isinstance(maker.op, Reshape):
        maker = graph.producers.get(_present(maker.inputs[0]))
    return maker is not None and (
        isinstance(maker.op, LookUp) or (isinstance(maker.op, RotateHeads) and len(maker.inputs) > 4)
    )
