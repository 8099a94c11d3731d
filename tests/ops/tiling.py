"""Any operator, computed tile by tile from footprints: what a tiled program does, in numpy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.instances import expected, input_names, node_of
from tilewright.ir.domain import Box, Domain, Ranges
from tilewright.ir.graph import Node
from tilewright.ir.op import operand_names, result_names
from tilewright.ir.types import Array, resolve

Cuts = Mapping[str, tuple[int, ...]]  # per parallel dimension: 0, where it is cut, its extent


def extents(node: Node, domain: Domain) -> dict[str, int]:
    shapes = {name: value.type.shape for name, value in node.operands.items()}
    return {name: resolve(extent, {}) for name, extent in domain.extents(shapes).items()}


@st.composite
def cuts(draw: Any, node: Node) -> Cuts:
    """Where to cut each parallel dimension: nowhere, or at one or two places."""
    domain = node.op.domain(*node.types)
    sizes = extents(node, domain)
    places: dict[str, tuple[int, ...]] = {}
    for name in domain.parallel:
        inner = draw(st.sets(st.integers(1, sizes[name] - 1), max_size=2)) if sizes[name] > 1 else set()
        places[name] = (0, *sorted(inner), sizes[name])
    return places


def tiles(places: Cuts, sizes: Mapping[str, int]) -> Iterator[Ranges]:
    """Ranges of every tile; reduced dimensions are whole."""
    whole = {name: (0, size) for name, size in sizes.items()}
    pieces = [list(itertools.pairwise(cut)) for cut in places.values()]
    for choice in itertools.product(*pieces):
        yield whole | dict(zip(places, choice, strict=True))


def cut_out(array: Array, box: Box, fill: float) -> Array:
    """The box of an array, filled where it reaches over the edge."""
    outside = np.iinfo(array.dtype).min if fill == -np.inf and array.dtype.kind in "iu" else fill
    piece = np.full([high - low for low, high in box], array.dtype.type(outside))
    inside = [(max(0, low), min(size, high)) for (low, high), size in zip(box, array.shape, strict=True)]
    if all(low < high for low, high in inside):
        target = tuple(slice(low - first, high - first) for (low, high), (first, _) in zip(inside, box, strict=True))
        piece[target] = array[_slices(inside)]
    return piece


def compute_tiled(node: Node, arrays: Mapping[str, Array], places: Cuts, domain: Domain) -> dict[str, Array]:
    """Results stitched from tiles, whose operands are cut out by `domain`. Raises what the tile's operator raises."""
    results = result_names(node.op, len(node.outputs))
    storage = {name: np.array(array) for name, array in arrays.items()}
    for name in results:
        storage[name] = storage[node.op.aliases[name]] if name in node.op.aliases else _untouched(node, name)
    sizes = extents(node, node.op.domain(*node.types))
    for ranges in tiles(places, sizes):
        boxes = {name: domain.footprint(name, ranges, array.shape) for name, array in storage.items()}
        pieces = {name: cut_out(storage[name], boxes[name], node.op.fill(name)) for name in input_names(node)}
        tile = _tile_node(node, pieces, ranges)
        local = _local_ranges(tile, ranges)
        for name, array in expected(tile, pieces).items():
            box = tile.op.domain(*tile.types).footprint(name, local, array.shape)
            storage[name][_slices(boxes[name])] = array[_slices(box)]
    return {name: storage[name] for name in results}


def _untouched(node: Node, name: str) -> Array:
    kind = node.operands[name].type
    return np.full(kind.static_shape, np.nan if kind.dtype.is_float else 0x55).astype(kind.dtype.numpy)


def _tile_node(node: Node, pieces: Mapping[str, Array], ranges: Ranges) -> Node:
    names = operand_names(node.op, len(node.inputs))
    types = [node.operands[n].type.with_shape(tuple(pieces[n].shape)) if n in pieces else None for n in names]
    return node_of(node.op.tiled(ranges), *types)


def _local_ranges(tile: Node, ranges: Ranges) -> Ranges:
    """Where the tile lies in what its operator computed: at 0, or in its place where a whole axis was computed."""
    sizes = extents(tile, tile.op.domain(*tile.types))
    return {
        name: (0, stop - first) if sizes[name] == stop - first else (first, stop)
        for name, (first, stop) in ranges.items()
    }


def _slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    if any(low < 0 for low, _ in box):
        raise IndexError(f"a result's box {box} begins outside of it")
    return tuple(slice(low, high) for low, high in box)
