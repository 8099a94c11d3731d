"""Rows for convolutions and pooling, fp32; images are NHWC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ir.types import Kind
from ...ops import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, ResidualConv2D
from ..base import Kernel, Scalar
from .arguments import LARGEST, clamp, type_of
from .packing import FILTERS

IMAGE = "int n, int h, int width"
WINDOW = "int ky, int kx, int sy, int sx, int dy, int dx, int top, int left"


def window(op: Conv2D | DepthwiseConv2D | MaxPool2D | AveragePool2D) -> dict[str, int]:
    """Strides, dilations and the border before the image."""
    return {
        "sy": op.stride[0], "sx": op.stride[1], "dy": op.dilation[0], "dx": op.dilation[1],
        "top": op.pad[0], "left": op.pad[1],
    }  # fmt: skip


def sizes(node: Node) -> dict[str, int]:
    """Heights and widths of the image and of the result."""
    n, h, width, _ = type_of(node, "x").static_shape
    _, oy, ox, _ = type_of(node, "y").static_shape
    return {"n": n, "h": h, "width": width, "oy": oy, "ox": ox}


def filters(node: Node) -> dict[str, int]:
    """Everything about the geometry of a convolution."""
    co, ky, kx, ci = type_of(node, "w").static_shape
    return {**sizes(node), "ci": ci, "co": co, "ky": ky, "kx": kx, **window(cast(Conv2D, node.op))}


def _conv(node: Node) -> Mapping[str, Scalar]:
    return {**filters(node), **clamp(node)}


def single_filters(node: Node) -> dict[str, int]:
    """Everything about the geometry of a depthwise convolution."""
    ky, kx, channels = type_of(node, "w").static_shape
    return {**sizes(node), "channels": channels, "ky": ky, "kx": kx, **window(cast(DepthwiseConv2D, node.op))}


def _depthwise(node: Node) -> Mapping[str, Scalar]:
    return {**single_filters(node), **clamp(node)}


def _pool(node: Node) -> dict[str, Scalar]:
    op = cast(MaxPool2D | AveragePool2D, node.op)
    channels = type_of(node, "x").static_shape[3]
    return {**sizes(node), "c": channels, "ky": op.kernel[0], "kx": op.kernel[1], **window(op)}


def _max_pool(node: Node) -> Mapping[str, Scalar]:
    kind = type_of(node, "x").dtype
    return {**_pool(node), "least": -LARGEST if kind.is_float else kind.low}


def _average_pool(node: Node) -> Mapping[str, Scalar]:
    op, (_, h, width, _) = cast(AveragePool2D, node.op), type_of(node, "x").static_shape
    top, left, bottom, right = op.pad if op.count_pad else (0, 0, 0, 0)
    over = op.over if op.count_pad else (0, 0)
    return {
        **_pool(node), "margin_y": top, "margin_x": left,
        "extent_y": h + top + bottom - over[0], "extent_x": width + left + right - over[1],
    }  # fmt: skip


def run_time_filters(node: Node) -> bool:
    """Filters are computed at run time; constant ones are packed for a faster kernel."""
    return node.operands["w"].kind is not Kind.CONST


def _max_pool_row(dtype: str, ctype: str) -> Kernel:
    return Kernel(
        MaxPool2D, "pool.c", f"tw_max_pool_{dtype}",
        f"const {ctype} *restrict x, {ctype} *restrict y, {IMAGE}, int c, int oy, int ox, {WINDOW}, {ctype} least",
        {"x": dtype}, _max_pool,
    )  # fmt: skip


VISION = (
    Kernel(
        Conv2D, "conv.c", "tw_conv2d_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        f" {IMAGE}, int ci, int oy, int ox, int co, {WINDOW}, float low, float high",
        {"x": "f32", "w": "f32", "b": "f32"}, _conv, packing={"w": FILTERS},
    ),
    Kernel(
        ResidualConv2D, "conv.c", "tw_conv2d_residual_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, const float *r, float *y,"
        f" {IMAGE}, int ci, int oy, int ox, int co, {WINDOW}, float low, float high",
        {"x": "f32", "w": "f32", "b": "f32"}, _conv, packing={"w": FILTERS}, in_place={"y": "r"},
    ),
    Kernel(
        Conv2D, "conv_plain.c", "tw_conv2d_plain_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        f" {IMAGE}, int ci, int oy, int ox, int co, {WINDOW}, float low, float high",
        {"x": "f32", "w": "f32", "b": "f32"}, _conv, (run_time_filters,),
    ),
    Kernel(
        DepthwiseConv2D, "depthwise.c", "tw_depthwise_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        f" {IMAGE}, int channels, int oy, int ox, {WINDOW}, float low, float high",
        {"x": "f32", "w": "f32", "b": "f32"}, _depthwise,
    ),
    _max_pool_row("f32", "float"),
    _max_pool_row("i8", "int8_t"),
    _max_pool_row("u8", "uint8_t"),
    Kernel(
        AveragePool2D, "pool.c", "tw_average_pool_f32",
        f"const float *restrict x, float *restrict y, {IMAGE}, int c, int oy, int ox, {WINDOW},"
        " int margin_y, int margin_x, int extent_y, int extent_x",
        {"x": "f32"}, _average_pool,
    ),
)  # fmt: skip
