"""Rows for products of one token with what follows them, on eight cores: no barrier between."""

from __future__ import annotations

import numpy as np

from ...ir.graph import Node
from ...ops import GatedLinear, TurnedLinear
from ...quant.requant import accumulator_range, fits32, half
from ..base import Kernel, Split
from ..host.arguments import type_of
from ..host.one_call import GATED, TURNED, gated, turned
from .dense import ROWS
from .dense_cycles import stream, up
from .share import CORES


def one_token(node: Node) -> bool:
    """One token of 64 inputs"""
    return type_of(node, "x").shape == (1, 64)


def scaled_rows(node: Node) -> bool:
    """Constant weights whose sums stay within 32 bits up to their shifts"""
    for name in ("gate", "up", "q", "k", "v"):
        w, mul = node.operands.get(f"w_{name}"), node.operands.get(f"mul_{name}")
        if w is None or mul is None:
            continue
        if w.data is None or mul.data is None:
            return False
        rounding = np.array(half(node.op.attributes[f"{name}_shift"]))
        if not fits32(*accumulator_range(w.data, -128, 127), mul.data.astype(np.int64), rounding):
            return False
    return True


# Cluster cycles of warm calls, fitted on the simulator with `--timing gvsoc`.


def _share(node: Node, unit: int) -> int:
    """Rows of the busiest core."""
    return up(up(type_of(node, "y").static_shape[1], unit), CORES) * unit


def _gated_cycles(node: Node) -> float:
    rows = _share(node, 1)
    return 2 * stream(rows) + 150 + 8.5 * rows


def _turned_cycles(node: Node) -> float:
    rows = _share(node, 2)
    kinds = 1 if all(type_of(node, name).static_shape[0] % rows == 0 for name in ("w_q", "w_k")) else 2
    return 300 + stream(rows) + 150 * kinds + 16.8 * rows


def _turned_scratch(node: Node) -> int:
    return 2 * max(type_of(node, name).static_shape[0] for name in ("w_q", "w_k"))


ONE_CALL = (
    Kernel(
        GatedLinear, "gemv_i8.c", "tw_gated_i8",
        f"{GATED}, int8_t *restrict scratch, int gate_shift, int up_shift, int shift, int first, int last",
        {}, gated, requires=(one_token, scaled_rows), packing={"w_gate": ROWS, "w_up": ROWS},
        scratch=lambda node: type_of(node, "y").static_shape[1], cycles=_gated_cycles,
        split=lambda node: Split(("t", "o")),  # noqa: ARG005
    ),
    Kernel(
        TurnedLinear, "gemv_i8.c", "tw_turned_i8",
        f"{TURNED}, int16_t *restrict scratch, int q, int kv, int hd, int pos, int q_shift, int k_shift, int v_shift,"
        " int turn, int first, int last",
        {}, turned, requires=(one_token, scaled_rows), packing={"w_q": ROWS, "w_k": ROWS, "w_v": ROWS},
        scratch=_turned_scratch, direct=frozenset({"table"}), cycles=_turned_cycles,
        split=lambda node: Split(("t", "c"), 2),  # noqa: ARG005
    ),
)  # fmt: skip
