"""A compiled network in numbers: from plan.json and, once built, the sizes of its binary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .timeline import by_node, cycles_of, phases

WIDE = 30  # characters of a name that the column of figures has room for
_LAYER = re.compile(r"\.\d+\.")  # the number in `blocks.3.wq`


@dataclass(frozen=True)
class Peak:
    """The step of an entry at which most bytes of the arena are alive."""

    entry: str
    step: int
    node: str
    bytes: int


@dataclass(frozen=True)
class Fact:
    name: str
    value: str
    note: str


def alive(entry: Mapping[str, Any], step: int) -> list[Mapping[str, Any]]:
    """Blocks alive at a step, largest first."""
    found = [b for b in entry["blocks"] if b["first"] <= step <= b["last"]]
    return sorted(found, key=lambda b: (-b["bytes"], b["name"]))


def alike(blocks: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, Mapping[str, Any]]]:
    """Blocks by name, how many there are and one of them, most bytes first: those of equal layers are one line."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for block in blocks:
        groups.setdefault((_LAYER.sub(".*.", block["name"], count=1), block["bytes"]), []).append(block)
    found = [(name if len(b) > 1 else b[0]["name"], len(b), b[0]) for (name, _), b in groups.items()]
    return sorted(found, key=lambda group: (-group[1] * group[2]["bytes"], group[0]))


def peak(entry: Mapping[str, Any], memory: str | None = None) -> Peak:
    """The entry's peak, in one memory or in all; the earliest step among equals."""
    entry = {**entry, "blocks": [b for b in entry["blocks"] if memory is None or b["memory"] == memory]}
    starts = sorted({b["first"] for b in entry["blocks"]})
    totals = [(sum(b["bytes"] for b in alive(entry, step)), step) for step in starts]
    most, step = max(totals, key=lambda pair: (pair[0], -pair[1]), default=(0, 0))
    nodes = entry["nodes"]
    return Peak(entry["name"], step, nodes[step]["name"] if step < len(nodes) else "", most)


def highest(plan: Mapping[str, Any]) -> Peak:
    """The peak of the entry that needs most, in the memory that transients are made for."""
    return max((peak(entry, plan["levels"]["act"]) for entry in plan["entries"]), key=lambda p: p.bytes)


