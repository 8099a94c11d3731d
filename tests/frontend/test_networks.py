"""Whole ONNX networks against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.shared import NETWORKS, needs_shared
from tilewright.frontend.quantlib import load_quantlib
from tilewright.interp.graph import run
from tilewright.ir.graph import Graph
from tilewright.ir.types import Array, Value
from tilewright.ops import Dequantize, Quantize, Reshape, Softmax, Transpose
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.targets.registry import find

ort = pytest.importorskip("onnxruntime")
HOST = find("host", Options())


def quantised_range(graph: Graph, value: Value) -> float:
    """The largest magnitude that a network's first Quantize keeps apart; 1 for float networks."""
    readers = [n for n in graph.consumers.get(value, ()) if isinstance(n.op, Quantize)]
    return 128 * float(readers[0].inputs[1].data.reshape(())) if readers else 1.0  # type: ignore[union-attr]


def random_input(graph: Graph, value: Value, rng: np.random.Generator) -> Array:
    shape, kind = value.type.static_shape, value.type.dtype
    if kind.is_integer:
        return rng.integers(0, 500, shape).astype(kind.numpy)
    return (rng.normal(0, 0.4, shape) * quantised_range(graph, value)).astype(np.float32)


def both(name: str, count: int) -> tuple[Graph, list[tuple[dict[str, Array], list[Array]]]]:
    """The graph after all passes, and `count` pairs of our outputs and onnxruntime's on random inputs."""
    path = NETWORKS / f"{name}.onnx"
    graph = apply(load_quantlib(path), HOST)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng, pairs = np.random.default_rng(0), []
    for _ in range(count):
        inputs = {v.name: random_input(graph, v, rng) for v in graph.inputs}
        pairs.append((run(graph, inputs), session.run(None, inputs)))
    return graph, pairs


@needs_shared
@pytest.mark.parametrize("name", ["resnet8", "micro_kws_m_static_fp32", "stories260K_decode_128"])
def test_float(name: str) -> None:
    graph, pairs = both(name, 3)
    for got, want in pairs:
        for value, array in zip(graph.outputs, want, strict=True):
            np.testing.assert_allclose(got[value.name], array, rtol=1e-4, atol=1e-4)
    moves = [n for n in graph.nodes if isinstance(n.op, Transpose)]
    assert len(moves) <= {"resnet8": 1, "micro_kws_m_static_fp32": 0, "stories260K_decode_128": 10}[name]


@needs_shared
@pytest.mark.parametrize("name", ["micro_kws_m_static_qdq", "micro_kws_m_static_qoperator"])
def test_quantised(name: str) -> None:
    """1 LSB on at least 99 % of the outputs and the same top-1; everything up to the softmax is integer."""
    graph, pairs = both(name, 20)
    (output,) = graph.outputs
    (last,) = (n for n in graph.nodes if output in n.outputs)
    step = float(last.inputs[1].data.reshape(())) * 1.001  # type: ignore[union-attr]
    near = [np.abs(got[output.name] - want[0]) <= step for got, want in pairs]
    assert np.mean(near) >= 0.99
    assert all(got[output.name].argmax() == want[0].argmax() for got, want in pairs)
    floats = [n for n in graph.nodes if n.outputs[0].type.dtype.is_float]
    assert all(isinstance(n.op, (Dequantize, Softmax, Reshape)) for n in floats), floats
    assert sum(isinstance(n.op, Quantize) for n in graph.nodes) == 2
