"""Rows for fp32 convolutions and for pooling on the cluster; images are NHWC."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array
from ...ops import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, ResidualConv2D
from ..base import Kernel, Packing, Scalar, Split
from ..host.arguments import type_of
from ..host.vision import IMAGE, WINDOW
from ..host.vision import _average_pool as host_average_pool
from ..host.vision import _conv as float_filters
from ..host.vision import _depthwise as float_single_filters
from ..host.vision import _max_pool as host_max_pool
from .share import CORES
from .vision_cost import float_cycles, pool_cycles


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


def _pool_cycles(node: Node) -> float:
    return pool_cycles(node, by_channel=_pool_channels(node), lanes=1 if type_of(node, "x").dtype.is_float else 4)


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
        {"x": dtype}, _shared(host), split=_pool_split, cycles=_pool_cycles,
    )  # fmt: skip


_FLOATS = f"int oy, int ox, int co, {WINDOW}, float low, float high, int first, int last"
_FLOAT_TYPES = {"x": "f32", "w": "f32", "b": "f32"}
FLOAT = (
    Kernel(
        Conv2D, "cluster_conv_f32.c", "tw_cluster_conv2d_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        f" {IMAGE}, int ci, {_FLOATS}",
        _FLOAT_TYPES, float_filters, packing={"w": FOURS}, split=_pixels,
        cycles=float_cycles,
    ),
    Kernel(
        ResidualConv2D, "cluster_conv_f32.c", "tw_cluster_conv2d_residual_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, const float *r, float *y,"
        f" {IMAGE}, int ci, {_FLOATS}",
        _FLOAT_TYPES, float_filters, packing={"w": FOURS}, split=_pixels,
        cycles=float_cycles, in_place={"y": "r"},
    ),
    Kernel(
        DepthwiseConv2D, "cluster_conv_f32.c", "tw_cluster_depthwise_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        f" {IMAGE}, int channels, int oy, int ox, {WINDOW}, float low, float high, int first, int last",
        _FLOAT_TYPES, float_single_filters, split=_pixels, cycles=float_cycles,
    ),
    _pool_row(MaxPool2D, "max_pool", "f32", "float", "float least, "),
    _pool_row(MaxPool2D, "max_pool", "i8", "int8_t", ""),
    _pool_row(MaxPool2D, "max_pool", "u8", "uint8_t", ""),
    _pool_row(
        AveragePool2D, "average_pool", "f32", "float", "int margin_y, int margin_x, int extent_y, int extent_x, "
    ),
)  # fmt: skip
