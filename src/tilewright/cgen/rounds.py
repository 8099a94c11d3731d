"""Predicted calls under the names of their own nodes: those of a loop have the names of its first round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..ir.plan import EntryPlan, Tiled
from ..ir.program import Job, Loop, Parts, Phase, Step
from ..schedule.estimate import Event


def named(entry: EntryPlan, steps: Sequence[Step], events: Sequence[Event]) -> list[Event]:
    """Events of the program `steps` of an entry. Names stay where a round would meet nodes that run otherwise."""
    nodes = [node.name for node in entry.graph.nodes if node.name in entry.choices]
    at = {name: index for index, name in enumerate(nodes)}
    moved = [*_moved(steps, {name: entry.choices[name].tiled for name in nodes})]
    found = []
    for event in events:
        if event.phase >= 0:
            to = at.get(event.name, len(nodes)) + moved[event.phase]
            if to >= len(nodes) or event.kernel not in {k.symbol for k in entry.choices[nodes[to]].kernels}:
                return list(events)
            event = replace(event, name=nodes[to])
        found.append(event)
    return found


def _moved(steps: Sequence[Step], ways: dict[str, Tiled | None], before: int = 0) -> Iterator[int]:
    """For each phase, how many nodes its own one is behind the one that it is named after.

    A round of equal layers moves by the nodes of a layer, one of tiles of the same nodes by none.
    """
    for step in steps:
        match step:
            case Phase() | Parts() | Job():
                yield before
            case Loop():
                calls = Counter(_names(step.body))
                layers = all(count >= (way.count if (way := ways.get(name)) else 1) for name, count in calls.items())
                for number in range(len(step.table.rows)):
                    yield from _moved(step.body, ways, before + number * len(calls) * layers)


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
