"""ONNX files that Tilewright writes: onnxruntime computes the same from them, and so does Tilewright."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.quant.networks import random_inputs, random_network
from tests.shared import NETWORKS, needs_shared
from tilewright.errors import UserError
from tilewright.frontend.load import load
from tilewright.frontend.onnx_write import write
from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, TensorType, const
from tilewright.ops import Binary, Expand, Gather, LayerNorm, MatMul, Pad, RMSNorm, Slice, Softmax, Transpose, Unary
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.quant.network import decide, prepared, quantised
from tilewright.targets.host.target import HOST

ort = pytest.importorskip("onnxruntime")


def in_onnxruntime(file: Path, sample: dict[str, np.ndarray]) -> np.ndarray:
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, sample)[0])


def both(graph: Graph, file: Path, sample: dict[str, np.ndarray]) -> None:
    write(graph, file)
    want = run(graph, sample)[graph.outputs[0].name]
    np.testing.assert_allclose(in_onnxruntime(file, sample), want, rtol=1e-4, atol=1e-4)
    again = load(str(file), Options()).entries[0]
    assert [v.name for v in again.inputs] == [v.name for v in graph.inputs]
    np.testing.assert_allclose(run(again, sample)[again.outputs[0].name], want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_float_networks(seed: int, tmp_path: Path) -> None:
    graph = random_network(seed, softmax=True)
    for form in (graph, prepared(graph, HOST)):
        both(form, tmp_path / "net.onnx", random_inputs(graph, 1, seed)[0])


@pytest.mark.parametrize("seed", range(6))
def test_quantised_networks(seed: int, tmp_path: Path) -> None:
    """Within one of 127 steps of the logits on 99 of 100, same greatest one; the file compiles to the same graph."""
    graph = random_network(seed)
    made = decide(prepared(graph, HOST), random_inputs(graph, 12, seed))
    whole = quantised(made)
    write(whole, tmp_path / "net.onnx")
    direct, read = apply(whole, HOST), apply(load(str(tmp_path / "net.onnx"), Options()).entries[0], HOST)
    assert [type(n.op) for n in direct.nodes] == [type(n.op) for n in read.nodes]
    results = []
    for sample in random_inputs(graph, 20, 50 + seed):
        got, other = (run(g, sample)[g.outputs[0].name] for g in (direct, read))
        np.testing.assert_array_equal(got, other)
        want = in_onnxruntime(tmp_path / "net.onnx", sample)
        results.append((got, want))
    step = max(np.abs(want).max() for _, want in results) / 127
    assert np.mean([np.abs(got - want) <= step for got, want in results]) >= 0.99
    assert all(got.argmax() == want.argmax() for got, want in results)


@needs_shared
@pytest.mark.parametrize("name", ["resnet8", "micro_kws_m_static_fp32"])
def test_shared_networks(name: str, tmp_path: Path) -> None:
    graph = load(str(NETWORKS / f"{name}.onnx"), Options()).entries[0]
    rng = np.random.default_rng(0)
    samples = [
        {v.name: rng.random(v.type.static_shape, np.float32) - 0.3 * (v.type.rank == 2) for v in graph.inputs}
        for _ in range(6)
    ]
    whole = quantised(decide(prepared(graph, HOST), samples[:4]))
    write(whole, tmp_path / "net.onnx")
    read = apply(load(str(tmp_path / "net.onnx"), Options()).entries[0], HOST)
    for sample in samples[4:]:
        got, want = run(read, sample)[read.outputs[0].name], in_onnxruntime(tmp_path / "net.onnx", sample)
        assert np.abs(got - want).max() <= 1 / 127
        assert got.argmax() == want.argmax()


def test_moves_and_transformer_parts(tmp_path: Path) -> None:
    rng, b = np.random.default_rng(0), Builder("parts")
    x = b.input("x", TensorType((2, 3, 4), F32))
    turned = b(Transpose((1, 0, 2)), x)
    normal = b(LayerNorm(1e-5), turned, const("w", rng.random(4, np.float32)), const("c", rng.random(4, np.float32)))
    scores = b(Softmax(-1), b(MatMul(transpose_b=True), normal, turned))
    y = b(MatMul(), scores, b(Unary("gelu"), normal))
    y = b(Binary("prelu"), y, const("slopes", rng.random((2, 1), np.float32)))
    y = b(Pad((0, 1, 0), (1, 0, 2), 0.5), b(Unary("silu"), y))
    y = b(Slice((3, 0, 5), (-1, 1, -2), (4, 3, 3)), y)
    y = b(Expand((2, 4, 3, 3)), b(Transpose((0, 2, 1)), y))
    y = b(Gather(1), y, const("i", np.array([2, 0], np.int64)))
    both(b.finish((y,)), tmp_path / "net.onnx", {"x": rng.standard_normal((2, 3, 4), np.float32)})


def test_operators_without_an_onnx_form_are_named(tmp_path: Path) -> None:
    b = Builder("norm")
    y = b(RMSNorm(), b.input("x", TensorType((2, 4), F32)), const("w", np.ones(4, np.float32)), name="middle")
    with pytest.raises(UserError, match="middle: RMSNorm has no ONNX form"):
        write(b.finish((y,)), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_outputs_keep_their_names(tmp_path: Path) -> None:
    graph = replace(random_network(1), name="named")
    write(graph, tmp_path / "net.onnx")
    session = ort.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    assert [o.name for o in session.get_outputs()] == ["logits"]
    assert [i.name for i in session.get_inputs()] == ["image"]
