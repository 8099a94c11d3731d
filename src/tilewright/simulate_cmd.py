"""`tilewright simulate`: a bare-metal ELF on the simulated chip, its output byte for byte on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from . import sim
from .commands.common import FILE, json_option
from .errors import UserError
from .output import USER, Outcome


@click.command()
@click.argument("elf", type=FILE)
@click.option("--timing", type=click.Choice(sim.TIMINGS), default="chip", show_default=True, help="The timing model.")
@click.option("--max-cycles", type=click.IntRange(min=1), help="Stop after so many cluster cycles.")
@click.option("--strict", is_flag=True, help="A job outside N-EUREKA's legal ones stops the run.")
@click.option("--xpulpnn", is_flag=True, help="Decode XpulpNN as well.")
@click.option("--trace", type=FILE, help="Write every instruction to this file.")
@click.option("--trace-cores", metavar="LIST", help="Trace these cores only: numbers 0..8 and fc, with commas.")
@click.option("--trace-range", metavar="A:B", help="Trace addresses A to B only.")
@click.option("--perfetto", type=FILE, help="Write a timeline for ui.perfetto.dev.")
@click.option("--profile", type=FILE, help="Write cycles per symbol, stalls by cause, instruction mix.")
@click.option("--energy", multiple=True, metavar="NAME=PJ", help="Override a constant of the energy model; repeatable.")
@click.option("--quiet", is_flag=True, help="No summary on stderr.")
@json_option
@click.pass_context
def simulate(ctx: click.Context, /, elf: Path, quiet: bool, **options: Any) -> None:
    """Run ELF on a cycle-approximate model of Siracusa; exit with its code, 3 after a fault."""
    if not elf.exists():
        raise UserError(f"no such file: {elf}")
    with tempfile.TemporaryDirectory(prefix="tilewright-sim-") as folder:
        report = Path(folder) / "report.json"
        command = [str(sim.find()), *_words(options), *(["--quiet"] if quiet else []), "--json", str(report), str(elf)]
        sys.stdout.flush()
        status, messages = _run(command)
        if report.exists():
            found = json.loads(report.read_text())
            found.pop("ok")
            ctx.ensure_object(Outcome).add(target="siracusa", **found)
        elif status == USER:  # the program has said why
            ctx.ensure_object(Outcome).add(error=messages[0] if messages else f"{elf} cannot be simulated")
        else:
            raise UserError(f"{elf}: the simulator ended with status {status}")
    if status != 0:
        ctx.exit(status)


def _run(command: list[str]) -> tuple[int, list[str]]:
    """Exit status, and the lines of stderr, which are passed on as they come."""
    lines = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8", errors="replace") as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            lines.append(line.strip().removeprefix(f"{sim.PROGRAM}: "))
    return process.returncode, lines


def _words(options: dict[str, Any]) -> list[str]:
    """Click's options as the program's words."""
    words: list[str] = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, tuple):
            for item in value:
                words += [flag, item]
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return words
