"""Damaged and hostile models end in one UserError: no crash, no hang, no large allocation, nothing read outside."""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.frontend.vectors import cases
from tests.shared import NETWORKS, QUANTLIB, needs_shared
from tilewright.errors import UserError
from tilewright.frontend.onnx import CONVERTERS
from tilewright.frontend.quantlib import INTEGER, load_quantlib
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.targets.registry import find

HOST = find("host", Options())
NUMBERS = [0, 1, 2, 3, -1, -2, 7, 255, -128, 1 << 20, 1 << 31, (1 << 63) - 1, -(1 << 63), 4096]
FLOATS = [float("nan"), float("inf"), -1e30, 0.0]
NAMES = sorted(
    {k.rpartition(".")[2] for k in (*CONVERTERS, *INTEGER)} | {"Foo", "If", "Loop", "Attention", "LinearAttention"}
)
SECONDS = 10.0


def compile_bytes(data: bytes, folder: Path) -> str:
    """ok or refused; anything else that is raised is a failure. The file alone decides."""
    path = folder / "model.onnx"
    path.write_bytes(data)
    began = time.monotonic()
    try:
        apply(load_quantlib(path), HOST)
    except UserError as error:
        assert str(error)  # noqa: PT017
        return "refused"
    finally:
        assert time.monotonic() - began < SECONDS
    return "ok"


Mutation = Callable[[Any, random.Random], None]


def _dimension(m: Any, r: random.Random) -> None:
    shape = r.choice(m.graph.input).type.tensor_type.shape
    if shape.dim:
        r.choice(shape.dim).dim_value = r.choice(NUMBERS)


def _constant(m: Any, r: random.Random) -> None:
    item = r.choice(m.graph.initializer)
    match r.randrange(3):
        case 0 if item.dims:
            item.dims[r.randrange(len(item.dims))] = r.choice(NUMBERS)
        case 1:
            item.data_type = r.randrange(25)
        case _:
            data = bytearray(item.raw_data)
            for _ in range(min(8, len(data))):
                data[r.randrange(len(data))] = r.choice([0, 255, 127, 128, r.randrange(256)])
            item.raw_data = bytes(data[: r.randrange(len(data) + 1)] if r.random() < 0.5 else data)


def _attribute(m: Any, r: random.Random) -> None:
    node = r.choice(m.graph.node)
    attribute = r.choice(node.attribute)
    match r.randrange(5):
        case 0:
            attribute.i, attribute.f = r.choice(NUMBERS), r.choice(FLOATS)
        case 1 if attribute.ints:
            attribute.ints[r.randrange(len(attribute.ints))] = r.choice(NUMBERS)
        case 2:
            attribute.type = r.randrange(12)
        case 3 if attribute.ints:
            del attribute.ints[-1]
        case _:
            del node.attribute[r.randrange(len(node.attribute))]


def _edge(m: Any, r: random.Random) -> None:
    """Any value in place of an input of a node: cycles, wrong types, wrong shapes."""
    node = r.choice(m.graph.node)
    every = [name for other in m.graph.node for name in (*other.output, *other.input)]
    match r.randrange(3):
        case 0:
            node.input.append(r.choice([*every, ""]))
        case 1 if node.input:
            node.input[r.randrange(len(node.input))] = r.choice([*every, ""])
        case _ if node.input:
            del node.input[-1]


def _operator(m: Any, r: random.Random) -> None:
    if r.random() < 0.7:
        r.choice(m.graph.node).op_type = r.choice(NAMES)
    else:
        del m.graph.node[r.randrange(len(m.graph.node))]


def _opset(m: Any, r: random.Random) -> None:
    r.choice(m.opset_import).version = r.choice([1, 7, 9, 11, 12, 13, 18, 21, 0, -3, 10**6])


MUTATIONS: list[Mutation] = [_dimension, _constant, _attribute, _edge, _operator, _opset]


