"""Rows for convolutions and pooling on the cluster; images are NHWC."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import I32, Array
from ...ops import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, ResidualConv2D
from ...ops.epilogue import Requantise
from ...quant.requant import accumulator_range, fits32
from ..base import Kernel, Packing, Scalar, Split
from ..host.arguments import type_of
from ..host.integer import finish
from ..host.vision import IMAGE, WINDOW, filters, single_filters
from ..host.vision import _average_pool as host_average_pool
from ..host.vision import _conv as float_filters
from ..host.vision import _depthwise as float_single_filters
from ..host.vision import _max_pool as host_max_pool
from .share import CORES

NONE, NARROW, TOP, HIGH, WIDE = range(5)  # how products by multipliers are held: the enum in kernels/tw_sums.h
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


def product(node: Node, by_channel: Callable[[Array], Array] = lambda w: w) -> int:
    """How the products of the requantisation are held. `by_channel` brings the weights' channel to the front."""
    epilogue = node.op.attributes["epilogue"]
    if not isinstance(epilogue, Requantise):
        return NONE
    w, mul, add = (node.operands[name].data for name in ("w", "mul", "add"))
    b = node.operands["b"].data if "b" in node.operands else np.zeros(1, np.int64)
    if w is not None and mul is not None and add is not None and b is not None and epilogue.shift < 32:
        x = type_of(node, "x").dtype
        low, high = (ends + b for ends in accumulator_range(by_channel(w), x.low, x.high))
        if low.min() >= I32.low and high.max() <= I32.high and fits32(low, high, mul, add):
            return NARROW
    if not 32 <= epilogue.shift < 63:
        return WIDE
    if add is None:
        return HIGH
    top, rest = np.divmod(add.astype(np.int64), 1 << 32)
    return TOP if not rest.any() and int(np.abs(top).max()) < 1 << 30 else HIGH


def finished(node: Node, by_channel: Callable[[Array], Array] = lambda w: w) -> dict[str, int]:
    """The arguments of the requantisation; `add_step` counts words."""
    found = finish(node)
    found["add_step"] *= found["add_bytes"] // 4
    return {**found, "product": product(node, by_channel)}


def _geometry(node: Node) -> dict[str, int]:
    """The geometry of a convolution; one of single pixels is of one row, so that rows do not end."""
    found = {**filters(node), "pad": node.op.attributes["pad_value"], "by_channel": int(_channels(node))}
    single = found["ky"] == found["kx"] == found["sy"] == found["sx"] == 1 and not any(node.op.attributes["pad"])
    if single:
        pixels = found["n"] * found["h"] * found["width"]
        found |= {"n": 1, "h": 1, "oy": 1, "width": pixels, "ox": pixels}
    return found


