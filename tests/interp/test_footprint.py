"""Which bytes a core touches: flat ranges, boxes in memory, packed forms, and the shares of every operator."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import FILTERED, node_of
from tilewright.ir.domain import Box
from tilewright.ir.footprint import SEVERAL, core_boxes, flat_boxes, merged, packed_regions, written
from tilewright.ir.op import REGISTRY, Op
from tilewright.ir.program import Call, Share
from tilewright.ir.regions import Region, box_region, lines, mask_regions, run
from tilewright.ir.types import F32
from tilewright.targets.base import Kernel, Packing
from tilewright.targets.host.packing import CHANNELS, FILTERS, PAIRS, PANELS

OPERATORS = [op for op in REGISTRY.values() if not op.view]


def points(box: Box) -> set[tuple[int, ...]]:
    return set(itertools.product(*(range(*axis) for axis in box)))


def bytes_of(region: Region) -> set[int]:
    everything = np.arange(region.stop, dtype=np.int64)
    at = np.zeros(region.shape, np.int64) + region.first
    for axis, (count, stride) in enumerate(zip(region.shape, region.strides, strict=True)):
        at += (np.arange(count) * stride).reshape(-1, *[1] * (len(region.shape) - 1 - axis))
    return set(everything[at.reshape(-1)].tolist())


@st.composite
def ranges(draw: st.DrawFn) -> tuple[list[int], int, int]:
    extents = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    first = draw(st.integers(0, math.prod(extents)))
    return extents, first, draw(st.integers(first, math.prod(extents)))


@given(ranges())
def test_flat_ranges_are_boxes(drawn: tuple[list[int], int, int]) -> None:
    extents, first, stop = drawn
    boxes = flat_boxes(first, stop, extents)
    want = {tuple(map(int, np.unravel_index(i, extents))) for i in range(first, stop)}
    assert set().union(*map(points, boxes)) == want
    assert sum(len(points(box)) for box in boxes) == len(want)
    assert len(boxes) <= 2 * len(extents) - 1


@st.composite
def boxes_in(draw: st.DrawFn) -> tuple[Box, tuple[int, ...], int]:
    shape = tuple(draw(st.lists(st.integers(1, 5), max_size=4)))
    lows = [draw(st.integers(0, n - 1)) for n in shape]
    box = tuple((low, draw(st.integers(low + 1, n))) for low, n in zip(lows, shape, strict=True))
    return box, shape, draw(st.sampled_from([1, 2, 4]))


@given(boxes_in())
def test_boxes_in_memory(drawn: tuple[Box, tuple[int, ...], int]) -> None:
    box, shape, itemsize = drawn
    region = box_region(box, shape, itemsize)
    marks = np.zeros((*shape, itemsize), np.uint8)
    marks[tuple(slice(*axis) for axis in box)] = 1
    want = set(np.flatnonzero(marks).tolist())
    assert bytes_of(region) == want
    assert region.bytes == len(want)
    assert {b for b in range(marks.size + 3) if region.contains(b)} == want
    seen = np.zeros(marks.size, np.uint8)
    region.view(seen)[...] = 1
    np.testing.assert_array_equal(seen, marks.reshape(-1))
    assert region.shape[-1] == region.bytes or len(region.shape) > 1


@st.composite
def two_regions(draw: st.DrawFn) -> tuple[Region, Region]:
    def one() -> Region:
        size = draw(st.integers(1, 5))
        return lines("a", draw(st.integers(0, 20)), size, (draw(st.integers(1, 4)), size + draw(st.integers(0, 6))))

    return one(), one()


@given(two_regions())
def test_what_regions_share(drawn: tuple[Region, Region]) -> None:
    one, other = drawn
    both = bytes_of(one) & bytes_of(other)
    assert one.common(other) == ((min(both), max(both) + 1) if both else None)
    assert one.common(other.at("b", 0)) is None


@given(st.data())
def test_boxes_of_one_tensor_are_told_apart(data: st.DataObject) -> None:
    """No byte that two boxes share is overlooked; of boxes that differ along one inner axis alone, none is feared."""
    shape = tuple(data.draw(st.integers(1, 5)) for _ in range(4))

    def interval(extent: int) -> tuple[int, int]:
        low = data.draw(st.integers(0, extent - 1))
        return low, data.draw(st.integers(low + 1, extent))

    one, other = (tuple(map(interval, shape)) for _ in range(2))
    regions = [box_region(box, shape, 2) for box in (one, other)]
    assert regions[0].overlaps(regions[1]) >= bool(bytes_of(regions[0]) & bytes_of(regions[1]))
    axis, extent = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    shape = tuple(2 * extent + 1 if i == axis else 3 for i in range(4))
    halves = [(0, extent), (extent, 2 * extent)]
    regions = [box_region(tuple(half if i == axis else (0, 2) for i in range(4)), shape, 2) for half in halves]
    assert regions[0].overlaps(regions[0])
    assert not regions[0].overlaps(regions[1])


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.sampled_from([1, 4]))
def test_masks(mask: list[bool], itemsize: int) -> None:
    regions = list(mask_regions(np.array(mask), itemsize))
    want = {i * itemsize + b for i, marked in enumerate(mask) if marked for b in range(itemsize)}
    assert set().union(*map(bytes_of, regions)) == want
    assert sum(region.bytes for region in regions) == len(want)


@pytest.mark.parametrize("packing", [PANELS, PAIRS, CHANNELS, FILTERS], ids=lambda p: p.name)
@given(data=st.data())
@settings(max_examples=30)
def test_boxes_in_packed_form(packing: Packing, data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6)))
    lows = [data.draw(st.integers(0, n - 1)) for n in shape]
    box = tuple((low, data.draw(st.integers(low + 1, n))) for low, n in zip(lows, shape, strict=True))
    numbered = np.arange(1, math.prod(shape) + 1, dtype=np.float32).reshape(shape)
    wanted = numbered[tuple(slice(*axis) for axis in box)]
    at = np.flatnonzero(np.isin(packing.pack(numbered), wanted))
    want = {4 * int(i) + b for i in at for b in range(4)}
    assert set().union(*map(bytes_of, packed_regions(packing, box, shape, F32, 4))) == want


@pytest.mark.parametrize("op_class", OPERATORS, ids=lambda op: op.__name__)
@settings(max_examples=8, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_the_shares_of_every_operator(op_class: type[Op], data: st.DataObject) -> None:
    """Boxes hold what the access maps say of every index of a core; results are covered, by one core or unknown."""
    op, types = op_class.examples(data.draw)
    node = node_of(op, *types)
    domain = node.op.domain(*node.types)
    shapes = {name: value.type.static_shape for name, value in node.operands.items()}
    extents = {name: int(extent) for name, extent in domain.extents(shapes).items()}  # type: ignore[arg-type]
    dims = tuple(data.draw(st.lists(st.sampled_from(domain.parallel), unique=True)) if domain.parallel else ())
    cores, total = data.draw(st.integers(1, 4)), math.prod(extents[d] for d in dims)
    share = Share(total, data.draw(st.integers(1, 3)), dims)
    per_core = core_boxes(Call(Kernel(op_class, "", "", "", {}), node, (), ()), share, cores, {})
    assert len(per_core) == cores
    for core, of in enumerate(per_core if dims else ()):
        first, stop = share.range_of(core, cores, total)
        for flat in {first, stop - 1, (first + stop) // 2} & set(range(first, stop)):
            at = zip(dims, np.unravel_index(flat, [extents[d] for d in dims]), strict=True)
            ranges = {d: (0, n) for d, n in extents.items()} | {d: (int(i), int(i) + 1) for d, i in at}
            for name in domain.access:
                box = domain.footprint(name, ranges, shapes[name])
                inside = [(max(a, 0), min(b, n)) for (a, b), n in zip(box, shapes[name], strict=True)]
                if all(a < b for a, b in inside):
                    ends = {tuple(a for a, _ in inside), tuple(b - 1 for _, b in inside)}
                    assert all(any(_holds(b, end) for b in of[name]) for end in ends)
    for value in node.outputs:
        name = next(n for n, v in node.operands.items() if v is value)
        size = math.prod(shapes[name])
        regions = [[box_region(box, shapes[name], 1) for box in of[name]] for of in per_core]
        touched = written(regions, size)
        marks = np.zeros(size, np.uint8)
        for core, region in touched:
            assert core == SEVERAL or not region.view(marks).any() or cores == 1
            region.view(marks)[...] = 1
        assert marks.all()
        assert {region for _, region in merged(regions)} == set(itertools.chain(*regions))


def _holds(box: Box, point: tuple[int, ...]) -> bool:
    return all(a <= i < b for (a, b), i in zip(box, point, strict=True))


def test_cores_that_write_the_same_bytes_are_unknown() -> None:
    assert written([[run("", 0, 8)], [run("", 4, 8)]], 12) == [(SEVERAL, run("", 0, 12))]
    assert written([[run("", 0, 4)], [], [run("", 4, 8)]], 12) == [(0, run("", 0, 4)), (2, run("", 4, 8))]
    assert merged([[run("", 0, 4)], [run("", 0, 4), run("", 8, 4)]]) == [(SEVERAL, run("", 0, 4)), (1, run("", 8, 4))]
