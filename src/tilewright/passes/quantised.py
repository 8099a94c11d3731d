"""Quantised networks: dequantise - operator - quantise becomes the integer operator with the one requantisation.

Works back from every Quantize. Activations have one scale and zero point, weights one per output channel or one in
all; zero points of activations are folded into the addend (and are what padding holds), so that kernels see plain
sums of products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..ir.graph import Graph, Node
from ..ir.types import I8, I16, I32, I64, U8, Array, DType, Value
from ..ops import (
    AveragePool2D,
    Binary,
    Clamp,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    Linear,
    LookUp,
    MatMul,
    MaxPool2D,
    Pad,
    Quantize,
    QuantizedAdd,
    QuantizedMul,
    Reduce,
    Requant,
    Requantise,
    Reshape,
    Unary,
)  # fmt: skip
from ..quant.requant import fixed_point, half, multipliers
from ..quant.roles import MOVES
from ..targets.base import Target
from .fold import fold_rule
from .fuse import bias as joined_bias
from .fuse import clamp as joined_clamp
from .layout import before_reshape, past_dequantize
from .rewrite import Results, Rewriter, rewrite
from .tidy import requantised_twice

SMALL = (I8, U8)


@dataclass(frozen=True)
class Scaled:
    """A quantised tensor: stored integers, scale and zero point per index of an axis (or one of each)."""

    stored: Value
    scale: Array  # float64
    zero: Array  # int64
    axis: int

    @property
    def single(self) -> bool:
        return self.scale.size == 1 and self.zero.size == 1


def scaled(r: Rewriter, value: Value | None) -> Scaled | None:
    """The quantised tensor behind a dequantised one, where scale and zero point are constants."""
    node = r.producer(value, Dequantize)
    if node is None:
        return None
    stored, scale, zero = node.inputs
    if stored is None or scale is None or zero is None or scale.data is None or zero.data is None:
        return None
    assert isinstance(node.op, Dequantize)
    return Scaled(stored, scale.data.astype(np.float64), zero.data.astype(np.int64), node.op.axis)


def target_of(node: Node) -> tuple[float, int, DType] | None:
    """Scale, zero point and type of a Quantize with one constant of each."""
    _, scale, zero = node.inputs
    if (
        scale is None
        or zero is None
        or scale.data is None
        or zero.data is None
        or scale.data.size * zero.data.size != 1
    ):
        return None
    if zero.type.dtype not in SMALL or not float(scale.data.reshape(())) > 0:
        return None
    return float(scale.data.reshape(())), int(zero.data.reshape(())), zero.type.dtype


def bounds(dtype: DType, clamp: object, scale: float, zero: int) -> tuple[int, int]:
    """Least and greatest stored result under a clamp of the real one."""
    low, high = dtype.low, dtype.high
    if isinstance(clamp, Clamp):
        if math.isfinite(clamp.low):
            low = max(low, min(high, round(clamp.low / scale) + zero))
        if math.isfinite(clamp.high):
            high = min(high, max(low, round(clamp.high / scale) + zero))
    return low, high


def weighted(r: Rewriter, node: Node) -> Results:
    """Quantize(product(Dequantize(x), Dequantize(w), bias)), with a clamp in it or not."""
    if not isinstance(node.op, Quantize):
        return None
    maker = r.producer(node.inputs[0], (Conv2D, DepthwiseConv2D, Linear))
    goal = target_of(node)
    if maker is None or goal is None or not r.single(maker.outputs[0]):
        return None
    assert isinstance(maker.op, (Conv2D, DepthwiseConv2D, Linear))
    if isinstance(maker.op.epilogue, Requantise):
        return None
    sums = integer_sums(r, maker)
    if sums is None:
        return None
    x, weights = sums.x, sums.weights
    scale, zero, dtype = goal
    low, high = bounds(dtype, maker.op.epilogue, scale, zero)
    parameters = _parameters(sums.scale / scale, sums.offset, zero)
    if parameters is None:
        return None
    mul, add, shift = parameters
    changes = {"epilogue": Requantise(shift, low, high, dtype)}
    if not isinstance(maker.op, Linear):
        changes |= {"pad_value": int(x.zero[0])}  # type: ignore[dict-item]
    op = replace(maker.op, **changes)  # type: ignore[arg-type]
    operands = [
        x.stored, weights, None,
        r.const(f"{node.name}.mul", mul, I32), r.const(f"{node.name}.add", add, _addend(add)),
    ]  # fmt: skip
    return r.add(op, operands, node)


@dataclass(frozen=True)
class Sums:
    """A product in integers: real = scale * (sum of x * weights + offset), scale and offset per output channel."""

    x: Scaled
    weights: Value
    scale: Array  # float64
    offset: Array  # float64, whole numbers; bias and zero point of x


def integer_sums(r: Rewriter, maker: Node) -> Sums | None:
    """The product of a dequantised activation and dequantised weights, where it is exact in integers."""
    x, w = scaled(r, maker.inputs[0]), scaled(r, maker.inputs[1])
    bias = maker.inputs[2] if len(maker.inputs) > 2 else None
    if x is None or w is None or not x.single or x.stored.type.dtype not in SMALL or w.stored.data is None:
        return None
    integers, real = _integer_weights(maker, w), _bias(r, bias)
    if integers is None or (bias is not None and real is None):
        return None
    weights, per_channel = integers
    depthwise = isinstance(maker.op, DepthwiseConv2D)
    matrix = weights.reshape(-1, weights.shape[-1]).T if depthwise else weights.reshape(len(weights), -1)
    scale = float(x.scale[0]) * np.broadcast_to(per_channel, len(matrix))
    offset = np.zeros(len(matrix)) if real is None else np.rint(np.broadcast_to(real, len(matrix)) / scale)
    narrow = I8 if weights.min(initial=0) >= -128 and weights.max(initial=0) <= 127 else I16
    stored = r.const(f"{w.stored.name}.i", weights, narrow)
    return Sums(x, stored, scale, offset - int(x.zero[0]) * matrix.sum(1))


def wide(r: Rewriter, node: Node) -> Results:
    """A product whose result is not quantised: 32-bit sums, dequantised."""
    if not isinstance(node.op, (Conv2D, DepthwiseConv2D, Linear)) or isinstance(node.op.epilogue, Requantise):
        return None
    sums = integer_sums(r, node)
    if sums is None or np.abs(sums.offset).max(initial=0.0) > I32.high:
        return None
    changes: dict[str, object] = {"epilogue": None}
    if not isinstance(node.op, Linear):
        changes |= {"pad_value": int(sums.x.zero[0])}
    b = r.const(f"{node.name}.b", sums.offset.astype(np.int64), I32)
    op = replace(node.op, **changes)  # type: ignore[arg-type]
    (total,) = r.add(op, [sums.x.stored, sums.weights, b], node)
    scale = r.const(f"{node.name}.scale", sums.scale.astype(np.float32))
    zero = r.const(f"{node.name}.zero", np.zeros(len(sums.scale), np.int32))
    (y,) = r.add(Dequantize(-1), [total, scale, zero], node)
    clamp = node.op.epilogue or Clamp()
    if clamp == Clamp(0.0):
        return r.add(Unary("relu"), [y], node)
    for function, bound in (("max", clamp.low), ("min", clamp.high)):
        if math.isfinite(bound):
            (y,) = r.add(Binary(function), [y, r.const(f"{node.name}.bound", np.float32(bound).reshape(1))], node)
    return (y,)


def _integer_weights(maker: Node, w: Scaled) -> tuple[Array, Array] | None:
    """Weights less their zero points, and their scale per output channel (or one)."""
    data = w.stored.data
    assert data is not None
    channel = data.ndim - 1 if isinstance(maker.op, DepthwiseConv2D) else 0
    if not w.single and w.axis % data.ndim != channel:
        return None
    shape = [-1 if a == channel else 1 for a in range(data.ndim)]
    zero = w.zero.reshape(shape) if w.zero.size > 1 else w.zero.reshape(())
    return data.astype(np.int64) - zero, w.scale


def _bias(r: Rewriter, bias: Value | None) -> Array | None:
    """The real values of a constant bias, plain or dequantised."""
    if bias is None:
        return None
    if bias.data is not None:
        return bias.data.astype(np.float64)
    found = scaled(r, bias)
    if found is None or found.stored.data is None:
        return None
    return np.asarray((found.stored.data.astype(np.float64) - found.zero) * found.scale)


def _parameters(factor: Array, offset: Array, zero: int) -> tuple[Array, Array, int] | None:
    """(mul, add, shift) of y = round((acc + offset) * factor) + zero; None where a factor has no fixed point."""
    try:
        mul, shift = multipliers(factor)
    except ValueError:
        return None
    if shift > 55:  # too small to matter in 64 bits with the zero point shifted up
        mul, shift = multipliers(factor, max_shift=55)
    add = offset.astype(np.int64) * mul + (zero << shift) + half(shift)
    same = bool(np.all(mul == mul[0]))
    if same and bool(np.all(add == add[0])):
        return mul[:1], add[:1], shift
    return (mul[:1] if same else mul), add, shift


def _addend(add: Array) -> DType:
    return I32 if add.min() >= I32.low and add.max() <= I32.high else I64


def product(r: Rewriter, node: Node) -> Results:
    """Quantize(MatMul(Dequantize(a), Dequantize(b))) with zero points that are 0."""
    if not isinstance(node.op, Quantize):
        return None
    maker, goal = r.producer(node.inputs[0], MatMul), target_of(node)
    if maker is None or goal is None or not r.single(maker.outputs[0]):
        return None
    assert isinstance(maker.op, MatMul)
    a, b = scaled(r, maker.inputs[0]), scaled(r, maker.inputs[1])
    if a is None or b is None or not a.single or not b.single or maker.op.epilogue is not None:
        return None
    scale, zero, dtype = goal
    operands = []
    for part in (a, b):
        value = part.stored
        if part.zero[0]:
            kind = r.const(f"{value.name}.zero", np.asarray(part.zero[0]), I32)
            value = r.add(Binary("sub", I16), [value, kind], node)[0]
        operands.append(value)
    parameters = _parameters(np.asarray([float(a.scale[0]) * float(b.scale[0]) / scale]), np.zeros(1), zero)
    if parameters is None:
        return None
    mul, add, shift = parameters
    op = replace(maker.op, epilogue=Requantise(shift, dtype.low, dtype.high, dtype))
    consts = [r.const(f"{node.name}.mul", mul, I32), r.const(f"{node.name}.add", add, _addend(add))]
    return r.add(op, [*operands, *consts], node)


def sum_of_two(r: Rewriter, node: Node) -> Results:
    """Quantize(Dequantize(a) + Dequantize(b)), and products, of two activations or with a constant."""
    if not isinstance(node.op, Quantize):
        return None
    clamp, value = _before_clamp(r, node.inputs[0])
    maker, goal = r.producer(value, Binary), target_of(node)
    if (
        maker is None
        or goal is None
        or not isinstance(maker.op, Binary)
        or maker.op.function not in ("add", "sub", "mul")
    ):
        return None
    parts = [scaled(r, v) for v in maker.inputs]
    a, b = parts
    if a is None or b is None or not a.single or not b.single:
        return None
    if a.stored.type.dtype not in SMALL or b.stored.type.dtype not in SMALL:
        return None
    scale, zero, dtype = goal
    low, high = bounds(dtype, clamp, scale, zero)
    if maker.op.function == "add":
        for x, k in ((a, b), (b, a)):
            shifted = _shifted(r, x, k, (scale, zero, dtype, low, high), node)
            if shifted is not None:
                return shifted
    zeros = int(a.zero[0]), int(b.zero[0])
    if maker.op.function == "mul":
        mul, shift = multipliers(np.asarray([float(a.scale[0]) * float(b.scale[0]) / scale]), max_shift=45)
        product_op = QuantizedMul(*zeros, int(mul[0]), (zero << shift) + half(shift), shift, low, high, dtype)
        return r.add(product_op, [a.stored, b.stored], node)
    sign = -1.0 if maker.op.function == "sub" else 1.0
    both, shift = fixed_point(
        np.asarray([float(a.scale[0]) / scale, sign * float(b.scale[0]) / scale]), bits=21, max_shift=40
    )
    add = (zero << shift) + half(shift) - zeros[0] * int(both[0]) - zeros[1] * int(both[1])
    sum_op = QuantizedAdd(int(both[0]), int(both[1]), add, shift, low, high, dtype)
    return r.add(sum_op, [a.stored, b.stored], node)


def _shifted(r: Rewriter, x: Scaled, constant: Scaled, goal: tuple[float, int, DType, int, int], node: Node) -> Results:
    """A sum with a constant that varies along the last axis at most: a requantisation whose addend holds it."""
    stored, y = constant.stored.data, node.outputs[0]
    if stored is None or x.stored.type.shape != y.type.shape or not y.type.rank:
        return None
    last = y.type.static_shape[-1]
    if stored.size != 1 and not (stored.size == last and stored.shape[-1] == last):
        return None
    scale, zero, dtype, low, high = goal
    mul, shift = fixed_point(np.asarray([float(x.scale[0]) / scale]), max_shift=45)
    real = (stored.reshape(-1).astype(np.float64) - constant.zero) * constant.scale / scale + zero
    if np.abs(real).max() > 1 << 16:
        return None
    add = np.rint(np.ldexp(real, shift)).astype(np.int64) + half(shift) - int(x.zero[0]) * int(mul[0])
    consts = [r.const(f"{node.name}.mul", mul, I32), r.const(f"{node.name}.add", add, _addend(add))]
    return r.add(Requant(shift, low, high, -1, dtype), [x.stored, *consts], node)


def _before_clamp(r: Rewriter, value: Value | None) -> tuple[Clamp | None, Value | None]:
    """A relu before a Quantize as a clamp, and what it clamps."""
    node = r.producer(value, Unary)
    if (
        node is not None
        and isinstance(node.op, Unary)
        and node.op.function == "relu"
        and value is not None
        and r.single(value)
    ):
        return Clamp(0.0), node.inputs[0]
    return None, value


def mean(r: Rewriter, node: Node) -> Results:
    """Quantize(mean over windows, or over h and w, of Dequantize(x)): sums by a depthwise convolution with ones."""
    if not isinstance(node.op, Quantize):
        return None
    maker, goal = r.producer(node.inputs[0], (AveragePool2D, Reduce)), target_of(node)
    x = scaled(r, maker.inputs[0]) if maker is not None else None
    if maker is None or goal is None or x is None or not x.single or x.stored.type.dtype not in SMALL:
        return None
    shape = x.stored.type.static_shape
    if isinstance(maker.op, Reduce) and maker.op.function == "mean" and maker.op.axes == _last(maker):
        return _mean_of_last(r, node, x, len(maker.op.axes), goal)
    if len(shape) != 4:
        return None
    _, h, w, c = shape
    if isinstance(maker.op, AveragePool2D):
        pool = maker.op
        if not pool.count_pad or pool.over != (0, 0):
            return None
        kernel, common = pool.kernel, (pool.stride, pool.pad, pool.dilation, int(x.zero[0]))
    elif isinstance(maker.op, Reduce) and maker.op.function == "mean" and maker.op.axes == (1, 2):
        kernel, common = (h, w), ((1, 1), (0, 0, 0, 0), (1, 1), int(x.zero[0]))
    else:
        return None
    scale, zero, dtype = goal
    parameters = _mean_parameters(x, kernel[0] * kernel[1], scale, zero)
    if parameters is None:
        return None
    mul, add, shift = parameters
    op = DepthwiseConv2D(*common, Requantise(shift, dtype.low, dtype.high, dtype))
    ones = r.const(f"{node.name}.ones", np.ones((*kernel, c), np.int8), I8)
    consts = [r.const(f"{node.name}.mul", mul, I32), r.const(f"{node.name}.add", add, _addend(add))]
    return r.add(op, [x.stored, ones, None, *consts], node)


def _last(node: Node) -> tuple[int, ...]:
    """As many of the last axes as a reduction has axes."""
    assert isinstance(node.op, Reduce)
    rank = node.inputs[0].type.rank if node.inputs[0] is not None else 0
    return tuple(range(rank - len(node.op.axes), rank))


def _mean_parameters(x: Scaled, count: int, scale: float, zero: int) -> tuple[Array, Array, int] | None:
    """Requantisation of a sum of `count` stored integers to their mean."""
    return _parameters(np.asarray([float(x.scale[0]) / scale / count]), np.asarray([-float(x.zero[0]) * count]), zero)


def _mean_of_last(r: Rewriter, node: Node, x: Scaled, axes: int, goal: tuple[float, int, DType]) -> Results:
    """The mean over the last axes: a product with a row of ones."""
    scale, zero, dtype = goal
    shape = x.stored.type.static_shape
    lead, count = shape[: len(shape) - axes], math.prod(shape[len(shape) - axes :])
    parameters = _mean_parameters(x, count, scale, zero)
    if parameters is None or not axes:
        return None
    mul, add, shift = parameters
    rows = r.add(Reshape((*lead, count)), [x.stored], node)[0]
    ones = r.const(f"{node.name}.ones", np.ones((1, count), np.int8), I8)
    consts = [r.const(f"{node.name}.mul", mul, I32), r.const(f"{node.name}.add", add, _addend(add))]
    y = r.add(Linear(Requantise(shift, dtype.low, dtype.high, dtype)), [rows, ones, None, *consts], node)[0]
    return r.add(Reshape(node.outputs[0].type.static_shape), [y], node)


def unary_table(r: Rewriter, node: Node) -> Results:
    """Quantize(functions of one element (Dequantize(x))) of 8-bit x: a table of 256, computed by the references."""
    if not isinstance(node.op, Quantize) or target_of(node) is None:
        return None
    chain: list[Node] = []
    value = node.inputs[0]
    while (maker := r.producer(value, (Unary, Binary))) is not None:
        index = _varying(maker)
        if index is None:
            break
        chain.append(maker)
        value = maker.inputs[index]
    x = scaled(r, value)
    if x is None or not x.single or x.stored.type.dtype not in SMALL:
        return None
    stored = x.stored.type.dtype
    codes = np.arange(256).astype(np.uint8).view(stored.numpy)
    reals = ((codes.astype(np.int64) - x.zero[0]).astype(np.float32) * np.float32(x.scale[0])).astype(np.float32)
    for maker in reversed(chain):
        at = _varying(maker)
        reals = np.asarray(maker.op.reference(*(
            reals if i == at else v.data.reshape(()) if v is not None and v.data is not None else None
            for i, v in enumerate(maker.inputs))))  # fmt: skip
    _, scale, zero = node.inputs
    assert scale is not None
    assert zero is not None
    table = Quantize().reference(reals, scale.data, zero.data)
    return r.add(LookUp(), [x.stored, r.const(f"{node.name}.table", table, zero.type.dtype)], node)


def _varying(node: Node) -> int | None:
    """The operand of an elementwise node that is not a constant number, where all others are."""
    if isinstance(node.op, Binary) and node.op.dtype is not None:
        return None
    y = node.outputs[0]
    found = [i for i, v in enumerate(node.inputs) if v is None or v.data is None]
    if len(found) != 1 or any(v is not None and v.data is not None and v.data.size != 1 for v in node.inputs):
        return None
    x = node.inputs[found[0]]
    return found[0] if x is not None and x.type.shape == y.type.shape and y.type.dtype.is_float else None


def moved(r: Rewriter, node: Node) -> Results:
    """Moving or picking what was dequantised with one scale is moving the stored integers."""
    if not isinstance(node.op, MOVES):
        return None
    maker, x = r.producer(node.inputs[0], Dequantize), scaled(r, node.inputs[0])
    if maker is None or x is None or not x.single:
        return None
    if isinstance(node.op, MaxPool2D) and x.stored.type.dtype not in SMALL:
        return None
    y = r.add(node.op, [x.stored, *node.inputs[1:]], node)[0]
    return r.add(Dequantize(), [y, *maker.inputs[1:]], node)


def padded(r: Rewriter, node: Node) -> Results:
    """Zeros around what was dequantised with one scale are its zero point around the stored integers."""
    if not isinstance(node.op, Pad) or node.op.value != 0:
        return None
    maker, x = r.producer(node.inputs[0], Dequantize), scaled(r, node.inputs[0])
    if maker is None or x is None or not x.single or x.stored.type.dtype not in SMALL:
        return None
    y = r.add(replace(node.op, value=int(x.zero[0])), [x.stored], node)[0]
    return r.add(Dequantize(), [y, *maker.inputs[1:]], node)


def joined(r: Rewriter, node: Node) -> Results:
    """Quantize(join of dequantised parts): each part is brought to the scale of the result."""
    if not isinstance(node.op, Quantize):
        return None
    maker, goal = r.producer(node.inputs[0], Concat), target_of(node)
    if maker is None or goal is None:
        return None
    parts = [scaled(r, v) for v in maker.inputs]
    scale, zero, dtype = goal
    values = []
    for part in parts:
        if part is None or not part.single or part.stored.type.dtype not in SMALL:
            return None
        values.append(rescaled(r, part, scale, zero, dtype, node))
    return r.add(maker.op, values, node)


def rescaled(r: Rewriter, x: Scaled, scale: float, zero: int, dtype: DType, node: Node) -> Value:
    """Stored integers at another scale."""
    if (float(x.scale[0]), int(x.zero[0]), x.stored.type.dtype) == (scale, zero, dtype):
        return x.stored
    parameters = _parameters(np.asarray([float(x.scale[0]) / scale]), np.asarray([-float(x.zero[0])]), zero)
    assert parameters is not None
    mul, add, shift = parameters
    op = Requant(shift, dtype.low, dtype.high, -1, dtype)
    consts = [r.const(f"{node.name}.mul", mul, I32), r.const(f"{node.name}.add", add, _addend(add))]
    return r.add(op, [x.stored, *consts], node)[0]


def work_before_reshape(r: Rewriter, node: Node) -> Results:
    """`layout.before_reshape`, but for Dequantize, which `moved` brings the other way, to what reads its result."""
    return None if isinstance(node.op, Dequantize) else before_reshape(r, node)


QUANTISED_RULES = (
    fold_rule, past_dequantize, requantised_twice, joined_bias, joined_clamp, weighted, product, sum_of_two, mean,
    joined, unary_table, moved, padded, work_before_reshape,
)  # fmt: skip


def lower_quantised(graph: Graph, _target: Target) -> Graph:
    """Integer operators for everything between a Dequantize and a Quantize that has one."""
    return rewrite(rewrite(graph, *QUANTISED_RULES), wide)
