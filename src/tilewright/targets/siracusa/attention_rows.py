"""The row for attention by tables where rows have masks of their own: prompts of QuantLib's decoders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array
from ...ops import IntegerAttention
from ..base import Argument, Kernel, Packing, Split
from ..host.arguments import type_of
from .decoder import (
    BOUNDED,
    CENTRED,
    FOURFOLD,
    HALVES,
    REVERSED,
    TWICE,
    begins_with_most,
    bound_of,
    lines,
    masked_alike,
    of_four,
    sums_of_20_bits,
    sums_of_32_bits,
    sums_of_few_bits,
    within_7_bits,
)
from .decoder import cached_heads as heads_of_rows
from .language import VALUES, pitch_of
from .share import per_core

TOGETHER = 256  # scores that a core holds at a time


def _twice_in_halves(table: Array) -> Array:
    return (table.astype(np.int16) * 2).view(table.dtype)


def _once(packed: Array, _: tuple[int, ...]) -> Array:
    return np.asarray(np.ascontiguousarray(packed).view(np.int16) >> 1).astype(packed.dtype)


TWICE_IN_HALVES = Packing("twice their value, in halves", _twice_in_halves, _once)


def usual_pairs(node: Node) -> bool:
    """An even number of heads, 256 levels, shifts by 16, rounded, `scale` of 7 bits, a greatest exponential"""
    op, names = cast(IntegerAttention, node.op), ("exp", "numbers", "scale")
    exp, numbers, scale = (node.operands[name].data for name in names)
    if exp is None or numbers is None or scale is None or op.heads % 2 or op.levels != 256:
        return False
    rounded = op.shift == op.out_shift == 16 and numbers[3] == 1 << 15
    clipped = bound_of(numbers) > 0 and 256 <= numbers[2] < 1 << 15  # sums of more than 16 bits saturate as those do
    return bool(rounded and clipped) and begins_with_most(exp) and within_7_bits(scale)


def own_heads(node: Node) -> bool:
    """Several rows with masks, and as many heads in the cache as in a row"""
    op = cast(IntegerAttention, node.op)
    return "mask" in node.operands and op.heads == op.kv_heads and type_of(node, "q").static_shape[0] > 1


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


def _pairs(node: Node) -> tuple[int, int, int]:
    """Positions, words that they take, pairs of heads at a time."""
    seen, fours, together = _sizes(node)
    return seen, fours, -(-together // 2)


def _pair_arguments(node: Node) -> Mapping[str, Argument]:
    return {
        **_arguments(node), "stride": type_of(node, "k").static_shape[1], "pairs": _pairs(node)[2],
    }  # fmt: skip


def _pair_scratch(node: Node) -> int:
    seen, fours, pairs = _pairs(node)
    return lines(pairs * (12 + 4 * seen + 8 * fours) + 4 * seen + 4)


def pairs_of_rows(_: Node) -> Split:
    return Split(("t", "g"), 2)


def _scratch(node: Node) -> int:
    _, fours, together = _sizes(node)
    return together * (16 + 20 * fours + 4) + 8 + 4 * fours


def _cycles(node: Node) -> float:
    op, (seen, fours, together) = cast(IntegerAttention, node.op), _sizes(node)
    own = per_core(type_of(node, "q").static_shape[0] * op.heads)
    rows = 1 + -(-(own - 1) // op.heads)
    return 250.0 + rows * (60 + 6 * seen) + -(-own // together) * 150 + own * (111 + 13.8 * seen + 74.5 * fours)


def _pair_cycles(node: Node) -> float:
    op, (seen, fours, pairs) = cast(IntegerAttention, node.op), _pairs(node)
    own = per_core(type_of(node, "q").static_shape[0] * op.heads, 2) // 2
    rows = 1 + -(-(2 * own - 2) // op.heads)
    each = (145.0 if sums_of_few_bits(node) else 190.0) + 41.0 * seen + 18.0 * fours
    return 150.0 + rows * (30 + 6 * seen) + -(-own // pairs) * 150 + own * each


_OPERANDS = (
    "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int8_t *restrict plain,"
    " const int32_t *restrict exp, const int8_t *restrict weight, const int32_t *restrict numbers,"
    " const int8_t *restrict mask, const int8_t *restrict scale, const int8_t *restrict hide,"
    " const int8_t *restrict join, int8_t *restrict y, uint32_t *restrict scratch, int seen,"
)

ATTENTION_ROWS = (
    Kernel(
        IntegerAttention, "attention_row_pairs.c", "tw_attend_row_pairs",
        f"{_OPERANDS} int stride, int pairs, int pitch, int mask_step, int first, int last",
        {}, _pair_arguments, (own_heads, of_four, sums_of_32_bits, masked_alike, usual_pairs, sums_of_20_bits),
        packing={"v": VALUES, "plain": CENTRED, "scale": TWICE, "exp": HALVES, "weight": FOURFOLD,
                 "numbers": BOUNDED, "join": TWICE_IN_HALVES},
        scratch=_pair_scratch, split=pairs_of_rows, cycles=_pair_cycles, by_struct=True,
    ),
    Kernel(
        IntegerAttention, "attention_rows.c", "tw_attend_rows",
        f"{_OPERANDS} int heads, int together, int pitch, int mask_step, int shift, int out_shift, int levels,"
        " int first, int last",
        {}, _arguments, (own_heads, of_four, sums_of_32_bits, masked_alike),
        packing={"v": VALUES, "plain": CENTRED, "scale": CENTRED, "exp": REVERSED}, scratch=_scratch,
        split=heads_of_rows, cycles=_cycles,
    ),
)  # fmt: skip
