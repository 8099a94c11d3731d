"""ONNX's matrix products, norms, softmaxes, reductions, resizing."""

from __future__ import annotations

import math

import numpy as np

from ..ir.types import I32, I64, Value
from ..ops import (
    ArgReduce,
    Binary,
    Cast,
    Cumulative,
    Dequantize,
    Expand,
    LayerNorm,
    Linear,
    MatMul,
    Reduce,
    RMSNorm,
    Select,
    Softmax,
    Unary,
)  # fmt: skip
from .onnx_import import Converter, Importer, OnnxNode, Results
from .onnx_shape import reshaped, transposed


def is_weight(g: Importer, value: Value) -> bool:
    """Constant, or dequantised from constants."""
    if value.data is not None:
        return True
    maker = g.makers.get(value)
    return maker is not None and isinstance(maker, Dequantize)


def matmul(g: Importer, n: OnnxNode) -> Results:
    return product(g, n.input(0), n.input(1))


def product(g: Importer, a: Value, b: Value) -> Value:
    """Numpy's matmul: vectors become matrices and back; constant weights make it a Linear."""
    vector_a, vector_b = a.type.rank == 1, b.type.rank == 1
    if vector_a:
        a = reshaped(g, a, (1, *a.type.static_shape))
    if vector_b:
        b = reshaped(g, b, (*b.type.static_shape, 1))
    if b.type.rank == 2 and is_weight(g, b):
        y = g.emit(Linear(), a, transposed(g, b, (1, 0)))
    else:
        y = g.emit(MatMul(), a, b)
    shape = list(y.type.static_shape)
    if vector_b:
        shape.pop()
    if vector_a:
        shape.pop(-1 if vector_b else -2)
    return reshaped(g, y, shape)


def gemm(g: Importer, n: OnnxNode) -> Results:
    """Alpha op(a) op(b) + beta c; weights absorb alpha, a constant vector c becomes the bias."""
    a, b, c = n.input(0), n.input(1), n.optional(2)
    alpha, beta = n.real("alpha", 1.0), n.real("beta", 1.0)
    if a.type.rank != 2 or b.type.rank != 2:
        raise n.refuse(f"Gemm of {a.type} and {b.type}", "both operands are matrices")
    if n.integer("transA"):
        a = transposed(g, a, (1, 0))
    flip = bool(n.integer("transB"))
    if is_weight(g, b):
        w = b if flip else transposed(g, b, (1, 0))
        if alpha != 1.0:
            w = g.emit(Binary("mul"), w, g.like(w, alpha))
        rows = w.type.static_shape[0]
        if c is not None and beta != 1.0:
            c = g.emit(Binary("mul"), c, g.like(c, beta))
        if c is not None and c.type.size in (1, rows) and c.type.shape in ((rows,), (1, rows), (1,), (1, 1), ()):
            bias = c if c.type.size == rows else g.emit(Expand((rows,)), reshaped(g, c, (1,)))
            return g.emit(Linear(), a, w, reshaped(g, bias, (rows,)))
        y = g.emit(Linear(), a, w)
        return y if c is None else g.emit(Binary("add"), y, c)
    y = g.emit(MatMul(transpose_b=flip), a, b)
    if alpha != 1.0:
        y = g.emit(Binary("mul"), y, g.like(y, alpha))
    if c is None:
        return y
    if beta != 1.0:
        c = g.emit(Binary("mul"), c, g.like(c, beta))
    return g.emit(Binary("add"), y, c)


def matmul_integer(g: Importer, n: OnnxNode) -> Results:
    """int32 products of operands less their zero points."""
    operands = []
    for i in range(2):
        x, zero = n.input(i), n.optional(i + 2)
        if zero is not None and (zero.data is None or np.any(zero.data)):
            wide, offset = g.emit(Cast(I32), x), g.emit(Cast(I32), zero)
            if i == 0 and zero.type.rank == 1 and zero.type.size > 1:
                offset = reshaped(g, offset, (*zero.type.static_shape, 1))
            x = g.emit(Binary("sub"), wide, offset)
        operands.append(x)
    return product(g, operands[0], operands[1])


