"""Rows for batched matrix products of two activations, on eight cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ...ir.graph import Node
from ...ops import MatMul
from ..base import Kernel, Scalar, Split
from ..host.arguments import clamp, type_of
from ..host.product import in_step, sizes, transposed
from .dense import BY_TOKENS, CORES, narrow_results, up
from .requant import results

TRANSPOSED = 1 << 11  # TW_TRANSPOSED in kernels/tw_results.h


def _integer(node: Node) -> Mapping[str, Scalar]:
    x, k = type_of(node, "a").dtype, type_of(node, "a").static_shape[-1]
    most = k * max(-x.low, x.high) * 128
    told = results(node, -most, most, "a")
    form = told["form"] | BY_TOKENS * by_rows(node) | TRANSPOSED * transposed(node)
    return {**sizes(node), **told, "form": form}


def by_rows(node: Node) -> bool:
    """Whether cores share the rows of results rather than the columns: where that is less work for the busiest."""
    rows, columns = work(node)
    return rows < columns


def work(node: Node) -> tuple[float, float]:
    """Cycles of the busiest core by rows and by columns: tiles by four columns, and columns that are turned."""
    *lead, m, n = type_of(node, "y").static_shape
    batch = math.prod(lead)
    rows, blocks = up(batch * m, CORES), up(up(batch * n, 4), CORES)
    column = _column(node)
    return up(n, 4) * (column(min(rows, m)) * max(1.0, rows / m)), blocks * column(m)


def _column(node: Node) -> Callable[[int], float]:
    """Cycles of four columns of results, by the number of rows."""
    k, turned = type_of(node, "a").static_shape[-1], transposed(node)
    if type_of(node, "a").dtype.is_float:
        return lambda rows: 60 + (rows // 4) * (60 + 26 * k) + rows % 4 * (30 + 13 * k)
    words = up(k, 4)
    turn = 0 if turned and k % 4 == 0 else 40 * words if turned else 25 * words
    return lambda rows: turn + 100 + up(rows, 2) * (14 * words + 80)


def _split(node: Node) -> Split:
    *lead, m, n = node.op.domain(*node.types).parallel
    return Split((*lead, m), 1) if by_rows(node) else Split((*lead, n), 4)


def _float(node: Node) -> Mapping[str, Scalar]:
    return {**sizes(node), **clamp(node), "by_rows": int(by_rows(node)), "turned": int(transposed(node))}


def _row(dtype: str) -> Kernel:
    return Kernel(
        MatMul, "product_i8.c", "tw_product_i8",
        "const void *restrict a, const int8_t *restrict b, const void *restrict mul, const void *restrict add,"
        " void *restrict y, int8_t *restrict scratch, int m, int k, int n, int a_step, int b_step, int form, int shift,"
        " int32_t low, int32_t high, int32_t acc_low, int32_t acc_high, int first, int last",
        {"a": dtype, "b": "i8"}, _integer, requires=(in_step, narrow_results), split=_split,
        scratch=lambda node: 16 * up(type_of(node, "a").static_shape[-1], 4),
    )  # fmt: skip


PRODUCT = (
    _row("i8"),
    _row("u8"),
    Kernel(
        MatMul, "dense_f32.c", "tw_product_f32",
        "const float *restrict a, const float *restrict b, float *restrict y, int m, int k, int n, int a_step,"
        " int b_step, float low, float high, int by_rows, int turned, int first, int last",
        {"a": "f32", "b": "f32"}, _float, requires=(in_step,), split=_split,
    ),
)  # fmt: skip
