"""The last round of a loop of layers: it lacks transfers for a layer behind it, and has some for what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..ir.program import Barrier, Buffer, Copy, Phase, Ref, Step, Wait
from ..ir.types import U8, Kind

Group = list[Step]  # a step, or transfers that share a token
NOTHING = Ref(Buffer("nothing", Kind.ACT, "", None, 0, U8))  # what a transfer that a round leaves out comes from


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


def align(
    block: Sequence[Group], wanted: Sequence[int], groups: Sequence[Group], keys: Sequence[int]
) -> tuple[list[Pair], int]:
    """The groups ahead as one more round of a block, which waits and meets as the others do, and how many they are.

    Nothing where they are no such round.
    """
    pairs: list[Pair] = []
    at = 0
    for group, key in zip(block, wanted, strict=True):
        while at < len(keys) and keys[at] != key and not isinstance(groups[at][0], Phase):
            if moves(groups[at]):
                pairs.append(Pair(None, groups[at]))
            at += 1  # its own waits and barriers are those of the others
        if at < len(keys) and keys[at] == key:
            pairs.append(Pair(group, groups[at]))
            at += 1
        elif moves(group):
            pairs.append(Pair(group, None))
        elif isinstance(group[0], Barrier | Wait):
            pairs.append(Pair(group, group))
        else:
            return [], 0
    return pairs, at


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
