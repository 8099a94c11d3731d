"""Prompts in two parts: an engine has work of one part while the cores are at the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tilewright.api import compile_file
from tilewright.compiled import Compiled
from tilewright.ir.graph import Builder
from tilewright.ir.program import Job, Loop, Once, Phase, Step
from tilewright.ir.types import F32, TensorType
from tilewright.ops import QuantisedAttention, Reduce
from tilewright.options import Options
from tilewright.solve.apart import BEHIND, in_turns
from tilewright.targets.registry import find


@pytest.fixture(scope="module")
def bundled() -> Compiled:
    return compile_file("tinystories", "siracusa", Options())


def flat(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, Loop):
            yield from flat(step.body)
        elif not isinstance(step, Once):
            yield step


def attends(step: Phase) -> bool:
    node = step.calls[0].semantics
    return isinstance(node.op, QuantisedAttention) and node.operands["q"].type.shape[0] != 1


def test_a_job_of_the_first_part_begins_before_the_attention_of_the_second(bundled: Compiled) -> None:
    """The product behind attention: it waits for neither the bytes nor the cores of the other part."""
    steps = [step for step in flat(bundled.programs[0].steps) if isinstance(step, Job | Phase)]
    places = [i for i, step in enumerate(steps) if isinstance(step, Phase) and attends(step)]
    assert len(places) > 2
    assert len(places) % 2 == 0
    for first, second in zip(places[::2], places[1::2], strict=True):
        assert [type(step) for step in steps[first + 1 : second]].count(Job) == 1


def test_what_dies_is_not_overwritten_while_the_other_part_reads_it(bundled: Compiled) -> None:
    entry = bundled.plan.entries[0]
    lasting = in_turns(entry.graph, bundled.target, BEHIND)
    assert lasting
    assert all(step < until <= step + BEHIND for step, (until, _) in lasting.items())
    attention = next(b for b in entry.blocks if b.name == "blocks.3.attention.scratch")
    step = next(i for i, n in enumerate(entry.graph.nodes) if n.name == "blocks.3.attention")
    assert attention.last == lasting[step][0]
    for other in entry.blocks:
        if other is not attention and other.memory == attention.memory and other.overlaps_in_time(attention):
            assert other.offset >= attention.offset + attention.bytes or other.offset + other.bytes <= attention.offset


def test_results_without_axes_have_no_rows() -> None:
    b = Builder("run")
    graph = b.finish((b(Reduce("mean", (0, 1)), b.input("x", TensorType((3, 4), F32))),))
    assert in_turns(graph, find("siracusa"), BEHIND) == {}
