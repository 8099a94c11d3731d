"""Programs of random networks, run byte by byte beside the graphs that they were made from."""

from __future__ import annotations

import numpy as np

from tests.graphs import random_inputs
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine
from tilewright.ir.graph import Graph
from tilewright.ir.plan import Plan
from tilewright.ir.program import Program
from tilewright.schedule.lower import lower
from tilewright.targets.base import Target


def runs_exactly(graph: Graph, plan: Plan, target: Target, seed: int) -> Program:
    """Two runs on one machine, with different inputs, give what the graph's definition gives."""
    (program,) = lower(plan, target)
    machine = Machine((program,), plan.capacity, target.cores, "l1", seed)
    for draw in (seed, seed + 1):
        inputs = random_inputs(graph, draw)
        wanted = interpreter.run(graph, inputs)
        got = machine.run(program, list(inputs.values()))
        for value, array in zip(graph.outputs, got, strict=True):
            np.testing.assert_array_equal(array, wanted[value.name].reshape(-1), err_msg=value.name)
    return program
