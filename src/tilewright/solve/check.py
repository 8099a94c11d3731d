"""Checks a plan without knowing how it was made."""

from __future__ import annotations

import itertools

from ..ir.graph import Graph
from ..ir.plan import EntryPlan, Plan
from ..ir.types import Kind, Value, maximum
from ..targets.base import Target


class PlanError(AssertionError):
    """A plan that would corrupt memory. A defect of the solver, not of the model."""


def check(plan: Plan, target: Target) -> Plan:
    """Return the plan if it is sound: values live from write to last read, in blocks that do not overlap."""
    sizes = {m.name: m.bytes for m in target.memories}
    for memory, needed in plan.capacity.items():
        limit = sizes.get(memory)
        if limit is not None and needed > limit:
            raise PlanError(f"{memory} needs {needed} bytes, it has {limit}")
    for entry in plan.entries:
        _addresses(entry, plan, {m.name: m.alignment for m in target.memories})
        _lifetimes(entry)
        _kernels(entry, plan)
    return plan


def _addresses(entry: EntryPlan, plan: Plan, alignment: dict[str, int]) -> None:
    for b in entry.blocks:
        if b.offset < 0 or b.offset % alignment[b.memory]:
            raise PlanError(f"{b.name} starts at {b.offset}, not a multiple of {alignment[b.memory]}")
        if b.offset + b.bytes > plan.capacity[b.memory]:
            raise PlanError(
                f"{b.name} ends at {b.offset + b.bytes}, beyond {b.memory}'s {plan.capacity[b.memory]} bytes"
            )
    for a, b in itertools.combinations(entry.blocks, 2):
        apart = a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
        if a.memory == b.memory and a.overlaps_in_time(b) and not apart:
            raise PlanError(f"{a.name} and {b.name} overlap in {a.memory} while both are alive")


def _lifetimes(entry: EntryPlan) -> None:
    """Replay the nodes; whatever a block holds must still be there when it is read."""
    blocks = {b.name: b for b in entry.blocks}
    holds: dict[str, Value] = {}  # the value whose bytes a block holds now, views counted as their source
    for step, node in enumerate(entry.graph.nodes):
        for value in node.inputs:
            home = entry.homes.get(value) if value is not None else None
            if value is None or home is None or home.block is None:
                continue
            block = blocks[home.block]
            if not block.first <= step <= block.last:
                raise PlanError(f"{node!r} reads {value!r} outside the life of {block.name}")
            if holds.get(home.block) is not _source(entry.graph, value):
                raise PlanError(f"{node!r} reads {value!r}, but {home.block} holds {holds.get(home.block)!r}")
        for value in node.outputs:
            home = entry.homes.get(value)
            if home is None:
                if value.kind is Kind.ACT:
                    raise PlanError(f"{value!r} has no home")
                continue
            if home.block is None:
                continue
            block = blocks[home.block]
            if not block.first <= step <= block.last:
                raise PlanError(f"{node!r} writes {value!r} outside the life of {block.name}")
            if maximum(home.offset) * value.type.dtype.bits // 8 + value.type.bytes > block.bytes:
                raise PlanError(f"{value!r} does not fit into {block.name}")
            holds[home.block] = _source(entry.graph, value)


def _source(graph: Graph, value: Value) -> Value:
    """What a view looks at."""
    while (node := graph.producers.get(value)) is not None and node.op.view and node.inputs[0] is not None:
        value = node.inputs[0]
    return value


def _kernels(entry: EntryPlan, plan: Plan) -> None:
    for node in entry.graph.nodes:
        if node.op.view:
            continue
        choice = entry.choices[node.name]
        misfit = choice.kernel.misfit(node)
        if misfit:
            raise PlanError(f"{node!r} was given {choice.kernel.symbol}: {misfit}")
        for name, value in node.operands.items():
            packing = choice.kernel.packing.get(name)
            layout = plan.packings.get(entry.graph.storage(value), "")
            if (packing.name if packing else "") != layout:
                raise PlanError(f"{choice.kernel.symbol} reads {value!r} as {packing}, it is laid out as {layout!r}")
