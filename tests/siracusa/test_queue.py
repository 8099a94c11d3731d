"""What N-EUREKA's runtime reads ahead, on the simulated chip: products that wait for each other in any way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tilewright.api import compile_model
from tilewright.cgen.project import write
from tilewright.cgen.queued import queued
from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.program import Wait
from tilewright.ir.types import I8, TensorType, Value, const
from tilewright.model import Model
from tilewright.ops import Linear, QuantizedAdd, Requantise
from tilewright.options import Options
from tilewright.targets.registry import find
from tilewright.targets.siracusa.runner import SiracusaRunner

WIDTH, LAYERS = 64, 6


def products(seed: int) -> Graph:
    """Products of one row and sums of two, each of any before it; of the rows of some, several multipliers."""
    rng, b = np.random.default_rng(seed), Builder("run")
    found: list[Value] = [b.input("x", TensorType((1, WIDTH), I8))]

    def parameter(name: str, low: int, high: int, runs: int) -> Value:
        data = rng.integers(low, high, runs, np.int32)
        return const(b.unique(name), np.repeat(data, WIDTH // runs) if runs > 1 else data)

    for _ in range(LAYERS):
        x = found[int(rng.integers(max(0, len(found) - 3), len(found)))]
        w = const(b.unique("w"), rng.integers(-128, 128, (WIDTH, WIDTH), np.int8))
        runs = int(rng.choice([1, 1, 2, 4]))
        mul, add = parameter("mul", 1, 60, runs), parameter("add", -4096, 4096, runs)
        found.append(b(Linear(Requantise(12, -128, 127, I8)), x, w, None, mul, add))
        if rng.random() < 0.3:
            found.append(b(QuantizedAdd(0, 1, 0, 1), found[-1], found[-2]))
    return b.finish(tuple(found[-3:]))


@pytest.mark.parametrize("seed", range(3))
def test_products_in_any_order_are_exact(seed: int, tmp_path: Path) -> None:
    options, graph = Options(npu="on"), products(seed)
    network = compile_model(Model("net", (graph,)), find("siracusa", options), options)
    (program,) = network.programs
    calls = [call for _, call in queued(program.steps)]
    assert len(calls) >= 2
    assert any(isinstance(step, Wait) and step.engine for step in program.steps)
    write(network, tmp_path)
    assert (tmp_path / "net.c").read_text().count("tw_neureka_start(&queue)") <= len(calls)
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (1, WIDTH), np.int8)
    wanted = run(graph, {"x": x})
    for results in SiracusaRunner(tmp_path).series([x], 3, None):
        for value, result in zip(graph.outputs, results, strict=True):
            np.testing.assert_array_equal(result.reshape(-1), wanted[value.name].reshape(-1), err_msg=value.name)