def softmax(*, log: bool) -> Converter:
    """Up to opset 12 the operand is flattened to a matrix at `axis`, after that softmax is along it."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        x = n.input(0)
        if n.version >= 13 or n.domain:
            return g.emit(Softmax(n.axis(-1, x.type.rank), log), x)
        shape, axis = x.type.static_shape, n.axis(1, x.type.rank)
        if math.prod(shape[axis:]) == shape[-1]:
            return g.emit(Softmax(x.type.rank - 1, log), x)
        flat = reshaped(g, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
        return reshaped(g, g.emit(Softmax(1, log), flat), shape)

    return convert


def hardmax(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    shape, axis = x.type.static_shape, n.axis(-1 if n.version >= 13 else 1, x.type.rank)
    if n.version < 13:
        flat = reshaped(g, x, (math.prod(shape[:axis]), math.prod(shape[axis:])))
        return reshaped(g, _one_at_maximum(g, flat, 1), shape)
    return _one_at_maximum(g, x, axis)


def _one_at_maximum(g: Importer, x: Value, axis: int) -> Value:
    extent = x.type.static_shape[axis]
    places = np.arange(extent).reshape([extent if a == axis else 1 for a in range(x.type.rank)])
    hot = g.emit(Binary("eq"), g.emit(ArgReduce(axis), x), g.const(places, I64))
    return g.emit(Cast(x.type.dtype), hot)


def _flat_norm(g: Importer, n: OnnxNode, x: Value) -> tuple[Value, tuple[int, ...], int]:
    """X with everything from `axis` on as one axis; its shape before; the size of that axis."""
    shape, axis = x.type.static_shape, n.axis(-1, x.type.rank)
    size = math.prod(shape[axis:])
    return reshaped(g, x, (*shape[:axis], size)), shape, size


def _channel(g: Importer, x: Value, value: Value | None, size: int, default: float) -> Value:
    """A weight of a norm as a vector."""
    if value is None:
        return g.const(np.full(size, default, x.type.dtype.numpy))
    if value.type.size == size:
        return reshaped(g, value, (size,))
    return g.emit(Expand((size,)), reshaped(g, value, (1,)))


def layer_norm(g: Importer, n: OnnxNode) -> Results:
    x, eps = n.input(0), n.real("epsilon", 1e-5)
    if n.wants(1) or n.wants(2):
        return _layer_norm_parts(g, n, x, eps)
    flat, shape, size = _flat_norm(g, n, x)
    w, b = _channel(g, x, n.optional(1), size, 1.0), _channel(g, x, n.optional(2), size, 0.0)
    return reshaped(g, g.emit(LayerNorm(eps), flat, w, b), shape)


def _layer_norm_parts(g: Importer, n: OnnxNode, x: Value, eps: float) -> Results:
    """With mean and inverse deviation as further results."""
    axes = tuple(range(n.axis(-1, x.type.rank), x.type.rank))
    mean = g.emit(Reduce("mean", axes), x)
    centred = g.emit(Binary("sub"), x, mean)
    variance = g.emit(Reduce("mean", axes), g.emit(Binary("mul"), centred, centred))
    root = g.emit(Unary("recip"), g.emit(Unary("sqrt"), g.emit(Binary("add"), variance, g.like(variance, eps))))
    y = g.emit(Binary("mul"), g.emit(Binary("mul"), centred, root), n.input(1))
    bias = n.optional(2)
    return [y if bias is None else g.emit(Binary("add"), y, bias), mean, root]


def rms_norm(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    flat, shape, size = _flat_norm(g, n, x)
    w = _channel(g, x, n.optional(1), size, 1.0)
    return reshaped(g, g.emit(RMSNorm(n.real("epsilon", 1e-5)), flat, w), shape)


def plain_rms_norm(g: Importer, n: OnnxNode) -> Results:
    """`RMSNorm` without a domain, as QuantLib's float networks write it."""
    return g.emit(RMSNorm(n.real("eps", 1e-6)), n.input(0), n.input(1))


