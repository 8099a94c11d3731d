"""Runs a program on byte memories: what the C does on all cores, address by address, with numpy for the kernels.

The values are those of one order in which the cores may run; `Races` fails where another order could give others.
Fresh memory, scratch, and what an unfinished transfer or job will write hold junk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..ir.program import (
    Barrier,
    Call,
    Column,
    Copy,
    Job,
    Loop,
    Once,
    Operand,
    Parts,
    Phase,
    Program,
    Ref,
    Share,
    Step,
    Wait,
)  # fmt: skip
from ..ir.regions import Region, lines, run
from ..ir.types import Array, resolve, shape_of
from .access import Accesses, scratch_parts
from .memory import Memories, Spot
from .races import MOST_CORES, Access, RaceError, Races

__all__ = ["Machine", "RaceError"]

Row = tuple[Ref | None, ...]


class Machine:
    """Cores and byte memories that outlive a run: constants, state, and memories with addresses.

    `arena` gives the bytes of each memory with addresses; transfers are dense in the one named `scratchpad`. `seed`
    draws the junk and the order of cores.
    """

    def __init__(
        self, programs: Sequence[Program], arena: Mapping[str, int], cores: int = 1,
        scratchpad: str = "l1", seed: int = 0,
    ) -> None:  # fmt: skip
        if not 1 <= cores <= MOST_CORES:
            raise ValueError(f"1 to {MOST_CORES} cores, not {cores}")
        self.cores, self.scratchpad = cores, scratchpad
        self.called = False  # what stays in the scratchpad is there
        self.memories = Memories(programs, arena, seed)

    def reset(self) -> None:
        """State back to zeros."""
        self.memories.reset()

    def run(self, program: Program, inputs: Sequence[Array], env: Mapping[str, int] | None = None) -> list[Array]:
        """Outputs in order, flat; inputs in order. RaceError where the result depends on who is faster."""
        for buffer in program.outputs:
            self.memories.lend(buffer)
        for buffer, array in zip(program.inputs, inputs, strict=True):
            self.memories.lend(buffer, array)
        execution = _Execution(self, env or {})
        execution.steps(program.steps, (), "")
        execution.races.end(program.name)
        return [self.memories.bytes[b].view(b.dtype.numpy).copy() for b in program.outputs]


class _Execution:
    def __init__(self, machine: Machine, env: Mapping[str, int]) -> None:
        self.machine, self.cores, self.scratchpad, self.env = machine, machine.cores, machine.scratchpad, env
        self.memories = machine.memories
        self.races = Races(machine.cores, lambda place: len(self.memories.bytes[place]))
        self.accesses = Accesses(machine.memories, machine.cores, env)
        self.deliveries: dict[int, list[Callable[[], None]]] = {}
        self.queues: dict[str, list[tuple[int, int]]] = {}  # of engines: jobs, and of how many each call is

    def steps(self, steps: Sequence[Step], row: Row, note: str) -> None:
        for step in steps:
            self.races.next_step()
            match step:
                case Phase():
                    for call in step.calls:
                        self.call(call, step.share, 0, row, note)
                case Parts():
                    self.parts(step, row, note)
                case Job():
                    self.job(step, row, note)
                case Copy():
                    if not isinstance(step.source, Column) or row[step.source.index] is not None:
                        self.copy(step, row, note)
                case Wait():
                    for token in self.done(step):
                        self.races.finish(token, self.core(step.core))
                        for deliver in self.deliveries.pop(token):
                            deliver()
                case Loop():
                    for number, entries in enumerate(step.table.rows):
                        self.steps(step.body, entries, f" in round {number} of {step.table.name}")
                case Barrier():
                    self.races.barrier()
                case Once():
                    if not self.machine.called:
                        self.machine.called = True
                        self.steps(step.steps, row, note)

    def done(self, step: Wait) -> list[int]:
        """Tokens that a wait is for: jobs of an engine end in the order of their start."""
        if not step.engine:
            return [step.token]
        queue = self.queues.setdefault(step.engine, [])
        tokens = [token for token, _ in queue]
        if step.token not in tokens:
            raise RaceError(f"core {step.core} waits for job {step.token} of {step.engine}, which nothing started")
        at = tokens.index(step.token) + 1
        behind = sum(jobs for _, jobs in queue[at:])
        if step.behind > behind:
            raise RaceError(f"the wait for job {step.token} lets {step.behind} go on, {behind} started behind it")
        del queue[:at]
        return tokens[:at]

    def core(self, core: int) -> int:
        if not 0 <= core < self.cores:
            raise ValueError(f"core {core} of {self.cores}")
        return core

    def call(self, call: Call, share: Share | None, core: int, row: Row, note: str) -> None:
        """A call of one core, or shared by all: its reference is computed once."""
        spots = self.spots(call, row)
        if not all(all(shape_of(v.type, self.env)) for v in call.semantics.outputs):
            return  # a part of no rows
        if not self.races.idle:
            self.races.touch(self.accesses.of(call, spots, share, core, note))
        if (scratch := spots.get("scratch")) is not None:
            for _, part in scratch_parts(call, scratch, 1 if share is None else share.cores or self.cores):
                self.memories.spoil(part.at(scratch.place, scratch.first))
        for spot, array in self.compute(call, spots):
            self.memories.write(spot, array)

    def parts(self, step: Parts, row: Row, note: str) -> None:
        if len(step.calls) != self.cores:
            raise ValueError(f"parts for {len(step.calls)} cores of {self.cores}")
        for core in map(int, self.memories.random.permutation(self.cores)):
            part = step.calls[core]
            if part is not None:
                self.call(part, None, core, row, note)

    def job(self, step: Job, row: Row, note: str) -> None:
        spots = self.spots(step.call, row)
        accesses = self.accesses.of(step.call, spots, None, self.core(step.core), note)
        self.races.start(step.token, step.core, f"{step.call.semantics.name}{note}", accesses, joins=False)
        results = self.compute(step.call, spots)
        for access in accesses:
            if access.writes:
                self.memories.spoil(access.region)

        def deliver() -> None:
            for spot, array in results:
                self.memories.write(spot, array)

        self.deliveries[step.token] = [deliver]
        kernel = step.call.kernel
        self.queues.setdefault(kernel.engine, []).append((step.token, kernel.jobs(step.call.semantics)))

    def copy(self, step: Copy, row: Row, note: str) -> None:
        target, source = self.spot(step.target, row), self.spot(step.source, row)
        name = f"copy of {source.buffer.name} to {target.buffer.name}{note}"
        into, out = self.sides(step, target, source)
        if target.constant:
            raise ValueError(f"{name} writes a constant")
        core = self.core(step.core)
        accesses = [Access(name, core, into, True, target.buffer, target.base)]
        if not source.constant:
            accesses.append(Access(name, core, out, False, source.buffer, source.base))
        self.races.start(step.token, core, name, accesses, joins=True)
        self.memories.spoil(into)

        def deliver() -> None:
            there = into.view(self.memories.bytes[into.place])
            there[...] = out.view(self.memories.bytes[out.place]).reshape(there.shape)

        self.deliveries.setdefault(step.token, []).append(deliver)

    def sides(self, step: Copy, target: Spot, source: Spot) -> tuple[Region, Region]:
        """Bytes of the target and of the source of a transfer: lines that are apart only outside the scratchpad."""
        size, count, blocks = resolve(step.bytes, self.env), resolve(step.lines, self.env), step.blocks
        inside = [spot.buffer.memory == self.scratchpad for spot in (target, source)]
        dense = run("", 0, size * count * blocks)
        apart = lines("", 0, size, (blocks, step.apart), (count, step.stride))
        if count * blocks > 1 and (inside[0] == inside[1] or (count > 1 and step.stride < size)):
            raise ValueError(f"{count} lines of {size} bytes, {step.stride} apart, do not go between a scratchpad "
                             f"and another memory: {source.buffer.name} to {target.buffer.name}")  # fmt: skip
        regions = []
        for spot, near in zip((target, source), inside, strict=True):
            region = dense if near else apart
            spot.holds(region.stop)
            regions.append(region.at(spot.place, spot.first))
        if regions[0].common(regions[1]):
            raise RaceError(f"copy of {source.buffer.name} to {target.buffer.name} writes bytes that it reads")
        return regions[0], regions[1]

    # Operands

    def spot(self, operand: Operand, row: Row) -> Spot:
        ref = row[operand.index] if isinstance(operand, Column) else operand
        if ref is None:
            raise ValueError("only a transfer can be left out in a round of a loop")
        return self.memories.spot(ref, self.env)

    def spots(self, call: Call, row: Row) -> dict[str, Spot]:
        return {name: self.spot(operand, row) for name, operand in call.operands if operand is not None}

    def compute(self, call: Call, spots: Mapping[str, Spot]) -> list[tuple[Spot, Array]]:
        """Results of the call's reference, and where they go."""
        node, types = call.semantics, call.types()
        if not all(all(shape_of(v.type, self.env)) for v in node.outputs):
            return []  # a part of no rows
        names = {id(value): name for name, value in reversed(list(node.operands.items()))}
        operands: list[Array | None] = []
        for value in node.inputs:
            if value is None:
                operands.append(None)
                continue
            name = names[id(value)]
            if name not in spots and value.data is not None:  # a constant that the kernel need not be told
                operands.append(value.data)
                continue
            operands.append(self.memories.read(spots[name], types[name], shape_of(types[name], self.env)))
        got = node.op.at(self.env).reference(*operands)
        results = [name for name, value in node.operands.items() if value in node.outputs]
        arrays = got if isinstance(got, tuple) else (got,)
        return [
            (spots[name if name in spots else node.op.aliases[name]], array)
            for name, array in zip(results, arrays, strict=True)
        ]
