"""Networks on the chip within a budget of L1: what they are, what they are given, and what they have to give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime

from tests.e2e.test_networks import random_inputs
from tests.frontend.test_quantlib import inputs_of, oracle
from tests.shared import NETWORKS, QUANTLIB
from tilewright.api import compile_file, compile_model
from tilewright.arrays import compare
from tilewright.cgen.project import write
from tilewright.frontend.load import load
from tilewright.frontend.onnx_write import write as write_onnx
from tilewright.interp.graph import run
from tilewright.ir.graph import Graph
from tilewright.ir.types import Array
from tilewright.options import Options
from tilewright.quant.network import decide, prepared, quantised
from tilewright.targets.registry import find
from tilewright.targets.siracusa.runner import SiracusaRunner

BUDGETS = (None, 64_000, 16_000)  # bytes of L1; None: all that there is
Feeds = dict[str, Array]


@dataclass(frozen=True)
class Network:
    """A file, and its inputs and outputs by name for a seed."""

    name: str
    path: Callable[[Path], Path]
    data: Callable[[Path, Graph, int], tuple[Feeds, Mapping[str, Array]]]


def by_onnxruntime(path: Path, graph: Graph, seed: int) -> tuple[Feeds, Mapping[str, Array]]:
    """A float network's."""
    inputs = random_inputs(graph, np.random.default_rng(seed))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return inputs, dict(zip((v.name for v in graph.outputs), session.run(None, inputs), strict=True))


def by_reference(path: Path, graph: Graph, seed: int) -> tuple[Feeds, Mapping[str, Array]]:
    """An integer network's: the operators' references on the host's graph, which the host's C equals to the bit."""
    inputs = random_inputs(graph, np.random.default_rng(seed))
    return inputs, run(of_the_host(path), inputs)


def masked(path: Path, graph: Graph, seed: int) -> tuple[Feeds, Mapping[str, Array]]:
    """A microLlama's with a random mask, by the dialect's own reference."""
    inputs = inputs_of(graph, path)
    rng = np.random.default_rng(seed)
    mask = inputs["x.9"]
    inputs["x.9"] = np.where(rng.random(mask.shape) < 0.5, -128, rng.integers(-128, 128, mask.shape)).astype(np.int8)
    inputs = {v.name: inputs[v.name].astype(v.type.dtype.numpy) for v in graph.inputs}
    return inputs, oracle().run(str(path), False, inputs=dict(inputs))[1]


@cache
def of_the_host(path: Path) -> Graph:
    options = Options()
    return compile_model(load(str(path), options), find("host", options), options).plan.entries[-1].graph


def quantised_file(folder: Path, name: str) -> Path:
    """A float network as `tilewright quantize` writes it, calibrated with eight seeded samples."""
    rng, host = np.random.default_rng(0), find("host")
    graph = load(str(NETWORKS / f"{name}.onnx"), Options()).entries[0]
    samples = [{v.name: draw(rng, v.type.static_shape) for v in graph.inputs} for _ in range(8)]
    path = folder / f"{name}_int8.onnx"
    write_onnx(quantised(decide(prepared(graph, host), samples)), path)
    return path


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.asarray(rng.normal(0, 0.4, shape), np.float32)


def stored(name: str) -> Callable[[Path], Path]:
    return lambda _: NETWORKS / f"{name}.onnx"


def made(name: str) -> Callable[[Path], Path]:
    return lambda folder: quantised_file(folder, name)


def llama(name: str) -> Callable[[Path], Path]:
    return lambda _: QUANTLIB / "Models" / "microLlama" / "INT8" / name


FLOAT = [
    Network(name, stored(name), by_onnxruntime)
    for name in ("micro_kws_m_static_fp32", "resnet8", "stories260K_decode_128")
]
INTEGER = [
    *(Network(n, stored(n), by_reference) for n in ("micro_kws_m_static_qdq", "micro_kws_m_static_qoperator")),
    *(Network(f"{n} quantised", made(n), by_reference) for n in ("resnet8", "micro_kws_m_static_fp32")),
]
MASKED = [Network(f"{n} masked", llama(n), masked) for n in ("microLlama16", "microLlama8_parallel")]


def check(network: Network, l1: int | None, folder: Path, seed: int, timing: str = "chip") -> SiracusaRunner:
    """Compile, run twice in a row, compare. UserError where the network is refused."""
    path = network.path(folder)
    compiled = compile_file(str(path), "siracusa", Options(l1=l1))
    assert compiled.plan.capacity["l1"] <= (l1 or find("siracusa").memories[1].bytes or 0)
    write(compiled, folder / "c")
    graph = compiled.plan.entries[-1].graph
    inputs, wanted = network.data(path, graph, seed)
    chip = SiracusaRunner(folder / "c", timing)
    for number, results in enumerate(chip.series([inputs[v.name] for v in graph.inputs], 2, None)):
        for value, got in zip(graph.outputs, results, strict=True):
            found = compare(got, wanted[value.name].reshape(got.shape))
            assert not found.wrong, (network.name, l1, number, value.name, found)
    return chip
