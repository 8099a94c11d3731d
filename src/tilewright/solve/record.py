"""Plans as plain data, for plan.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.graph import Bound, Graph, Node
from ..ir.plan import Choice, EntryPlan, Plan
from ..ir.types import Expr, Kind, Value, maximum, nominal
from ..targets.base import Kernel, Target
from .reasons import cut


def record(
    plan: Plan, target: Target, converters: Mapping[Bound, str], predicted: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Everything that was decided, in an order that does not change; inputs and outputs with their converters.

    `predicted`: cycles of programs by entry.
    """
    functions = {bound.value: name for bound, name in converters.items()}
    layouts = {value.name: layout for value, layout in plan.packings.items()}
    return {
        "capacity": dict(plan.capacity),
        "memories": {memory.name: memory.bytes for memory in target.memories},
        "engines": {
            e.name: {
                "cores": e.cores,
                "clock_mhz": e.clock_mhz,
                "macs_per_cycle": dict(e.macs_per_cycle),
                "bytes_per_cycle": e.bytes_per_cycle,
                "queue": e.queue,
            }
            for e in target.engines
        },
        "dma_bytes_per_cycle": target.dma.bytes_per_cycle if target.dma else None,
        "levels": {kind.value: memory for kind, memory in plan.levels.items()},
        "lower_bound": plan.lower_bound,
        "packings": {value.name: layout for value, layout in plan.packings.items() if layout},
        "entries": [
            _entry(entry, plan, target, layouts, functions, (predicted or {}).get(entry.graph.name))
            for entry in plan.entries
        ],
        "constants": [_value(v) for v in dict.fromkeys(v for e in plan.entries for v in e.graph.constants)],
    }


def _entry(
    entry: EntryPlan, plan: Plan, target: Target, layouts: Mapping[str, str], functions: Mapping[Value, str],
    predicted: float | None,
) -> dict[str, Any]:  # fmt: skip
    graph = entry.graph
    costed = all(k.costed for c in entry.choices.values() for k in c.kernels)
    cut_up = {
        node.name: cut(entry, node, plan, target)
        for node in graph.nodes
        if node.name in entry.choices and entry.choices[node.name].tiled is not None
    }
    return {
        "name": graph.name,
        "syms": [{"name": s.name, "max": s.max, "nominal": s.nominal} for s in graph.syms],
        "inputs": [_port(v, functions) for v in graph.inputs],
        "outputs": [_port(v, functions) for v in graph.outputs],
        "states": [_value(v) for v in graph.states],
        "cycles": None if not costed else entry.cycles if predicted is None else predicted,
        "nodes": [
            {**_node(graph, node, entry.choices.get(node.name), target, layouts), **cut_up.get(node.name, {})}
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


def _node(
    graph: Graph, node: Node, choice: Choice | None, target: Target, layouts: Mapping[str, str]
) -> dict[str, Any]:
    """A node with what runs it, what else there was, and its sizes; bytes are those of all operands at the maximum."""
    shapes = {name: value.type.shape for name, value in node.operands.items()}
    return {
        "name": node.name,
        "op": type(node.op).__name__,
        "origin": node.origin,
        "kernel": choice.kernel.symbol if choice else None,
        "engine": ", ".join(dict.fromkeys(kernel.engine for kernel in choice.kernels)) if choice else None,
        "cycles": choice.cycles if choice and choice.kernel.costed else None,
        "worst_cycles": choice.worst_cycles if choice and choice.kernel.costed else None,
        "scratch": choice.scratch if choice else 0,
        "macs": 0 if node.op.view else nominal(node.op.domain(*node.types).macs(shapes)),
        "bytes": sum(value.type.bytes for value in dict.fromkeys(node.operands.values())),
        "inputs": [v.name if v is not None else None for v in node.inputs],
        "outputs": [v.name for v in node.outputs],
        "others": _others(graph, node, choice, target, layouts) if choice else [],
    }


def _others(
    graph: Graph, node: Node, choice: Choice, target: Target, layouts: Mapping[str, str]
) -> list[dict[str, str]]:
    """The target's other kernels for the operator, and why each was not taken; rows share a function."""
    found = []
    taken = [kernel.symbol for kernel in choice.kernels]
    for kernel in target.kernels:
        if kernel.op is not type(node.op) or kernel.symbol in taken:
            continue
        why = kernel.misfit(node)
        if why is None:
            clash = [
                value.name
                for name, value in node.operands.items()
                if value.kind in (Kind.CONST, Kind.STATE)
                and not target.engine(kernel).asynchronous
                and kernel.layout(name) != layouts.get(graph.storage(value).name, "")
            ]
            cost = _cost(kernel, node, choice)
            why = f"{cost}; would lay out {', '.join(clash)} otherwise" if clash else cost
        found.append({"kernel": kernel.symbol, "why": why})
    return found


def _cost(kernel: Kernel, node: Node, choice: Choice) -> str:
    if kernel.costed and choice.kernel.costed:
        return f"predicted {kernel.cycles(node):,.0f} cycles, the chosen one {choice.cycles:,.0f}"
    return "fits as well, the chosen one comes first"


def _value(value: Value) -> dict[str, Any]:
    shape = [d if isinstance(d, int) else repr(d) for d in value.type.shape]
    return {
        "name": value.name,
        "dtype": value.type.dtype.name,
        "shape": shape,
        "max_shape": [maximum(d) for d in value.type.shape],
        "bytes": value.type.bytes,
    }


def _port(value: Value, converters: Mapping[Value, str]) -> dict[str, Any]:
    """An input or output; `converter` is the C function that loads or stores one that is kept as state."""
    return {**_value(value), **({"converter": converters[value]} if value in converters else {})}
