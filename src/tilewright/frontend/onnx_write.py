"""Graph -> ONNX file: float networks with Quantize and Dequantize in them, as other tools read them.

Inside, images are channels last; outside, channels first. A transpose inside is therefore no operator outside, but
another order of axes: every value is a tensor of the file and the permutation that gives the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import UserError
from ..ir.graph import Graph, Node
from ..ir.types import Array, TensorType, Value
from ..ops import (
    AveragePool2D,
    Binary,
    Cast,
    Clamp,
    Concat,
    Conv2D,
    Copy,
    DepthwiseConv2D,
    Dequantize,
    Expand,
    Gather,
    LayerNorm,
    Linear,
    MatMul,
    MaxPool2D,
    Pad,
    Quantize,
    Reduce,
    Reshape,
    Select,
    Slice,
    Softmax,
    Transpose,
    Unary,
)  # fmt: skip

OPSET, IR_VERSION = 20, 9
IMAGE = (0, 2, 3, 1)  # a value [n, h, w, c] is the tensor [n, c, h, w] in this order
LAST = (1 << 63) - 1  # beyond any axis
Perm = tuple[int, ...]

UNARY = {
    "neg": "Neg", "abs": "Abs", "sign": "Sign", "relu": "Relu", "not": "Not", "isnan": "IsNaN", "exp": "Exp",
    "log": "Log", "sqrt": "Sqrt", "recip": "Reciprocal", "floor": "Floor", "ceil": "Ceil", "round": "Round",
    "sin": "Sin", "cos": "Cos", "tan": "Tan", "asin": "Asin", "acos": "Acos", "atan": "Atan", "sinh": "Sinh",
    "cosh": "Cosh", "tanh": "Tanh", "asinh": "Asinh", "acosh": "Acosh", "atanh": "Atanh", "erf": "Erf",
    "sigmoid": "Sigmoid", "softplus": "Softplus", "elu": "Elu", "leaky": "LeakyRelu", "hardsigmoid": "HardSigmoid",
    "hardswish": "HardSwish", "gelu": "Gelu", "gelu_tanh": "Gelu",
}  # fmt: skip
BINARY = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "max": "Max", "min": "Min",
    "less": "Less", "greater": "Greater", "equal": "Equal", "and": "And", "or": "Or", "xor": "Xor",
    "prelu": "PRelu",
}  # fmt: skip
REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


def identity(rank: int) -> Perm:
    return tuple(range(rank))


def inverse(perm: Perm) -> Perm:
    return tuple(int(i) for i in np.argsort(perm))


class Writer:
    """The file as far as it is written."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.held: dict[Value, tuple[str, Perm]] = {v: (v.name, identity(v.type.rank)) for v in graph.inputs}
        self.weights: dict[Value, Node] = {}  # dequantised constants, written where they are read
        self.moved: dict[tuple[Value, Perm], str] = {}
        self.names = {v.name for v in graph.values}

    def unique(self, name: str) -> str:
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def constant(self, name: str, data: Array) -> str:
        name = self.unique(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(data).reshape(data.shape), name))
        return name

    def emit(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def arranged(self, value: Value, order: Callable[[Array], Array], axis: int) -> str:
        """A constant, plain or dequantised along one axis, in an order of the file's own; `axis` is that axis there."""
        node = self.weights.get(value)
        if node is None:
            assert value.data is not None
            return self.constant(f"{value.name}.c", order(value.data))
        stored, scale, zero = node.inputs
        assert stored is not None
        assert stored.data is not None
        inputs = [self.constant(stored.name + ".c", order(stored.data)), *self._parameters(scale, zero)]
        return self.emit("DequantizeLinear", inputs, self.unique(f"{value.name}.dq"), axis=axis)

    def _parameters(self, *values: Value | None) -> list[str]:
        """Scale and zero point: a number, or a vector."""
        names = []
        for value in values:
            assert value is not None
            assert value.data is not None
            data = value.data if value.type.size > 1 else value.data.reshape(())
            names.append(self.constant(f"{value.name}.c", data))
        return names

    def get(self, value: Value, perm: Perm) -> str:
        """The tensor that gives the value in this order of axes."""
        if value.data is not None or value in self.weights:
            axis = self._axis(value)
            return self.arranged(value, lambda a: a.transpose(inverse(perm)), perm[axis] if perm else 0)
        name, held = self.held[value]
        if held == perm:
            return name
        if (value, perm) not in self.moved:
            step = [held[i] for i in inverse(perm)]
            self.moved[value, perm] = self.emit("Transpose", [name], self.unique(f"{value.name}.t"), perm=step)
        return self.moved[value, perm]

    def _axis(self, value: Value) -> int:
        op = self.weights[value].op if value in self.weights else None
        return op.axis % max(1, value.type.rank) if isinstance(op, Dequantize) else 0

    def plain(self, value: Value) -> str:
        """The tensor in the value's own order."""
        return self.get(value, identity(value.type.rank))

    def flat(self, value: Value) -> str:
        """A tensor with the value's elements in the value's order, whatever its shape."""
        if value in self.held:
            name, held = self.held[value]
            shape = value.type.static_shape
            long = [p for p, d in zip(held, shape, strict=True) if d != 1]
            if long == sorted(long):
                return name
        return self.plain(value)

    def layout(self, values: list[Value], rank: int) -> Perm:
        """The order of axes in which a node on several values is written: that of the first one with all axes."""
        for value in values:
            if value in self.held and value.type.rank == rank:
                if any(v.data is None and v.type.rank != rank for v in values):
                    break
                return self.held[value][1]
        return identity(rank)

    def widened(self, value: Value, perm: Perm) -> str:
        """`get` for an operand that may have fewer axes: constants get axes of 1 in front."""
        missing = len(perm) - value.type.rank
        if value.data is None or missing == 0:
            return self.get(value, perm if missing == 0 else identity(value.type.rank))
        wide = value.data.reshape((1,) * missing + value.data.shape)
        return self.constant(f"{value.name}.c", wide.transpose(inverse(perm)))

    def keep(self, value: Value, name: str, perm: Perm) -> None:
        self.held[value] = (name, perm)


def write(graph: Graph, path: Path) -> None:
    """Write a graph of floats, with Quantize and Dequantize or without. UserError for operators that ONNX lacks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = model(graph).SerializeToString()
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def model(graph: Graph) -> onnx.ModelProto:
    """The graph as a protobuf that onnx's checker accepts."""
    writer = Writer(graph)
    for node in graph.nodes:
        _node(writer, node)
    for value in graph.outputs:
        writer.emit("Identity", [writer.plain(value)], value.name)
    body = helper.make_graph(
        writer.nodes, graph.name,
        [_port(v.name, v.type) for v in graph.inputs],
        [_port(v.name, v.type) for v in graph.outputs],
        writer.constants,
    )  # fmt: skip
    proto = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tilewright")
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto)
    return proto


