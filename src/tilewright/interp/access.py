"""The accesses of a call: which core reads and writes which bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir.domain import Box
from ..ir.footprint import SEVERAL, Touched, core_boxes, merged, packed_regions, written
from ..ir.program import Call, Share
from ..ir.regions import Region, box_region, run
from ..ir.types import Kind, shape_of
from .memory import Memories, Spot
from .races import Access


class Accesses:
    """Accesses of the calls of one run; where a call's operands are may change from round to round of a loop."""

    def __init__(self, memories: Memories, cores: int, env: Mapping[str, int]) -> None:
        self.memories, self.cores, self.env = memories, cores, env
        self.boxes: dict[tuple[int, int], list[dict[str, list[Box]]]] = {}
        self.touched: dict[tuple[int, int, str, object], Touched] = {}

    def of(self, call: Call, spots: Mapping[str, Spot], share: Share | None, core: int, note: str) -> list[Access]:
        """`core` does it all where nothing is shared. IndexError beyond a buffer, ValueError on writes to constants."""
        node, step = call.semantics, f"{call.semantics.name}{note}"
        results = [name for name, value in node.operands.items() if value in node.outputs]
        found: list[Access] = []

        def add(spot: Spot, touched: Touched, *, writes: bool) -> None:
            for who, region in touched:
                user = who if share is not None else core
                placed = region.at(spot.place, spot.first)
                found.append(Access(step, user, placed, writes, spot.buffer, spot.base))

        for name in results:
            spot = spots[name if name in spots else node.op.aliases[name]]
            if spot.constant:
                raise ValueError(f"{step} writes {spot.buffer.name}, which is constant")
            add(spot, self._touched(call, share, name, spot, writes=True), writes=True)
        kept = self._overwritten(call, spots) if share is not None else set()
        for name, spot in spots.items():
            if name == "scratch":
                add(spot, scratch_parts(call, spot, 1 if share is None else share.cores or self.cores), writes=True)
            elif name not in results and name not in kept and not spot.constant:
                add(spot, self._touched(call, share, name, spot, writes=False), writes=False)
        return found

    def _overwritten(self, call: Call, spots: Mapping[str, Spot]) -> set[str]:
        """Operands that a result overwrites: a core can only read of them what it writes.

        Where the access map tells what a core reads, it is believed rather than this.
        """
        node = call.semantics
        found = set(node.op.aliases.values())
        if call.kernel.in_place:
            access = node.op.domain(*node.types).access
            for result, operand in call.kernel.in_place.items():
                here, there = spots.get(result), spots.get(operand)
                same = here and there and (here.place, here.first) == (there.place, there.first)
                if same and any(axis.whole for axis in access.get(operand, ())):
                    found.add(operand)
        return found

    def _touched(self, call: Call, share: Share | None, name: str, spot: Spot, *, writes: bool) -> Touched:
        buffer, kind = spot.buffer, call.types()[name]
        shape, itemsize = shape_of(kind, self.env), buffer.dtype.numpy.itemsize
        size = self.memories.size(buffer, shape)
        spot.holds(size)
        key = (id(call), id(share), name, buffer.packing)
        if key not in self.touched:
            packed = buffer.packing

            def regions(boxes: Sequence[Box]) -> list[Region]:
                if packed is None:
                    return [box_region(box, shape, itemsize) for box in boxes]
                if writes or buffer.kind is Kind.STATE:
                    return [r for b in boxes for r in packed_regions(packed, b, shape, kind.dtype, itemsize)]
                return [run("", 0, size)] if boxes else []

            per_core = [regions(of[name]) for of in self._boxes(call, share)]
            self.touched[key] = written(per_core, size) if writes else merged(per_core)
        return self.touched[key]

    def _boxes(self, call: Call, share: Share | None) -> list[dict[str, list[Box]]]:
        key = id(call), id(share)
        if key not in self.boxes:
            self.boxes[key] = core_boxes(call, share, self.cores, self.env)
        return self.boxes[key]


def scratch_parts(call: Call, spot: Spot, cores: int) -> Touched:
    """Scratch of each core that takes part: equal parts of the buffer, or for one core what its kernel asks for."""
    needed = call.kernel.scratch(call.semantics)
    if call.kernel.meets and cores > 1:
        spot.holds(needed)
        return [(SEVERAL, run("", 0, spot.room))]
    size = (needed or spot.room) if cores == 1 else spot.room // cores
    spot.holds(max(size, needed) * cores)
    return [(core, run("", core * size, size)) for core in range(cores) if size]
