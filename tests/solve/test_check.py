"""The plan checker: sound plans pass, mutated ones are caught unless the mutation is harmless."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.llamas import SHAPES, model
from tilewright.errors import UserError
from tilewright.interp.program import Machine
from tilewright.ir.plan import EntryPlan, Home, Plan
from tilewright.options import Options
from tilewright.schedule.lower import lower
from tilewright.solve.check import PlanError, check
from tilewright.solve.plan import solve
from tilewright.targets.host.target import HOST
from tilewright.targets.registry import find

NETWORK = model(SHAPES[0])
PLAN = solve(NETWORK.entries, HOST)


def outputs(plan: Plan) -> list[np.ndarray]:
    """What the programs of a plan compute: a prompt of three tokens, then two more."""
    prefill, decode = lower(plan, HOST)
    machine = Machine((prefill, decode), plan.capacity)
    results = machine.run(prefill, [np.array([1, 7, 9])], {"n": 3, "pos": 0})
    for pos, token in ((3, 4), (4, 200)):
        results += machine.run(decode, [np.array([token])], {"pos": pos})
    return results


EXPECTED = outputs(PLAN)


def with_entry(entry: EntryPlan, index: int) -> Plan:
    entries = tuple(entry if i == index else e for i, e in enumerate(PLAN.entries))
    return replace(PLAN, entries=entries)


@st.composite
def mutations(draw: st.DrawFn) -> Plan:
    index = draw(st.integers(0, len(PLAN.entries) - 1))
    entry = PLAN.entries[index]
    kind = draw(st.sampled_from(["offset", "life", "home"]))
    if kind == "home":
        values = sorted((v for v, h in entry.homes.items() if h.block), key=lambda v: v.name)
        value, other = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        return with_entry(replace(entry, homes={**entry.homes, value: Home(entry.homes[other].block)}), index)
    at = draw(st.integers(0, len(entry.blocks) - 1))
    block = entry.blocks[at]
    if kind == "offset":
        mutant = replace(block, offset=64 * draw(st.integers(0, PLAN.capacity["ram"] // 64)))
    else:
        shift = draw(st.sampled_from([(1, 0), (0, -1), (2, 2), (-1, -1)]))
        mutant = replace(block, first=block.first + shift[0], last=block.last + shift[1])
    blocks = tuple(mutant if b is block else b for b in entry.blocks)
    return with_entry(replace(entry, blocks=blocks), index)


@given(mutations())
@settings(max_examples=200, deadline=None)
def test_a_mutated_plan_is_caught_or_harmless(mutant: Plan) -> None:
    try:
        check(mutant, HOST)
    except PlanError:
        return
    for got, expected in zip(outputs(mutant), EXPECTED, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_blocks_on_top_of_each_other_are_caught() -> None:
    entry = PLAN.entries[0]
    for victim in entry.blocks:
        for other in entry.blocks:
            if victim is not other and victim.overlaps_in_time(other):
                moved = tuple(replace(b, offset=other.offset) if b is victim else b for b in entry.blocks)
                with pytest.raises(PlanError):
                    check(with_entry(replace(entry, blocks=moved), 0), HOST)


def test_a_kernel_that_reads_another_layout_is_caught() -> None:
    with pytest.raises(PlanError, match="laid out"):
        check(replace(PLAN, packings={}), HOST)


def test_too_little_memory_is_explained() -> None:
    needed = PLAN.capacity["ram"]
    assert solve(NETWORK.entries, find("host", Options(ram=needed))).capacity["ram"] == needed
    with pytest.raises(UserError, match=r"8 too many.*alive at the peak.*--option ram="):
        solve(NETWORK.entries, find("host", Options(ram=needed - 8)))
