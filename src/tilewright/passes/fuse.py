"""What follows a convolution or matrix product moves into it: bias, scale of a batch norm, clamp, requantisation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import F32, I8, I16, I32, I64, U8, Array, Value
from ..ops import (
    Binary,
    Clamp,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Linear,
    MatMul,
    QuantizedAdd,
    Requant,
    Requantise,
    ResidualConv2D,
    Unary,
)
from ..quant.requant import accumulator_range
from ..targets.base import Target
from .rewrite import Results, Rewriter, rewrite

WEIGHTED = (Conv2D, DepthwiseConv2D, Linear)
Weighted = Conv2D | DepthwiseConv2D | Linear


def _channels(value: Value | None, y: Value) -> Array | None:
    """A constant that varies along the last axis of y only, as a vector of one or of all channels."""
    if value is None or value.data is None:
        return None
    shape, last = value.type.static_shape, y.type.static_shape[-1]
    if math.prod(shape) == 1:
        return value.data.reshape(1)
    return value.data.reshape(last) if math.prod(shape) == shape[-1] == last else None


def _operand(r: Rewriter, node: Node) -> tuple[Node, Weighted, Array] | None:
    """The product that a Binary with a constant per channel follows, and that constant."""
    for index in range(2):
        x, other = node.inputs[index], node.inputs[1 - index]
        maker = r.producer(x, WEIGHTED)
        if maker is None or x is None or not r.single(x) or x.type.shape != node.outputs[0].type.shape:
            continue
        constant = _channels(other, node.outputs[0])
        if constant is not None and isinstance(maker.op, WEIGHTED) and maker.op.epilogue is None:
            return maker, maker.op, constant
    return None


def bias(r: Rewriter, node: Node) -> Results:
    """Product + constant: the constant joins the bias."""
    if not isinstance(node.op, Binary) or node.op.function not in ("add", "sub"):
        return None
    found = _operand(r, node)
    if found is None or (node.op.function == "sub" and found[0].outputs[0] is not node.inputs[0]):
        return None
    maker, op, constant = found
    dtype = maker.outputs[0].type.dtype
    if dtype != node.outputs[0].type.dtype or dtype not in (F32, I32):
        return None
    old = maker.inputs[2] if len(maker.inputs) > 2 else None
    if old is not None and old.data is None:
        return None
    wide = np.float64 if dtype == F32 else np.int64
    total = np.zeros(node.outputs[0].type.static_shape[-1:], wide) if old is None else _data(old).astype(wide)
    total = np.asarray(total + constant.astype(wide) * (-1 if node.op.function == "sub" else 1))
    if dtype == I32 and (total.min() < I32.low or total.max() > I32.high):
        return None
    b = r.const(f"{node.name}.bias", total.astype(dtype.numpy), dtype)
    return r.add(op, [*maker.inputs[:2], b], node)


def _data(value: Value | None) -> Array:
    assert value is not None
    assert value.data is not None
    return value.data


def scale(r: Rewriter, node: Node) -> Results:
    """Float product * constant: the weights take the factor (a batch norm after a convolution)."""
    if not isinstance(node.op, Binary) or node.op.function != "mul" or node.outputs[0].type.dtype != F32:
        return None
    found = _operand(r, node)
    if found is None:
        return None
    maker, op, factor = found
    w, old = maker.inputs[1], maker.inputs[2] if len(maker.inputs) > 2 else None
    if w is None or w.data is None or (old is not None and old.data is None):
        return None
    wide = factor.astype(np.float64)
    along = wide if isinstance(op, DepthwiseConv2D) else wide.reshape(-1, *[1] * (w.type.rank - 1))
    weights = r.const(f"{w.name}.scaled", (w.data.astype(np.float64) * along).astype(np.float32))
    if old is None:
        return r.add(op, [maker.inputs[0], weights], node)
    b = r.const(f"{node.name}.bias", (_data(old).astype(np.float64) * wide).astype(np.float32))
    return r.add(op, [maker.inputs[0], weights, b], node)


def clamp(r: Rewriter, node: Node) -> Results:
    """max, min or relu of a float product."""
    bounds = _bounds(node)
    if bounds is None:
        return None
    x, low, high = bounds
    maker = r.producer(x, (*WEIGHTED, ResidualConv2D))
    if maker is None or not r.single(x) or x.type.dtype != F32:
        return None
    assert isinstance(maker.op, (*WEIGHTED, ResidualConv2D))
    old = maker.op.epilogue
    if old is not None and not isinstance(old, Clamp):
        return None
    before = old or Clamp()
    joint = Clamp(min(max(before.low, low), high), max(min(before.high, high), low))
    return r.add(replace(maker.op, epilogue=joint), list(maker.inputs), node)


def _bounds(node: Node) -> tuple[Value, float, float] | None:
    """Operand, lower and upper bound of a clamp by a constant."""
    x = node.inputs[0] if node.inputs else None
    if x is None:
        return None
    if isinstance(node.op, Unary) and node.op.function == "relu":
        return x, 0.0, math.inf
    if isinstance(node.op, Binary) and node.op.function in ("max", "min"):
        for index in range(2):
            value, other = node.inputs[index], node.inputs[1 - index]
            if value is None or other is None or other.data is None or other.data.size != 1:
                continue
            if value.type.shape == node.outputs[0].type.shape:
                bound = float(other.data.reshape(()))
                return (value, bound, math.inf) if node.op.function == "max" else (value, -math.inf, bound)
    return None


def requant(r: Rewriter, node: Node) -> Results:
    """A requantisation of integer sums becomes the epilogue of what computed them; the bias joins the addend."""
    if not isinstance(node.op, Requant) or node.op.dtype not in (I8, U8, I16):
        return None
    x, mul, add = node.inputs
    maker = r.producer(x, (*WEIGHTED, MatMul))
    if maker is None or x is None or mul is None or add is None or not r.single(x) or x.type.dtype != I32:
        return None
    assert isinstance(maker.op, (*WEIGHTED, MatMul))
    per_channel = mul.type.size > 1 or add.type.size > 1
    if maker.op.epilogue is not None or mul.data is None or add.data is None:
        return None
    if per_channel and (isinstance(maker.op, MatMul) or node.op.axis % x.type.rank != x.type.rank - 1):
        return None
    epilogue = Requantise(node.op.shift, node.op.low, node.op.high, node.op.dtype)
    op = replace(maker.op, epilogue=epilogue)
    if isinstance(maker.op, MatMul):
        return r.add(op, [*maker.inputs, mul, add], node)
    b = maker.inputs[2] if len(maker.inputs) > 2 else None
    if b is not None:
        if b.data is None or not _sums_fit(maker, b.data):
            return None
        total = b.data.astype(np.int64) * mul.data.astype(np.int64) + add.data.astype(np.int64)
        fits = bool(total.min() >= I32.low and total.max() <= I32.high)
        add = r.const(f"{node.name}.add", total, I32 if fits else I64)
    return r.add(op, [*maker.inputs[:2], None, mul, add], node)


def zero(r: Rewriter, node: Node) -> Results:
    """The bias of integer sums that become reals: the zero that is subtracted takes it."""
    if not isinstance(node.op, Dequantize):
        return None
    x, scale_of, old = node.inputs
    maker = r.producer(x, WEIGHTED)
    if maker is None or x is None or old is None or old.data is None or not r.single(x) or x.type.dtype != I32:
        return None
    b = maker.inputs[2] if len(maker.inputs) == 3 else None
    last = node.op.axis % x.type.rank == x.type.rank - 1
    if b is None or b.data is None or not last or not _sums_fit(maker, b.data):
        return None
    total = old.data.astype(np.int64) - b.data
    if total.min() < I32.low or total.max() > I32.high:
        return None
    sums = r.add(maker.op, list(maker.inputs[:2]), maker)
    return r.add(node.op, [*sums, scale_of, r.const(f"{node.name}.zero", total.astype(np.int32), I32)], node)


def _sums_fit(maker: Node, b: Array) -> bool:
    """Whether sum plus bias stays within 32 bits, so that the bias may be multiplied on its own."""
    x, w = maker.inputs[0], maker.inputs[1]
    assert x is not None
    if w is None or w.data is None:
        return False
    rows = np.moveaxis(w.data, -1, 0) if isinstance(maker.op, DepthwiseConv2D) else w.data
    low, high = accumulator_range(rows, min(x.type.dtype.low, 0), max(x.type.dtype.high, 0))
    return bool((low + b).min() >= I32.low and (high + b).max() <= I32.high)


def residual(r: Rewriter, node: Node) -> Results:
    """Convolution + activation: the activation joins in the convolution, which may then write over it."""
    integer = isinstance(node.op, QuantizedAdd)
    if not integer and not (isinstance(node.op, Binary) and node.op.function == "add"):
        return None
    for index in range(2):
        x, other = node.inputs[index], node.inputs[1 - index]
        maker = r.producer(x, Conv2D)
        if maker is None or x is None or other is None or not r.single(x) or other.data is not None:
            continue
        assert isinstance(maker.op, Conv2D)
        fits = (
            isinstance(maker.op.epilogue, Requantise) if integer else maker.op.epilogue is None and x.type.dtype == F32
        )
        if not fits or x.type.shape != other.type.shape or x.type.shape != node.outputs[0].type.shape:
            continue
        join = node.op if isinstance(node.op, QuantizedAdd) else None
        if join is not None and index == 1:
            join = replace(join, mul_a=join.mul_b, mul_b=join.mul_a)
        o = maker.op
        op = ResidualConv2D(o.stride, o.pad, o.dilation, o.pad_value, o.epilogue, join)
        return r.add(op, [*maker.inputs, *(None for _ in range(5 - len(maker.inputs))), other], node)
    return None


FUSE_RULES = (bias, scale, clamp, requant, zero)


def epilogues(graph: Graph, _target: Target) -> Graph:
    """Epilogues and biases into convolutions and products."""
    return rewrite(graph, *FUSE_RULES)


def fuse(graph: Graph, target: Target) -> Graph:
    """Epilogues, biases and, where the target has a kernel for that, residuals into convolutions and products."""
    joins = (residual,) if any(k.op is ResidualConv2D for k in target.kernels) else ()
    return rewrite(graph, *FUSE_RULES, *joins)