def batch_norm(g: Importer, n: OnnxNode) -> Results:
    """Y = x * factor + addend per channel, from running statistics or (training_mode) from x itself."""
    x, scale, bias, mean, variance = (n.input(i) for i in range(5))
    eps, rank = n.real("epsilon", 1e-5), x.type.rank
    shape = (x.type.static_shape[1], *[1] * (rank - 2)) if rank > 1 else (1,)
    results: list[Value | None] = []
    if n.integer("training_mode"):
        axes, momentum = tuple(a for a in range(rank) if a != 1), n.real("momentum", 0.9)
        own = g.emit(Reduce("mean", axes), x)
        centred = g.emit(Binary("sub"), x, own)
        spread = g.emit(Reduce("mean", axes), g.emit(Binary("mul"), centred, centred))
        channels = x.type.static_shape[1:2]
        own, spread = reshaped(g, own, channels), reshaped(g, spread, channels)
        for old, new in ((mean, own), (variance, spread)):
            kept = g.emit(Binary("mul"), old, g.like(old, momentum))
            results.append(g.emit(Binary("add"), kept, g.emit(Binary("mul"), new, g.like(new, 1.0 - momentum))))
        mean, variance = own, spread
    root = g.emit(Unary("sqrt"), g.emit(Binary("add"), variance, g.like(variance, eps)))
    factor = g.emit(Binary("div"), scale, root)
    addend = g.emit(Binary("sub"), bias, g.emit(Binary("mul"), mean, factor))
    y = g.emit(Binary("mul"), x, reshaped(g, factor, shape))
    return [g.emit(Binary("add"), y, reshaped(g, addend, shape)), *results]


def _normalised(g: Importer, x: Value, shape: tuple[int, ...], eps: float) -> Value:
    """Zero mean and unit variance over the last axis of x under `shape`; x's own shape again."""
    flat = reshaped(g, x, shape)
    one, zero = (g.const(np.full(shape[-1], v, x.type.dtype.numpy)) for v in (1.0, 0.0))
    return reshaped(g, g.emit(LayerNorm(eps), flat, one, zero), x.type.static_shape)


def _per_channel(g: Importer, x: Value, scale: Value, bias: Value) -> Value:
    shape = (x.type.static_shape[1], *[1] * (x.type.rank - 2))
    y = g.emit(Binary("mul"), x, reshaped(g, scale, shape))
    return g.emit(Binary("add"), y, reshaped(g, bias, shape))


