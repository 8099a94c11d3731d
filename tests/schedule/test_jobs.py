"""Networks for a chip with an asynchronous engine, run byte by byte: the graph's bits, whatever the engine takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines import toy
from tests.graphs import SHIFT, random_graph, random_inputs
from tests.schedule.exactly import runs_exactly
from tilewright.cgen.queued import queued
from tilewright.interp import program as interpreter
from tilewright.interp.program import Machine, RaceError
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.program import Job, Loop, Phase, Share, Step, Wait
from tilewright.ir.types import I8, TensorType, Value, const
from tilewright.ops import Linear, QuantizedAdd, Requantise
from tilewright.passes.pipeline import apply
from tilewright.schedule.lower import lower
from tilewright.solve.check import PlanError, check
from tilewright.solve.plan import solve


@given(
    st.integers(0, 1 << 20), st.integers(1, 10), st.sampled_from([None, 20000, 40000]), st.sampled_from([1, 500, 900])
)
@settings(max_examples=40)
def test_any_network_gives_the_bits_of_the_graph(seed: int, nodes: int, l1: int | None, cycles: float) -> None:
    target = toy(l1, cycles)
    graph = apply(random_graph(seed, nodes), target)
    runs_exactly(graph, solve((graph,), target), target, seed)


@given(st.integers(0, 1 << 20), st.integers(2, 10))
@settings(max_examples=15)
def test_what_the_runtime_reads_ahead_is_what_starts(seed: int, nodes: int) -> None:
    target = toy(None, 1)
    graph = apply(random_graph(seed, nodes), target)
    plan = solve((graph,), target)
    (program,) = lower(plan, target)
    machine, started = Machine((program,), plan.capacity, target.cores, "l1", seed), []

    class Watched(interpreter._Execution):
        def job(self, step: Job, row: interpreter.Row, note: str) -> None:
            started.append((step.core, step.call.kernel.symbol, self.spots(step.call, row)))
            super().job(step, row, note)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "_Execution", Watched)
        machine.run(program, [*random_inputs(graph, seed).values()])
    told = [
        (core, call.kernel.symbol, {n: machine.memories.spot(ref, {}) for n, ref in call.operands if ref is not None})
        for core, call in queued(program.steps)
    ]
    assert told == started


def product(b: Builder, x: Value, rows: int, seed: int) -> Value:
    rng = np.random.default_rng(seed)
    columns = x.type.static_shape[-1]
    w = const(b.unique("w"), rng.integers(-128, 128, (rows, columns), np.int8))
    mul, add = (const(b.unique(name), rng.integers(1, 60, 1, np.int32)) for name in ("mul", "add"))
    return b(Linear(Requantise(SHIFT, -128, 127, I8)), x, w, None, mul, add)


def three(rows: int) -> Graph:
    """Three products of one row, added up, and a product of the sum."""
    b = Builder("run")
    x = b.input("x", TensorType((1, 64), I8))
    q, k, v = (product(b, x, rows, seed) for seed in range(3))
    same = QuantizedAdd(0, 1, 0, 1)
    return b.finish((product(b, b(same, b(same, q, k), v), rows, 3),))


def flat(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield from flat(step.body) if isinstance(step, Loop) else (step,)


def test_both_engines_share_a_product_and_end_together() -> None:
    target, graph = toy(cycles=2000), three(512)
    plan = solve((graph,), target)
    ways = [choice.tiled for choice in plan.entries[0].choices.values()]
    partners = [way.partner for way in ways if way is not None and way.partner is not None]
    assert len(partners) >= 3
    assert all(0 < partner.size < 512 for partner in partners)
    steps = [*flat(runs_exactly(graph, plan, target, 0).steps)]
    assert sum(isinstance(step, Job) for step in steps) >= len(partners)


def test_a_quick_engine_has_it_all_and_jobs_queue() -> None:
    target, graph = toy(cycles=10), three(512)
    plan = solve((graph,), target)
    steps = [*flat(runs_exactly(graph, plan, target, 0).steps)]
    jobs = [at for at, step in enumerate(steps) if isinstance(step, Job)]
    assert len(jobs) == 4
    between = steps[jobs[0] + 1 : jobs[1]]
    assert not any(isinstance(step, Wait) and step.engine for step in between), "the second product waits in the queue"
    assert any(isinstance(step, Wait) and step.engine == "toy" and step.behind for step in steps)


def test_every_wait_for_a_job_is_needed() -> None:
    target, graph = toy(cycles=2000), three(512)
    plan = solve((graph,), target)
    program = runs_exactly(graph, plan, target, 0)
    waits = [at for at, step in enumerate(program.steps) if isinstance(step, Wait) and step.engine]
    assert waits
    for at in waits:
        mutant = replace(program, steps=(*program.steps[:at], *program.steps[at + 1 :]))
        machine = Machine((mutant,), plan.capacity, target.cores, "l1", 0)
        with pytest.raises(RaceError):
            machine.run(mutant, [*random_inputs(graph, 0).values()])


def test_a_slow_engine_has_nothing() -> None:
    target, graph = toy(cycles=100_000), three(64)
    steps = [*flat(runs_exactly(graph, solve((graph,), target), target, 0).steps)]
    assert not any(isinstance(step, Job) for step in steps)
    assert any(isinstance(step, Phase) for step in steps)


def test_a_wrong_share_of_a_product_is_caught() -> None:
    target, graph = toy(cycles=2000), three(512)
    plan = solve((graph,), target)
    (entry,) = plan.entries
    name, choice = next((n, c) for n, c in entry.choices.items() if c.tiled is not None and c.tiled.partner is not None)
    way = choice.tiled
    assert way is not None
    assert way.partner is not None
    for size in (0, 512, 4):  # nothing, all, and so little that the cores' constants need more bytes
        other = replace(choice, tiled=replace(way, partner=replace(way.partner, size=size)))
        changed = replace(plan, entries=(replace(entry, choices={**entry.choices, name: other}),))
        with pytest.raises(PlanError):
            check(changed, target)


def test_a_wait_that_lets_too_many_go_on_is_caught() -> None:
    target, graph = toy(cycles=2000), three(512)
    plan = solve((graph,), target)
    program = runs_exactly(graph, plan, target, 0)
    at = next(i for i, step in enumerate(program.steps) if isinstance(step, Wait) and step.engine)
    wait = program.steps[at]
    assert isinstance(wait, Wait)
    steps = (*program.steps[:at], replace(wait, behind=wait.behind + 1), *program.steps[at + 1 :])
    mutant = replace(program, steps=steps)
    with pytest.raises(RaceError, match="go on"):
        Machine((mutant,), plan.capacity, target.cores, "l1", 0).run(mutant, [*random_inputs(graph, 0).values()])


@given(st.integers(0, 300), st.integers(1, 9), st.integers(0, 12), st.integers(1, 9))
def test_a_late_core_has_less_and_nothing_is_left_out(total: int, unit: int, late: int, cores: int) -> None:
    share = Share(total, unit, late=late)
    ranges = [share.range_of(core, cores, total) for core in range(cores)]
    assert [i for first, stop in ranges for i in range(first, stop)] == [*range(total)]
    assert all(first % unit == 0 for first, stop in ranges if first < stop)
    first, stop = Share(total, unit).range_of(0, cores, total)
    assert ranges[0][1] - ranges[0][0] <= stop - first
