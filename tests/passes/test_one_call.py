"""Llamas for a target whose cores share calls: fewer calls for a token, the same numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.llamas import Shape, checkpoint, vocabulary
from tilewright.interp import graph as interpreter
from tilewright.ir.graph import Graph
from tilewright.ir.verify import verify
from tilewright.ops import Columns
from tilewright.options import Options
from tilewright.passes.one_call import one_call
from tilewright.quant.calibrate import CalibrationText
from tilewright.quant.lower import Recipe, language_model
from tilewright.targets.base import Target
from tilewright.targets.host.target import HOST
from tilewright.targets.registry import find

CORES = find("siracusa", Options(npu="off"))  # without the engine beside them
CHIP = find("siracusa", Options())

TEXT = CalibrationText.read()


def decode(heads: int, kv_heads: int, dim: int = 64, hidden: int = 96) -> Graph:
    shape = Shape(dim, hidden, 2, heads, kv_heads, 12, tied=True, chunk=4)
    return language_model(checkpoint(shape), vocabulary(), shape.chunk, Recipe("int8", TEXT)).entries[1]


def counts(graph: Graph) -> Counter[str]:
    return Counter(type(node.op).__name__ for node in graph.nodes)


@pytest.mark.parametrize("target", [CORES, CHIP])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (4, 4)])
def test_a_layer_needs_fewer_calls_and_computes_the_same(heads: int, kv_heads: int, target: Target) -> None:
    before = decode(heads, kv_heads)
    after = verify(one_call(before, target))
    found = counts(after)
    assert found["TurnedHeads"] == 2
    assert found["RowsAt"] == 1  # for both layers
    assert found["GatedLinear"] + found["GatedSums"] == 2
    assert found["QuantisedRoPE"] == found["QuantisedSwiGLU"] == found["Append"] == 0
    states = [interpreter.initial_state(graph) for graph in (before, after)]
    for pos, token in enumerate(np.random.default_rng(1).integers(0, 264, 6)):
        logits = [
            interpreter.run(graph, {"tokens": np.array([token], np.int32)}, state, {"pos": pos})["logits"]
            for graph, state in zip((before, after), states, strict=True)
        ]
        np.testing.assert_array_equal(*logits)


def test_residual_streams_are_joined_by_the_cores_where_the_engine_computes_the_sums() -> None:
    graph = decode(4, 2, hidden=172)
    assert counts(one_call(graph, CHIP))["ScaledAdd"] > 0
    assert counts(one_call(graph, CORES))["ScaledAdd"] == 0


@pytest.mark.parametrize("hidden", [248, 256, 508])
def test_inputs_for_which_the_engine_would_start_anew_are_left_to_what_follows(hidden: int) -> None:
    before = decode(4, 2, hidden=hidden)
    after = verify(one_call(before, CHIP))
    taken = [node.op for node in after.nodes if isinstance(node.op, Columns)]
    assert taken == ([] if hidden == 248 else [Columns(0, hidden - 4), Columns(hidden - 4, 4)] * 2)
    token, states = {"tokens": np.array([5], np.int32)}, [interpreter.initial_state(g) for g in (before, after)]
    old, new = (
        interpreter.run(graph, token, state, {"pos": 0})["logits"]
        for graph, state in zip((before, after), states, strict=True)
    )
    np.testing.assert_array_equal(old, new)


def test_one_core_and_heads_that_are_no_whole_words_stay() -> None:
    graph = decode(4, 2)
    assert one_call(graph, HOST) is graph
    assert counts(one_call(decode(32, 16), CORES))["TurnedHeads"] == 0  # of two channels
