"""How a node is cut, what moves for it, what else there was and why not: as plain data, for plan.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..ir.graph import Node
from ..ir.plan import Choice, EntryPlan, Plan, Stream, Tiled, aligned
from ..ir.types import Kind, maximum, nominal
from ..targets.base import Target
from .tiles import Tiling
from .tilings import root

MOST = 6  # alternatives that are told
SMALL = 1.05  # a bound is named only where it is this many times the next one


def cut(entry: EntryPlan, node: Node, plan: Plan, target: Target) -> dict[str, Any]:
    """Tile, buffers, transfers, operands and alternatives of a node on a target with a scratchpad."""
    choice = entry.choices[node.name]
    way = choice.tiled
    assert way is not None
    assert target.dma is not None
    moving = _moving(entry, node, way)
    dma = sum(s.cycles for s in moving)
    return {
        "tile": dict(way.tile) or None,
        "tiles": way.count,
        "buffers": way.depth,
        "shared": shared(node, way),
        "streams": [_stream(s, way) for s in moving],
        "dma_bytes": round(sum(s.moved for s in moving)),
        "dma_transfers": round(sum(s.transfers for s in moving)),
        "dma_cycles": round(dma, 1),
        "least_cycles": round(_least(node, sum(s.moved for s in moving), target), 1),
        "early": choice.early,
        "resident": choice.resident,
        "bound": _bound(way, dma, sum(s.transfers for s in moving), target) if choice.kernel.costed else None,
        "operands": list(_operands(entry, node, plan)),
        "alternatives": _alternatives(entry, node, choice, plan, target),
        "asked": bool(choice.offered),
    }


def _moving(entry: EntryPlan, node: Node, way: Tiled) -> list[Stream]:
    """The streams that the plan gave buffers: the others are used where they are."""
    blocks = {block.name for block in entry.blocks}
    streams = (*way.streams, *([way.constants] if way.constants else []))
    return [s for s in streams if f"{node.name}.{s.operand}" in blocks]


def _stream(stream: Stream, way: Tiled) -> dict[str, Any]:
    return {
        "operand": stream.operand, "buffer": aligned(stream.size) * way.depth, "moved": round(stream.moved),
        "transfers": round(stream.transfers), "cycles": round(stream.cycles, 1),
    }  # fmt: skip


def _least(node: Node, moved: float, target: Target) -> float:
    """The roofline: no program takes fewer cycles for these multiply-accumulates, results and transfers."""
    engine = target.engines[0]
    assert target.dma is not None
    assert engine.bytes_per_cycle is not None
    shapes = {name: value.type.shape for name, value in node.operands.items()}
    macs = nominal(node.op.domain(*node.types).macs(shapes))
    kind = next((v.type.dtype.name for v in node.inputs if v is not None), "")
    rate = engine.macs_per_cycle.get(kind, engine.macs_per_cycle[""])
    others = {kernel.engine: target.engine(kernel) for kernel in target.beside(node)}
    rate += sum(other.macs_per_cycle.get(kind, 0.0) for other in others.values())
    touched = sum(value.type.bytes for name, value in node.operands.items() if value in node.outputs)
    return max(macs / rate, touched / engine.bytes_per_cycle, moved / target.dma.bytes_per_cycle)


def shared(node: Node, way: Tiled) -> dict[str, Any] | None:
    """What an engine beside the cores has of a node: indices `first` .. `stop` of `of` along a dimension."""
    if way.partner is None:
        return None
    extent = maximum(Tiling(node, ()).extents[way.partner.dim])
    return {
        "engine": way.partner.kernel.engine, "kernel": way.partner.kernel.symbol, "dim": way.partner.dim,
        "first": extent - way.partner.size, "stop": extent, "of": extent,
        "then": way.partner.then.symbol if way.partner.then else None,
    }  # fmt: skip


def _bound(way: Tiled, dma: float, transfers: float, target: Target) -> str:
    """What decides how long the node takes: the work of its engines, the DMA's, or the time to start it."""
    assert target.dma is not None
    started = transfers * (target.dma.issue + target.dma.latency)
    if started > max(way.cycles, dma) * SMALL:
        return "latency"
    if dma > way.cycles:
        return "DMA"
    if way.partner is not None:
        return f"cores and {way.partner.kernel.engine}"
    return way.kernel.engine if way.aside else "cores"


def _operands(entry: EntryPlan, node: Node, plan: Plan) -> Iterator[dict[str, Any]]:
    """Where each operand lives, and how the kernel reaches it."""
    blocks = {block.name: block for block in entry.blocks}
    choice = entry.choices[node.name]
    for name, value in node.operands.items():
        home, _ = root(entry.graph, value)
        place = entry.homes.get(home)
        block = blocks.get(place.block) if place is not None and place.block is not None else None
        if block is not None:
            memory = block.memory
        elif home.kind in (Kind.CONST, Kind.STATE):
            memory = plan.levels[home.kind]
        else:
            memory = "the caller's"
        own = "constants" if value.kind is Kind.CONST and name not in choice.kernel.direct else name
        buffer = blocks.get(f"{node.name}.{own}")
        yield {
            "operand": name, "value": value.name, "bytes": value.type.bytes, "lives": memory,
            "reached": f"through {own}" if buffer else "in place",
        }  # fmt: skip


def _bytes(way: Tiled, moving: set[str]) -> int:
    return way.own + sum(aligned(s.size) * way.depth for s in way.streams if s.operand in moving)


def _alternatives(entry: EntryPlan, node: Node, choice: Choice, plan: Plan, target: Target) -> list[dict[str, Any]]:
    """The nearest of the other ways: quicker ones first, each with what spoke against it."""
    way, step = choice.tiled, entry.graph.nodes.index(node)
    assert way is not None
    moving = {s.operand for s in _moving(entry, node, way)}
    pad = target.scratchpad
    mine = [f"{node.name}.{name}" for name in (*moving, "scratch", "constants")]
    beside = sum(
        aligned(b.bytes) for b in entry.blocks if b.memory == pad and b.first <= step <= b.last and b.name not in mine
    )
    limit = next(m.bytes for m in target.memories if m.name == pad) or 0
    limit -= sum(aligned(v.type.bytes) for v in entry.graph.states) if plan.levels[Kind.STATE] == pad else 0
    found = []
    cost, size = way.time(moving), _bytes(way, moving)
    others = [other for other in choice.offered if other != way]
    others.sort(key=lambda other: abs(other.time(moving) - cost))
    for other in sorted(others[:MOST], key=lambda other: other.time(moving)):
        theirs, wanted = other.time(moving), _bytes(other, moving)
        if any(not s.near and s.operand not in moving for s in other.streams):
            why = "needs an operand tile by tile that lies whole in the scratchpad"
        elif wanted + beside > limit:
            why = f"does not fit: {beside:,} bytes of {pad} are taken beside it, {limit:,} there are"
        elif theirs > cost:
            why = f"{theirs - cost:,.0f} cycles more"
        else:
            why = f"needs {wanted - size:,} bytes more, which others make better use of" if wanted > size else "no gain"
        found.append({
            "tile": dict(other.tile) or None, "buffers": other.depth, "tiles": other.count, "bytes": wanted,
            "kernel": other.kernel.symbol, "shared": shared(node, other), "cycles": round(theirs, 1), "why": why,
        })  # fmt: skip
    return found
