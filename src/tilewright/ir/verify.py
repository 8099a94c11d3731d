"""Checks that hold for every graph after every pass. A failure is a defect of Tilewright, not of the model."""

from __future__ import annotations

from .graph import Graph, Node
from .types import Kind, Value


class VerifyError(AssertionError):
    """A pass produced a graph that breaks a rule of the IR."""


def verify(graph: Graph) -> Graph:
    """Return the graph if it is well formed, else raise VerifyError naming the node."""
    ready: set[Value] = {*graph.inputs, *graph.states}
    stale: dict[Value, Node] = {}
    _unique([v.name for v in graph.values], "value")
    _unique([n.name for n in graph.nodes], "node")
    for node in graph.nodes:
        for value in node.inputs:
            if value is None or value.kind is Kind.CONST:
                continue
            if value not in ready:
                raise VerifyError(f"{node!r} reads {value!r} before it is there")
            if value in stale:
                raise VerifyError(f"{node!r} reads {value!r} after {stale[value]!r} overwrote it in place")
        _types(node)
        for result, operand in node.op.aliases.items():
            old = node.operands.get(operand)
            if old is not None and node.operands[result].kind is not Kind.STATE:
                raise VerifyError(f"{node!r} updates {old!r} in place, but that is not state")
            if old is not None:
                stale[old] = node
        for value in node.outputs:
            if value in ready:
                raise VerifyError(f"{node!r} produces {value!r} a second time")
            ready.add(value)
    for bound in graph.bound:
        if bound.state not in graph.states:
            raise VerifyError(f"{bound.value!r} is bound to {bound.state!r}, which is no state")
    for value in graph.results:
        if value not in ready and value.kind is not Kind.CONST:
            raise VerifyError(f"output {value!r} is never produced")
    return graph


def _types(node: Node) -> None:
    inferred = node.op.infer(*(v.type if v is not None else None for v in node.inputs))
    stated = tuple(v.type for v in node.outputs)
    if [(t.shape, t.dtype) for t in inferred] != [(t.shape, t.dtype) for t in stated]:
        raise VerifyError(f"{node!r} has results {stated}, its rule says {inferred}")
    node.op.domain(*node.types)


def _unique(names: list[str], what: str) -> None:
    double = {name for name in names if names.count(name) > 1} if len(names) != len(set(names)) else set()
    if double:
        raise VerifyError(f"{what} names used twice: {', '.join(sorted(double))}")
