"""Rows for products of QuantLib networks with the sum or product through tables that follows them."""

from __future__ import annotations

from collections.abc import Mapping

from ...ir.graph import Node
from ...ops import FirstSums, LinearGate, LinearJoin, RestJoin
from ..base import Kernel, Scalar
from .arguments import product, type_of


def sizes(node: Node) -> Mapping[str, Scalar]:
    """Sizes and shifts of either."""
    x, y = type_of(node, "x").shape, type_of(node, "y").static_shape
    return {"tokens": product(x[:-1]), "rows": y[-1], "cols": x[-1], **node.op.attributes}


JOIN = (
    "const int8_t *restrict x, const int8_t *restrict w, const void *r, const int8_t *restrict table_r,"
    " const int8_t *restrict table, const int32_t *restrict numbers, int8_t *y"
)
GATE = (
    "const int8_t *restrict x, const int8_t *restrict w, const int8_t *restrict table_a,"
    " const int8_t *restrict table_b, const int32_t *restrict numbers, int8_t *restrict y"
)

REST = (
    "const int32_t *restrict s, const int8_t *restrict x, const int8_t *restrict w, const void *r,"
    " const int8_t *restrict table_r, const int8_t *restrict table, const int32_t *restrict numbers, int8_t *y"
)


def _partial(node: Node) -> Mapping[str, Scalar]:
    x, (rows, cols) = type_of(node, "x").shape, type_of(node, "w").static_shape
    return {"tokens": product(x[:-1]), "rows": rows, "inputs": x[-1], "cols": cols, **node.op.attributes}


LINEAR_TABLES = (
    Kernel(
        LinearJoin, "linear_tables.c", "tw_linear_join",
        f"{JOIN}, int tokens, int rows, int cols, int shift, int out_shift", {}, sizes, in_place={"y": "r"},
    ),
    Kernel(
        LinearGate, "linear_tables.c", "tw_linear_gate",
        f"{GATE}, int tokens, int rows, int cols, int a_shift, int b_shift, int shift", {}, sizes,
    ),
    Kernel(
        FirstSums, "linear_tables.c", "tw_first_sums",
        "const int8_t *restrict x, const int8_t *restrict w, int32_t *restrict y, int tokens, int rows, int inputs,"
        " int cols", {}, _partial,
    ),
    Kernel(
        RestJoin, "linear_tables.c", "tw_rest_join_tables",
        f"{REST}, int tokens, int rows, int inputs, int cols, int shift, int out_shift", {}, _partial,
        in_place={"y": "r"},
    ),
)  # fmt: skip
