"""Rows between reals and integers, of requantisation, and of QuantLib's integer functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ops import (
    Dequantize,
    IntegerAffine,
    IntegerDivide,
    IntegerGELU,
    IntegerHardswish,
    IntegerLayerNorm,
    IntegerRMSNorm,
    IntegerSoftmax,
    Quantize,
    Requant,
    ShiftSoftmax,
)
from ..base import Argument, Kernel
from .arguments import type_of
from .generic import CTYPES, RANGE, broadcast_rows, elements, entire, few_axes, kind, retyped, split, whole_bytes

Arguments = Mapping[str, Argument]
_NARROW = ("i8", "u8")
_STORED = ("i8", "u8", "i16", "u16", "i32")
_LAYOUT = "int outer, int channels, int inner"


def _step(node: Node, operand: str) -> int:
    return int(elements(node, operand) > 1)


def _per_channel(node: Node, *parameters: str) -> dict[str, Argument]:
    """Layout around the axis of the parameters: one row where they are one for all."""
    if not any(_step(node, name) for name in parameters):
        return {"outer": 1, "channels": 1, "inner": elements(node)}
    axis = node.op.attributes["axis"] % type_of(node, "x").rank
    outer, channels, inner = split(node, "x", axis)
    return {"outer": outer, "channels": channels, "inner": inner}


def scaled(node: Node) -> Arguments:
    steps = {"scale_step": _step(node, "scale"), "zero_step": _step(node, "zero")}
    return {**_per_channel(node, "scale", "zero"), **steps}


def requant(node: Node) -> Arguments:
    op = cast(Requant, node.op)
    return {
        **_per_channel(node, "mul", "add"), "from": kind(node, "x"), "to": kind(node, "y"),
        "wide": int(type_of(node, "add").dtype.bits == 64), "mul_step": _step(node, "mul"),
        "add_step": _step(node, "add"), "shift": op.shift, "low": op.low, "high": min(op.high, 2**63 - 1),
    }  # fmt: skip


def _rows(node: Node) -> dict[str, Argument]:
    shape = type_of(node, "x").static_shape
    return {"rows": math.prod(shape[:-1]), "n": shape[-1]}


def _softmax(node: Node) -> Arguments:
    op = cast(IntegerSoftmax, node.op)
    return {**_rows(node), "a": op.a, "b": op.b, "c": op.c, "log2": op.log2, "levels": op.levels}


def _shift_softmax(node: Node) -> Arguments:
    op = cast(ShiftSoftmax, node.op)
    return {**_rows(node), "levels": op.levels, "group": op.group}


def _norm(node: Node) -> Arguments:
    steps = {f"{name}_step": _step(node, name) for name in "wb" if name in node.operands}
    return {**_rows(node), **steps, "shift": cast(IntegerRMSNorm | IntegerLayerNorm, node.op).shift}


def _hardswish(node: Node) -> Arguments:
    op = cast(IntegerHardswish, node.op)
    return {"n": elements(node), "one_over_six": op.one_over_six, "three": op.three, "six": op.six}


def _gelu(node: Node) -> Arguments:
    op = cast(IntegerGELU, node.op)
    return {"n": elements(node), "b": op.b, "one": op.one}


def _affine(node: Node) -> Arguments:
    op = cast(IntegerAffine, node.op)
    wide = int(op.dtype.bits == 32)
    return {"wide": wide, "mul": op.mul, "shift": min(op.shift, 31), "rows": broadcast_rows(node, "x", "w", "b")}


def _divide(node: Node) -> Arguments:
    op = cast(IntegerDivide, node.op)
    kinds = {"kind_a": kind(node, "a"), "kind_b": kind(node, "b")}
    rows = broadcast_rows(node, "a", "b")
    return {**kinds, "delta": op.delta, "eta": op.eta, "eps": op.eps, "rows": rows, **entire(node)}


def constants_fit(node: Node) -> bool:
    """The function's constants fit 32 bits, a shift is 0 to 62."""
    values = {k: v for k, v in node.op.attributes.items() if isinstance(v, int)}
    return all(-(2**31) <= v < 2**31 for v in values.values()) and 0 <= values.get("shift", 0) <= 62


