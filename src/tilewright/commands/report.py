"""`tilewright report` and `tilewright explain`: what was decided about a compiled network, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ..errors import UserError
from ..files import replace_file
from ..output import Outcome
from .common import FILE, FOLDER, json_option, table

_OF_TYPES = re.compile(r"\w+ must be \w+, it is \w+")  # the rule that a kernel's row states by its types


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--html", "html_file", type=FILE, help="Write the report as one HTML file.")
@click.option(
    "--top", type=click.IntRange(0), default=12, show_default=True, help="Blocks, phases and layers to show, 0: all."
)
@json_option
@click.pass_obj
def report(outcome: Outcome, folder: Path, html_file: Path | None, top: int) -> None:
    """Show totals, the memory peak and the largest layers of the compiled network in DIR."""
    from ..report.record import read
    from ..report.summary import alive, facts, fields, lines, pace, peak, room
    from ..report.timeline import read as read_timeline

    plan, sizes = read(folder)
    schedule, simulated = read_timeline(folder)
    outcome.add(**fields(plan, sizes, schedule, simulated))
    click.echo(f"{plan['name']} for {plan['target']}")
    click.echo(table(lines([*facts(plan, sizes), *room(plan), *pace(plan, schedule)])))
    for entry in plan["entries"]:
        near = plan["levels"]["act"]
        found = peak(entry, near)
        click.echo(f"\n{entry['name']}: {found.bytes:,} bytes alive at step {found.step}, {found.node}")
        click.echo(_blocks([b for b in alive(entry, found.step) if b["memory"] == near], top))
    _phases(plan, schedule, simulated, top)
    nodes = sorted(plan["entries"][-1]["nodes"], key=lambda n: -n["macs"])
    shown = nodes[:top] if top else nodes
    click.echo(f"\n{len(shown)} of {len(nodes)} layers of {plan['entries'][-1]['name']}, most work first")
    head = ("  node", "operator", "kernel", "MACs", "bytes")
    layers = [(f"  {n['name']}", n["op"], n["kernel"] or "-", f"{n['macs']:,}", f"{n['bytes']:,}") for n in shown]
    click.echo(table([head, *layers], right=(3, 4)))
    if html_file is not None:
        from ..report.html import html

        replace_file(html_file, html(plan, sizes, schedule, simulated))


def _blocks(blocks: Sequence[Mapping[str, Any]], top: int) -> str:
    """The largest blocks, those of equal layers together, and how much the others are."""
    from ..report.summary import alike

    groups = alike(blocks)
    shown = groups[:top] if top and len(groups) > top + 1 else groups  # one line for others is one line as well
    rows = [
        (f"  {name}", f"{count * b['bytes']:,}", f"at {b['offset']:,}" if count == 1 else f"{count} of {b['bytes']:,}")
        for name, count, b in shown
    ]
    if rest := groups[len(shown) :]:
        count = sum(count for _, count, _ in rest)
        rows.append((f"  {count} others", f"{sum(c * b['bytes'] for _, c, b in rest):,}", ""))
    return table(rows, right=(1,))


def _phases(
    plan: Mapping[str, Any], schedule: Mapping[str, Any] | None, simulated: Mapping[str, Any] | None, top: int
) -> None:
    """The longest phases of each entry with a schedule; simulated cycles where there was a run."""
    from ..report.timeline import phases

    sizes = {e["name"]: ", ".join(f"{sym['name']} {sym['nominal']:,}" for sym in e["syms"]) for e in plan["entries"]}
    for name, entry in schedule["entries"].items() if schedule else ():
        rows = phases(entry, simulated["entries"].get(name) if simulated else None)
        rows.sort(key=lambda p: -(p["cycles_simulated"] or p["cycles_predicted"] or 0))
        shown = rows[:top] if top else rows
        at = f", predicted for {sizes[name]}" if sizes[name] else ""
        click.echo(f"\n{len(shown)} of {len(rows)} phases of {name}, longest first; cycles{at}")
        head = ("  nodes", "kernel", "calls", "predicted", "simulated")
        lines = [
            (
                f"  {p['name']}", ", ".join(p["kernels"]), str(p["tiles"]),
                _cycles(p["cycles_predicted"]), _cycles(p["cycles_simulated"]),
            )
            for p in shown
        ]  # fmt: skip
        click.echo(table([head, *lines], right=(2, 3, 4)))


def _cycles(count: float | None) -> str:
    return "-" if count is None else f"{count:,.0f}"


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("node")
@json_option
@click.pass_obj
def explain(outcome: Outcome, folder: Path, node: str) -> None:
    """Say what NODE of the compiled network in DIR is, what runs it, and where its results lie."""
    from ..report.record import read
    from ..report.timeline import read as read_timeline

    plan, _ = read(folder)
    found = [(e, i, n) for e in plan["entries"] for i, n in enumerate(e["nodes"]) if node in (n["name"], n["origin"])]
    if not found:
        names = list(dict.fromkeys(n["name"] for e in plan["entries"] for n in e["nodes"]))
        near = get_close_matches(node, names, 3, 0.4) or names[:3]
        raise UserError(f"no node named {node!r} in {folder}", hint=f"there are {len(names)}; near: {', '.join(near)}")
    schedule, simulated = read_timeline(folder)
    explained = [
        {**_explained(plan, entry, at, record), **_times(entry["name"], record["name"], schedule, simulated)}
        for entry, at, record in found
    ]
    outcome.add(target=plan["target"], nodes=explained)
    click.echo("\n\n".join(_text(told, entry) for told, (entry, _, _) in zip(explained, found, strict=True)))


def _explained(plan: Mapping[str, Any], entry: Mapping[str, Any], step: int, node: Mapping[str, Any]) -> dict[str, Any]:
    """A node's record with its step, the homes of its operands, and what is alive beside it."""
    from ..report.summary import alive, peak

    near = plan["levels"]["act"]
    blocks = {b["name"]: b for b in entry["blocks"]}
    places = {}
    for name in dict.fromkeys(n for n in (*node["inputs"], *node["outputs"]) if n is not None):
        home = entry["homes"].get(name)
        block = blocks.get(home["block"]) if home else None
        places[name] = {**block, "within": home["offset"]} if block else _elsewhere(plan, entry, name)
    beside, most = [b for b in alive(entry, step) if b["memory"] == near], peak(entry, near)
    return {
        "entry": entry["name"], "step": step, **node, "places": places,
        "alive": [b["name"] for b in beside], "alive_bytes": sum(b["bytes"] for b in beside),
        "peak_bytes": most.bytes, "at_peak": step == most.step,
    }  # fmt: skip