def _inner(w: Writer, node: Node) -> str:
    """A name for a node's result: its own, unless the graph's output has it."""
    value = node.outputs[0]
    return w.unique(f"{value.name}.inner") if value in w.graph.outputs else value.name


def _port(name: str, kind: TensorType) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(kind.dtype.numpy), kind.static_shape)


def _node(w: Writer, node: Node) -> None:
    op, y = node.op, node.outputs[0]
    inputs = [v for v in node.inputs if v is not None]
    if isinstance(op, Dequantize) and inputs[0].data is not None:
        w.weights[y] = node
        return
    if isinstance(op, Transpose):
        if inputs[0] in w.held:
            name, held = w.held[inputs[0]]
        else:
            name, held = w.plain(inputs[0]), identity(y.type.rank)
        w.keep(y, name, tuple(held[p] for p in op.perm))
        return
    for kinds, convert in CONVERTERS:
        if isinstance(op, kinds):
            w.keep(y, *convert(w, node, inputs))
            return
    raise UserError(
        f"{type(op).__name__} has no ONNX form here", where=node.name, origin=node.origin,
        rule="the quantised network is written as standard ONNX",
        hint="`tilewright compile --option quant=int8` needs no file in between",
    )  # fmt: skip


Written = tuple[str, Perm]


def _clamped(w: Writer, node: Node, name: str) -> str:
    """What follows a product. The last node has the result's name."""
    clamp = node.op.attributes["epilogue"]
    if clamp is None:
        return name
    if clamp == Clamp(0.0):
        return w.emit("Relu", [name], _inner(w, node))
    bounds = [
        w.constant(f"{node.name}.{label}", np.float32(bound)) if math.isfinite(bound) else ""
        for label, bound in (("low", clamp.low), ("high", clamp.high))
    ]
    return w.emit("Clip", [name, *bounds], _inner(w, node))


def _result(w: Writer, node: Node) -> str:
    """The name of a product before its clamp."""
    return _inner(w, node) if node.op.attributes["epilogue"] is None else w.unique(f"{node.outputs[0].name}.product")


