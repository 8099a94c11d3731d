"""Placement: no overlap, never below the bound, optimal where first-fit is not."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.ir.plan import Block
from tilewright.solve.place import lower_bound, peak_step, place


@st.composite
def blocks(draw: st.DrawFn) -> list[Block]:
    count = draw(st.integers(0, 14))
    made = []
    for i in range(count):
        first = draw(st.integers(0, 12))
        made.append(Block(f"b{i}", "ram", draw(st.integers(1, 400)), first, first + draw(st.integers(0, 6))))
    return made


@given(blocks())
@settings(max_examples=150, deadline=None)
def test_places_are_disjoint_aligned_and_not_below_the_bound(some: list[Block]) -> None:
    placed, used = place(some, alignment=16, seconds=0.2)
    assert [replace(b, offset=-1) for b in placed] == some
    for a, b in itertools.combinations(placed, 2):
        assert not a.overlaps_in_time(b) or a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset
    assert all(b.offset % 16 == 0 and b.offset + b.bytes <= used for b in placed)
    assert used >= lower_bound(some)
    assert place(some, alignment=16, seconds=0.2) == (placed, used)


def test_search_beats_first_fit_where_that_wastes() -> None:
    """Every first-fit order leaves a hole here; the optimum meets the bound."""
    sizes = [(2, 0, 1), (3, 1, 3), (1, 0, 2), (2, 2, 5), (3, 4, 6), (1, 3, 4), (2, 5, 7), (4, 6, 8), (1, 7, 8)]
    some = [Block(f"b{i}", "ram", 16 * size, first, last) for i, (size, first, last) in enumerate(sizes)]
    _, used = place(some)
    assert used == lower_bound(some)


@pytest.mark.parametrize("step", range(3))
def test_peak_step_names_the_step_with_most_bytes(step: int) -> None:
    some = [Block(f"b{i}", "ram", 100 if i == step else 10, i, i) for i in range(3)]
    assert peak_step(some) == step
