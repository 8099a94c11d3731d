"""What differs, in small tables: the sizes of one call by core, the operands of one step by round of a loop."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from ..ir.program import Call, Column, Copy, Loop, Operand, Parts, Phase, Ref, Step
from ..ir.types import Dim, Expr


@dataclass(frozen=True)
class Varied:
    """The same parameter for every core: what it starts from, and what each core adds (None: nothing)."""

    base: Operand | Dim
    added: tuple[int, ...] | None


def varied(operands: Sequence[Operand], loop: Loop | None) -> Varied:
    """Operands of the cores' calls as one, and elements to add. AssertionError where they are not in one buffer."""
    first = operands[0]
    if all(operand == first for operand in operands):
        return Varied(first, None)
    if isinstance(first, Column):
        assert loop is not None
        rows = [[_ref(row, operand) for operand in operands] for row in loop.table.rows]
    else:
        rows = [[_ref((), operand) for operand in operands]]
    distances = {tuple(_distance(row[0], ref) for ref in row) for row in rows}
    assert len(distances) == 1, "parts of a loop's call lie at different distances in different iterations"
    return Varied(first, distances.pop())


def varied_number(values: Sequence[Dim]) -> Varied:
    """Numbers of the cores' calls as one, and what to add."""
    common = Expr.of(values[0]) - Expr.of(values[0]).const
    assert all(Expr.of(v) - Expr.of(v).const == common for v in values), "parts depend on run-time sizes differently"
    added = tuple(Expr.of(value).const for value in values)
    if len(set(added)) == 1:
        return Varied(values[0], None)
    return Varied(common.simplified(), added)


def used_columns(steps: Sequence[Step], placed: frozenset[int] = frozenset()) -> set[int]:
    """Columns that the C needs: of parts the first call's, from which the others' lie at a distance.

    Calls whose identity is in `placed` have a struct in the table itself and need columns for arguments alone.
    """
    return {o.index for step in steps for o in _operands(step, placed) if isinstance(o, Column)}


def anchors(loop: Loop) -> list[tuple[int, int]]:
    """For each column of a loop: one that lies at the same distance before it in every round, and elements from there.

    Columns of transfers that some rounds leave out, and those of structs, stand for themselves.
    """
    nearest: dict[Hashable, tuple[int, int]] = {}  # of columns at equal distances: where the first of them begins
    keys: list[tuple[Hashable, int]] = []
    for k, refs in enumerate(zip(*loop.table.rows, strict=True)):
        places = [(r.buffer, r.offset) for r in refs if r is not None and not r.buffer.members]
        offsets = [offset for _, offset in places if isinstance(offset, int)]
        if len(offsets) < len(refs):
            keys.append((k, 0))
        else:
            keys.append((tuple((b, at - offsets[0]) for (b, _), at in zip(places, offsets, strict=True)), offsets[0]))
        key, start = keys[-1]
        nearest[key] = min(nearest.get(key, (start, k)), (start, k))
    return [(nearest[key][1], start - nearest[key][0]) for key, start in keys]


def _operands(step: Step, placed: frozenset[int]) -> Iterator[Operand | None]:
    match step:
        case Phase():
            yield from (o for call in step.calls for o in _arguments(call, placed))
        case Parts():
            yield from (o for _, o in next(call for call in step.calls if call is not None).operands)
        case Copy():
            yield from (step.target, step.source)


def _arguments(call: Call, placed: frozenset[int]) -> Iterator[Operand | None]:
    names = {name for _, name in call.kernel.passed}
    yield from (o for name, o in call.operands if id(call) not in placed or name in names)


def _ref(row: tuple[Ref | None, ...], operand: Operand) -> Ref:
    found = row[operand.index] if isinstance(operand, Column) else operand
    assert found is not None, "only a transfer can be left out"
    return found


def _distance(start: Ref, other: Ref) -> int:
    assert start.buffer is other.buffer, f"parts use {start.buffer.name} and {other.buffer.name}"
    distance = (Expr.of(other.offset) - Expr.of(start.offset)).simplified()
    assert isinstance(distance, int), f"parts of {start.buffer.name} lie at distances that run-time sizes change"
    return distance
