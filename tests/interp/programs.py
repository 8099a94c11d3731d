"""Hand-made programs over f32 buffers, and what makes them wrong by definition: pairs of events without an order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tilewright.interp.program import Machine
from tilewright.ir.graph import Builder
from tilewright.ir.program import (
    Barrier,
    Buffer,
    Call,
    Column,
    Copy,
    Loop,
    Operand,
    Parts,
    Phase,
    Program,
    Ref,
    Share,
    Step,
    Wait,
)
from tilewright.ir.types import F32, Kind, TensorType
from tilewright.ops import Add
from tilewright.targets.base import Kernel

ADD = Kernel(Add, "add.c", "add", "const float *a, const float *b, float *y", {}, in_place={"y": "a"})


def buffer(name: str, elements: int, offset: int | None = None, kind: Kind = Kind.ACT, memory: str = "l1") -> Buffer:
    return Buffer(name, kind, memory if offset is not None else "caller", offset, elements, F32)


def add(a: Operand, b: Operand, y: Operand, size: int, name: str = "add") -> Call:
    """y = a + b over `size` elements."""
    build = Builder("g")
    kind = TensorType((size,), F32)
    build(Add(), build.input("a", kind), build.input("b", kind), name=name)
    return Call(ADD, build.nodes[0], (("a", a), ("b", b), ("y", y)), ())


def shared(call: Call, unit: int = 1) -> Phase:
    """All cores share the call by elements."""
    node = call.semantics
    (dim,) = node.op.domain(*node.types).parallel
    return Phase((call,), Share(node.outputs[0].type.shape[0], unit, (dim,)))


def run(
    steps: Sequence[Step], inputs: Sequence[Buffer], outputs: Sequence[Buffer], others: Sequence[Buffer] = (),
    cores: int = 1, seed: int = 0, l1: int = 256,
) -> list[np.ndarray]:  # fmt: skip
    """Outputs for inputs 0, 1, 2 ..."""
    program = Program("p", tuple(steps), tuple(inputs), tuple(outputs), (), (*inputs, *outputs, *others))
    machine = Machine([program], {"l1": l1}, cores, seed=seed)
    return machine.run(program, [np.arange(b.elements, dtype=np.float32) for b in inputs])


# Happens-before by definition: a graph of events, and whether there is a path


@dataclass
class Event:
    """Bytes that a core, or a transfer, touches at once; `before` are the events that come directly before it."""

    before: list[Event]
    reads: set[tuple[object, int]] = field(default_factory=set)
    writes: set[tuple[object, int]] = field(default_factory=set)
    transfer: bool = False
    past: set[int] = field(default_factory=set)  # ids of all events before this one

    def __post_init__(self) -> None:
        self.past = {id(e) for e in self.before}.union(*(e.past for e in self.before))


def _bytes(ref: Ref, first: int, stop: int) -> set[tuple[object, int]]:
    """Elements first .. stop from an operand on, as bytes."""
    place: object = ref.buffer if ref.buffer.offset is None else ref.buffer.memory
    assert isinstance(ref.offset, int)
    base = (ref.buffer.offset or 0) + 4 * ref.offset
    return {(place, base + i) for i in range(4 * first, 4 * stop)}


def flat(steps: Sequence[Step], row: tuple[Ref, ...] = ()) -> Iterator[tuple[Step, tuple[Ref, ...]]]:
    for step in steps:
        if isinstance(step, Loop):
            for entries in step.table.rows:
                yield from flat(step.body, entries)
        else:
            yield step, row


class BrokenError(Exception):
    """A wait or a token is used wrongly."""


def events(steps: Sequence[Step], cores: int) -> list[Event]:
    """All events of a program of shared and single adds, parts, transfers, waits and barriers."""
    at = [Event([]) for _ in range(cores)]
    found: list[Event] = []
    flying: dict[int, tuple[int, int, list[Event]]] = {}

    def place(operand: Operand, row: tuple[Ref, ...]) -> Ref:
        return row[operand.index] if isinstance(operand, Column) else operand

    def event(core: int, call: Call, row: tuple[Ref, ...], first: int, stop: int) -> None:
        at[core] = Event([at[core]])
        for name, operand in call.operands:
            assert operand is not None
            touched = _bytes(place(operand, row), first, stop)
            (at[core].writes if name == "y" else at[core].reads).update(touched)
        found.append(at[core])

    for number, (step, row) in enumerate(flat(steps)):
        match step:
            case Phase((call,), share):
                total = call.semantics.outputs[0].type.static_shape[0]
                for core in range(cores if share else 1):
                    event(core, call, row, *(share.range_of(core, cores, total) if share else (0, total)))
            case Parts(calls):
                for core, part in enumerate(calls):
                    if part is not None:
                        event(core, part, row, 0, part.semantics.outputs[0].type.static_shape[0])
            case Copy():
                at[step.core] = Event([at[step.core]])
                assert isinstance(step.bytes, int)
                source = _bytes(place(step.source, row), 0, step.bytes // 4)
                target = _bytes(place(step.target, row), 0, step.bytes // 4)
                transfer = Event([at[step.core]], source, target, transfer=True)
                core, latest, sofar = flying.get(step.token, (step.core, number - 1, []))
                if (core, latest) != (step.core, number - 1):
                    raise BrokenError
                found.append(transfer)
                flying[step.token] = step.core, number, [*sofar, transfer]
            case Wait():
                core, _, transfers = flying.pop(step.token, (-1, 0, []))
                if core != step.core:
                    raise BrokenError
                at[core] = Event([at[core], *transfers])
            case Barrier():
                at = [Event(list(at))] * cores
    if flying:
        raise BrokenError
    return found


def wrong(steps: Sequence[Step], cores: int) -> bool:
    """Whether two events without an order touch a byte that one of them writes, or a token is used wrongly."""
    try:
        all_events = events(steps, cores)
    except BrokenError:
        return True
    return any(
        id(a) not in b.past and id(b) not in a.past and (a.writes & (b.reads | b.writes) or b.writes & a.reads)
        for a, b in itertools.combinations(all_events, 2)
    ) or any(e.transfer and e.writes & e.reads for e in all_events)