def memory(plan: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> dict[str, int]:
    """Bytes per memory. Inputs and outputs of a plain network belong to the caller, and count as RAM all the same."""
    planned = plan["memory"]
    ours = planned["io"] if plan["language"] is None else 0
    if sizes is None:
        return {"ram": planned["arena"] + planned["state"] + planned["io"], "flash": planned["weights"]}
    return {"ram": sizes["variables"] + ours, "flash": sizes["code"] + sizes["constants"]}


def fields(
    plan: Mapping[str, Any], sizes: Mapping[str, Any] | None, schedule: Mapping[str, Any] | None = None,
    simulated: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The fields of `--json` about a compiled network; those of code and stack only after a build.

    `schedule` and `simulated`: predicted and simulated time, where the target has them (see `timeline`).
    """
    total = memory(plan, sizes)
    planned = plan["memory"]
    found: dict[str, Any] = {
        "target": plan["target"],
        "macs": plan["macs"],
        "float_ops": plan["float_ops"],
        "memory": total if set(plan["levels"].values()) <= set(total) else _by_level(plan),
        "ram_bytes": total["ram"],
        "arena_bytes": planned["arena"],
        "state_bytes": planned["state"],
        "io_bytes": planned["io"],
        "weight_bytes": planned["weights"],
        "peak": vars(highest(plan)),
        "layers": layers(plan, schedule, simulated),
    }
    if schedule is not None:
        last = plan["entries"][-1]["name"]
        found["cycles_predicted"] = cycles_of(schedule["entries"][last])
        found["phases"] = phases(schedule["entries"][last], (simulated or {"entries": {}})["entries"].get(last))
    if plan.get("quantisation") is not None:
        found |= {key: plan["quantisation"][key] for key in ("snr_db", "max_abs_error")}
    if sizes is not None:
        found |= {"flash_bytes": total["flash"], "stack_bytes": sizes["stack"]}
        found |= {"code_bytes": sizes["code"], "constant_bytes": sizes["constants"]}
    return found


def _by_level(plan: Mapping[str, Any]) -> dict[str, int]:
    """Planned bytes per memory of a chip: constants, transients and state where the plan put them."""
    found: dict[str, int] = dict(plan["capacity"])
    for kind, use in (("const", "weights"), ("state", "state")):
        found[plan["levels"][kind]] = found.get(plan["levels"][kind], 0) + plan["memory"][use]
    return found


def layers(
    plan: Mapping[str, Any], schedule: Mapping[str, Any] | None = None, simulated: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """One record per node of the last entry (decode, for a language model).

    Cycles are the kernels' own predictions; where there is a schedule, waits and barriers before a node count to it.
    """
    entry = plan["entries"][-1]
    expected, took = (by_node(s["entries"].get(entry["name"]) if s else None) for s in (schedule, simulated))
    return [
        {
            "name": n["name"], "op": n["op"], "engine": n["engine"], "kernel": n["kernel"], "tile": n.get("tile"),
            "cycles_predicted": n["cycles"] if schedule is None else _rounded(expected, n["name"]),
            "cycles_simulated": _rounded(took, n["name"]),
            "macs": n["macs"], "bytes": n["bytes"],
            **{key: n[key] for key in ("tiles", "buffers", "shared", "dma_bytes", "dma_cycles", "bound") if key in n},
        }
        for n in entry["nodes"]
    ]  # fmt: skip


def _rounded(cycles: Mapping[str, tuple[float, float]], node: str) -> float | None:
    return round(cycles[node][0], 1) if node in cycles else None


def facts(plan: Mapping[str, Any], sizes: Mapping[str, Any] | None) -> list[Fact]:
    """The totals, as people read them."""
    planned, total, top = plan["memory"], memory(plan, sizes), highest(plan)
    parts = [f"arena {planned['arena']:,}", f"state {planned['state']:,}"]
    rest = total["ram"] - planned["arena"] - planned["state"]
    parts.append(f"text and interface {rest:,}" if plan["language"] is not None else f"inputs and outputs {rest:,}")
    found = [Fact("RAM", bytes_text(total["ram"]), " + ".join(parts))]
    if sizes is None:
        found.append(Fact("flash", bytes_text(total["flash"]), "weights only; code is known after a build"))
    else:
        found.append(
            Fact("flash", bytes_text(total["flash"]), f"constants {sizes['constants']:,} + code {sizes['code']:,}")
        )
        unseen = f"; not counting {', '.join(sizes['unknown'])}" if sizes["unknown"] else ""
        found.append(Fact("stack", bytes_text(sizes["stack"]), f"at most{unseen}"))
    if top.bytes and len(top.node) <= WIDE:
        found.append(Fact("peak", top.node, f"{top.bytes:,} bytes alive in {top.entry}"))
    elif top.bytes:
        found.append(Fact("peak", bytes_text(top.bytes), f"alive in {top.entry} at {top.node}"))
    made = plan.get("quantisation")
    if made is not None and made["snr_db"] is not None:
        note = f"signal to noise at the outputs, {made['samples']} samples; greatest error {made['max_abs_error']:.3g}"
        found.append(Fact("int8", f"{made['snr_db']:.1f} dB", note))
    per = "per decoded token" if plan["language"] is not None else "per run"
    found.append(Fact("MACs", f"{plan['macs']:,}", f"{per}, at nominal sizes"))
    return found


def memories(plan: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, int]], int | None]]:
    """(memory, what the plan has in it, bytes there are) for each memory of a chip."""
    found = []
    for memory, limit in plan["memories"].items():
        uses = [("buffers and values", plan["capacity"].get(memory, 0))]
        for kind, use, what in (("const", "weights", "constants"), ("state", "state", "state")):
            if plan["levels"].get(kind) == memory:
                uses.append((what, plan["memory"][use]))
        found.append((memory, [use for use in uses if use[1]], limit))
    return found


def room(plan: Mapping[str, Any]) -> list[Fact]:
    """How much of each memory the plan takes, where there is a scratchpad."""
    found = []
    for memory, uses, limit in memories(plan) if plan.get("dma_bytes_per_cycle") else ():
        of = f"{sum(size for _, size in uses):,}" + (f" of {limit:,}" if limit else "") + " bytes"
        if uses:
            found.append(Fact(memory, of, " + ".join(f"{what} {size:,}" for what, size in uses)))
    return found


def pace(plan: Mapping[str, Any], schedule: Mapping[str, Any] | None) -> list[Fact]:
    """What the last entry is predicted to take, where the target tells it."""
    if schedule is None:
        return []
    cycles, clock = cycles_of(schedule["entries"][plan["entries"][-1]["name"]]), plan["engines"]["cpu"]["clock_mhz"]
    if cycles is None:
        return [Fact("predicted", "-", "not known: a kernel states no cost")]
    per, rate = ("decoded token", "tokens/s") if plan["language"] is not None else ("run", "runs/s")
    note = f"per {per}, at nominal sizes; {clock * 1e6 / max(cycles, 1):,.0f} {rate} at {clock:.0f} MHz (assumed clock)"
    return [Fact("predicted", f"{cycles:,.0f} cycles", note), *_first_tokens(plan, schedule)]


def _first_tokens(plan: Mapping[str, Any], schedule: Mapping[str, Any]) -> list[Fact]:
    """What a token of a prompt takes, where a language model reads several at once."""
    first = plan["entries"][0]
    tokens = {sym["name"]: sym["nominal"] for sym in first["syms"]}.get("n", 1)
    cycles = cycles_of(schedule["entries"][first["name"]])
    if plan["language"] is None or tokens == 1 or cycles is None:
        return []
    return [
        Fact(
            "",
            f"{cycles / tokens:,.0f} cycles",
            f"per token of a prompt of {tokens:,}; both without tokenizer and sampler",
        )
    ]


def bytes_text(count: int) -> str:
    return f"{count:,} bytes"


def lines(facts: Sequence[Fact], seconds: float | None = None) -> list[tuple[str, str, str]]:
    """The summary that `compile` prints, as rows of a table."""
    rows = [(f"  {fact.name}", fact.value, fact.note) for fact in facts]
    if seconds is not None:
        rows.append(("  compiled", f"{seconds:.2f} s", "CPU time, without the C compiler"))
    return rows
