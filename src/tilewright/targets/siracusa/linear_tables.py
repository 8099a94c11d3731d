"""Rows for products of one token of QuantLib's decoders with the sum or product through tables that follows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array
from ...ops import LinearGate, LinearJoin
from ...quant.requant import accumulator_range, half
from ..base import Kernel, Scalar, Split
from ..host.arguments import type_of
from ..host.linear_tables import GATE, JOIN, sizes
from .decoder import CENTRED
from .dense import APART, ROWS, in_eights, one_row
from .dense_cycles import GATE_CALL, GATE_PAIR, eights, rows_alone
from .share import CORES, up


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
)  # fmt: skip