def mutated(data: bytes, r: random.Random) -> bytes:
    """One to three changes of the protobuf, or of its bytes."""
    kind = r.random()
    if kind < 0.1:
        return data[: r.randrange(len(data))]
    if kind < 0.2:
        raw = bytearray(data)
        for _ in range(r.randint(1, 20)):
            raw[r.randrange(len(raw))] = r.randrange(256)
        return bytes(raw)
    model = onnx.ModelProto.FromString(data)
    for _ in range(r.randint(1, 3)):
        with contextlib.suppress(IndexError, ValueError):  # there is nothing of that kind
            r.choice(MUTATIONS)(model, r)
    return model.SerializeToString()


@needs_shared
@pytest.mark.parametrize("seed", range(4))
def test_mutated_models(seed: int, tmp_path: Path) -> None:
    r = random.Random(seed)
    models = [case.model for _, case in sorted(cases().items())]
    networks = [
        *NETWORKS.glob("[mr]*.onnx"),
        *QUANTLIB.glob("Kernels/Integer/**/network.onnx"),
        QUANTLIB / "Models/CCT/Int/ICCT/network.onnx",
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = []
    for _ in range(400):
        data = r.choice(models) if r.random() < 0.6 else r.choice(networks).read_bytes()
        results.append(compile_bytes(mutated(data, r), tmp_path))
    assert results.count("refused") > 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "less than 1 GiB more"


@pytest.mark.parametrize("size", [0, 1, 7, 64, 4096])
def test_random_bytes(size: int, tmp_path: Path) -> None:
    assert compile_bytes(random.Random(size).randbytes(size), tmp_path) == "refused"


def model(nodes: list[Any], shape: list[Any], constants: list[Any] = [], result: str = "y") -> Any:  # noqa: B006
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
    return helper.make_model(
        helper.make_graph(nodes, "net", [x], [y], constants), opset_imports=[helper.make_opsetid("", 17)]
    )


def refusal(proto: Any, folder: Path) -> UserError:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(UserError) as caught:
        apply(load_quantlib(path), HOST)
    return caught.value


def test_a_cycle_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"], "first"), helper.make_node("Relu", ["a"], ["b"], "second")]
    error = refusal(model(nodes, [2], result="b"), tmp_path)
    assert "cycle" in str(error)
    assert error.where in ("first", "second")


@pytest.mark.parametrize("nodes", [[], [helper.make_node("Relu", ["x"], ["y"])]])
def test_an_output_that_is_an_input(nodes: list[Any], tmp_path: Path) -> None:
    assert "names of their own" in refusal(model(nodes, [2], result="x"), tmp_path).rule


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_and_scales_that_are_no_numbers(bad: float, tmp_path: Path) -> None:
    weights = onnx.numpy_helper.from_array(np.array([[1, bad], [0, 1]], np.float32), "w")
    error = refusal(model([helper.make_node("MatMul", ["x", "w"], ["y"], "here")], [3, 2], [weights]), tmp_path)
    assert "finite" in error.rule
    assert error.where == "here"
    scale = onnx.numpy_helper.from_array(np.array(bad, np.float32), "s")
    nodes = [helper.make_node("QuantizeLinear", ["x", "s"], ["q"]), helper.make_node("Cast", ["q"], ["y"], to=1)]
    assert "finite" in refusal(model(nodes, [3], [scale]), tmp_path).rule


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(UserError, match="not a regular file"):
        load_quantlib(tmp_path / "model.onnx")


@pytest.mark.parametrize("shape", [[1, "height"], [1, None], [2, -5], [1 << 40, 1 << 40], [1 << 33]])
def test_shapes_that_cannot_be(shape: list[Any], tmp_path: Path) -> None:
    error = refusal(model([helper.make_node("Relu", ["x"], ["y"])], shape), tmp_path)
    assert "input x" in str(error)
    assert error.rule


def test_a_leading_unknown_dimension_is_a_batch_of_one(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model([helper.make_node("Relu", ["x"], ["y"])], ["batch", 3]).SerializeToString())
    assert load_quantlib(path).inputs[0].type.shape == (1, 3)


def test_an_unknown_operator_names_node_origin_and_next_step(tmp_path: Path) -> None:
    error = refusal(model([helper.make_node("Frobnicate", ["x"], ["y"], "here")], [2]), tmp_path)
    assert (error.where, error.origin) == ("here", "Frobnicate -> y")
    assert error.rule
    assert error.hint


@pytest.mark.parametrize("repeats", [[1 << 30, 1 << 30], [-1, 1], [1 << 62, 2]])
def test_results_of_absurd_size(repeats: list[int], tmp_path: Path) -> None:
    constant = onnx.numpy_helper.from_array(np.array(repeats, np.int64), "r")
    refusal(model([helper.make_node("Tile", ["x", "r"], ["y"])], [2, 3], [constant]), tmp_path)


def test_a_function_that_calls_itself(tmp_path: Path) -> None:
    proto = model([helper.make_node("F", ["x"], ["y"], domain="own")], [2])
    body = [helper.make_node("F", ["a"], ["b"], domain="own")]
    proto.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    proto.opset_import.append(helper.make_opsetid("own", 1))
    assert "functions" in str(refusal(proto, tmp_path))


def external(location: str, **entries: str) -> Any:
    item = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        item.external_data.add(key=key, value=value)
    return item


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.array([9, 1, 2], np.float32).tobytes())
    proto = model([helper.make_node("Add", ["x", "k"], ["y"])], [2], [external("weights.bin", offset="4", length="8")])
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    graph = load_quantlib(tmp_path / "model.onnx")
    (constant,) = graph.constants
    assert constant.data is not None
    assert constant.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/hostname", "link.bin", "", "missing.bin", "sub/../../secret.bin"]
)
def test_external_data_elsewhere(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    error = refusal(model([helper.make_node("Add", ["x", "k"], ["y"])], [2], [external(location)]), folder)
    assert "external data" in error.rule


@pytest.mark.parametrize("entries", [{"offset": "-4"}, {"offset": "8"}, {"length": "9999999999"}, {"offset": "x"}])
def test_external_data_that_does_not_fit(entries: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(8))
    refusal(model([helper.make_node("Add", ["x", "k"], ["y"])], [2], [external("weights.bin", **entries)]), tmp_path)


@needs_shared
@pytest.mark.parametrize("seed", range(3))
def test_damaged_samples_beside_a_network(seed: int, tmp_path: Path) -> None:
    """inputs.npz decides the types of inputs; a damaged one is refused, or does not matter."""
    r = random.Random(seed)
    folder = QUANTLIB / "Kernels" / "Integer" / "Softmax" / "Large"
    (tmp_path / "network.onnx").write_bytes((folder / "network.onnx").read_bytes())
    good = (folder / "inputs.npz").read_bytes()
    for _ in range(40):
        data = bytearray(good[: r.randrange(len(good))] if r.random() < 0.4 else good)
        for _ in range(r.randrange(30) if data else 0):
            data[r.randrange(len(data))] = r.randrange(256)
        (tmp_path / "inputs.npz").write_bytes(bytes(data))
        try:
            load_quantlib(tmp_path)
        except UserError as error:
            assert "npz" in str(error) or "i8" in str(error)  # noqa: PT017


@needs_shared
def test_samples_that_claim_to_be_huge_or_pickled(tmp_path: Path) -> None:
    folder = QUANTLIB / "Kernels" / "Integer" / "Softmax" / "Large"
    (tmp_path / "network.onnx").write_bytes((folder / "network.onnx").read_bytes())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)})
    with zipfile.ZipFile(tmp_path / "inputs.npz", "w") as archive:
        archive.writestr("input.npy", header.getvalue())
    with pytest.raises(UserError, match="npz"):
        load_quantlib(tmp_path)
    np.savez(tmp_path / "inputs.npz", input=np.array([print], dtype=object))
    with pytest.raises(UserError, match="npz"):
        load_quantlib(tmp_path)
