"""Rows for convolutions on N-EUREKA; images are NHWC, each of a batch is a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...ir.graph import Node
from ...ops import Conv2D, DepthwiseConv2D
from ..base import Packing
from ..host.arguments import type_of
from .neureka_job import Job, Mode
from .neureka_rows import Constants, by_output, finished, point_packings, points, row
from .neureka_weights import depth_packing, tap_packing


def _window(node: Node) -> tuple[int, int]:
    shape = type_of(node, "w").static_shape
    return (shape[0], shape[1]) if isinstance(node.op, DepthwiseConv2D) else (shape[1], shape[2])


def single_pixels(node: Node) -> bool:
    """Filters of 1x1 without a border"""
    return _window(node) == (1, 1) and not any(node.op.attributes["pad"])


def three_by_three(node: Node) -> bool:
    """Filters of 3x3, neither dilated nor with a stride"""
    op = node.op.attributes
    return _window(node) == (3, 3) and op["dilation"] == (1, 1) == op["stride"]


def narrow_border(node: Node) -> bool:
    """A border of at most one pixel, of zeros"""
    pad = node.op.attributes["pad"]
    return max(pad) <= 1 and (node.op.attributes["pad_value"] == 0 or not any(pad))


def _images(node: Node, constants: Constants, mode: Mode) -> Sequence[Job]:
    """A job for each image, whose pixels are where they are."""
    n, high, wide, inputs = type_of(node, "x").static_shape
    _, rows, columns, outputs = type_of(node, "y").static_shape
    down, aside = node.op.attributes["stride"]
    size, job = type_of(node, "y").dtype.bits // 8 * outputs, finished(node, constants)
    return [
        job(
            mode, inputs=inputs, outputs=outputs, rows=rows, columns=columns, pad=node.op.attributes["pad"],
            in_strides=(aside * inputs, down * wide * inputs), out_strides=(size, columns * size),
            x_at=i * high * wide * inputs, y_at=i * rows * columns * size,
        )
        for i in range(n)
    ]  # fmt: skip


def _points(node: Node, constants: Constants) -> Sequence[Job]:
    n, high, wide, inputs = type_of(node, "x").static_shape
    if node.op.attributes["stride"] != (1, 1):
        return _images(node, constants, Mode.POINT)
    return points(node, constants, n * high * wide, inputs)


def _taps(node: Node, constants: Constants) -> Mapping[str, Packing]:
    return {"w": tap_packing(constants.levels), **by_output(node, constants)}


def _depth(node: Node, constants: Constants) -> Mapping[str, Packing]:
    return {"w": depth_packing(constants.levels), **by_output(node, constants)}


CONVOLUTIONS = (
    row(Conv2D, "1x1", _points, point_packings, single_pixels),
    row(
        Conv2D, "3x3", lambda node, known: _images(node, known, Mode.TAPS), _taps, three_by_three, narrow_border,
    ),
    row(
        DepthwiseConv2D, "depthwise", lambda node, known: _images(node, known, Mode.DEPTHWISE), _depth,
        three_by_three, narrow_border,
    ),
)  # fmt: skip
