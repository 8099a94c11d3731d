"""report.html: one file that shows a compiled network, from plan.json and, once built, its sizes. Loads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .chip import chip
from .pages import environment
from .summary import Peak, alive, bytes_text, facts, peak

WIDTH, HEIGHT = 980, 300  # of a drawing, in CSS pixels, without its axes
LEFT, BOTTOM = 64, 22
NARROWEST, WIDEST = 2.0, 140.0  # pixels per step; a longer network scrolls
HUES = (210, 28, 140, 330, 265, 55, 180, 0, 95, 235, 300, 15)


@dataclass(frozen=True)
class Box:
    """A block in the drawing."""

    x: float
    y: float
    width: float
    height: float
    hue: int
    label: str
    title: str


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Timeline:
    """Arena over steps: time to the right, addresses upwards."""

    width: float
    boxes: tuple[Box, ...]
    hues: Mapping[str, int]  # by the operator that makes a block
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    peak_x: float
    peak_width: float


def html(
    plan: Mapping[str, Any], sizes: Mapping[str, Any] | None = None, schedule: Mapping[str, Any] | None = None,
    simulated: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """The report. `sizes` are those of the built binary (see `sizes.json`), None before a build.

    `schedule` and `simulated`: predicted and simulated time, where the target has them (see `timeline`).
    """
    if schedule is not None:
        return chip(plan, sizes, schedule, simulated)
    entries = [_entry(entry, sum(plan["capacity"].values())) for entry in plan["entries"]]
    return environment().get_template("report.html.j2").render(
        plan=plan, facts=facts(plan, sizes), entries=entries, number="{:,}".format, bytes=bytes_text,
        left=LEFT, height=HEIGHT, bottom=BOTTOM,
    )  # fmt: skip


def timeline(entry: Mapping[str, Any], capacity: int) -> Timeline | None:
    """The drawing of an entry's arena, None where it has no transients."""
    blocks, steps = entry["blocks"], len(entry["nodes"])
    if not blocks or not capacity:
        return None
    per_step = max(NARROWEST, min(WIDEST, WIDTH / steps))
    scale = HEIGHT / capacity
    nodes = entry["nodes"]
    operators = dict.fromkeys(nodes[b["first"]]["op"] for b in sorted(blocks, key=lambda b: b["first"]))
    hues = {operator: HUES[i % len(HUES)] for i, operator in enumerate(operators)}
    boxes = tuple(
        Box(
            x=b["first"] * per_step,
            y=HEIGHT - (b["offset"] + b["bytes"]) * scale,
            width=max(1.0, (b["last"] - b["first"] + 1) * per_step),
            height=max(1.0, b["bytes"] * scale),
            hue=hues[nodes[b["first"]]["op"]],
            label=_fitting(_role(b["name"]), (b["last"] - b["first"] + 1) * per_step, b["bytes"] * scale),
            title=f"{b['name']}: {b['bytes']:,} bytes at {b['offset']:,}, "
            f"steps {b['first']} ({nodes[b['first']]['name']}) to {b['last']} ({nodes[b['last']]['name']})",
        )
        for b in blocks
    )
    return Timeline(
        steps * per_step, boxes, hues, _address_ticks(capacity, scale), _step_ticks(steps, per_step),
        peak(entry).step * per_step, per_step,
    )  # fmt: skip


def _entry(entry: Mapping[str, Any], capacity: int) -> dict[str, Any]:
    most = max((n["cycles"] or 0 for n in entry["nodes"]), default=0)
    found: Peak = peak(entry)
    return {
        "plan": entry,
        "timeline": timeline(entry, capacity),
        "peak": found,
        "alive": alive(entry, found.step),
        "nodes": [
            {**n, "step": i, "share": 100 * (n["cycles"] or 0) / (most or 1)} for i, n in enumerate(entry["nodes"])
        ],
        "macs": sum(n["macs"] for n in entry["nodes"]),
        "costed": most > 0,
    }


def _role(name: str) -> str:
    """`blocks.3.q_turned` -> `q_turned`: what blocks of a repeated layer have in common."""
    parts = [part for part in name.replace("/", ".").split(".") if part and not part.isdigit()]
    return ".".join(parts[-2:]) if parts and parts[-1] == "scratch" else parts[-1] if parts else name


def _fitting(label: str, width: float, height: float) -> str:
    return label if height >= 13 and width >= 6.5 * len(label) + 6 else ""


def _address_ticks(capacity: int, scale: float) -> tuple[Tick, ...]:
    step = 1
    while capacity / step > 5:
        step *= 2
    marks = [*range(0, capacity - step // 2, step), capacity]
    return tuple(Tick(HEIGHT - at * scale, f"{at:,}") for at in marks)


def _step_ticks(steps: int, per_step: float) -> tuple[Tick, ...]:
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1 << 30) if n * per_step >= 36)
    return tuple(Tick((at + 0.5) * per_step, str(at)) for at in range(0, steps, every))
