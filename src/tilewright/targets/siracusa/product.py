"""Rows for batched matrix products of two activations, on eight cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ...ir.graph import Node
from ...ops import MatMul
from ..base import Kernel, Scalar, Split
from ..host.arguments import clamp, type_of
from ..host.product import in_step, sizes, transposed
from .dense import BY_TOKENS, finish, narrow_results
from .dense_cycles import columns, float_columns
from .requant import results
from .share import CORES, up

TRANSPOSED = 1 << 11  # TW_TRANSPOSED in kernels/tw_results.h


def _integer(node: Node) -> Mapping[str, Scalar]:
    told = _told(node)
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
    column, few = _column(node), min(rows, m)
    by_row = 300 * up(rows, m) + (n // 4 * column(4, few) + (column(n % 4, few) if n % 4 else 0)) * max(1.0, rows / m)
    return by_row, up(4 * blocks, n) * 300 + blocks * column(4 if n % 4 == 0 else min(n, 3), m)


def _column(node: Node) -> Callable[[int, int], float]:
    """Cycles of four columns of results, or fewer, by their number and that of rows."""
    k, turned = type_of(node, "a").static_shape[-1], transposed(node)
    if type_of(node, "a").dtype.is_float:
        return lambda count, rows: float_columns(count, rows, k, turned)
    name, tiled = finish(_told(node))
    turn = 0 if turned and k % 4 == 0 else 150 + (40 if turned else 33) * up(k, 4)
    return lambda count, rows: 60 + turn + columns(count, rows, k, name, tiled)


def _cycles(node: Node) -> float:
    return 100 + min(work(node))


def _told(node: Node) -> dict[str, int]:
    x, k = type_of(node, "a").dtype, type_of(node, "a").static_shape[-1]
    most = k * max(-x.low, x.high) * 128
    return results(node, -most, most, "a")


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
        cycles=_cycles, scratch=lambda node: 16 * up(type_of(node, "a").static_shape[-1], 4),
    )  # fmt: skip


PRODUCT = (
    _row("i8"),
    _row("u8"),
    Kernel(
        MatMul, "dense_f32.c", "tw_product_f32",
        "const float *restrict a, const float *restrict b, float *restrict y, int m, int k, int n, int a_step,"
        " int b_step, float low, float high, int by_rows, int turned, int first, int last",
        {"a": "f32", "b": "f32"}, _float, requires=(in_step,), split=_split, cycles=_cycles,
    ),
)  # fmt: skip
