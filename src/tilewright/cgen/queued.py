"""Calls of an asynchronous engine in the order of their start: its runtime reads them ahead from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..ir.program import Barrier, Call, Column, Job, Loop, Ref, Step
from ..ir.types import Kind
from ..targets.base import Engine
from .layout import wide

Row = Sequence[Ref | None]


@dataclass(frozen=True)
class Queue:
    """What a program starts. A row has a job of a call: addresses of its parameters, and the name of a table.

    `later`: row, parameter and value of what is not a constant: addresses that are known only in the program's call.
    `behind_barrier`: the cores meet before the first one starts.
    """

    engine: str
    core: int
    rows: tuple[tuple[str, ...], ...]
    later: tuple[tuple[int, str, str], ...]
    behind_barrier: bool


def queued(steps: Sequence[Step], row: Row = ()) -> Iterator[tuple[int, Call]]:
    """Each call that steps start, with the operands of its round of a loop, and the core that starts it."""
    for step in steps:
        match step:
            case Job():
                operands = tuple((name, row[o.index] if isinstance(o, Column) else o) for name, o in step.call.operands)
                yield step.core, replace(step.call, operands=operands)
            case Loop():
                for entries in step.table.rows:
                    yield from queued(step.body, entries)


def _first(steps: Sequence[Step]) -> type[Step] | None:
    """Which comes first in a call: a barrier or the start of a job."""
    for step in steps:
        found = _first(step.body) if isinstance(step, Loop) else type(step)
        if found in (Barrier, Job):
            return found
    return None


def queue(
    steps: Sequence[Step], engines: Sequence[Engine], table: Callable[[tuple[int, ...]], str],
    address: Callable[[Ref], str],
) -> Queue | None:  # fmt: skip
    """The jobs of steps as C; None where they start none. One core starts them all, on one engine."""
    calls = [*queued(steps)]
    if not calls:
        return None
    ((name, core),) = {(call.kernel.engine, core) for core, call in calls}
    engine = next(engine for engine in engines if engine.name == name)
    assert engine.jobs is not None
    rows: list[tuple[str, ...]] = []
    later: list[tuple[int, str, str]] = []
    for (_, call), jobs in zip(calls, engine.jobs([dict(call.scalars) for _, call in calls]), strict=True):
        operands = dict(call.operands)
        for job in jobs:
            row = []
            for parameter, added in job.addresses:
                operand = operands.get(parameter)
                if not isinstance(operand, Ref):
                    row.append("0")
                    continue
                text = f"TW_AT({address(operand)}, {wide(added)})"
                known = isinstance(operand.offset, int) and operand.buffer.kind not in (Kind.INPUT, Kind.OUTPUT)
                row.append(text if known else "0")
                if not known:
                    later.append((len(rows), parameter, text))
            rows.append((*row, table(job.numbers)))
    return Queue(name, core, tuple(rows), tuple(later), _first(steps) is Barrier)
