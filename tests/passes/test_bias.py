"""The bias of a requantised convolution, taken out of the addend: the same numbers, and fewer cycles on the chip."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import I8, I32, I64, Array, TensorType, const
from tilewright.ops import Conv2D, DepthwiseConv2D, Requantise, ResidualConv2D
from tilewright.ops.quantize import QuantizedAdd
from tilewright.passes.bias import bias_apart
from tilewright.targets.host.target import HOST
from tilewright.targets.siracusa.target import SIRACUSA

SHIFT, CHANNELS = 40, 12


def network(kind: str, add: Array, mul: Array, rng: np.random.Generator) -> Graph:
    builder = Builder("net")
    x = builder.input("x", TensorType((1, 6, 6, CHANNELS), I8))
    shape = (3, 3, CHANNELS) if kind == "depthwise" else (CHANNELS, 3, 3, CHANNELS)
    w = const("w", rng.integers(-127, 128, shape, np.int8))
    common = {"pad": (1, 1, 1, 1), "epilogue": Requantise(SHIFT, -128, 127, I8)}
    parameters = [w, None, const("mul", mul, I32), const("add", add, I64)]
    if kind == "depthwise":
        (y,) = builder.add(DepthwiseConv2D(**common), x, *parameters)  # type: ignore[arg-type]
    elif kind == "residual":
        join = QuantizedAdd(200, 100, 1 << 7, 8, -128, 127, I8)
        (y,) = builder.add(ResidualConv2D(**common, join=join), x, *parameters, x)  # type: ignore[arg-type]
    else:
        (y,) = builder.add(Conv2D(**common), x, *parameters)  # type: ignore[arg-type]
    return builder.finish((y,))


@pytest.mark.parametrize("kind", ["dense", "depthwise", "residual"])
@pytest.mark.parametrize("seed", range(4))
def test_results_stay_and_cycles_fall(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mul = rng.integers(1 << 28, 1 << 31, CHANNELS)
    bias = rng.integers(-50_000, 50_000, CHANNELS)
    zero = int(rng.integers(-128, 128))
    graph = network(kind, bias * mul + (zero << SHIFT) + (1 << (SHIFT - 1)), mul, rng)
    better = bias_apart(graph, SIRACUSA)
    (before,), (after,) = graph.nodes, better.nodes
    assert "b" in after.operands
    assert after.operands["add"].type.shape == (1,)
    x = rng.integers(-128, 128, (1, 6, 6, CHANNELS), np.int8)
    for name, want in run(graph, {"x": x}).items():
        np.testing.assert_array_equal(run(better, {"x": x})[name], want)
    cycles = [min(k.cycles(n) for k in SIRACUSA.candidates(n)) for n in (before, after)]
    assert cycles[1] < cycles[0]
    assert bias_apart(graph, HOST).nodes == graph.nodes


def test_what_is_no_multiple_stays() -> None:
    rng = np.random.default_rng(1)
    mul = rng.integers(1 << 28, 1 << 31, CHANNELS)
    add = rng.integers(-50_000, 50_000, CHANNELS) * mul + (1 << (SHIFT - 1))
    add[5] += 1
    graph = network("dense", add, mul, rng)
    assert bias_apart(graph, SIRACUSA).nodes == graph.nodes


def test_sums_that_would_wrap_stay() -> None:
    rng = np.random.default_rng(1)
    mul = np.full(CHANNELS, 1 << 20)
    graph = network("dense", np.full(CHANNELS, 2**31 - 2) * mul + (1 << (SHIFT - 1)), mul, rng)
    assert bias_apart(graph, SIRACUSA).nodes == graph.nodes
