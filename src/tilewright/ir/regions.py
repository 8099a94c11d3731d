"""Sets of bytes: a run, or runs at equal distances in several dimensions, as a box of a tensor is in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

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

    @property
    def stop(self) -> int:
        """One past the last byte."""
        return self.first + 1 + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))

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


def lines(place: Place, first: int, size: int, count: int, stride: int) -> Region:
    """`count` runs of `size` bytes, `stride` bytes apart."""
    return run(place, first, size) if count == 1 else Region(place, first, (count, size), (stride, 1))


def box_region(box: Box, shape: tuple[int, ...], itemsize: int) -> Region:
    """The bytes of a box of a dense tensor, from its first element; axes that follow each other are merged."""
    counts, steps, first, step = [itemsize], [1], 0, itemsize
    for (low, high), size in zip(reversed(box), reversed(shape), strict=True):
        first += low * step
        if high - low > 1:
            if step == steps[-1] * counts[-1]:
                counts[-1] *= high - low
            else:
                counts.append(high - low)
                steps.append(step)
        step *= size
    return Region("", first, tuple(reversed(counts)), tuple(reversed(steps)))


def mask_regions(mask: Array, itemsize: int) -> Iterator[Region]:
    """The elements that a mask marks, as few regions: equal runs at equal distances are one."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)) * itemsize
    starts, sizes = edges[::2], edges[1::2] - edges[::2]
    if len(starts) > 1 and np.ptp(sizes) == 0 and np.ptp(gaps := np.diff(starts)) == 0:
        yield lines("", int(starts[0]), int(sizes[0]), len(starts), int(gaps[0]))
    else:
        yield from (run("", int(start), int(size)) for start, size in zip(starts, sizes, strict=True))
