"""The last round of a loop of layers: it lacks transfers for a layer behind it, and has some for what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from ..ir.program import Barrier, Buffer, Copy, Job, Phase, Ref, Step, Wait
from ..ir.types import U8, Kind

S = TypeVar("S", bound=Step)
Group = list[Step]  # a step, or transfers that share a token
NOTHING = Ref(Buffer("nothing", Kind.ACT, "", None, 0, U8))  # what a transfer that a round leaves out comes from


@dataclass(frozen=True)
class Moved:
    """Transfers that stand behind steps which they stood before."""

    transfers: Group
    passed: list[Step]


@dataclass(frozen=True)
class Pair:
    """What stands at one place: in every other round (None: a transfer of the last alone), and in the last one."""

    others: Group | None
    last: Group | None

    def of_others(self, group: Group | None) -> Group:
        """What another round has here, given its own group."""
        return group if group is not None else left_out(self.last or [])

    @property
    def of_last(self) -> Group:
        return self.last if self.last is not None else left_out(self.others or [])


def in_groups(steps: Sequence[S]) -> list[list[S]]:
    """Single steps, and transfers that share a token."""
    runs = groupby(steps, lambda step: step.token if isinstance(step, Copy) else None)
    return [g for token, run in runs for g in ([list(run)] if token is not None else [[step] for step in run])]


def align(
    block: Sequence[Group], wanted: Sequence[int], groups: Sequence[Group], keys: Sequence[int]
) -> tuple[list[Pair], list[Step], int, list[Moved]]:
    """The groups ahead as one more round of a block, waits that stand behind the loop then, how many groups it is, and
    what moved.

    The round waits and meets as the others do; its own transfers start behind a barrier of theirs. Nothing where the
    groups are no such round.
    """
    pairs: list[Pair] = []
    late: list[Moved] = []
    moved: list[Moved] = []
    own: list[Step] = []  # waits of the last round alone
    at = 0
    for group, key in zip(block, wanted, strict=True):
        while at < len(keys) and keys[at] != key and not isinstance(groups[at][0], Phase | Job):
            if moves(groups[at]):
                late.append(Moved(groups[at], []))
                moved.append(late[-1])
            own += [step for step in groups[at] if isinstance(step, Wait)]
            at += 1
        if at < len(keys) and keys[at] == key:
            pairs.append(Pair(group, groups[at]))
            for one in late:
                one.passed.extend(groups[at])
            at += 1
        elif moves(group):
            pairs.append(Pair(group, None))
        elif isinstance(group[0], Barrier | Wait):
            pairs.append(Pair(group, group))
        else:
            return [], [], 0, []
        if isinstance(group[0], Barrier):
            pairs += [Pair(None, one.transfers) for one in late]
            late = []
    pairs += [Pair(None, one.transfers) for one in late]
    waited = [step for pair in pairs if pair.others is pair.last for step in pair.last or []]
    behind: list[Step] = [step for step in own if step not in waited]
    return pairs, [*behind, Barrier()] if behind else [], at, moved


def moves(group: Group) -> bool:
    """Whether these are transfers."""
    return all(isinstance(step, Copy) for step in group)


def left_out(group: Group) -> Group:
    """The transfers with nothing to move."""
    return [replace(step, source=NOTHING) for step in group if isinstance(step, Copy)]


def steps_of(pairs: Sequence[Pair]) -> Iterator[Step]:
    """The last round without what it leaves out."""
    for pair in pairs:
        yield from pair.last or []
