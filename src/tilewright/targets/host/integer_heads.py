"""Rows for the heads of QuantLib networks, and for sums and products through tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from ...ir.graph import Node
from ...ops import EnterHeads, IntegerAttention, NewHeads, RotateHeads, TableBinary, TablePairs
from ..base import Argument, Kernel
from .arguments import type_of
from .generic import elements
from .packing import CHANNELS, padded

Arguments = Mapping[str, Argument]


def _wide(node: Node) -> int:
    return int(type_of(node, "add").dtype.bits == 64)


def _rotate(node: Node) -> Arguments:
    op = cast(RotateHeads, node.op)
    (tokens, width), matrices = type_of(node, "x").static_shape, type_of(node, "r").static_shape
    hd = width // op.heads
    step = hd * hd if matrices[0] > 1 else 0
    return {"tokens": tokens, "heads": op.heads, "hd": hd, "step": step, "shift": op.shift, "wide": _wide(node)}


def _attention(node: Node) -> dict[str, Argument]:
    op = cast(IntegerAttention, node.op)
    (tokens, width), (seen, channels) = type_of(node, "q").static_shape, type_of(node, "k").static_shape
    mask = type_of(node, "mask").static_shape[0] if "mask" in node.operands else 1
    return {
        "tokens": tokens, "seen": seen, "heads": op.heads, "kv_heads": op.kv_heads, "hd": width // op.heads,
        "row": channels, "channel": 1, "mask_step": seen if mask > 1 else 0, "shift": op.shift,
        "out_shift": op.out_shift, "levels": op.levels,
    }  # fmt: skip


def _cached(node: Node) -> Arguments:
    return {**_attention(node), "row": 1, "channel": padded(type_of(node, "k").static_shape[0])}


def _new(node: Node) -> Arguments:
    op, (tokens, cols) = cast(NewHeads, node.op), type_of(node, "x").static_shape
    matrices, hd, _ = type_of(node, "r").static_shape
    return {
        "tokens": tokens, "cols": cols, "kv_heads": op.kv_heads, "group": op.group, "hd": hd, "pos": op.pos,
        "step": hd * hd if matrices > 1 else 0, "shift": op.shift, "q_shift": op.q_shift, "k_shift": op.k_shift,
    }  # fmt: skip


def _enter(node: Node) -> Arguments:
    op, tokens = cast(EnterHeads, node.op), type_of(node, "x_q").static_shape[0]
    matrices, hd, _ = type_of(node, "r").static_shape
    return {
        "tokens": tokens, "kv_heads": op.kv_heads, "group": op.group, "hd": hd, "pos": op.pos,
        "step": hd * hd if matrices > 1 else 0, "q_shift": op.q_shift, "k_shift": op.k_shift,
    }  # fmt: skip


def _binary(node: Node) -> Arguments:
    op = cast(TableBinary, node.op)
    return {"n": elements(node), "product": int(op.function == "mul"), "shift": op.shift, "wide": _wide(node)}


_CACHED = Kernel(
    IntegerAttention, "integer_heads.c", "tw_integer_attention",
    "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int8_t *restrict plain,"
    " const int32_t *restrict exp, const int8_t *restrict weight, const int32_t *restrict numbers,"
    " const int8_t *restrict mask, const int8_t *restrict scale, const int8_t *restrict hide,"
    " const int8_t *restrict join, int8_t *restrict y, int32_t *restrict scratch, int tokens, int seen, int heads,"
    " int kv_heads, int hd, int row, int channel, int mask_step, int shift, int out_shift, int levels",
    {}, _cached, packing={"k": CHANNELS, "v": CHANNELS}, scratch=lambda node: 4 * type_of(node, "k").static_shape[0],
)  # fmt: skip

NEW = (
    "int8_t *restrict state_k, int8_t *restrict state_v, const int8_t *restrict x, const int8_t *restrict w,"
    " const int32_t *restrict mul, const int8_t *restrict r, const int8_t *restrict table_k,"
    " const int8_t *restrict table_v, const int32_t *restrict numbers, int8_t *restrict y"
)

ENTER = (
    "int8_t *restrict state_k, int8_t *restrict state_v, const int8_t *restrict x_q, const int8_t *restrict x_k,"
    " const int8_t *restrict x_v, const int8_t *restrict r, const int8_t *restrict table_k,"
    " const int8_t *restrict table_v, const int32_t *restrict numbers, int8_t *restrict y"
)

INTEGER_HEADS = (
    Kernel(
        RotateHeads, "integer_heads.c", "tw_rotate_heads",
        "const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul, const void *restrict add,"
        " const int8_t *restrict table, int8_t *restrict y, int tokens, int heads, int hd, int step, int shift,"
        " int wide",
        {}, _rotate,
    ),
    Kernel(
        NewHeads, "integer_heads.c", "tw_heads_of_tokens",
        f"{NEW}, int8_t *restrict scratch, int tokens, int cols, int kv_heads, int group, int hd, int pos, int step,"
        " int shift, int q_shift, int k_shift",
        {}, _new, scratch=lambda node: type_of(node, "r").static_shape[1],
    ),
    Kernel(
        EnterHeads, "integer_heads.c", "tw_enter_heads",
        f"{ENTER}, int tokens, int kv_heads, int group, int hd, int pos, int step, int q_shift, int k_shift",
        {}, _enter,
    ),
    _CACHED,
    replace(_CACHED, arguments=_attention, packing={}),
    Kernel(
        TableBinary, "generic_dialect.c", "tw_table_binary",
        "const uint8_t *a, const uint8_t *b, const int8_t *restrict table_a, const int8_t *restrict table_b,"
        " const int32_t *restrict mul, const void *restrict add, int8_t *y, int n, int product, int shift, int wide",
        {}, _binary, in_place={"y": "a"},
    ),
    Kernel(
        TablePairs, "generic_dialect.c", "tw_table_pairs",
        "const uint8_t *x, const int8_t *restrict table_a, const int8_t *restrict table_b, const int32_t *restrict mul,"
        " const int32_t *restrict add, int8_t *restrict y, int n, int shift",
        {}, lambda node: {"n": elements(node), "shift": cast(TablePairs, node.op).shift},
    ),
)  # fmt: skip
