"""Rows for what stands between the products of QuantLib's decoders: turned heads, attention and sums by tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array
from ...ops import EnterHeads, IntegerAttention, NewHeads, RotateHeads, TableBinary
from ...quant.requant import accumulator_range, fits32
from ..base import Argument, Kernel, Packing, Split
from ..host.arguments import type_of
from ..host.generic import elements
from ..host.integer_heads import ENTER, NEW
from .dense import ROWS
from .dense_cycles import stream
from .language import VALUES, pitch_of
from .share import flat, per_core, up

Arguments = Mapping[str, Argument]
_RANGE = "int first, int last"
MANY = 120  # positions from which on weights by tables of scores pay


def _centre(table: Array) -> Array:
    """Entry of the byte c, as a number with sign, at 128 + c."""
    return np.roll(table, 128)


def _uncentre(packed: Array, shape: tuple[int, ...]) -> Array:
    return np.roll(packed.reshape(shape), -128)


def _reverse(table: Array) -> Array:
    """Last entry first."""
    return np.ascontiguousarray(table[::-1])


def _twice(table: Array) -> Array:
    return np.asarray(_centre(table) * 2).astype(table.dtype)


def _once(packed: Array, shape: tuple[int, ...]) -> Array:
    return _uncentre(packed >> 1, shape)


def _plain(table: Array) -> Array:
    """And whether they are halves of their index, towards zero."""
    index = np.arange(-128, 128)
    halves = np.array_equal(_centre(table), np.sign(index) * (np.abs(index) // 2))
    return np.append(_twice(table), table.dtype.type(halves))


def _raised(first: int) -> int:
    """How many bits an exponential is raised by to be at least 2^15."""
    return 16 - first.bit_length()


def _halves(table: Array) -> Array:
    """Halves, last entry first; the greatest of what follows the first 8, 16 .. 128; how many bits all are raised; the
    greatest sum of them times the first of which is of 24 bits, raised as they are.
    """
    first = int(table[0])
    raised = _raised(first)
    halves = (table.astype(np.int64) << raised).astype(np.uint16)
    later = np.maximum.accumulate(halves[::-1])[::-1][8:136:8]
    short = min(((1 << 24) - 1) // max(first, 1) << raised, (1 << 31) - 1)
    packed = np.concatenate([halves[::-1], later]).view(np.int32)
    return np.append(packed, np.array([raised, short], np.int32)).astype(table.dtype)


def _unhalves(packed: Array, _: tuple[int, ...]) -> Array:
    halves = np.ascontiguousarray(packed[:128].astype(np.int32)).view(np.uint16)
    return np.asarray(halves[::-1] >> int(packed[136])).astype(packed.dtype)


def bound_of(numbers: Array) -> int:
    """The b with clip((sum mul + add) >> 16) = (clip(sum, -b - 1, b) mul + 2^15) >> 16, all of 16 bits; 0: none."""
    mul, add = int(numbers[0]), int(numbers[1])
    if add != 1 << 15 or not 0 < mul < 1 << 15:
        return 0
    bound = ((255 << 15) - 1) // mul
    return bound if bound < 1 << 15 and (bound + 1) * mul > 255 << 15 else 0


def _bound(numbers: Array) -> Array:
    return np.append(numbers, numbers.dtype.type(bound_of(numbers)))


def _rounded(numbers: Array) -> Array:
    """And whether both rotations are products of halves that are rounded: sums beyond 16 bits saturate."""
    halves = all(256 <= mul < 1 << 15 and add == 1 << 15 for mul, add in numbers[-4:].reshape(2, 2).astype(np.int64))
    return np.append(numbers, numbers.dtype.type(halves))


CENTRED = Packing("from the entry of -128 on", _centre, _uncentre)
REVERSED = Packing("last entry first", _reverse, lambda packed, shape: _reverse(packed.reshape(shape)))
FOURFOLD = Packing("each entry four times", lambda table: np.repeat(table, 4), lambda packed, _: packed[::4].copy())
TWICE = Packing("twice their value, from the entry of -128 on", _twice, _once)
PLAIN = Packing(f"{TWICE.name}, and whether they are halves", _plain, lambda packed, shape: _once(packed[:256], shape))
HALVES = Packing("halves, last entry first, raised to 2^15, and what follows each eighth", _halves, _unhalves)
TURNING = Packing("and whether rotations are rounded halves", _rounded, lambda packed, _: packed[:-1].copy())
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


def _new(node: Node) -> Arguments:
    return {**_enter(node), "shift": cast(NewHeads, node.op).shift}


def _enter(node: Node) -> Arguments:
    op, (positions, n) = cast(NewHeads | EnterHeads, node.op), type_of(node, "state_v").static_shape
    return {"n": n, "group": op.group, "pitch": pitch_of(positions), "pos": op.pos, "turn": op.q_shift}


def _own_rows(node: Node) -> int:
    """Rows of weights of the busiest core."""
    return per_core(cast(NewHeads, node.op).kv_heads) * (cast(NewHeads, node.op).group + 2) * 4


def one_token_of_64(node: Node) -> bool:
    """One token of 64 inputs, heads of four channels"""
    return type_of(node, "x").shape == (1, 64) and type_of(node, "r").shape == (1, 4, 4)


def new_sums_of_32_bits(node: Node) -> bool:
    """Constants with which sums stay within 32 bits up to their shifts, one shift for both rotations"""
    op, constants = cast(NewHeads, node.op), [node.operands[name].data for name in ("w", "mul", "numbers")]
    if any(c is None for c in constants) or op.q_shift != op.k_shift or op.shift > 31:
        return False
    w, mul, numbers = (c for c in constants if c is not None)
    return _turns_fit(numbers[1:], op.q_shift) and fits32(*accumulator_range(w, -128, 127), mul, numbers[:1])


def _turns_fit(numbers: Array, shift: int) -> bool:
    return all(_fits(4 << 14, numbers[i], numbers[i + 1], shift) for i in (0, 2))


def one_row_of_fours(node: Node) -> bool:
    """One token, heads of four channels"""
    return type_of(node, "x_q").shape[0] == 1 and type_of(node, "r").shape == (1, 4, 4)


def turns_of_32_bits(node: Node) -> bool:
    """Constants with which sums stay within 32 bits up to their shift, one for both rotations"""
    op, numbers = cast(EnterHeads, node.op), node.operands["numbers"].data
    return numbers is not None and op.q_shift == op.k_shift and _turns_fit(numbers, op.q_shift)


def _join(node: Node) -> Arguments:
    op = cast(TableBinary, node.op)
    return {"product": int(op.function == "mul"), "shift": op.shift}


def masked_alike(node: Node) -> bool:
    """No mask, or one whose zeros give what its other numbers give by constant tables"""
    if "mask" not in node.operands:
        return True
    plain, scale, hide, join = (node.operands[name].data for name in ("plain", "scale", "hide", "join"))
    if plain is None or scale is None or hide is None or join is None:
        return False
    return bool(np.array_equal(plain, join[scale.astype(np.int64) + hide[0] + 256]))


def one_usual_row(node: Node) -> bool:
    """One row, 256 levels, scores shifted by 16, rounded and then of 7 bits, a greatest exponential"""
    op, names = cast(IntegerAttention, node.op), ("exp", "numbers", "plain")
    exp, numbers, plain = (node.operands[name].data for name in names)
    if exp is None or numbers is None or plain is None or type_of(node, "q").static_shape[0] > 1:
        return False
    usual = op.levels == 256 and op.shift == 16 and bound_of(numbers) > 0 and within_7_bits(plain)
    return usual and begins_with_most(exp)


def begins_with_most(exp: Array) -> bool:
    """Whether exponentials are of 16 bits without sign, and the greatest stands for no distance and is not zero."""
    return bool(exp.min() >= 0 and 0 < exp[0] == exp.max() < 1 << 16)


def _seen(node: Node) -> int:
    return type_of(node, "k").static_shape[0]


def _first(node: Node) -> int:
    exp = node.operands["exp"].data
    return 0 if exp is None else int(exp[0])


def _sums(node: Node) -> tuple[int, int]:
    """Most that a sum of raised exponentials is, and that times the greatest of those that are not raised."""
    first = _first(node)
    most = (first << _raised(first)) * _seen(node)
    return most, most * first


def few_positions(node: Node) -> bool:
    """So few positions that tables do not pay, and sums of exponentials of 20 bits, as quotients by them are exact"""
    return _seen(node) < MANY and sums_of_20_bits(node)


def sums_of_20_bits(node: Node) -> bool:
    """Sums of exponentials of 20 bits, as quotients by them are exact"""
    most, product = _sums(node)
    return product < 1 << 35 and most >> _raised(_first(node)) <= 1 << 20


def sums_of_few_bits(node: Node) -> bool:
    """Whether one division gives reciprocals of all digits that quotients need."""
    return _first(node) ** 2 * _seen(node) < 1 << 24


def sums_of_24_bits(node: Node) -> bool:
    """Eight positions, and sums of exponentials below 2^24, as quotients by them are exact"""
    most, product = _sums(node)
    return _seen(node) >= 8 and product < 1 << 39 and most >> _raised(_first(node)) < 1 << 24


def within_7_bits(table: Array) -> bool:
    return bool(table.min() >= -64 and table.max() < 64)


def heads_in_pairs(node: Node) -> bool:
    """An even number of heads of the cache, or 2, 4, 8 ... heads of the row to each"""
    op = cast(IntegerAttention, node.op)
    group = op.heads // op.kv_heads
    return op.kv_heads % 2 == 0 if group == 1 else group & (group - 1) == 0


def _attention(node: Node) -> Arguments:
    op = cast(IntegerAttention, node.op)
    width, seen = type_of(node, "q").static_shape[1], type_of(node, "k").static_shape[0]
    rows = type_of(node, "mask").static_shape[0] if "mask" in node.operands else 1
    return {
        "seen": seen, "group": op.heads // op.kv_heads, "kv_heads": op.kv_heads, "hd": width // op.heads,
        "pitch": pitch_of(seen), "mask_step": seen if rows > 1 else 0, "shift": op.shift, "out_shift": op.out_shift,
        "levels": op.levels,
    }  # fmt: skip


def _one_row(node: Node) -> Arguments:
    op = cast(IntegerAttention, node.op)
    spread = (op.heads // op.kv_heads).bit_length() + 1
    return {**_attention(node), "stride": type_of(node, "k").static_shape[1], "spread": spread}


def turned_heads(_: Node) -> Split:
    return Split(("t", "h"))


def cached_heads(_: Node) -> Split:
    """A core has whole heads of the cache, with all heads of the row that share one."""
    return Split(("t", "g"))


def pairs_of_heads(node: Node) -> Split:
    """A core has pairs of heads of the row, and all that share a head of the cache."""
    op = cast(IntegerAttention, node.op)
    return Split(("t", "g"), 2 if op.heads == op.kv_heads else 1)


def lines(size: int) -> int:
    """An odd number of lines: cores in step with each other do not all want the same bank."""
    return 16 * (up(size, 16) | 1)


def _scratch(node: Node) -> int:
    """Bytes of a core: an exponential and a byte for every position, whole words, and a word."""
    return lines(4 + 20 * up(_seen(node), 4))


def _row_scratch(node: Node) -> int:
    """An exponential and two bytes for every position, whole words, and a word."""
    return lines(4 + 24 * up(_seen(node), 4))


def _long_scratch(node: Node) -> int:
    """Two bytes for every position, whole words, two words, and a table; four bytes and a word under a mask."""
    return lines(max(8 * up(_seen(node), 4) + 8 + 256, 4 * _seen(node) + 4))


# Cluster cycles of a warm call, fitted to calls on the simulator with `--timing gvsoc`.


def _turn_cycles(node: Node) -> float:
    op = cast(RotateHeads, node.op)
    own = per_core(type_of(node, "x").static_shape[0] * op.heads)
    return 180.0 + own * (48.0 if "table" in node.operands else 37.0)


def _new_cycles(node: Node) -> float:
    op = cast(NewHeads, node.op)
    return stream(_own_rows(node)) + 175 + per_core(op.kv_heads) * (20 * op.group + 98)


def _enter_cycles(node: Node) -> float:
    op, numbers = cast(EnterHeads, node.op), node.operands["numbers"].data
    halves = op.q_shift == 16 and numbers is not None and _rounded(numbers)[-1] > 0
    return 175 + per_core(op.kv_heads) * (20 * op.group + 98 if halves else 46 * op.group + 275)


def _attention_cycles(node: Node) -> float:
    op = cast(IntegerAttention, node.op)
    (tokens, width), seen = type_of(node, "q").static_shape, type_of(node, "k").static_shape[0]
    hd = width // op.heads
    own = per_core(tokens * op.kv_heads) * op.heads // op.kv_heads
    clear = hd == 4 and (tokens == 1 or "mask" not in node.operands)  # a single row is the last: nothing is hidden
    scores = 9.5 if clear else 51.0 + hd
    return 368.0 + own * (211.0 + seen * scores + 4 * -(-seen // 4) * (16.7 + 0.58 * hd))


def _pairs(node: Node) -> int:
    """Pairs of heads of the busiest core."""
    op = cast(IntegerAttention, node.op)
    return per_core(op.kv_heads, pairs_of_heads(node).unit) * (op.heads // op.kv_heads) // 2


def _row_cycles(node: Node) -> float:
    if "mask" in node.operands and _seen(node) < 8:  # whatever it hides
        return 150.0 + _pairs(node) * (480.0 + 84.0 * _seen(node))
    each = 237.0 + 38.4 * _seen(node) if _seen(node) < 24 else 205.0 + 39.0 * _seen(node)
    return 150.0 + _pairs(node) * each


def _long_cycles(node: Node) -> float:
    return 150.0 + _pairs(node) * (1668.0 + 26.5 * _seen(node))


def _join_cycles(node: Node) -> float:
    own = per_core(elements(node))
    return 135.0 + 11.4 * own if cast(TableBinary, node.op).function == "mul" else 70.0 + 13.8 * own


_TABLES = (
    "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int8_t *restrict plain,"
    " const int32_t *restrict exp, const int8_t *restrict weight, const int32_t *restrict numbers,"
    " const int8_t *restrict mask, const int8_t *restrict scale, const int8_t *restrict hide,"
    " const int8_t *restrict join, int8_t *restrict y, uint32_t *restrict scratch, int seen,"
)

_PAIRS = f"{_TABLES} int stride, int pitch, int spread, int out_shift, {_RANGE}"
_PACKED = {"v": VALUES, "plain": PLAIN, "exp": HALVES, "weight": FOURFOLD, "numbers": BOUNDED,
           "scale": CENTRED}  # fmt: skip
_HIDING = frozenset({"scale", "hide", "join"})  # not read where nothing is masked

DECODER = (
    Kernel(
        RotateHeads, "decoder.c", "tw_turn_heads",
        "const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul, const void *restrict add,"
        f" const int8_t *restrict table, int8_t *restrict y, int heads, int step, int shift, {_RANGE}",
        {}, _turn, (of_four, of_32_bits), split=turned_heads, cycles=_turn_cycles,
    ),
    Kernel(
        NewHeads, "decoder.c", "tw_new_heads",
        f"{NEW}, int8_t *restrict scratch, int n, int group, int pitch, int pos, int shift, int turn, {_RANGE}",
        {}, _new, (one_token_of_64, new_sums_of_32_bits),
        packing={"w": ROWS, "table_k": CENTRED, "table_v": CENTRED, "state_v": VALUES, "v": VALUES,
                 "numbers": TURNING},
        scratch=lambda node: type_of(node, "mul").static_shape[0], split=cached_heads,
        direct=frozenset({"state_k", "state_v"}), cycles=_new_cycles, by_struct=True,
    ),
    Kernel(
        EnterHeads, "decoder.c", "tw_enter_row",
        f"{ENTER}, int n, int group, int pitch, int pos, int turn, {_RANGE}",
        {}, _enter, (one_row_of_fours, turns_of_32_bits),
        packing={"table_k": CENTRED, "table_v": CENTRED, "state_v": VALUES, "v": VALUES, "numbers": TURNING},
        split=cached_heads, direct=frozenset({"state_k", "state_v"}), cycles=_enter_cycles, by_struct=True,
    ),
    Kernel(
        TableBinary, "decoder.c", "tw_join_tables",
        "const void *a, const void *b, const int8_t *restrict table_a, const int8_t *restrict table_b,"
        f" const int32_t *restrict mul, const void *restrict add, int8_t *y, int product, int shift, {_RANGE}",
        {}, _join, (of_32_bits,), split=flat, in_place={"y": "a"}, cycles=_join_cycles, by_struct=True,
    ),
    Kernel(
        IntegerAttention, "attention_pairs.c", "tw_attend_row", _PAIRS,
        {}, _one_row, (of_four, sums_of_32_bits, one_usual_row, masked_alike, heads_in_pairs, few_positions),
        scratch=_row_scratch, split=pairs_of_heads, packing=_PACKED, direct=_HIDING, cycles=_row_cycles, by_struct=True,
    ),
    Kernel(
        IntegerAttention, "attention_pairs.c", "tw_attend_long", _PAIRS,
        {}, _one_row, (of_four, sums_of_32_bits, one_usual_row, masked_alike, heads_in_pairs, sums_of_24_bits),
        scratch=_long_scratch, split=pairs_of_heads, packing=_PACKED, direct=_HIDING, cycles=_long_cycles,
        by_struct=True,
    ),
    Kernel(
        IntegerAttention, "attention_tables.c", "tw_attend_tables",
        f"{_TABLES} int group, int kv_heads, int hd, int pitch, int mask_step, int shift, int out_shift, int levels,"
        f" {_RANGE}",
        {}, _attention, (whole_words, sums_of_32_bits), packing={"v": VALUES, "plain": CENTRED, "exp": REVERSED},
        scratch=_scratch, split=cached_heads, cycles=_attention_cycles,
    ),
)  # fmt: skip