def _window(op: Conv2D | DepthwiseConv2D | MaxPool2D | AveragePool2D, pad: tuple[int, ...]) -> dict[str, object]:
    """Attributes that are not the default: onnxruntime's quantised pooling knows no dilations, not even of 1."""
    spread = {"dilations": list(op.dilation)} if op.dilation != (1, 1) else {}
    return {"strides": list(op.stride), "pads": list(pad), **spread}


def _conv(w: Writer, node: Node, inputs: list[Value]) -> Written:
    op = node.op
    assert isinstance(op, (Conv2D, DepthwiseConv2D))
    filters, groups = inputs[1], 1
    if isinstance(op, DepthwiseConv2D):
        groups = filters.type.static_shape[2]
        weights = w.arranged(filters, lambda a: np.moveaxis(a, -1, 0)[:, None], 0)
    elif filters.data is None and filters not in w.weights:
        weights = w.get(filters, IMAGE)
    else:
        weights = w.arranged(filters, lambda a: a.transpose(0, 3, 1, 2), 0)
    operands = [w.get(inputs[0], IMAGE), weights, *(w.plain(b) for b in inputs[2:])]
    name = w.emit("Conv", operands, _result(w, node), group=groups, **_window(op, op.pad))
    return _clamped(w, node, name), IMAGE


def _linear(w: Writer, node: Node, inputs: list[Value]) -> Written:
    x, rank = inputs[0], inputs[0].type.rank
    bias = [w.plain(b) for b in inputs[2:]]
    if rank == 2:
        weights = w.arranged(inputs[1], lambda a: a, 0)
        name = w.emit("Gemm", [w.plain(x), weights, *bias], _result(w, node), transB=1)
        return _clamped(w, node, name), identity(rank)
    weights = w.arranged(inputs[1], lambda a: a.T, 1)
    name = w.emit("MatMul", [w.plain(x), weights], w.unique(f"{node.name}.sums") if bias else _result(w, node))
    if bias:
        name = w.emit("Add", [name, *bias], _result(w, node))
    return _clamped(w, node, name), identity(rank)


def _matmul(w: Writer, node: Node, inputs: list[Value]) -> Written:
    a, b = inputs
    assert isinstance(node.op, MatMul)
    order = list(identity(b.type.rank))
    if node.op.transpose_b:
        order[-2:] = order[:-3:-1]
    name = w.emit("MatMul", [w.plain(a), w.get(b, tuple(order))], _result(w, node))
    return _clamped(w, node, name), identity(node.outputs[0].type.rank)


def _pool(w: Writer, node: Node, inputs: list[Value]) -> Written:
    op = node.op
    assert isinstance(op, (MaxPool2D, AveragePool2D))
    kind, extra, over = "MaxPool", {}, (0, 0)
    if isinstance(op, AveragePool2D):
        kind, over = "AveragePool", op.over
        extra = {"count_include_pad": int(op.count_pad), "ceil_mode": int(any(over))}
    pad = (*op.pad[:2], op.pad[2] - over[0], op.pad[3] - over[1])
    attributes = {"kernel_shape": list(op.kernel), **extra, **_window(op, pad)}
    return w.emit(kind, [w.get(inputs[0], IMAGE)], _inner(w, node), **attributes), IMAGE


def _scaled(w: Writer, node: Node, inputs: list[Value]) -> Written:
    """Quantize and Dequantize of activations."""
    x, scale, zero = inputs
    assert isinstance(node.op, (Quantize, Dequantize))
    perm = w.layout([x], x.type.rank)
    axis = perm[node.op.axis] if x.type.rank and scale.type.size > 1 else 0
    kind = "QuantizeLinear" if isinstance(node.op, Quantize) else "DequantizeLinear"
    return w.emit(kind, [w.get(x, perm), *w._parameters(scale, zero)], _inner(w, node), axis=axis), perm


def _unary(w: Writer, node: Node, inputs: list[Value]) -> Written:
    assert isinstance(node.op, Unary)
    perm = w.layout(inputs, inputs[0].type.rank)
    x, function = w.get(inputs[0], perm), node.op.function
    if function == "silu":
        gate = w.emit("Sigmoid", [x], w.unique(f"{node.name}.gate"))
        return w.emit("Mul", [x, gate], _inner(w, node)), perm
    if function not in UNARY:
        raise UserError(f"{function} has no ONNX form here", where=node.name, origin=node.origin)
    labels = {"elu": ("alpha",), "leaky": ("alpha",), "hardsigmoid": ("alpha", "beta")}.get(function, ())
    attributes: dict[str, object] = dict(zip(labels, node.op.parameters, strict=False))
    if function.startswith("gelu"):
        attributes["approximate"] = "tanh" if function == "gelu_tanh" else "none"
    return w.emit(UNARY[function], [x], _inner(w, node), **attributes), perm


