"""Predicted time: a program played against the cost models of kernels, DMA and barriers. In cycles."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from ..ir.graph import Node
from ..ir.program import Barrier, Call, Copy, Job, Loop, Once, Operand, Parts, Phase, Program, Ref, Share, Step, Wait
from ..ir.types import Kind, nominal
from ..targets.base import CodeCache, Target


@dataclass(frozen=True)
class Event:
    """Something that occupies a track (`cores`, `core 0`, `dma in`, `dma out`, an engine) from one cycle to another.

    Calls have a kernel and the number of their phase, in the order in which phases begin (a job is one of its own);
    transfers have bytes, calls of engines those of their weights, and how many jobs they are.
    """

    track: str
    name: str
    start: float
    stop: float
    phase: int = -1
    kernel: str = ""
    bytes: int = 0
    jobs: int = 0


@dataclass
class Timeline:
    """What happens when, in cycles from the call, at nominal run-time sizes."""

    events: list[Event] = field(default_factory=list)
    cycles: float = 0.0


def estimate(program: Program, target: Target) -> Timeline:
    """The timeline of a call that follows another. Kernels whose rows state no cost count as nothing."""
    assert target.code is not None
    code = _Code(target.code)
    _Clock(target, code).steps(program.steps, ())
    clock = _Clock(target, code)
    clock.steps(program.steps, ())
    clock.timeline.cycles = max(clock.cores)
    return clock.timeline


class _Code:
    """The instruction cache, as it is on average: what has to be fetched takes the place of something at random."""

    def __init__(self, cache: CodeCache) -> None:
        self.cache = cache
        self.fetched = 0.0  # bytes until now
        self.seen: dict[Hashable, float] = {}  # of code: bytes fetched when it last ran

    def run(self, what: Hashable, size: float) -> float:
        """Cycles that the cores wait for the code of a step or a kernel."""
        since = self.fetched - self.seen[what] if what in self.seen else math.inf
        missing = size * (1.0 - math.exp(-since / self.cache.bytes))
        self.fetched += missing
        self.seen[what] = self.fetched
        return missing * self.cache.fetch


class _Clock:
    def __init__(self, target: Target, code: _Code) -> None:
        assert target.dma is not None
        assert target.overhead is not None
        self.target, self.dma, self.overhead, self.scratchpad = target, target.dma, target.overhead, target.scratchpad
        self.cores = [0.0] * target.cores
        self.moving: dict[str, deque[float]] = {track: deque([0.0], self.dma.queue) for track in ("dma in", "dma out")}
        self.queues: dict[str, list[float]] = {}  # of engines: when the latest jobs end
        self.told: set[str] = set()  # engines that know of the call which starts next
        self.done: dict[int, float] = {}
        self.timeline = Timeline()
        self.phase, self.code = -1, code

    def steps(self, steps: Sequence[Step], row: tuple[Ref | None, ...]) -> None:
        for step in steps:
            match step:
                case Phase():
                    self.phase += 1
                    cores = range(len(self.cores)) if step.share is not None else range(1)
                    arguments = sum(call.kernel.passes for call in step.calls)
                    self.wait(self.code.run(id(step), self.code.cache.around(arguments)))
                    for call in step.calls:
                        self.call(call, cores, self.slower(call, step.share), self.less(call, step.share))
                case Parts():
                    self.phase += 1
                    for core, part in enumerate(step.calls):
                        if part is not None:
                            self.call(part, range(core, core + 1))
                case Copy():
                    if isinstance(step.source, Ref) or row[step.source.index] is not None:
                        self.copy(step, row)
                case Job():
                    self.job(step)
                case Wait():
                    if step.engine and step.tells and not step.behind:
                        self.describe(step.engine, step.core)
                    self.cores[step.core] = max(
                        self.cores[step.core] + self.overhead.wait, self.done.get(step.token, 0.0)
                    )
                case Barrier():
                    self.cores = [max(self.cores) + self.overhead.barrier] * len(self.cores)
                case Once():
                    pass  # not in the steady state
                case Loop():
                    for entries in step.table.rows:
                        self.wait(self.overhead.turn)
                        self.steps(step.body, entries)

    def wait(self, cycles: float) -> None:
        """All cores are late."""
        self.cores = [time + cycles for time in self.cores]

    def call(self, call: Call, cores: range, slower: float = 1.0, less: float = 0.0) -> None:
        """A call on cores in a row; the cost of a kernel is that on all, which fewer take `slower` to do.

        Core 0 takes `less` of it.
        """
        cycles = self.overhead.phase + self.overhead.argument * call.kernel.passes
        cycles += self.code.run(call.kernel.symbol, self.code.cache.call(call.kernel))
        computes = call.kernel.costed and not _empty(call.semantics)
        own = call.kernel.cycles(call.semantics) * slower if computes else 0.0
        cycles += own
        start = max(self.cores[core] for core in cores)
        for core in cores:
            self.cores[core] += cycles - (own * less if core == 0 else 0.0)
        track = "cores" if len(cores) > 1 else f"core {cores.start}"
        stop = max(self.cores[core] for core in cores)
        self.timeline.events.append(Event(track, call.semantics.name, start, stop, self.phase, call.kernel.symbol))

    def job(self, step: Job) -> None:
        """An engine does its jobs in order; where its queue is full, the core that starts one waits.

        The call's other jobs are described while the first one runs.
        """
        self.phase += 1
        kernel, node = step.call.kernel, step.call.semantics
        engine = self.target.engine(kernel)
        ends = self.queues.setdefault(engine.name, [0.0] * engine.queue)
        code = self.code.run(engine.name, self.code.cache.call(kernel))  # its kernels are started by one function
        self.cores[step.core] = max(self.cores[step.core], ends[-engine.queue]) + engine.issue + code
        if engine.name not in self.told:
            self.describe(engine.name, step.core)
        self.told.discard(engine.name)
        start = max(self.cores[step.core], ends[-1])
        self.cores[step.core] += (kernel.jobs(node) - 1) * engine.describe
        stop = start + (kernel.cycles(node) if kernel.costed else 0.0)
        ends.append(stop)
        self.done[step.token] = stop + engine.latency
        weights = node.operands["w"].type.bytes if "w" in node.operands else 0
        event = Event(engine.name, node.name, start, stop, self.phase, kernel.symbol, weights, kernel.jobs(node))
        self.timeline.events.append(event)

    def describe(self, name: str, core: int) -> None:
        """A core tells an engine of the call that starts next."""
        self.told.add(name)
        self.cores[core] += next(engine.describe for engine in self.target.engines if engine.name == name)

    def slower(self, call: Call, share: Share | None) -> float:
        """How much longer a call takes that only some of the cores share."""
        if share is None or not share.cores:
            return 1.0
        kernel, node = call.kernel, call.semantics
        few, all_ = kernel.chunks(node, (share.cores, len(self.cores)))
        return few / all_

    def less(self, call: Call, share: Share | None) -> float:
        """Which part of a call core 0 has less than the others."""
        if share is None or not share.late:
            return 0.0
        (chunk,) = call.kernel.chunks(call.semantics, [len(self.cores)])
        return min(1.0, share.late * share.unit / chunk)

    def copy(self, step: Copy, row: tuple[Ref | None, ...]) -> None:
        target, source = _resolved(step.target, row), _resolved(step.source, row)
        inward = target.buffer.memory == self.scratchpad
        track = "dma in" if inward else "dma out"
        near, far = (target, source) if inward else (source, target)
        name = far.buffer.name if far.buffer.kind is not Kind.ACT else near.buffer.name
        lines, moving = nominal(step.lines), self.moving[track]
        size = nominal(step.bytes) * lines
        cycles, stop = self.dma.cycles(size, lines, outward=not inward), 0.0
        for block in range(step.blocks if size else 0):
            begun = self.cores[step.core] + (self.dma.block if block else self.dma.issue)
            if len(moving) == self.dma.queue:
                begun = max(begun, moving[0])
            self.cores[step.core] = begun
            start = max(moving[-1], begun)
            stop = start + cycles
            moving.append(stop)
            self.timeline.events.append(Event(track, name, start, stop, bytes=size))
        self.done[step.token] = stop + self.dma.latency


def _empty(node: Node) -> bool:
    """Whether a step has no rows at nominal sizes: the second part of a short prompt."""
    return any(nominal(d) == 0 for value in node.outputs for d in value.type.shape)


def _resolved(operand: Operand, row: tuple[Ref | None, ...]) -> Ref:
    found = operand if isinstance(operand, Ref) else row[operand.index]
    assert found is not None
    return found
