"""Rows for what stands between the products of QuantLib's decoders: turned heads, attention and sums by tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array
from ...ops import IntegerAttention, RotateHeads, TableBinary
from ..base import Argument, Kernel, Packing, Split
from ..host.arguments import type_of
from ..host.generic import elements
from .language import VALUES, pitch_of
from .share import flat, per_core

Arguments = Mapping[str, Argument]
_RANGE = "int first, int last"


def _centre(table: Array) -> Array:
    """Entry of the byte c, as a number with sign, at 128 + c."""
    return np.roll(table, 128)


def _uncentre(packed: Array, shape: tuple[int, ...]) -> Array:
    return np.roll(packed.reshape(shape), -128)


def _reverse(table: Array) -> Array:
    """Last entry first."""
    return np.ascontiguousarray(table[::-1])


def _reverse_255(table: Array) -> Array:
    """255 times as large, last entry first; then the greatest of all from each eighth entry on."""
    later = np.maximum.accumulate(table[::-1])[::-1][::8]
    return np.asarray(np.concatenate([table[::-1], later]).astype(np.int64) * 255).astype(table.dtype)


def _unreverse_255(packed: Array, _: tuple[int, ...]) -> Array:
    return np.asarray(packed[255::-1] // 255)


def bound_of(numbers: Array) -> int:
    """The b of clip((sum mul + add) >> 16) = (clip(sum, -b - 1, b) mul + 2^15) >> 16, in 16-bit factors; 0: none."""
    mul, add = int(numbers[0]), int(numbers[1])
    if add != 1 << 15 or not 0 < mul < 1 << 15:
        return 0
    bound = ((255 << 15) - 1) // mul
    return bound if bound < 1 << 15 and (bound + 1) * mul > 255 << 15 else 0


def _bound(numbers: Array) -> Array:
    return np.append(numbers, numbers.dtype.type(bound_of(numbers)))


CENTRED = Packing("from the entry of -128 on", _centre, _uncentre)
REVERSED = Packing("last entry first", _reverse, lambda packed, shape: _reverse(packed.reshape(shape)))
REVERSED_255 = Packing(
    "255 times, last entry first, and what is greatest from each eighth on", _reverse_255, _unreverse_255
)
BOUNDED = Packing("and where sums are clipped", _bound, lambda packed, _: packed[:4].copy())


def _fits(most: int, mul: np.int64, add: np.int64, shift: int) -> bool:
    """Whether sums within -most .. most are requantised in 32 bits."""
    return shift <= 31 and most * abs(int(mul)) + abs(int(add)) < 1 << 31


def of_32_bits(node: Node) -> bool:
    """A constant multiplier and addend, with which sums stay within 32 bits up to their shift."""
    shift, mul, add = node.op.attributes["shift"], node.operands["mul"].data, node.operands["add"].data
    most = 4 << 14 if isinstance(node.op, RotateHeads) else 1 << (14 if node.op.attributes["function"] == "mul" else 8)
    return mul is not None and add is not None and _fits(most, mul[0], add[0], shift)


def sums_of_32_bits(node: Node) -> bool:
    """Constant multipliers and addends, with which sums stay within 32 bits up to their shifts."""
    op, numbers = cast(IntegerAttention, node.op), node.operands["numbers"].data
    if numbers is None:
        return False
    seen, hd = type_of(node, "k").static_shape[0], _hd(node)
    return _fits(hd << 14, numbers[0], numbers[1], op.shift) and _fits(seen << 14, numbers[2], numbers[3], op.out_shift)


def _hd(node: Node) -> int:
    name = "q" if isinstance(node.op, IntegerAttention) else "x"
    return type_of(node, name).static_shape[1] // int(node.op.attributes["heads"])


def of_four(node: Node) -> bool:
    """Heads of four channels."""
    return _hd(node) == 4


def whole_words(node: Node) -> bool:
    """Heads of a multiple of four channels."""
    return _hd(node) % 4 == 0


def _turn(node: Node) -> Arguments:
    op = cast(RotateHeads, node.op)
    step = 16 if type_of(node, "r").static_shape[0] > 1 else 0
    return {"heads": op.heads, "step": step, "shift": op.shift}


def _join(node: Node) -> Arguments:
    op = cast(TableBinary, node.op)
    return {"product": int(op.function == "mul"), "shift": op.shift}


def one_usual_row(node: Node) -> bool:
    """One row, 256 levels, scores shifted by 16 and rounded, exponentials of which the first is greatest and small"""
    op, exp, numbers = cast(IntegerAttention, node.op), node.operands["exp"].data, node.operands["numbers"].data
    if exp is None or numbers is None or type_of(node, "q").static_shape[0] > 1:
        return False
    first, seen = int(exp[0]), type_of(node, "k").static_shape[0]
    small = exp.min() >= 0 and 0 < first == exp.max() and first * 255 * max(255, seen) < 1 << 32
    return small and op.levels == 256 and op.shift == 16 and bound_of(numbers) > 0


def _attention(node: Node) -> Arguments:
    op = cast(IntegerAttention, node.op)
    width, seen = type_of(node, "q").static_shape[1], type_of(node, "k").static_shape[0]
    rows = type_of(node, "mask").static_shape[0] if "mask" in node.operands else 1
    return {
        "seen": seen, "group": op.heads // op.kv_heads, "kv_heads": op.kv_heads, "hd": width // op.heads,
        "pitch": pitch_of(seen), "mask_step": seen if rows > 1 else 0, "shift": op.shift, "out_shift": op.out_shift,
        "levels": op.levels, "stride": type_of(node, "k").static_shape[1],
    }  # fmt: skip


def turned_heads(_: Node) -> Split:
    return Split(("t", "h"))


def cached_heads(_: Node) -> Split:
    """A core has whole heads of the cache, with all heads of the row that share one."""
    return Split(("t", "g"))


def _scratch(node: Node) -> int:
    """Bytes of a core: an exponential and a byte for every position, whole words, and a word.

    An odd number of lines, so that cores in step with each other do not all want the same bank.
    """
    return 16 * ((4 + 20 * -(-type_of(node, "k").static_shape[0] // 4) + 15) // 16 | 1)


# Cluster cycles of a warm call, fitted to calls on the simulator with `--timing gvsoc`.


def _turn_cycles(node: Node) -> float:
    op = cast(RotateHeads, node.op)
    own = per_core(type_of(node, "x").static_shape[0] * op.heads)
    return 180.0 + own * (48.0 if "table" in node.operands else 37.0)


def _attention_cycles(node: Node) -> float:
    op = cast(IntegerAttention, node.op)
    (tokens, width), seen = type_of(node, "q").static_shape, type_of(node, "k").static_shape[0]
    hd = width // op.heads
    own = per_core(tokens * op.kv_heads) * op.heads // op.kv_heads
    clear = hd == 4 and (tokens == 1 or "mask" not in node.operands)  # a single row is the last: nothing is hidden
    scores = 9.5 if clear else 51.0 + hd
    return 368.0 + own * (211.0 + seen * scores + 4 * -(-seen // 4) * (16.7 + 0.58 * hd))


def _row_cycles(node: Node) -> float:
    op, seen = cast(IntegerAttention, node.op), type_of(node, "k").static_shape[0]
    own = per_core(op.kv_heads) * op.heads // op.kv_heads
    return 250.0 + own * (150.0 + 20.0 * seen)


def _join_cycles(node: Node) -> float:
    own = per_core(elements(node))
    return 135.0 + 11.4 * own if cast(TableBinary, node.op).function == "mul" else 70.0 + 13.8 * own


_TABLES = (
    "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int8_t *restrict plain,"
    " const int32_t *restrict exp, const int8_t *restrict weight, const int32_t *restrict numbers,"
    " const int8_t *restrict mask, const int8_t *restrict scale, const int8_t *restrict hide,"
    " const int8_t *restrict join, int8_t *restrict y, uint32_t *restrict scratch, int seen,"
)

DECODER = (
    Kernel(
        RotateHeads, "decoder.c", "tw_turn_heads",
        "const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul, const void *restrict add,"
        f" const int8_t *restrict table, int8_t *restrict y, int heads, int step, int shift, {_RANGE}",
        {}, _turn, (of_four, of_32_bits), split=turned_heads, cycles=_turn_cycles,
    ),
    Kernel(
        TableBinary, "decoder.c", "tw_join_tables",
        "const void *a, const void *b, const int8_t *restrict table_a, const int8_t *restrict table_b,"
        f" const int32_t *restrict mul, const void *restrict add, int8_t *y, int product, int shift, {_RANGE}",
        {}, _join, (of_32_bits,), split=flat, in_place={"y": "a"}, cycles=_join_cycles,
    ),
    Kernel(
        IntegerAttention, "attention_tables.c", "tw_attend_row",
        f"{_TABLES} int group, int stride, int pitch, int out_shift, {_RANGE}",
        {}, _attention, (of_four, sums_of_32_bits, one_usual_row), scratch=_scratch, split=cached_heads,
        packing={"v": VALUES, "plain": CENTRED, "exp": REVERSED_255, "numbers": BOUNDED}, cycles=_row_cycles,
    ),
    Kernel(
        IntegerAttention, "attention_tables.c", "tw_attend_tables",
        f"{_TABLES} int group, int kv_heads, int hd, int pitch, int mask_step, int shift, int out_shift, int levels,"
        f" {_RANGE}",
        {}, _attention, (whole_words, sums_of_32_bits), packing={"v": VALUES, "plain": CENTRED, "exp": REVERSED},
        scratch=_scratch, split=cached_heads, cycles=_attention_cycles,
    ),
)  # fmt: skip
