"""Rows for products of quantised language models with what follows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ops import GatedLinear, GatedSums, RestAdd, ScaledAdd, TurnedHeads
from ..base import Kernel, Scalar
from .arguments import type_of


def gated(node: Node) -> Mapping[str, Scalar]:
    """Sizes and shifts of a GatedLinear."""
    op, (rows, cols) = cast(GatedLinear, node.op), type_of(node, "w_up").static_shape
    return {
        "tokens": type_of(node, "x").shape[0], "rows": rows, "cols": cols, "gate_shift": op.gate_shift,
        "up_shift": op.up_shift, "shift": op.shift,
    }  # fmt: skip


def turned_heads(node: Node) -> dict[str, Scalar]:
    """Sizes and shifts of a TurnedHeads."""
    op = cast(TurnedHeads, node.op)
    return {
        "tokens": type_of(node, "x").shape[0], "kv_heads": op.kv_heads, "group": op.group,
        "hd": type_of(node, "angles").static_shape[1], "pos": op.pos, "q_shift": op.q_shift, "k_shift": op.k_shift,
        "v_shift": op.v_shift, "turn": op.turn,
    }  # fmt: skip


def gated_sums(node: Node) -> dict[str, Scalar]:
    """Columns of the result and shifts of a GatedSums."""
    op, columns = cast(GatedSums, node.op), type_of(node, "y").static_shape[1]
    return {"columns": columns, "gate_shift": op.gate_shift, "up_shift": op.up_shift, "shift": op.shift}


GATED = (
    "const int8_t *restrict x, const int8_t *restrict w_gate, const uint8_t *restrict mul_gate,"
    " const int8_t *restrict w_up, const uint8_t *restrict mul_up, const int16_t *restrict table, int8_t *restrict y"
)
HEADS = (
    "int8_t *restrict state_k, int8_t *restrict state_v, const int32_t *restrict x, const uint8_t *restrict mul,"
    " const int16_t *restrict angles, int8_t *restrict y"
)
SCALED_ADD = "const int32_t *restrict x, const int16_t *r, const uint8_t *restrict mul, int16_t *y"
REST_ADD = (
    "const int32_t *restrict s, const int8_t *restrict x, const int8_t *restrict w, const int16_t *r,"
    " const uint8_t *restrict mul, int16_t *y"
)
GATED_SUMS = "const int32_t *restrict x, const uint8_t *restrict mul, const int16_t *restrict table, int8_t *restrict y"

ONE_CALL = (
    Kernel(
        GatedLinear, "one_call.c", "tw_gated_linear_i8",
        f"{GATED}, int tokens, int rows, int cols, int gate_shift, int up_shift, int shift", {}, gated,
    ),
    Kernel(
        TurnedHeads, "one_call.c", "tw_turned_heads_i8",
        f"{HEADS}, int tokens, int kv_heads, int group, int hd, int pos, int q_shift, int k_shift, int v_shift,"
        " int turn", {}, turned_heads,
    ),
    Kernel(
        ScaledAdd, "one_call.c", "tw_scaled_add_i16", f"{SCALED_ADD}, int tokens, int columns, int shift", {},
        lambda node: {
            "tokens": type_of(node, "x").shape[0], "columns": type_of(node, "mul").static_shape[0],
            "shift": cast(ScaledAdd, node.op).shift,
        },
        in_place={"y": "r"},
    ),
    Kernel(
        RestAdd, "one_call.c", "tw_rest_add_i16", f"{REST_ADD}, int tokens, int columns, int inputs, int shift", {},
        lambda node: {
            "tokens": type_of(node, "x").shape[0], "columns": type_of(node, "mul").static_shape[0],
            "inputs": type_of(node, "w").static_shape[1], "shift": cast(RestAdd, node.op).shift,
        },
        in_place={"y": "r"},
    ),
    Kernel(
        GatedSums, "one_call.c", "tw_gated_sums_i8",
        f"{GATED_SUMS}, int tokens, int columns, int gate_shift, int up_shift, int shift", {},
        lambda node: {"tokens": type_of(node, "x").shape[0], **gated_sums(node)},
    ),
)  # fmt: skip
