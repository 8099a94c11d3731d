"""Rows for matrix products of two activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ops import MatMul
from ..base import Kernel, Rule, Scalar
from .arguments import clamp, type_of
from .integer import FINISH, TOGETHER, finish


def _lead(node: Node, operand: str) -> tuple[int, ...]:
    """The axes before the matrices, without those of extent 1 in front."""
    axes = type_of(node, operand).static_shape[:-2]
    return axes[next((i for i, extent in enumerate(axes) if extent != 1), len(axes)) :]


def in_step(node: Node) -> bool:
    """Operands have the same leading axes, or one of them is a single matrix"""
    left, right = _lead(node, "a"), _lead(node, "b")
    return left == right or not left or not right


def plain(node: Node) -> bool:
    """The second operand is not transposed"""
    return not cast(MatMul, node.op).transpose_b


def transposed(node: Node) -> bool:
    """The second operand is transposed"""
    return cast(MatMul, node.op).transpose_b


def sizes(node: Node) -> Mapping[str, Scalar]:
    """Extents of a product, and how far its operands go on from one matrix to the next."""
    *_, m, k = type_of(node, "a").static_shape
    *lead, _, n = type_of(node, "y").static_shape
    return {
        "batch": math.prod(lead), "m": m, "k": k, "n": n,
        "a_step": m * k if _lead(node, "a") else 0, "b_step": k * n if _lead(node, "b") else 0,
    }  # fmt: skip


def _row(symbol: str, rule: Rule) -> Kernel:
    return Kernel(
        MatMul, "matmul.c", symbol,
        "const float *restrict a, const float *restrict b, float *restrict y, int batch, int m, int k, int n,"
        " int a_step, int b_step, float low, float high",
        {"a": "f32", "b": "f32"}, lambda node: {**sizes(node), **clamp(node)},
        requires=(in_step, rule),
    )  # fmt: skip


def _integer_sizes(node: Node) -> Mapping[str, Scalar]:
    k, n = type_of(node, "a").static_shape[-1], type_of(node, "y").static_shape[-1]
    down, right = (1, k) if transposed(node) else (n, 1)
    return {**sizes(node), "down": down, "right": right, **finish(node, "a")}


def _integer_row(dtype: str) -> Kernel:
    return Kernel(
        MatMul, "matmul_i8.c", "tw_matmul_i8",
        "const void *restrict a, const int8_t *restrict b, const int32_t *restrict mul, const void *restrict add,"
        " void *restrict y, int16_t *restrict scratch, int batch, int m, int k, int n, int a_step, int b_step,"
        f" int down, int right, {FINISH}",
        {"a": dtype, "b": "i8"}, _integer_sizes, requires=(in_step,),
        scratch=lambda node: 4 * TOGETHER * (type_of(node, "a").static_shape[-1] + 1),
    )  # fmt: skip


PRODUCT = (
    _row("tw_matmul_f32", plain),
    _row("tw_matmul_transposed_f32", transposed),
    _integer_row("i8"),
    _integer_row("u8"),
)
