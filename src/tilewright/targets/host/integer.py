"""Rows for 8-bit matrix products and convolutions with 32-bit sums, requantised or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ops import Conv2D, DepthwiseConv2D, Linear, ResidualConv2D
from ...ops.epilogue import Requantise
from ..base import Kernel, Scalar
from .arguments import product, type_of
from .packing import PAIRS
from .vision import IMAGE, WINDOW, filters, single_filters

TOGETHER = 8  # columns in scratch: the most that TW_TOGETHER in kernels/tw_dense.h is

_OPERANDS = (
    "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const int32_t *restrict mul,"
    " const void *restrict add, void *restrict y"
)
FINISH = "int x_signed, int mul_step, int add_bytes, int add_step, int shift, int low, int high, int y_bytes"


def finish(node: Node, x: str = "x") -> dict[str, int]:
    """Element types of the operand `x` and the result, and the requantisation; without one, sums are stored."""
    types = {"x_signed": int(type_of(node, x).dtype.is_signed), "y_bytes": type_of(node, "y").dtype.bits // 8}
    epilogue = node.op.attributes["epilogue"]
    if not isinstance(epilogue, Requantise):
        nothing = dict.fromkeys(("mul_step", "add_bytes", "add_step", "shift", "low", "high"), 0)
        return {**types, **nothing}
    mul, add = type_of(node, "mul"), type_of(node, "add")
    return {
        **types, "mul_step": int(mul.size > 1), "add_bytes": add.dtype.bits // 8, "add_step": int(add.size > 1),
        "shift": epilogue.shift, "low": epilogue.low, "high": epilogue.high,
    }  # fmt: skip


def _linear(node: Node) -> Mapping[str, Scalar]:
    rows, cols = type_of(node, "w").static_shape
    return {"tokens": product(type_of(node, "x").shape[:-1]), "rows": rows, "cols": cols, **finish(node)}


def _columns(node: Node) -> int:
    """Scratch: bytes of the 16-bit columns that are worked on at a time."""
    depth = type_of(node, "w").size // type_of(node, "w").static_shape[0]
    return TOGETHER * 2 * (depth + depth % 2)


def _padding(node: Node) -> dict[str, int]:
    return {"pad": node.op.attributes["pad_value"]}


def _residual(node: Node) -> Mapping[str, Scalar]:
    join = cast(ResidualConv2D, node.op).join
    assert join is not None
    found = {**filters(node), **_padding(node), **finish(node)}
    return {
        **{name: number for name, number in found.items() if name != "y_bytes"},
        "r_signed": int(type_of(node, "r").dtype.is_signed), "mul_y": join.mul_a, "mul_r": join.mul_b,
        "join_add": join.add, "join_shift": join.shift, "join_low": join.low, "join_high": join.high,
    }  # fmt: skip


def bytes_join(node: Node) -> bool:
    """Sums are requantised to bytes, the residual and the result are bytes, and there is no bias besides."""
    epilogue, join = node.op.attributes["epilogue"], cast(ResidualConv2D, node.op).join
    small = isinstance(epilogue, Requantise) and epilogue.dtype.bits == 8
    return small and join is not None and join.dtype.bits == 8 and "b" not in node.operands


def _rows(dtype: str) -> tuple[Kernel, ...]:
    types = {"x": dtype, "w": "i8", "b": "i32", "mul": "i32"}
    return (
        Kernel(
            Linear, "linear_i8.c", "tw_linear_i8",
            f"{_OPERANDS}, int16_t *restrict scratch, int tokens, int rows, int cols, {FINISH}",
            types, _linear, packing={"w": PAIRS}, scratch=_columns,
        ),
        Kernel(
            Conv2D, "conv_i8.c", "tw_conv2d_i8",
            f"{_OPERANDS}, int16_t *restrict scratch, {IMAGE}, int ci, int oy, int ox, int co, {WINDOW}, int pad,"
            f" {FINISH}",
            types, lambda node: {**filters(node), **_padding(node), **finish(node)},
            packing={"w": PAIRS}, scratch=_columns,
        ),
        Kernel(
            ResidualConv2D, "conv_i8.c", "tw_conv2d_residual_i8",
            "const void *restrict x, const int8_t *restrict w, const int32_t *restrict mul, const void *restrict add,"
            f" const void *r, void *y, int16_t *restrict scratch, {IMAGE}, int ci, int oy, int ox, int co, {WINDOW},"
            f" int pad, {FINISH.removesuffix(', int y_bytes')}, int r_signed, int mul_y, int mul_r, int64_t join_add,"
            " int join_shift, int join_low, int join_high",
            types, _residual, (bytes_join,), packing={"w": PAIRS}, scratch=_columns, in_place={"y": "r"},
        ),
        Kernel(
            DepthwiseConv2D, "depthwise_i8.c", "tw_depthwise_i8",
            f"{_OPERANDS}, {IMAGE}, int channels, int oy, int ox, {WINDOW}, int pad, {FINISH}",
            types, lambda node: {**single_filters(node), **_padding(node), **finish(node)},
        ),
    )  # fmt: skip


INTEGER = (*_rows("i8"), *_rows("u8"))
