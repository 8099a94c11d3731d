"""Operators that only move data: reshaping (a view), permuting, cutting, joining, padding, repeating."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Box, Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import F32, I8, I64, Array, Dim, TensorType
from .common import aligned, broadcast, dims, present, shape_strategy, static, volume, whole


@dataclass(frozen=True)
class Reshape(Op):
    """The same elements in the same order under another shape. A view: no data moves."""

    shape: tuple[int, ...] = ()
    operands = ("x",)
    view = True

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(
            volume(x.shape) == math.prod(self.shape),
            f"a reshape keeps the number of elements: {list(x.shape)} to {list(self.shape)}",
        )
        return (x.with_shape(self.shape),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("", whole(types, ["x", "y"]), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        return np.asarray(present(arrays)[0].reshape(self.shape))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        shape = shape_strategy(draw)
        return cls((*shape[:-2], math.prod(shape[-2:]))), (TensorType(shape, F32),)


@dataclass(frozen=True)
class Columns(Op):
    """y[0, c] = x[0, first + c]: some columns of a matrix of one row. A view: no data moves."""

    first: int = 0
    count: int = 1
    operands = ("x",)
    view = True

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.rank == 2 and x.shape[0] == 1, "x has one row")
        require(self.first >= 0 and 0 < self.count <= x.static_shape[1] - self.first, "the columns lie within x")
        return (x.with_shape((1, self.count)),)

    def domain(self, *types: TensorType | None) -> Domain:
        return Domain.of("t c", {"x": "t, *", "y": "t, c"}, macs=0)

    def offset(self, *types: TensorType | None) -> Dim:
        return self.first

    def reference(self, *arrays: Array | None) -> Array:
        return present(arrays)[0][:, self.first : self.first + self.count]

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        first, count, more = (draw(st.integers(low, 20)) for low in (0, 1, 0))
        return cls(first, count), (TensorType((1, first + count + more), F32),)


@dataclass(frozen=True)
class Copy(Op):
    """y = x: what an output needs that would otherwise be an input, a constant, or another output."""

    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        return present(types)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types)[0].rank)
        return Domain.of(" ".join(names), dict.fromkeys("xy", ", ".join(names)), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        return np.array(present(arrays)[0])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        return cls(), (TensorType(shape_strategy(draw), F32),)


@dataclass(frozen=True)
class Transpose(Op):
    """Axis k of y is axis perm[k] of x."""

    perm: tuple[int, ...] = ()
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(sorted(self.perm) == list(range(x.rank)), f"perm names each of {x.rank} axes once, it is {self.perm}")
        return (x.with_shape(tuple(x.shape[p] for p in self.perm)),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(len(self.perm))
        source = ", ".join(names[self.perm.index(axis)] for axis in range(len(names)))
        return Domain.of(" ".join(names), {"x": source, "y": ", ".join(names)}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        return np.ascontiguousarray(present(arrays)[0].transpose(self.perm))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        return cls(tuple(draw(st.permutations(range(len(shape)))))), (
            TensorType(shape, draw(st.sampled_from([F32, I8]))),
        )


@dataclass(frozen=True)
class Slice(Op):
    """y[i] = x[start + i * step] for i below `shape`, per axis; steps may be negative."""

    start: tuple[int, ...] = ()
    step: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(len(self.start) == len(self.step) == len(self.shape) == x.rank, "one start, step and size per axis")
        for start, step, size, extent in zip(self.start, self.step, self.shape, static(x.shape), strict=True):
            last = start + max(size - 1, 0) * step
            require(size == 0 or (0 <= start < extent and 0 <= last < extent), "a slice lies within its operand")
            require(size >= 0 and start >= 0 and step != 0, "starts and sizes are not negative, steps not 0")
        return (x.with_shape(self.shape),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(len(self.shape))
        source = ", ".join(f"{n}*{step}+{start}" if step > 0 else f"-{n}*{-step}+{start}"
                           for n, start, step in zip(names, self.start, self.step, strict=True))  # fmt: skip
        return Domain.of(
            " ".join(names), {"x": source, "y": ", ".join(names)},
            extents=dict(zip(names, self.shape, strict=True)), macs=0,
        )  # fmt: skip

    def tiled(self, ranges: Ranges) -> Op:
        """Over a footprint that was cut out: it begins at 0 going up, at the footprint's last element going down."""
        sizes = tuple(stop - first for first, stop in (ranges[name] for name in dims(len(self.shape))))
        start = tuple(0 if step > 0 else (size - 1) * -step for step, size in zip(self.step, sizes, strict=True))
        return Slice(start, self.step, sizes)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        picks = [s + k * np.arange(n) for s, k, n in zip(self.start, self.step, self.shape, strict=True)]
        return np.ascontiguousarray(x[np.ix_(*picks)]) if picks else x

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        x = shape_strategy(draw, max_rank=3, high=8)
        start, step, shape = [], [], []
        for extent in x:
            first = draw(st.integers(0, extent - 1))
            stride = draw(st.sampled_from([1, 1, 2, -1, -2]))
            room = (extent - 1 - first) // stride if stride > 0 else first // -stride
            start.append(first)
            step.append(stride)
            shape.append(draw(st.integers(1, room + 1)))
        return cls(tuple(start), tuple(step), tuple(shape)), (TensorType(x, F32),)


