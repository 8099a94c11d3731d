"""When calls and transfers of a compiled network begin and end: predicted (schedule.json) and simulated.

An entry is a table of events in the order of the program, in cycles from the call; names are numbers of a list.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..schedule.estimate import Event

SCHEDULE = "schedule.json"  # in DIR
SIMULATED = "simulated.json"  # in DIR/build
MAX_BYTES = 1 << 28
CORES = "cores"  # the track of calls that all cores share
TRANSFERS = ("dma in", "dma out")
CORE = "core"  # with a number: the tracks of single cores
FIELDS = ("track", "name", "start", "stop", "phase", "kernel", "bytes", "jobs")  # of an event


def entry_record(function: str, cycles: float, events: Iterable[Event], uncosted: Iterable[str] = ()) -> dict[str, Any]:
    """An entry as plain data: the C function, its cycles, and its events.

    `uncosted`: kernels that state no cost, of a prediction that counts them as nothing.
    """
    tables: dict[str, dict[str, int]] = {"track": {}, "name": {}, "kernel": {}}
    rows = [
        [
            tables[f].setdefault(getattr(event, f), len(tables[f])) if f in tables else _short(getattr(event, f))
            for f in FIELDS
        ]
        for event in events
    ]
    return {
        "function": function, "cycles": _short(cycles), "uncosted": sorted(set(uncosted)),
        **{f"{f}s": list(table) for f, table in tables.items()}, "events": rows,
    }  # fmt: skip


def _short(number: float) -> float:
    """Without more digits than a prediction has."""
    rounded = round(number, 1)
    return int(rounded) if rounded == int(rounded) else rounded


def on_cores(event: Event) -> bool:
    """Whether it is a call on the cores, or on one of them."""
    return event.track == CORES or event.track.startswith(f"{CORE} ")


def engines_of(entry: Mapping[str, Any]) -> list[str]:
    """The tracks of engines beside the cores."""
    return [track for track in entry["tracks"] if track not in (CORES, *TRANSFERS) and not track.startswith(f"{CORE} ")]


def events_of(entry: Mapping[str, Any]) -> Iterator[Event]:
    """The events of an entry, in the order of the program."""
    for track, name, start, stop, phase, kernel, *rest in entry["events"]:
        yield Event(entry["tracks"][track], entry["names"][name], start, stop, phase, entry["kernels"][kernel], *rest)


def text(record: Mapping[str, Any]) -> str:
    """The file's content."""
    return json.dumps(record, separators=(",", ":")) + "\n"


