"""What the simulator saw of a network's functions, as events under the names of the predicted ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...report.timeline import CORES, TRANSFERS, entry_record, events_of
from ...schedule.estimate import Event

NPU = "neureka"  # the track


def simulated(schedule: Mapping[str, Any], report: Mapping[str, Any], cycles: int, timing: str) -> dict[str, Any]:
    """simulated.json: the latest visit of each entry's function. Entries that were not called are left out.

    A program's calls, jobs and transfers come in one order, so the n-th that was seen on a track is the n-th that was
    predicted there; where their number or their kernels differ, the entry is left out as well.
    """
    visits = {visit["function"]: visit for visit in report.get("visits", ())}
    entries = {}
    for name, entry in schedule["entries"].items():
        visit = visits.get(entry["function"])
        first = next((v for v in visit["visits"] if v["core"] == 0), None) if visit else None
        if visit is None or first is None:
            continue
        events = _events([*events_of(entry)], visit, first["begin"], schedule["cores"])
        if events is not None:
            length = first["end"] - first["begin"]
            entries[name] = {
                **entry_record(entry["function"], max([length, *(e.stop for e in events)]), events),
                "energy": visit["energy"],
            }
    return {
        "timing": timing, "cycles": cycles, "entries": entries, "energy_constants": report.get("energy_constants", []),
    }  # fmt: skip


def _events(expected: Sequence[Event], visit: Mapping[str, Any], began: int, cores: int) -> list[Event] | None:
    kernels = {event.kernel for event in expected if event.track != NPU}
    calls = {v["core"]: [c for c in v["calls"] if c[0] in kernels] for v in visit["visits"]}
    found: list[Event] = []
    for core in range(cores):
        mine = [e for e in expected if e.track in (CORES, f"core {core}")]
        seen = calls.get(core, [])
        if [event.kernel for event in mine] != [symbol for symbol, _, _ in seen]:
            return None
        for event, (_, start, stop) in zip(mine, seen, strict=True):
            found.append(replace(event, track=f"core {core}", start=start - began, stop=stop - began))
    asked, jobs = [event for event in expected if event.track == NPU], iter(visit.get("jobs", ()))
    if sum(event.jobs for event in asked) != len(visit.get("jobs", ())):
        return None
    for event in asked:
        worked = [next(jobs) for _ in range(event.jobs)]  # asked, begun, ended
        found.append(replace(event, start=worked[0][1] - began, stop=worked[-1][2] - began))
    for track in TRANSFERS:
        wanted = [event for event in expected if event.track == track]
        moved = [*_transfers(visit["transfers"], track)]
        first = len(moved) - len(wanted)  # transfers of the first call only, of constants that stay
        if first < 0 or (first > 0 and track != TRANSFERS[0]):
            return None
        for start, stop, size in moved[:first]:
            found.append(Event(track, "constants that stay", start - began, stop - began, bytes=size))
        for event, (start, stop, size) in zip(wanted, moved[first:], strict=True):
            found.append(Event(track, event.name, start - began, stop - began, bytes=size))
    return found


def _transfers(seen: Sequence[Sequence[int]], track: str) -> Iterator[tuple[int, int, int]]:
    """Start, stop and bytes in one direction: a transfer that is queued begins when the one before it ends."""
    served = 0
    for start, stop, inward, size in seen:
        if bool(inward) == (track == TRANSFERS[0]):
            yield min(max(start, served), stop), stop, size
            served = stop