def instance_norm(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    batch, c, *rest = x.type.static_shape
    y = _normalised(g, x, (batch, c, math.prod(rest)), n.real("epsilon", 1e-5))
    return _per_channel(g, y, n.input(1), n.input(2))


def group_norm(g: Importer, n: OnnxNode) -> Results:
    """Scale and bias per group up to opset 20, per channel after; QuantLib's are per channel always."""
    x, groups = n.input(0), n.integer("num_groups", 1)
    batch, c, *rest = x.type.static_shape
    if groups < 1 or c % groups:
        raise n.refuse(f"{c} channels in {groups} groups", "the channels divide into the groups")
    y = _normalised(g, x, (batch, groups, c // groups * math.prod(rest)), n.real("epsilon", 1e-5))
    scale, bias = n.input(1), n.input(2)
    if scale.type.shape != (c,):
        wide = (groups, c // groups)
        scale, bias = (reshaped(g, g.emit(Expand(wide), reshaped(g, v, (groups, 1))), (c,)) for v in (scale, bias))
    return _per_channel(g, y, scale, bias)


def lp_norm(g: Importer, n: OnnxNode) -> Results:
    x, p = n.input(0), n.integer("p", 2)
    axis = n.axis(-1, x.type.rank)
    if p == 1:
        total = g.emit(Reduce("sum", (axis,)), g.emit(Unary("abs"), x))
    else:
        total = g.emit(Unary("sqrt"), g.emit(Reduce("sumsq", (axis,)), x))
    safe = g.emit(Select(), g.emit(Binary("eq"), total, g.like(x, 0)), g.like(x, 1), total)
    return g.emit(Binary("div"), x, safe)


def lrn(g: Importer, n: OnnxNode) -> Results:
    """X / (bias + alpha / size * sum of squares of near channels)^beta: the sum is a banded linear map of channels."""
    from .onnx_shape import weighted

    x, size = n.input(0), n.integer("size", 1)
    c = x.type.static_shape[1]
    low, high = (size - 1) // 2, size - 1 - (size - 1) // 2
    offset = np.arange(c)[None, :] - np.arange(c)[:, None]
    band = ((offset >= -low) & (offset <= high)).astype(np.float32) * (n.real("alpha", 1e-4) / size)
    total = weighted(g, g.emit(Binary("mul"), x, x), 1, band)
    base = g.emit(Binary("add"), total, g.like(x, n.real("bias", 1.0)))
    return g.emit(Binary("div"), x, g.emit(Binary("pow"), base, g.like(x, n.real("beta", 0.75))))


def _reduced_axes(n: OnnxNode, version: int) -> tuple[int, ...] | None:
    """The axes that a reduction runs over; None: nothing is to be reduced."""
    rank, value = n.input(0).type.rank, n.optional(1)
    if n.version < version:
        return tuple(n.inside(a, rank) for a in n.integers("axes", tuple(range(rank))))
    if value is not None and value.type.size == 0:
        value = None
    if value is not None and value.data is None:
        return _declared_axes(n)
    if value is None:
        if "axes" in n.attributes:  # files of exporters that kept the attribute
            return tuple(n.inside(a, rank) for a in n.integers("axes"))
        return None if n.integer("noop_with_empty_axes") else tuple(range(rank))
    return tuple(n.inside(a, rank) for a in n.known_integers(1, "the axes"))


def _declared_axes(n: OnnxNode) -> tuple[int, ...]:
    """Axes from the shape that the model declares, where they are given at run time and only one choice fits."""
    shape, declared = n.shape(), n.declared()
    if declared is not None and n.integer("keepdims", 1) and len(declared) == len(shape):
        return tuple(a for a, (d, k) in enumerate(zip(shape, declared, strict=True)) if d != k)
    if declared is not None and declared == ():
        return tuple(range(len(shape)))
    if declared is not None and len(declared) == len(shape) - 1:
        fits = [a for a in range(len(shape)) if shape[:a] + shape[a + 1 :] == declared]
        if len(fits) == 1:
            return (fits[0],)
    return tuple(n.inside(a, len(shape)) for a in n.known_integers(1, "the axes"))


def reduction(function: str, version: int) -> Converter:
    """`version`: the opset in which axes became an input."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        x = n.input(0)
        axes = _reduced_axes(n, version)
        if axes is None:
            return _reduced(g, x, (), function)
        y = _reduced(g, x, tuple(sorted(set(axes))), function)
        if n.integer("keepdims", 1):
            return y
        return reshaped(g, y, [d for a, d in enumerate(x.type.static_shape) if a not in axes])

    return convert


def _reduced(g: Importer, x: Value, axes: tuple[int, ...], function: str) -> Value:
    match function:
        case "l1":
            return g.emit(Reduce("sum", axes), g.emit(Unary("abs"), x))
        case "l2":
            return g.emit(Unary("sqrt"), g.emit(Reduce("sumsq", axes), x))
        case "logsum":
            return g.emit(Unary("log"), g.emit(Reduce("sum", axes), x))
        case "logsumexp":
            most = g.emit(Reduce("max", axes), x)
            total = g.emit(Reduce("sum", axes), g.emit(Unary("exp"), g.emit(Binary("sub"), x, most)))
            return g.emit(Binary("add"), g.emit(Unary("log"), total), most)
        case _ if not axes and function != "sumsq":
            return x
        case _:
            return g.emit(Reduce(function, axes), x)


def arg_reduction(*, greatest: bool) -> Converter:
    def convert(g: Importer, n: OnnxNode) -> Results:
        x = n.input(0)
        axis = n.axis(0, x.type.rank)
        y = g.emit(ArgReduce(axis, greatest, bool(n.integer("select_last_index"))), x)
        if n.integer("keepdims", 1):
            return y
        return reshaped(g, y, [d for a, d in enumerate(x.type.static_shape) if a != axis])

    return convert


def cumulative(function: str) -> Converter:
    def convert(g: Importer, n: OnnxNode) -> Results:
        x = n.input(0)
        axis = n.inside(int(n.known(1, "the axis").reshape(-1)[0]), x.type.rank) if x.type.rank > 1 else 0
        return g.emit(Cumulative(function, axis, bool(n.integer("exclusive")), bool(n.integer("reverse"))), x)

    return convert


def mean_variance(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    axes = tuple(n.inside(a, x.type.rank) for a in n.integers("axes", (0, 2, 3)))
    centred = g.emit(Binary("sub"), x, g.emit(Reduce("mean", axes), x))
    variance = g.emit(Reduce("mean", axes), g.emit(Binary("mul"), centred, centred))
    root = g.emit(Binary("add"), g.emit(Unary("sqrt"), variance), g.like(x, 1e-9))
    return g.emit(Binary("div"), centred, root)


def einsum(g: Importer, n: OnnxNode) -> Results:
    """Two operands without repeated letters: transposed to [batch, left, summed] and [batch, summed, right]."""
    text = n.text("equation").replace(" ", "")
    terms, _, result = text.partition("->")
    parts = terms.split(",")
    plain = all(p.isalpha() and len(set(p)) == len(p) for p in parts) and (result.isalpha() or not result)
    if len(parts) != 2 or not plain or "->" not in text:
        raise n.refuse(f"the equation {text}", "einsum takes two operands, an explicit result and no repeated letters")
    a, b = n.input(0), n.input(1)
    if a.type.rank != len(parts[0]) or b.type.rank != len(parts[1]):
        raise n.refuse(f"the equation {text}", "one letter per axis")
    size = {
        **dict(zip(parts[1], b.type.static_shape, strict=True)),
        **dict(zip(parts[0], a.type.static_shape, strict=True)),
    }
    for letters, value in zip(parts, (a, b), strict=True):
        if any(size[c] != d for c, d in zip(letters, value.type.static_shape, strict=True)):
            raise n.refuse(f"the equation {text}", "a letter stands for one extent")
    batch = [c for c in parts[0] if c in parts[1] and c in result]
    summed = [c for c in parts[0] if c in parts[1] and c not in result]
    left, right = ([c for c in p if c not in q] for p, q in (parts, parts[::-1]))
    if any(c not in result for c in (*left, *right)):
        raise n.refuse(f"the equation {text}", "letters of one operand stay")

    def arranged(value: Value, letters: str, *groups: list[str]) -> Value:
        order = [letters.index(c) for group in groups for c in group]
        return reshaped(g, transposed(g, value, order), [math.prod(size[c] for c in group) for group in groups])

    y = product(g, arranged(a, parts[0], batch, left, summed), arranged(b, parts[1], batch, summed, right))
    order = [*batch, *left, *right]
    return transposed(g, reshaped(g, y, [size[c] for c in order]), [order.index(c) for c in result])


NN: dict[str, Converter] = {
    "MatMul": matmul, "Gemm": gemm, "MatMulInteger": matmul_integer, "Softmax": softmax(log=False),
    "LogSoftmax": softmax(log=True), "Hardmax": hardmax, "LayerNormalization": layer_norm,
    "SimplifiedLayerNormalization": rms_norm, "com.microsoft.SimplifiedLayerNormalization": rms_norm,
    "RMSNormalization": rms_norm, "RMSNorm": plain_rms_norm, "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm, "GroupNormalization": group_norm, "LpNormalization": lp_norm, "LRN": lrn,
    "MeanVarianceNormalization": mean_variance, "Einsum": einsum,
    "ReduceSum": reduction("sum", 13), "ReduceMean": reduction("mean", 18), "ReduceMax": reduction("max", 18),
    "ReduceMin": reduction("min", 18), "ReduceProd": reduction("prod", 18), "ReduceL1": reduction("l1", 18),
    "ReduceL2": reduction("l2", 18), "ReduceSumSquare": reduction("sumsq", 18),
    "ReduceLogSum": reduction("logsum", 18), "ReduceLogSumExp": reduction("logsumexp", 18),
    "ArgMax": arg_reduction(greatest=True), "ArgMin": arg_reduction(greatest=False),
    "CumSum": cumulative("sum"), "CumProd": cumulative("prod"),
}  # fmt: skip
"""Converters by ONNX name."""
