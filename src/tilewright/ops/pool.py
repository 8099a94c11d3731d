"""Pooling, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..ir.domain import Box, Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import F32, I8, U8, Array, TensorType
from .common import present, static
from .conv import Pair, border, window_extent, windows


@dataclass(frozen=True)
class _Pool(Op):
    """A window over h and w of x: [n, h, w, c]. `pad` is top, left, bottom, right."""

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.rank == 4, f"x is [n, h, w, c], it has {x.rank} axes")
        n, h, w, c = static(x.shape)
        top, left, bottom, right = self.pad
        require(
            min(*self.stride, *self.dilation, *self.kernel) >= 1 and min(self.pad) >= 0,
            "strides, dilations and pads are not negative",
        )
        oy = window_extent(h, top, bottom, self.kernel[0], self.stride[0], self.dilation[0])
        ox = window_extent(w, left, right, self.kernel[1], self.stride[1], self.dilation[1])
        require(oy >= 1 and ox >= 1, f"the window {self.kernel} fits the padded input")
        return (x.with_shape((n, oy, ox, c)),)

    def domain(self, *types: TensorType | None) -> Domain:
        (sy, sx), (dy, dx), (top, left, _, _) = self.stride, self.dilation, self.pad
        maps = {"x": f"n, oy*{sy}+ky*{dy}-{top}, ox*{sx}+kx*{dx}-{left}, c", "y": "n, oy, ox, c"}
        ky, kx = self.kernel
        return Domain.of("n oy ox c | ky kx", maps, extents={"ky": ky, "kx": kx}, macs=0)

    @classmethod
    def _geometry(cls, draw: Any) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        from hypothesis import strategies as st

        kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        dilation = (draw(st.integers(1, 2)), 1)
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
        pad = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
        size = [d * (k - 1) + 1 + draw(st.integers(0, 5)) for k, d in zip(kernel, dilation, strict=True)]
        return (kernel, stride, pad, dilation), (draw(st.integers(1, 2)), *size, draw(st.integers(1, 20)))


@dataclass(frozen=True)
class MaxPool2D(_Pool):
    """The largest element of each window; what lies outside is the least value of the type."""

    def tiled(self, ranges: Ranges) -> Op:
        return MaxPool2D(self.kernel, self.stride, (0, 0, 0, 0), self.dilation)

    def clipped(self, ranges: Ranges, outside: Mapping[str, Box]) -> Op:
        return MaxPool2D(self.kernel, self.stride, border(outside), self.dilation)

    def fill(self, operand: str) -> float | int:
        return -np.inf

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        top, left, bottom, right = self.pad
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=x.dtype.type(least))
        return np.asarray(windows(padded, self.kernel, self.stride, self.dilation).max((4, 5)))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        geometry, shape = cls._geometry(draw)
        return cls(*geometry), (TensorType(shape, draw(st.sampled_from([F32, I8, U8]))),)


@dataclass(frozen=True)
class AveragePool2D(_Pool):
    """The mean of each window of floats. `count_pad`: what lies outside counts as zeros, else it does not count.

    `over` is how far beyond bottom and right a last, incomplete window reaches (ceil mode); that never counts.
    """

    count_pad: bool = True
    over: Pair = (0, 0)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.dtype.is_float, "means of floats; quantised networks average with a requantisation")
        return super().infer(x)

    def domain(self, *types: TensorType | None) -> Domain:
        if self.count_pad and self.over == (0, 0):
            return super().domain(*types)
        return Domain.of("n c", {"x": "n, *, *, c", "y": "n, *, *, c"}, macs=0)  # counts depend on the position

    def tiled(self, ranges: Ranges) -> Op:
        if self.count_pad and self.over == (0, 0):
            return AveragePool2D(self.kernel, self.stride, (0, 0, 0, 0), self.dilation)
        return self

    def clipped(self, ranges: Ranges, outside: Mapping[str, Box]) -> Op:
        return replace(self, pad=border(outside)) if outside else self.tiled(ranges)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        top, left, bottom, right = self.pad
        edges = ((0, 0), (top, bottom), (left, right), (0, 0))
        inside = np.ones((1, *x.shape[1:3], 1))
        counted = np.pad(inside, edges, constant_values=1.0 if self.count_pad else 0.0)
        for axis, extra in ((1, self.over[0]), (2, self.over[1])):
            if extra:
                tail = [slice(None)] * 4
                tail[axis] = slice(counted.shape[axis] - extra, None)
                counted[tuple(tail)] = 0.0
        total = windows(np.pad(x.astype(np.float64), edges), self.kernel, self.stride, self.dilation).sum((4, 5))
        count = windows(counted, self.kernel, self.stride, self.dilation).sum((4, 5))
        return np.asarray(total / np.maximum(count, 1.0)).astype(x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        geometry, shape = cls._geometry(draw)
        kernel, stride, pad, dilation = geometry
        return cls(kernel, stride, pad, dilation, draw(st.booleans())), (TensorType(shape, F32),)
