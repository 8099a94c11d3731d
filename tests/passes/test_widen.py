"""Weights of 4 bits on a target that has no kernels for them: int8 of the same values, and the same results."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, I4, I8, I16, I32, U8, TensorType, Value, const
from tilewright.ops import Linear, LinearAdd, Requantise, WeightOnlyLinear
from tilewright.options import Options
from tilewright.passes.widen import widen
from tilewright.targets.registry import find

HOST, CHIP = find("host", Options()), find("siracusa", Options())


def network(kind: str) -> Graph:
    """Two products with the same matrix."""
    b, rng = Builder("run"), np.random.default_rng(3)
    w = const("w", rng.integers(-8, 8, (64, 64), np.int8), I4)
    if kind == "weight only":
        x = b.input("x", TensorType((1, 64), F32))
        scale, step = const("scale", np.ones(64, np.float32)), const("step", np.ones((64, 4), np.uint8))
        return b.finish((b(WeightOnlyLinear(16), x, w, scale, step),))
    x, mul = b.input("x", TensorType((1, 64), I8)), const("mul", rng.integers(1, 200, 64), U8)
    if kind == "add":
        r = b.input("r", TensorType((1, 64), I16))
        return b.finish((b(LinearAdd(9), x, w, r, mul), b(LinearAdd(8), x, w, r, mul)))
    half = const("half", np.array([256]), I32)
    cuts = Requantise(9, -128, 127, I8), Requantise(9, I16.low, I16.high, I16)
    return b.finish(tuple(b(Linear(cut), x, w, None, mul, half) for cut in cuts))


def weights(graph: Graph) -> list[Value]:
    return [node.operands["w"] for node in graph.nodes]


@pytest.mark.parametrize("kind", ["product", "add"])
def test_the_chip_reads_them_as_bytes(kind: str) -> None:
    graph = network(kind)
    wide = widen(graph, CHIP)
    first, second = weights(wide)
    assert first is second
    assert first.type.dtype is I8
    np.testing.assert_array_equal(first.data, weights(graph)[0].data)
    rng = np.random.default_rng(0)
    inputs = {v.name: rng.integers(-128, 128, v.type.static_shape).astype(v.type.dtype.numpy) for v in graph.inputs}
    before, after = run(graph, inputs), run(wide, inputs)
    for old, new in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("kind", ["product", "add", "weight only"])
def test_the_host_keeps_nibbles(kind: str) -> None:
    graph = network(kind)
    assert weights(widen(graph, HOST)) == weights(graph)


def test_what_runs_on_nibbles_alone_keeps_them() -> None:
    graph = network("weight only")
    assert weights(widen(graph, CHIP)) == weights(graph)
