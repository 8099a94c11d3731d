"""Post-training quantisation of networks: exact on every executor, close to fp32, proven to fit 32 bits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quant.networks import random_inputs, random_network
from tilewright.api import compile_model
from tilewright.cgen.project import write as write_project
from tilewright.errors import UserError
from tilewright.interp.graph import run
from tilewright.interp.program import Machine
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, I8, U8, TensorType, const
from tilewright.model import Model
from tilewright.ops import (
    Clamp,
    Conv2D,
    Dequantize,
    Expand,
    Gather,
    Linear,
    Quantize,
    Requantise,
    Reshape,
    Softmax,
    Transpose,
)
from tilewright.options import Options, parse
from tilewright.passes.pipeline import apply
from tilewright.quant.loss import kept_nodes, lowered, measure
from tilewright.quant.loss import run as run_all
from tilewright.quant.network import Scheme, decide, prepared, quantised
from tilewright.quant.post_training import quantise, split
from tilewright.quant.proof import proven
from tilewright.quant.roles import not_negative, weighted
from tilewright.targets.host.runner import HostRunner
from tilewright.targets.host.target import HOST

SEEDS = range(8)


@cache
def scheme(seed: int) -> Scheme:
    graph = random_network(seed)
    return decide(prepared(graph, HOST), random_inputs(graph, 24, 100 + seed))


def integers_only(made: Scheme) -> Graph:
    """The quantised graph with all stored integers, and nothing else, as outputs."""
    graph = quantised(made, watched=True)
    return replace(graph, outputs=graph.outputs[len(made.graph.outputs) :])


@pytest.mark.parametrize("seed", SEEDS)
def test_output_is_close_and_every_layer_fits_32_bits(seed: int) -> None:
    made = scheme(seed)
    loss = measure(made, HOST, random_inputs(made.graph, 16, 200 + seed), sensitivity=False)
    assert loss.snr_db > 20
    assert all(15 < layer.snr_db < 90 for layer in loss.layers)
    assert all(layer.worst > 0 for layer in loss.layers)
    assert all(layer.fits32 is not False for layer in loss.layers)
    assert sum(layer.fits32 is True for layer in loss.layers) >= 3
    assert loss.float_ops == 1, "the logits are dequantised once, nothing else is float"


@pytest.mark.parametrize("seed", SEEDS)
def test_program_equals_graph(seed: int) -> None:
    made = scheme(seed)
    compiled = compile_model(Model("net", (replace(integers_only(made), name="run"),)), HOST, Options())
    graph, program = compiled.plan.entries[-1].graph, compiled.programs[-1]
    machine = Machine([program], compiled.plan.capacity)
    for sample in random_inputs(made.graph, 2, seed):
        want = run(graph, sample)
        for value, got in zip(graph.outputs, machine.run(program, [sample["image"]]), strict=True):
            np.testing.assert_array_equal(got, want[value.name].reshape(-1))


@pytest.mark.parametrize("seed", [0, 3])
def test_c_equals_graph(seed: int, tmp_path: Path) -> None:
    made = scheme(seed)
    compiled = compile_model(Model("net", (replace(integers_only(made), name="run"),)), HOST, Options())
    write_project(compiled, tmp_path / "out")
    runner, graph = HostRunner(tmp_path / "out"), compiled.plan.entries[-1].graph
    for sample in random_inputs(made.graph, 5, seed):
        want = run(graph, sample)
        for value, got in zip(graph.outputs, runner.run([sample["image"]]), strict=True):
            np.testing.assert_array_equal(got, want[value.name])


def test_integer_graph_is_what_the_decisions_say() -> None:
    """Each stored value within one of rounding its operator's result on the stored operands before it."""
    made = scheme(1)
    graph = quantised(made, watched=True)
    integer = lowered(graph, HOST)
    for sample in random_inputs(made.graph, 4, 1):
        told, got = run(graph, sample), run(integer, sample)
        for value in graph.outputs[1:]:
            distance = np.abs(told[value.name].astype(int) - got[value.name].astype(int))
            assert distance.mean() < 0.02
            assert distance.max() <= 2


def test_kinds_of_grids() -> None:
    made = scheme(0)
    positive = not_negative(made.graph)
    for value, grid in made.grids.items():
        assert grid.dtype == (U8 if value in positive else I8)


