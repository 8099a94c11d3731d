"""Rows for matrix products of two activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ops import MatMul
from ..base import Kernel, Rule, Scalar
from .arguments import clamp, type_of


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


def _sizes(node: Node) -> Mapping[str, Scalar]:
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
        {"a": "f32", "b": "f32"}, lambda node: {**_sizes(node), **clamp(node)},
        requires=(in_step, rule),
    )  # fmt: skip


PRODUCT = (_row("tw_matmul_f32", plain), _row("tw_matmul_transposed_f32", transposed))
