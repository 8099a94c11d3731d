"""Forms of nodes that an engine beside the cores computes: the same numbers, other nodes, fewer cycles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import I8, I16, I32, Sym, TensorType, const
from tilewright.ops import (
    Conv2D,
    DepthwiseConv2D,
    Linear,
    Pad,
    Requant,
    Requantise,
    Reshape,
    ResidualConv2D,
    Slice,
    Windows,
)  # fmt: skip
from tilewright.ops.quantize import QuantizedAdd
from tilewright.passes.beside import beside
from tilewright.passes.cheaper import cost
from tilewright.targets.siracusa.target import SIRACUSA

CORES = replace(
    SIRACUSA, kernels=tuple(k for k in SIRACUSA.kernels if k.engine == "cpu"), engines=SIRACUSA.engines[:1]
)  # fmt: skip
CHANNELS = 32
JOIN = QuantizedAdd(200, 100, 1 << 7, 8, -128, 127, I8)


def network(kind: str, rng: np.random.Generator) -> Graph:
    builder = Builder("net")
    mul, add = (const(name, rng.integers(1, 200, CHANNELS), I32) for name in ("mul", "add"))
    wide = const("mul", rng.integers(1 << 25, 1 << 26, CHANNELS), I32)
    middle = const("mul", rng.integers(1 << 9, 1 << 11, CHANNELS), I32)
    end, halves = Requantise(12, -128, 127, I8), Requantise(36, -128, 127, I8)
    w = const("w", rng.integers(-127, 128, (CHANNELS, 3, 3, CHANNELS), np.int8))
    if kind == "product":
        x = builder.input("x", TensorType((40, 256), I8))
        w = const("w", rng.integers(-127, 128, (CHANNELS, 256), np.int8))
        return builder.finish(builder.add(Linear(halves), x, w, None, wide, add))
    x = builder.input("x", TensorType((1, 12, 12, CHANNELS), I8))
    pad = (1, 1, 1, 1)
    if kind in ("filters", "few"):
        shape, size, channels = ((1, 12, 12, 4), 5, 4) if kind == "filters" else ((1, 20, 10, 1), 4, 1)
        w = const("w", rng.integers(-127, 128, (CHANNELS, size, 3, channels), np.int8))
        edge = (2, 1, 2, 1) if kind == "filters" else (0, 0, 0, 0)
        x, op = builder.input("small", TensorType(shape, I8)), Conv2D((1, 2), edge, epilogue=end)
        return builder.finish(builder.add(op, x, w, None, mul, add))
    if kind == "stride":
        return builder.finish(builder.add(Conv2D((2, 2), pad, epilogue=end), x, w, None, mul, add))
    if kind == "wide":
        return builder.finish(builder.add(Conv2D(pad=pad, epilogue=halves), x, w, None, wide, add))
    if kind == "middle":
        return builder.finish(builder.add(Conv2D(pad=pad, epilogue=replace(halves, shift=21)), x, w, None, middle, add))
    if kind == "depthwise":
        w = const("w", rng.integers(-127, 128, (3, 3, CHANNELS), np.int8))
        return builder.finish(builder.add(DepthwiseConv2D(pad=pad, epilogue=halves), x, w, None, wide, add))
    stride = (2, 2) if kind == "both" else (1, 1)
    r = x if kind == "residual" else builder.input("r", TensorType((1, 6, 6, CHANNELS), I8))
    op = ResidualConv2D(stride, pad, epilogue=end, join=JOIN)
    return builder.finish(builder.add(op, x, w, None, mul, add, r))


@pytest.mark.parametrize(
    ("kind", "made"),
    [("stride", [Conv2D, Slice]), ("residual", [Conv2D, QuantizedAdd]), ("both", [Conv2D, Slice, QuantizedAdd]),
     ("wide", [Conv2D, Requant]), ("middle", [Conv2D, Requant]), ("product", [Linear, Requant]),
     ("few", [Windows, Reshape, Conv2D]), ("filters", [Pad, Windows, Reshape, Conv2D])],
)  # fmt: skip
def test_results_stay_and_cycles_fall(kind: str, made: list[type]) -> None:
    rng = np.random.default_rng(0)
    graph = network(kind, rng)
    better = beside(graph, SIRACUSA)
    assert [type(node.op) for node in better.nodes] == made
    inputs = {v.name: rng.integers(-128, 128, v.type.static_shape, np.int8) for v in graph.inputs}
    for name, want in run(graph, inputs).items():
        np.testing.assert_array_equal(run(better, inputs)[name], want)
    spent = [cost(SIRACUSA, [n for n in g.nodes if not n.op.view]) for g in (graph, better)]
    assert spent[1] < spent[0]


@pytest.mark.parametrize("kind", ["stride", "residual", "both", "wide", "middle", "product", "few", "filters"])
def test_cores_alone_keep_their_nodes(kind: str) -> None:
    graph = network(kind, np.random.default_rng(0))
    assert beside(graph, CORES) is graph


def test_what_the_engine_computes_stays() -> None:
    builder = Builder("net")
    rng = np.random.default_rng(0)
    x, w = builder.input("x", TensorType((1, 12, 12, 8), I8)), const("w", rng.integers(-9, 9, (8, 3, 3, 8), np.int8))
    one = const("mul", np.array([3]), I32), const("add", np.array([9]), I32)
    graph = builder.finish(builder.add(Conv2D(epilogue=Requantise(9, -128, 127, I8)), x, w, None, *one))
    assert [type(node.op) for node in beside(graph, SIRACUSA).nodes] == [Conv2D]


def test_run_time_sizes_stay() -> None:
    builder = Builder("net")
    rng = np.random.default_rng(0)
    x, w = (
        builder.input("x", TensorType((Sym("n", 64, 8), 256), I8)),
        const("w", rng.integers(-9, 9, (32, 256), np.int8)),
    )
    one = const("mul", np.array([1 << 25]), I32), const("add", np.array([9]), I32)
    graph = builder.finish(builder.add(Linear(Requantise(36, -(1 << 15), (1 << 15) - 1, I16)), x, w, None, *one))
    assert [type(node.op) for node in beside(graph, SIRACUSA).nodes] == [Linear]
