"""Constants that stay from call to call: what would fit beside them does not travel."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.passes.decoders import Decoder, Shape
from tilewright.ir.plan import EntryPlan, Plan, aligned
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.solve.check import check
from tilewright.solve.plan import solve
from tilewright.targets.registry import find

BUDGETS = (236_000, 120_000, 90_000, 70_000)
SHAPE = Shape(blocks=5, heads=16, hidden=256, biased=False)


def end_of(entry: EntryPlan) -> int:
    return max(b.offset + aligned(b.bytes) for b in entry.blocks if b.memory == "l1")


def travelling(entry: EntryPlan) -> list[list[int]]:
    """Bytes of the constants that come in every call, by kind of node."""
    kinds = defaultdict(list)
    for node in entry.graph.nodes:
        tiled = (choice := entry.choices.get(node.name)) and choice.tiled
        if choice and tiled and tiled.constants and not choice.resident and not tiled.tile:
            kinds[node.shape].append(aligned(tiled.constants.size))
    return [sizes for sizes in kinds.values() if len(sizes) > 1]


@pytest.mark.parametrize("l1", BUDGETS)
def test_no_kind_of_constants_travels_that_would_fit(l1: int) -> None:
    target = find("siracusa", Options(l1=l1, npu="off"))
    plan: Plan = solve([apply(Decoder(SHAPE, 12).graph(), target)], target)
    check(plan, target)
    (entry,) = plan.entries
    memory = next(m for m in target.memories if m.name == "l1")
    states = sum(aligned(b.value.type.bytes) for b in entry.graph.loads)
    assert memory.bytes is not None
    free = memory.bytes - states - end_of(entry)
    for sizes in travelling(entry):
        assert sum(sizes) - max(sizes) > free - 16 * len(sizes), (sizes, free)
