"""Passes keep what a graph computes, and do what they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tilewright.frontend.onnx import import_model
from tilewright.frontend.onnx_model import parse_model
from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, I8, I32, Array, TensorType, const
from tilewright.ir.verify import verify
from tilewright.ops import (
    Binary,
    Concat,
    Conv2D,
    Dequantize,
    Gather,
    Linear,
    Requant,
    Reshape,
    Softmax,
    Transpose,
    Unary,
)
from tilewright.options import Options
from tilewright.passes.fuse import fuse
from tilewright.passes.layout import layout
from tilewright.passes.names import names_apart
from tilewright.passes.pipeline import apply
from tilewright.passes.recognise import recognise
from tilewright.passes.tidy import outputs, tidy
from tilewright.targets.registry import find

HOST = find("host", Options())


def same(before: Graph, after: Graph, seed: int = 0, exact: bool = False) -> None:
    verify(after)
    rng = np.random.default_rng(seed)
    inputs = {}
    for value in before.inputs:
        shape, kind = value.type.static_shape, value.type.dtype
        array = rng.normal(0, 1, shape) if kind.is_float else rng.integers(-128, 128, shape)
        inputs[value.name] = array.astype(kind.numpy)
    want, got = run(before, inputs), run(after, inputs)
    assert list(want) == list(got), "outputs keep their names and order"
    for name, array in want.items():
        if exact:
            np.testing.assert_array_equal(got[name], array)
        else:
            np.testing.assert_allclose(got[name], array, rtol=1e-5, atol=1e-5)


def ops(graph: Graph) -> list[str]:
    return [type(n.op).__name__ for n in graph.nodes]


def onnx_graph(nodes: list[Any], shape: list[int], constants: dict[str, Array], result: str = "y") -> Graph:
    inits = [onnx.numpy_helper.from_array(a, n) for n, a in constants.items()]
    body = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)], inits,
    )  # fmt: skip
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)])
    return import_model(parse_model(model.SerializeToString(), "net.onnx"))


def n(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], **attributes)


f = np.float32
UNITS: dict[str, tuple[str, list[Any], dict[str, Array]]] = {
    "softmax": ("Softmax", [
        n("ReduceMax", "x", "m", axes=[-1]), n("Sub", "x m", "d"), n("Exp", "d", "e"),
        n("ReduceSum", "e axes", "s", keepdims=1), n("Div", "e s", "y"),
    ], {"axes": np.array([-1])}),
    "gelu": ("Unary", [
        n("Div", "x root", "a"), n("Erf", "a", "b"), n("Add", "b one", "c"), n("Mul", "x c", "d"),
        n("Mul", "d half", "y"),
    ], {"root": f(np.sqrt(2)), "one": f(1), "half": f(0.5)}),
    "gelu, factors first": ("Unary", [
        n("Mul", "x half", "h"), n("Mul", "x root", "a"), n("Erf", "a", "b"), n("Add", "one b", "c"),
        n("Mul", "h c", "y"),
    ], {"root": f(1 / np.sqrt(2)), "one": f(1), "half": f(0.5)}),
    "gelu by tanh": ("Unary", [
        n("Pow", "x three", "p"), n("Mul", "p k", "q"), n("Add", "x q", "r"), n("Mul", "r root", "t"),
        n("Tanh", "t", "u"),
        n("Add", "u one", "v"), n("Mul", "x v", "w"), n("Mul", "w half", "y"),
    ], {"three": f(3), "k": f(0.044715), "root": f(np.sqrt(2 / np.pi)), "one": f(1), "half": f(0.5)}),
    "silu": ("Unary", [n("Sigmoid", "x", "s"), n("Mul", "s x", "y")], {}),
    "layer norm": ("LayerNorm", [
        n("ReduceMean", "x", "m", axes=[-1]), n("Sub", "x m", "d"), n("Pow", "d two", "q"),
        n("ReduceMean", "q", "v", axes=[-1]), n("Add", "v eps", "e"),
        n("Sqrt", "e", "r"), n("Div", "d r", "z"), n("Mul", "z w", "a"), n("Add", "a b", "y"),
    ], {"two": f(2), "eps": f(1e-5), "w": np.linspace(1, 2, 6, dtype=f), "b": np.linspace(0, 1, 6, dtype=f)}),
    "RMS norm": ("RMSNorm", [
        n("Mul", "x x", "q"), n("ReduceMean", "q", "v", axes=[-1]), n("Add", "v eps", "e"), n("Sqrt", "e", "r"),
        n("Reciprocal", "r", "i"), n("Mul", "x i", "z"), n("Mul", "w z", "y"),
    ], {"eps": f(1e-6), "w": np.linspace(1, 2, 6, dtype=f)}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNITS)
def test_units_are_recognised(name: str) -> None:
    unit, nodes, constants = UNITS[name]
    before = onnx_graph(nodes, [2, 3, 6], {k: np.asarray(v) for k, v in constants.items()})
    after = recognise(before, HOST)
    assert ops(after) == [unit]
    same(before, after)


ALMOST = [(name, operand) for name in UNITS for operand in ("x", "root", "k", "one", "half")
          if operand == "x" or operand in UNITS[name][2]]  # fmt: skip


@pytest.mark.parametrize(("name", "operand"), ALMOST)
def test_units_that_are_almost_right_stay_as_they_are(name: str, operand: str) -> None:
    """One use of x replaced by its exponential, or one constant off: not that unit, and still the same values."""
    unit, nodes, constants = UNITS[name]
    changed = {k: np.asarray(v) for k, v in constants.items()}
    if operand == "x":
        uses = [(i, j) for i, node in enumerate(nodes) for j, name_ in enumerate(node.input) if name_ == "x"]
        i, j = uses[-1]
        inputs = list(nodes[i].input)
        inputs[j] = "other"
        attributes = {a.name: helper.get_attribute_value(a) for a in nodes[i].attribute}
        replaced = helper.make_node(nodes[i].op_type, inputs, list(nodes[i].output), **attributes)
        nodes = [n("Exp", "x", "other"), *nodes[:i], replaced, *nodes[i + 1 :]]
    else:
        changed[operand] = changed[operand] * f(1.5)
    before = onnx_graph(nodes, [2, 3, 6], changed)
    after = recognise(before, HOST)
    assert ops(after) != [unit]
    same(before, after)


@st.composite
def image_graphs(draw: Any) -> Graph:
    """Convolutions wrapped in transposes, with elementwise operators, joins and sums between."""
    b, rng = Builder("g"), np.random.default_rng(draw(st.integers(0, 1 << 30)))
    c = draw(st.integers(2, 4))
    values = [b.input("x", TensorType((1, c, 5, 6), F32))]
    for _ in range(draw(st.integers(2, 7))):
        x = draw(st.sampled_from(values))
        channels = x.type.static_shape[1]
        match draw(st.sampled_from(["conv", "relu", "add", "bias", "concat", "softmax", "gather"])):
            case "conv":
                w = const(b.unique("w"), rng.normal(0, 0.3, (c, 3, 3, channels)).astype(f))
                inner = b(Conv2D(pad=(1, 1, 1, 1)), b(Transpose((0, 2, 3, 1)), x), w)
                values.append(b(Transpose((0, 3, 1, 2)), inner))
            case "relu":
                values.append(b(Unary("relu"), x))
            case "add":
                others = [v for v in values if v.type.shape == x.type.shape]
                values.append(b(Binary("add"), x, draw(st.sampled_from(others))))
            case "bias":
                k = const(b.unique("k"), rng.normal(0, 1, (channels, 1, 1)).astype(f))
                values.append(b(Binary(draw(st.sampled_from(["add", "mul"]))), x, k))
            case "concat":
                values.append(b(Concat(1), x, x))
            case "gather":
                axis = draw(st.integers(1, 3))
                size = x.type.static_shape[axis]
                values.append(
                    b(Gather(axis), x, const(b.unique("i"), rng.integers(-size, size, size).astype(np.int32)))
                )
            case "softmax":
                values.append(b(Softmax(draw(st.integers(0, 3))), x))
    last = values[-1]
    if last is values[0]:
        last = b(Unary("relu"), last)
    return b.finish((b(Unary("neg"), last, name="y"),))


@settings(max_examples=60, deadline=None)
@given(image_graphs())
def test_layout_and_all_passes_keep_the_values(graph: Graph) -> None:
    same(graph, layout(graph, HOST))
    same(graph, apply(graph, HOST))


def test_transposes_between_convolutions_vanish() -> None:
    b = Builder("g")
    x = b.input("x", TensorType((1, 3, 8, 8), F32))
    for i in range(3):
        w = const(f"w{i}", np.full((4, 3, 3, x.type.static_shape[1]), 0.1, f))
        x = b(Transpose((0, 3, 1, 2)), b(Conv2D(), b(Transpose((0, 2, 3, 1)), x), w))
        x = b(Unary("relu"), b(Binary("add"), x, const(f"b{i}", np.ones((4, 1, 1), f))))
    flat = b(Reshape((1, 16)), x)
    graph = b.finish((b(Linear(), flat, const("w", np.arange(32, dtype=f).reshape(2, 16)), name="y"),))
    after = apply(graph, HOST)
    assert ops(after) == ["Transpose", "Conv2D", "Conv2D", "Conv2D", "Reshape", "Linear"]
    same(graph, after)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_requantisation_joins_the_sums_exactly(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    b = Builder("g")
    x = b.input("x", TensorType((4, 9), I8))
    w = const("w", rng.integers(-128, 128, (5, 9)).astype(np.int8))
    y = b(Linear(), x, w)
    if data.draw(st.booleans()):
        y = b(Binary("add", I32), const("b", rng.integers(-9000, 9000, 5).astype(np.int32)), y)
    per = data.draw(st.sampled_from([1, 5]))
    mul = const("mul", rng.integers(-3000, 3000, per).astype(np.int32))
    add = const("add", rng.integers(-(1 << 24), 1 << 24, per).astype(np.int32))
    low, high, kind = data.draw(st.sampled_from([(-128, 127, I8), (0, 100, I8)]))
    graph = b.finish((b(Requant(data.draw(st.integers(8, 20)), low, high, -1, kind), y, mul, add, name="y"),))
    after = fuse(graph, HOST)
    assert ops(after) == ["Linear"]
    same(graph, after, exact=True)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_the_bias_of_sums_that_become_reals_goes_into_their_zero(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 30)))
    n, k, m = (data.draw(st.integers(1, 6)) for _ in range(3))
    reach = data.draw(st.sampled_from([100, 1 << 24, (1 << 31) - 1]))
    b = Builder("g")
    w = const("w", rng.integers(-128, 128, (m, k)).astype(np.int8))
    bias, zero = (const(name, rng.integers(-reach, reach + 1, m).astype(np.int32)) for name in ("b", "zero"))
    sums = b(Linear(), b.input("x", TensorType((n, k), I8)), w, bias)
    graph = b.finish((b(Dequantize(), sums, const("scale", rng.random(m).astype(np.float32)), zero, name="y"),))
    after = fuse(graph, HOST)
    assert reach > 1 << 30 or len(after.nodes[0].inputs) == 2
    same(graph, after, exact=True)


@settings(max_examples=200, deadline=None)
@given(st.integers(65000, 66000))
def test_a_requantisation_goes_only_where_it_is_the_identity(mul: int) -> None:
    """At div 65536: for 65281 <= mul <= 65794, found by trying every value."""
    b = Builder("g")
    x = b(Unary("neg"), b.input("x", TensorType((256,), I8)))
    node = b(
        Requant(16, -128, 127, -1, I8),
        x,
        const("m", np.array([mul], np.int32)),
        const("a", np.array([32768], np.int32)),
    )
    graph = b.finish((b(Unary("neg"), node, name="y"),))
    everywhere = all(min(127, max(-128, (v * mul + 32768) // 65536)) == v for v in range(-128, 128))
    assert everywhere == (65281 <= mul <= 65794)
    assert (ops(tidy(graph, HOST)) == ["Unary", "Unary"]) == (65281 <= mul <= 65794)


def test_outputs_have_bytes_of_their_own() -> None:
    b = Builder("g")
    x = b.input("x", TensorType((2, 3), F32))
    y = b(Unary("relu"), x, name="y")
    graph = b.finish((x, y, b(Reshape((6,)), y, name="flat"), y))
    after = outputs(graph, HOST)
    assert ops(after).count("Copy") == 3
    makers: dict[Any, Callable[..., Any]] = {v: node for node in after.nodes for v in node.outputs}  # type: ignore[misc]
    assert len(set(after.outputs)) == 4
    assert all(v in makers for v in after.outputs)
    rng = np.random.default_rng(0).normal(0, 1, (2, 3)).astype(f)
    got = list(run(after, {"x": rng}).values())
    for array, want in zip(
        got, (rng, np.maximum(rng, 0), np.maximum(rng, 0).reshape(6), np.maximum(rng, 0)), strict=True
    ):
        np.testing.assert_array_equal(array, want)


def test_no_value_is_called_as_a_buffer_of_a_node() -> None:
    """Names come from models: nodes give way, values keep theirs."""
    b = Builder("g")
    x = b.input("y.scratch", TensorType((4, 8), F32))
    middle = b(Unary("neg"), x, name="z.x")
    graph = b.finish((b(Softmax(1), b(Unary("abs"), middle, name="z"), name="y"),))
    after = names_apart(graph, HOST)
    assert [node.name for node in after.nodes] == ["z.x", "z_", "y_"]
    assert [v.name for node in after.nodes for v in node.outputs] == ["z.x", "z", "y"]
    same(graph, after)
    assert names_apart(after, HOST) is after