def _elementwise(w: Writer, node: Node, inputs: list[Value]) -> Written:
    """Binary, Select and Concat: all operands in one order."""
    perm, op = w.layout(inputs, node.outputs[0].type.rank), node.op
    operands = [w.widened(v, perm) for v in inputs]
    if isinstance(op, Concat):
        return w.emit("Concat", operands, _inner(w, node), axis=perm[op.axis]), perm
    if isinstance(op, Select):
        return w.emit("Where", operands, _inner(w, node)), perm
    assert isinstance(op, Binary)
    if op.function not in BINARY or op.dtype is not None:
        raise UserError(f"{op.function} has no ONNX form here", where=node.name, origin=node.origin)
    return w.emit(BINARY[op.function], operands, _inner(w, node)), perm


def _along(w: Writer, node: Node, inputs: list[Value]) -> Written:
    """Softmax and reductions: axes follow the order of the operand."""
    op, perm = node.op, w.layout(inputs, inputs[0].type.rank)
    x = w.get(inputs[0], perm)
    if isinstance(op, Softmax):
        kind = "LogSoftmax" if op.log else "Softmax"
        return w.emit(kind, [x], _inner(w, node), axis=perm[op.axis]), perm
    assert isinstance(op, Reduce)
    if op.function not in REDUCTIONS or op.dtype is not None:
        raise UserError(f"{op.function} has no ONNX form here", where=node.name, origin=node.origin)
    axes = w.constant(f"{node.name}.axes", np.array([perm[a] for a in op.axes], np.int64))
    return w.emit(REDUCTIONS[op.function], [x, axes], _inner(w, node), keepdims=1), perm


def _moved(w: Writer, node: Node, inputs: list[Value]) -> Written:
    """Reshape, Slice, Pad, Expand, Gather, Cast, Copy, LayerNorm: in the value's own order."""
    op, perm = node.op, identity(node.outputs[0].type.rank)

    def numbers(label: str, values: tuple[int, ...]) -> str:
        return w.constant(f"{node.name}.{label}", np.array(values, np.int64))

    match op:
        case Reshape():
            return w.emit("Reshape", [w.flat(inputs[0]), numbers("shape", op.shape)], _inner(w, node)), perm
        case Slice():
            ends = tuple(
                e if (e := s + n * d) >= 0 else -LAST for s, n, d in zip(op.start, op.shape, op.step, strict=True)
            )
            operands = [
                numbers("start", op.start),
                numbers("end", ends),
                numbers("axes", perm),
                numbers("step", op.step),
            ]
            return w.emit("Slice", [w.plain(inputs[0]), *operands], _inner(w, node)), perm
        case Pad():
            value = w.constant(f"{node.name}.value", np.asarray(op.value, inputs[0].type.dtype.numpy))
            operands = [w.plain(inputs[0]), numbers("pads", (*op.before, *op.after)), value]
            return w.emit("Pad", operands, _inner(w, node)), perm
        case Expand():
            return w.emit("Expand", [w.plain(inputs[0]), numbers("shape", op.shape)], _inner(w, node)), perm
        case Gather():
            return w.emit("Gather", [w.plain(v) for v in inputs], _inner(w, node), axis=op.axis), perm
        case Cast():
            to = helper.np_dtype_to_tensor_dtype(op.dtype.numpy)
            return w.emit("Cast", [w.plain(inputs[0])], _inner(w, node), to=to), perm
        case LayerNorm():
            operands = [w.plain(v) for v in inputs]
            return w.emit("LayerNormalization", operands, _inner(w, node), axis=-1, epsilon=op.eps), perm
        case _:
            return w.emit("Identity", [w.plain(inputs[0])], _inner(w, node)), perm


CONVERTERS: tuple[tuple[tuple[type, ...], Callable[[Writer, Node, list[Value]], Written]], ...] = (
    ((Conv2D, DepthwiseConv2D), _conv), ((Linear,), _linear), ((MatMul,), _matmul),
    ((MaxPool2D, AveragePool2D), _pool), ((Quantize, Dequantize), _scaled), ((Unary,), _unary),
    ((Binary, Select, Concat), _elementwise), ((Softmax, Reduce), _along),
    ((Reshape, Slice, Pad, Expand, Gather, Cast, Copy, LayerNorm), _moved),
)  # fmt: skip
