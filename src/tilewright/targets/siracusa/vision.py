"""Rows for integer convolutions on the cluster; images are NHWC. `VISION` has those of vision_float.py as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import I32, Array
from ...ops import Conv2D, DepthwiseConv2D, ResidualConv2D
from ...ops.epilogue import Requantise
from ...quant.requant import accumulator_range, fits32
from ..base import Kernel, Packing, Scalar, Split
from ..host.arguments import type_of
from ..host.integer import finish
from ..host.vision import IMAGE, WINDOW, filters, single_filters
from .share import CORES
from .vision_cost import HALVES, HIGH, NARROW, NONE, TOP, WIDE, conv_cycles, depthwise_cycles, window_sums_cycles
from .vision_float import FLOAT

FINISH = "int x_signed, int product, int mul_step, int add_bytes, int add_step, int shift, int low, int high"


def _pack_quads(weight: Array) -> Array:
    """[co, ...] -> [co / 4][depth / 4][4][4], depth being the product of the rest; what is missing is zero."""
    rows, cols = weight.shape[0], math.prod(weight.shape[1:])
    filled = np.zeros((-(-rows // 4) * 4, -(-cols // 4) * 4), weight.dtype)
    filled[:rows, :cols] = weight.reshape(rows, cols)
    return np.ascontiguousarray(filled.reshape(-1, 4, filled.shape[1] // 4, 4).transpose(0, 2, 1, 3)).reshape(-1)


def _unpack_quads(packed: Array, shape: tuple[int, ...]) -> Array:
    rows, cols = shape[0], math.prod(shape[1:])
    quads = packed.reshape(-1, -(-cols // 4), 4, 4).transpose(0, 2, 1, 3)
    return np.asarray(quads.reshape(-(-rows // 4) * 4, -1)[:rows, :cols].reshape(shape))


QUADS = Packing("4 rows by 4 columns", _pack_quads, _unpack_quads)


def _fits(node: Node, by_channel: Callable[[Array], Array], up: int = 0) -> bool:
    """Whether all of (sum + b) * mul + add, shifted up, is known to stay within 32 bits for any x."""
    w, mul, add = (node.operands[name].data for name in ("w", "mul", "add"))
    b = node.operands["b"].data if "b" in node.operands else np.zeros(1, np.int64)
    if w is None or mul is None or add is None or b is None:
        return False
    x = type_of(node, "x").dtype
    low, high = (ends + b for ends in accumulator_range(by_channel(w), x.low, x.high))
    small = low.min() >= I32.low and high.max() <= I32.high
    return bool(small and fits32(low, high, mul.astype(object) << up, add.astype(object) << up))


def product(node: Node, by_channel: Callable[[Array], Array] = lambda w: w) -> int:
    """How the products of the requantisation are held. `by_channel` brings the weights' channel to the front."""
    epilogue = node.op.attributes["epilogue"]
    if not isinstance(epilogue, Requantise):
        return NONE
    if epilogue.shift < 32 and _fits(node, by_channel):
        return NARROW
    if not 32 <= epilogue.shift < 63:
        return WIDE
    add = node.operands["add"].data
    if add is None:
        return HIGH
    top, rest = np.divmod(add.astype(np.int64), 1 << 32)
    return TOP if not rest.any() and int(np.abs(top).max()) < 1 << 30 else HIGH


def finished(node: Node, by_channel: Callable[[Array], Array] = lambda w: w) -> dict[str, int]:
    """The arguments of the requantisation; `add_step` counts words."""
    found = finish(node)
    found["add_step"] *= found["add_bytes"] // 4
    return {**found, "product": product(node, by_channel)}


@lru_cache(maxsize=512)
def dense_product(node: Node) -> int:
    """The same for dense convolutions: halves of words suffice where a shift by 16 or more, made so, stays narrow."""
    mode, epilogue = product(node), node.op.attributes["epilogue"]
    if mode == NARROW and epilogue.dtype.bits == 8 and _fits(node, lambda w: w, max(16 - epilogue.shift, 0)):
        return HALVES
    return mode


def _geometry(node: Node) -> dict[str, int]:
    """The geometry of a convolution; one of single pixels is of one row, so that rows do not end."""
    found = {**filters(node), "pad": node.op.attributes["pad_value"]}
    found |= {"windows": _windows(node), "by_channel": int(_channels(node))}
    single = found["ky"] == found["kx"] == found["sy"] == found["sx"] == 1 and not any(node.op.attributes["pad"])
    if single:
        pixels = found["n"] * found["h"] * found["width"]
        found |= {"n": 1, "h": 1, "oy": 1, "width": pixels, "ox": pixels}
    return found


@lru_cache(maxsize=512)
def _channels(node: Node) -> bool:
    """Whether the cores share the output channels rather than the pixels: where that takes less time."""
    mode = dense_product(node)
    return conv_cycles(node, mode, by_channel=True) < conv_cycles(node, mode, by_channel=False)