@pytest.mark.parametrize("seed", SEEDS)
def test_values_that_cannot_be_negative_are_not(seed: int) -> None:
    """Of inputs of both signs; and all values of the network that never are negative by construction are found."""
    graph = scheme(seed).graph
    positive = not_negative(graph)
    for sample in random_inputs(graph, 4, seed):
        held = run_all(graph, sample)
        assert all(held[v].min() >= 0 for v in positive)
    clamped = [n.outputs[0] for n in graph.nodes if isinstance(n.op.attributes.get("epilogue"), Clamp)]
    assert positive.issuperset(clamped)


def test_moves_share_the_grid_of_what_they_move() -> None:
    for seed in SEEDS:
        made = scheme(seed)
        for node in made.graph.nodes:
            if isinstance(node.op, (Reshape, Transpose)) and node.outputs[0] in made.grids:
                assert made.grids[node.outputs[0]] == made.grids[node.inputs[0]]  # type: ignore[index]


def test_what_is_only_copied_stays_integer() -> None:
    """Enlarging an image by gathers, and broadcasting, between convolutions."""
    rng, b = np.random.default_rng(3), Builder("enlarged")
    x = b.input("x", TensorType((1, 4, 5, 3), F32))
    v, w = (const(n, rng.normal(0, 0.4, (6, 3, 3, c)).astype(np.float32)) for n, c in (("v", 3), ("w", 6)))
    y = b(Conv2D(pad=(1,) * 4, epilogue=Clamp(0.0)), x, v)
    for axis, size in ((1, 4), (2, 5)):
        y = b(Gather(axis), y, const(f"i{axis}", np.repeat(np.arange(size, dtype=np.int32), 2)))
    y = b(Expand((2, 8, 10, 6)), y)
    graph = b.finish((b(Conv2D(pad=(1,) * 4), y, w, name="y"),))
    made = decide(prepared(graph, HOST), random_inputs(graph, 12, 5))
    low = lowered(quantised(made), HOST)
    moved = [n for n in low.nodes if isinstance(n.op, Gather | Expand)]
    assert len(moved) == 3
    assert {n.outputs[0].type.dtype for n in moved} == {U8}
    sample = random_inputs(graph, 1, 9)[0]
    wanted, got = run(graph, sample)["y"], run(low, sample)["y"]
    assert 10 * np.log10(wanted.var() / ((wanted - got) ** 2).mean()) > 25


def layer(bias: float, clamp: Clamp | None = None) -> tuple[Graph, list[dict[str, np.ndarray]]]:
    """A convolution with weights that round badly, between others; inputs that are not centred."""
    rng, b = np.random.default_rng(0), Builder("layer")
    x = b.input("x", TensorType((1, 6, 6, 4), F32))
    w = rng.normal(0, 0.3, (4, 1, 1, 4)).astype(np.float32)
    w[:, 0, 0, 0] = 4.0  # one large weight makes the step coarse for the others
    first = b(Conv2D(epilogue=clamp), x, const("w", w), const("b", np.full(4, bias, np.float32)))
    y = b(Linear(), b(Reshape((36, 4)), first), const("v", rng.normal(0, 1, (3, 4)).astype(np.float32)))
    samples = [{"x": (rng.random((1, 6, 6, 4)) + 1).astype(np.float32)} for _ in range(16)]
    return b.finish((y,)), samples


def test_bias_makes_up_for_the_mean_error() -> None:
    graph, samples = layer(0.1)
    made = decide(prepared(graph, HOST), samples)
    plain = replace(made, biases={n: np.asarray(n.inputs[2].data if len(n.inputs) > 2 else np.zeros(3), float)
                                  for n in made.biases})  # fmt: skip

    def mean_error(s: Scheme) -> float:
        integer = lowered(quantised(s), HOST)
        errors = [run(integer, x)[s.graph.outputs[0].name] - run(s.graph, x)[s.graph.outputs[0].name] for x in samples]
        return float(np.abs(np.mean(errors, (0, 1))).max())

    assert mean_error(made) < 0.3 * mean_error(plain)


