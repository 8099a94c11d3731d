"""Copies of constants for nodes that can agree on no layout: a weight that is also added to something, say."""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Graph, Node
from ..ir.types import Kind, Value, const
from ..targets.base import Target


def own_constants(graph: Graph, target: Target) -> Graph:
    """Give a node its own copy of a constant where its kernels share no layout with the constant's first reader."""
    agreed: dict[Value, set[str]] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = list(node.inputs)
        for value in dict.fromkeys(v for v in inputs if v and v.kind is Kind.CONST and len(graph.consumers[v]) > 1):
            mine = _layouts(node, value, target)
            common = agreed.setdefault(value, mine) & mine
            if common:
                agreed[value] = common
                continue
            assert value.data is not None
            copy = const(f"{value.name}.{len(nodes)}", value.data, value.type.dtype, value.type.quant)
            inputs = [copy if v is value else v for v in inputs]
        nodes.append(replace(node, inputs=tuple(inputs)) if inputs != list(node.inputs) else node)
    return replace(graph, nodes=tuple(nodes))


def _layouts(node: Node, value: Value, target: Target) -> set[str]:
    """Layouts in which the node's kernels could read a constant; a view reads it as it is."""
    if node.op.view:
        return {""}
    names = [name for name, v in node.operands.items() if v is value]
    found = set()
    for kernel in target.candidates(node):
        layouts = {kernel.packing[name].name if name in kernel.packing else "" for name in names}
        if len(layouts) == 1:
            found |= layouts
    return found
