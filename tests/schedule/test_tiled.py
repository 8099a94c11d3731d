"""Networks compiled for a chip with a small scratchpad, run byte by byte on all of its cores: the graph's bits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.graphs import random_graph, random_inputs
from tests.schedule.exactly import runs_exactly
from tilewright.errors import UserError
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine, RaceError
from tilewright.ir.graph import Graph
from tilewright.ir.plan import Block, Choice, Plan
from tilewright.ir.program import Barrier, Loop, Step, Wait
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.schedule.lower import lower
from tilewright.solve.check import PlanError, check
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


@example(69, 7, 0.0)  # the last round of a loop loads what it reads
@given(SEEDS, st.integers(1, 10), st.sampled_from([0.0, 0.0, 0.1, 0.3, 0.6, 1.0, 3.0]))
@settings(max_examples=30)
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


# Mutants


def cut_up(seed: int) -> tuple[Graph, Plan, Target]:
    """A network on a scratchpad that makes most of it stream."""
    graph = apply(random_graph(seed, 8), chip(1 << 17))
    target = chip(least(graph) + 256)
    return graph, solve((graph,), target), target


def with_blocks(plan: Plan, blocks: tuple[Block, ...]) -> Plan:
    return replace(plan, entries=(replace(plan.entries[0], blocks=blocks),))


def with_choice(plan: Plan, name: str, choice: Choice) -> Plan:
    (entry,) = plan.entries
    return replace(plan, entries=(replace(entry, choices={**entry.choices, name: choice}),))


def block_mutants(plan: Plan, block: Block) -> Iterator[tuple[str, Plan]]:
    """One block made wrong, in each way that there is."""
    others = tuple(b for b in plan.entries[0].blocks if b is not block)
    yield "missing", with_blocks(plan, others)
    wrong = {
        "late": replace(block, first=block.last + 1, last=block.last + 1),
        "early": replace(block, first=block.first - 1, last=block.first - 1),
        "crooked": replace(block, offset=block.offset + 1),
        "negative": replace(block, offset=-16),
        "beyond": replace(block, offset=plan.capacity[block.memory]),
        "elsewhere": replace(block, memory="l2" if block.memory == "l1" else "l1", offset=1 << 20),
        "nowhere": replace(block, memory="attic"),
        "small": replace(block, bytes=0),
    }
    for kind, mutant in wrong.items():
        yield kind, with_blocks(plan, (*others, mutant))
    for other in others:
        if other.memory == block.memory and other.overlaps_in_time(block) and other.bytes and block.bytes:
            yield "on top", with_blocks(plan, (*others, replace(block, offset=other.offset)))


@pytest.mark.parametrize("seed", range(6))
def test_a_wrong_block_is_caught(seed: int) -> None:
    _, plan, target = cut_up(seed)
    for block in plan.entries[0].blocks:
        for kind, mutant in block_mutants(plan, block):
            try:
                check(mutant, target)
            except PlanError:
                continue
            pytest.fail(f"{kind} {block}")


@pytest.mark.parametrize("seed", range(6))
def test_a_wrong_choice_is_caught(seed: int) -> None:
    """Tiles along what is no dimension, twice along one, larger than their buffers; other kernels; constants early."""
    graph, plan, target = cut_up(seed)
    (entry,) = plan.entries
    blocks = {block.name: block for block in entry.blocks}
    kinds = set()
    for node in graph.nodes:
        choice = entry.choices.get(node.name)
        if choice is None:
            continue
        assert choice.tiled is not None
        way = choice.tiled
        mutants = {
            "none": replace(choice, tiled=None),
            "strange": replace(choice, tiled=replace(way, tile=(("nothing", 1),))),
            "empty": replace(choice, tiled=replace(way, tile=tuple((name, 0) for name, _ in way.tile) or (("x", 0),))),
            "twice": replace(choice, tiled=replace(way, tile=(*way.tile, *(way.tile or (("x", 1),))))),
            "flat": replace(choice, tiled=replace(way, depth=0)),
            "backwards": replace(choice, early=-1),
        }
        own = [block for name, block in blocks.items() if name.startswith(f"{node.name}.")]
        if any(not name.endswith(".scratch") for name in (block.name for block in own)):
            mutants["deep"] = replace(choice, tiled=replace(way, depth=way.depth + 2))
        if way.tile and any(s.operand in {b.name.rpartition(".")[2] for b in own} for s in way.streams):
            mutants["uncut"] = replace(choice, tiled=replace(way, tile=()))
        if f"{node.name}.constants" in blocks:
            mutants["too early"] = replace(choice, early=choice.early + 1)
        other = next(k for k in target.kernels if k.op is not type(node.op))
        mutants["kernel"] = replace(choice, kernel=other)
        for kind, mutant in mutants.items():
            kinds.add(kind)
            try:
                check(with_choice(plan, node.name, mutant), target)
            except PlanError:
                continue
            pytest.fail(f"{kind} {node!r} {way}")
    assert len(kinds) >= 7


def test_memories_that_are_too_small_are_caught() -> None:
    _, plan, target = cut_up(1)
    for memory in target.memories:
        limited = replace(target, memories=tuple(replace(m, bytes=8) if m is memory else m for m in target.memories))
        if plan.capacity.get(memory.name):
            with pytest.raises(PlanError):
                check(plan, limited)


def without(steps: tuple[Step, ...], kind: type[Step]) -> Iterator[tuple[Step, ...]]:
    """The steps without one of a kind, in loops as well."""
    for at, step in enumerate(steps):
        if isinstance(step, kind):
            yield (*steps[:at], *steps[at + 1 :])
        elif isinstance(step, Loop):
            for body in without(step.body, kind):
                yield (*steps[:at], replace(step, body=body), *steps[at + 1 :])


@pytest.mark.parametrize("seed", range(4))
def test_a_wait_that_is_dropped_is_a_race(seed: int) -> None:
    graph, plan, target = cut_up(seed)
    (program,) = lower(plan, target)
    inputs = list(random_inputs(graph, seed).values())
    mutants = [replace(program, steps=steps) for steps in without(program.steps, Wait)]
    assert mutants
    for mutant in mutants[:40]:
        with pytest.raises(RaceError):
            Machine((mutant,), plan.capacity, target.cores, "l1").run(mutant, inputs)


@pytest.mark.parametrize("seed", range(4))
def test_barriers_that_are_dropped_are_a_race(seed: int) -> None:
    """One that is there for shares that happen to keep to their cores changes nothing."""
    graph, plan, target = cut_up(seed)
    (program,) = lower(plan, target)
    inputs = list(random_inputs(graph, seed).values())
    mutants = [replace(program, steps=steps) for steps in without(program.steps, Barrier)]
    caught = 0
    for mutant in mutants[:40]:
        try:
            got = Machine((mutant,), plan.capacity, target.cores, "l1").run(mutant, inputs)
        except RaceError:
            caught += 1
            continue
        wanted = interpreter.run(graph, dict(zip((v.name for v in graph.inputs), inputs, strict=True)))
        for value, array in zip(graph.outputs, got, strict=True):
            np.testing.assert_array_equal(array, wanted[value.name].reshape(-1))
    assert caught > 0


def test_rows_of_one_function_have_menus_of_their_own() -> None:
    """A refusal looks for other rows with smaller tiles until there is none."""
    graph = apply(random_graph(804, 9), chip(1 << 17))
    floor = least(graph)
    solve((graph,), chip(floor))
