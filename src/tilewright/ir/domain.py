"""Iteration domains and access maps: the geometry of an operator, said once.

    Domain.of("n oy ox co | ky kx ci",
              {"x": "n, oy*2+ky-1, ox*2+kx-1, ci", "w": "co, ky, kx, ci", "y": "n, oy, ox, co"})

says that an operator visits every (n, oy, ox, co), sums over (ky, kx, ci), and which element of each operand each
visit touches. Tile footprints, halos, work splits, MAC counts and the tests of any tiling are derived from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from .types import Dim, Expr, Shape, maximum

Box = tuple[tuple[int, int], ...]  # per axis: first index, one past the last
Ranges = Mapping[str, tuple[int, int]]  # per iteration dimension

_TERM = re.compile(r"([+-]?)(?:(\d+)\*)?([A-Za-z_]\w*)(?:\*(\d+))?|([+-]?\d+)")


@dataclass(frozen=True)
class Axis:
    """Index along one axis of an operand: (offset + sum of coefficient * dimension) // div; or the WHOLE axis."""

    terms: tuple[tuple[str, int], ...] = ()
    offset: int = 0
    div: int = 1
    whole: bool = False

    @staticmethod
    @cache
    def parse(text: str) -> Axis:
        """From "oy*2+ky-1", "h/4", "0" or "*" (the whole axis, whatever is computed)."""
        body = text.replace(" ", "")
        if body == "*":
            return Axis(whole=True)
        body, _, divisor = body.partition("/")
        terms, offset, at = [], 0, 0
        for match in _TERM.finditer(body):
            if match.start() != at:
                break
            at = match.end()
            sign, left, name, right, number = match.groups()
            if number is not None:
                offset += int(number)
            else:
                terms.append((name, (-1 if sign == "-" else 1) * int(left or 1) * int(right or 1)))
        if at != len(body) or not body:
            raise ValueError(f"not an access map: {text!r}")
        return Axis(tuple(terms), offset, int(divisor or 1))

    def interval(self, ranges: Ranges) -> tuple[int, int]:
        """First index and one past the last that the ranges touch; may lie outside the operand (padding)."""
        low = high = self.offset
        for name, coefficient in self.terms:
            first, stop = ranges[name]
            low += min(coefficient * first, coefficient * (stop - 1))
            high += max(coefficient * first, coefficient * (stop - 1))
        return low // self.div, high // self.div + 1

    @property
    def plain(self) -> str | None:
        """The dimension's name where the axis is just that dimension."""
        simple = len(self.terms) == 1 and self.terms[0][1] == 1 and self.offset == 0 and self.div == 1
        return self.terms[0][0] if simple else None


@dataclass(frozen=True)
class Domain:
    """Dimensions (parallel, then reduced), the access map of each operand, extents that no operand tells."""

    parallel: tuple[str, ...]
    reduced: tuple[str, ...]
    access: Mapping[str, tuple[Axis, ...]]
    given: tuple[tuple[str, Dim], ...] = ()
    macs_per_point: int = 1  # 0 where the visits are not multiply-accumulates
    besides: tuple[str, ...] = ()  # dimensions of a few operands alone, which multiply no accumulation

    @staticmethod
    def of(
        dims: str, access: Mapping[str, str], *, extents: Mapping[str, Dim] | None = None, macs: int = 1,
        besides: tuple[str, ...] = (),
    ) -> Domain:  # fmt: skip
        """From text: dims are "parallel | reduced" names, access maps are comma-separated axes."""
        parallel, _, reduced = dims.partition("|")
        maps = {
            name: tuple(Axis.parse(axis) for axis in text.split(",")) if text else () for name, text in access.items()
        }
        given = tuple((extents or {}).items())
        return Domain(tuple(parallel.split()), tuple(reduced.split()), maps, given, macs, besides)

    @cached_property
    def dims(self) -> tuple[str, ...]:
        return self.parallel + self.reduced

    def extents(self, shapes: Mapping[str, Shape]) -> dict[str, Dim]:
        """Extent of every dimension, from the shapes of the operands that it indexes plainly."""
        found: dict[str, Dim] = dict(self.given)
        for operand, axes in self.access.items():
            for axis, dim in zip(axes, shapes.get(operand, ()), strict=False):
                if axis.plain is not None:
                    found.setdefault(axis.plain, dim)
        missing = [name for name in self.dims if name not in found]
        if missing:
            raise ValueError(f"no operand tells the extent of {', '.join(missing)}")
        return found

    def footprint(self, operand: str, ranges: Ranges, shape: tuple[int, ...]) -> Box:
        """The box of an operand that a tile of the iteration domain touches, not clipped to the operand."""
        return tuple(
            (0, size) if axis.whole else axis.interval(ranges)
            for axis, size in zip(self.access[operand], shape, strict=True)
        )

    def cut_by(self, dim: str, operands: Iterable[str]) -> frozenset[str] | None:
        """Operands whose first axis is the dimension; None where one is indexed by it in another way."""
        found = set()
        for name in operands:
            axes = self.access.get(name, ())
            uses = [dim in dict(axis.terms) for axis in axes]
            if any(uses):
                if axes[0].plain != dim or any(uses[1:]):
                    return None
                found.add(name)
        return frozenset(found)

    def macs(self, shapes: Mapping[str, Shape]) -> Dim:
        """Multiply-accumulates of the whole operator; affine in at most one Sym, others at their maximum."""
        total: Dim = self.macs_per_point
        for dim in (self.extents(shapes)[name] for name in self.dims if name not in self.besides):
            if isinstance(dim, int):
                total = Expr.of(total) * dim
            elif isinstance(total, int) or not Expr.of(total).terms:
                total = Expr.of(dim) * Expr.of(total).const
            else:
                total = Expr.of(total) * maximum(dim)
        return Expr.of(total).simplified()
