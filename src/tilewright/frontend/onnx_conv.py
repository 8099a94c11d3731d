"""ONNX's convolutions and pooling: 1-D and 2-D, channels first outside, channels last inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.types import I8, I32, Array, Value
from ..ops import AveragePool2D, Binary, Conv2D, DepthwiseConv2D, MaxPool2D, Pad, Reduce, Unary
from .onnx_import import Converter, Importer, OnnxNode, Results
from .onnx_shape import joined, reshaped, sliced, transposed

Pair = tuple[int, int]
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def channels_last(g: Importer, x: Value) -> Value:
    """[n, c, w] or [n, c, h, w] -> [n, h, w, c]."""
    shape = x.type.static_shape
    if len(shape) == 3:
        x = reshaped(g, x, (shape[0], shape[1], 1, shape[2]))
    return transposed(g, x, TO_LAST)


def channels_first(g: Importer, y: Value, rank: int) -> Value:
    """The way back, to a tensor of `rank` axes."""
    y = transposed(g, y, TO_FIRST)
    n, c, h, w = y.type.static_shape
    return reshaped(g, y, (n, c, h * w)) if rank == 3 else y


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution or pooling over h and w; 1-D has h = 1. `over`: see AveragePool2D."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    pad: tuple[int, int, int, int]
    over: Pair = (0, 0)


def window(n: OnnxNode, kernel: Sequence[int], sizes: Sequence[int], *, ceil: bool = False) -> Window:
    """Strides, dilations, pads and auto_pad of a node, for spatial sizes; 1-D becomes 2-D."""
    rank = len(sizes)
    if rank not in (1, 2) or len(kernel) != rank:
        raise n.refuse(f"{rank} spatial axes with a kernel of {len(kernel)}", "convolutions and pools are 1-D or 2-D")
    stride = n.integers("strides", (1,) * rank)
    dilation = n.integers("dilations", (1,) * rank)
    pads = n.integers("pads", (0,) * (2 * rank))
    if len(stride) != rank or len(dilation) != rank or len(pads) != 2 * rank:
        raise n.refuse("strides, dilations or pads of the wrong length", f"one per spatial axis, there are {rank}")
    if min((*stride, *dilation, *kernel)) < 1 or min(pads) < 0:
        raise n.refuse("a stride, dilation or kernel below 1, or a negative pad", "geometry is positive")
    mode = n.text("auto_pad", "NOTSET")
    before, after, over = list(pads[:rank]), list(pads[rank:]), [0] * rank
    for axis, (size, k, s, d) in enumerate(zip(sizes, kernel, stride, dilation, strict=True)):
        span = d * (k - 1) + 1
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            total = max(0, (-(-size // s) - 1) * s + span - size)
            small, large = total // 2, total - total // 2
            before[axis], after[axis] = (small, large) if mode == "SAME_UPPER" else (large, small)
        elif mode == "VALID":
            before[axis] = after[axis] = 0
        if ceil:
            room = size + before[axis] + after[axis] - span
            outputs = -(-room // s) + 1
            if (outputs - 1) * s >= size + before[axis]:  # a window that would start beyond the input does not count
                outputs -= 1
            over[axis] = max(0, (outputs - 1) * s + span - (size + before[axis] + after[axis]))
            after[axis] += over[axis]
    if rank == 1:
        return Window((1, kernel[0]), (1, stride[0]), (1, dilation[0]), (0, before[0], 0, after[0]), (0, over[0]))
    pad = (before[0], before[1], after[0], after[1])
    return Window((kernel[0], kernel[1]), (stride[0], stride[1]), (dilation[0], dilation[1]), pad, (over[0], over[1]))


def convolved(
    g: Importer, n: OnnxNode, x: Value, w: Value, b: Value | None, groups: int, geometry: Window, pad_value: int = 0
) -> Value:
    """x: [n, h, w, c]; w: [co, ci / groups, ky, kx]. Depthwise where it is, otherwise one convolution per group."""
    co, per_group = w.type.static_shape[:2]
    channels = x.type.static_shape[3]
    if groups < 1 or co % groups or per_group * groups != channels:
        raise n.refuse(
            f"{channels} input channels, {co} outputs, {groups} groups, weights {list(w.type.shape)}",
            "the channels divide into the groups",
        )
    common = (geometry.stride, geometry.pad, geometry.dilation, pad_value)
    if groups == channels and co == channels and channels > 1:
        kernel = transposed(g, reshaped(g, w, (co, *w.type.static_shape[2:])), (1, 2, 0))
        return g.emit(DepthwiseConv2D(*common), x, kernel, b)
    kernel = transposed(g, w, TO_LAST)
    if groups == 1:
        return g.emit(Conv2D(*common), x, kernel, b)
    parts = []
    each = co // groups
    for group in range(groups):
        part = sliced(g, x, 3, group * per_group, per_group)
        bias = sliced(g, b, 0, group * each, each) if b is not None else None
        parts.append(g.emit(Conv2D(*common), part, sliced(g, kernel, 0, group * each, each), bias))
    return joined(g, parts, 3)


def _weights_2d(g: Importer, w: Value) -> Value:
    shape = w.type.static_shape
    return reshaped(g, w, (shape[0], shape[1], 1, shape[2])) if len(shape) == 3 else w


def conv(g: Importer, n: OnnxNode) -> Results:
    x, w, b = n.input(0), n.input(1), n.optional(2)
    if w.type.rank != x.type.rank:
        raise n.refuse(f"weights {list(w.type.shape)} for x {list(x.type.shape)}", "weights have the rank of x")
    geometry = window(n, n.integers("kernel_shape", w.type.static_shape[2:]), x.type.static_shape[2:])
    y = convolved(g, n, channels_last(g, x), _weights_2d(g, w), b, n.integer("group", 1), geometry)
    return channels_first(g, y, x.type.rank)


def conv_transpose(g: Importer, n: OnnxNode) -> Results:
    """Zeros between the elements of x, then a convolution with the kernel turned round."""
    x, w, b = n.input(0), n.input(1), n.optional(2)
    rank = x.type.rank - 2
    if rank not in (1, 2) or w.type.rank != x.type.rank:
        raise n.refuse(f"{rank} spatial axes", "transposed convolutions are 1-D or 2-D")
    sizes, kernel = x.type.static_shape[2:], w.type.static_shape[2:]
    stride, dilation = n.integers("strides", (1,) * rank), n.integers("dilations", (1,) * rank)
    extra = n.integers("output_padding", (0,) * rank)
    pads = list(n.integers("pads", (0,) * (2 * rank)))
    wanted, mode = n.attribute("output_shape"), n.text("auto_pad", "NOTSET")
    if wanted is not None or mode in ("SAME_UPPER", "SAME_LOWER"):
        target = (
            [int(d) for d in wanted][-rank:]
            if wanted is not None
            else [i * s for i, s in zip(sizes, stride, strict=True)]
        )
        for a in range(rank):
            total = stride[a] * (sizes[a] - 1) + extra[a] + (kernel[a] - 1) * dilation[a] + 1 - target[a]
            half = total // 2
            pads[a], pads[a + rank] = (half, total - half) if mode == "SAME_UPPER" else (total - half, half)
    x4 = channels_last(g, x)
    w4 = _weights_2d(g, w)
    if rank == 1:
        kernel, stride, dilation, extra = (1, *kernel), (1, *stride), (1, *dilation), (0, *extra)
        pads = [0, pads[0], 0, pads[1]]
    x4 = _spread(g, x4, stride)
    border = [dilation[a] * (kernel[a] - 1) - pads[a] for a in range(2)]
    border += [dilation[a] * (kernel[a] - 1) - pads[a + 2] + extra[a] for a in range(2)]
    top, left, bottom, right = border
    x4 = _bordered(g, x4, top, left, bottom, right)
    groups, (ci, each) = n.integer("group", 1), w4.type.static_shape[:2]
    if groups < 1 or ci % groups:
        raise n.refuse(f"{ci} channels in {groups} groups", "the channels divide into the groups")
    flipped = sliced(g, sliced(g, w4, 2, kernel[0] - 1, kernel[0], -1), 3, kernel[1] - 1, kernel[1], -1)
    grouped = reshaped(g, flipped, (groups, ci // groups, each, *kernel))
    turned = reshaped(g, transposed(g, grouped, (0, 2, 1, 3, 4)), (groups * each, ci // groups, *kernel))
    geometry = Window((kernel[0], kernel[1]), (1, 1), (dilation[0], dilation[1]), (0, 0, 0, 0))
    return channels_first(g, convolved(g, n, x4, turned, b, groups, geometry), x.type.rank)


def _spread(g: Importer, x: Value, stride: Sequence[int]) -> Value:
    """Stride - 1 zeros between the elements along h and w."""
    n, h, w, c = x.type.static_shape
    sy, sx = stride[0], stride[1]
    if (sy, sx) == (1, 1):
        return x
    wide = g.emit(Pad((0,) * 6, (0, 0, sy - 1, 0, sx - 1, 0)), reshaped(g, x, (n, h, 1, w, 1, c)))
    wide = reshaped(g, wide, (n, h * sy, w * sx, c))
    return sliced(g, sliced(g, wide, 1, 0, (h - 1) * sy + 1), 2, 0, (w - 1) * sx + 1)


def _bordered(g: Importer, x: Value, top: int, left: int, bottom: int, right: int) -> Value:
    """Zeros around h and w; negative numbers cut."""
    _, h, w, _ = x.type.static_shape
    x = sliced(g, x, 1, max(0, -top), h - max(0, -top) - max(0, -bottom))
    x = sliced(g, x, 2, max(0, -left), w - max(0, -left) - max(0, -right))
    top, left, bottom, right = (max(0, p) for p in (top, left, bottom, right))
    return g.emit(Pad((0, top, left, 0), (0, bottom, right, 0)), x) if any((top, left, bottom, right)) else x


def max_pool(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    if n.wants(1):
        raise n.refuse("the places of the maxima", "MaxPool has one output")
    geometry = window(n, n.integers("kernel_shape"), x.type.static_shape[2:], ceil=bool(n.integer("ceil_mode")))
    y = g.emit(MaxPool2D(geometry.kernel, geometry.stride, geometry.pad, geometry.dilation), channels_last(g, x))
    return channels_first(g, y, x.type.rank)


def average_pool(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    geometry = window(n, n.integers("kernel_shape"), x.type.static_shape[2:], ceil=bool(n.integer("ceil_mode")))
    count = bool(n.integer("count_include_pad"))
    return channels_first(g, averaged(g, channels_last(g, x), geometry, count), x.type.rank)


def averaged(g: Importer, x: Value, geometry: Window, count_pad: bool) -> Value:
    """A mean over windows of x: [n, h, w, c]."""
    plain = geometry.pad == (0, 0, 0, 0)
    op = AveragePool2D(
        geometry.kernel, geometry.stride, geometry.pad, geometry.dilation, count_pad or plain, geometry.over
    )
    return g.emit(op, x)


def lp_pool(g: Importer, n: OnnxNode) -> Results:
    """(sum |x|^p)^(1/p): a mean of powers times the size of the window."""
    x, p = n.input(0), n.integer("p", 2)
    geometry = window(n, n.integers("kernel_shape"), x.type.static_shape[2:], ceil=bool(n.integer("ceil_mode")))
    powers = g.emit(Unary("abs"), x)
    if p == 2:
        powers = g.emit(Binary("mul"), x, x)
    elif p != 1:
        powers = g.emit(Binary("pow"), powers, g.like(x, p))
    total = averaged(g, channels_last(g, powers), geometry, count_pad=True)
    if geometry.over != (0, 0):
        raise n.refuse("ceil_mode", "LpPool rounds down")
    total = g.emit(Binary("mul"), total, g.like(x, math.prod(geometry.kernel)))
    if p == 2:
        total = g.emit(Unary("sqrt"), total)
    elif p != 1:
        total = g.emit(Binary("pow"), total, g.like(x, 1.0 / p))
    return channels_first(g, total, x.type.rank)


def global_pool(function: str) -> Converter:
    def convert(g: Importer, n: OnnxNode) -> Results:
        x = n.input(0)
        return g.emit(Reduce(function, tuple(range(2, x.type.rank))), x)

    return convert


def conv_integer(g: Importer, n: OnnxNode) -> Results:
    """int32 sums of (x - zero) * (w - zero)."""
    x, w = n.input(0), n.input(1)
    zero_x = int(n.known(2, "the zero point").reshape(-1)[0]) if n.optional(2) is not None else 0
    geometry = window(n, n.integers("kernel_shape", w.type.static_shape[2:]), x.type.static_shape[2:])
    weights = _without_zero(g, n, w, 3)
    groups, x4 = n.integer("group", 1), channels_last(g, x)
    acc = convolved(g, n, x4, _weights_2d(g, weights), None, groups, geometry, zero_x)
    if zero_x:
        sums = -zero_x * weights_of(n, weights).astype(np.int64).sum(axis=tuple(range(1, w.type.rank)))
        acc = g.emit(Binary("add", I32), acc, g.const(sums.astype(np.int32), I32))
    return channels_first(g, acc, x.type.rank)


def weights_of(n: OnnxNode, w: Value) -> Array:
    """Constant weights."""
    if w.data is None:
        raise n.refuse("weights that are computed at run time, with a zero point", "quantised weights are constants")
    return w.data


def _without_zero(g: Importer, n: OnnxNode, w: Value, index: int) -> Value:
    """Weights less their zero point, as i8 where that fits."""
    zero = n.known(index, "the zero point") if n.optional(index) is not None else np.zeros(1)
    if not np.any(zero):
        return w
    shifted = weights_of(n, w).astype(np.int64) - zero.astype(np.int64).reshape(-1, *[1] * (w.type.rank - 1))
    narrow = shifted.min() >= -128 and shifted.max() <= 127
    return g.const(shifted.astype(np.int8 if narrow else np.int16), I8 if narrow else None)


CONV: dict[str, Converter] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "MaxPool": max_pool, "AveragePool": average_pool, "LpPool": lp_pool,
    "GlobalAveragePool": global_pool("mean"), "GlobalMaxPool": global_pool("max"), "ConvInteger": conv_integer,
}  # fmt: skip
"""Converters by ONNX name."""
