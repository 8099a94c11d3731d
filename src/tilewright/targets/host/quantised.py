"""Rows for the operators of quantised language models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import DTYPES, I4, I8, I32, U8, TensorType, maximum
from ...ops import (
    Append,
    Linear,
    LinearAdd,
    QuantisedAttention,
    QuantisedEmbed,
    QuantisedRMSNorm,
    QuantisedRoPE,
    QuantisedSwiGLU,
    Requantise,
    Saturate,
    WeightOnlyEmbed,
    WeightOnlyLinear,
)
from ...quant.check import narrow
from ..base import Kernel, Scalar
from .arguments import product, type_of
from .packing import CHANNELS, NIBBLES, PANELS, padded


def _matrix(node: Node) -> dict[str, Scalar]:
    rows, cols = type_of(node, "w").static_shape
    return {"tokens": product(type_of(node, "x").shape[:-1]), "rows": rows, "cols": cols}


def _linear(node: Node) -> Mapping[str, Scalar]:
    epilogue = cast(Requantise, cast(Linear, node.op).epilogue)
    return {
        **_matrix(node), "shift": epilogue.shift, "low": epilogue.low, "high": epilogue.high,
        "wide": int(not narrow(node)),
    }  # fmt: skip


def _linear_add(node: Node) -> Mapping[str, Scalar]:
    return {**_matrix(node), "shift": cast(LinearAdd, node.op).shift, "wide": int(not narrow(node))}


def _embed(node: Node) -> Mapping[str, Scalar]:
    return {"count": type_of(node, "tokens").shape[0], "cols": type_of(node, "table").shape[1]}


def _quantised_embed(node: Node) -> Mapping[str, Scalar]:
    return {**_embed(node), "shift": cast(QuantisedEmbed, node.op).shift}


def _rmsnorm(node: Node) -> Mapping[str, Scalar]:
    op, shape = cast(QuantisedRMSNorm, node.op), type_of(node, "x").shape
    return {"rows": product(shape[:-1]), "n": shape[-1], "shift": op.shift, "eps": op.eps}


def _rope(node: Node) -> Mapping[str, Scalar]:
    op, tokens = cast(QuantisedRoPE, node.op), type_of(node, "x").shape[0]
    return {
        "tokens": tokens, "heads": op.heads, "hd": type_of(node, "table").shape[1], "pos": op.pos, "shift": op.shift,
    }  # fmt: skip


def _pitch(state: TensorType) -> int:
    return padded(maximum(state.shape[0]))


def _append(node: Node) -> Mapping[str, Scalar]:
    tokens, channels = type_of(node, "x").shape
    return {
        "tokens": tokens, "n": channels, "pitch": _pitch(type_of(node, "state")), "pos": cast(Append, node.op).pos,
    }  # fmt: skip


def _attention(node: Node) -> Mapping[str, Scalar]:
    op = cast(QuantisedAttention, node.op)
    tokens, width = type_of(node, "q").shape
    return {
        "tokens": tokens, "pos": op.pos, "heads": op.heads, "kv_heads": op.kv_heads, "hd": maximum(width) // op.heads,
        "pitch": _pitch(type_of(node, "k")), "shift": op.shift, "out_shift": op.out_shift,
    }  # fmt: skip


def _swiglu(node: Node) -> Mapping[str, Scalar]:
    return {"n": product(type_of(node, "y").shape), "shift": cast(QuantisedSwiGLU, node.op).shift}


def _group(node: Node) -> Mapping[str, Scalar]:
    return {**_matrix(node), "group": cast(WeightOnlyLinear, node.op).group}


def requantised_rows(node: Node) -> bool:
    """A multiplier for each row, one addend for all, a shift of at most 30."""
    epilogue = cast(Linear, node.op).epilogue
    if not isinstance(epilogue, Requantise) or "mul" not in node.operands:
        return False
    per_row = type_of(node, "mul").shape == type_of(node, "w").shape[:1]
    return per_row and type_of(node, "add").shape == (1,) and epilogue.shift <= 30 and "b" not in node.operands


def even_groups(node: Node) -> bool:
    """Groups of an even number of columns."""
    return cast(WeightOnlyLinear, node.op).group % 2 == 0 and "step" in node.operands


def no_groups(node: Node) -> bool:
    """One scale for each row."""
    return "step" not in node.operands


FILES = {"i8": "linear_rows.c", "i4": "linear_nibbles.c"}


def _row_examples(weight: str, result: str) -> Callable[[Any], tuple[Op, tuple[TensorType | None, ...]]]:
    """Instances of one row of tw_rows_*: the operator's own have every other form of multiplier and addend."""

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (9, 90, 60))
        dtype = DTYPES[result]
        low, high = draw(st.sampled_from([(dtype.low, dtype.high), (dtype.low // 2, 100)]))
        op = Linear(Requantise(draw(st.integers(0, 24)), low, high, dtype))
        kinds = ((t, i), I8), ((o, i), DTYPES[weight]), None, ((o,), U8), ((1,), I32)
        return op, tuple(kind and TensorType(*kind) for kind in kinds)

    return examples


def _append_examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    op, types = Append.examples(draw)
    return op, tuple(kind and kind.with_dtype(I8) for kind in types)


def _row(weight: str, result: str) -> Kernel:
    ctype = f"int{result[1:]}_t"
    return Kernel(
        Linear, FILES[weight], f"tw_rows_i8_{weight}_{result}",
        "const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,"
        f" const int32_t *restrict add, {ctype} *restrict y, int tokens, int rows, int cols, int shift, int32_t low,"
        " int32_t high, int wide",
        {"x": "i8", "w": weight, "mul": "u8", "add": "i32", "y": result}, _linear, requires=(requantised_rows,),
        packing={"w": NIBBLES if weight == I4.name else PANELS}, examples=_row_examples(weight, result),
    )  # fmt: skip


def _add_row(weight: str) -> Kernel:
    return Kernel(
        LinearAdd, FILES[weight], f"tw_rows_add_i8_{weight}",
        "const int8_t *restrict x, const int8_t *restrict w, const int16_t *r, const uint8_t *restrict mul,"
        " int16_t *y, int tokens, int rows, int cols, int shift, int wide",
        {"x": "i8", "w": weight, "r": "i16", "mul": "u8"}, _linear_add,
        packing={"w": NIBBLES if weight == I4.name else PANELS}, in_place={"y": "r"},
    )  # fmt: skip


QUANTISED = (
    *(_row(weight, result) for weight, result in
      (("i8", "i8"), ("i8", "i16"), ("i8", "i32"), ("i4", "i8"), ("i4", "i16"))),
    *map(_add_row, ("i8", "i4")),
    Kernel(
        QuantisedEmbed, "llama_i8.c", "tw_embed_i8",
        "const int32_t *restrict tokens, const int8_t *restrict table, const uint8_t *restrict mul,"
        " int16_t *restrict y, int count, int cols, int shift",
        {"tokens": "i32", "table": "i8", "mul": "u8"}, _quantised_embed, packing={"table": PANELS},
    ),
    Kernel(
        QuantisedRMSNorm, "llama_i8.c", "tw_rmsnorm_i16",
        "const int16_t *restrict x, const int16_t *restrict w, int8_t *restrict y, int rows, int n, int shift,"
        " int64_t eps",
        {"x": "i16", "w": "i16"}, _rmsnorm,
    ),
    *(
        Kernel(
            QuantisedRoPE, "llama_i8.c", f"tw_rope_{dtype}",
            f"const int{dtype[1:]}_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int tokens,"
            " int heads, int hd, int pos, int shift",
            {"x": dtype, "table": "i16"}, _rope,
        )
        for dtype in ("i16", "i32")
    ),
    Kernel(
        Append, "attention_i8.c", "tw_append_i8",
        "int8_t *restrict state, const int8_t *restrict x, int tokens, int n, int pitch, int pos",
        {"state": "i8", "x": "i8"}, _append, packing={"state": CHANNELS, "y": CHANNELS},
        direct=frozenset({"state"}),
        examples=_append_examples,
    ),
    Kernel(
        QuantisedAttention, "attention_i8.c", "tw_attention_i8",
        "const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v, const int32_t *restrict mul,"
        " const int32_t *restrict out, const uint8_t *restrict table, int8_t *restrict y, int32_t *restrict scratch,"
        " int tokens, int pos, int heads, int kv_heads, int hd, int pitch, int shift, int out_shift",
        {"q": "i8", "k": "i8", "v": "i8"}, _attention, packing={"k": CHANNELS, "v": CHANNELS},
        scratch=lambda node: 4 * _pitch(type_of(node, "k")),
    ),
    Kernel(
        Saturate, "llama_i8.c", "tw_saturate_i16", "const int32_t *restrict x, const int16_t *r, int16_t *y, int n",
        {"x": "i32", "r": "i16"}, lambda node: {"n": product(type_of(node, "y").shape)}, in_place={"y": "r"},
    ),
    Kernel(
        QuantisedSwiGLU, "llama_i8.c", "tw_swiglu_i8",
        "const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int n, int shift",
        {"a": "i8", "b": "i8", "table": "i16"}, _swiglu, in_place={"y": "a"},
    ),
    Kernel(
        WeightOnlyEmbed, "weight_only.c", "tw_embed_w8",
        "const int32_t *restrict tokens, const int8_t *restrict table, const float *restrict scale,"
        " float *restrict y, int count, int cols",
        {"tokens": "i32", "table": "i8", "scale": "f32"}, _embed, packing={"table": PANELS},
    ),
    Kernel(
        WeightOnlyLinear, "weight_only.c", "tw_linear_w8",
        "const float *restrict x, const int8_t *restrict w, const float *restrict scale, float *restrict y,"
        " int tokens, int rows, int cols",
        {"x": "f32", "w": "i8", "scale": "f32"}, _matrix, requires=(no_groups,), packing={"w": PANELS},
    ),
    Kernel(
        WeightOnlyLinear, "weight_only.c", "tw_linear_w4",
        "const float *restrict x, const int8_t *restrict w, const float *restrict scale, const uint8_t *restrict step,"
        " float *restrict y, int tokens, int rows, int cols, int group",
        {"x": "f32", "w": "i4", "scale": "f32", "step": "u8"}, _group, requires=(even_groups,),
        packing={"w": NIBBLES, "step": PANELS},
    ),
)  # fmt: skip
