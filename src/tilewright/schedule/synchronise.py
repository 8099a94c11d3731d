"""Waits and barriers, put where the bytes that steps touch demand them, and nowhere else.

Every core runs every step. A phase of all cores may not touch what other cores touched since the last barrier, if one
of the two writes: where each core has the same part of what lies between two phases, they follow each other without a
barrier. The bytes of a transfer, or of an asynchronous engine's job, may not be touched before the wait for it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..ir.program import FIRST_JOB, Barrier, Buffer, Call, Copy, Job, Parts, Phase, Ref, Share, Step, Wait, Work
from ..ir.regions import Place, Region, lines, run
from ..ir.types import Kind, maximum
from .portions import Portions, apart

MOST_TRANSFERS = 8  # tokens that are open at once
ALL = -1  # every core


def settled(steps: Sequence[Step], cores: int, scratchpad: str) -> bool:
    """Whether steps with tokens of their own wait and meet wherever they have to."""
    check = Synchronisation(cores, scratchpad, {})
    group: int | None = None
    for step in steps:
        mine: list[Access] = []
        if isinstance(step, Copy | Job):
            mine = check.touches(step)
            if step.token != group and step.token in check.flying:
                return False
            others = {token: flying for token, flying in check.flying.items() if token != step.token}
            if any(m.clashes(f) for m in mine for flying in others.values() for f in flying) or check.clash(mine):
                return False
            check.launch(step, mine)
        elif isinstance(step, Wait):
            if step.token not in check.flying or check.wait(step.token) != step:
                return False
        elif isinstance(step, Barrier):
            check.recent = {}
        elif isinstance(step, Phase | Parts):
            mine = accesses(step, check.cores)
            if any(m.clashes(f) for m in mine for flying in check.flying.values() for f in flying) or check.clash(mine):
                return False
            check.remember(mine)
        group = step.token if isinstance(step, Copy) else None
    return not check.flying


def may_follow(transfers: Sequence[Step], steps: Sequence[Step], cores: int, scratchpad: str) -> bool:
    """Whether transfers may start behind steps that they stood before: nothing that one writes does the other touch."""
    check = Synchronisation(cores, scratchpad, {})
    mine, others = (
        [access for step in some if isinstance(step, Copy | Job | Phase | Parts) for access in check.touches(step)]
        for some in (transfers, steps)
    )
    return not any(access.clashes(other) for access in mine for other in others)


@dataclass(frozen=True)
class Access:
    """What a step does to bytes, on which core."""

    region: Region
    writes: bool
    core: int
    portions: Portions | None = None  # of the cores, where all take part

    def clashes(self, other: Access) -> bool:
        return (self.writes or other.writes) and self.region.overlaps(other.region)

    def crosses(self, other: Access) -> bool:
        """Whether it clashes with what another core did."""
        if not self.clashes(other):
            return False
        return self.portions is None or other.portions is None or not apart(self.portions, other.portions)


def synchronise(
    steps: Sequence[Step], cores: int, scratchpad: str, tokens: Mapping[int, int] | None = None, halved: bool = False
) -> tuple[Step, ...]:
    """The steps (phases, parts, jobs, and copies whose tokens are groups) with waits, barriers and few tokens.

    `tokens`: those that groups should get, so that layers which repeat use the same ones. `halved`: steps are of two
    parts in turn.
    """
    return tuple(Synchronisation(cores, scratchpad, tokens or {}, halved).run(steps))


class Synchronisation:
    def __init__(self, cores: int, scratchpad: str, tokens: Mapping[int, int], halved: bool = False) -> None:
        self.cores, self.scratchpad, self.tokens, self.halved = cores, scratchpad, tokens, halved
        self.spare = 1 + max(tokens.values(), default=-1)  # the first token that no group has for its own
        self.recent: dict[tuple[object, int], dict[Access, None]] = {}  # since the last barrier; by place and core
        self.flying: dict[int, list[Access]] = {}  # by token, in the order of their start
        self.jobs: dict[int, tuple[str, int]] = {}  # of jobs among them: the engine, and which of its jobs it is
        self.started: Counter[str] = Counter()  # jobs of each engine

    def run(self, steps: Sequence[Step]) -> Iterator[Step]:
        grouped = itertools.groupby(steps, lambda step: step.token if isinstance(step, Copy) else None)
        runs = [(token is not None, list(some)) for token, some in grouped]
        behind: list[Access] = []  # what the phase behind the present transfers touches
        for i, (moves, some) in enumerate(runs):
            if moves:
                if not (i and runs[i - 1][0]):
                    behind = next((accesses(r[0], self.cores) for m, r in runs[i:] if not m), [])  # type: ignore[arg-type]
                yield from self.copies([step for step in some if isinstance(step, Copy)], behind)
                continue
            for j, step in enumerate(some):
                if isinstance(step, Job):
                    later = itertools.chain(some[j + 1 :], *(steps for _, steps in runs[i + 1 :] if self.halved))
                    after = next((s for s in later if isinstance(s, Phase | Parts)), None)
                    yield from self.job(step, accesses(after, self.cores) if after is not None else [])
                    continue
                assert isinstance(step, Phase | Parts)
                mine = accesses(step, self.cores)
                yield from self.settle(mine)
                yield step
                self.remember(mine)
        while self.flying:
            yield self.wait(next((t for t in self.flying if t not in self.jobs), [*self.flying][-1]))

    def copies(self, group: list[Copy], behind: list[Access]) -> Iterator[Step]:
        """Transfers that share a token. A barrier that the phase behind them needs stands before them, as it does
        where they take the place of something that was in use: so layers that repeat begin like their first one.
        """
        mine = [access for step in group for access in self.touches(step)]
        token = self.tokens.get(group[0].token)
        if token in self.flying:
            yield self.wait(token)
        while len(transfers := [t for t in self.flying if t < FIRST_JOB]) >= MOST_TRANSFERS:
            yield self.wait(transfers[0])
        if self.clash(mine) or self.clash(behind):  # one barrier for this, and for what the phase behind waits for
            yield from self.arrived(behind)
        yield from self.settle(mine)
        yield from self.meet(behind)
        if token is None:
            token = next(t for t in itertools.count(self.spare) if t not in self.flying)
        self.flying[token] = mine
        yield from (replace(step, token=token) for step in group)

    def job(self, step: Job, behind: list[Access]) -> Iterator[Step]:
        """A job begins as soon as it may touch its bytes. Where a barrier stands before it, it serves the phase behind
        too: cores need not meet again for transfers that were to be waited for then. Of steps in parts, that phase does
        not need the job, and waits for others: the core that starts it does so behind that, while cores work.
        """
        mine = self.touches(step)
        if self.halved:
            yield from self.settle([*mine, *behind])
        elif self.clash(mine):
            yield from self.arrived(behind, jobs=False)
        yield from self.settle(mine)
        token = next(t for t in itertools.count(FIRST_JOB) if t not in self.flying)
        started = replace(step, token=token)
        self.launch(started, mine)
        yield started

    def launch(self, step: Copy | Job, mine: list[Access]) -> None:
        """What a step with a token of its own starts."""
        self.flying.setdefault(step.token, []).extend(mine)
        if isinstance(step, Job):
            engine = step.call.kernel.engine
            self.started[engine] += step.call.kernel.jobs(step.call.semantics)
            self.jobs[step.token] = engine, self.started[engine]

    def touches(self, step: Work) -> list[Access]:
        """What a step does to bytes, and when it is waited for."""
        if not isinstance(step, Copy):
            return accesses(step, self.cores)
        return [self.copy_access(step, step.source, False), self.copy_access(step, step.target, True)]

    def copy_access(self, step: Copy, ref: object, writes: bool) -> Access:
        assert isinstance(ref, Ref)
        count, size = maximum(step.lines), maximum(step.bytes)
        region = region_of(ref, size * count * step.blocks)
        if ref.buffer.memory != self.scratchpad and isinstance(ref.offset, int):
            region = lines(region.place, region.first, size, (step.blocks, step.apart), (count, step.stride))
        return Access(region, writes, step.core)

    def settle(self, mine: list[Access]) -> Iterator[Step]:
        """What has to happen before a step may touch these bytes."""
        yield from self.arrived(mine)
        yield from self.meet(mine)

    def arrived(self, mine: list[Access], jobs: bool = True) -> Iterator[Step]:
        """Waits for transfers of these bytes, and for jobs."""
        clashing = [t for t, flying in self.flying.items() if any(m.clashes(f) for m in mine for f in flying)]
        clashing = [t for t in clashing if jobs or t not in self.jobs]
        last = {self.jobs[token][0]: token for token in clashing if token in self.jobs}
        for token in clashing:
            if token not in self.jobs or token in last.values():
                yield self.wait(token)

    def meet(self, mine: list[Access]) -> Iterator[Step]:
        """A barrier, where other cores touched the bytes."""
        if self.clash(mine):
            self.recent = {}
            yield Barrier()

    def clash(self, mine: list[Access]) -> bool:
        """Whether other cores touched the bytes since the last barrier."""
        return self.cores > 1 and any(map(self.crosses, mine))

    def crosses(self, mine: Access) -> bool:
        """Whether an access of another core since the last barrier clashes with this one."""
        return any(
            mine.crosses(other)
            for (place, core), others in self.recent.items()
            if place == mine.region.place and not core == mine.core != ALL
            for other in others
        )

    def remember(self, some: Sequence[Access]) -> None:
        for access in some:
            self.recent.setdefault((access.region.place, access.core), {})[access] = None

    def wait(self, token: int) -> Wait:
        """Jobs of an engine end in the order of their start: those before are done too, those behind may go on."""
        engine, number = self.jobs.get(token, ("", 0))
        for done in [t for t, (name, n) in self.jobs.items() if name == engine and n <= number] if engine else [token]:
            self.remember(self.flying.pop(done))
            self.jobs.pop(done, None)
        return Wait(token, engine=engine, behind=self.started[engine] - number, tells=not self.halved)


def accesses(step: Phase | Parts | Job, cores: int) -> list[Access]:
    """What a step touches; run-time sizes and places at their maximum."""
    if isinstance(step, Job):
        return [*call_accesses(step.call, step.core)]
    if isinstance(step, Phase):
        core = ALL if step.share is not None else 0
        return [access for call in step.calls for access in call_accesses(call, core, step.share, cores)]
    return [a for core, call in enumerate(step.calls) if call is not None for a in call_accesses(call, core)]


def call_accesses(call: Call, core: int, share: Share | None = None, cores: int = 1) -> Iterator[Access]:
    node = call.semantics
    results = [name for name, value in node.operands.items() if value in node.outputs]
    written = {*results, *node.op.aliases.values(), "scratch"}
    for name, ref in call.operands:
        if ref is None:
            continue
        assert isinstance(ref, Ref)
        if ref.buffer.kind is Kind.CONST:
            continue
        if name == "scratch" or ref.buffer.packing is not None:
            size = ref.buffer.bytes
        else:
            size = node.operands[name].type.bytes
        region = region_of(ref, size)
        portions = None
        if share is not None and isinstance(ref.offset, int):
            portions = Portions(call, share, cores, name, region)
        yield Access(region, name in written, core, portions)


def region_of(ref: Ref, size: int) -> Region:
    buffer: Buffer = ref.buffer
    step = buffer.dtype.bits // 8
    if isinstance(ref.offset, int):
        first = ref.offset * step
    else:  # anywhere in the buffer
        return run(*_place(buffer, 0), buffer.bytes)
    return run(*_place(buffer, first), size)


def _place(buffer: Buffer, first: int) -> tuple[Place, int]:
    return (buffer, first) if buffer.offset is None else (buffer.memory, buffer.offset + first)
