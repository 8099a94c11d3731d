"""Happens-before of a program's cores, transfers and jobs, byte by byte.

Barriers are the only meetings, so it is enough to know who touched what since the last one. A transfer or job belongs
to the core that issues it: from then to the wait nobody may disturb its bytes, and from the wait to the next barrier
they count as touched by that core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..ir.footprint import SEVERAL
from ..ir.program import Buffer
from ..ir.regions import Place, Region
from ..ir.types import Array

MOST_CORES = 254
MANY = 255  # the mark of bytes that several cores touched; of one core: its number + 1


class RaceError(AssertionError):
    """Bytes are touched by two steps, at least one of which writes, and nothing says which comes first."""


@dataclass(frozen=True)
class Access:
    """A step touches bytes on a core. `base` is where the buffer begins in its place, for messages."""

    step: str
    core: int  # or SEVERAL
    region: Region
    writes: bool
    buffer: Buffer
    base: int

    @property
    def who(self) -> str:
        return f"{self.step} ({'several cores' if self.core == SEVERAL else f'core {self.core}'})"

    def bytes(self, first: int, stop: int) -> str:
        return f"bytes {first - self.base}..{stop - self.base} of {self.buffer.name}"


@dataclass
class _Flight:
    """Transfers or a job that nobody waited for yet."""

    core: int
    latest: str
    number: int  # of the latest step that started some of it
    joinable: bool
    accesses: list[Access]


@dataclass
class _Shadow:
    """Marks of a place: who wrote and who read each byte since the last barrier, and where there may be any."""

    written: Array
    read: Array
    span: tuple[int, int] = (0, 0)
    log: list[Access] = field(default_factory=list)

    def add(self, access: Access) -> None:
        region, code = access.region, _code(access.core)
        if access.writes:
            region.view(self.written)[...] = code
        else:
            marks = region.view(self.read)
            marks[...] = np.where((marks == 0) | (marks == code), code, MANY) if marks.any() else code
        first, stop = self.span if self.log else (region.first, region.stop)
        self.span = min(first, region.first), max(stop, region.stop)
        self.log.append(access)

    def clear(self) -> None:
        for marks in (self.written, self.read):
            marks[slice(*self.span)] = 0
        self.log.clear()


def _code(core: int) -> int:
    return MANY if core == SEVERAL else core + 1


class Races:
    """What is known about unordered accesses. `size` tells the bytes of a place."""

    def __init__(self, cores: int, size: Callable[[Place], int]) -> None:
        self.cores, self.size = cores, size
        self.shadows: dict[Place, _Shadow] = {}
        self.flights: dict[int, _Flight] = {}
        self.number = 0

    @property
    def idle(self) -> bool:
        """Nothing can go wrong: one core, and nothing in flight."""
        return self.cores == 1 and not self.flights

    def next_step(self) -> None:
        self.number += 1

    def touch(self, accesses: Sequence[Access]) -> None:
        """Accesses of one step on all cores, which are checked against each other too."""
        for access in accesses:
            self.check(access)
            self._record(access)

    def check(self, access: Access) -> None:
        """RaceError where the access meets an unordered one."""
        for token, flight in self.flights.items():
            for other in flight.accesses:
                if (access.writes or other.writes) and (met := access.region.common(other.region)):
                    verb = "writes" if access.writes else "reads"
                    raise RaceError(
                        f"{access.who} {verb} {access.bytes(*met)} before the wait for token {token}: {other.who}"
                    )
        self._against_cores(access)

    def start(self, token: int, core: int, step: str, accesses: list[Access], *, joins: bool) -> None:
        """A transfer (`joins`: may share its token with the one just before) or a job begins."""
        for access in accesses:
            self.check(access)
        flight = self.flights.get(token)
        if flight is None:
            self.flights[token] = _Flight(core, step, self.number, joins, accesses)
            return
        if not (joins and flight.joinable and flight.core == core and flight.number == self.number - 1):
            raise RaceError(
                f"{step} (core {core}) starts with token {token}, and nobody waited for {flight.latest} "
                f"(core {flight.core}), which has it"
            )
        flight.accesses += accesses
        flight.latest, flight.number = step, self.number

    def finish(self, token: int, core: int) -> None:
        """The wait for a token."""
        flight = self.flights.pop(token, None)
        if flight is None:
            raise RaceError(f"core {core} waits for token {token}, which nothing started")
        if flight.core != core:
            raise RaceError(
                f"core {core} waits for token {token}, but {flight.latest} was started by core {flight.core}"
            )
        for access in flight.accesses:
            self._record(access)

    def barrier(self) -> None:
        for shadow in self.shadows.values():
            if shadow.log:
                shadow.clear()

    def end(self, program: str) -> None:
        """All cores return; RaceError if something is still in flight."""
        if self.flights:
            names = ", ".join(f"{token} ({flight.latest})" for token, flight in sorted(self.flights.items()))
            raise RaceError(f"{program} ends with tokens never waited for: {names}")

    def _record(self, access: Access) -> None:
        if self.cores == 1:
            return
        place = access.region.place
        if place not in self.shadows:
            size = self.size(place)
            self.shadows[place] = _Shadow(np.zeros(size, np.uint8), np.zeros(size, np.uint8))
        self.shadows[place].add(access)

    def _against_cores(self, access: Access) -> None:
        shadow = self.shadows.get(access.region.place)
        if shadow is None or not shadow.log:
            return
        first, stop = shadow.span
        if access.region.first >= stop or access.region.stop <= first:
            return
        for marks in (shadow.written, shadow.read) if access.writes else (shadow.written,):
            held = access.region.view(marks)
            if held.any():
                bad = held != 0 if access.core == SEVERAL else (held != 0) & (held != _code(access.core))
                if bad.any():
                    self._fail(access, shadow, bad, wrote=marks is shadow.written)

    def _fail(self, access: Access, shadow: _Shadow, bad: Array, *, wrote: bool) -> None:
        """Name both steps and the bytes on which they meet."""
        where = np.argwhere(bad) @ np.array(access.region.strides) + access.region.first
        met = int(where.min()), int(where.max()) + 1
        others = (
            a
            for a in reversed(shadow.log)
            if a.writes == wrote
            and (a.core != access.core or a.core == SEVERAL)
            and a.region.contains(met[0])
        )  # fmt: skip
        other = next(others)
        verb, earlier = "writes" if access.writes else "reads", "wrote" if wrote else "read"
        raise RaceError(
            f"{access.who} {verb} {access.bytes(*met)}, which {other.who} {earlier}: no barrier between them"
        )
