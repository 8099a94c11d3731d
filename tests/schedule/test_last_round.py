"""The last round of a loop: its own transfers stay in front of what reads their bytes."""

from __future__ import annotations

import pytest

from tilewright.ir.program import Buffer, Copy, Ref
from tilewright.ir.types import U8, Kind
from tilewright.schedule.synchronise import may_follow


def place(memory: str, first: int) -> Ref:
    return Ref(Buffer(f"{memory}{first}", Kind.ACT, memory, first, 16, U8), 0)


def load(to: int, number: int = 0) -> Copy:
    return Copy(place("l1", to), place("l2", 16 * number), 16, token=number)


def store(at: int) -> Copy:
    return Copy(place("l2", 1024), place("l1", at), 16, token=7)


@pytest.mark.parametrize(("at", "may"), [(0, False), (8, False), (16, True)])
def test_a_load_does_not_follow_what_reads_the_bytes_before_it(at: int, may: bool) -> None:
    assert may_follow([load(0)], [load(64, 1), store(at)], 8, "l1") is may


def test_a_load_does_not_follow_one_to_the_same_place() -> None:
    assert not may_follow([load(0)], [load(0, 1)], 8, "l1")
    assert may_follow([load(0)], [load(16, 1)], 8, "l1")
