"""Rows for the operators of quantised language models on the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array, maximum
from ...ops import Append, QuantisedAttention, QuantisedEmbed, QuantisedRMSNorm, QuantisedRoPE, QuantisedSwiGLU
from ..base import Kernel, Packing, Scalar, Split
from ..host.arguments import type_of


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


VALUES = Packing("channel by channel, positions in an odd number of words", _pack_values, _unpack_values)


def _pitch(node: Node, state: str) -> int:
    return pitch_of(maximum(type_of(node, state).shape[0]))


def _embed(node: Node) -> Mapping[str, Scalar]:
    return {"cols": type_of(node, "table").shape[1], "shift": cast(QuantisedEmbed, node.op).shift}


def _rmsnorm(node: Node) -> Mapping[str, Scalar]:
    op = cast(QuantisedRMSNorm, node.op)
    return {"n": type_of(node, "w").shape[0], "shift": op.shift, "eps": op.eps}


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


def _unit(node: Node) -> int:
    return 4 if _hd(node) % 8 else 8


def _parts(node: Node) -> Mapping[str, Scalar]:
    return {**_attention(node), "inverse": 65536 // _hd(node)}


def _parts_scratch(node: Node) -> int:
    """Bytes of all cores: a score and a byte for every head and position, a word for every channel."""
    heads = cast(QuantisedAttention, node.op).heads
    return heads * (5 * _pitch(node, "k") + 4 * _hd(node))


def one_token(node: Node) -> bool:
    """One token."""
    return type_of(node, "q").shape[0] == 1


def whole_words(node: Node) -> bool:
    """Heads of a multiple of four channels."""
    return _hd(node) % 4 == 0


def _every(node: Node) -> Split:
    """All elements of the result, flat."""
    return Split(node.op.domain(*node.types).parallel)


LANGUAGE = (
    Kernel(
        QuantisedEmbed, "cluster_llama.c", "tw_cluster_embed",
        "const int32_t *restrict tokens, const int8_t *restrict table, const uint8_t *restrict mul,"
        " int16_t *restrict y, int cols, int shift, int first, int last",
        {"tokens": "i32", "table": "i8", "mul": "u8"}, _embed, split=_every, direct=frozenset({"table", "mul"}),
    ),
    Kernel(
        QuantisedRMSNorm, "cluster_llama.c", "tw_cluster_rmsnorm",
        "const int16_t *restrict x, const int16_t *restrict w, int8_t *restrict y, int n, int shift, int64_t eps,"
        " int first, int last",
        {"x": "i16", "w": "i16"}, _rmsnorm, split=_every,
    ),
    Kernel(
        QuantisedRoPE, "cluster_llama.c", "tw_cluster_rope",
        "const int16_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int width, int hd, int pos,"
        " int shift, int first, int last",
        {"x": "i16", "table": "i16"}, _rope, split=lambda node: Split(("t", "c"), 2), direct=frozenset({"table"}),
    ),
    Kernel(
        Append, "cluster_attention.c", "tw_cluster_append_rows",
        "int8_t *restrict state, const int8_t *restrict x, int n, int pos, int first, int last",
        {"state": "i8", "x": "i8"}, lambda node: {k: v for k, v in _append(node).items() if k != "pitch"},
        split=lambda node: Split(("t", "c"), 4), direct=frozenset({"state"}),
    ),
    Kernel(
        Append, "cluster_attention.c", "tw_cluster_append_channels",
        "int8_t *restrict state, const int8_t *restrict x, int n, int pitch, int pos, int first, int last",
        {"state": "i8", "x": "i8"}, _append, packing={"state": VALUES, "y": VALUES}, split=_every,
        direct=frozenset({"state"}),
    ),
    Kernel(
        QuantisedAttention, "cluster_attention.c", "tw_cluster_attention",
        "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int32_t *restrict mul,"
        " const int32_t *restrict out, const uint8_t *restrict table, int8_t *restrict y, int32_t *restrict scratch,"
        " int pos, int group, int kv_width, int hd, int pitch, int shift, int out_shift, int first, int last",
        {"q": "i8", "k": "i8", "v": "i8"}, _attention, packing={"v": VALUES},
        split=lambda node: Split(("t", "g", "e"), 4), scratch=lambda node: 4 * _pitch(node, "k"),
    ),
    Kernel(
        QuantisedAttention, "cluster_decode.c", "tw_cluster_attention_parts",
        "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int32_t *restrict mul,"
        " const int32_t *restrict out, const uint8_t *restrict table, int8_t *restrict y, int32_t *restrict scratch,"
        " int pos, int group, int kv_width, int hd, int pitch, int shift, int out_shift, int inverse, int part,"
        " int first, int last",
        {"q": "i8", "k": "i8", "v": "i8"}, _parts, requires=(one_token, whole_words), packing={"v": VALUES},
        split=lambda node: Split(("t", "g", "e"), _unit(node)), scratch=_parts_scratch, parts=3,
    ),
    Kernel(
        QuantisedSwiGLU, "cluster_llama.c", "tw_cluster_swiglu",
        "const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int shift, int first,"
        " int last",
        {"a": "i8", "b": "i8", "table": "i16"}, lambda node: {"shift": cast(QuantisedSwiGLU, node.op).shift},
        in_place={"y": "a"}, split=_every,
    ),
)  # fmt: skip
