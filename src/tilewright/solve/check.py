"""Checks a plan without knowing how it was made."""

from __future__ import annotations

import itertools
import math

from ..ir.domain import Domain, Ranges
from ..ir.graph import Graph, Node
from ..ir.plan import Block, Choice, EntryPlan, Plan, Tiled
from ..ir.types import Kind, Value, maximum
from ..targets.base import Packing, Target
from .parts import between, shared
from .tiles import Tiling


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
        _kernels(entry, plan, target)
        _addresses(entry, plan, {m.name: m.alignment for m in target.memories})
        _lifetimes(entry)
        if target.scratchpad is not None:
            for step, node in enumerate(entry.graph.nodes):
                if not node.op.view:
                    _tile(entry, plan, target, step, node)
    return plan


def _tile(entry: EntryPlan, plan: Plan, target: Target, step: int, node: Node) -> None:
    """The tiles of a node meet all of its results, once, and what they need is in the scratchpad while it runs."""
    choice, blocks = entry.choices[node.name], {b.name: b for b in entry.blocks}
    if choice.tiled is None:
        raise PlanError(f"{node!r} has no tile")
    if choice.tiled.depth < 1 or choice.early < 0:
        raise PlanError(f"{node!r} has {choice.tiled.depth} buffers, its constants begin {choice.early} steps ahead")
    domain, depth = node.op.domain(*node.types), choice.tiled.depth
    extents = {
        name: maximum(extent)
        for name, extent in domain.extents({n: v.type.shape for n, v in node.operands.items()}).items()
    }
    for name, size in choice.tiled.tile:
        if name not in domain.parallel or not 0 < size <= extents[name]:
            raise PlanError(f"{node!r} cannot be cut along {name} in steps of {size}")
    cuts = dict(choice.tiled.tile)
    if len(cuts) != len(choice.tiled.tile):
        raise PlanError(f"{node!r} is cut twice along one dimension")
    _scratch(node, choice, blocks, target, step)
    travelling = _divided(node, choice.tiled, domain, extents) if choice.tiled.partner else 0
    if choice.tiled.partner is not None and choice.tiled.partner.then is not None:
        passed = between(shared(node, choice.kernel, choice.tiled.partner))
        _buffer(node, "between", blocks, target, step, step, passed)
    for name, value in node.operands.items():
        if name in choice.kernel.direct or name in node.op.aliases:
            continue
        needed = _largest(domain, name, value, extents, cuts, choice.kernel.packing.get(name))
        if value.kind is Kind.CONST:
            travelling += needed if choice.tiled.partner is None else 0
            continue
        home = entry.homes.get(_source(entry.graph, value))
        near = home is not None and home.block is not None and blocks[home.block].memory == target.scratchpad
        inside = value.kind is Kind.STATE and plan.levels[Kind.STATE] == target.scratchpad
        outside = value in entry.graph.results and plan.levels.get(Kind.OUTPUT) == target.scratchpad
        if not (near or inside or outside):
            _buffer(node, name, blocks, target, step, step, needed * depth)
    if travelling:
        _buffer(node, "constants", blocks, target, step - choice.early, step, travelling * depth)


def _divided(node: Node, way: Tiled, domain: Domain, extents: dict[str, int]) -> int:
    """Bytes of the constants of a node that two engines share: both can do their part, and together they do all."""
    mate, total = way.partner, 0
    assert mate is not None
    if way.tile or mate.dim not in domain.parallel or not 0 < mate.size < extents[mate.dim]:
        raise PlanError(f"{node!r} cannot be shared, {mate.size} of {mate.dim}")
    at, every = extents[mate.dim] - mate.size, shared(node, way.kernel, mate)
    ends = [(at, extents[mate.dim]), (0, at), (at, extents[mate.dim])][: len(every)]
    for part, interval in zip(every, ends, strict=True):
        kernel, ranges = part.kernel, {dim: (0, extent) for dim, extent in extents.items()} | {mate.dim: interval}
        if misfit := kernel.misfit(part.piece.node):
            raise PlanError(f"{node!r} is shared with {kernel.symbol}: {misfit}")
        for name, value in part.piece.node.operands.items():
            if value.kind is Kind.CONST and name not in kernel.direct:
                own, packing = part.name(name), kernel.packing.get(name)
                total += (
                    _stored(value.type.static_shape, value, packing)
                    if own is None
                    else _bytes_of(domain, own, node.operands[own], ranges, packing)
                )
    return total


