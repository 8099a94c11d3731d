"""Rows for attention of one token, whose heads are taken by several cores each: they meet in the call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import I8, I32, U8, TensorType, maximum, nominal
from ...ops import QuantisedAttention
from ...quant.requant import half
from ..base import Argument, Kernel, Split
from ..host.arguments import type_of
from .language import ENDING, VALUES, pitch_of, score_instructions
from .share import CORES, up

WORDS = 2  # of the scratch for each part of a head: the greatest score, the total of the weights


def _heads(node: Node) -> tuple[int, int, int]:
    """Heads, how many share keys, channels of each."""
    op = cast(QuantisedAttention, node.op)
    return op.heads, op.heads // op.kv_heads, maximum(type_of(node, "q").shape[1]) // op.heads


def one_token(node: Node) -> bool:
    """One token, heads of a multiple of four channels"""
    return maximum(type_of(node, "q").shape[0]) == 1 and _heads(node)[2] % 4 == 0


def four_of_16(node: Node) -> bool:
    """Four heads of 16 channels, an even number of which share keys: each core has four channels of two"""
    return twos(node) and _heads(node)[0::2] == (4, 16)


def twos(node: Node) -> bool:
    """An even number of heads share keys"""
    return _heads(node)[1] % 2 == 0


def _together(node: Node) -> int:
    return 2 if twos(node) else 1


def _log(node: Node) -> int:
    """Of the parts of positions: as many as give all cores as much."""
    units = _heads(node)[0] // _together(node)
    return (CORES // math.gcd(CORES, units)).bit_length() - 1


def _row(node: Node) -> int:
    return pitch_of(maximum(type_of(node, "k").shape[0]))


def _form(node: Node) -> tuple[int, ...]:
    """The form and the units of the C. In the scratch lie greatest scores, totals, scores, weights."""
    op, (heads, group, hd), log, row = cast(QuantisedAttention, node.op), _heads(node), _log(node), _row(node)
    both, parts = _together(node), 1 << log
    wide = both == 2 and parts > 1  # a unit has the weights of one head, of twice as many positions
    fewer, runs = parts >> wide, 1 if wide else both
    totals, width = 4 * heads * parts, maximum(type_of(node, "k").shape[1])
    scores = 2 * totals
    weights = scores + 4 * heads * row
    units = heads * parts // both
    found = [units // CORES, 4 * parts, log + 2, parts, fewer, int(wide), runs, hd, width, row]
    found += [op.shift, half(op.shift), op.out_shift]
    for unit in range(units):
        part, head = unit % parts, unit // parts * both
        one = head + part % 2 if wide else head
        first, end = (4 * (edge * (hd // 4) // parts) for edge in (part, part + 1))
        keys, all_ = head // group * hd, 4 * head * parts
        found += [part, head * hd, keys, all_ + 4 * part * both, scores + 4 * head * row]
        found += [part >> wide, 4 * one, all_ + 4 * (one - head), scores + 4 * one * row, weights + one * row]
        found += [totals + 4 * (one * fewer + (part >> wide))]
        found += [4 * head, totals + 4 * head * fewer, weights + head * row, (keys + first) * row, head * hd + first]
        found += [end - first]
    return tuple(found)


def _up(node: Node) -> int:
    """By how many bits the scales of results and all sums of weights can be shifted within 32."""
    out, positions = node.operands["out"].data, maximum(type_of(node, "k").shape[0])
    if out is None or int(out.min()) < 0:
        return 0
    return max(0, 32 - (int(out.max()) + 256 * positions).bit_length())


def _quarters(node: Node) -> tuple[int, ...]:
    """The quarters of the C. In the scratch lie greatest scores, totals, scores of two heads in turns, weights."""
    op, (_, group, hd), row = cast(QuantisedAttention, node.op), _heads(node), _row(node)
    totals, scores, width = 64, 96, maximum(type_of(node, "k").shape[1])
    weights, found = scores + 16 * row, []
    for core in range(CORES):
        part, pair = core % 4, core // 4
        two, one, keys, mine = 2 * pair, 2 * pair + part % 2, 2 * pair // group * hd, scores + 8 * row * pair
        found += [part, two * hd, keys, width, mine, 32 * pair + 8 * part]
        found += [part // 2, one, 32 * pair + 4 * (part % 2), mine + 4 * (part % 2), weights + one * row]
        found += [totals + 8 * one + 4 * (part // 2), op.shift, half(op.shift), 255 + 8 * part]
        found += [two, totals + 8 * two, weights + two * row, (keys + 4 * part) * row, row, two * hd + 4 * part]
        found += [op.out_shift, _up(node)]
    return tuple(found)


def _scratch(node: Node) -> int:
    heads, row = _heads(node)[0], _row(node)
    return 4 * WORDS * (heads << _log(node)) + 5 * heads * row


def _arguments(node: Node) -> Mapping[str, Argument]:
    return {"pos": cast(QuantisedAttention, node.op).pos, "sizes": _form(node)}


# Cluster cycles of a warm call, fitted to calls on the simulator with `--timing gvsoc`: 1 to 256 positions.


def _cycles(node: Node) -> float:
    (heads, _, hd), log, both = _heads(node), _log(node), _together(node)
    seen, rounds = nominal(cast(QuantisedAttention, node.op).pos) + 1, (heads << log) // both // CORES
    part, quads = min(seen, 4 * up(seen, 4 << log)), up(hd // 4, 1 << log)
    scores = {8: 10, 16: 16}.get(hd, 2 * score_instructions(hd)) if both == 2 else score_instructions(hd)
    weights, values = 24 * up(part * both, 4), quads * up(seen, 4) * (14 if both == 2 else 9)
    fixed = 165 + rounds * (450 + quads * (92 * both - 35))
    return fixed + rounds * (1.12 * part * scores + 1.08 * weights + 0.93 * values)


def _quarter_cycles(node: Node) -> float:
    seen = nominal(cast(QuantisedAttention, node.op).pos) + 1
    return 520 + 1.03 * (16 * up(seen, 4) + 24 * up(seen, 8) + 14 * up(seen, 4))


def _examples(*, even: bool, sixteen: bool = False) -> Any:
    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        kv, pos = draw(st.integers(1, 5)), draw(st.integers(0, 90))
        group = draw(st.sampled_from([2, 4] if even else [1, 3]))
        kv, group = (4 // group, group) if sixteen else (kv, group)
        hd = 16 if sixteen else draw(st.sampled_from([4, 8, 12, 16, 20, 32, 44]))
        op = QuantisedAttention(kv * group, kv, draw(st.integers(4, 24)), draw(st.integers(15, 24)), pos)
        cache = TensorType((pos + 1 + draw(st.integers(0, 5)), kv * hd), I8)
        heads = TensorType((kv * group,), I32)
        return op, (TensorType((1, kv * group * hd), I8), cache, cache, heads, heads, TensorType((256,), U8))

    return examples


_ONE = Kernel(
    QuantisedAttention, "shared_attention.c", "tw_shared_attention_one",
    "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int32_t *restrict mul,"
    " const int32_t *restrict out, const uint8_t *restrict table, int8_t *restrict y, int32_t *restrict scratch,"
    " const int32_t *restrict sizes, int pos",
    {"q": "i8", "k": "i8", "v": "i8"}, _arguments, (one_token,), packing={"v": VALUES, "table": ENDING},
    split=lambda node: Split(("t", "g", "e")),  # noqa: ARG005
    scratch=_scratch, cycles=_cycles, meets=True, examples=_examples(even=False),
    by_struct=True, late=frozenset({"pos"}),
)  # fmt: skip

SHARED_ATTENTION = (
    replace(
        _ONE, symbol="tw_shared_attention_16", requires=(one_token, four_of_16),
        arguments=lambda node: {"pos": cast(QuantisedAttention, node.op).pos, "sizes": _quarters(node)},
        cycles=_quarter_cycles,
        examples=_examples(even=True, sixteen=True),
    ),
    replace(
        _ONE, symbol="tw_shared_attention_two", requires=(one_token, twos), examples=_examples(even=True),
    ),
    _ONE,
)  # fmt: skip
