"""Jobs of asynchronous engines start before everything that they do not depend on: then they wait in the queue."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..ir.program import Copy, Job, Phase, Work
from ..targets.base import Target
from .synchronise import Access, Synchronisation

Unit = tuple[list[Work], list[Access]]  # a step or transfers that share a token, and what they touch


def ahead(steps: Sequence[Work], target: Target) -> list[Work]:
    """The steps (phases, jobs, and copies whose tokens are groups) with jobs moved forward as far as bytes allow.

    Jobs of an engine keep their order, and one that its queue has no room for comes after the next phase of the cores.
    """
    assert target.scratchpad is not None
    sync = Synchronisation(target.cores, target.scratchpad, {})
    runs = groupby(steps, lambda step: step.token if isinstance(step, Copy) else None)
    groups = [g for token, run in runs for g in ([[*run]] if token is not None else [[step] for step in run])]
    units: list[Unit] = []
    for group in groups:
        unit: Unit = group, [access for step in group for access in sync.touches(step)]
        at = len(units)
        if isinstance(group[0], Job):
            queue = target.engine(group[0].call.kernel).queue
            at = _earliest(units, unit, queue)
        units.insert(at, unit)
    return [step for group, _ in units for step in group]


def _earliest(units: list[Unit], job: Unit, queue: int) -> int:
    """The place before which nothing may be that stands behind it now."""
    at = len(units)
    while at > 0:
        (before, *_), theirs = units[at - 1]
        if isinstance(before, Job) or any(m.clashes(t) for m in job[1] for t in theirs):
            break
        at -= 1
    waiting = [i for i, ((step, *_), _) in enumerate(units) if isinstance(step, Job)]
    if len(waiting) >= queue:
        behind = (i for i in range(waiting[-queue], len(units)) if isinstance(units[i][0][0], Phase))
        at = max(at, next(behind, len(units) - 1) + 1)
    return at
