"""Calls of an asynchronous engine in the order of their start: its runtime reads them ahead from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..ir.program import Call, Column, Job, Loop, Ref, Step
from ..ir.types import Kind
from ..targets.base import Argument

Row = Sequence[Ref | None]


@dataclass(frozen=True)
class Queue:
    """What a program starts. A row has the arguments of a call, in the order of the kernel's parameters.

    `later`: row, parameter and value of what is not a constant: addresses that are known only in the program's call.
    """

    engine: str
    core: int
    rows: tuple[tuple[str, ...], ...]
    later: tuple[tuple[int, str, str], ...]


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


def queue(
    steps: Sequence[Step], argument: Callable[[Argument, str], str], address: Callable[[Ref], str]
) -> Queue | None:
    """The calls of steps as C; None where they start none. One core starts them all, on one engine."""
    calls = [*queued(steps)]
    if not calls:
        return None
    ((engine, core, parameters),) = {(call.kernel.engine, core, call.kernel.parameters) for core, call in calls}
    rows, later = [], []
    for number, (_, call) in enumerate(calls):
        operands, scalars, row = dict(call.operands), dict(call.scalars), []
        for ctype, name in parameters:
            operand = operands.get(name)
            if isinstance(operand, Ref):
                known = isinstance(operand.offset, int) and operand.buffer.kind not in (Kind.INPUT, Kind.OUTPUT)
                row.append(address(operand) if known else "0")
                later += [] if known else [(number, name, address(operand))]
            else:
                row.append(argument(scalars[name], ctype) if name in scalars else "0")
        rows.append(tuple(row))
    return Queue(engine, core, tuple(rows), tuple(later))
