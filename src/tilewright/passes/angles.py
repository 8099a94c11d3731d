"""Angles of the tokens at hand, brought near once for all layers that turn heads by them."""

from __future__ import annotations

from ..ir.graph import Graph, Node
from ..ir.types import Dim, Value, maximum
from ..ops import QuantisedRoPE, RowsAt
from ..targets.base import Target
from .rewrite import Results, Rewriter, rewrite


def angles(graph: Graph, target: Target) -> Graph:
    """Rotations of several rows read the rows of a constant table that they need, not all of it for each layer."""
    near: dict[tuple[Value, Dim, Dim], Value] = {}

    def rule(r: Rewriter, node: Node) -> Results:
        op = node.op
        x, table = node.inputs[:2] if isinstance(op, QuantisedRoPE) else (None, None)
        if not isinstance(op, QuantisedRoPE) or x is None or table is None or table.data is None:
            return None
        count = x.type.shape[0]
        if maximum(count) == 1 or maximum(count) == maximum(table.type.shape[0]):
            return None
        key = table, op.pos, count
        if key not in near:
            (near[key],) = r.add(RowsAt(count, op.pos), [table], node)
        return r.add(QuantisedRoPE(op.heads, op.shift), [x, near[key]], node)

    return rewrite(graph, rule, rounds=1) if target.scratchpad is not None else graph
