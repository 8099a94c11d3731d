"""The llama graph against an independent forward pass, and programs against graphs, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.llamas import SHAPES, Shape, checkpoint, model
from tilewright.api import compile_model
from tilewright.frontend.llama import graph as llama_graph
from tilewright.interp import graph as graph_interpreter
from tilewright.interp.program import Machine
from tilewright.ir.program import Loop
from tilewright.lm.reference import Reference
from tilewright.options import Options
from tilewright.targets.host.target import HOST


def tokens(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 264, count).astype(np.int32)


@pytest.mark.parametrize("shape", SHAPES)
def test_graph_equals_the_plain_forward_pass(shape: Shape) -> None:
    made = checkpoint(shape)
    whole = llama_graph(made, shape.context, all_logits=True)
    some = tokens(shape.context)
    state = graph_interpreter.initial_state(whole)
    ours = graph_interpreter.run(whole, {"tokens": some}, state, {"n": len(some), "pos": 0})["logits"]
    (theirs,) = Reference(made).forward([some])
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_program_equals_graph_twice(shape: Shape) -> None:
    network = model(shape)
    compiled = compile_model(network, HOST, Options())
    machine = Machine(compiled.programs, compiled.plan.capacity)
    some = tokens(shape.context)
    for _ in range(2):
        machine.reset()
        state = graph_interpreter.initial_state(network.entries[0])
        at = 0
        while at < len(some):
            prefill = at % 3 == 0
            count = min(shape.chunk, 4, len(some) - at) if prefill else 1
            part, env = some[at : at + count], {"pos": at} | ({"n": count} if prefill else {})
            entry = 0 if prefill else 1
            expected = graph_interpreter.run(network.entries[entry], {"tokens": part}, state, env)["logits"]
            (got,) = machine.run(compiled.programs[entry], [part], env)
            np.testing.assert_array_equal(got, expected.reshape(-1))
            at += count


def test_blocks_become_one_loop() -> None:
    """All of a token; of a prompt all but the last, of which one row is computed."""
    prefill, decode = compile_model(model(SHAPES[2]), HOST, Options()).programs
    assert [type(step).__name__ for step in decode.steps] == ["Phase", "Loop", "Phase", "Phase"]
    kinds = [type(step).__name__ for step in prefill.steps]
    assert kinds[:2] == ["Phase", "Loop"]
    assert set(kinds[2:]) == {"Phase"}
    loops = [step for program in (prefill, decode) for step in program.steps if isinstance(step, Loop)]
    assert [len(loop.table.rows) for loop in loops] == [SHAPES[2].layers - 1, SHAPES[2].layers]
