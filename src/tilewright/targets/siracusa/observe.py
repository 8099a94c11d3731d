"""What the simulator saw of a network's functions, as events under the names of the predicted ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...report.timeline import CORES, TRANSFERS, entry_record, events_of
from ...schedule.estimate import Event

NPU = "neureka"  # the track


def simulated(schedule: Mapping[str, Any], report: Mapping[str, Any], cycles: int, timing: str) -> dict[str, Any]:
    """simulated.json: the latest visit of each entry's function. Entries that were not called are left out.

    A program's calls and transfers come in one order, so the n-th that was seen on a track is the n-th that was
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
    kernels = {_function(event.kernel) for event in expected if event.kernel}
    calls = {v["core"]: [c for c in v["calls"] if _function(c[0]) in kernels] for v in visit["visits"]}
    found: list[Event] = []
    for core in range(cores):
        mine = [e for e in expected if e.track in (CORES, f"core {core}") or (core == 0 and e.track == NPU)]
        seen = calls.get(core, [])
        if [_function(event.kernel) for event in mine] != [_function(symbol) for symbol, _, _ in seen]:
            return None
        for event, (_, start, stop) in zip(mine, seen, strict=True):
            track = event.track if event.track == NPU else f"core {core}"
            if track == NPU:
                start, stop = _worked(visit["jobs"], start, stop)
            found.append(Event(track, event.name, start - began, stop - began, event.phase, event.kernel, event.bytes))
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


def _worked(jobs: Sequence[Sequence[int]], start: int, stop: int) -> tuple[int, int]:
    """From when to when the engine does what was asked of it while a core was in the call that starts it."""
    asked = [(begin, end) for when, begin, end in jobs if start <= when <= stop]
    return (asked[0][0], asked[-1][1]) if asked else (start, stop)


def _function(symbol: str) -> str:
    """Calls of the engine are started by one function; others wait for them."""
    waits = symbol in (f"tw_{NPU}_finish", f"tw_{NPU}_wait")
    return NPU if symbol.startswith(f"tw_{NPU}_") and not waits else symbol


def _transfers(seen: Sequence[Sequence[int]], track: str) -> Iterator[tuple[int, int, int]]:
    """Start, stop and bytes in one direction: a transfer that is queued begins when the one before it ends."""
    served = 0
    for start, stop, inward, size in seen:
        if bool(inward) == (track == TRANSFERS[0]):
            yield min(max(start, served), stop), stop, size
            served = stop