def _channels(node: Node) -> bool:
    """Whether the cores share the output channels: where there are too few pixels."""
    n, oy, ox, co = type_of(node, "y").static_shape
    blocks = -(-n * oy * ox // 4)
    groups = -(-co // 4)
    return -(groups // -CORES) * blocks < -(blocks // -CORES) * groups


def _split(node: Node) -> Split:
    return Split(("co",), 4) if _channels(node) else Split(("n", "oy", "ox"))


def _depth(node: Node) -> int:
    """Bytes of a window, whole words."""
    return -(-math.prod(type_of(node, "w").static_shape[1:]) // 4) * 4


def _joined_scratch(node: Node) -> int:
    return 4 * (_depth(node) + type_of(node, "y").static_shape[3])


def _conv(node: Node) -> Mapping[str, Scalar]:
    return {**_geometry(node), **finished(node)}


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
    return weight.transpose(1, 0, 2)


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


def _depthwise(by_channel: int, along_y: int) -> Callable[[Node], Mapping[str, Scalar]]:
    return lambda node: {
        **single_filters(node), **finished(node, _single_channel), "pad": node.op.attributes["pad_value"],
        "by_channel": by_channel, "along_y": along_y,
    }  # fmt: skip


def _depthwise_rows(dtype: str) -> tuple[Kernel, ...]:
    signature = (
        "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const int32_t *restrict mul,"
        f" const void *restrict add, void *restrict y, int32_t *restrict scratch, {IMAGE}, int channels, int oy, int ox,"
        f" {WINDOW}, int pad, {FINISH}, int y_bytes, int along_y, int by_channel, int first, int last"
    )
    types = {"x": dtype, "w": "i8", "b": "i32", "mul": "i32"}
    return tuple(
        Kernel(
            DepthwiseConv2D, "cluster_depthwise.c", "tw_cluster_depthwise", signature, types,
            _depthwise(by_channel, along_y), packing={"w": DOWN if along_y else ASIDE},
            scratch=_strip_scratch(0 if along_y else 1),
            split=lambda node, by_channel=by_channel: Split(("c",), 4) if by_channel else Split(("n", "oy", "ox")),
        )
        for by_channel, along_y in ((1, 0), (1, 1), (0, 0))
    )  # fmt: skip


def _rows(dtype: str) -> tuple[Kernel, ...]:
    types = {"x": dtype, "w": "i8", "b": "i32", "mul": "i32"}
    return (
        Kernel(
            Conv2D, "cluster_conv.c", "tw_cluster_conv2d",
            "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const int32_t *restrict mul,"
            f" const void *restrict add, void *restrict y, int8_t *restrict scratch, {IMAGE}, int ci, int oy, int ox,"
            f" int co, {WINDOW}, int pad, {FINISH}, int y_bytes, int by_channel, int first, int last",
            types, _conv, packing={"w": QUADS}, scratch=lambda node: 4 * _depth(node), split=_split,
        ),
        Kernel(
            ResidualConv2D, "cluster_conv.c", "tw_cluster_conv2d_residual",
            "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const int32_t *restrict mul,"
            f" const void *restrict add, const void *r, void *y, int8_t *restrict scratch, {IMAGE}, int ci, int oy, int ox, int co, {WINDOW},"
            f" int pad, {FINISH}, int join, int v_signed, int r_signed, int mul_y, int mul_r, int64_t join_add, int join_shift,"
            " int join_low, int join_high, int by_channel, int first, int last",
            types, _residual, (joins_bytes,), packing={"w": QUADS}, scratch=_joined_scratch,
            split=_split, in_place={"y": "r"},
        ),
    )  # fmt: skip


def _pack_fours(weight: Array) -> Array:
    """[co, ky, kx, ci] -> [co / 4][ky][kx][ci][4], missing channels are zero."""
    rows = weight.reshape(weight.shape[0], -1)
    filled = np.zeros((-(-rows.shape[0] // 4) * 4, rows.shape[1]), weight.dtype)
    filled[: rows.shape[0]] = rows
    return np.ascontiguousarray(filled.reshape(-1, 4, rows.shape[1]).transpose(0, 2, 1)).reshape(-1)


def _unpack_fours(packed: Array, shape: tuple[int, ...]) -> Array:
    cols = math.prod(shape[1:])
    return np.asarray(packed.reshape(-1, cols, 4).transpose(0, 2, 1).reshape(-1, cols)[: shape[0]].reshape(shape))


FOURS = Packing("filters of 4 channels", _pack_fours, _unpack_fours)


def _pixels(node: Node) -> Split:  # noqa: ARG001
    return Split(("n", "oy", "ox"))


def _pool_channels(node: Node) -> bool:
    """Whether the cores share channels: where there are few pixels, or all of them are needed for their counts."""
    n, oy, ox, _ = type_of(node, "y").static_shape
    op = node.op
    counted = isinstance(op, AveragePool2D) and (not op.count_pad or op.over != (0, 0))
    return counted or n * oy * ox < CORES


def _pool_split(node: Node) -> Split:
    unit = 1 if type_of(node, "x").dtype.is_float else 4
    return Split(("c",), unit) if _pool_channels(node) else Split(("n", "oy", "ox"))


def _shared(arguments: Callable[[Node], Mapping[str, Scalar]]) -> Callable[[Node], Mapping[str, Scalar]]:
    return lambda node: {**arguments(node), "by_channel": int(_pool_channels(node))}


def _pool_row(op: type[MaxPool2D | AveragePool2D], name: str, dtype: str, ctype: str, more: str) -> Kernel:
    host = host_average_pool if op is AveragePool2D else host_max_pool
    return Kernel(
        op, "cluster_pool.c", f"tw_cluster_{name}_{dtype}",
        f"const {ctype} *restrict x, {ctype} *restrict y, {IMAGE}, int c, int oy, int ox, {WINDOW}, {more}"
        "int by_channel, int first, int last",
        {"x": dtype}, _shared(host), split=_pool_split,
    )  # fmt: skip


_FLOATS = f"int oy, int ox, int co, {WINDOW}, float low, float high, int first, int last"
_FLOAT_TYPES = {"x": "f32", "w": "f32", "b": "f32"}
FLOAT = (
    Kernel(
        Conv2D, "cluster_conv_f32.c", "tw_cluster_conv2d_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        f" {IMAGE}, int ci, {_FLOATS}",
        _FLOAT_TYPES, float_filters, packing={"w": FOURS}, split=_pixels,
    ),
    Kernel(
        ResidualConv2D, "cluster_conv_f32.c", "tw_cluster_conv2d_residual_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, const float *r, float *y,"
        f" {IMAGE}, int ci, {_FLOATS}",
        _FLOAT_TYPES, float_filters, packing={"w": FOURS}, split=_pixels, in_place={"y": "r"},
    ),
    Kernel(
        DepthwiseConv2D, "cluster_conv_f32.c", "tw_cluster_depthwise_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        f" {IMAGE}, int channels, int oy, int ox, {WINDOW}, float low, float high, int first, int last",
        _FLOAT_TYPES, float_single_filters, split=_pixels,
    ),
    _pool_row(MaxPool2D, "max_pool", "f32", "float", "float least, "),
    _pool_row(MaxPool2D, "max_pool", "i8", "int8_t", ""),
    _pool_row(MaxPool2D, "max_pool", "u8", "uint8_t", ""),
    _pool_row(
        AveragePool2D, "average_pool", "f32", "float", "int margin_y, int margin_x, int extent_y, int extent_x, "
    ),
)  # fmt: skip

VISION = (*_rows("i8"), *_rows("u8"), *_depthwise_rows("i8"), *_depthwise_rows("u8"), *FLOAT)
