"""Convolutions, channels last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..ir.domain import Box, Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import F32, I8, I32, U8, Array, TensorType
from .common import exact_product, padded, present, static
from .epilogue import Clamp, Epilogue, Requantise, accumulated, finish, finished_type, requant_maps
from .quantize import QuantizedAdd

Pair = tuple[int, int]


def window_extent(size: int, before: int, after: int, kernel: int, stride: int, dilation: int) -> int:
    """Positions of a window along one axis."""
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def windows(x: Array, kernel: Pair, stride: Pair, dilation: Pair) -> Array:
    """[n, h, w, c] -> a view [n, oy, ox, c, ky, kx]."""
    span = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(x, span, axis=(1, 2))
    return np.asarray(seen[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]])


def border(outside: Mapping[str, Box]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of a tile whose footprint of x reaches over the edges; see `Op.clipped`."""
    _, rows, columns, _ = outside.get("x", ((0, 0),) * 4)
    return rows[0], columns[0], rows[1], columns[1]


@dataclass(frozen=True)
class _Convolution(Op):
    """What convolutions share: window geometry, padding value, epilogue.

    `pad` is top, left, bottom, right; what lies outside of x is `pad_value` (the zero point of quantised inputs).
    """

    stride: Pair = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    pad_value: int = 0
    epilogue: Epilogue = None
    operands: ClassVar[tuple[str, ...]] = ("x", "w", "b?", "mul?", "add?")

    def _kernel(self, w: TensorType) -> Pair:
        raise NotImplementedError

    def _channels(self, x: TensorType, w: TensorType) -> int:
        raise NotImplementedError

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        _, _, b, mul, add = padded(types, 5)
        x, w = present(types[:2])
        require(x.rank == 4, f"x is [n, h, w, c], it has {x.rank} axes")
        channels = self._channels(x, w)
        require(
            min(*self.stride, *self.dilation) >= 1 and min(self.pad) >= 0,
            "strides, dilations and pads are not negative",
        )
        dtype = finished_type(self.epilogue, accumulated(x, w), channels, b, mul, add)
        n, h, width, _ = static(x.shape)
        (ky, kx), (top, left, bottom, right) = self._kernel(w), self.pad
        oy = window_extent(h, top, bottom, ky, self.stride[0], self.dilation[0])
        ox = window_extent(width, left, right, kx, self.stride[1], self.dilation[1])
        require(
            oy >= 1 and ox >= 1, f"the kernel {ky}x{kx} fits the padded input {h + top + bottom}x{width + left + right}"
        )
        return (TensorType((n, oy, ox, channels), dtype),)

    def _window_maps(self) -> tuple[str, str]:
        (sy, sx), (dy, dx), (top, left, _, _) = self.stride, self.dilation, self.pad
        return f"oy*{sy}+ky*{dy}-{top}", f"ox*{sx}+kx*{dx}-{left}"

    def tiled(self, ranges: Ranges) -> Op:
        return replace(self, pad=(0, 0, 0, 0))

    def clipped(self, ranges: Ranges, outside: Mapping[str, Box]) -> Op:
        return replace(self, pad=border(outside))

    def fill(self, operand: str) -> float | int:
        return self.pad_value if operand == "x" else 0

    def _padded(self, x: Array) -> Array:
        top, left, bottom, right = self.pad
        return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=x.dtype.type(self.pad_value))

    def _finish(self, acc: Array, x: Array, w: Array, rest: tuple[Array | None, ...]) -> Array:
        b, mul, add = padded(rest, 3)
        return finish(self.epilogue, acc if b is None else acc + b, x, w, mul, add)

    @classmethod
    def _draw(cls, draw: Any, channels: int) -> tuple[Any, ...]:
        """Geometry, element types, epilogue and its operands' types for `channels` outputs."""
        from hypothesis import strategies as st

        kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
        span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
        pad = tuple(draw(st.integers(0, 2)) for _ in range(4))
        size = [draw(st.integers(max(1, s - 1), s + 6)) for s in span]
        size = [max(n, s - pad[a] - pad[a + 2]) for a, (n, s) in enumerate(zip(size, span, strict=True))]
        if draw(st.booleans()):
            clamp = draw(st.sampled_from([None, Clamp(0.0), Clamp(-1.0, 2.0)]))
            bias = TensorType((channels,), F32) if draw(st.booleans()) else None
            return cls(stride, pad, dilation, 0, clamp), kernel, size, F32, F32, (bias,)
        per = TensorType((channels if draw(st.booleans()) else 1,), I32)
        epilogue = draw(st.sampled_from([None, Requantise(9, -128, 127, I8), Requantise(12, 0, 200, U8)]))
        rest = (None, per, per) if epilogue else (TensorType((channels,), I32) if draw(st.booleans()) else None,)
        dtype = draw(st.sampled_from([I8, U8]))
        op = cls(stride, pad, dilation, draw(st.sampled_from([0, 5])), epilogue)
        return op, kernel, size, dtype, I8, rest


