"""Rows of products, convolutions and pooling that take any element types: last resort, faster rows cost less."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ...ir.graph import Node
from ...ir.op import Op, RuleError
from ...ir.types import DTYPES, I32, Kind, TensorType
from ...ops import AveragePool2D, Conv2D, DepthwiseConv2D, Linear, MatMul, MaxPool2D
from ...ops.epilogue import Clamp, Requantise, accumulated
from ..base import Argument, Kernel
from .arguments import type_of
from .generic import INTEGERS, KINDS, broadcast_steps, elements, few_axes, kind, known_types, retyped, rows

Arguments = Mapping[str, Argument]
LARGEST = float(np.finfo(np.float64).max)
CYCLES_PER_TERM = 20.0  # of a sum; far above what the other rows take


def _finish(node: Node, x: str, w: str) -> dict[str, Argument]:
    """`how` of kernels/generic_dense.c, and the bounds of floats."""
    epilogue = node.op.attributes["epilogue"]
    sums = accumulated(type_of(node, x), type_of(node, w)).name
    types = (kind(node, x), kind(node, w), KINDS.index(sums), kind(node, "y"))
    bounds = {"low": 0.0, "high": 0.0}
    numbers = (0,) * 8
    if isinstance(epilogue, Clamp):
        numbers = (1, *numbers[1:])
        bounds = {"low": max(epilogue.low, -LARGEST), "high": min(epilogue.high, LARGEST)}
    elif isinstance(epilogue, Requantise):
        mul, add = type_of(node, "mul"), type_of(node, "add")
        numbers = (
            2, int(mul.dtype.bits == 8), int(add.dtype.bits == 64), int(mul.size > 1), int(add.size > 1),
            epilogue.shift, epilogue.low, epilogue.high,
        )  # fmt: skip
    return {"how": (*types, *numbers), **bounds}


def _window(node: Node, channels: int, kernel: tuple[int, int], pad: int = 0, single: int = 0) -> tuple[int, ...]:
    """`window` of kernels/generic_dense.c."""
    n, h, w, ci = type_of(node, "x").static_shape
    _, oy, ox, _ = type_of(node, "y").static_shape
    op = cast(Conv2D, node.op)
    return n, h, w, ci, oy, ox, channels, *kernel, *op.stride, *op.dilation, *op.pad[:2], pad, single


def _conv(node: Node) -> Arguments:
    co, ky, kx, _ = type_of(node, "w").static_shape
    return {"window": _window(node, co, (ky, kx), cast(Conv2D, node.op).pad_value), **_finish(node, "x", "w")}


def _depthwise(node: Node) -> Arguments:
    ky, kx, c = type_of(node, "w").static_shape
    pad = cast(DepthwiseConv2D, node.op).pad_value
    return {"window": _window(node, c, (ky, kx), pad, 1), **_finish(node, "x", "w")}


def _linear(node: Node) -> Arguments:
    outputs, cols = type_of(node, "w").static_shape
    tokens = math.prod(type_of(node, "x").static_shape[:-1])
    return {"tokens": tokens, "rows": outputs, "cols": cols, **_finish(node, "x", "w")}


def _matmul(node: Node) -> Arguments:
    a, b, y = (type_of(node, name).static_shape for name in "aby")
    lead = y[:-2]
    stacks = [
        [step * math.prod(shape[-2:]) for step in broadcast_steps(shape[:-2], len(lead))] for shape in (a, b)
    ]  # fmt: skip
    return {
        "m": a[-2], "k": a[-1], "n": y[-1], "transposed": int(cast(MatMul, node.op).transpose_b),
        "rows": rows(lead, *stacks), **_finish(node, "a", "b"),
    }  # fmt: skip


def _max_pool(node: Node) -> Arguments:
    dtype = type_of(node, "x").dtype
    channels = type_of(node, "x").static_shape[3]
    window = _window(node, channels, cast(MaxPool2D, node.op).kernel)
    return {"kind": kind(node, "x"), "window": window, "least": 0 if dtype.is_float else dtype.low}


def _average_pool(node: Node) -> Arguments:
    op, (_, h, w, c) = cast(AveragePool2D, node.op), type_of(node, "x").static_shape
    top, left, bottom, right = op.pad if op.count_pad else (0, 0, 0, 0)
    over = op.over if op.count_pad else (0, 0)
    return {
        "window": _window(node, c, op.kernel), "margin_y": top, "margin_x": left,
        "extent_y": h + top + bottom - over[0], "extent_x": w + left + right - over[1],
    }  # fmt: skip


def narrow_clamp(node: Node) -> bool:
    """A requantisation clamps within 32 bits."""
    epilogue = node.op.attributes["epilogue"]
    return not isinstance(epilogue, Requantise) or max(-epilogue.low - 1, epilogue.high) < 2**31


def beyond_fast_rows(node: Node) -> bool:
    """Factors are not both f32 nor 8-bit with signed weights, or weights are computed, or multipliers are not i32."""
    x, w = node.operands["x"].type.dtype.name, node.operands["w"].type.dtype.name
    usual = (x, w) in (("f32", "f32"), ("i8", "i8"), ("u8", "i8"))
    computed = node.operands["w"].kind is not Kind.CONST
    return computed or not usual or ("mul" in node.operands and type_of(node, "mul").dtype != I32)


def _cost(node: Node) -> float:
    w = type_of(node, "w" if "w" in node.operands else "b")
    return CYCLES_PER_TERM * elements(node) * w.size


def _examples(op: type[Op]) -> Callable[[Any], Any]:
    """Examples with other element types: f64 for f32, any integers for the factors, biases as wide as the sums."""

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import reject
        from hypothesis import strategies as st

        instance, types = op.examples(draw)
        floats = types[0] is not None and types[0].dtype.is_float
        factors = [draw(st.sampled_from(("f64",) if floats else INTEGERS)) for _ in range(2)]
        renewed = [kind and replace(kind, dtype=DTYPES[f]) for kind, f in zip(types, factors, strict=False)]
        rest = list(types[2:])
        if rest and rest[0] is not None and op is not MatMul and renewed[0] and renewed[1]:
            rest[0] = replace(rest[0], dtype=accumulated(renewed[0], renewed[1]))
        try:
            instance.infer(*renewed, *rest)
        except RuleError:
            reject()
        return instance, (*renewed, *rest)

    return examples


_OPERANDS = (
    "const void *restrict x, const void *restrict w, const void *restrict b, const void *restrict mul,"
    " const void *restrict add, void *restrict y"
)


def _row(op: type[Op], symbol: str, signature: str, arguments: Callable[[Node], Arguments], *rules: Any) -> Kernel:
    return Kernel(
        op, "generic_dense.c", symbol, signature, {}, arguments,
        (known_types, narrow_clamp, *rules), cycles=_cost, examples=_examples(op),
    )  # fmt: skip


_CONV = f"{_OPERANDS}, const int32_t *how, const int32_t *window, double low, double high"

DENSE = (
    _row(Conv2D, "tw_any_conv", _CONV, _conv, beyond_fast_rows),
    _row(DepthwiseConv2D, "tw_any_conv", _CONV, _depthwise, beyond_fast_rows),
    _row(
        Linear, "tw_any_linear",
        f"{_OPERANDS}, int tokens, int rows, int cols, const int32_t *how, double low, double high", _linear,
        beyond_fast_rows,
    ),
    _row(
        MatMul, "tw_any_matmul",
        "const void *restrict a, const void *restrict b, const void *restrict mul, const void *restrict add,"
        " void *restrict y, int m, int k, int n, int transposed, const int32_t *how, const int32_t *rows, double low,"
        " double high",
        _matmul, few_axes(_matmul),
    ),
    Kernel(
        MaxPool2D, "generic_dense.c", "tw_any_max_pool",
        "const void *restrict x, void *restrict y, int kind, const int32_t *window, int64_t least",
        {}, _max_pool, (known_types,), cycles=lambda node: CYCLES_PER_TERM * elements(node),
        examples=retyped(MaxPool2D, "x", dtypes=KINDS[1:]),
    ),
    Kernel(
        AveragePool2D, "generic_dense.c", "tw_average_pool_f64",
        "const double *restrict x, double *restrict y, const int32_t *window, int margin_y, int margin_x,"
        " int extent_y, int extent_x",
        {"x": "f64"}, _average_pool, examples=retyped(AveragePool2D, "x", dtypes=("f64",)),
    ),
)  # fmt: skip
