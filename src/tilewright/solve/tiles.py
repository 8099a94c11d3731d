"""Tiles of a node: what is cut out of each operand, and the operator that computes the piece. Derived from access maps.

Tiles keep to the operands: where a footprint reaches over the edge it is clipped, and the piece's operator pads it
itself (`Op.clipped`). Axes with a run-time extent are never cut.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from ..ir.domain import Axis, Box, Domain, Ranges
from ..ir.graph import Node
from ..ir.op import RuleError, operand_names, result_names
from ..ir.plan import Tile
from ..ir.types import Dim, TensorType, Value, maximum
from ..targets.base import Packing


@dataclass(frozen=True, eq=False)
class Piece:
    """One tile: `boxes` per operand, clipped to it, and a node of its own on operands of those shapes."""

    ranges: Ranges
    boxes: Mapping[str, Box]
    node: Node


class Tiling:
    """A node cut by a tile. Raises RuleError where the operator does not allow it."""

    def __init__(self, node: Node, tile: Tile) -> None:
        self.node, self.tile = node, tile
        self.domain: Domain = node.op.domain(*node.types)
        self.operands = node.operands
        shapes = {name: value.type.shape for name, value in self.operands.items()}
        self.extents: dict[str, Dim] = self.domain.extents(shapes)

    def __len__(self) -> int:
        return math.prod(-(-maximum(self.extents[name]) // size) for name, size in self.tile)

    def ranges(self) -> Iterator[Ranges]:
        """Ranges of every tile, in the order in which they run."""
        whole = {name: (0, maximum(extent)) for name, extent in self.extents.items()}
        cuts = []
        for name, size in self.tile:
            stop = maximum(self.extents[name])
            cuts.append([(name, (first, min(first + size, stop))) for first in range(0, stop, size)])
        for picks in itertools.product(*cuts):
            yield whole | dict(picks)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Every tile."""
        return tuple(self.piece(ranges) for ranges in self.ranges())

    def kinds(self) -> list[tuple[int, Piece]]:
        """One tile of each shape, and how many there are of it: what costs and sizes follow from."""
        cut = {name for name, _ in self.tile}
        axes = [axis for maps in self.domain.access.values() for axis in maps]
        if any(len(cut & {name for name, _ in axis.terms}) > 1 for axis in axes):
            return [(1, piece) for piece in self.pieces]
        classes = [self._intervals(name, size) for name, size in self.tile]
        whole = {name: (0, maximum(extent)) for name, extent in self.extents.items()}
        return [
            (math.prod(count for count, _ in picks), self.piece(whole | dict(pick for _, pick in picks)))
            for picks in itertools.product(*classes)
        ]

    def _intervals(self, name: str, size: int) -> list[tuple[int, tuple[str, tuple[int, int]]]]:
        """Of a dimension: how many of its intervals give the same shapes, and one of them.

        Where nothing is rounded, intervals that are clipped lie at the ends; those between are of one shape.
        """
        whole = {dim: (0, maximum(extent)) for dim, extent in self.extents.items()}
        touched = [n for n, axes in self.domain.access.items() if any(name in dict(axis.terms) for axis in axes)]
        touched = [n for n in touched if n in self.operands]
        rounded = any(axis.div != 1 for n in touched for axis in self.domain.access[n])
        stop = maximum(self.extents[name])
        intervals = [(first, min(first + size, stop)) for first in range(0, stop, size)]

        @cache
        def shapes(interval: tuple[int, int]) -> tuple[object, bool]:
            """Of the boxes and of what they lack; whether all intervals between this one and another such are alike."""
            ranges = whole | {name: interval}
            over = self._outside(ranges, touched)
            sizes = tuple(tuple(high - low for low, high in box) for box in self.boxes(ranges, touched).values())
            usual = not rounded and not over and interval[1] - interval[0] == size
            return (sizes, tuple(over.items())), usual

        low, high = 0, len(intervals)
        while low < high and not shapes(intervals[low])[1]:
            low += 1
        while high > low and not shapes(intervals[high - 1])[1]:
            high -= 1
        found: dict[object, tuple[int, tuple[int, int]]] = {}
        for interval in (*intervals[:low], *intervals[high:]):
            key, _ = shapes(interval)
            count, pick = found.get(key, (0, interval))
            found[key] = count + 1, pick
        between = [(high - low, intervals[low])] if low < high else []
        return [(count, (name, pick)) for count, pick in (*found.values(), *between)]

    def footprint(self, name: str, ranges: Ranges) -> Box:
        """What a tile touches of an operand, not clipped; a run-time axis is whole."""
        shape = self.operands[name].type.shape
        limits = tuple(maximum(d) for d in shape)
        box = self.domain.footprint(name, ranges, limits)
        return tuple(
            (0, limit) if not isinstance(dim, int) else interval
            for dim, limit, interval in zip(shape, limits, box, strict=True)
        )

    def boxes(self, ranges: Ranges, names: Sequence[str] | None = None) -> dict[str, Box]:
        """The footprints within the operands (or some of them). RuleError where a tile lies wholly outside of one."""
        found = {}
        for name in self.operands if names is None else names:
            value = self.operands[name]
            if not self.tile or name not in self.domain.access:
                found[name] = tuple((0, maximum(d)) for d in value.type.shape)
                continue
            pairs = zip(self.footprint(name, ranges), value.type.shape, strict=True)
            box = tuple((max(0, low), min(maximum(d), high)) for (low, high), d in pairs)
            if any(low >= high for low, high in box):
                raise RuleError(f"a tile lies outside of {name}")
            found[name] = box
        return found

    def _outside(self, ranges: Ranges, names: Sequence[str] | None = None) -> dict[str, Box]:
        """How far the footprints reach beyond the operands, before and after each axis; operands that they do."""
        found = {}
        for name in self.domain.access if names is None else names:
            if name not in self.operands:
                continue
            shape, axes = self.operands[name].type.shape, self.domain.access[name]
            over = tuple(
                (max(0, -low), 0 if self._open(axis) else max(0, high - maximum(d)))
                for (low, high), d, axis in zip(self.footprint(name, ranges), shape, axes, strict=True)
            )
            if any(before or after for before, after in over):
                found[name] = over
        return found

    def _open(self, axis: Axis) -> bool:
        """Whether an axis ends where run-time sizes say: their maxima together may be more than there ever is."""
        return any(not isinstance(self.extents[name], int) for name, _ in axis.terms)

    def piece(self, ranges: Ranges) -> Piece:
        """One tile. RuleError where the operator cannot compute it alone."""
        boxes = self.boxes(ranges)
        if not self.tile:
            return Piece(ranges, boxes, self.node)
        op = self.node.op.clipped(ranges, self._outside(ranges))
        inputs = [
            None if value is None else self._cut(name, value, boxes[name])
            for name, value in zip(operand_names(self.node.op, len(self.node.inputs)), self.node.inputs, strict=True)
        ]
        kinds = op.infer(*(v.type if v is not None else None for v in inputs))
        outputs = []
        for name, value, kind in zip(
            result_names(op, len(self.node.outputs)), self.node.outputs, kinds, strict=True
        ):  # fmt: skip
            wanted = tuple(high - low for low, high in boxes[name])
            if tuple(maximum(d) for d in kind.shape) != wanted:
                raise RuleError(f"{type(op).__name__} computes all of {name} at once")
            outputs.append(replace(value, type=kind))
        return Piece(ranges, boxes, Node(op, tuple(inputs), tuple(outputs), self.node.name, self.node.origin))

    def _cut(self, name: str, value: Value, box: Box) -> Value:
        """An operand of the piece; constants are cut as well (numpy views)."""
        sizes = zip(value.type.shape, box, strict=True)
        shape = tuple(high - low if isinstance(d, int) else d for d, (low, high) in sizes)
        data = None if value.data is None else value.data[tuple(slice(low, high) for low, high in box)]
        return Value(value.name, TensorType(shape, value.type.dtype, value.type.quant), value.kind, data)