def test_proof_is_not_shown_for_multipliers_that_are_too_long() -> None:
    graph = lowered(quantised(scheme(2)), HOST)
    nodes = [n for n in graph.nodes if isinstance(n.op.attributes.get("epilogue"), Requantise)]
    assert nodes
    for node in nodes:
        assert proven(graph, node) is True
        mul = node.inputs[3]
        assert mul is not None
        assert mul.data is not None
        longer = replace(mul, data=np.full(mul.data.shape, 2**31 - 1, np.int32))
        assert proven(graph, replace(node, inputs=(*node.inputs[:3], longer, node.inputs[4]))) is False


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_proof_holds_for_the_worst_inputs(seed: int) -> None:
    """Inputs at the ends of their range, by the signs of each filter, give the largest product; it fits."""
    made = scheme(seed % len(SEEDS))
    graph = lowered(quantised(made), HOST)
    for node in graph.nodes:
        if isinstance(node.op, (Conv2D, Linear)) and isinstance(node.op.epilogue, Requantise):
            x, w, _, mul, add = (v.data if v is not None and v.data is not None else None for v in node.inputs[:5])
            kind = node.inputs[0].type.dtype  # type: ignore[union-attr]
            assert x is None
            assert w is not None
            assert mul is not None
            assert add is not None
            c = seed % len(w)
            for high, low in ((kind.high, kind.low), (kind.low, kind.high)):
                total = int(
                    np.where(w[c] > 0, high, low).astype(np.int64).reshape(-1) @ w[c].reshape(-1).astype(np.int64)
                )
                product = total * int(mul[c % len(mul)])
                assert all(-(2**31) <= p < 2**31 for p in (product, product + int(add[c % len(add)])))


def test_kept_layers_stay_float_and_buy_what_was_said() -> None:
    made = scheme(4)
    samples = random_inputs(made.graph, 12, 77)
    loss = measure(made, HOST, samples)
    costliest = loss.costliest
    assert costliest is not None
    kept = kept_nodes(made, samples, "1")
    assert costliest.name in {n.name for n in kept}
    assert kept == kept_nodes(made, samples, costliest.name)
    wider = measure(decide(made.graph, random_inputs(made.graph, 24, 104), kept), HOST, samples, sensitivity=False)
    assert wider.snr_db - loss.snr_db == pytest.approx(costliest.gain_db, abs=1.0)
    assert next(x for x in wider.layers if x.name == costliest.name).arithmetic == "float"
    with pytest.raises(UserError, match="no layer named 'nothing'"):
        kept_nodes(made, samples, "nothing")


def test_everything_kept_is_nothing_to_quantise() -> None:
    graph = random_network(0)
    ready = prepared(graph, HOST)
    with pytest.raises(UserError, match="nothing to quantise"):
        decide(ready, random_inputs(graph, 2, 0), frozenset(n for n in ready.nodes if weighted(n)))


def test_softmax_stays_float_behind_wide_logits() -> None:
    graph = random_network(5, softmax=True)
    made = decide(prepared(graph, HOST), random_inputs(graph, 16, 1))
    floats = [n for n in apply(quantised(made), HOST).nodes if n.outputs[0].type.dtype.is_float]
    assert [type(n.op) for n in floats] == [Dequantize, Softmax]
    assert measure(made, HOST, random_inputs(graph, 8, 2), sensitivity=False).snr_db > 20


def test_quantised_networks_are_refused() -> None:
    with pytest.raises(UserError, match="quantised already"):
        prepared(quantised(scheme(0)), HOST)


def test_only_int8_for_networks() -> None:
    with pytest.raises(UserError, match="do not quantise to w4"):
        quantise(random_network(0), HOST, parse(["quant=w4"]))


def test_random_samples_come_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    result = quantise(random_network(0), HOST, Options())
    assert "no --calibrate" in capsys.readouterr().err
    assert result.source == "random inputs"
    assert len(result.unseen) * 3 == len(result.calibration)


@given(st.integers(1, 40))
def test_measured_samples_are_not_calibrated_with(count: int) -> None:
    samples = [{"x": np.array([i])} for i in range(count)]
    calibration, unseen = split(samples)
    seen = [int(s["x"][0]) for s in (*calibration, *unseen)]
    if count >= 8:
        assert sorted(seen) == list(range(count))
    else:
        assert calibration is unseen is samples


def test_decisions_do_not_change_from_run_to_run() -> None:
    graph = random_network(6)
    first, second = (decide(prepared(graph, HOST), random_inputs(graph, 8, 3)) for _ in range(2))
    assert list(first.grids.values()) == list(second.grids.values())
    for a, b in zip(first.weights.values(), second.weights.values(), strict=True):
        np.testing.assert_array_equal(a.stored, b.stored)


def test_one_quantize_at_the_input() -> None:
    for seed in SEEDS:
        nodes = apply(quantised(scheme(seed)), HOST).nodes
        assert sum(isinstance(n.op, Quantize) for n in nodes) == 1
