"""Addresses of an entry's blocks: those of layers alike, and constants that come again where they were."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..ir.graph import Graph
from ..ir.plan import Block
from ..ir.repeats import Repeat
from .place import place


def arrange(
    graph: Graph, blocks: Mapping[str, Block], again: Mapping[str, Block], repeat: Repeat | None, capacity: int,
    seconds: float, alignment: int,
) -> Sequence[Block] | None:  # fmt: skip
    """Blocks with addresses within the capacity, in the first way that fits; None where none does.

    `again`: bytes of constants, by node, from when they come again until the call ends. Those that do not fit are left
    out, the largest first.
    """
    ties = _ties(graph, [*blocks.values()], repeat)
    back = {f"{name}.constants": block for name, block in again.items()}
    back = {name: block for name, block in back.items() if not _meets(block, name, blocks.values(), ties)}
    while back:
        there = [replace(b, first=0) if b.name in back else b for b in blocks.values()]
        pairs = {label: ties.get(name, name) for name, block in back.items() for label in (name, block.name)}
        placed, needed = place([*there, *back.values()], alignment, 0.0, capacity, {**ties, **pairs})
        if needed <= capacity:
            return placed
        del back[max(back, key=lambda name: back[name].bytes)]
    placed, needed = place([*blocks.values()], alignment, 0.0, capacity, ties)
    if needed > capacity:
        placed, needed = place([*blocks.values()], alignment, seconds, capacity)
    return placed if needed <= capacity else None


def _meets(again: Block, name: str, blocks: Iterable[Block], ties: Mapping[str, Hashable]) -> bool:
    """Whether what shares the address of the constants `name` is alive when they come again, or before they come."""
    tie = ties.get(name, name)
    mates = [b for b in blocks if ties.get(b.name, b.name) == tie]
    return any(b.overlaps_in_time(again) or (b.name != name and b.first == 0) for b in mates)


def _ties(graph: Graph, blocks: Sequence[Block], repeat: Repeat | None) -> dict[str, Hashable]:
    """Blocks of layers that repeat, by the role of the node that they belong to: one code path for all layers."""
    if repeat is None:
        return {}
    owners = {
        value.name: (repeat.role(step), i) for step, n in enumerate(graph.nodes) for i, value in enumerate(n.outputs)
    }
    steps = {node.name: repeat.role(step) for step, node in enumerate(graph.nodes)}
    ties: dict[str, Hashable] = {}
    groups: dict[Hashable, list[Block]] = {}
    for block in blocks:
        name, _, part = block.name.rpartition(".")
        role, which = (steps[name], part) if name in steps else owners.get(block.name, (None, 0))
        if role is None:
            continue
        tie = (role, which, block.bytes)
        group = groups.setdefault(tie, [])
        if all(not block.overlaps_in_time(other) for other in group):
            group.append(block)
            ties[block.name] = tie
    return ties