@dataclass(frozen=True)
class _Filters(_Convolution):
    """Convolutions whose filters see all channels: w is [co, ky, kx, ci]."""

    def _kernel(self, w: TensorType) -> Pair:
        return static(w.shape)[1], static(w.shape)[2]

    def _channels(self, x: TensorType, w: TensorType) -> int:
        require(w.rank == 4, "w is [co, ky, kx, ci]")
        require(
            x.shape[3] == w.shape[3], f"x and w have the same input channels, they have {x.shape[3]} and {w.shape[3]}"
        )
        return static(w.shape)[0]

    def domain(self, *types: TensorType | None) -> Domain:
        _, w, b, mul, add = padded(types[:-1], 5)
        assert w is not None
        ky, kx = self._kernel(w)
        row, column = self._window_maps()
        maps = {"x": f"n, {row}, {column}, ci", "w": "co, ky, kx, ci", "y": "n, oy, ox, co"}
        maps |= {"b": "co"} if b is not None else {}
        maps |= requant_maps(self.epilogue, mul, add, "co")
        return Domain.of("n oy ox co | ky kx ci", maps, extents={"ky": ky, "kx": kx})

    def reference(self, *arrays: Array | None) -> Array:
        x, w = present(arrays[:2])
        return self._finish(self._sums(x, w), x, w, arrays[2:])

    def _sums(self, x: Array, w: Array) -> Array:
        """Exact sums: int64 or float64."""
        seen = windows(self._padded(x), (w.shape[1], w.shape[2]), self.stride, self.dilation)
        n, oy, ox = seen.shape[:3]
        columns = seen.transpose(0, 1, 2, 4, 5, 3).reshape(n * oy * ox, -1)
        return exact_product(columns, w.reshape(w.shape[0], -1).T).reshape(n, oy, ox, w.shape[0])


@dataclass(frozen=True)
class Conv2D(_Filters):
    """2-D convolution. x: [n, h, w, ci], w: [co, ky, kx, ci], b: [co] (i32 for integers), y: [n, oy, ox, co].

    Accumulates exactly, then applies the epilogue.
    """

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        n, ci, co = (draw(st.integers(1, high)) for high in (2, 9, 20))
        op, kernel, size, dtype, weight, rest = cls._draw(draw, co)
        return op, (TensorType((n, *size, ci), dtype), TensorType((co, *kernel, ci), weight), *rest)


