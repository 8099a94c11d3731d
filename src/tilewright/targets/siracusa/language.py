"""Rows for the operators of quantised language models on the cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ...ir.domain import Box
from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import I8, I16, I32, U8, Array, DType, TensorType, maximum, nominal
from ...ops import (
    Append,
    QuantisedAttention,
    QuantisedEmbed,
    QuantisedRMSNorm,
    QuantisedRoPE,
    QuantisedSwiGLU,
    Saturate,
)
from ..base import Argument, Kernel, Packing, Scalar, Split
from ..host.arguments import type_of
from .dense import ROWS, pitch
from .share import flat, per_core


def pitch_of(capacity: int) -> int:
    """Bytes from one channel of the values to the next: an odd number of words, so that channels lie in all banks."""
    return 4 * (-(-capacity // 4) | 1)


def _pack_values(state: Array) -> Array:
    """[capacity, channels] -> [channels][pitch], missing positions are zero."""
    capacity, channels = state.shape
    filled = np.zeros((channels, pitch_of(capacity)), state.dtype)
    filled[:, :capacity] = state.T
    return filled.reshape(-1)


def _unpack_values(packed: Array, shape: tuple[int, ...]) -> Array:
    capacity, channels = shape
    return np.asarray(packed.reshape(channels, -1)[:, :capacity].T)


def _region_of_values(box: Box, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """All positions of some channels follow each other."""
    positions, (first, stop) = box
    width = pitch_of(shape[0])
    return (first * width, (stop - first) * width) if positions == (0, shape[0]) else None


VALUES = Packing(
    "channel by channel, positions in an odd number of words", _pack_values, _unpack_values, _region_of_values
)

ENDING = Packing(
    "the last entry 57 times", lambda table: np.append(table, np.repeat(table[-1:], 56)),
    lambda packed, _: np.asarray(packed[:256]),
)  # fmt: skip

IN_BOTH_HALVES = Packing(
    "each entry twice, so that both halves of a word are it", lambda table: np.repeat(table, 2),
    lambda packed, _: np.asarray(packed[::2]),
)  # fmt: skip


def _pitch(node: Node, state: str) -> int:
    return pitch_of(maximum(type_of(node, state).shape[0]))


def _embed(node: Node) -> Mapping[str, Scalar]:
    cols = maximum(type_of(node, "table").shape[1])
    return {"cols": cols, "pitch": pitch(cols), "shift": cast(QuantisedEmbed, node.op).shift}


def _rmsnorm(node: Node) -> Mapping[str, Scalar]:
    op = cast(QuantisedRMSNorm, node.op)
    return {"n": type_of(node, "w").shape[0], "shift": op.shift, "eps": op.eps}


def one_row_of_64(node: Node) -> bool:
    """One row of a multiple of 64 channels"""
    n = maximum(type_of(node, "w").shape[0])
    return n % 64 == 0 and math.prod(map(maximum, type_of(node, "x").shape)) == n


def _row_examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    from hypothesis import strategies as st

    n = draw(st.sampled_from([64, 128, 192]))
    op, _ = QuantisedRMSNorm.examples(draw)
    return op, (TensorType((1, n), I16), TensorType((n,), I16))


def _rope(node: Node) -> Mapping[str, Scalar]:
    op = cast(QuantisedRoPE, node.op)
    width = type_of(node, "x").shape[1]
    return {"width": width, "hd": type_of(node, "table").shape[1], "pos": op.pos, "shift": op.shift}


def _append(node: Node) -> Mapping[str, Scalar]:
    return {
        "n": type_of(node, "x").shape[1], "pitch": _pitch(node, "state"), "pos": cast(Append, node.op).pos,
    }  # fmt: skip


def _attention(node: Node) -> Mapping[str, Scalar]:
    op = cast(QuantisedAttention, node.op)
    return {
        "pos": op.pos, "group": op.heads // op.kv_heads, "kv_width": type_of(node, "k").shape[1],
        "hd": maximum(type_of(node, "q").shape[1]) // op.heads, "pitch": _pitch(node, "k"),
        "shift": op.shift, "out_shift": op.out_shift,
    }  # fmt: skip


def _hd(node: Node) -> int:
    return maximum(type_of(node, "q").shape[1]) // cast(QuantisedAttention, node.op).heads


def over(*dims: str, unit: int) -> Callable[[Node], Split]:
    """A split over these dimensions."""
    return lambda node: Split(dims, unit)  # noqa: ARG005


def one_token(node: Node) -> bool:
    """One token"""
    return maximum(type_of(node, "x").shape[0]) == 1


def one_embedding(node: Node) -> bool:
    """One token"""
    return maximum(type_of(node, "tokens").shape[0]) == 1


def several_embeddings(node: Node) -> bool:
    """Several tokens"""
    return not one_embedding(node)


def _column_examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    from hypothesis import strategies as st

    pos, c = draw(st.integers(0, 6)), draw(st.integers(1, 40))
    return Append(pos), (TensorType((pos + 1 + draw(st.integers(0, 3)), c), I8), TensorType((1, c), I8))


def _append_examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    op, types = Append.examples(draw)
    return op, tuple(kind and kind.with_dtype(I8) for kind in types)


# Cluster cycles of a warm call, its arguments included, fitted to calls on the simulator with `--timing gvsoc`: one to
# sixteen tokens, 32 to 768 channels. Tables that are used directly were in weight memory, caches in L1.


def elements(node: Node, operand: str = "y") -> int:
    """Elements of an operand at nominal sizes."""
    return math.prod(nominal(d) for d in type_of(node, operand).shape)


NORM_SHIFTS, SWIGLU_SHIFTS, TURN_SHIFT = range(18, 24), range(11, 17), 20  # those with loops of their own


def _rmsnorm_cycles(node: Node) -> float:
    """Of rows that no single element fills. A core may begin in the middle of one."""
    chunk, n = per_core(elements(node)), maximum(type_of(node, "w").shape[0])
    row, each = (80, 5.9) if cast(QuantisedRMSNorm, node.op).shift in NORM_SHIFTS else (95, 11.5)
    rows = 1 - (math.gcd(chunk, n) - chunk) // n
    return 240 + rows * (row + 1.9 * n) + each * chunk


def _swiglu_cycles(node: Node) -> float:
    fixed, each = (195, 5.93) if cast(QuantisedSwiGLU, node.op).shift in SWIGLU_SHIFTS else (200, 18.0)
    return fixed + each * per_core(elements(node))


def _row_cycles(node: Node) -> float:
    return 130 + 1.72 * type_of(node, "w").static_shape[0] + 9.5 * per_core(elements(node), 2)


def _whole_heads(node: Node) -> Split:
    return Split(("t", "c"), maximum(type_of(node, "table").shape[1]))


def _rope_sums_cycles(far: float) -> Callable[[Node], float]:
    """far: cycles more for each angle that is read from its memory."""

    def cycles(node: Node) -> float:
        hd, width = maximum(type_of(node, "table").shape[1]), maximum(type_of(node, "x").shape[1])
        chunk = per_core(elements(node), hd)
        if cast(QuantisedRoPE, node.op).shift != TURN_SHIFT or hd % 4:
            return 190 + (20.7 + far) * chunk
        return 220 + -(-chunk // width) * (25 + (2.25 + far) * hd) + 6.05 * chunk

    return cycles


def _rope_cycles(each: float) -> Callable[[Node], float]:
    def cycles(node: Node) -> float:
        chunk, hd = per_core(elements(node), 2), maximum(type_of(node, "table").shape[1])
        return 148 + 42 * max(1.0, chunk / hd) + each * chunk

    return cycles


def small_table(node: Node) -> bool:
    """Several rows, and a table of angles of at most 8 KiB"""
    rows = maximum(type_of(node, "x").shape[0])
    return rows > 1 and 2 * math.prod(map(maximum, type_of(node, "table").shape)) <= 8192


def _rope_examples(dtype: DType) -> Callable[[Any], tuple[Op, tuple[TensorType | None, ...]]]:
    """Two rows or more of this type."""

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        op, (x, table) = QuantisedRoPE.examples(draw)
        assert x is not None
        assert table is not None
        rows, hd = table.static_shape
        return op, (TensorType((x.static_shape[0] + 1, x.shape[1]), dtype), TensorType((rows + 1, hd), I16))

    return examples


def _saturate_cycles(node: Node) -> float:
    each = 3.5 if node.operands.get("r") is None else 4.8 if cast(Saturate, node.op).fits else 5.8
    return 60 + each * per_core(elements(node))


def _embed_cycles(node: Node) -> float:
    chunk, cols = per_core(elements(node)), maximum(type_of(node, "table").shape[1])
    return 62 + 45 * -(-chunk // cols) + 12 * chunk


def _embed_rows_cycles(node: Node) -> float:
    chunk, cols = per_core(elements(node)), maximum(type_of(node, "table").shape[1])
    return 150 + 56 * -(-chunk // cols) + 4.5 * chunk


def _append_cycles(fixed: float, each: float) -> Callable[[Node], float]:
    return lambda node: fixed + each * per_core(elements(node, "x"))


def _append_channels_cycles(node: Node) -> float:
    tokens, n = (nominal(d) for d in type_of(node, "x").shape)
    channels = per_core(n, 4)
    if tokens < 4:
        return 182 + 7.25 * tokens * channels
    return 145 + -(-channels // 4) * (20 + 17 * (tokens // 4) + 37 * (tokens % 4 > 0))


def _work(node: Node) -> tuple[int, float, float]:
    """Of the busiest core: heads that it has a part of, instructions for scores and p, those for sums of values.

    Scores take 10 instructions a position for 16 channels and 6 for 8, p 7; 4 positions of 8 channels 17, of one 8.
    """
    op, hd = cast(QuantisedAttention, node.op), _hd(node)
    scores = 6 if hd == 8 else 11 * (hd // 16) - 1 + 7 * (hd % 16 > 0)
    total = nominal(type_of(node, "q").shape[0]) * op.heads * hd
    chunk, most = per_core(total, 4), (0, 0.0, 0.0)
    for first in range(0, total, chunk):
        heads, near, far, c = 0, 0.0, 0.0, first
        while c < min(total, first + chunk):
            n = min(min(total, first + chunk) - c, hd - c % hd)
            seen = nominal(op.pos) + 1 + c // (op.heads * hd)
            heads += 1
            near += seen * (scores + 7)
            far += -(-seen // 4) * (17 * (n // 8) + 8 * (n % 8))
            c += n
        most = max(most, (heads, near, far), key=sum)
    return most


def _attention_cycles(node: Node) -> float:
    heads, near, far = _work(node)
    return 235 + 320 * heads + near + 1.3 * far


def shared_by_pairs(node: Node) -> bool:
    """Several rows, of which an even number of heads share keys and values, in fours of channels"""
    op = cast(QuantisedAttention, node.op)
    return maximum(type_of(node, "q").shape[0]) > 1 and op.heads // op.kv_heads % 2 == 0 and _hd(node) % 4 == 0


def _prompt(node: Node) -> Mapping[str, Argument]:
    """`sizes` as the C has them."""
    op, (queries, keys) = cast(QuantisedAttention, node.op), (type_of(node, name).shape for name in ("q", "k"))
    sizes = (op.heads // op.kv_heads, maximum(queries[1]), maximum(keys[1]), _hd(node), pitch_of(maximum(keys[0])))
    return {"sizes": (*sizes, op.shift, op.out_shift), "pos": op.pos, "tokens": queries[0]}


def _two_scratch(node: Node) -> int:
    return 16 * ((_pitch(node, "k") // 2 + 1) | 1)


def score_instructions(hd: int) -> int:
    """For a position's scores of one head, by slices of 16, 8 and 4 channels: the first is not added to another."""
    slices = [10] * (hd // 16) + [6] * (hd % 16 // 8) + [5] * (hd % 8 // 4)
    return sum(slices) + len(slices) - 1


def _prompt_cycles(node: Node) -> float:
    """The part that nominal rows have in a call of as many as there can be."""
    op, hd, rows = cast(QuantisedAttention, node.op), _hd(node), type_of(node, "q").shape[0]
    pairs = per_core(maximum(rows) * op.kv_heads) * op.heads // op.kv_heads // 2
    seen = nominal(op.pos) + (maximum(rows) + 1) / 2
    if hd == 16:
        each = 515 + 42.4 * seen
    else:
        values = hd // 4 * 14 * -(-seen // 4)
        each = (376 if hd == 8 else 500) + hd // 4 * 66 + 1.04 * (seen * (2 * score_instructions(hd) + 12) + values)
    return (340 + pairs * each) * nominal(rows) / maximum(rows)


def _pairs_examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    from hypothesis import strategies as st

    kv, group, hd = draw(st.integers(1, 3)), draw(st.sampled_from([2, 4])), draw(st.sampled_from([4, 8, 16, 20, 32]))
    tokens, pos = draw(st.integers(2, 9)), draw(st.integers(0, 40))
    op = QuantisedAttention(kv * group, kv, draw(st.integers(4, 24)), draw(st.integers(15, 24)), pos)
    cache = TensorType((pos + tokens + draw(st.integers(0, 5)), kv * hd), I8)
    heads = TensorType((kv * group,), I32)
    return op, (TensorType((tokens, kv * group * hd), I8), cache, cache, heads, heads, TensorType((256,), U8))


_EMBED = Kernel(
    QuantisedEmbed, "cluster_llama.c", "tw_cluster_embed",
    "const int32_t *restrict tokens, const int8_t *restrict table, const uint8_t *restrict mul,"
    " int16_t *restrict y, int cols, int pitch, int shift, int first, int last",
    {"tokens": "i32", "table": "i8", "mul": "u8"}, _embed, (one_embedding,), packing={"table": ROWS}, split=flat,
    direct=frozenset({"tokens", "table", "mul"}), cycles=_embed_cycles,
)  # fmt: skip

_NORM = (
    "const int16_t *restrict x, const int16_t *restrict w, int8_t *restrict y, int n, int shift, int64_t eps,"
    " int first, int last"
)

_ROPE = Kernel(
    QuantisedRoPE, "cluster_llama.c", "tw_cluster_rope",
    "const int16_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int width, int hd, int pos,"
    " int shift, int first, int last",
    {"x": "i16", "table": "i16"}, _rope, split=over("t", "c", unit=2), direct=frozenset({"table"}),
    cycles=_rope_cycles(11.6), examples=_rope_examples(I16),
)  # fmt: skip

_ROPE_SUMS = Kernel(
    QuantisedRoPE, "cluster_llama.c", "tw_cluster_rope_sums",
    "const int32_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int width, int hd, int pos,"
    " int shift, int first, int last",
    {"x": "i32", "table": "i16"}, _rope, split=_whole_heads, direct=frozenset({"table"}),
    cycles=_rope_sums_cycles(3.5), examples=_rope_examples(I32),
)  # fmt: skip

LANGUAGE = (
    replace(_EMBED, symbol="tw_cluster_embed_rows", requires=(several_embeddings,), cycles=_embed_rows_cycles),
    _EMBED,
    Kernel(
        QuantisedRMSNorm, "cluster_norm.c", "tw_cluster_rmsnorm_row", _NORM, {"x": "i16", "w": "i16"}, _rmsnorm,
        (one_row_of_64,), split=lambda node: Split(flat(node).dims, 2), cycles=_row_cycles, examples=_row_examples,
        by_struct=True,
    ),
    Kernel(
        QuantisedRMSNorm, "cluster_norm.c", "tw_cluster_rmsnorm",
        _NORM, {"x": "i16", "w": "i16"}, _rmsnorm, split=lambda node: Split(flat(node).dims, 4), cycles=_rmsnorm_cycles,
    ),
    replace(_ROPE, requires=(small_table,), direct=frozenset(), cycles=_rope_cycles(7.7)),
    _ROPE,
    replace(_ROPE_SUMS, requires=(small_table,), direct=frozenset(), cycles=_rope_sums_cycles(0)),
    _ROPE_SUMS,
    Kernel(
        Append, "cluster_attention.c", "tw_cluster_append_rows",
        "int8_t *restrict state, const int8_t *restrict x, int n, int pos, int first, int last",
        {"state": "i8", "x": "i8"}, lambda node: {k: v for k, v in _append(node).items() if k != "pitch"},
        split=over("t", "c", unit=4), direct=frozenset({"state"}), cycles=_append_cycles(90, 0.42),
        examples=_append_examples,
    ),
    Kernel(
        Append, "cluster_attention.c", "tw_cluster_append_column",
        "int8_t *restrict state, const int8_t *restrict x, int pitch, int pos, int first, int last",
        {"state": "i8", "x": "i8"}, lambda node: {k: v for k, v in _append(node).items() if k != "n"}, (one_token,),
        packing={"state": VALUES, "y": VALUES}, split=flat, direct=frozenset({"state"}), cycles=_append_cycles(60, 9),
        examples=_column_examples,
    ),
    Kernel(
        Append, "cluster_attention.c", "tw_cluster_append_channels",
        "int8_t *restrict state, const int8_t *restrict x, int n, int tokens, int pitch, int pos, int first, int last",
        {"state": "i8", "x": "i8"}, lambda node: {**_append(node), "tokens": type_of(node, "x").shape[0]},
        packing={"state": VALUES, "y": VALUES}, split=over("c", unit=4),
        direct=frozenset({"state"}), cycles=_append_channels_cycles, examples=_append_examples,
    ),
    Kernel(
        QuantisedAttention, "cluster_attention.c", "tw_cluster_attention",
        "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int32_t *restrict mul,"
        " const int32_t *restrict out, const uint8_t *restrict table, int8_t *restrict y, int32_t *restrict scratch,"
        " int pos, int group, int kv_width, int hd, int pitch, int shift, int out_shift, int first, int last",
        {"q": "i8", "k": "i8", "v": "i8"}, _attention, packing={"v": VALUES, "table": ENDING},
        split=over("t", "g", "e", unit=4), scratch=lambda node: 16 * (-(-_pitch(node, "k") // 4) | 1),
        cycles=_attention_cycles, by_struct=True, late=frozenset({"pos"}),
    ),
    Kernel(
        QuantisedAttention, "prompt_attention.c", "tw_prompt_attention",
        "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int32_t *restrict mul,"
        " const int32_t *restrict out, const uint8_t *restrict table, int8_t *restrict y, int32_t *restrict scratch,"
        " const int32_t *restrict sizes, int pos, int tokens, int first, int last",
        {"q": "i8", "k": "i8", "v": "i8"}, _prompt, (shared_by_pairs,),
        packing={"v": VALUES, "table": ENDING}, split=over("t", "g", unit=1), scratch=_two_scratch,
        cycles=_prompt_cycles, examples=_pairs_examples,
    ),
    Kernel(
        QuantisedSwiGLU, "cluster_llama.c", "tw_cluster_swiglu",
        "const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int shift, int first,"
        " int last",
        {"a": "i8", "b": "i8", "table": "i16"}, lambda node: {"shift": cast(QuantisedSwiGLU, node.op).shift},
        packing={"table": IN_BOTH_HALVES}, in_place={"y": "a"}, split=flat, cycles=_swiglu_cycles,
    ),
    Kernel(
        Saturate, "cluster_llama.c", "tw_cluster_saturate",
        "const int32_t *restrict x, const int16_t *r, int16_t *y, int fits, int first, int last",
        {"x": "i32", "r": "i16"}, lambda node: {"fits": int(cast(Saturate, node.op).fits)},
        in_place={"y": "r"}, split=flat, cycles=_saturate_cycles,
    ),
)  # fmt: skip