def _per_stored(dtype: str) -> tuple[Kernel, ...]:
    t = CTYPES[dtype]
    steps = "int scale_step, int zero_step"
    return (
        Kernel(
            Quantize, "generic_quantize.c", f"tw_quantize_{dtype}",
            f"const float *restrict x, const float *restrict scale, const {t} *restrict zero, {t} *restrict y,"
            f" {_LAYOUT}, {steps}",
            {"zero": dtype}, scaled, examples=retyped(Quantize, "zero", dtypes=(dtype,)),
        ),
        Kernel(
            Dequantize, "generic_quantize.c", f"tw_dequantize_{dtype}",
            f"const {t} *restrict x, const float *restrict scale, const {t} *restrict zero, float *restrict y,"
            f" {_LAYOUT}, {steps}",
            {"x": dtype}, scaled, examples=retyped(Dequantize, "x", "zero", dtypes=(dtype,)),
        ),
    )  # fmt: skip


def _per_narrow(dtype: str) -> tuple[Kernel, ...]:
    t = CTYPES[dtype]
    file, activation = "generic_dialect.c", f"const {t} *restrict x, int32_t *restrict y, int n"
    return (
        Kernel(
            IntegerSoftmax, file, f"tw_integer_softmax_{dtype}",
            f"const {t} *x, uint8_t *y, int rows, int n, int a, int b, int c, int log2, int levels",
            {"x": dtype}, _softmax, (constants_fit,), examples=retyped(IntegerSoftmax, "x", dtypes=(dtype,)),
        ),
        Kernel(
            IntegerHardswish, file, f"tw_integer_hardswish_{dtype}",
            f"{activation}, int one_over_six, int three, int six",
            {"x": dtype}, _hardswish, (constants_fit,), examples=retyped(IntegerHardswish, "x", dtypes=(dtype,)),
        ),
        Kernel(
            IntegerGELU, file, f"tw_integer_gelu_{dtype}", f"{activation}, int b, int one",
            {"x": dtype}, _gelu, (constants_fit,), examples=retyped(IntegerGELU, "x", dtypes=(dtype,)),
        ),
        Kernel(
            IntegerAffine, file, f"tw_integer_affine_{dtype}",
            f"const {t} *restrict x, const int32_t *restrict w, const int32_t *restrict b, void *restrict y, int wide,"
            " int mul, int shift, const int32_t *rows",
            {"x": dtype}, _affine, (constants_fit, few_axes(_affine)),
            examples=retyped(IntegerAffine, "x", dtypes=(dtype,)),
        ),
    )  # fmt: skip


QUANTIZE = (
    *(row for dtype in _STORED for row in _per_stored(dtype)),
    Kernel(
        Requant, "generic_quantize.c", "tw_requant",
        "const void *restrict x, const int32_t *restrict mul, const void *restrict add, void *restrict y, int from,"
        f" int to, int wide, {_LAYOUT}, int mul_step, int add_step, int shift, int64_t low, int64_t high",
        {}, requant, (whole_bytes,),
        examples=retyped(Requant, "x", dtypes=("i8", "u8", "i16", "u16", "i32", "u32")),
    ),
)  # fmt: skip

DIALECT = (
    *(row for dtype in _NARROW for row in _per_narrow(dtype)),
    Kernel(
        ShiftSoftmax, "generic_dialect.c", "tw_shift_softmax",
        "const int8_t *restrict x, uint8_t *restrict y, int rows, int n, int levels, int group",
        {"x": "i8"}, _shift_softmax,
    ),
    Kernel(
        IntegerRMSNorm, "generic_dialect.c", "tw_integer_rms_norm",
        "const int8_t *x, const int32_t *restrict w, int8_t *y, int rows, int n, int w_step, int shift",
        {"x": "i8"}, _norm, (constants_fit,), in_place={"y": "x"},
    ),
    Kernel(
        IntegerLayerNorm, "generic_dialect.c", "tw_integer_layer_norm",
        "const int8_t *x, const int32_t *restrict w, const int32_t *restrict b, int8_t *y, int rows, int n,"
        " int w_step, int b_step, int shift",
        {"x": "i8"}, _norm, (constants_fit,), in_place={"y": "x"},
    ),
    Kernel(
        IntegerDivide, "generic_dialect.c", "tw_integer_divide",
        "const void *restrict a, const void *restrict b, int32_t *restrict y, int kind_a, int kind_b, int delta,"
        f" int eta, int eps, const int32_t *rows, {RANGE}",
        {}, _divide, (constants_fit, few_axes(_divide)),
    ),
)  # fmt: skip
