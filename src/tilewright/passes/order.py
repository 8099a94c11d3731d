"""One order of nodes for all blocks of a network, and products that read the same row as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import Array, Kind, Value
from ..ops import Linear, Requantise, Reshape, Row
from ..targets.base import Target
from .rewrite import Results, Rewriter, rewrite


def ordered(graph: Graph, _target: Target) -> Graph:
    """What each operator needs right before it, in the order of its operands, in networks whose caches are state.

    Frontends and passes leave equal blocks in different orders; in this one they can be one loop.
    """
    if not graph.bound or any(len(graph.consumers.get(state, ())) > 1 for state in graph.states):
        return graph
    nodes: dict[Node, None] = {}
    sinks = [*graph.results, *(v for n in graph.nodes if n.op.aliases for v in n.outputs)]
    stack = [graph.producers[v] for v in reversed(sinks) if v in graph.producers]
    while stack:
        node = stack[-1]
        makers = [graph.producers[v] for v in node.inputs if v is not None and v in graph.producers]
        waiting = [maker for maker in makers if maker not in nodes]
        if waiting and node not in nodes:
            stack += reversed(waiting)
            continue
        nodes.setdefault(stack.pop())
    return replace(graph, nodes=tuple(nodes))


def shared_views(graph: Graph, _target: Target) -> Graph:
    """Views that show the same are one; those of inputs come first, so that the first layer is like the others."""
    known: dict[tuple[object, ...], tuple[Value, ...]] = {}

    def rule(_: Rewriter, node: Node) -> Results:
        seen = known.setdefault((node.op, node.inputs), node.outputs) if node.op.view else node.outputs
        return None if seen is node.outputs or node.outputs[0] in graph.outputs else seen

    graph = rewrite(graph, rule, rounds=1)
    first = dict.fromkeys(n for n in graph.nodes if n.op.view and _of_input(graph, n))
    return replace(graph, nodes=(*first, *(n for n in graph.nodes if n not in first)))


def _of_input(graph: Graph, view: Node) -> bool:
    """Whether a view shows an input of the graph, by way of others or not."""
    value = view.inputs[0]
    while value is not None and (node := graph.producers.get(value)) is not None and node.op.view:
        value = node.inputs[0]
    return value in graph.inputs


def together(graph: Graph, _target: Target) -> Graph:
    """Integer products of one and the same row are one product; its results are parts of one row."""
    if graph.syms:  # entries that share weights with others keep them
        return graph
    groups: dict[tuple[object, ...], list[Node]] = {}
    for node in graph.nodes:
        key = _kind(graph, node)
        if key is not None:
            groups.setdefault(key, []).append(node)
    member = {n.name: group for group in groups.values() if len(group) > 1 for n in group}
    made: dict[str, tuple[Value, ...]] = {}

    def rule(r: Rewriter, node: Node) -> Results:
        group = member.get(node.name)
        if group is None:
            return None
        if group[0].name not in made:
            made[group[0].name] = _joined(r, node, group)
        part = made[group[0].name][[n.name for n in group].index(node.name)]
        return r.add(Reshape(node.outputs[0].type.static_shape), [part], node)

    return rewrite(graph, rule, rounds=1)


def _kind(graph: Graph, node: Node) -> tuple[object, ...] | None:
    """Equal for products that may be one: of one row, with constants, the same rows and the same requantisation."""
    if not isinstance(node.op, Linear) or not isinstance(node.op.epilogue, Requantise) or len(node.inputs) != 5:
        return None
    x, w, b, mul, add = node.inputs
    y = node.outputs[0]
    if x is None or w is None or b is not None or mul is None or add is None or y in graph.outputs:
        return None
    if any(v.kind is not Kind.CONST for v in (w, mul, add)) or y.type.size != y.type.static_shape[-1]:
        return None
    if len(graph.consumers[w]) > 1:
        return None
    return x, node.op, w.type.shape, w.type.dtype, mul.type.dtype, add.type.dtype


def _joined(r: Rewriter, node: Node, group: list[Node]) -> tuple[Value, ...]:
    """The rows of the products, one under the other, of one product."""
    rows, count = node.outputs[0].type.static_shape[-1], len(group)
    operands: list[Value | None] = [node.inputs[0]]
    for at, name in ((1, "w"), (3, "mul"), (4, "add")):
        values = [n.inputs[at] for n in group]
        arrays = [_data(v) if at == 1 else np.broadcast_to(_data(v), (rows,)) for v in values]
        joined = np.concatenate(arrays)
        if at == 4 and bool(np.all(joined == joined[0])):
            joined = joined[:1]
        first = values[0]
        assert first is not None
        operands.append(r.const(f"{node.name}.{name}", np.ascontiguousarray(joined), first.type.dtype))
    y = r.add(node.op, [operands[0], operands[1], None, *operands[2:]], node)[0]
    parts = r.add(Reshape((count, rows)), [y], node)[0]
    return tuple(r.add(Row(i), [parts], node)[0] for i in range(count))


def _data(value: Value | None) -> Array:
    assert value is not None
    assert value.data is not None
    return value.data
