"""Programs lowered for a chip with a scratchpad, on all of its cores: the graph's bits, and no wait too many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from tests.llamas import SHAPES, Shape, checkpoint, vocabulary
from tilewright.api import compile_model
from tilewright.compiled import Compiled
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine, RaceError
from tilewright.ir.program import Barrier, Loop, Phase, Program, Ref, Step, Wait
from tilewright.ir.types import Array, syms_of
from tilewright.options import Options
from tilewright.quant.calibrate import CalibrationText
from tilewright.quant.lower import Recipe, language_model
from tilewright.schedule.estimate import estimate
from tilewright.targets.registry import find


def compiled(shape: Shape, usual: int | None = None) -> Compiled:
    """A llama; `usual`: how many tokens prompts have, where these are not as many as there can be."""
    recipe = Recipe("int8", CalibrationText.read())
    network = language_model(checkpoint(shape), vocabulary(), shape.chunk, recipe)
    if usual is not None:
        prefill, decode = network.entries
        fewer = {s.name: replace(s, nominal=usual) for s in prefill.syms if s.name == "n"}
        network = replace(network, entries=(prefill.specialise("prefill", fewer), decode))
    return compile_model(network, find("siracusa", Options()), Options())


def machine(made: Compiled, *programs: Program) -> Machine:
    target = made.target
    assert target.scratchpad is not None
    return Machine(programs, made.plan.capacity, target.cores, target.scratchpad)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_all_cores_give_the_bits_of_the_graph(shape: Shape) -> None:
    made = compiled(shape)
    cores, state = machine(made, *made.programs), interpreter.initial_state(made.plan.entries[0].graph)
    for entry, tokens, env in ((0, [1, 7, 9], {"n": 3, "pos": 0}), (1, [4], {"pos": 3}), (1, [200], {"pos": 4})):
        some = np.array(tokens, np.int32)
        expected = interpreter.run(made.plan.entries[entry].graph, {"tokens": some}, state, env)["logits"]
        (got,) = cores.run(made.programs[entry], [some], env)
        np.testing.assert_array_equal(got, expected.reshape(-1))


def test_prompts_in_two_parts_give_the_bits_of_the_graph() -> None:
    """Any number of tokens: fewer than the first part has, as many, and a second part beside it.

    So do those of the entry for few, behind prompts in two parts and before them.
    """
    made = compiled(Shape(64, 96, 3, 4, 2, 80, tied=True, chunk=64))
    prefill, few, _ = made.programs
    graph = made.plan.entries[0].graph
    rows = {s.name for step in all_steps(prefill.steps) if isinstance(step, Phase) and step.share is not None
            for s in syms_of(step.share.total)}  # fmt: skip
    assert {"n_first", "n_rest"} <= rows
    rng = np.random.default_rng(0)
    lengths = ((1, 0), (35, 2), (36, 0), (37, 40), (64, 0), (64, 16))
    for program, (n, pos) in ((p, length) for p in (prefill, few) for length in lengths):
        cores, state = machine(made, *made.programs), interpreter.initial_state(graph)
        done = 0
        for count in (pos, n):
            some, env = rng.integers(0, 200, count).astype(np.int32), {"n": count, "pos": done}
            if count:
                expected = interpreter.run(graph, {"tokens": some}, state, env)["logits"]
                (got,) = cores.run(program if count <= program.syms[0].max else prefill, [some], env)
                np.testing.assert_array_equal(got, expected.reshape(-1))
            done += count


def test_prompts_whose_second_part_is_usually_empty_take_a_time() -> None:
    made = compiled(Shape(24, 44, 1, 2, 1, 64, tied=True, chunk=64), usual=1)
    (n,) = [sym for sym in made.plan.entries[0].graph.syms if sym.name == "n"]
    assert n.nominal < made.target.rows < n.max
    assert 0 < estimate(made.programs[0], made.target).cycles < 1e6


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Loop):
            yield from all_steps(step.body)


def test_every_wait_of_parts_is_needed() -> None:
    """But for those that later ones are for as well."""
    made = compiled(Shape(64, 96, 1, 4, 2, 80, tied=True, chunk=64))
    prefill = made.programs[0]
    tokens = np.arange(64, dtype=np.int32)
    mutants = [replace(prefill, steps=steps) for steps in without_a_wait(prefill.steps)]
    assert sum(races(made, mutant, tokens) for mutant in mutants) >= 0.8 * len(mutants) > 0


def races(made: Compiled, prefill: Program, tokens: Array) -> bool:
    try:
        machine(made, prefill).run(prefill, [tokens], {"n": len(tokens), "pos": 0})
    except RaceError:
        return True
    return False


def without_a_wait(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    for at, step in enumerate(steps):
        if isinstance(step, Wait):
            yield (*steps[:at], *steps[at + 1 :])
        elif isinstance(step, Loop):
            bodies = without_a_wait(step.body)
            yield from ((*steps[:at], replace(step, body=body), *steps[at + 1 :]) for body in bodies)


def test_every_wait_is_needed() -> None:
    made = compiled(SHAPES[1])
    decode = made.programs[1]
    mutants = [replace(decode, steps=steps) for steps in without_a_wait(decode.steps)]
    assert mutants
    for mutant in mutants:
        with pytest.raises(RaceError):
            machine(made, mutant).run(mutant, [np.array([4], np.int32)], {"pos": 3})


def meeting(steps: tuple[Step, ...]) -> bool:
    return any(isinstance(s, Phase) and any(call.kernel.meets for call in s.calls) for s in steps)


def without_barriers_beside_a_meeting(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """A step that cores meet in, without the barrier before it, and without the one behind."""
    for at, step in enumerate(steps):
        if isinstance(step, Loop):
            bodies = without_barriers_beside_a_meeting(step.body)
            yield from ((*steps[:at], replace(step, body=body), *steps[at + 1 :]) for body in bodies)
        elif meeting((step,)):
            places = [i for i, other in enumerate(steps) if isinstance(other, Barrier)]
            for gone in (max(i for i in places if i < at), min(i for i in places if i > at)):
                yield (*steps[:gone], *steps[gone + 1 :])


def test_cores_that_meet_in_a_call_have_one_scratch_and_barriers_around_it() -> None:
    made = compiled(Shape(64, 40, 1, 4, 2, 40, tied=True, chunk=8))
    decode = made.programs[1]
    calls = [call for s in decode.steps if isinstance(s, Phase) for call in s.calls if call.kernel.meets]
    assert [call.kernel.symbol for call in calls] == ["tw_cluster_turned_heads", "tw_shared_attention_16"]
    scratch = dict(calls[1].operands)["scratch"]
    assert isinstance(scratch, Ref)
    assert scratch.buffer.bytes < 2 * calls[1].kernel.scratch(calls[1].semantics)
    mutants = [replace(decode, steps=steps) for steps in without_barriers_beside_a_meeting(decode.steps)]
    assert len(mutants) == 4
    for mutant in mutants:
        with pytest.raises(RaceError):
            machine(made, mutant).run(mutant, [np.array([4], np.int32)], {"pos": 3})
