"""Rows for products of one token of QuantLib's decoders with the sum or product through tables that follows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array
from ...ops import LinearGate, LinearJoin, RestJoin, TablePairs
from ...quant.requant import accumulator_range, half
from ..base import Kernel, Scalar, Split
from ..host.arguments import type_of
from ..host.generic import elements
from ..host.linear_tables import GATE, JOIN, REST, sizes
from .decoder import CENTRED
from .dense import APART, ROWS, in_eights, one_row
from .dense_cycles import GATE_CALL, GATE_PAIR, eights, rows_alone
from .rows_between import given
from .share import CORES, flat, up


def of_64(node: Node) -> bool:
    """Rows of 64 inputs"""
    return type_of(node, "x").shape[-1] == 64


def in_pairs(node: Node) -> bool:
    """Rows of whole pairs of words of inputs"""
    return type_of(node, "w").static_shape[1] % 8 == 0


def _steps(node: Node) -> tuple[tuple[int, Array, Array], ...]:
    """(shift, bounds of what is requantised) in the order of `numbers`; weights and tables are constants."""
    w = node.operands["w"].data
    assert w is not None
    if isinstance(node.op, LinearJoin):
        whole, op = np.array([-256, 256]), node.op
        return (op.shift, *accumulator_range(w, -128, 127)), (op.out_shift, whole[:1], whole[1:])
    gate, most = cast(LinearGate, node.op), np.array([1 << 14])
    parts = (accumulator_range(w[k::2], -128, 127) for k in range(2))
    return *((s, *ends) for s, ends in zip((gate.a_shift, gate.b_shift), parts, strict=True)), (gate.shift, -most, most)


def rounded(node: Node) -> bool:
    """Constants: shifts by 16 that round half up, within 32 bits, multipliers of products of 15 bits"""
    numbers = node.operands["numbers"].data
    if numbers is None or node.operands["w"].data is None:
        return False
    steps, pairs = _steps(node), numbers.astype(object).reshape(-1, 2)
    products = pairs[:1] if isinstance(node.op, LinearJoin) else pairs
    return all(0 <= mul < 1 << 15 for mul, _ in products) and all(
        shift == 16 and add == half(16) and max(-int(low.min()), int(high.max())) * abs(mul) + add < 1 << 31
        for (shift, low, high), (mul, add) in zip(steps, pairs, strict=True)
    )


def usual_pairs(node: Node) -> bool:
    """A shift by 16 that rounds half up, a multiplier of 15 bits"""
    shift, mul, add = cast(TablePairs, node.op).shift, node.operands["mul"].data, node.operands["add"].data
    return shift == 16 and mul is not None and add is not None and bool(0 <= mul[0] < 1 << 15 and add[0] == half(16))


def one_table(node: Node) -> bool:
    """A second table that changes nothing"""
    return given(node, "table_b")


def rest_in_words(node: Node) -> bool:
    """Last inputs of whole words, behind whole words"""
    inputs, cols = type_of(node, "x").static_shape[-1], type_of(node, "w").static_shape[1]
    return inputs % 4 == cols % 4 == 0


def rounded_rest(node: Node) -> bool:
    """Constants: shifts by 16 that round half up, within 32 bits, a multiplier of the product of 15 bits"""
    op, numbers = cast(RestJoin, node.op), node.operands["numbers"].data
    if numbers is None or (op.shift, op.out_shift) != (16, 16):
        return False
    (mul, add), (out, out_add) = numbers.astype(object).reshape(2, 2)
    most = max(op.bound * abs(mul), 256 * abs(out)) + half(16)
    return bool(0 <= mul < 1 << 15 and add == out_add == half(16) and most < 1 << 31)


def _rest(node: Node) -> dict[str, int]:
    inputs, cols = type_of(node, "x").static_shape[-1], type_of(node, "w").static_shape[1]
    return {"skip": inputs - cols, "words": cols // 4}


def _own(node: Node) -> int:
    """Results of the busiest core."""
    return up(elements(node), CORES)


def _cols(node: Node) -> Mapping[str, Scalar]:
    return {"cols": sizes(node)["cols"]}


# Cluster cycles of warm calls, fitted on the simulator with `--timing gvsoc`.


def _join_cycles(node: Node) -> float:
    rows, cols = type_of(node, "w").static_shape
    blocks = up(up(rows, 8), CORES)
    return eights(blocks, cols) + 25 * blocks


def _rows_cycles(node: Node) -> float:
    rows, cols = type_of(node, "w").static_shape
    return rows_alone(up(rows, CORES), cols)


def _gate_cycles(node: Node) -> float:
    return GATE_CALL + GATE_PAIR * up(type_of(node, "y").static_shape[-1], CORES)


LINEAR_TABLES = (
    Kernel(
        LinearJoin, "gemv_tables.c", "tw_eights_join", f"{JOIN}, int cols, int first, int last", {},
        _cols, (one_row, in_eights, rounded), packing={"w": APART, "table": CENTRED}, cycles=_join_cycles,
        in_place={"y": "r"}, split=lambda _: Split(("o",), 8), by_struct=True,
    ),
    Kernel(
        LinearJoin, "gemv_tables.c", "tw_rows_join", f"{JOIN}, int cols, int first, int last", {},
        _cols, (one_row, in_pairs, rounded), packing={"w": APART, "table": CENTRED}, cycles=_rows_cycles,
        in_place={"y": "r"}, split=lambda _: Split(("o",)), by_struct=True,
    ),
    Kernel(
        LinearGate, "gemv_tables.c", "tw_stream_gate", f"{GATE}, int first, int last", {}, lambda _: {},
        (one_row, of_64, rounded), packing={"w": ROWS, "table_a": CENTRED, "table_b": CENTRED},
        cycles=_gate_cycles, split=lambda _: Split(("o",)), by_struct=True,
    ),
    Kernel(
        TablePairs, "gemv_tables.c", "tw_join_pairs",
        "const int8_t *restrict x, const int8_t *restrict table_a, const int8_t *restrict table_b,"
        " const int32_t *restrict mul, int8_t *restrict y, int first, int last",
        {}, requires=(usual_pairs,), packing={"table_a": CENTRED, "table_b": CENTRED},
        cycles=lambda node: 50.0 + 10.5 * _own(node), split=flat, by_struct=True,
    ),
    Kernel(
        TablePairs, "gemv_tables.c", "tw_multiply_pairs",
        "const int8_t *restrict x, const int8_t *restrict table_a, const int32_t *restrict mul,"
        " int8_t *restrict y, int first, int last",
        {}, requires=(usual_pairs, one_table), packing={"table_a": CENTRED},
        cycles=lambda node: 48.0 + 8 * _own(node), split=flat, by_struct=True,
    ),
    Kernel(
        RestJoin, "gemv_tables.c", "tw_rest_join", f"{REST}, int skip, int words, int first, int last", {},
        _rest, (one_row, rest_in_words, rounded_rest), packing={"table": CENTRED}, in_place={"y": "r"},
        cycles=lambda node: 75.0 + (17 + 4 * _rest(node)["words"]) * _own(node), split=lambda _: Split(("o",)),
        by_struct=True,
    ),
)  # fmt: skip
