"""Predicted calls under the names of their own nodes: those of a loop have the names of its first round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..ir.plan import EntryPlan
from ..ir.program import Job, Loop, Parts, Phase, Step
from ..schedule.estimate import Event


def named(entry: EntryPlan, steps: Sequence[Step], events: Sequence[Event]) -> list[Event]:
    """Events of the program `steps` of an entry. All names stay where a round would meet nodes that run otherwise."""
    order = _Order.of(entry)
    moved = [*order.moved(steps)]
    found = []
    for event in events:
        if event.phase >= 0:
            to = order.at.get(event.name, len(order.names)) + moved[event.phase]
            if to >= len(order.names) or event.kernel not in order.kernels[to]:
                return list(events)
            event = replace(event, name=order.names[to])
        found.append(event)
    return found


@dataclass(frozen=True)
class _Order:
    """The nodes of an entry that are computed: names, kernels and numbers of tiles."""

    names: tuple[str, ...]
    kernels: tuple[tuple[str, ...], ...]
    tiles: tuple[int, ...]
    at: dict[str, int]

    @staticmethod
    def of(entry: EntryPlan) -> _Order:
        names = [node.name for node in entry.graph.nodes if node.name in entry.choices]
        choices = [entry.choices[name] for name in names]
        kernels = tuple(tuple(kernel.symbol for kernel in choice.kernels) for choice in choices)
        tiles = tuple(choice.tiled.count if choice.tiled else 1 for choice in choices)
        return _Order(tuple(names), kernels, tiles, {name: index for index, name in enumerate(names)})

    def moved(self, steps: Sequence[Step], before: int = 0) -> Iterator[int]:
        """For each phase, how many nodes its own one is behind the one that it is named after."""
        for step in steps:
            match step:
                case Phase() | Parts() | Job():
                    yield before
                case Loop():
                    period = self.period(step)
                    for number in range(len(step.table.rows)):
                        yield from self.moved(step.body, before + number * period)

    def period(self, loop: Loop) -> int:
        """By how many nodes a round of equal layers moves on; 0 where rounds are tiles of the same nodes.

        A round may have a part of a node of one layer and another part of that of the next layer.
        """
        calls = Counter(_names(loop.body))
        if not calls.keys() <= self.at.keys() or any(count < self.tiles[self.at[n]] for n, count in calls.items()):
            return 0
        places = [self.at[name] for name in calls]
        for period in range(len(places), 0, -1):
            pairs = [(place, place + number * period) for number in range(len(loop.table.rows)) for place in places]
            whole = len({place % period for place in places}) == period
            if whole and all(to < len(self.names) and self.kernels[to] == self.kernels[place] for place, to in pairs):
                return period
        return 0


def _names(steps: Sequence[Step]) -> Iterator[str]:
    """The nodes of all phases, in their order."""
    for step in steps:
        match step:
            case Phase(calls=calls):
                yield from dict.fromkeys(call.semantics.name for call in calls)
            case Parts(calls=calls):
                yield from dict.fromkeys(call.semantics.name for call in calls if call is not None)
            case Job(call=call):
                yield call.semantics.name
            case Loop(body=body, table=table):
                for _ in table.rows:
                    yield from _names(body)
