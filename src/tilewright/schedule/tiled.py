"""Nodes cut into tiles -> copies and phases over buffers of the scratchpad, in the order in which they are issued."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..ir.domain import Box
from ..ir.footprint import share_of
from ..ir.graph import Node
from ..ir.plan import MEMBER_ALIGNMENT, Choice, aligned
from ..ir.program import Buffer, Call, Copy, Job, Phase, Ref, Work
from ..ir.types import U8, DType, Expr, Kind, TensorType
from ..solve.parts import Part, packed_bytes, parts
from ..solve.tiles import Tiling, first_element, first_stored
from ..solve.tilings import moves
from ..targets.base import Packing
from .places import Member, Places, element_type, pointer_operands

Boxes = tuple[Box, ...]


@dataclass
class _Slot:
    """What a stream's buffers hold: the boxes of the latest load, and which of the buffers it is in."""

    boxes: Boxes | None = None
    index: int = -1

    def next(self, boxes: Boxes, depth: int) -> bool:
        """Move on to other boxes; False where they are there already."""
        if self.boxes == boxes:
            return False
        self.boxes, self.index = boxes, (self.index + 1) % depth
        return True


class TiledNode:
    """Steps of one node. Groups of copies have numbers from `groups`; waits and barriers come later."""

    def __init__(self, node: Node, choice: Choice, places: Places, groups: Iterator[int]) -> None:
        assert choice.tiled is not None
        self.node, self.kernel, self.way, self.resident = node, choice.kernel, choice.tiled, choice.resident
        self.places, self.groups = places, groups
        self.pieces = Tiling(node, self.way.tile).pieces
        self.parts = parts(node, self.way)
        self.streams = [s.operand for s in self.way.streams if f"{node.name}.{s.operand}" in places.blocks]
        results = {name for name, value in node.operands.items() if value in node.outputs}
        self.inputs = [name for name in self.streams if name not in results]
        self.outputs = [name for name in self.streams if name in results]
        self.sources = self._slots()

    def _slots(self) -> list[dict[str, tuple[int, bool]]]:
        """For each tile, by stream: which buffer, and whether it has to be filled for this tile."""
        slots: dict[str, _Slot] = {name: _Slot() for name in (*self.streams, "constants")}
        found = []
        for tile, piece in enumerate(self.pieces):
            row = {}
            for name, slot in slots.items():
                boxes = [box for _, box, _ in self._members(tile)] if name == "constants" else [piece.boxes[name]]
                fresh = slot.next(tuple(boxes), self.way.depth)
                row[name] = (slot.index, fresh and bool(boxes))
            found.append(row)
        return found

    # Steps

    def first_constants(self) -> list[Copy]:
        """The load of the first tile's constants, which may be issued long before the node runs."""
        return [] if self.resident else self._load_constants(0)

    def resident_constants(self) -> list[Copy]:
        """The load of constants that stay."""
        return self._load_constants(0) if self.resident else []

    def steps(self, ahead: list[Work]) -> Iterator[Work]:
        """Everything but the first constants. `ahead`: loads for later nodes, issued before its first phase."""
        yield from self._load_inputs(0)
        yield from ahead
        deep = self.way.depth > 1
        for tile in range(len(self.pieces)):
            if deep:
                yield from self._load(tile + 1)
            yield from self._calls(tile)
            yield from self._store(tile)
            if not deep:
                yield from self._load(tile + 1)

    def _load(self, tile: int) -> list[Work]:
        if tile >= len(self.pieces):
            return []
        return [*self._load_constants(tile), *self._load_inputs(tile)]

    def _load_constants(self, tile: int) -> list[Copy]:
        index, fresh = self.sources[tile]["constants"]
        if not fresh:
            return []
        source = self.places.shared.bundle(self._members(tile))
        target = self._near("constants", index, source.elements, U8, None)
        return [Copy(Ref(target), Ref(source), source.bytes, next(self.groups))]

    def _load_inputs(self, tile: int) -> list[Work]:
        found: list[Work] = []
        for name in self.inputs:
            index, fresh = self.sources[tile][name]
            if fresh:
                found += self._moves(tile, name, index, inward=True)
        return found

    def _store(self, tile: int) -> list[Work]:
        return [
            step for name in self.outputs for step in self._moves(tile, name, self.sources[tile][name][0], inward=False)
        ]

    def _moves(self, tile: int, name: str, index: int, *, inward: bool) -> Iterator[Work]:
        """Copies between an operand's buffer and the value's home."""
        value, piece = self.node.operands[name], self.pieces[tile]
        kind, box = piece.node.operands[name].type, piece.boxes[name]
        home = self.places.ref(value)
        group, done = next(self.groups), 0
        size = kind.dtype.bits // 8
        near = self._operand(name, kind, index)
        found = moves(box, value.type.shape, kind.dtype, self.kernel.packing.get(name))
        assert found is not None, f"{name} of {self.node!r} does not move in parts"
        for move in found:
            outside = Ref(home.buffer, (Expr.of(home.offset) + move.first // size).simplified())
            inside = Ref(near, done // size)
            target, source = (inside, outside) if inward else (outside, inside)
            yield Copy(
                target, source, move.bytes, group, move.lines, move.stride, blocks=move.blocks, apart=move.apart
            )  # fmt: skip
            done += move.blocks * move.lines * move.bytes

    def _calls(self, tile: int) -> Iterator[Work]:
        """What the cores do of a tile; an asynchronous engine starts before them."""
        for part in self.parts[tile]:
            kernel, node = part.kernel, part.piece.node
            operands = pointer_operands(
                kernel, node, lambda name, part=part: self._ref(tile, part, name),  # type: ignore[misc]
                lambda ctype: self.places.scratch(self.node, ctype),
            )  # fmt: skip
            call = Call(kernel, node, tuple(operands), tuple(kernel.arguments(node).items()))
            if self.places.target.engine(kernel).asynchronous:
                yield Job(call, next(self.groups))
            else:
                late = self.way.partner.late if self.way.partner and not part.within else 0
                yield Phase((call,), share_of(kernel, node, self.way.cores, late))

    # Operands

    def _ref(self, tile: int, part: Part, name: str) -> Ref:
        if name in part.within:
            return self._between(tile, part.within[name])
        value, box, packing = part.whole(name, self.node), part.piece.boxes[name], part.kernel.packing.get(name)
        if (own := part.name(name)) in self.streams:
            assert own is not None
            index, _ = self.sources[tile][own]
            whole = self.pieces[tile]
            sizes = tuple(high - low for low, high in whole.boxes[own])
            inside = tuple((low - at, high - at) for (low, high), (at, _) in zip(box, whole.boxes[own], strict=True))
            first = 0 if packing else first_element(inside, sizes)
            return Ref(self._operand(own, whole.node.operands[own].type, index), first)
        if any(name == travelling for travelling, _, _, _ in part.travelling):
            return Ref(self._member(tile, part, name))
        if value.kind is Kind.CONST and packing is not None:
            return Ref(self.places.shared.packed(value, box, packing))
        home = self.places.ref(value)
        first_there = first_stored(box, value.type.shape, home.buffer.packing)
        assert first_there is not None
        return Ref(home.buffer, (Expr.of(home.offset) + first_there).simplified())

    def _between(self, tile: int, first: int) -> Ref:
        """What an asynchronous engine leaves to the cores, from an element on."""
        result = self.parts[tile][0].piece.node.outputs[0].type
        return Ref(self._near("between", 0, result.size, result.dtype, None), first)

    def _operand(self, name: str, kind: TensorType, index: int) -> Buffer:
        packing = self.kernel.packing.get(name)
        elements = packing.elements(kind.static_shape) if packing else kind.size
        return self._near(name, index, elements, kind.dtype, packing)

    def _near(self, name: str, index: int, elements: int, dtype: DType, packing: Packing | None, at: int = 0) -> Buffer:
        """A buffer of the scratchpad: one of the node's own blocks, or a part of it."""
        block = self.places.blocks[f"{self.node.name}.{name}"]
        offset = block.offset + index * (block.bytes // self.way.depth) + at
        return self.places.part(block, offset, elements, dtype, packing)

    def _members(self, tile: int) -> list[Member]:
        """The constants that travel with a tile, as wholes with what of them is wanted."""
        return [
            (part.whole(name, self.node), box, packing)
            for part in self.parts[tile]
            for name, _, box, packing in part.travelling
        ]

    def _member(self, tile: int, part: Part, name: str) -> Buffer:
        """A constant's place in the scratchpad: within its bundle."""
        index, _ = self.sources[tile]["constants"]
        at = 0
        for owner in self.parts[tile]:
            for other, value, _, packing in owner.travelling:
                if owner is part and other == name:
                    elements = packing.elements(value.type.static_shape) if packing else value.type.size
                    return self._near("constants", index, elements, element_type(value, packing), packing, at)
                at = aligned(at + packed_bytes(value.type, owner.kernel, other), MEMBER_ALIGNMENT)
        raise KeyError(name)
