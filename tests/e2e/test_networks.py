"""Whole ONNX networks in compiled C: against onnxruntime for floats, to the bit against numpy for integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.shared import NETWORKS, QUANTLIB, needs_shared
from tilewright.api import Compiled, compile_model
from tilewright.cgen.project import write
from tilewright.frontend.load import load
from tilewright.interp.graph import run
from tilewright.ir.graph import Graph
from tilewright.ir.types import Array, Value
from tilewright.ops import Quantize
from tilewright.options import Options
from tilewright.targets.host.runner import HostRunner
from tilewright.targets.registry import find

ort = pytest.importorskip("onnxruntime")
FLOAT = ["resnet8", "micro_kws_m_static_fp32", "stories260K_decode_128"]
QUANTISED = ["micro_kws_m_static_qdq", "micro_kws_m_static_qoperator"]


def compiled(path: Path) -> Compiled:
    options = Options()
    return compile_model(load(str(path), options), find("host", options), options)


def graph_of(network: Compiled) -> Graph:
    return network.plan.entries[-1].graph


def random_inputs(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    return {v.name: _random(graph, v, rng) for v in graph.inputs}


def _random(graph: Graph, value: Value, rng: np.random.Generator) -> Array:
    shape, kind = value.type.static_shape, value.type.dtype
    if kind.is_integer:
        return rng.integers(0, 128, shape).astype(kind.numpy)
    readers = [n for n in graph.consumers.get(value, ()) if isinstance(n.op, Quantize)]
    scale = 128 * float(readers[0].inputs[1].data.reshape(())) if readers else 1.0  # type: ignore[union-attr]
    return (rng.normal(0, 0.4, shape) * scale).astype(np.float32)


def in_c(network: Compiled, folder: Path) -> HostRunner:
    write(network, folder)
    return HostRunner(folder)


@needs_shared
@pytest.mark.parametrize("name", FLOAT)
def test_floats_equal_onnxruntime(name: str, tmp_path: Path) -> None:
    path = NETWORKS / f"{name}.onnx"
    network = compiled(path)
    machine, session = (
        in_c(network, tmp_path / "c"),
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]),
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        inputs = random_inputs(graph_of(network), rng)
        for got, want in zip(machine.run(list(inputs.values())), session.run(None, inputs), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def quantised_resnet(folder: Path) -> Path:
    """ResNet-8 as onnxruntime's static quantisation makes it: QDQ, weights per channel, seeded calibration."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    rng = np.random.default_rng(0)
    samples = iter([{"input": rng.normal(0, 1, (1, 3, 32, 32)).astype(np.float32)} for _ in range(8)])

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, Array] | None:
            return next(samples, None)

    path = folder / "resnet8_int8.onnx"
    quantization.quantize_static(NETWORKS / "resnet8.onnx", path, Reader(), per_channel=True)
    return path


@needs_shared
def test_resnet_fits_and_its_int8_form_is_integer_and_exact(tmp_path: Path) -> None:
    wide, narrow = compiled(NETWORKS / "resnet8.onnx"), compiled(quantised_resnet(tmp_path))
    assert wide.memory["arena"] <= 197_000
    assert narrow.memory["arena"] <= 58_000
    graph = graph_of(narrow)
    floats = [type(n.op).__name__ for n in graph.nodes if n.outputs[0].type.dtype.is_float]
    assert sorted(floats) == ["Dequantize", "Dequantize", "Softmax"]
    check_quantised(narrow, tmp_path / "resnet8_int8.onnx", tmp_path / "c")


@needs_shared
@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_networks(name: str, tmp_path: Path) -> None:
    path = NETWORKS / f"{name}.onnx"
    check_quantised(compiled(path), path, tmp_path / "c")


def check_quantised(network: Compiled, path: Path, folder: Path) -> None:
    """C equals numpy to the bit; onnxruntime within 1 LSB on 99 % of the outputs, with the same top-1."""
    graph = graph_of(network)
    machine, session = in_c(network, folder), ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (last,) = (n for n in graph.nodes if graph.outputs[0] in n.outputs)
    step = float(last.inputs[1].data.reshape(())) * 1.001  # type: ignore[union-attr]
    rng, near, same = np.random.default_rng(1), [], []
    for _ in range(20):
        inputs = random_inputs(graph, rng)
        (got,) = machine.run(list(inputs.values()))
        (want,) = session.run(None, inputs)
        np.testing.assert_array_equal(got, run(graph, inputs)[graph.outputs[0].name])
        near.append(np.abs(got - want) <= step)
        same.append(got.argmax() == want.argmax())
    assert np.mean(near) >= 0.99
    assert all(same)


@needs_shared
@pytest.mark.parametrize("name", ["microLlama16", "microLlama8_parallel"])
def test_microllama_with_other_masks(name: str, tmp_path: Path) -> None:
    network = compiled(QUANTLIB / "Models" / "microLlama" / "INT8" / name)
    graph, rng = graph_of(network), np.random.default_rng(3)
    machine = in_c(network, tmp_path / "c")
    for _ in range(2):
        inputs = {v.name: rng.integers(-128, 128, v.type.static_shape).astype(np.int8) for v in graph.inputs}
        want = run(graph, inputs)
        for value, got in zip(graph.outputs, machine.run(list(inputs.values())), strict=True):
            np.testing.assert_array_equal(got, want[value.name], err_msg=value.name)