def cuttable(node: Node) -> tuple[str, ...]:
    """Dimensions along which a node can be cut: parallel, of a fixed extent above 1, and its operator can do it."""
    tiling = Tiling(node, ())
    found = []
    for name in tiling.domain.parallel:
        extent = tiling.extents[name]
        if isinstance(extent, int) and extent > 1:
            half = Tiling(node, ((name, -(-extent // 2)),))
            try:
                for ranges in half.ranges():
                    half.piece(ranges)
            except RuleError:
                continue
            found.append(name)
    return tuple(found)


def contiguous(box: Box, shape: tuple[Dim, ...]) -> bool:
    """Whether a box of a row-major tensor is one run of elements."""
    sizes = [high - low for low, high in box]
    lead = next((i for i, size in enumerate(sizes) if size != 1), len(sizes))
    return all(size == maximum(dim) for size, dim in list(zip(sizes, shape, strict=True))[lead + 1 :])


def first_stored(box: Box, shape: tuple[Dim, ...], packing: Packing | None) -> int | None:
    """First element of a box in the stored form of a whole, where the box is a run of it there; None otherwise."""
    extents = tuple(maximum(d) for d in shape)
    if box == tuple((0, extent) for extent in extents):
        return 0
    if packing is not None:
        region = packing.region(box, extents)
        return None if region is None else region[0]
    return first_element(box, shape) if contiguous(box, shape) else None


def first_element(box: Box, shape: tuple[Dim, ...]) -> int:
    """Row-major index of a box's first element."""
    index = 0
    for (low, _), dim in zip(box, shape, strict=True):
        index = index * maximum(dim) + low
    return index