def _largest(
    domain: Domain, name: str, value: Value, extents: dict[str, int], cuts: dict[str, int], packing: Packing | None
) -> int:
    """Bytes of the largest tile of an operand."""
    if not cuts:
        shape = tuple(maximum(d) for d in value.type.shape)
        return _stored(shape, value, packing)
    starts = [[(dim, at) for at in range(0, extents[dim], size)] for dim, size in cuts.items()]
    most = 0
    for corner in itertools.product(*starts):
        ranges = {dim: (0, extent) for dim, extent in extents.items()}
        ranges |= {dim: (at, min(at + cuts[dim], extents[dim])) for dim, at in corner}
        most = max(most, _bytes_of(domain, name, value, ranges, packing))
    return most


def _bytes_of(domain: Domain, name: str, value: Value, ranges: Ranges, packing: Packing | None) -> int:
    """Bytes of what an operand has within the ranges."""
    shape = tuple(maximum(d) for d in value.type.shape)
    if name not in domain.access:
        return _stored(shape, value, packing)
    box = domain.footprint(name, ranges, shape)
    sizes = tuple(
        min(high, d) - max(low, 0) if isinstance(dim, int) else d
        for (low, high), d, dim in zip(box, shape, value.type.shape, strict=True)
    )
    return _stored(sizes, value, packing)


def _stored(sizes: tuple[int, ...], value: Value, packing: Packing | None) -> int:
    """Bytes of so much of a value as the kernel wants it."""
    bits = max(8, value.type.dtype.bits) if packing else value.type.dtype.bits
    return (packing.elements(sizes) if packing else math.prod(sizes)) * bits // 8


def _scratch(node: Node, choice: Choice, blocks: dict[str, Block], target: Target, step: int) -> None:
    """Every core has its scratch, as large as any tile wants it."""
    assert choice.tiled is not None
    pieces = [piece.node for _, piece in Tiling(node, choice.tiled.tile).kinds()]
    cores = choice.tiled.cores or target.cores
    times = max(target.scratches(choice.kernel, piece, cores) for piece in pieces)
    needed = max(choice.kernel.scratch(piece) for piece in pieces) * times
    if needed:
        _buffer(node, "scratch", blocks, target, step, step, needed)


def _buffer(
    node: Node, name: str, blocks: dict[str, Block], target: Target, first: int, last: int, needed: int
) -> None:
    block = blocks.get(f"{node.name}.{name}")
    if block is None or block.memory != target.scratchpad:
        raise PlanError(f"{name} of {node!r} is not in {target.scratchpad} when it is needed")
    if block.bytes < needed:
        raise PlanError(f"{block.name} has {block.bytes} bytes, its tiles need {needed}")
    if block.first > first or block.last < last:
        raise PlanError(f"{block.name} lives from {block.first} to {block.last}, it is used from {first} to {last}")


