"""ONNX's elementwise operators, as functions of one or two elements or compositions of them."""

from __future__ import annotations

import numpy as np

from ..ir.types import BOOL, F32, F64, DType, Value
from ..ops import Binary, Cast, Select, Unary
from .onnx_import import ELEMENT_TYPES, Converter, Importer, OnnxNode, Results, type_name


def unary(function: str, *defaults: tuple[str, float]) -> Converter:
    """A converter for a function of one element; its parameters come from attributes with these defaults."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        parameters = tuple(n.real(name, default) for name, default in defaults)
        return g.emit(Unary(function, parameters), n.input(0))

    return convert


def binary(function: str) -> Converter:
    def convert(g: Importer, n: OnnxNode) -> Results:
        return g.emit(Binary(function), n.input(0), n.input(1))

    return convert


def flipped(function: str, *, inverted: bool = False) -> Converter:
    """Greater is Less with the operands exchanged; not-equal and the like are inverted."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        y = g.emit(Binary(function), n.input(1), n.input(0))
        return g.emit(Unary("not"), y) if inverted else y

    return convert


def chained(function: str) -> Converter:
    """Any number of operands, from the left: Sum, Max, Min."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        y = n.input(0)
        for value in n.inputs[1:]:
            if value is not None:
                y = g.emit(Binary(function), y, value)
        return y

    return convert


def mean(g: Importer, n: OnnxNode) -> Results:
    total = chained("add")(g, n)
    assert isinstance(total, Value)
    return g.emit(Binary("div"), total, g.like(total, len(n.inputs)))


def modulo(g: Importer, n: OnnxNode) -> Results:
    return g.emit(Binary("fmod" if n.integer("fmod") else "mod"), n.input(0), n.input(1))


def shift(g: Importer, n: OnnxNode) -> Results:
    return g.emit(Binary("shl" if n.text("direction") == "LEFT" else "shr"), n.input(0), n.input(1))


def power(g: Importer, n: OnnxNode) -> Results:
    """Small constant exponents become products and roots, which is what models mean by them."""
    x, exponent = n.input(0), n.input(1)
    if exponent.data is not None and exponent.data.size == 1 and x.type.dtype in (F32, F64):
        value = float(exponent.data.reshape(()))
        if len(exponent.type.shape) <= x.type.rank and value in (2.0, 3.0, 0.5, -1.0, 1.0):
            square = g.emit(Binary("mul"), x, x) if value in (2.0, 3.0) else x
            if value == 3.0:
                return g.emit(Binary("mul"), square, x)
            return {2.0: lambda: square, 0.5: lambda: g.emit(Unary("sqrt"), x),
                    -1.0: lambda: g.emit(Unary("recip"), x), 1.0: lambda: x}[value]()  # fmt: skip
    return g.emit(Binary("pow"), x, exponent)


def is_infinite(g: Importer, n: OnnxNode) -> Results:
    parameters = (float(n.integer("detect_negative", 1)), float(n.integer("detect_positive", 1)))
    return g.emit(Unary("isinf", parameters), n.input(0))


def gelu(g: Importer, n: OnnxNode) -> Results:
    return g.emit(Unary("gelu_tanh" if n.text("approximate") == "tanh" else "gelu"), n.input(0))


def swish(g: Importer, n: OnnxNode) -> Results:
    x, alpha = n.input(0), n.real("alpha", 1.0)
    if alpha == 1.0:
        return g.emit(Unary("silu"), x)
    inner = g.emit(Unary("sigmoid"), g.emit(Binary("mul"), x, g.like(x, alpha)))
    return g.emit(Binary("mul"), x, inner)


def hard_sigmoid(g: Importer, n: OnnxNode) -> Results:
    return g.emit(Unary("hardsigmoid", (n.real("alpha", 0.2), n.real("beta", 0.5))), n.input(0))


def clip(g: Importer, n: OnnxNode) -> Results:
    """Bounds are attributes up to opset 10, optional inputs after."""
    y = n.input(0)
    low, high = n.optional(1), n.optional(2)
    if n.version < 11:
        low = g.like(y, n.real("min", finite=False)) if "min" in n.attributes else None
        high = g.like(y, n.real("max", finite=False)) if "max" in n.attributes else None
    if low is not None:
        y = g.emit(Binary("max"), y, low)
    if high is not None:
        y = g.emit(Binary("min"), y, high)
    return y


def cast(g: Importer, n: OnnxNode) -> Results:
    return convert_type(g, n, n.input(0), n.integer("to", 1))


def cast_like(g: Importer, n: OnnxNode) -> Results:
    return convert_type(g, n, n.input(0), n.input(1).type.dtype)


def convert_type(g: Importer, n: OnnxNode, x: Value, to: int | DType) -> Value:
    """X in another element type."""
    dtype = to if isinstance(to, DType) else ELEMENT_TYPES.get(to)
    if dtype is None:
        assert isinstance(to, int)
        raise n.refuse(
            f"a cast to {type_name(to)}", f"element types are {', '.join(t.name for t in ELEMENT_TYPES.values())}"
        )
    return x if x.type.dtype == dtype else g.emit(Cast(dtype), x)


def where(g: Importer, n: OnnxNode) -> Results:
    return g.emit(Select(), n.input(0), n.input(1), n.input(2))


def prelu(g: Importer, n: OnnxNode) -> Results:
    return g.emit(Binary("prelu"), n.input(0), n.input(1))


def identity(_g: Importer, n: OnnxNode) -> Results:
    return n.input(0)


def celu(g: Importer, n: OnnxNode) -> Results:
    x, alpha = n.input(0), n.real("alpha", 1.0)
    scaled = g.emit(Unary("elu", (1.0,)), g.emit(Binary("div"), x, g.like(x, alpha)))
    negative = g.emit(Binary("min"), g.emit(Binary("mul"), scaled, g.like(x, alpha)), g.like(x, 0))
    return g.emit(Binary("add"), negative, g.emit(Unary("relu"), x))


def selu(g: Importer, n: OnnxNode) -> Results:
    alpha, gamma = n.real("alpha", 1.67326319217681884765625), n.real("gamma", 1.05070102214813232421875)
    x = n.input(0)
    return g.emit(Binary("mul"), g.emit(Unary("elu", (alpha,)), x), g.like(x, gamma))


def quick_gelu(g: Importer, n: OnnxNode) -> Results:
    """com.microsoft: x * sigmoid(alpha x)."""
    x = n.input(0)
    inner = g.emit(Unary("sigmoid"), g.emit(Binary("mul"), x, g.like(x, n.real("alpha", 1.702))))
    return g.emit(Binary("mul"), x, inner)


def dropout(g: Importer, n: OnnxNode) -> Results:
    """At inference the identity; the mask is all true."""
    x, training = n.input(0), n.optional(2)
    if training is not None and (training.data is None or bool(training.data.reshape(-1)[0])):
        ratio = n.optional(1)
        if ratio is None or ratio.data is None or float(ratio.data) != 0.0:
            raise n.refuse("dropout in training mode", "training_mode is a constant false")
    mask = g.const(np.ones(x.type.static_shape, bool), BOOL) if n.wants(1) else None
    return [x, mask]


def mish(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    return g.emit(Binary("mul"), x, g.emit(Unary("tanh"), g.emit(Unary("softplus"), x)))


def softmax_gradient(g: Importer, n: OnnxNode) -> Results:
    """com.microsoft: y * (dy - sum(dy * y))."""
    from ..ops import Reduce

    dy, y = n.input(0), n.input(1)
    axis = n.axis(-1, y.type.rank)
    total = g.emit(Reduce("sum", (axis,)), g.emit(Binary("mul"), dy, y))
    return g.emit(Binary("mul"), y, g.emit(Binary("sub"), dy, total))


def cross_entropy_gradient(g: Importer, n: OnnxNode) -> Results:
    """com.microsoft: dy (softmax - onehot(labels)) / batch, from log probabilities [n, c] and labels [n].

    Without dy, as QuantLib writes it, dy is 1 / batch.
    """
    from ..ops import Reshape

    if len(n.inputs) not in (2, 3) or n.text("reduction", "mean") != "mean":
        raise n.refuse("this form of the gradient", "reduction is mean and there are no weights")
    first, labels = n.input(len(n.inputs) - 2), n.input(len(n.inputs) - 1)
    if first.type.rank != 2 or labels.type.rank != 1:
        raise n.refuse(f"probabilities {first.type} and labels {labels.type}", "they are [n, c] and [n]")
    batch, classes = first.type.static_shape
    index = g.const(np.arange(classes), labels.type.dtype)
    hot = g.emit(Binary("eq"), g.emit(Reshape((batch, 1)), labels), index)
    difference = g.emit(Binary("sub"), g.emit(Unary("exp"), first), g.emit(Cast(F32), hot))
    if len(n.inputs) == 2:
        return g.emit(Binary("div"), difference, g.like(first, batch * batch))
    return g.emit(Binary("mul"), g.emit(Binary("div"), difference, g.like(first, batch)), n.input(0))


ELEMENTWISE: dict[str, Converter] = {
    **{name: unary(function) for name, function in {
        "Neg": "neg", "Abs": "abs", "Sign": "sign", "Relu": "relu", "Not": "not", "Exp": "exp", "Log": "log",
        "Sqrt": "sqrt", "Reciprocal": "recip", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Sin": "sin",
        "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh",
        "Tanh": "tanh", "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh", "Erf": "erf", "Sigmoid": "sigmoid",
        "IsNaN": "isnan", "BitwiseNot": "bitnot", "HardSwish": "hardswish", "Softplus": "softplus",
    }.items()},
    **{name: binary(function) for name, function in {
        "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "And": "and", "Or": "or", "Xor": "xor",
        "BitwiseAnd": "bitand", "BitwiseOr": "bitor", "BitwiseXor": "bitxor", "Equal": "eq", "Less": "lt",
        "LessOrEqual": "le",
    }.items()},
    "Greater": flipped("lt"), "GreaterOrEqual": flipped("le"),
    "Sum": chained("add"), "Max": chained("max"), "Min": chained("min"), "Mean": mean,
    "Mod": modulo, "BitShift": shift, "Pow": power, "IsInf": is_infinite, "Gelu": gelu, "com.microsoft.Gelu": gelu,
    "com.microsoft.FastGelu": unary("gelu_tanh"), "com.microsoft.QuickGelu": quick_gelu,
    "Swish": swish, "HardSigmoid": hard_sigmoid, "Clip": clip, "Cast": cast, "CastLike": cast_like, "Where": where,
    "PRelu": prelu, "Identity": identity, "Elu": unary("elu", ("alpha", 1.0)),
    "LeakyRelu": unary("leaky", ("alpha", 0.01)), "Celu": celu, "Selu": selu, "Dropout": dropout, "Mish": mish,
    "com.microsoft.SoftmaxGrad": softmax_gradient,
    "com.microsoft.SoftmaxCrossEntropyLossGrad": cross_entropy_gradient,
}  # fmt: skip
"""Converters by ONNX name (other domains are written out)."""
