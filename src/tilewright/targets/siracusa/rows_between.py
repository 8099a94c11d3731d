"""Rows for what stands between the products of QuantLib's prompts: heads that turn, sums and products of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ops import RotateHeads, TableBinary
from ..base import Argument, Kernel, Split
from ..host.arguments import type_of
from ..host.generic import elements
from .decoder import of_32_bits, of_four, turned_heads
from .share import flat, per_core

Arguments = Mapping[str, Argument]
_RANGE = "int first, int last"
_THEMSELVES = np.arange(256, dtype=np.uint8).view(np.int8)


def given(node: Node, name: str) -> bool:
    """Whether a table gives every byte itself."""
    table = node.operands[name].data
    return table is not None and np.array_equal(table, _THEMSELVES)


def rows_without_tables(node: Node) -> bool:
    """Several rows, and no table behind the rotation"""
    return type_of(node, "x").static_shape[0] > 1 and "table" not in node.operands


def sums_of_bytes(node: Node) -> bool:
    """Sums with a second table that changes nothing"""
    return cast(TableBinary, node.op).function == "add" and given(node, "table_b")


def products_of_bytes(node: Node) -> bool:
    """Products with a second table that changes nothing, shifted by 16 and rounded, a multiplier of 15 bits"""
    op, mul, add = cast(TableBinary, node.op), node.operands["mul"].data, node.operands["add"].data
    if op.function != "mul" or op.shift != 16 or mul is None or add is None or not given(node, "table_b"):
        return False
    return bool(0 <= mul[0] < 1 << 15 and add[0] == 1 << 15)


def several_rows(node: Node) -> bool:
    """Several rows"""
    return elements(node) > type_of(node, "y").static_shape[-1]


def _turn(node: Node) -> Arguments:
    op = cast(RotateHeads, node.op)
    return {"heads": op.heads, "step": 16 if type_of(node, "r").static_shape[0] > 1 else 0, "shift": op.shift}


def _words(node: Node) -> Split:
    return Split(flat(node).dims, 4)


# Cluster cycles of a warm call, fitted to calls on the simulator with `--timing gvsoc`.


def _turn_cycles(node: Node) -> float:
    heads = cast(RotateHeads, node.op).heads
    own = per_core(type_of(node, "x").static_shape[0] * heads)
    return 170.0 + 50 * -(-own // heads) + 24 * own


ROWS_BETWEEN = (
    Kernel(
        RotateHeads, "rows_between.c", "tw_turn_rows",
        "const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul, const void *restrict add,"
        f" int8_t *restrict y, int heads, int step, int shift, {_RANGE}",
        {}, _turn, (rows_without_tables, of_four, of_32_bits), split=turned_heads, cycles=_turn_cycles,
    ),
    Kernel(
        TableBinary, "rows_between.c", "tw_add_bytes",
        "const void *a, const int8_t *b, const int8_t *restrict table_a, const int32_t *restrict mul,"
        f" const void *restrict add, int8_t *y, int shift, {_RANGE}",
        {"b": "i8"}, lambda node: {"shift": cast(TableBinary, node.op).shift},
        (several_rows, sums_of_bytes, of_32_bits), split=_words, in_place={"y": "a"},
        cycles=lambda node: 95.0 + 8.6 * per_core(elements(node), 4), by_struct=True,
    ),
    Kernel(
        TableBinary, "rows_between.c", "tw_multiply_bytes",
        "const void *a, const int8_t *b, const int8_t *restrict table_a, const int32_t *restrict mul, int8_t *y,"
        f" {_RANGE}",
        {"b": "i8"}, requires=(several_rows, products_of_bytes, of_32_bits), split=_words, in_place={"y": "a"},
        cycles=lambda node: 90.0 + 7.45 * per_core(elements(node), 4),
    ),
)  # fmt: skip
