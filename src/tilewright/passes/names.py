"""Names of nodes from which plans can name what nodes have of their own, without naming a value."""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Graph, Node
from ..targets.base import Target

OWN = ("scratch", "between", "constants", "again.constants")  # beside buffers for streams, called as operands are


def names_apart(graph: Graph, _target: Target) -> Graph:
    """Other names for nodes where a value is called as a buffer of the node would be, which is NODE.PART in plans."""
    values = {v.name for v in (*graph.inputs, *(v for node in graph.nodes for v in node.outputs))}
    taken = {node.name for node in graph.nodes}

    def named(node: Node) -> Node:
        name = node.name
        while any(f"{name}.{part}" in values for part in (*node.operands, *OWN)) or name in taken - {node.name}:
            name += "_"
        taken.add(name)
        return node if name == node.name else replace(node, name=name)

    nodes = tuple(map(named, graph.nodes))
    return graph if all(a is b for a, b in zip(nodes, graph.nodes, strict=True)) else replace(graph, nodes=nodes)
