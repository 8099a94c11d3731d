"""ONNX's quantised operators. QOperator forms become dequantise - operator - quantise, as QDQ models write it;
passes/lower_quantised makes integer operators of both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..ir.types import F32, I32, U8, Value
from ..ops import Binary, Cast, Dequantize, Linear, Quantize, Softmax, Unary
from .onnx_conv import averaged, channels_first, channels_last, convolved, window
from .onnx_import import ELEMENT_TYPES, Converter, Importer, OnnxNode, Results, type_name
from .onnx_nn import is_weight, product
from .onnx_shape import joined, reshaped, transposed

_STORED = ("i8", "u8", "i16", "u16", "i32")


def _vector(g: Importer, n: OnnxNode, value: Value) -> Value:
    """Scale or zero point as a vector of one or of as many as the axis has."""
    if value.type.rank > 1:
        raise n.refuse(f"scales of shape {list(value.type.shape)}", "there is one scale, or one per index of an axis")
    return reshaped(g, value, (value.type.size,))


def dequantized(g: Importer, n: OnnxNode, x: Value, scale: Value, zero: Value | None, axis: int = 1) -> Value:
    """(x - zero) * scale. `axis` counts where the scale is a vector."""
    if x.type.dtype.name not in _STORED or scale.type.dtype != F32:
        raise n.refuse(
            f"{x.type.dtype} with a scale of {scale.type.dtype}", "quantised values are 8, 16 or 32 bits, scales f32"
        )
    scale = _vector(g, n, scale)
    zero = g.const(np.zeros(1, x.type.dtype.numpy), x.type.dtype) if zero is None else _vector(g, n, zero)
    at = n.inside(axis, x.type.rank) - x.type.rank if scale.type.size > 1 else -1
    return g.emit(Dequantize(at), x, scale, zero)


def quantized(g: Importer, n: OnnxNode, x: Value, scale: Value, zero: Value | None, axis: int = 1) -> Value:
    """round(x / scale) + zero, saturated."""
    x = g.emit(Cast(F32), x) if x.type.dtype == I32 else x
    code = n.integer("output_dtype")
    if zero is None:
        dtype = U8 if not code else ELEMENT_TYPES.get(code)
        if dtype is None:
            raise n.refuse(f"quantisation to {type_name(code)}", f"the result is one of {', '.join(_STORED)}")
        zero = g.const(np.zeros(1, dtype.numpy), dtype)
    if x.type.dtype != F32 or scale.type.dtype != F32 or zero.type.dtype.name not in _STORED:
        raise n.refuse(
            f"{x.type.dtype} to {zero.type.dtype} by {scale.type.dtype}",
            "reals and scales are f32, results 8, 16 or 32 bits",
        )
    scale, zero = _vector(g, n, scale), _vector(g, n, zero)
    at = n.inside(axis, x.type.rank) - x.type.rank if scale.type.size > 1 and x.type.rank else -1
    return g.emit(Quantize(at), x, scale, zero)


def quantize_linear(g: Importer, n: OnnxNode) -> Results:
    _unblocked(n)
    return quantized(g, n, n.input(0), n.input(1), n.optional(2), n.integer("axis", 1))


def dequantize_linear(g: Importer, n: OnnxNode) -> Results:
    _unblocked(n)
    return dequantized(g, n, n.input(0), n.input(1), n.optional(2), n.integer("axis", 1))


def _unblocked(n: OnnxNode) -> None:
    if n.integer("block_size"):
        raise n.refuse("blocked quantisation", "there is one scale, or one per index of an axis")


def q_conv(g: Importer, n: OnnxNode) -> Results:
    """QLinearConv: x, sx, zx, w, sw, zw, sy, zy, bias (i32 at the scale sx sw)."""
    x = dequantized(g, n, n.input(0), n.input(1), n.optional(2))
    w = dequantized(g, n, n.input(3), n.input(4), n.optional(5), 0)
    bias = n.optional(8)
    if bias is not None:
        scale = g.emit(Binary("mul"), _vector(g, n, n.input(1)), _vector(g, n, n.input(4)))
        bias = dequantized(g, n, bias, scale, None, 0)
    geometry = window(n, n.integers("kernel_shape", n.shape(3)[2:]), n.shape(0)[2:])
    if w.type.rank == 3:
        w = reshaped(g, w, (*w.type.static_shape[:2], 1, w.type.static_shape[2]))
    y = convolved(g, n, channels_last(g, x), w, bias, n.integer("group", 1), geometry)
    return quantized(g, n, channels_first(g, y, x.type.rank), n.input(6), n.optional(7))


def q_matmul(g: Importer, n: OnnxNode) -> Results:
    """QLinearMatMul: a, sa, za, b, sb, zb, sy, zy."""
    a = dequantized(g, n, n.input(0), n.input(1), n.optional(2), -2)
    b = dequantized(g, n, n.input(3), n.input(4), n.optional(5), -1)
    return quantized(g, n, product(g, a, b), n.input(6), n.optional(7))


def q_gemm(g: Importer, n: OnnxNode) -> Results:
    """com.microsoft.QGemm: a, sa, za, b, sb, zb, c (i32), sy, zy."""
    a = dequantized(g, n, n.input(0), n.input(1), n.optional(2))
    flip = bool(n.integer("transB"))
    b = dequantized(g, n, n.input(3), n.input(4), n.optional(5), 0 if flip else 1)
    if n.integer("transA") or n.real("alpha", 1.0) != 1.0:
        raise n.refuse("transA or alpha", "QGemm has a plain first operand and alpha 1")
    bias = n.optional(6)
    if bias is not None:
        scale = g.emit(Binary("mul"), _vector(g, n, n.input(1)), _vector(g, n, n.input(4)))
        bias = dequantized(g, n, bias, scale, None, -1)
    if is_weight(g, b) and (bias is None or bias.type.rank == 1):
        y = g.emit(Linear(), a, b if flip else transposed(g, b, (1, 0)), bias)
    else:
        y = product(g, a, transposed(g, b, (1, 0)) if flip else b)
        y = y if bias is None else g.emit(Binary("add"), y, bias)
    return y if n.optional(7) is None else quantized(g, n, y, n.input(7), n.optional(8))


def q_binary(function: str) -> Converter:
    """com.microsoft.QLinearAdd and QLinearMul: a, sa, za, b, sb, zb, sy, zy."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        a = dequantized(g, n, n.input(0), n.input(1), n.optional(2))
        b = dequantized(g, n, n.input(3), n.input(4), n.optional(5))
        return quantized(g, n, g.emit(Binary(function), a, b), n.input(6), n.optional(7))

    return convert