@dataclass(frozen=True)
class ResidualConv2D(_Filters):
    """A convolution that a residual r, shaped as the result, joins; the result may lie where r was.

    Floats: y = clamp(conv(x, w) + b + r). Integers: the sums are requantised, then `join` adds r at its own scale.
    """

    join: QuantizedAdd | None = None
    operands = ("x", "w", "b?", "mul?", "add?", "r")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        require(len(types) == 6 and types[5] is not None, "there is a residual")
        r = types[5]
        assert r is not None
        (y,) = super().infer(*types[:5])
        require(r.shape == y.shape, f"the residual is shaped as the result {list(y.shape)}, it is {list(r.shape)}")
        if self.join is None:
            require(r.dtype == y.dtype and y.dtype.is_float, "a float residual joins float sums")
            return (y,)
        require(isinstance(self.epilogue, Requantise), "an integer residual joins requantised sums")
        return self.join.infer(y, r)

    def domain(self, *types: TensorType | None) -> Domain:
        whole = super().domain(*types[:5], types[-1])
        return replace(whole, access={**whole.access, "r": whole.access["y"]})

    def reference(self, *arrays: Array | None) -> Array:
        r = arrays[5]
        assert r is not None
        if self.join is None:
            x, w = present(arrays[:2])
            plain = self._sums(x, w) + r.astype(np.float64) + (0 if arrays[2] is None else arrays[2])
            return finish(self.epilogue, plain, r, r, None, None)
        return self.join.reference(super().reference(*arrays[:5]), r)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        n, ci, co = (draw(st.integers(1, high)) for high in (2, 9, 20))
        op, kernel, size, dtype, weight, rest = cls._draw(draw, co)
        operands = (TensorType((n, *size, ci), dtype), TensorType((co, *kernel, ci), weight), *padded(rest, 3))
        if dtype != F32:
            op = op if op.epilogue else replace(op, epilogue=Requantise(9, -128, 127, I8))
            per = TensorType((co if draw(st.booleans()) else 1,), I32)
            operands = (*operands[:2], None, per, per)
            factor = st.integers(-300, 300)
            add = draw(st.integers(-20 << 8, 20 << 8))
            op = replace(
                op, join=QuantizedAdd(draw(factor), draw(factor), add, 8, -128, draw(st.sampled_from([127, 90])), I8)
            )
        (y,) = _Filters.infer(op, *operands)
        return op, (*operands, TensorType(y.shape, F32 if dtype == F32 else draw(st.sampled_from([I8, U8]))))


@dataclass(frozen=True)
class DepthwiseConv2D(_Convolution):
    """Every channel convolved on its own. x: [n, h, w, c], w: [ky, kx, c], b: [c], y: [n, oy, ox, c]."""

    def _kernel(self, w: TensorType) -> Pair:
        return static(w.shape)[0], static(w.shape)[1]

    def _channels(self, x: TensorType, w: TensorType) -> int:
        require(w.rank == 3, "w is [ky, kx, c]")
        require(x.shape[3] == w.shape[2], f"x and w have the same channels, they have {x.shape[3]} and {w.shape[2]}")
        return static(w.shape)[2]

    def domain(self, *types: TensorType | None) -> Domain:
        _, w, b, mul, add = padded(types[:-1], 5)
        assert w is not None
        ky, kx = self._kernel(w)
        row, column = self._window_maps()
        maps = {"x": f"n, {row}, {column}, c", "w": "ky, kx, c", "y": "n, oy, ox, c"}
        maps |= {"b": "c"} if b is not None else {}
        maps |= requant_maps(self.epilogue, mul, add, "c")
        return Domain.of("n oy ox c | ky kx", maps, extents={"ky": ky, "kx": kx})

    def reference(self, *arrays: Array | None) -> Array:
        x, w = present(arrays[:2])
        wide = np.float64 if x.dtype.kind == "f" else np.int64
        seen = windows(self._padded(x).astype(wide), (w.shape[0], w.shape[1]), self.stride, self.dilation)
        return self._finish(np.einsum("nyxcab,abc->nyxc", seen, w.astype(wide)), x, w, arrays[2:])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        n, c = draw(st.integers(1, 2)), draw(st.integers(1, 20))
        op, kernel, size, dtype, weight, rest = cls._draw(draw, c)
        return op, (TensorType((n, *size, c), dtype), TensorType((*kernel, c), weight), *rest)
