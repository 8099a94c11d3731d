"""Rows for the operators of fp32 language models on the cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from ...ir.graph import Node
from ...ir.types import maximum, nominal
from ...ops import Append, Attention, Embed, RMSNorm, RoPE, SwiGLU
from ..base import Kernel, Scalar
from ..host.arguments import type_of
from .language import elements, over
from .share import flat, per_core


def _rmsnorm(node: Node) -> Mapping[str, Scalar]:
    n = maximum(type_of(node, "w").shape[0])
    return {"n": n, "inverse": 1.0 / n, "eps": cast(RMSNorm, node.op).eps}


def _rope(node: Node) -> Mapping[str, Scalar]:
    width, hd = type_of(node, "x").shape[1], type_of(node, "table").shape[1]
    return {"width": width, "hd": hd, "pos": cast(RoPE, node.op).pos}


def _append(node: Node) -> Mapping[str, Scalar]:
    return {"n": type_of(node, "x").shape[1], "pos": cast(Append, node.op).pos}


def _hd(node: Node) -> int:
    return maximum(type_of(node, "q").shape[1]) // cast(Attention, node.op).heads


def _attention(node: Node) -> Mapping[str, Scalar]:
    op = cast(Attention, node.op)
    return {
        "pos": op.pos, "group": op.heads // op.kv_heads, "kv_width": type_of(node, "k").shape[1], "hd": _hd(node),
        "scale": op.scale,
    }  # fmt: skip


# Cluster cycles of a warm call, fitted as those of language.py.


def _rmsnorm_cycles(node: Node) -> float:
    chunk, n = per_core(elements(node)), maximum(type_of(node, "w").shape[0])
    return 194 + -(-chunk // n) * (77 + 3.0 * n) + 14.5 * chunk


def _linear_cycles(fixed: float, each: float, of: str = "y", unit: int = 1) -> Callable[[Node], float]:
    return lambda node: fixed + each * per_core(elements(node, of), unit)


def _attention_cycles(node: Node) -> float:
    """Of every head that the busiest core has a part of: all scores and exponentials, the sums of its channels."""
    op, hd = cast(Attention, node.op), _hd(node)
    total, chunk = elements(node), per_core(elements(node), 4)
    most = 0.0
    for first in range(0, total, chunk):
        cycles, c = 463.0, first
        while c < min(total, first + chunk):
            n = min(min(total, first + chunk) - c, hd - c % hd)
            seen = nominal(op.pos) + 1 + c // (op.heads * hd)
            cycles += 222 + seen * (4.6 * hd + 89 + 4.1 * n)
            c += n
        most = max(most, cycles)
    return most


LANGUAGE_FLOAT = (
    Kernel(
        Embed, "cluster_float.c", "tw_cluster_embed_f32",
        "const int32_t *restrict tokens, const float *restrict table, float *restrict y, int cols, int first,"
        " int last",
        {"tokens": "i32", "table": "f32"}, lambda node: {"cols": type_of(node, "table").shape[1]}, split=flat,
        direct=frozenset({"table"}), cycles=_linear_cycles(90, 15.2),
    ),
    Kernel(
        Append, "cluster_float.c", "tw_cluster_append_f32",
        "float *restrict state, const float *restrict x, int n, int pos, int first, int last",
        {"state": "f32", "x": "f32"}, _append, split=flat, direct=frozenset({"state"}),
        cycles=_linear_cycles(87, 21.5, "x"),
    ),
    Kernel(
        RMSNorm, "cluster_float.c", "tw_cluster_rmsnorm_f32",
        "const float *restrict x, const float *restrict w, float *restrict y, int n, float inverse, float eps,"
        " int first, int last",
        {"x": "f32", "w": "f32"}, _rmsnorm, split=flat, cycles=_rmsnorm_cycles,
    ),
    Kernel(
        RoPE, "cluster_float.c", "tw_cluster_rope_f32",
        "const float *x, const float *restrict table, float *y, int width, int hd, int pos, int first, int last",
        {"x": "f32", "table": "f32"}, _rope, split=over("t", "c", unit=2), in_place={"y": "x"},
        direct=frozenset({"table"}), cycles=_linear_cycles(131, 22.5, unit=2),
    ),
    Kernel(
        SwiGLU, "cluster_float.c", "tw_cluster_swiglu_f32",
        "const float *a, const float *restrict b, float *y, int first, int last",
        {"a": "f32", "b": "f32"}, in_place={"y": "a"}, split=flat, cycles=_linear_cycles(147, 103),
    ),
    Kernel(
        Attention, "cluster_float.c", "tw_cluster_attention_f32",
        "const float *restrict q, const float *restrict k, const float *restrict v, float *restrict y,"
        " float *restrict scratch, int pos, int group, int kv_width, int hd, float scale, int first, int last",
        {"q": "f32", "k": "f32", "v": "f32"}, _attention, split=over("t", "g", "e", unit=4),
        scratch=lambda node: 4 * maximum(type_of(node, "k").shape[0]), cycles=_attention_cycles,
    ),
)  # fmt: skip
