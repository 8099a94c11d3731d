"""Weights of 4 bits as int8 of the same values, where kernels of the target are quicker so.

An engine that reads weights in as few bits as their values need still finds four: bits are counted from values, not
from types. What computes with packed nibbles, as the host does, keeps them.
"""

from __future__ import annotations

from dataclasses import replace

from ..ir.graph import Graph, Node
from ..ir.types import I4, I8, Value, const
from ..targets.base import Target
from .cheaper import cheaper


def widen(graph: Graph, target: Target) -> Graph:
    """Give nodes int8 weights in place of int4 ones where that costs fewer cycles, or is the only way to run."""
    wide: dict[Value, Value] = {}

    def wider(value: Value | None) -> Value | None:
        if value is None or value.data is None or value.type.dtype is not I4:
            return value
        if value not in wide:
            wide[value] = const(value.name, value.data, I8, value.type.quant)
        return wide[value]

    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(map(wider, node.inputs))
        new = replace(node, inputs=inputs) if inputs != node.inputs else node
        nodes.append(new if new is not node and cheaper(target, new, [node]) else node)
    return replace(graph, nodes=tuple(nodes))
