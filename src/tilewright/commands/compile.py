"""`tilewright compile`: a model becomes a C project."""

from __future__ import annotations

from pathlib import Path

import click

from ..files import replace_file
from ..output import Outcome
from .common import FOLDER, build, compile_options, json_option, table, target_option, write


@click.command(name="compile")
@click.argument("model")
@target_option()
@click.option("-o", "folder", type=FOLDER, required=True, help="Folder of the C project; made, or made anew.")
@click.option("--name", help="Prefix of all C names; default: the model's own name.")
@click.option("--no-build", is_flag=True, help="Only write the C: no C compiler, no size of code and stack.")
@compile_options
@json_option
@click.pass_obj
def compile_(
    outcome: Outcome, model: str, target: str, folder: Path, name: str | None, no_build: bool,
    pairs: tuple[str, ...], tokenizer: Path | None, dump: Path | None,
) -> None:  # fmt: skip
    """Compile MODEL to a self-contained C project, and tell its memory before anything runs."""
    outcome.add(target=target)
    _, seconds = write(model, target, folder, pairs, tokenizer, dump, name)
    outcome.add(compile_seconds=seconds)
    sizes = None if no_build else build(folder, target)[1]

    from ..report.html import html
    from ..report.record import read
    from ..report.summary import facts, fields, lines, pace, room
    from ..report.timeline import read as read_timeline

    plan, _ = read(folder)
    schedule, _ = read_timeline(folder)
    if sizes is not None:
        replace_file(folder / "report.html", html(plan, sizes, schedule))
    outcome.add(**fields(plan, sizes, schedule))
    click.echo(f"{plan['name']} for {target}: {folder}")
    click.echo(table(lines([*facts(plan, sizes), *room(plan), *pace(plan, schedule)], seconds)))
