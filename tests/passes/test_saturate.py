"""Products with results of 16 bits, cut apart for an engine that has none: the same numbers, fewer cycles."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import I4, I8, I16, I32, TensorType, const
from tilewright.ops import Linear, LinearAdd, QuantisedRoPE, Requantise, Saturate
from tilewright.options import Options
from tilewright.passes.cheaper import cost
from tilewright.passes.saturate import saturate_apart
from tilewright.targets.registry import find

CHIP, CORES = find("siracusa", Options()), find("siracusa", Options(npu="off"))


def network(rows: int, residual: bool, layers: int = 2, worst: int = 200) -> Graph:
    """Products of so many rows; the last one's multipliers are up to `worst`."""
    b, rng = Builder("run"), np.random.default_rng(rows)
    x = b.input("x", TensorType((rows, 64), I8))
    r = b.input("r", TensorType((rows, 64), I16))
    outputs = []
    for layer in range(layers):
        w = const(f"w{layer}", rng.integers(-128, 128, (64, 64), np.int8))
        most = worst if layer == layers - 1 else 200
        if residual:
            mul = const(f"mul{layer}", rng.integers(1, most, 64).astype(np.uint8))
            outputs.append(b(LinearAdd(12), x, w, r, mul))
        else:
            mul, add = const(f"mul{layer}", np.full(64, most), I32), const(f"add{layer}", np.full(1, 1 << 11), I32)
            outputs.append(b(Linear(Requantise(12, I16.low, I16.high, I16)), x, w, None, mul, add))
    return b.finish(tuple(outputs))


def kinds(graph: Graph) -> set[type]:
    return {type(node.op) for node in graph.nodes}


@pytest.mark.parametrize("residual", [False, True])
def test_results_stay(residual: bool) -> None:
    graph, rng = network(16, residual), np.random.default_rng(1)
    apart = saturate_apart(graph, CHIP)
    assert kinds(apart) == {Linear, Saturate}
    x, r = rng.integers(-128, 128, (16, 64), np.int8), rng.integers(-(1 << 15), 1 << 15, (16, 64)).astype(np.int16)
    for name, want in run(graph, {"x": x, "r": r}).items():
        np.testing.assert_array_equal(run(apart, {"x": x, "r": r})[name], want)


@pytest.mark.parametrize("residual", [False, True])
def test_cores_alone_and_one_row_keep_their_nodes(residual: bool) -> None:
    many, one = network(16, residual), network(1, residual)
    assert kinds(saturate_apart(many, CORES)) == kinds(many)
    assert kinds(saturate_apart(one, CHIP)) == kinds(one)


def test_layers_stay_alike() -> None:
    """One of them has sums that the engine cannot scale: then all stay."""
    graph = network(16, residual=False, worst=1 << 20)
    assert kinds(saturate_apart(graph, CHIP)) == {Linear}


@pytest.mark.parametrize("read", [1, 2])
def test_rotations_cut_sums_themselves(read: int) -> None:
    """Where nothing else reads what was cut."""
    b, rng = Builder("run"), np.random.default_rng(3)
    x, table = b.input("x", TensorType((16, 64), I8)), b.input("table", TensorType((40, 16), I16))
    w, mul = const("w", rng.integers(-128, 128, (64, 64), np.int8)), const("mul", np.full(64, 200), I32)
    sums = b(Linear(Requantise(9, I16.low, I16.high, I16)), x, w, None, mul, const("add", np.full(1, 1 << 8), I32))
    graph = b.finish((b(QuantisedRoPE(4, 20, 5), sums, table), *(sums,) * (read - 1)))
    apart = saturate_apart(graph, CHIP)
    assert (Saturate in kinds(apart)) == (read == 2)
    arrays = {"x": rng.integers(-128, 128, (16, 64), np.int8), "table": rng.integers(-16384, 16385, (40, 16), np.int16)}
    for name, want in run(graph, arrays).items():
        np.testing.assert_array_equal(run(apart, arrays)[name], want)


def test_sums_that_the_engine_alone_could_compute_are_not_asked_for() -> None:
    """Plans want a kernel of the cores as well, and these have none for sums of products with weights of 4 bits."""
    b, rng = Builder("run"), np.random.default_rng(4)
    w = const("w", rng.integers(-8, 8, (16, 16)).astype(np.int8), I4)
    (node,) = b.finish((b(Linear(), b.input("x", TensorType((5, 16), I8)), w),)).nodes
    assert CHIP.beside(node)
    assert cost(CHIP, [node]) == np.inf
