"""Rows for the operators of language models, fp32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ir.types import TensorType, maximum
from ...ops import Add, Append, Attention, Embed, Linear, RMSNorm, RoPE, SwiGLU
from ..base import Kernel, Scalar
from .arguments import clamp, product, type_of
from .packing import CHANNELS, PANELS, padded


def _elements(node: Node) -> Mapping[str, Scalar]:
    return {"n": product(type_of(node, "y").shape)}


def _linear(node: Node) -> Mapping[str, Scalar]:
    rows, cols = type_of(node, "w").static_shape
    return {"tokens": product(type_of(node, "x").shape[:-1]), "rows": rows, "cols": cols, **clamp(node)}


def _rmsnorm(node: Node) -> Mapping[str, Scalar]:
    op, shape = cast(RMSNorm, node.op), type_of(node, "x").shape
    return {"rows": product(shape[:-1]), "n": shape[-1], "eps": op.eps}


def _rope(node: Node) -> Mapping[str, Scalar]:
    op, tokens = cast(RoPE, node.op), type_of(node, "x").shape[0]
    return {"tokens": tokens, "heads": op.heads, "hd": type_of(node, "table").shape[1], "pos": op.pos}


def _embed(node: Node) -> Mapping[str, Scalar]:
    return {"count": type_of(node, "tokens").shape[0], "cols": type_of(node, "table").shape[1]}


def _pitch(state: TensorType) -> int:
    return padded(maximum(state.shape[0]))


def _append(node: Node) -> Mapping[str, Scalar]:
    tokens, channels = type_of(node, "x").shape
    pos = cast(Append, node.op).pos
    return {"tokens": tokens, "n": channels, "pitch": _pitch(type_of(node, "state")), "pos": pos}


def _attention(node: Node) -> Mapping[str, Scalar]:
    op = cast(Attention, node.op)
    tokens, width = type_of(node, "q").shape
    return {
        "tokens": tokens, "pos": op.pos, "heads": op.heads, "kv_heads": op.kv_heads,
        "hd": maximum(width) // op.heads, "pitch": _pitch(type_of(node, "k")), "scale": op.scale,
    }  # fmt: skip


LANGUAGE = (
    Kernel(
        Linear, "linear.c", "tw_linear_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,"
        " int tokens, int rows, int cols, float low, float high",
        {"x": "f32", "w": "f32", "b": "f32"}, _linear, packing={"w": PANELS},
    ),
    Kernel(
        Embed, "embed.c", "tw_embed_f32",
        "const int32_t *restrict tokens, const float *restrict table, float *restrict y, int count, int cols",
        {"tokens": "i32", "table": "f32"}, _embed, packing={"table": PANELS},
    ),
    Kernel(
        RMSNorm, "norm.c", "tw_rmsnorm_f32",
        "const float *x, const float *restrict w, float *y, int rows, int n, float eps",
        {"x": "f32", "w": "f32"}, _rmsnorm, in_place={"y": "x"},
    ),
    Kernel(
        RoPE, "rope.c", "tw_rope_f32",
        "const float *x, const float *restrict table, float *y, int tokens, int heads, int hd, int pos",
        {"x": "f32", "table": "f32"}, _rope, in_place={"y": "x"},
    ),
    Kernel(
        Append, "attention.c", "tw_append_f32",
        "float *restrict state, const float *restrict x, int tokens, int n, int pitch, int pos",
        {"state": "f32", "x": "f32"}, _append, packing={"state": CHANNELS, "y": CHANNELS}, direct=frozenset({"state"}),
    ),
    Kernel(
        Attention, "attention.c", "tw_attention_f32",
        "const float *restrict q, const float *restrict k, const float *restrict v, float *restrict y,"
        " float *restrict scratch, int tokens, int pos, int heads, int kv_heads, int hd, int pitch, float scale",
        {"q": "f32", "k": "f32", "v": "f32"}, _attention, packing={"k": CHANNELS, "v": CHANNELS},
        scratch=lambda node: 4 * _pitch(type_of(node, "k")),
    ),
    Kernel(
        Add, "pointwise.c", "tw_add_f32", "const float *a, const float *restrict b, float *y, int n",
        {"a": "f32", "b": "f32"}, _elements, in_place={"y": "a"},
    ),
    Kernel(
        SwiGLU, "pointwise.c", "tw_swiglu_f32", "const float *a, const float *restrict b, float *y, int n",
        {"a": "f32", "b": "f32"}, _elements, in_place={"y": "a"},
    ),
)  # fmt: skip
