"""Programs with a wait or a barrier dropped or moved: the interpreter fails exactly where events have no order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.interp.programs import add, buffer, run, shared, wrong
from tilewright.interp.program import RaceError
from tilewright.ir.program import Barrier, Column, Copy, Loop, Parts, Phase, Ref, Step, Table, Wait
from tilewright.ir.types import Kind

CORES, TILE, TILES = 3, 6, 6
X, Y = buffer("x", TILE * TILES, kind=Kind.INPUT), buffer("y", TILE * TILES, kind=Kind.OUTPUT)
IN = [buffer(f"in{i}", TILE, i * 4 * TILE) for i in range(2)]
OUT = [buffer(f"out{i}", TILE, (2 + i) * 4 * TILE) for i in range(2)]


def fetch(tile: int) -> Copy:
    """Core 0 brings a tile."""
    return Copy(Ref(IN[tile % 2]), Ref(X, tile * TILE), 4 * TILE, token=0)


def store(tile: int) -> Copy:
    """Core 1 takes a result away."""
    return Copy(Ref(Y, tile * TILE), Ref(OUT[tile % 2]), 4 * TILE, token=1, core=1)


def double(tile: int) -> Phase:
    operand = Ref(IN[tile % 2])
    return shared(add(operand, operand, Ref(OUT[tile % 2]), TILE, "double"))


def double_buffered() -> tuple[Step, ...]:
    """y = 2 x, tile by tile: the next tile comes and the one before goes while all cores compute."""
    columns = ("into", "tile", "current", "result", "home")
    rows = tuple(
        (Ref(IN[(i + 1) % 2]), Ref(X, (i + 1) * TILE), Ref(IN[i % 2]), Ref(OUT[i % 2]), Ref(Y, i * TILE))
        for i in range(1, TILES - 1)
    )
    body = (
        Wait(0),
        Barrier(),
        Copy(Column(0), Column(1), 4 * TILE, token=0),
        shared(add(Column(2), Column(2), Column(3), TILE, "double")),
        Barrier(),
        Wait(1, core=1),
        Copy(Column(4), Column(3), 4 * TILE, token=1, core=1),
    )
    last = TILES - 1
    return (
        fetch(0), Wait(0), Barrier(), fetch(1), double(0), Barrier(), store(0),
        Loop(Table("tiles", columns, rows), body),
        Wait(0), Barrier(), double(last), Barrier(), Wait(1, core=1), store(last), Wait(1, core=1),
    )  # fmt: skip


def mutated(steps: Sequence[Step]) -> Iterator[tuple[str, tuple[Step, ...]]]:
    """Every program in which one wait or barrier is missing, stands elsewhere, or is waited for by another core."""
    for at, step in enumerate(steps):
        rest = (*steps[:at], *steps[at + 1 :])
        if isinstance(step, Loop):
            for what, body in mutated(step.body):
                yield f"{what} in the loop", (*steps[:at], replace(step, body=body), *steps[at + 1 :])
        elif isinstance(step, (Wait, Barrier)):
            yield f"{step} at {at} dropped", rest
            for to in range(len(steps)):
                if to != at:
                    yield f"{step} at {at} moved to {to}", (*rest[:to], step, *rest[to:])
        if isinstance(step, Wait):
            yield f"{step} at {at} by core 2", (*steps[:at], replace(step, core=2), *steps[at + 1 :])


def passes(steps: Sequence[Step]) -> bool:
    """Whether the interpreter takes the program; its values are right then."""
    try:
        (got,) = run(steps, [X], [Y], [*IN, *OUT], CORES)
    except RaceError:
        return False
    np.testing.assert_array_equal(got, 2 * np.arange(TILE * TILES))
    return True


MUTANTS = dict(mutated(double_buffered()))

HARMLESS = {
    # A transfer into a buffer that nobody used since the barrier before may start on either side of this one
    "Barrier() at 2 moved to 3": "nobody used in1 yet",
    "Barrier() at 1 moved to 2 in the loop": "the round before ended its reads with its second barrier",
    # Core 1 alone waits for its stores; where it does so matters only before its next store, and for the buffer's reuse
    "Barrier() at 4 moved to 5 in the loop": "the wait does not touch what the phase wrote",
    "Barrier() at 11 moved to 12": "the same after the loop",
} | {
    f"{Wait(1, core=1)} at {at} moved to {to}{where}": "an earlier wait for the store of the round before"
    for at, earlier, where in ((5, range(5), " in the loop"), (12, range(8, 12), ""))
    for to in earlier
}  # fmt: skip


def test_the_program_itself_is_right() -> None:
    assert not wrong(double_buffered(), CORES)
    assert passes(double_buffered())


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_fails_unless_all_its_events_have_an_order(name: str) -> None:
    assert passes(MUTANTS[name]) == (name in HARMLESS)


def test_the_harmless_mutants_are_those_without_unordered_events() -> None:
    assert set(HARMLESS) == {name for name, steps in MUTANTS.items() if not wrong(steps, CORES)}
    assert sum("dropped" in name for name in MUTANTS) == 12


SMALL = [buffer(f"b{i}", 4, 16 * i) for i in range(3)]
INPUT, OUTPUT = buffer("x", 8, kind=Kind.INPUT), buffer("y", 8, kind=Kind.OUTPUT)


@st.composite
def random_steps(draw: st.DrawFn) -> list[Step]:
    """A few steps over three buffers that meet often, with barriers and waits often enough to be right at times."""

    def ref() -> Ref:
        place = draw(st.sampled_from([*SMALL, INPUT, OUTPUT]))
        return Ref(place, draw(st.integers(0, 2)) if place.elements > 4 else 0)

    def target() -> Ref:
        place = draw(st.sampled_from([*SMALL, OUTPUT]))
        return Ref(place, draw(st.integers(0, 4)) if place.elements > 4 else 0)

    steps: list[Step] = []
    started: list[Copy] = []
    for _ in range(draw(st.integers(1, 9))):
        kind = draw(st.sampled_from(["phase", "parts", "copy", "wait", "barrier", "barrier"]))
        if kind == "phase":
            call = add(ref(), ref(), target(), 4)
            steps.append(shared(call, draw(st.integers(1, 2))) if draw(st.booleans()) else Phase((call,)))
        elif kind == "parts":
            parts = (add(ref(), ref(), target(), draw(st.integers(1, 2))) for _ in range(CORES))
            steps.append(Parts(tuple(part if draw(st.booleans()) else None for part in parts)))
        elif kind == "copy":
            core, size = draw(st.integers(0, CORES - 1)), draw(st.sampled_from([4, 8, 16]))
            started.append(Copy(target(), ref(), size, draw(st.integers(0, 1)), core=core))
            steps.append(started[-1])
        elif kind == "wait" and started:
            steps.append(Wait(started[-1].token, started.pop().core))
        else:
            steps.append(Barrier())
    if draw(st.booleans()):
        steps += [Wait(copy.token, copy.core) for copy in started]
    return steps


FILLED = (*(Phase((add(Ref(INPUT), Ref(INPUT, i), Ref(b), 4),)) for i, b in enumerate(SMALL)),
          Phase((add(Ref(INPUT), Ref(INPUT), Ref(OUTPUT), 8),)), Barrier())  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(random_steps())
def test_random_programs_fail_exactly_where_events_have_no_order(steps: list[Step]) -> None:
    """And where they pass, neither junk nor the order of the cores shows."""
    if wrong(steps, CORES):
        with pytest.raises(RaceError):
            run(steps, [INPUT], [OUTPUT], SMALL, CORES)
        return
    results = [run((*FILLED, *steps), [INPUT], [OUTPUT], SMALL, CORES, seed)[0] for seed in range(3)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