def read(folder: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What was predicted and, after a run on a simulator, what it took; None where there is no such file."""
    return _read(folder / SCHEDULE), _read(folder / "build" / SIMULATED)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is too large", rule=f"at most {MAX_BYTES:,} bytes")
        content = json.loads(path.read_bytes())
        for entry in content["entries"].values():
            for event in events_of(entry):
                assert 0 <= event.start <= event.stop <= entry["cycles"] + 1
            assert isinstance(entry["uncosted"], list)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, AssertionError):
        raise UserError(f"{path} is damaged", hint="compile the model again, and run it") from None
    return dict(content)


@dataclass
class Span:
    """A phase, or tiles of one node in a row: cycles until the next one begins, and those of its busiest core."""

    names: tuple[str, ...]
    kernels: tuple[str, ...]
    count: int = 0
    cycles: float = 0.0
    busy: float = 0.0
    shares: dict[str, float] = field(default_factory=dict)  # cycles by node; they add up to `cycles`


def spans(entry: Mapping[str, Any]) -> list[Span]:
    """The phases of an entry one after the other; their cycles add up to the entry's.

    What happens between two phases (barriers, waits for transfers) counts to the second; the end counts to the last.
    """
    phases = _phases(entry)
    found: list[Span] = []
    reached = 0.0
    for number, calls in enumerate(phases):
        stop = entry["cycles"] if number == len(phases) - 1 else max(call.stop for call in calls)
        cycles, reached = max(0.0, stop - reached), max(reached, stop)
        names = tuple(dict.fromkeys(call.name for call in calls))
        if not found or found[-1].names != names:
            found.append(Span(names, tuple(dict.fromkeys(call.kernel for call in calls))))
        span, busy = found[-1], {name: _busiest(c for c in calls if c.name == name) for name in names}
        span.count += 1
        span.cycles += cycles
        span.busy += _busiest(calls)
        total = sum(busy.values())
        for name in names:
            part = busy[name] / total if total else 1 / len(names)
            span.shares[name] = span.shares.get(name, 0.0) + cycles * part
    return found


def _phases(entry: Mapping[str, Any]) -> list[list[Event]]:
    """Calls by phase; a job and what the cores do of the same node are one."""
    phases: dict[int, list[Event]] = {}
    for event in events_of(entry):
        if event.phase >= 0:
            phases.setdefault(event.phase, []).append(event)
    found: list[list[Event]] = []
    for phase in sorted(phases):
        calls = phases[phase]
        if found and not on_cores(found[-1][0]) and on_cores(calls[0]) and found[-1][-1].name == calls[0].name:
            found[-1] += calls
        else:
            found.append(calls)
    return found


def _busiest(calls: Iterable[Event]) -> float:
    tracks: dict[str, float] = {}
    for call in calls:
        tracks[call.track] = tracks.get(call.track, 0.0) + call.stop - call.start
    return max(tracks.values(), default=0.0)


def cycles_of(entry: Mapping[str, Any]) -> float | None:
    """Cycles of an entry; None for a prediction that is not complete."""
    return None if entry["uncosted"] else float(entry["cycles"])


def by_node(entry: Mapping[str, Any] | None) -> dict[str, tuple[float, float]]:
    """Cycles of each node, and those that its busiest core computes. Nodes that run in one phase share its cycles.

    Without nodes whose kernels state no cost.
    """
    if entry is None:
        return {}
    found: dict[str, tuple[float, float]] = {}
    for span in spans(entry):
        if not set(span.kernels).isdisjoint(entry["uncosted"]):
            continue
        for name, cycles in span.shares.items():
            before = found.get(name, (0.0, 0.0))
            found[name] = (before[0] + cycles, before[1] + span.busy * (cycles / span.cycles if span.cycles else 0))
    return found


def phases(predicted: Mapping[str, Any], simulated: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """One record per phase, tiles of a node in a row counted as one. Both sides have the same phases."""
    took: list[Span | None] = [*spans(simulated)] if simulated else []
    expected = spans(predicted)
    if len(took) != len(expected):
        took = [None] * len(expected)
    found = []
    for span, real in zip(expected, took, strict=True):
        costed = set(span.kernels).isdisjoint(predicted["uncosted"])
        found.append({
            "name": ", ".join(span.names), "nodes": list(span.names), "kernels": list(span.kernels),
            "tiles": span.count,
            "cycles_predicted": _short(span.cycles) if costed else None,
            "cycles_simulated": _short(real.cycles) if real else None,
            "kernel_cycles_predicted": _short(span.busy) if costed else None,
            "kernel_cycles_simulated": _short(real.busy) if real else None,
        })  # fmt: skip
    return found


def perfetto(schedule: Mapping[str, Any], simulated: Mapping[str, Any] | None) -> dict[str, Any]:
    """A file for ui.perfetto.dev: a process per side and entry, with the same tracks. Cycles show as microseconds."""
    tracks = [f"{CORE} {core}" for core in range(schedule["cores"])] + [*TRANSFERS]
    tracks += dict.fromkeys(track for entry in schedule["entries"].values() for track in engines_of(entry))
    made: list[dict[str, Any]] = []
    for side, record in (("predicted", schedule), ("simulated", simulated)):
        for name, entry in record["entries"].items() if record else ():
            process = len({event["pid"] for event in made}) + 1
            title = f"{side}: {name}" + (f" ({record['timing']})" if record and side == "simulated" else "")
            made.append({"ph": "M", "pid": process, "name": "process_name", "args": {"name": title}})
            made += [
                {"ph": "M", "pid": process, "tid": number, "name": "thread_name", "args": {"name": track}}
                for number, track in enumerate(tracks)
            ]
            for event in events_of(entry):
                rows = range(schedule["cores"]) if event.track == CORES else (tracks.index(event.track),)
                about = {"bytes": event.bytes} if event.phase < 0 else {"kernel": event.kernel, "phase": event.phase}
                made += [
                    {
                        "ph": "X", "pid": process, "tid": row, "name": event.name, "ts": event.start,
                        "dur": round(event.stop - event.start, 1), "args": about,
                    }
                    for row in rows
                ]  # fmt: skip
    return {"displayTimeUnit": "ns", "traceEvents": made}
