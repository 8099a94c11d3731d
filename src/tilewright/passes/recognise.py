"""Decomposed operators become units again: softmax, GELU, SiLU, layer norm, RMS norm.

Exporters write them as many small nodes. As units they are faster, need no wide intermediate tensors, and can be
quantised as what they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import F32, F64, Value
from ..ops import Binary, LayerNorm, Reduce, RMSNorm, Softmax, Unary
from ..targets.base import Target
from .rewrite import Results, Rewriter, rewrite


def binary(r: Rewriter, value: Value | None, function: str) -> tuple[Value, Value] | None:
    """The operands of the Binary that makes a value."""
    node = r.producer(value, Binary)
    if node is None or not isinstance(node.op, Binary) or node.op.function != function:
        return None
    a, b = node.inputs
    return (a, b) if a is not None and b is not None else None


def either(r: Rewriter, value: Value | None, function: str) -> Iterator[tuple[Value, Value]]:
    """The operands of a commutative Binary, both ways round."""
    found = binary(r, value, function)
    if found is not None:
        yield found
        yield found[1], found[0]


def unary(r: Rewriter, value: Value | None, function: str) -> Value | None:
    """The operand of the Unary that makes a value."""
    node = r.producer(value, Unary)
    return node.inputs[0] if node is not None and isinstance(node.op, Unary) and node.op.function == function else None


def reduced(r: Rewriter, value: Value | None, function: str) -> tuple[Value, tuple[int, ...]] | None:
    """Operand and axes of the reduction that makes a value."""
    node = r.producer(value, Reduce)
    if node is None or not isinstance(node.op, Reduce) or node.op.function != function or node.inputs[0] is None:
        return None
    return node.inputs[0], node.op.axes


def scalar(value: Value | None) -> float | None:
    """The number that a constant of one element holds."""
    if value is None or value.data is None or value.data.size != 1 or value.data.dtype.kind != "f":
        return None
    return float(value.data.reshape(()))


def is_scalar(value: Value | None, number: float) -> bool:
    held = scalar(value)
    return held is not None and math.isclose(held, number, rel_tol=1e-3)


def factors(r: Rewriter, value: Value, depth: int = 0) -> tuple[float, list[Value]]:
    """A product as a constant times other factors."""
    number = scalar(value)
    if number is not None:
        return number, []
    node = r.producer(value, Binary)
    if node is None or not isinstance(node.op, Binary) or depth > 4 or not r.single(value):
        return 1.0, [value]
    a, b = node.inputs
    assert a is not None
    assert b is not None
    if node.op.function == "mul":
        (k1, f1), (k2, f2) = factors(r, a, depth + 1), factors(r, b, depth + 1)
        return k1 * k2, f1 + f2
    divisor = scalar(b)
    if node.op.function == "div" and divisor:
        k, f = factors(r, a, depth + 1)
        return k / divisor, f
    return 1.0, [value]


def _product(r: Rewriter, node: Node) -> tuple[float, list[Value]] | None:
    """Constant and factors of a product at its outermost node."""
    if not isinstance(node.op, Binary) or node.op.function not in ("mul", "div"):
        return None
    a, b = node.inputs
    assert a is not None
    assert b is not None
    (k1, f1) = factors(r, a)
    if node.op.function == "mul":
        (k2, f2) = factors(r, b)
        return k1 * k2, f1 + f2
    divisor = scalar(b)
    return (k1 / divisor, f1) if divisor else None


def gelu(r: Rewriter, node: Node) -> Results:
    """0.5 x (1 + erf(x / sqrt 2)), or with tanh(sqrt(2 / pi) (x + 0.044715 x^3)); factors in any order."""
    found = _product(r, node)
    if found is None or not math.isclose(found[0], 0.5, rel_tol=1e-3) or len(found[1]) != 2:
        return None
    for x, gate in (found[1], found[1][::-1]):
        for one, inner in either(r, gate, "add"):
            if not is_scalar(one, 1.0) or x.type.shape != node.outputs[0].type.shape:
                continue
            argument = unary(r, inner, "erf")
            if argument is not None and _is_multiple(r, argument, x, 1 / math.sqrt(2)):
                return r.add(Unary("gelu"), [x], node)
            argument = unary(r, inner, "tanh")
            if argument is not None and _is_cubic(r, argument, x):
                return r.add(Unary("gelu_tanh"), [x], node)
    return None


def _is_multiple(r: Rewriter, value: Value, x: Value, number: float) -> bool:
    k, rest = factors(r, value)
    return rest == [x] and math.isclose(k, number, rel_tol=1e-3)


def _is_cubic(r: Rewriter, value: Value, x: Value) -> bool:
    """sqrt(2 / pi) (x + 0.044715 x^3)."""
    k, rest = factors(r, value)
    if len(rest) != 1 or not math.isclose(k, math.sqrt(2 / math.pi), rel_tol=1e-3):
        return False
    for plain, cube in either(r, rest[0], "add"):
        inner, powers = factors(r, cube)
        if plain is x and powers == [x, x, x] and math.isclose(inner, 0.044715, rel_tol=1e-2):
            return True
    return False


def silu(r: Rewriter, node: Node) -> Results:
    """X sigmoid(x), or x / (1 + exp(-x))."""
    if not isinstance(node.op, Binary) or node.outputs[0].type.dtype not in (F32, F64):
        return None
    if node.op.function == "mul":
        for x, gate in (node.inputs, node.inputs[::-1]):
            if x is not None and unary(r, gate, "sigmoid") is x:
                return r.add(Unary("silu"), [x], node)
    if node.op.function == "div":
        x = node.inputs[0]
        for one, power in either(r, node.inputs[1], "add"):
            if x is not None and is_scalar(one, 1.0) and unary(r, unary(r, power, "exp"), "neg") is x:
                return r.add(Unary("silu"), [x], node)
    return None


def softmax(r: Rewriter, node: Node) -> Results:
    """E / sum e with e = exp(x - max x) along one axis."""
    if not isinstance(node.op, Binary) or node.op.function != "div":
        return None
    e = node.inputs[0]
    total, argument = reduced(r, node.inputs[1], "sum"), unary(r, e, "exp")
    if total is None or argument is None or total[0] is not e or len(total[1]) != 1:
        return None
    shifted = binary(r, argument, "sub")
    if shifted is None:
        return None
    most = reduced(r, shifted[1], "max")
    if most is None or most[0] is not shifted[0] or most[1] != total[1]:
        return None
    return r.add(Softmax(total[1][0]), [shifted[0]], node)


def _over_last(value: Value, axes: tuple[int, ...]) -> bool:
    return axes == (value.type.rank - 1,)


def _mean_square(r: Rewriter, value: Value | None) -> tuple[Value, float] | None:
    """(x, eps) of mean(x^2) + eps over the last axis."""
    for spread, eps in either(r, value, "add"):
        number = scalar(eps)
        if number is None or number < 0:
            continue
        mean = reduced(r, spread, "mean")
        if mean is None or not _over_last(mean[0], mean[1]):
            continue
        square = binary(r, mean[0], "mul")
        if square is not None and square[0] is square[1]:
            return square[0], number
    return None


def _normalised(r: Rewriter, node: Node) -> tuple[Value, float] | None:
    """(x, eps) of x / sqrt(mean(x^2) + eps), however the root is taken."""
    if not isinstance(node.op, Binary):
        return None
    if node.op.function == "div":
        pairs = [(node.inputs[0], unary(r, node.inputs[1], "sqrt"))]
    elif node.op.function == "mul":
        pairs = []
        for x, root in (node.inputs, node.inputs[::-1]):
            pairs.append((x, unary(r, unary(r, root, "recip"), "sqrt")))
            quotient = binary(r, root, "div")
            if quotient is not None and is_scalar(quotient[0], 1.0):
                pairs.append((x, unary(r, quotient[1], "sqrt")))
    else:
        return None
    for x, square in pairs:
        found = _mean_square(r, square)
        if found is not None and found[0] is x and x is not None and x.type.dtype in (F32, F64):
            return found
    return None


def _ones(r: Rewriter, x: Value, number: float, node: Node) -> Value:
    return r.const(f"{node.name}.w", np.full(x.type.static_shape[-1], number, x.type.dtype.numpy))


def norm(r: Rewriter, node: Node) -> Results:
    """X / sqrt(mean(x^2) + eps): a layer norm where x is a value less its mean, otherwise an RMS norm."""
    found = _normalised(r, node)
    if found is None:
        return None
    x, eps = found
    centred = binary(r, x, "sub")
    if centred is not None:
        mean = reduced(r, centred[1], "mean")
        if mean is not None and mean[0] is centred[0] and _over_last(*mean):
            source = centred[0]
            return r.add(LayerNorm(eps), [source, _ones(r, x, 1.0, node), _ones(r, x, 0.0, node)], node)
    return r.add(RMSNorm(eps), [x, _ones(r, x, 1.0, node)], node)


def affine(r: Rewriter, node: Node) -> Results:
    """A norm without weights takes a constant factor per channel as its weight, and a constant addend as its bias."""
    if not isinstance(node.op, Binary) or node.op.function not in ("mul", "add"):
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        maker = r.producer(x, (RMSNorm, LayerNorm))
        if maker is None or x is None or other is None or other.data is None or not r.single(x):
            continue
        size = x.type.static_shape[-1]
        if (
            other.type.size != size
            or other.type.static_shape[-1:] != (size,)
            or x.type.shape != node.outputs[0].type.shape
        ):
            continue
        vector, inputs = other.data.reshape(size), list(maker.inputs)
        w, b = inputs[1], inputs[2] if isinstance(maker.op, LayerNorm) else None
        if w is None or w.data is None:
            continue
        if node.op.function == "mul" and (b is None or (b.data is not None and not np.any(b.data))):
            inputs[1] = r.const(f"{node.name}.w", w.data * vector)
            return r.add(maker.op, inputs, node)
        if node.op.function == "add" and b is not None and b.data is not None:
            inputs[2] = r.const(f"{node.name}.b", b.data + vector)
            return r.add(maker.op, inputs, node)
    return None


RECOGNISE_RULES = (softmax, gelu, silu, norm, affine)


def recognise(graph: Graph, _target: Target) -> Graph:
    """Replace decomposed operators by units."""
    return rewrite(graph, *RECOGNISE_RULES)
