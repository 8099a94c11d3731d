"""Plans as plain data, for plan.json."""

from __future__ import annotations

from typing import Any

from ..ir.plan import EntryPlan, Plan
from ..ir.types import Expr, Value, maximum


def record(plan: Plan) -> dict[str, Any]:
    """Everything that was decided, in an order that does not change."""
    return {
        "capacity": dict(plan.capacity),
        "lower_bound": plan.lower_bound,
        "packings": {value.name: layout for value, layout in plan.packings.items() if layout},
        "entries": [_entry(entry) for entry in plan.entries],
    }


def _entry(entry: EntryPlan) -> dict[str, Any]:
    graph = entry.graph
    return {
        "name": graph.name,
        "syms": [{"name": s.name, "max": s.max, "nominal": s.nominal} for s in graph.syms],
        "inputs": [_value(v) for v in graph.inputs],
        "outputs": [_value(v) for v in graph.outputs],
        "states": [_value(v) for v in graph.states],
        "cycles": entry.cycles,
        "nodes": [
            {
                "name": node.name,
                "op": type(node.op).__name__,
                "origin": node.origin,
                "kernel": choice.kernel.symbol if (choice := entry.choices.get(node.name)) else None,
                "engine": choice.kernel.engine if choice else None,
                "cycles": choice.cycles if choice else 0,
                "inputs": [v.name if v is not None else None for v in node.inputs],
                "outputs": [v.name for v in node.outputs],
            }
            for node in graph.nodes
        ],
        "blocks": [
            {"name": b.name, "memory": b.memory, "offset": b.offset, "bytes": b.bytes, "first": b.first, "last": b.last}
            for b in entry.blocks
        ],
        "homes": {
            v.name: {"block": home.block, "offset": repr(Expr.of(home.offset))}
            for v, home in entry.homes.items()
            if home.block
        },
    }


def _value(value: Value) -> dict[str, Any]:
    shape = [d if isinstance(d, int) else repr(d) for d in value.type.shape]
    return {
        "name": value.name,
        "dtype": value.type.dtype.name,
        "shape": shape,
        "max_shape": [maximum(d) for d in value.type.shape],
    }