def q_unary(make: Callable[[OnnxNode], Unary]) -> Converter:
    """x, sx, zx, sy, zy."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        x = dequantized(g, n, n.input(0), n.input(1), n.optional(2))
        return quantized(g, n, g.emit(make(n), x), n.input(3), n.optional(4))

    return convert


def q_average_pool(g: Importer, n: OnnxNode) -> Results:
    last = bool(n.integer("channels_last"))
    x = dequantized(g, n, n.input(0), n.input(1), n.optional(2))
    if last:
        raise n.refuse("channels_last", "pools of ONNX models are channels first")
    geometry = window(n, n.integers("kernel_shape"), x.type.static_shape[2:], ceil=bool(n.integer("ceil_mode")))
    y = averaged(g, channels_last(g, x), geometry, bool(n.integer("count_include_pad")))
    return quantized(g, n, channels_first(g, y, x.type.rank), n.input(3), n.optional(4))


def q_global_average_pool(g: Importer, n: OnnxNode) -> Results:
    from ..ops import Reduce

    if n.integer("channels_last"):
        raise n.refuse("channels_last", "pools of ONNX models are channels first")
    x = dequantized(g, n, n.input(0), n.input(1), n.optional(2))
    y = g.emit(Reduce("mean", tuple(range(2, x.type.rank))), x)
    return quantized(g, n, y, n.input(3), n.optional(4))


def q_softmax(g: Importer, n: OnnxNode) -> Results:
    """com.microsoft.QLinearSoftmax; up to opset 12 over everything from `axis` on."""
    x = dequantized(g, n, n.input(0), n.input(1), n.optional(2))
    axis = n.axis(-1, x.type.rank)
    if n.integer("opset", 13) < 13 and axis != x.type.rank - 1:
        raise n.refuse("a softmax over several axes", "softmax is along one axis")
    return quantized(g, n, g.emit(Softmax(axis), x), n.input(3), n.optional(4))


def q_concat(g: Importer, n: OnnxNode) -> Results:
    """com.microsoft.QLinearConcat: sy, zy, then x, sx, zx of every operand."""
    parts = [dequantized(g, n, n.input(i), n.input(i + 1), n.optional(i + 2)) for i in range(2, len(n.inputs) - 2, 3)]
    if not parts:
        raise n.refuse("no operands", "there is something to join")
    return quantized(g, n, joined(g, parts, n.axis(1, parts[0].type.rank)), n.input(0), n.optional(1))


def dynamic_quantize(g: Importer, n: OnnxNode) -> Results:
    """Scale and zero point from the range of x, at run time."""
    from ..ops import Reduce

    x = n.input(0)
    axes = tuple(range(x.type.rank))
    most = g.emit(Binary("max"), reshaped(g, g.emit(Reduce("max", axes), x), ()), g.like(x, 0))
    least = g.emit(Binary("min"), reshaped(g, g.emit(Reduce("min", axes), x), ()), g.like(x, 0))
    scale = g.emit(Binary("div"), g.emit(Binary("sub"), most, least), g.like(x, 255))
    place = g.emit(Binary("div"), g.emit(Unary("neg"), least), scale)
    bounded = g.emit(Binary("min"), g.emit(Binary("max"), place, g.like(x, 0)), g.like(x, 255))
    zero = g.emit(Cast(U8), g.emit(Unary("round"), bounded))
    y = g.emit(Quantize(), x, reshaped(g, scale, (1,)), reshaped(g, zero, (1,)))
    return [y, scale, zero]


QUANT: dict[str, Converter] = {
    "QuantizeLinear": quantize_linear, "DequantizeLinear": dequantize_linear, "QLinearConv": q_conv,
    "com.microsoft.QuantizeLinear": quantize_linear, "com.microsoft.DequantizeLinear": dequantize_linear,
    "QLinearMatMul": q_matmul, "com.microsoft.QGemm": q_gemm, "com.microsoft.QLinearAdd": q_binary("add"),
    "com.microsoft.QLinearMul": q_binary("mul"), "com.microsoft.QLinearAveragePool": q_average_pool,
    "com.microsoft.QLinearGlobalAveragePool": q_global_average_pool, "com.microsoft.QLinearSoftmax": q_softmax,
    "com.microsoft.QLinearConcat": q_concat, "com.microsoft.QLinearSigmoid": q_unary(lambda _: Unary("sigmoid")),
    "com.microsoft.QLinearLeakyRelu": q_unary(lambda n: Unary("leaky", (n.real("alpha", 0.01),))),
    "DynamicQuantizeLinear": dynamic_quantize,
}  # fmt: skip
"""Converters by ONNX name."""
