"""The row for attention by tables where rows have masks of their own: prompts of QuantLib's decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ops import IntegerAttention
from ..base import Argument, Kernel
from ..host.arguments import type_of
from .decoder import CENTRED, REVERSED, of_four, sums_of_32_bits
from .decoder import cached_heads as heads_of_rows
from .language import VALUES, pitch_of
from .share import per_core

TOGETHER = 256  # scores that a core holds at a time


def masked_alike(node: Node) -> bool:
    """A mask whose zeros give what its other numbers give by constant tables"""
    names = ("plain", "scale", "hide", "join")
    plain, scale, hide, join = (v.data if (v := node.operands.get(name)) is not None else None for name in names)
    if plain is None or scale is None or hide is None or join is None:
        return False
    return bool(np.array_equal(plain, join[scale.astype(np.int64) + hide[0] + 256]))


def own_heads(node: Node) -> bool:
    """Several rows, and as many heads in the cache as in a row"""
    op = cast(IntegerAttention, node.op)
    return op.heads == op.kv_heads and type_of(node, "q").static_shape[0] > 1


def _sizes(node: Node) -> tuple[int, int, int]:
    """Positions, words that they take, heads at a time."""
    seen = type_of(node, "k").static_shape[0]
    fours = -(-seen // 4)
    return seen, fours, min(cast(IntegerAttention, node.op).heads, max(1, TOGETHER // (4 * fours)))


def _arguments(node: Node) -> Mapping[str, Argument]:
    op, (seen, _, together) = cast(IntegerAttention, node.op), _sizes(node)
    return {
        "seen": seen, "heads": op.heads, "together": together, "pitch": pitch_of(seen),
        "mask_step": seen if type_of(node, "mask").static_shape[0] > 1 else 0,
        "shift": op.shift, "out_shift": op.out_shift, "levels": op.levels,
    }  # fmt: skip


def _scratch(node: Node) -> int:
    _, fours, together = _sizes(node)
    return together * (16 + 20 * fours + 4) + 8 + 4 * fours


def _cycles(node: Node) -> float:
    op, (seen, fours, together) = cast(IntegerAttention, node.op), _sizes(node)
    own = per_core(type_of(node, "q").static_shape[0] * op.heads)
    rows = 1 + -(-(own - 1) // op.heads)
    return 250.0 + rows * (60 + 6 * seen) + -(-own // together) * 150 + own * (111 + 13.8 * seen + 74.5 * fours)


ATTENTION_ROWS = (
    Kernel(
        IntegerAttention, "attention_rows.c", "tw_attend_rows",
        "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int8_t *restrict plain,"
        " const int32_t *restrict exp, const int8_t *restrict weight, const int32_t *restrict numbers,"
        " const int8_t *restrict mask, const int8_t *restrict scale, const int8_t *restrict hide,"
        " const int8_t *restrict join, int8_t *restrict y, uint32_t *restrict scratch, int seen, int heads,"
        " int together, int pitch, int mask_step, int shift, int out_shift, int levels, int first, int last",
        {}, _arguments, (own_heads, of_four, sums_of_32_bits, masked_alike),
        packing={"v": VALUES, "plain": CENTRED, "scale": CENTRED, "exp": REVERSED}, scratch=_scratch,
        split=heads_of_rows, cycles=_cycles,
    ),
)  # fmt: skip
