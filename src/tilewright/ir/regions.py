"""Sets of bytes: a run, or runs at equal distances in several dimensions, as a box of a tensor is in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .domain import Box
from .program import Buffer
from .types import Array

Place = str | Buffer  # a memory with addresses, or a buffer that has none


@dataclass(frozen=True)
class Region:
    """Bytes of a place: from `first`, `shape` bytes along each axis, `strides` apart. The last axis has stride 1."""

    place: Place
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @cached_property
    def extents(self) -> tuple[int, ...]:
        """Bytes from the first to the last of all of it, and of one index along the axes before each other axis."""
        reach = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        return tuple(1 + sum(reach[axis:]) for axis in range(len(reach)))

    @property
    def stop(self) -> int:
        """One past the last byte."""
        return self.first + self.extents[0]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape)

    def view(self, of: Array) -> Array:
        """The region of an array with one element per byte of the place."""
        if len(self.shape) == 1:
            run: Array = of[self.first : self.first + self.shape[0]]
            return run
        box: Array = np.ndarray(self.shape, of.dtype, of.data, self.first, self.strides)
        return box

    def contains(self, byte: int) -> bool:
        left = byte - self.first
        for count, stride in zip(self.shape, self.strides, strict=True):
            left -= max(0, min(left // stride, count - 1)) * stride
        return left == 0

    def at(self, place: Place, offset: int) -> Region:
        return replace(self, place=place, first=self.first + offset)

    def overlaps(self, other: Region) -> bool:
        """Whether two regions may share a byte; exact for runs. Boxes of one tensor are told apart."""
        return self.place == other.place and self._meets(other, other.first - self.first, 0)

    def _meets(self, other: Region, apart: int, axis: int) -> bool:
        """Whether what is left from an axis on, of one index along those before, may share a byte when `apart` bytes.

        It is no longer than a stride of the axis before, so two meet in one period of that or across its border.
        """
        if not -other.extents[axis] < apart < self.extents[axis]:
            return False
        if self.strides != other.strides or axis == len(self.strides) - 1:
            return True
        rest = apart % self.strides[axis]
        return self._meets(other, rest, axis + 1) or self._meets(other, rest - self.strides[axis], axis + 1)

    def common(self, other: Region) -> tuple[int, int] | None:
        """First byte and one past the last that two regions share."""
        low, high = max(self.first, other.first), min(self.stop, other.stop)
        if self.place != other.place or low >= high:
            return None
        if len(self.shape) == len(other.shape) == 1:
            return low, high
        start = min(self.first, other.first)
        marks = np.zeros(max(self.stop, other.stop) - start, np.uint8)
        self.at("", -start).view(marks)[...] = 1
        other.at("", -start).view(marks)[...] += 1
        both = np.flatnonzero(marks == 2)
        return (start + int(both[0]), start + int(both[-1]) + 1) if both.size else None


def run(place: Place, first: int, size: int) -> Region:
    """Bytes that follow each other."""
    return Region(place, first, (size,), (1,))


def lines(place: Place, first: int, size: int, *outer: tuple[int, int]) -> Region:
    """Runs of `size` bytes: (count, bytes apart), outermost first. Runs that follow each other are one."""
    counts, steps = [size], [1]
    for count, stride in reversed(outer):
        if stride == steps[-1] * counts[-1]:
            counts[-1] *= count
        elif count != 1:
            counts.append(count)
            steps.append(stride)
    return Region(place, first, tuple(reversed(counts)), tuple(reversed(steps)))


def box_region(box: Box, shape: tuple[int, ...], itemsize: int) -> Region:
    """The bytes of a box of a dense tensor, from its first element; axes that follow each other are merged."""
    first, step, outer = 0, itemsize, list[tuple[int, int]]()
    for (low, high), size in zip(reversed(box), reversed(shape), strict=True):
        first += low * step
        outer.append((high - low, step))
        step *= size
    return lines("", first, itemsize, *reversed(outer))


def mask_regions(mask: Array, itemsize: int) -> Iterator[Region]:
    """The elements that a mask marks, as few regions: equal runs at equal distances are one."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)) * itemsize
    starts, sizes = edges[::2], edges[1::2] - edges[::2]
    if len(starts) > 1 and np.ptp(sizes) == 0 and np.ptp(gaps := np.diff(starts)) == 0:
        yield lines("", int(starts[0]), int(sizes[0]), (len(starts), int(gaps[0])))
    else:
        yield from (run("", int(start), int(size)) for start, size in zip(starts, sizes, strict=True))
