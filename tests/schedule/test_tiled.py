"""Networks compiled for a chip with a small scratchpad, run byte by byte on all of its cores: the graph's bits."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.graphs import random_graph, random_inputs
from tilewright.errors import UserError
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine
from tilewright.ir.graph import Graph
from tilewright.ir.plan import Plan
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.schedule.lower import lower
from tilewright.solve.plan import solve
from tilewright.targets.base import Target
from tilewright.targets.registry import find

LEAST = re.compile(r"--option l1=(\d+)")
SEEDS = st.integers(0, 1 << 20)


def chip(l1: int) -> Target:
    return find("siracusa", Options(l1=l1))


def least(graph: Graph) -> int:
    """Bytes of scratchpad that the refusal of too few names."""
    with pytest.raises(UserError, match="are missing") as refusal:
        solve((graph,), chip(1))
    (stated,) = LEAST.findall(str(refusal.value))
    return int(stated)


def runs_exactly(graph: Graph, plan: Plan, target: Target, seed: int) -> None:
    """Two runs on one machine, with different inputs, give what the graph's definition gives."""
    (program,) = lower(plan, target)
    machine = Machine((program,), plan.capacity, target.cores, "l1", seed)
    for draw in (seed, seed + 1):
        inputs = random_inputs(graph, draw)
        wanted = interpreter.run(graph, inputs)
        got = machine.run(program, list(inputs.values()))
        for value, array in zip(graph.outputs, got, strict=True):
            np.testing.assert_array_equal(array, wanted[value.name].reshape(-1), err_msg=value.name)


@given(SEEDS, st.integers(1, 10), st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.6, 1.0, 3.0]))
@settings(max_examples=40)
def test_any_budget_gives_the_bits_of_the_graph(seed: int, nodes: int, share: float) -> None:
    """Budgets from the least that the compiler names to more than all values together."""
    graph = apply(random_graph(seed, nodes), chip(1 << 17))
    floor = least(graph)
    plenty = sum(value.type.bytes for value in graph.values)
    target = chip(floor + int(share * plenty))
    plan = solve((graph,), target)
    assert plan.capacity["l1"] <= floor + int(share * plenty)
    runs_exactly(graph, plan, target, seed)


@given(SEEDS, st.integers(1, 8))
@settings(max_examples=25)
def test_the_least_is_true(seed: int, nodes: int) -> None:
    graph = apply(random_graph(seed, nodes), chip(1 << 17))
    floor = least(graph)
    solve((graph,), chip(floor))
    with pytest.raises(UserError, match="are missing"):
        solve((graph,), chip(floor - 16))
