"""Networks of the QuantLib dialect by the operators' references: exact for integers, 1e-4 for floats."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.shared import FOLDER, QUANTLIB, needs_shared, quantlib_cases
from tilewright.frontend.quantlib import load_quantlib
from tilewright.interp.graph import run
from tilewright.ir.graph import Graph
from tilewright.ir.types import Array
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.targets.registry import find

HOST = find("host", Options())


def compiled(folder: Path) -> Graph:
    return apply(load_quantlib(folder), HOST)


def inputs_of(graph: Graph, folder: Path) -> dict[str, Array]:
    """Inputs by name, else by order; every value fits the graph's type."""
    with np.load(folder / "inputs.npz") as archive:
        found = {
            v.name: archive[v.name if v.name in archive.files else archive.files[i]] for i, v in enumerate(graph.inputs)
        }
    for value in graph.inputs:
        kind = value.type.dtype.numpy
        assert kind.kind == "f" or np.array_equal(found[value.name].astype(kind), found[value.name]), value
    return found


@needs_shared
@pytest.mark.parametrize("folder", quantlib_cases(), ids=lambda p: str(p.relative_to(QUANTLIB)))
def test_vectors(folder: Path) -> None:
    graph = compiled(folder)
    got = run(graph, inputs_of(graph, folder))
    with np.load(folder / "outputs.npz") as archive:
        for i, value in enumerate(graph.outputs):
            want = archive[value.name if value.name in archive.files else archive.files[i]]
            if value.type.dtype.is_float:
                np.testing.assert_allclose(got[value.name].reshape(want.shape), want, rtol=1e-4, atol=1e-4)
            else:
                np.testing.assert_array_equal(got[value.name], want)


def oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quantlib_oracle", FOLDER / "quantlib" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_shared
@pytest.mark.parametrize("name", ["microLlama8", "microLlama8_parallel"])
@pytest.mark.parametrize("seed", [0, 1])
def test_masks_other_than_those_in_the_vectors(name: str, seed: int) -> None:
    folder = QUANTLIB / "Models" / "microLlama" / "INT8" / name
    graph = compiled(folder)
    inputs = inputs_of(graph, folder)
    rng = np.random.default_rng(seed)
    mask = inputs["x.9"]
    inputs["x.9"] = np.where(rng.random(mask.shape) < 0.5, -128, rng.integers(-128, 128, mask.shape)).astype(np.int8)
    _, want = oracle().run(str(folder), False, inputs=dict(inputs))
    got = run(graph, inputs)
    for value in graph.outputs:
        np.testing.assert_array_equal(got[value.name], want[value.name], err_msg=value.name)


@needs_shared
def test_integer_networks_hold_no_floats() -> None:
    graph = compiled(QUANTLIB / "Models" / "microLlama" / "INT8" / "microLlama8")
    assert not [v for v in graph.values if v.type.dtype.is_float]
    linears = [n for n in graph.nodes if type(n.op).__name__ == "Linear"]
    assert sum(n.inputs[1].type.size for n in linears) == 8 * (4 * 64 + 3 * 256) * 64
    assert all(n.outputs[0].type.dtype.name == "i8" for n in linears), "every matrix product is requantised in place"
