"""What a call ends with for the next one: calls give the graph's bits, and rely on what those before left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from tests.llamas import Shape, checkpoint, vocabulary
from tilewright.api import compile_model
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine
from tilewright.ir.graph import Graph
from tilewright.ir.plan import Plan
from tilewright.ir.program import Copy, Loop, Program, Step
from tilewright.ir.regions import run
from tilewright.ir.types import Array
from tilewright.options import Options
from tilewright.quant.calibrate import CalibrationText
from tilewright.quant.lower import Recipe, language_model
from tilewright.schedule.lower import lower
from tilewright.solve.plan import solve
from tilewright.targets.registry import find

OPTIONS = Options(l1=96_000, npu="off")
TARGET = find("siracusa", OPTIONS)

SHAPE = Shape(64, 192, 3, 4, 4, 24, tied=False, chunk=8)
TOKENS = (4, 200, 17)


@dataclass(frozen=True)
class Made:
    graph: Graph
    plan: Plan
    program: Program

    def machine(self) -> Machine:
        return Machine((self.program,), self.plan.capacity, TARGET.cores, "l1")

    def results(self, cores: Machine) -> Iterator[tuple[Array, Array]]:
        """What each call gives, and what it should."""
        state = interpreter.initial_state(self.graph)
        for pos, token in enumerate(TOKENS):
            some, env = np.array([token], np.int32), {"pos": pos}
            wanted = interpreter.run(self.graph, {"tokens": some}, state, env)["logits"]
            (got,) = cores.run(self.program, [some], env)
            yield got, wanted.reshape(-1)


@pytest.fixture(scope="module")
def made() -> Made:
    """The decoder of a language model as a network of its own."""
    network = language_model(checkpoint(SHAPE), vocabulary(), SHAPE.chunk, Recipe("int8", CalibrationText.read()))
    graph = compile_model(network, TARGET, OPTIONS).plan.entries[-1].graph
    plan = solve((graph,), TARGET)
    (program,) = lower(plan, TARGET)
    return Made(graph, plan, program)


def test_calls_follow_each_other(made: Made) -> None:
    assert made.plan.entries[0].again
    for got, wanted in made.results(made.machine()):
        np.testing.assert_array_equal(got, wanted)


def test_the_next_call_reads_what_is_left(made: Made) -> None:
    cores, (entry,) = made.machine(), made.plan.entries
    calls = made.results(cores)
    next(calls)
    for name in entry.again:
        block = next(b for b in entry.blocks if b.name == f"{name}.constants")
        cores.memories.spoil(run(block.memory, block.offset, block.bytes))
    assert not np.array_equal(*next(calls))


def copies(steps: Iterable[Step]) -> Iterator[Copy]:
    for step in steps:
        if isinstance(step, Copy):
            yield step
        elif isinstance(step, Loop):
            yield from copies(step.body)


def test_it_comes_once_a_call(made: Made) -> None:
    nothing = [copy for copy in copies(made.program.steps) if copy.bytes == 0]
    assert len(nothing) == len(made.plan.entries[0].again)


def test_several_entries_leave_nothing() -> None:
    network = language_model(checkpoint(SHAPE), vocabulary(), SHAPE.chunk, Recipe("int8", CalibrationText.read()))
    assert not any(entry.again for entry in compile_model(network, TARGET, OPTIONS).plan.entries)