def _addresses(entry: EntryPlan, plan: Plan, alignment: dict[str, int]) -> None:
    known = {b.name for b in entry.blocks}
    lost = sorted({h.block for h in entry.homes.values() if h.block is not None} - known)
    if lost or len(known) < len(entry.blocks):
        raise PlanError(f"{entry.graph.name} has values in blocks that are not there ({lost}), or two of one name")
    for b in entry.blocks:
        if b.memory not in alignment or b.memory not in plan.capacity:
            raise PlanError(f"{b.name} is in {b.memory}, where nothing lies")
        if b.offset < 0 or b.offset % alignment[b.memory]:
            raise PlanError(f"{b.name} starts at {b.offset}, not a multiple of {alignment[b.memory]}")
        if b.offset + b.bytes > plan.capacity[b.memory]:
            raise PlanError(
                f"{b.name} ends at {b.offset + b.bytes}, beyond {b.memory}'s {plan.capacity[b.memory]} bytes"
            )
    stays = {f"{node.name}.constants": _constants(node) for node in entry.graph.nodes if _resident(entry, node)}
    for a, b in itertools.combinations(entry.blocks, 2):
        if (a.offset, a.bytes) == (b.offset, b.bytes) and stays.get(a.name, a) == stays.get(b.name, b):
            continue  # constants that stay are there once for all nodes that read them
        apart = a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
        if a.memory == b.memory and a.overlaps_in_time(b) and not apart:
            raise PlanError(f"{a.name} and {b.name} overlap in {a.memory} while both are alive")


def _resident(entry: EntryPlan, node: Node) -> bool:
    choice = entry.choices.get(node.name)
    return choice is not None and choice.resident


def _constants(node: Node) -> object:
    return tuple(value for value in node.operands.values() if value.kind is Kind.CONST)


def _lifetimes(entry: EntryPlan) -> None:
    """Replay the nodes; whatever a block holds must still be there when it is read."""
    blocks = {b.name: b for b in entry.blocks}
    holds: dict[str, Value] = {}  # the value whose bytes a block holds now, views counted as their source
    arrived: set[Value] = set()  # inputs that live in blocks: they come before their first use
    for step, node in enumerate(entry.graph.nodes):
        for value in node.inputs:
            home = entry.homes.get(value) if value is not None else None
            if value is None or home is None or home.block is None:
                continue
            block = blocks[home.block]
            if not block.first <= step <= block.last:
                raise PlanError(f"{node!r} reads {value!r} outside the life of {block.name}")
            if maximum(home.offset) * value.type.dtype.bits // 8 + value.type.bytes > block.bytes:
                raise PlanError(f"{value!r} does not fit into {block.name}")
            source = _source(entry.graph, value)
            if source.kind is Kind.INPUT and source not in arrived:
                arrived.add(source)
                holds[home.block] = source
            if holds.get(home.block) is not source:
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
            _overwritten(entry, node, value)
            holds[home.block] = _source(entry.graph, value)


def _overwritten(entry: EntryPlan, node: Node, result: Value) -> None:
    """A result lies where no operand does, but for the one that its kernel may overwrite."""
    if node.op.view:
        return
    home, allowed = entry.homes[result], entry.choices[node.name].kernel.in_place
    for name, value in node.operands.items():
        if value in node.outputs or value not in entry.homes or entry.homes[value].block != home.block:
            continue
        if all(node.operands.get(made) is not result or name != taken for made, taken in allowed.items()):
            raise PlanError(f"{node!r} overwrites its operand {name}, {value!r}, in {home.block}")


def _source(graph: Graph, value: Value) -> Value:
    """What a view looks at."""
    while (node := graph.producers.get(value)) is not None and node.op.view and node.inputs[0] is not None:
        value = node.inputs[0]
    return value


def _kernels(entry: EntryPlan, plan: Plan, target: Target) -> None:
    """Kernels can run their nodes, and agree on how constants lie; other engines have slices in forms of their own."""
    for node in entry.graph.nodes:
        if node.op.view:
            continue
        choice = entry.choices[node.name]
        misfit = choice.kernel.misfit(node)
        if misfit:
            raise PlanError(f"{node!r} was given {choice.kernel.symbol}: {misfit}")
        for name, value in node.operands.items():
            if value.kind is Kind.CONST and target.engine(choice.kernel).asynchronous:
                continue
            packing = choice.kernel.packing.get(name)
            layout = plan.packings.get(entry.graph.storage(value), "")
            if (packing.name if packing else "") != layout:
                raise PlanError(f"{choice.kernel.symbol} reads {value!r} as {packing}, it is laid out as {layout!r}")
