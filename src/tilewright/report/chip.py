"""report.html for a target with a scratchpad: memory and schedule over time, phases, layers, energy, and reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..schedule.estimate import Event
from .pages import environment
from .summary import facts, memories, pace, peak
from .timeline import CORES, TRANSFERS, by_node, engines_of, events_of, on_cores, phases

SKELETON = Path(__file__).parent / "skeleton"
LANES = (CORES, *TRANSFERS)


def chip(
    plan: Mapping[str, Any], sizes: Mapping[str, Any] | None, schedule: Mapping[str, Any],
    simulated: Mapping[str, Any] | None,
) -> str:  # fmt: skip
    """One page that loads nothing: the figures are in it as JSON, a script draws them."""
    took = simulated["entries"] if simulated else {}
    data = {
        "memories": plan["memories"],
        "entries": [
            _entry(e, schedule["entries"][e["name"]], took.get(e["name"]), plan["levels"]["act"])
            for e in plan["entries"]
        ],
        "constants": [{**c, "layout": plan["packings"].get(c["name"], "")} for c in plan["constants"]],
        "energy_constants": {c["name"]: c for c in simulated["energy_constants"]} if simulated else {},
        "timing": simulated["timing"] if simulated else None,
    }
    return environment().get_template("chip.html.j2").render(
        plan=plan, facts=[*facts(plan, sizes), *pace(plan, schedule)], data=_inside_html(data),
        style=_part("chip.css"), script=_part("chart.js") + _part("chip.js"),
        run=simulated, levels=memories(plan), number="{:,}".format, bytes_per_cycle=plan["dma_bytes_per_cycle"],
        engine=plan["engines"]["cpu"],
    )  # fmt: skip


def _inside_html(data: Mapping[str, Any]) -> str:
    """JSON in which no character can end the element around it."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _part(name: str) -> str:
    return (SKELETON / name).read_text()


def _entry(
    entry: Mapping[str, Any], predicted: Mapping[str, Any], simulated: Mapping[str, Any] | None, memory: str
) -> dict[str, Any]:
    expected, took = by_node(predicted), by_node(simulated)
    top = peak(entry, memory)
    return {
        "name": entry["name"],
        "syms": entry["syms"],
        "cycles": predicted["cycles"],
        "uncosted": predicted["uncosted"],
        "simulated": simulated["cycles"] if simulated else None,
        "peak": {**vars(top), "memory": memory},
        "blocks": [{**b, "kind": kind} for b, kind in zip(entry["blocks"], _kinds(entry), strict=True)],
        "nodes": [_node(n, expected.get(n["name"]), took.get(n["name"])) for n in entry["nodes"]],
        "phases": phases(predicted, simulated),
        "lanes": {"predicted": _lanes(predicted), "simulated": _lanes(simulated) if simulated else None},
        "energy": simulated.get("energy") if simulated else None,
    }


def _kinds(entry: Mapping[str, Any]) -> list[str]:
    """What each block holds: a value between two nodes or of the caller, or a node's own buffer."""
    nodes = {n["name"] for n in entry["nodes"]}
    interface = {"input": {v["name"] for v in entry["inputs"]}, "output": {v["name"] for v in entry["outputs"]}}
    found = []
    for block in entry["blocks"]:
        owner, _, part = block["name"].rpartition(".")
        if owner in nodes and part in ("scratch", "constants"):
            found.append(part)
        elif owner in nodes and block["name"] not in entry["homes"]:
            found.append("stream")
        else:
            found.append(next((k for k, names in interface.items() if block["name"] in names), "activation"))
    return found


def _node(
    node: Mapping[str, Any], expected: tuple[float, float] | None, took: tuple[float, float] | None
) -> dict[str, Any]:
    """A node with its cycles: those until the next node goes on, and those that the busiest core computes."""
    return {
        **node,
        "predicted": round(expected[0]) if expected else None,
        "computing": round(expected[1]) if expected else None,
        "simulated": round(took[0]) if took else None,
        "simulated_computing": round(took[1]) if took else None,
    }


def _lanes(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Per lane rows of [name, start, stop, cores]: a phase's calls of one name are one, from the first to the last."""
    names = {name: i for i, name in enumerate(entry["names"])}
    calls: dict[tuple[int, str], list[Event]] = {}
    lanes: dict[str, list[list[Any]]] = {lane: [] for lane in (*LANES, *engines_of(entry))}
    for event in events_of(entry):
        if on_cores(event):
            calls.setdefault((event.phase, event.name), []).append(event)
        else:
            lanes[event.track].append([names[event.name], event.start, event.stop, event.bytes])
    for (_, name), events in sorted(calls.items(), key=lambda item: min(e.start for e in item[1])):
        cores = 0 if events[0].track == CORES else len(events)  # 0: all
        lanes[CORES].append([names[name], min(e.start for e in events), max(e.stop for e in events), cores])
    return {"names": entry["names"], "rows": lanes}