@dataclass(frozen=True)
class Expand(Op):
    """x broadcast to a shape."""

    shape: tuple[int, ...] = ()
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(broadcast(x.shape, self.shape) == self.shape, f"{list(x.shape)} broadcasts to {list(self.shape)}")
        return (x.with_shape(self.shape),)

    def domain(self, *types: TensorType | None) -> Domain:
        (x,) = present(types[:1])
        names = dims(len(self.shape))
        maps = {"x": aligned(x.shape, names), "y": ", ".join(names)}
        return Domain.of(" ".join(names), maps, extents=dict(zip(names, self.shape, strict=True)), macs=0)

    def tiled(self, ranges: Ranges) -> Op:
        return Expand(tuple(stop - first for first, stop in (ranges[name] for name in dims(len(self.shape)))))

    def reference(self, *arrays: Array | None) -> Array:
        return np.ascontiguousarray(np.broadcast_to(present(arrays)[0], self.shape))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from .common import partly_broadcast

        shape = shape_strategy(draw)
        return cls(shape), (TensorType(partly_broadcast(draw, shape), F32),)


@dataclass(frozen=True)
class Concat(Op):
    """The operands one after another along an axis."""

    axis: int = 0
    operands = ("x*",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        kinds = present(types)
        require(len(kinds) > 0, "there is something to join")
        first = kinds[0]
        require(0 <= self.axis < first.rank, "the axis is one of the operands'")
        total = 0
        for kind in kinds:
            same = kind.rank == first.rank and all(
                axis == self.axis or a == b for axis, (a, b) in enumerate(zip(kind.shape, first.shape, strict=False))
            )
            require(same, f"joined operands agree except along the axis: {list(kind.shape)} and {list(first.shape)}")
            require(kind.dtype == first.dtype, "joined operands have the same element type")
            total += static(kind.shape)[self.axis]
        return (first.with_shape((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :])),)

    def domain(self, *types: TensorType | None) -> Domain:
        kinds = present(types)
        names = dims(kinds[0].rank)
        names[self.axis] = "*"
        text = ", ".join(names)
        maps = {f"x{i}": text for i in range(len(kinds) - 1)}
        return Domain.of(" ".join(n for n in names if n != "*"), {**maps, "y": text}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        return np.concatenate(present(arrays), self.axis)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = list(shape_strategy(draw))
        axis = draw(st.integers(0, len(shape) - 1))
        kinds = []
        for _ in range(draw(st.integers(1, 4))):
            shape[axis] = draw(st.integers(1, 5))
            kinds.append(TensorType(tuple(shape), F32))
        return cls(axis), tuple(kinds)


@dataclass(frozen=True)
class Windows(Op):
    """y[n, oy, ox, ky, kx, c] = x[n, oy * sy + ky * dy, ox * sx + kx * dx, c]: windows of an image, side by side."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.rank == 4, f"x is [n, h, w, c], it has {x.rank} axes")
        require(min(*self.kernel, *self.stride, *self.dilation) >= 1, "sizes, strides and dilations are positive")
        n, *image, c = static(x.shape)
        sizes = zip(image, self.kernel, self.stride, self.dilation, strict=True)
        places = [(extent - dilation * (size - 1) - 1) // stride + 1 for extent, size, stride, dilation in sizes]
        require(min(places) >= 1, "a window lies within its operand")
        return (x.with_shape((n, *places, *self.kernel, c)),)

    def domain(self, *types: TensorType | None) -> Domain:
        (sy, sx), (dy, dx) = self.stride, self.dilation
        maps = {"x": f"n, oy*{sy}+ky*{dy}, ox*{sx}+kx*{dx}, c", "y": "n, oy, ox, ky, kx, c"}
        return Domain.of("n oy ox ky kx c", maps, macs=0)

    def tiled(self, ranges: Ranges) -> Op:
        """Over a footprint that was cut out: its windows are smaller where they are cut."""
        ky, kx = (stop - first for first, stop in (ranges["ky"], ranges["kx"]))
        return Windows((ky, kx), self.stride, self.dilation)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        _, oy, ox, *_ = self.infer(TensorType(tuple(x.shape), I8))[0].static_shape
        rows, columns = (
            stride * np.arange(places)[:, None] + dilation * np.arange(size)
            for places, size, stride, dilation in zip((oy, ox), self.kernel, self.stride, self.dilation, strict=True)
        )
        return np.ascontiguousarray(x[:, rows][:, :, :, columns].transpose(0, 1, 3, 2, 4, 5))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        kernel, stride, dilation = ((draw(st.integers(1, n)), draw(st.integers(1, n))) for n in (3, 2, 2))
        least = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        image = [draw(st.integers(size, size + 5)) for size in least]
        return cls(kernel, stride, dilation), (
            TensorType((draw(st.integers(1, 2)), *image, draw(st.integers(1, 5))), F32),
        )


@dataclass(frozen=True)
class Pad(Op):
    """x within a border of one value: `before` and `after` elements per axis."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    value: float | int = 0
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(len(self.before) == len(self.after) == x.rank, "one border before and after each axis")
        require(min((*self.before, *self.after), default=0) >= 0, "borders are not negative")
        sizes = zip(static(x.shape), self.before, self.after, strict=True)
        return (x.with_shape(tuple(d + b + a for d, b, a in sizes)),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(len(self.before))
        source = ", ".join(f"{n}-{b}" for n, b in zip(names, self.before, strict=True))
        _, y = present(types)
        return Domain.of(
            " ".join(names), {"x": source, "y": ", ".join(names)},
            extents=dict(zip(names, y.shape, strict=True)), macs=0,
        )  # fmt: skip

    def tiled(self, ranges: Ranges) -> Op:
        return Pad((0,) * len(self.before), (0,) * len(self.after), self.value)

    def clipped(self, ranges: Ranges, outside: Mapping[str, Box]) -> Op:
        over = outside.get("x", ((0, 0),) * len(self.before))
        return Pad(tuple(low for low, _ in over), tuple(high for _, high in over), self.value)

    def fill(self, operand: str) -> float | int:
        return self.value

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        border = list(zip(self.before, self.after, strict=True))
        return np.pad(x, border, constant_values=x.dtype.type(self.value)) if border else x.copy()

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, max_rank=3)
        before, after = (tuple(draw(st.integers(0, 3)) for _ in shape) for _ in range(2))
        return cls(before, after, draw(st.sampled_from([0, 1, -3]))), (
            TensorType(shape, draw(st.sampled_from([F32, I8, I64]))),
        )
