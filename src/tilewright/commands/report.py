"""`tilewright report` and `tilewright explain`: what was decided about a compiled network, and why."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ..errors import UserError
from ..files import replace_file
from ..output import Outcome
from .common import FILE, FOLDER, json_option, table


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--html", "html_file", type=FILE, help="Write the report as one HTML file.")
@click.option("--top", type=click.IntRange(0), default=12, show_default=True, help="Layers to show, 0: all.")
@json_option
@click.pass_obj
def report(outcome: Outcome, folder: Path, html_file: Path | None, top: int) -> None:
    """Show totals, the memory peak and the largest layers of the compiled network in DIR."""
    from ..report.record import read
    from ..report.summary import alive, facts, fields, lines, peak
    from ..report.timeline import read as read_timeline

    plan, sizes = read(folder)
    schedule, simulated = read_timeline(folder)
    outcome.add(**fields(plan, sizes, schedule, simulated))
    click.echo(f"{plan['name']} for {plan['target']}")
    click.echo(table(lines(facts(plan, sizes))))
    for entry in plan["entries"]:
        found = peak(entry)
        click.echo(f"\n{entry['name']}: {found.bytes:,} bytes alive at step {found.step}, {found.node}")
        rows = [(f"  {b['name']}", f"{b['bytes']:,}", f"at {b['offset']:,}") for b in alive(entry, found.step)]
        click.echo(table(rows, right=(1,)))
    nodes = sorted(plan["entries"][-1]["nodes"], key=lambda n: -n["macs"])
    shown = nodes[:top] if top else nodes
    click.echo(f"\n{len(shown)} of {len(nodes)} layers of {plan['entries'][-1]['name']}, most work first")
    head = ("  node", "operator", "kernel", "MACs", "bytes")
    layers = [(f"  {n['name']}", n["op"], n["kernel"] or "-", f"{n['macs']:,}", f"{n['bytes']:,}") for n in shown]
    click.echo(table([head, *layers], right=(3, 4)))
    if html_file is not None:
        from ..report.html import html

        replace_file(html_file, html(plan, sizes, schedule, simulated))


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("node")
@json_option
@click.pass_obj
def explain(outcome: Outcome, folder: Path, node: str) -> None:
    """Say what NODE of the compiled network in DIR is, what runs it, and where its results lie."""
    from ..report.record import read

    plan, _ = read(folder)
    found = [(e, i, n) for e in plan["entries"] for i, n in enumerate(e["nodes"]) if node in (n["name"], n["origin"])]
    if not found:
        names = list(dict.fromkeys(n["name"] for e in plan["entries"] for n in e["nodes"]))
        near = get_close_matches(node, names, 3, 0.4) or names[:3]
        raise UserError(f"no node named {node!r} in {folder}", hint=f"there are {len(names)}; near: {', '.join(near)}")
    explained = [_explained(plan, entry, at, record) for entry, at, record in found]
    outcome.add(target=plan["target"], nodes=explained)
    click.echo("\n\n".join(map(_text, explained)))


def _explained(plan: Mapping[str, Any], entry: Mapping[str, Any], step: int, node: Mapping[str, Any]) -> dict[str, Any]:
    """A node's record with its step, the homes of its operands, and what is alive beside it."""
    from ..report.summary import alive, peak

    blocks = {b["name"]: b for b in entry["blocks"]}
    places = {}
    for name in dict.fromkeys(n for n in (*node["inputs"], *node["outputs"]) if n is not None):
        home = entry["homes"].get(name)
        block = blocks.get(home["block"]) if home else None
        places[name] = {**block, "within": home["offset"]} if block else _elsewhere(plan, entry, name)
    beside = alive(entry, step)
    return {
        "entry": entry["name"], "step": step, **node, "places": places,
        "alive": [b["name"] for b in beside], "alive_bytes": sum(b["bytes"] for b in beside),
        "peak_bytes": peak(entry).bytes, "at_peak": step == peak(entry).step,
    }  # fmt: skip


def _elsewhere(plan: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Where a value lies that has no block in the arena."""
    for kind, values in (("constant", plan["constants"]), ("state", entry["states"])):
        for value in values:
            if value["name"] == name:
                return {"kind": kind, "bytes": value["bytes"], "layout": plan["packings"].get(name, "")}
    interface = [v["name"] for v in (*entry["inputs"], *entry["outputs"])]
    return {"kind": "the caller's"} if name in interface else {"kind": "state, updated in place"}


def _text(found: Mapping[str, Any]) -> str:
    origin = f", from {found['origin']}" if found["origin"] and found["origin"] != found["name"] else ""
    lines = [f"{found['name']} in {found['entry']}: {found['op']}, step {found['step']}{origin}"]
    if found["kernel"]:
        cycles = f", predicted {found['cycles']:,.0f} cycles" if found["cycles"] is not None else ""
        lines.append(f"  runs as {found['kernel']} on {found['engine']}{cycles}; {found['macs']:,} MACs")
        lines += [f"  not {other['kernel']}: {other['why']}" for other in found["others"]]
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
            lines.append(f"  {name}: {place['kind']}{size}{layout}")
    where = "the peak" if found["at_peak"] else f"the peak has {found['peak_bytes']:,}"
    lines.append(f"  alive at this step: {found['alive_bytes']:,} bytes ({where}): {', '.join(found['alive'])}")
    return "\n".join(lines)
