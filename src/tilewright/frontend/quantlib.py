"""Networks in the QuantLib integer dialect -> Graph: ONNX files whose float tensors hold integers.

Every value gets the narrowest element type that its operator can give: i8 and u8 for requantised activations and
weights, i32 for sums. Files without a trace of the dialect are ordinary ONNX and are read as such.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..ir.graph import Graph
from ..ir.types import I8, I16, I32, I64, U8, U16, Array, DType, TensorType, Value
from ..ops import (
    Binary,
    Cast,
    IntegerAffine,
    IntegerDivide,
    IntegerGELU,
    IntegerHardswish,
    IntegerLayerNorm,
    IntegerRMSNorm,
    IntegerSoftmax,
    Linear,
    MatMul,
    Reduce,
    Requant,
    ShiftSoftmax,
    Softmax,
    Unary,
)  # fmt: skip
from ..quant.requant import half
from .onnx import CONVERTERS, build, import_model, network_inputs
from .onnx_import import LARGEST, Converter, Importer, OnnxNode, Results
from .onnx_model import Model, input_type, read_model
from .onnx_nn import is_weight
from .onnx_shape import joined, reshaped, transposed

VECTORS = "inputs.npz"  # beside a network: tells whether its inputs are signed
MARKS = frozenset({
    "RequantShift", "iSoftmax", "iRMSNorm", "iLayerNorm", "iGELU", "iHardswish", "iNoNorm", "ITAMax", "ITAPartialMax",
    "TrueIntegerDiv", "IntegerDiv", "IntegerMean", "RequantizedConv", "RequantizedGemm",
})  # fmt: skip


def load_quantlib(path: Path, *, batch: int = 1) -> Graph:
    """The network in a folder (network.onnx) or file as a graph."""
    file = path / "network.onnx" if path.is_dir() else path
    model = read_model(file)
    samples = _samples(file.parent / VECTORS)
    if not is_dialect(model, samples):
        return _load_float(model, batch)
    types = {}
    for index, proto in enumerate(network_inputs(model.proto.graph)):
        sample = samples.get(proto.name, list(samples.values())[index] if index < len(samples) else None)
        types[str(proto.name)] = TensorType(input_type(proto, batch).shape, stored_type(sample))
    return build(IntegerImporter(model.name, {**CONVERTERS, **INTEGER}), model, types, batch)


def _load_float(model: Model, batch: int) -> Graph:
    """Float networks; those that went through QuantLib leave out the axis of softmax, which is the last one."""
    if "PACTOps" not in model.opsets:
        return import_model(model, batch=batch)
    types = {str(i.name): input_type(i, batch) for i in network_inputs(model.proto.graph)}
    return build(Importer(model.name, {**CONVERTERS, "Softmax": _softmax}), model, types, batch)


def _softmax(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    return g.emit(Softmax(n.axis(-1, x.type.rank)), x)


def is_dialect(model: Model, samples: Mapping[str, Array]) -> bool:
    """Whether the network computes on integers: it has an operator of the dialect, or nothing but whole numbers."""
    nodes = model.proto.graph.node
    if any(node.op_type in MARKS for node in nodes):
        return True
    floats = [a for a in samples.values() if a.dtype.kind == "f"]
    whole = bool(samples) and all(a.size > 1 and np.array_equal(a, np.rint(a)) for a in floats)
    return whole and not any(node.op_type in ("Div", "Exp", "Softmax", "Sqrt", "Mul", "Cast") for node in nodes)


def _samples(path: Path) -> dict[str, Array]:
    """Arrays of an npz, none where there is no file; UserError for a damaged one."""
    if not path.is_file():
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        with np.load(path, allow_pickle=False) as arrays:
            names = arrays.files if size <= LARGEST >> 1 else []
            return {name: np.asarray(arrays[name]) for name in names}
    except Exception:
        raise UserError(
            f"cannot read {path.name}", rule="inputs are an npz of plain arrays", hint="write it again"
        ) from None


def stored_type(sample: Array | None) -> DType:
    """The element type that holds an input: i8 unless the sample says otherwise."""
    if sample is None or sample.size == 0:
        return I8
    low, high = int(np.min(sample)), int(np.max(sample))
    for kind in (I8, U8, I16, I32):
        if kind.low <= low and high <= kind.high:
            return kind
    return I64


def narrow(low: int, high: int) -> DType:
    """The smallest type for a range: i8, u8, i16, u16, i32 or i64."""
    return next(k for k in (I8, U8, I16, U16, I32, I64) if k.low <= low and high <= k.high)


class IntegerImporter(Importer):
    """Reads stored floats as the integers that they hold."""

    def stored(self, array: Array, name: str = "") -> Value:
        if array.dtype.kind != "f":
            return self.const(array, name=name)
        whole = np.rint(array.astype(np.float64))
        if not np.isfinite(whole).all() or np.abs(whole).max(initial=0) >= 2.0**62:
            raise UserError(
                f"constant {name or self.label} is not of integers", rule="the dialect computes on integers"
            )
        kind = narrow(int(whole.min(initial=0)), int(whole.max(initial=0)))
        return self.const(whole.astype(kind.numpy), kind, name)


def _as(g: Importer, value: Value, dtype: DType) -> Value:
    if value.type.dtype == dtype:
        return value
    if value.data is not None:
        return g.const(value.data.astype(dtype.numpy), dtype)
    return g.emit(Cast(dtype), value)


def _common(g: Importer, values: list[Value]) -> list[Value]:
    """The values in one element type that holds them all."""
    kinds = [v.type.dtype for v in values]
    if len(set(kinds)) <= 1:
        return values
    wide = narrow(min(k.low for k in kinds), max(k.high for k in kinds))
    return [_as(g, v, wide) for v in values]


def _weight(g: Importer, value: Value) -> Value:
    """A weight in a signed type, as kernels read it."""
    kinds = {U8: I16, U16: I32}
    return _as(g, value, kinds.get(value.type.dtype, value.type.dtype))


def requant_shift(g: Importer, n: OnnxNode) -> Results:
    """clip((x mul + add + div / 2) >> log2 div); per channel along axis 1, or as numpy broadcasts."""
    x, mul, add = n.input(0), n.input(1), n.input(2)
    shift = power_of_two(n, "div")
    levels = n.integer("n_levels_out") if "n_levels_out" in n.attributes else n.integer("n_levels", 256)
    signed = bool(n.integer("signed", 1))
    if not 1 <= levels <= 1 << 32:
        raise n.refuse(f"{levels} levels", "there are 2 to 2^32 levels")
    low, high = (-(levels // 2), levels // 2 - 1) if signed else (0, levels - 1)
    axis = max(_requant_axis(n, x, mul), _requant_axis(n, x, add), key=lambda a: a is not None and a)
    dtype = narrow(low, high)
    if dtype.bits > 32 or x.type.dtype.bits > 32:
        raise n.refuse(f"{levels} levels of {x.type.dtype}", "requantisation is of up to 32 bits")
    op = Requant(shift, low, high, -1 if axis is None else axis - x.type.rank, dtype)
    return g.emit(op, x, _as(g, _flat(g, mul), I32), _rounded(g, _flat(g, add), shift))


def _flat(g: Importer, value: Value) -> Value:
    return reshaped(g, value, (value.type.size,))


def _rounded(g: Importer, add: Value, shift: int) -> Value:
    """The addend with the rounding folded in: i32 where it fits."""
    if add.data is None:
        return g.emit(Binary("add", I64), add, g.const(np.asarray([half(shift)], np.int64), I64))
    total = add.data.astype(np.int64) + half(shift)
    fits = total.size == 0 or (total.min() >= I32.low and total.max() <= I32.high)
    return g.const(total, I32 if fits else I64)


def _requant_axis(n: OnnxNode, x: Value, parameter: Value) -> int | None:
    """The axis of x that a parameter runs along; None for a single one."""
    shape, size = parameter.type.static_shape, parameter.type.size
    if size == 1:
        return None
    extents = x.type.static_shape
    if len(shape) == 3 and shape[1:] == (1, 1) and len(extents) in (3, 4) and extents[1] == shape[0]:
        return 1
    long = [len(extents) - len(shape) + a for a, d in enumerate(shape) if d > 1]
    if len(long) != 1 or long[0] < 0 or extents[long[0]] != size:
        raise n.refuse(
            f"parameters of shape {list(shape)} for {list(extents)}", "one parameter, or one per index of an axis"
        )
    return long[0]


def power_of_two(n: OnnxNode, name: str) -> int:
    """log2 of an attribute."""
    value = n.integer(name, 1)
    if value < 1 or value & (value - 1):
        raise n.refuse(f"{name} is {value}", f"{name} is a power of two")
    return value.bit_length() - 1


def arithmetic(function: str) -> Converter:
    """Any number of integers, in i32."""

    def convert(g: Importer, n: OnnxNode) -> Results:
        y = n.input(0)
        for i in range(1, len(n.inputs)):
            a, b = (v if v.type.dtype.bits <= 32 else _as(g, v, I32) for v in (y, n.input(i)))
            y = g.emit(Binary(function, I32), a, b)
        return y

    return convert


def matmul(g: Importer, n: OnnxNode) -> Results:
    return _product(g, n.input(0), n.input(1))


def _product(g: Importer, a: Value, b: Value) -> Value:
    if b.type.rank == 2 and is_weight(g, b):
        return g.emit(Linear(), a, _weight(g, transposed(g, b, (1, 0))))
    return g.emit(MatMul(), a, b)


def gemm(g: Importer, n: OnnxNode) -> Results:
    """Alpha op(a) op(b) + beta c with whole alpha and beta."""
    a, b, c = n.input(0), n.input(1), n.optional(2)
    alpha, beta = n.real("alpha", 1.0), n.real("beta", 1.0)
    if alpha != int(alpha) or beta != int(beta):
        raise n.refuse(f"alpha {alpha}, beta {beta}", "factors are integers")
    if a.type.rank < 2 or b.type.rank < 2:
        raise n.refuse(f"Gemm of {a.type} and {b.type}", "both operands are matrices")

    def turned(value: Value, name: str) -> Value:
        rank = value.type.rank
        flip = [*range(rank - 2), rank - 1, rank - 2]
        return transposed(g, value, flip) if n.integer(name) else value

    y = _product(g, turned(a, "transA"), turned(b, "transB"))
    if alpha != 1.0:
        y = g.emit(Binary("mul", I32), y, g.const(np.asarray(int(alpha), np.int32)))
    if c is None:
        return y
    if beta != 1.0:
        c = g.emit(Binary("mul", I32), c, g.const(np.asarray(int(beta), np.int32)))
    return g.emit(Binary("add", I32), y, c)


def conv(g: Importer, n: OnnxNode) -> Results:
    n.inputs[1] = _weight(g, n.input(1))
    if n.optional(2) is not None:
        n.inputs[2] = _as(g, _flat(g, n.input(2)), I32)
    return CONVERTERS["Conv"](g, n)


def relu(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    return g.emit(Unary("relu"), x) if x.type.dtype.is_signed else x


def concat(g: Importer, n: OnnxNode) -> Results:
    parts = _common(g, [n.input(i) for i in range(len(n.inputs))])
    return joined(g, parts, n.axis(0, parts[0].type.rank))


def true_integer_div(g: Importer, n: OnnxNode) -> Results:
    """X * floor(delta eta / (y eta + eps))."""
    delta, eta, eps, y = (n.integer(k) for k in ("Delta", "eta", "eps", "y"))
    if y * eta + eps == 0:
        raise n.refuse("a division by zero", "y eta + eps is not 0")
    factor = math.floor(delta * eta / (y * eta + eps))
    return g.emit(Binary("mul", I32), n.input(0), g.const(np.asarray(factor, np.int32)))


def integer_div(g: Importer, n: OnnxNode) -> Results:
    op = IntegerDivide(n.integer("Delta", 1), n.integer("eta", 1), n.integer("eps", 1))
    return g.emit(op, n.input(0), n.input(1))


def integer_softmax(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    axis = n.axis(-1, x.type.rank)
    a, b, c, log2 = (n.integer(k) for k in ("coeffA", "coeffB", "coeffC", "log2"))
    return _last(g, x, axis, lambda v: g.emit(IntegerSoftmax(a, b, c, log2, n.integer("n_levels", 256)), v))


def _last(g: Importer, x: Value, axis: int, apply: object) -> Value:
    """Apply a function of the last axis along another one."""
    assert callable(apply)
    perm = [a for a in range(x.type.rank) if a != axis] + [axis]
    y = apply(transposed(g, x, perm))
    assert isinstance(y, Value)
    return transposed(g, y, [perm.index(a) for a in range(x.type.rank)])


def shift_softmax(g: Importer, n: OnnxNode) -> Results:
    group = n.integer("group_width") if n.op_type == "ITAPartialMax" else 0
    return g.emit(ShiftSoftmax(n.integer("n_levels", 256), group), n.input(0))


def rms_norm(g: Importer, n: OnnxNode) -> Results:
    x = n.input(0)
    if n.integer("stash_type", 1) != 1 or n.axis(-1, x.type.rank) != x.type.rank - 1:
        raise n.refuse("another axis or stash_type", "iRMSNorm is over the last axis")
    return g.emit(IntegerRMSNorm(power_of_two(n, "D")), _as(g, x, I8), _as(g, _flat(g, n.input(1)), I32))


def layer_norm(g: Importer, n: OnnxNode) -> Results:
    w, b = (_as(g, _flat(g, n.input(i)), I32) for i in (1, 2))
    return g.emit(IntegerLayerNorm(power_of_two(n, "D")), _as(g, n.input(0), I8), w, b)


def no_norm(g: Importer, n: OnnxNode) -> Results:
    """The result is i8 where the constants prove that it fits, i32 otherwise."""
    x, w, b = n.input(0), n.input(1), n.input(2)
    mul, shift, dtype = n.integer("mul", 1), power_of_two(n, "D"), I32
    if w.data is not None and b.data is not None:
        ends = [(w.data.astype(np.int64) * v + b.data) * mul >> shift for v in (x.type.dtype.low, x.type.dtype.high)]
        if min(int(e.min()) for e in ends) >= I8.low and max(int(e.max()) for e in ends) <= I8.high:
            dtype = I8
    return g.emit(IntegerAffine(mul, shift, dtype), x, _as(g, w, I32), _as(g, b, I32))


def gelu(g: Importer, n: OnnxNode) -> Results:
    return g.emit(IntegerGELU(n.integer("b"), n.integer("one")), n.input(0))


def hardswish(g: Importer, n: OnnxNode) -> Results:
    return g.emit(IntegerHardswish(*(n.integer(k) for k in ("one_over_six", "three", "six"))), n.input(0))


def reduction(function: str) -> Converter:
    def convert(g: Importer, n: OnnxNode) -> Results:
        x = n.input(0)
        shape = x.type.static_shape
        given = (
            n.known_integers(1, "axes") if n.optional(1) is not None else n.integers("axes", tuple(range(len(shape))))
        )
        axes = tuple(sorted({n.inside(a, len(shape)) for a in given}))
        y = g.emit(Reduce(function, axes, I32 if function == "sum" else None), x)
        return y if n.integer("keepdims", 1) else reshaped(g, y, [d for a, d in enumerate(shape) if a not in axes])

    return convert


INTEGER: dict[str, Converter] = {
    "RequantShift": requant_shift, "ai.onnx.contrib.RequantShift": requant_shift, "PACTOps.RequantShift": requant_shift,
    "Add": arithmetic("add"), "Sub": arithmetic("sub"), "Mul": arithmetic("mul"), "MatMul": matmul,
    "MatMulInteger": matmul, "Gemm": gemm, "Conv": conv, "Relu": relu, "Concat": concat,
    "TrueIntegerDiv": true_integer_div, "IntegerDiv": integer_div, "iSoftmax": integer_softmax,
    "ITAMax": shift_softmax, "ITAPartialMax": shift_softmax, "iRMSNorm": rms_norm, "iLayerNorm": layer_norm,
    "iNoNorm": no_norm, "iGELU": gelu, "iHardswish": hardswish, "IntegerMean": reduction("mean"),
    "ReduceMean": reduction("mean"), "ReduceSum": reduction("sum"),
}  # fmt: skip
"""Converters of the dialect, by name; the rest is ONNX."""