def _times(
    entry: str, node: str, schedule: Mapping[str, Any] | None, simulated: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Cycles until the next node goes on, and of the busiest core in kernels; None where they are not known."""
    from ..report.timeline import by_node

    if schedule is None:
        return {}
    found: dict[str, Any] = {}
    for side, record in (("predicted", schedule), ("simulated", simulated)):
        cycles = by_node(record["entries"].get(entry) if record else None).get(node)
        found[f"cycles_{side}"] = round(cycles[0], 1) if cycles else None
        found[f"kernel_cycles_{side}"] = round(cycles[1], 1) if cycles else None
    return found


def _elsewhere(plan: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Where a value lies that has no block in the arena."""
    for kind, values in (("constant", plan["constants"]), ("state", entry["states"])):
        for value in values:
            if value["name"] == name:
                level = plan["levels"]["const" if kind == "constant" else "state"]
                layout = plan["packings"].get(name, "")
                return {"kind": kind, "bytes": value["bytes"], "layout": layout, "memory": level}
    interface = [v["name"] for v in (*entry["inputs"], *entry["outputs"])]
    return {"kind": "the caller's"} if name in interface else {"kind": "state, updated in place"}


def _text(found: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    from ..report.summary import alike

    origin = f", from {found['origin']}" if found["origin"] and found["origin"] != found["name"] else ""
    lines = [f"{found['name']} in {found['entry']}: {found['op']}, step {found['step']}{origin}"]
    if found["kernel"]:
        cycles = f", predicted {found['cycles']:,.0f} cycles" if found["cycles"] is not None else ""
        lines.append(f"  runs as {found['kernel']} on {found['engine'].split(', ')[0]}{cycles}; {found['macs']:,} MACs")
        lines += [f"  {_shared(found['shared'])} at the same time"] if found.get("shared") else []
        lines += _cut(found, sized=bool(entry["syms"])) if "tiles" in found else []
        types = [other["kernel"] for other in found["others"] if _OF_TYPES.fullmatch(other["why"])]
        lines += [f"  not {o['kernel']}: {o['why']}" for o in found["others"] if not _OF_TYPES.fullmatch(o["why"])]
        lines += [f"  for other types: {', '.join(dict.fromkeys(types))}"] if types else []
        if not found["others"]:
            lines.append("  no other kernel of the target is for this operator")
    else:
        lines.append("  a view: no code, only placement")
    for name, place in found["places"].items():
        if "offset" in place:
            lines.append(
                f"  {name}: {place['bytes']:,} bytes of {place['memory']} at {place['offset']:,}, "
                f"alive from step {place['first']} to {place['last']}"
            )
        else:
            size = f", {place['bytes']:,} bytes" if "bytes" in place else ""
            layout = f", laid out as {place['layout']}" if place.get("layout") else ""
            where = f", in {place['memory']}" if place.get("memory") else ""
            lines.append(f"  {name}: {place['kind']}{size}{layout}{where}")
    beside = alike([b for b in entry["blocks"] if b["name"] in found["alive"]])
    names = ", ".join(f"{name} ({count})" if count > 1 else name for name, count, _ in beside)
    where = "the peak" if found["at_peak"] else f"the peak has {found['peak_bytes']:,}"
    lines.append(f"  alive at this step: {found['alive_bytes']:,} bytes ({where}): {names}")
    return "\n".join(lines)


def _cut(found: Mapping[str, Any], *, sized: bool) -> list[str]:
    """How a node is cut, what moves for it, how long it takes and what bounds it, and the other tilings.

    `sized`: a run has sizes of its own, MACs and predictions are of nominal ones.
    """
    lines = [f"  {_tile(found['tile'])}, {found['tiles']:,} tiles" if found["tile"] else "  not cut"]
    lines[0] += f", buffers per stream: {found['buffers']}" if found["tiles"] > 1 else ""
    for s in found["streams"]:
        lines.append(
            f"  {s['operand']} through a buffer of {s['buffer']:,} bytes: {s['moved']:,} bytes, "
            f"transfers: {s['transfers']:,}, {s['cycles']:,.0f} cycles of the DMA"
        )
    if found["early"]:
        lines.append(f"  its constants begin to arrive {found['early']} steps ahead")
    if found["resident"]:
        lines.append("  its constants stay in the scratchpad from the first call on")
    for side in ("predicted", "simulated"):
        if found[f"cycles_{side}"] is not None:
            cycles, computing = max(found[f"cycles_{side}"], 1e-9), found[f"kernel_cycles_{side}"]
            share = found["least_cycles"] / cycles
            roof = f"{100 * share:.0f} % of the roofline" if share <= 1 else "transfers run beside nodes before it"
            rate = f"{found['macs'] / cycles:.2f} MAC/cycle, {roof}"
            rate = "sizes of the run" if sized and side == "simulated" else rate
            lines.append(f"  {side}: {cycles:,.0f} cycles with waits, {computing:,.0f} in the kernel; {rate}")
    bound = f"bound by {found['bound']}" if found["bound"] else "what bounds it is not known, the kernel states no cost"
    lines.append(f"  {bound}: at least {found['least_cycles']:,.0f} cycles, whatever the program")
    lines += [
        f"  not {_tile(other['tile'])}{_by(found, other)} with buffers per stream: {other['buffers']} "
        f"({other['bytes']:,} bytes, {other['cycles']:,.0f} cycles): {other['why']}"
        for other in found["alternatives"]
    ]
    if not found["asked"]:
        lines.append("  no other tiling was asked for: everything fits into the scratchpad uncut")
    return lines


def _shared(part: Mapping[str, Any]) -> str:
    """What an engine beside the cores does of a node."""
    return f"{part['engine']} does {part['dim']} {part['first']} to {part['stop']} of {part['of']} as {part['kernel']}"


def _by(found: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What else runs an alternative."""
    kernel = f" as {other['kernel']}" if other["kernel"] != found["kernel"] else ""
    return kernel + (f", {_shared(other['shared'])}," if other["shared"] else "")


def _tile(tile: Mapping[str, int] | None) -> str:
    return "tile " + ", ".join(f"{name} {size}" for name, size in tile.items()) if tile else "the whole"