def _cycles(node: Node) -> float:
    return conv_cycles(node, dense_product(node), by_channel=_channels(node))


def _split(node: Node) -> Split:
    return Split(("co",), 4) if _channels(node) else Split(("n", "oy", "ox"))


def _depth(node: Node) -> int:
    """Bytes of a window, whole words."""
    return -(-math.prod(type_of(node, "w").static_shape[1:]) // 4) * 4


def _windows(node: Node) -> int:
    """How many windows a core holds: of four pixels, of one where a core has no more."""
    n, oy, ox, _ = type_of(node, "y").static_shape
    return 4 if _channels(node) or n * oy * ox > CORES else 1


def _scratch(node: Node) -> int:
    """Windows; 4 pixels before a residual joins; multipliers and addends of the channels of a core."""
    co = type_of(node, "w").static_shape[0]
    channels = -(-co // (4 * CORES)) * 4 if _channels(node) else co // 4 * 4
    return _windows(node) * _depth(node) + 8 * channels + (4 * co if "r" in node.operands else 0)


def _conv(node: Node) -> Mapping[str, Scalar]:
    return {**_geometry(node), **finished(node), "product": dense_product(node)}


def joins_bytes(node: Node) -> bool:
    """Sums are requantised to bytes, and the residual and the result are bytes."""
    epilogue, join = node.op.attributes["epilogue"], cast(ResidualConv2D, node.op).join
    return isinstance(epilogue, Requantise) and epilogue.dtype.bits == 8 and join is not None and join.dtype.bits == 8


def join_product(node: Node) -> int:
    """How the products of a residual that joins are held."""
    join = cast(ResidualConv2D, node.op).join
    assert join is not None
    reach = abs(join.add) + 512 * (abs(join.mul_a) + abs(join.mul_b))
    return NARROW if reach < 1 << 31 and join.shift < 32 else WIDE


def _residual(node: Node) -> Mapping[str, Scalar]:
    join = cast(ResidualConv2D, node.op).join
    assert join is not None
    return {
        **{name: number for name, number in _conv(node).items() if name != "y_bytes"},
        "r_signed": int(type_of(node, "r").dtype.is_signed), "mul_y": join.mul_a, "mul_r": join.mul_b,
        "join_add": join.add, "join_shift": join.shift, "join_low": join.low, "join_high": join.high,
        "join": join_product(node), "v_signed": int(cast(Requantise, node.op.attributes["epilogue"]).dtype.is_signed),
    }  # fmt: skip


def _pack_strips(weight: Array) -> Array:
    """[along, across, channels] -> [channels / 4][across / 4][along][4 channels][4]; what is missing is zero."""
    along, across, channels = weight.shape
    filled = np.zeros((along, -(-across // 4) * 4, -(-channels // 4) * 4), weight.dtype)
    filled[:, :across, :channels] = weight
    parts = filled.reshape(along, filled.shape[1] // 4, 4, filled.shape[2] // 4, 4)
    return np.ascontiguousarray(parts.transpose(3, 1, 0, 4, 2)).reshape(-1)


def _unpack_strips(packed: Array, shape: tuple[int, ...]) -> Array:
    along, across, channels = shape
    parts = packed.reshape(-(-channels // 4), -(-across // 4), along, 4, 4).transpose(2, 1, 4, 0, 3)
    return np.asarray(parts.reshape(along, -(-across // 4) * 4, -1)[:, :across, :channels])


def _turned(weight: Array) -> Array:
    return np.asarray(weight.transpose(1, 0, 2))


DOWN = Packing("strips down the image", _pack_strips, _unpack_strips)
ASIDE = Packing(
    "strips along the rows",
    lambda w: _pack_strips(_turned(w)),
    lambda packed, shape: _turned(_unpack_strips(packed, (shape[1], shape[0], shape[2]))),
)


def _single_channel(weight: Array) -> Array:
    return np.moveaxis(weight, -1, 0)


def _strip_words(node: Node, axis: int) -> int:
    """Words of a strip along an axis: 0 is y."""
    results, kernel = type_of(node, "y").static_shape[1 + axis], type_of(node, "w").static_shape[axis]
    stride, dilation = node.op.attributes["stride"][axis], node.op.attributes["dilation"][axis]
    return int((results - 1) * stride + (kernel - 1) * dilation + 1)


def _strip_scratch(axis: int) -> Callable[[Node], int]:
    return lambda node: 16 * (_strip_words(node, axis) + type_of(node, "y").static_shape[1 + axis])


def _depthwise_cycles(by_channel: bool, along: int) -> Callable[[Node], float]:
    return lambda node: depthwise_cycles(node, product(node, _single_channel), by_channel=by_channel, along=along)


def _by_channel(node: Node) -> Split:  # noqa: ARG001
    return Split(("c",), 4)


def _by_row(node: Node) -> Split:  # noqa: ARG001
    return Split(("n", "oy"))


def _depthwise(by_channel: int, along_y: int) -> Callable[[Node], Mapping[str, Scalar]]:
    return lambda node: {
        **single_filters(node), **finished(node, _single_channel), "pad": node.op.attributes["pad_value"],
        "by_channel": by_channel, "along_y": along_y,
    }  # fmt: skip


def _depthwise_rows(dtype: str) -> tuple[Kernel, ...]:
    signature = (
        "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const int32_t *restrict mul,"
        f" const void *restrict add, void *restrict y, int32_t *restrict scratch, {IMAGE}, int channels, int oy,"
        f" int ox, {WINDOW}, int pad, {FINISH}, int y_bytes, int along_y, int by_channel, int first, int last"
    )
    types = {"x": dtype, "w": "i8", "b": "i32", "mul": "i32"}
    return tuple(
        Kernel(
            DepthwiseConv2D, "cluster_depthwise.c", "tw_cluster_depthwise", signature, types,
            _depthwise(by_channel, along_y), packing={"w": DOWN if along_y else ASIDE},
            scratch=_strip_scratch(0 if along_y else 1),
            split=_by_channel if by_channel else _by_row,
            cycles=_depthwise_cycles(bool(by_channel), 0 if along_y else 1),
        )
        for by_channel, along_y in ((1, 0), (1, 1), (0, 0))
    )  # fmt: skip


def sums_of_windows(node: Node) -> bool:
    """Weights that are all one, no border, no dilation"""
    op, w = cast(DepthwiseConv2D, node.op), node.operands["w"].data
    return w is not None and bool((w == 1).all()) and not any(op.pad) and op.dilation == (1, 1)


def _sums(by_channel: int) -> Callable[[Node], Mapping[str, Scalar]]:
    def arguments(node: Node) -> Mapping[str, Scalar]:
        found = {**single_filters(node), **finished(node, _single_channel), "by_channel": by_channel}
        return {name: value for name, value in found.items() if name not in ("dy", "dx", "top", "left")}

    return arguments


def _sums_cycles(by_channel: int) -> Callable[[Node], float]:
    return lambda node: window_sums_cycles(node, product(node, _single_channel), by_channel=bool(by_channel))


def _window_sums(dtype: str) -> tuple[Kernel, ...]:
    signature = (
        "const void *restrict x, const int32_t *restrict b, const int32_t *restrict mul, const void *restrict add,"
        f" void *restrict y, int32_t *restrict scratch, {IMAGE}, int channels, int oy, int ox, int ky, int kx, int sy,"
        f" int sx, {FINISH}, int y_bytes, int by_channel, int first, int last"
    )
    return tuple(
        Kernel(
            DepthwiseConv2D, "cluster_means.c", "tw_cluster_window_sums", signature,
            {"x": dtype, "w": "i8", "b": "i32", "mul": "i32"}, _sums(by_channel), (sums_of_windows,),
            scratch=lambda node: 16 * type_of(node, "y").static_shape[2],
            split=_by_channel if by_channel else _by_row, cycles=_sums_cycles(by_channel),
        )
        for by_channel in (1, 0)
    )  # fmt: skip


def _rows(dtype: str) -> tuple[Kernel, ...]:
    types = {"x": dtype, "w": "i8", "b": "i32", "mul": "i32"}
    return (
        Kernel(
            Conv2D, "cluster_conv.c", "tw_cluster_conv2d",
            "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const int32_t *restrict mul,"
            f" const void *restrict add, void *restrict y, int8_t *restrict scratch, {IMAGE}, int ci, int oy, int ox,"
            f" int co, {WINDOW}, int pad, {FINISH}, int y_bytes, int windows, int by_channel, int first, int last",
            types, _conv, packing={"w": QUADS}, scratch=_scratch, split=_split,
            cycles=_cycles,
        ),
        Kernel(
            ResidualConv2D, "cluster_conv.c", "tw_cluster_conv2d_residual",
            "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const int32_t *restrict mul,"
            f" const void *restrict add, const void *r, void *y, int8_t *restrict scratch, {IMAGE}, int ci, int oy,"
            f" int ox, int co, {WINDOW}, int pad, {FINISH}, int join, int v_signed, int r_signed, int mul_y, int mul_r,"
            " int64_t join_add, int join_shift, int join_low, int join_high, int windows, int by_channel, int first,"
            " int last",
            types, _residual, (joins_bytes,), packing={"w": QUADS}, scratch=_scratch,
            split=_split, cycles=_cycles, in_place={"y": "r"},
        ),
    )  # fmt: skip


VISION = (
    *_window_sums("i8"),
    *_window_sums("u8"),
    *_rows("i8"),
    *_rows("u8"),
    *_depthwise_rows("i8"),
    *_depthwise_rows("u8"),
    *FLOAT,
)
