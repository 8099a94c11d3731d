"""Which bytes of an operand each core touches in a shared call: what no core has of another needs no barrier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ..ir.domain import Box
from ..ir.footprint import core_boxes, packed_regions
from ..ir.op import Op
from ..ir.program import Call, Ref, Share
from ..ir.regions import Region, box_region, run
from ..ir.types import Kind, TensorType, syms_of

Boxes = tuple[tuple[tuple[str, tuple[Box, ...]], ...], ...]  # per core, of every operand


@dataclass(frozen=True, eq=False)
class Portions:
    """An operand of a shared call, the place of which begins at `whole`."""

    call: Call
    share: Share
    cores: int
    name: str
    whole: Region

    def of_cores(self) -> tuple[tuple[Region, ...], ...] | None:
        """What each core touches; None where sizes are known at run time only."""
        found = _parts(_Key.of(self.call), self.share, self.cores, self.name, _held(self.call, self.name))
        if found is None:
            return None
        return tuple(tuple(r.at(self.whole.place, self.whole.first) for r in part) for part in found)


def apart(mine: Portions, other: Portions) -> bool:
    """Whether no core touches what another one does in the other call."""
    here, there = mine.of_cores(), other.of_cores()
    if here is None or there is None:
        return False
    return not any(
        a.overlaps(b)
        for core, some in enumerate(here)
        for them, others in enumerate(there)
        if core != them
        for a in some
        for b in others
    )


@dataclass(frozen=True)
class _Key:
    """A call for the cache: what decides the parts, and the call itself."""

    op: Op
    operands: tuple[tuple[str, TensorType], ...]
    call: Callable[[], Call]

    @staticmethod
    def of(call: Call) -> _Key:
        return _Key(call.semantics.op, tuple(call.types().items()), lambda: call)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and (self.op, self.operands) == (other.op, other.operands)

    def __hash__(self) -> int:
        return hash((self.op, self.operands))


def _held(call: Call, name: str) -> object:
    """How the operand's buffer holds it, for the cache."""
    ref = dict(call.operands).get(name)
    return (ref.buffer.packing, ref.buffer.kind, ref.buffer.dtype, ref.buffer.bytes) if isinstance(ref, Ref) else None


@lru_cache(maxsize=4096)
def _parts(key: _Key, share: Share, cores: int, name: str, _: object) -> tuple[tuple[Region, ...], ...] | None:
    call = key.call()
    ref = dict(call.operands)[name]
    if not (isinstance(share.total, int) and _fixed(call) and isinstance(ref, Ref)):
        return None
    if name == "scratch":
        if call.kernel.meets:
            return None
        size = ref.buffer.bytes // (share.cores or cores)
        return tuple((run("", core * size, size),) for core in range(share.cores or cores))
    kind = dict(key.operands)[name]
    shape, itemsize, packing = kind.static_shape, ref.buffer.dtype.bits // 8, ref.buffer.packing
    if packing is not None and ref.buffer.kind is not Kind.STATE:
        return None
    found = []
    for boxes in _boxes(key, share, cores):
        regions: list[Region] = []
        for box in dict(boxes)[name]:
            if packing is None:
                regions.append(box_region(box, shape, itemsize))
            else:
                regions += packed_regions(packing, box, shape, kind.dtype, itemsize)
        found.append(tuple(regions))
    return tuple(found)


def _fixed(call: Call) -> bool:
    """Whether all sizes are known."""
    shapes = {name: kind.shape for name, kind in call.types().items()}
    extents = call.semantics.op.domain(*call.semantics.types).extents(shapes)
    return all(isinstance(d, int) for d in (*extents.values(), *(d for shape in shapes.values() for d in shape)))


@lru_cache(maxsize=1024)
def _boxes(key: _Key, share: Share, cores: int) -> Boxes:
    """Sizes that only the domain knows, as an attention's positions, at their maximum: otherwise less is touched."""
    call = key.call()
    node = call.semantics
    longest = {s.name: s.max for _, extent in node.op.domain(*node.types).given for s in syms_of(extent)}
    per_core = core_boxes(call, share, cores, longest)
    return tuple(tuple((name, tuple(boxes)) for name, boxes in of.items()) for of in per_core)
