"""What a call ends with for the next one: calls in any order give the graph's bits, and rely on what is left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from tests.llamas import Shape, checkpoint, vocabulary
from tilewright.api import compile_model
from tilewright.compiled import Compiled
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine
from tilewright.ir.program import Copy, Loop, Once, Step
from tilewright.ir.regions import run
from tilewright.ir.types import Array
from tilewright.options import Options
from tilewright.quant.calibrate import CalibrationText
from tilewright.quant.lower import Recipe, language_model
from tilewright.targets.registry import find

SHAPE = Shape(64, 192, 3, 4, 4, 24, tied=False, chunk=8)
CALLS = (  # entry, tokens, where the text is
    (1, [4], {"pos": 0}), (0, [1, 7, 9], {"n": 3, "pos": 0}), (1, [4], {"pos": 3}), (1, [200], {"pos": 4}),
    (0, [8, 5], {"n": 2, "pos": 5}), (1, [17], {"pos": 7}),
)  # fmt: skip


@pytest.fixture(scope="module", params=(56_000, 72_000))
def made(request: pytest.FixtureRequest) -> Compiled:
    options = Options(l1=request.param, npu="off")
    network = language_model(checkpoint(SHAPE), vocabulary(), SHAPE.chunk, Recipe("int8", CalibrationText.read()))
    return compile_model(network, find("siracusa", options), options)


def machine(made: Compiled) -> Machine:
    assert made.target.scratchpad is not None
    return Machine(made.programs, made.plan.capacity, made.target.cores, made.target.scratchpad)


def results(made: Compiled, cores: Machine) -> Iterator[tuple[Array, Array]]:
    """What each call gives, and what it should."""
    state = interpreter.initial_state(made.plan.entries[0].graph)
    for entry, tokens, env in CALLS:
        some = np.array(tokens, np.int32)
        wanted = interpreter.run(made.plan.entries[entry].graph, {"tokens": some}, state, env)["logits"]
        (got,) = cores.run(made.programs[entry], [some], env)
        yield got, wanted.reshape(-1)


def test_calls_follow_each_other_in_any_order(made: Compiled) -> None:
    assert all(entry.again for entry in made.plan.entries)
    for got, wanted in results(made, machine(made)):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("before", range(len(CALLS) - 1))
def test_the_next_call_reads_what_is_left(made: Compiled, before: int) -> None:
    cores = machine(made)
    for call, (got, wanted) in enumerate(results(made, cores)):
        if call == before:
            last = made.plan.entries[-1]
            for name in last.again:
                block = next(b for b in last.blocks if b.name == f"{name}.constants")
                cores.memories.spoil(run(block.memory, block.offset, block.bytes))
        if call == before + 1:
            assert (CALLS[call][0] == 0) == np.array_equal(got, wanted)
            return


def copies(steps: Iterable[Step]) -> Iterator[Copy]:
    for step in steps:
        if isinstance(step, Copy):
            yield step
        elif isinstance(step, Loop | Once):
            yield from copies(step.body if isinstance(step, Loop) else ())


def test_it_comes_once_a_call(made: Compiled) -> None:
    nothing = [[copy for copy in copies(p.steps) if copy.bytes == 0] for p in made.programs]
    assert [len(some) for some in nothing] == [0, len(made.plan.entries[-1].again)]
