"""Options that verbs share, and what several of them do: compile into a folder, tell the sizes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from ..errors import UserError
from ..files import replace_file
from ..output import Outcome, step

if TYPE_CHECKING:
    from ..compiled import Compiled
    from ..options import Options

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def _keep_json(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    ctx.ensure_object(Outcome).file = value


def json_option(function: F) -> F:
    """`--json FILE`; eager, so that the file is known whatever else is wrong."""
    return click.option(
        "--json", "json_file", type=FILE, is_eager=True, expose_value=False, callback=_keep_json,
        help="Write the results as JSON, after a failure too.",
    )(function)  # fmt: skip


def compile_options(function: F) -> F:
    """`--option`, `--calibrate`, `--tokenizer`, `--dump`: everything that steers a compilation."""

    @wraps(function)
    def steered(*args: Any, pairs: tuple[str, ...], calibrate: str | None, **kwargs: Any) -> Any:
        return function(*args, pairs=pairs if calibrate is None else (*pairs, f"calibrate={calibrate}"), **kwargs)

    verb: Any = steered
    for decorate in (
        click.option("--dump", type=FOLDER, help="Write graphs after every pass, and programs, into this folder."),
        click.option("--tokenizer", type=FILE, help="Tokenizer file, where it does not lie beside the model."),
        click.option(
            "--calibrate", metavar="FILE", help="What quantisation looks at: a text for language models, else an npz."
        ),
        click.option("--option", "pairs", multiple=True, metavar="K=V", help="Option of the compiler; repeatable."),
    ):
        verb = decorate(verb)
    return cast(F, verb)


def target_option(default: str | None = "host") -> Callable[[F], F]:
    """`-t TARGET`."""
    return click.option(
        "-t", "--target", default=default, required=default is None, show_default=default is not None,
        help="Where it runs: a name that `tilewright targets` lists.",
    )  # fmt: skip


def timing_option(function: F) -> F:
    """`--timing`: which model of a simulated chip counts the cycles."""
    return click.option(
        "--timing", type=click.Choice(("chip", "gvsoc")), default="chip", show_default=True,
        help="The timing model where a chip is simulated.",
    )(function)  # fmt: skip


def options(pairs: tuple[str, ...], tokenizer: Path | None = None, name: str | None = None) -> Options:
    """Options from the command line, checked."""
    from ..options import parse

    if tokenizer is not None and not tokenizer.exists():
        raise UserError(f"no such tokenizer: {tokenizer}")
    return parse(pairs, tokenizer=tokenizer, name=name)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for a compilation that nobody keeps; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tilewright-") as folder:
        yield Path(folder) / "network"


def build(folder: Path, target: str) -> tuple[Path, dict[str, Any] | None]:
    """Build a compiled folder with its target's toolchain: the executable, and the sizes where they are known."""
    from ..report.record import SIZES
    from ..targets.registry import builder

    with step("compiling the C"):
        built = builder(target)(folder)
    sizes = None if built.sizes is None else asdict(built.sizes)
    if sizes is not None:
        replace_file(folder / "build" / SIZES, json.dumps(sizes, indent=1) + "\n")
    return built.executable, sizes


def write(
    model: str, target: str, folder: Path, pairs: tuple[str, ...], tokenizer: Path | None, dump: Path | None,
    name: str | None = None,
) -> tuple[Compiled, float]:  # fmt: skip
    """Compile a model and write its C project. Also the CPU seconds of that, of all processes."""
    began = _cpu_seconds()
    chosen = options(pairs, tokenizer, name)
    with step(f"compiling {model} for {target}"):
        from ..api import compile_file
        from ..cgen.project import write as write_project

        compiled = compile_file(model, target, chosen, dump)
        write_project(compiled, folder)
    return compiled, round(_cpu_seconds() - began, 3)


def _cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    return sum(os.times()[:4])


def table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """Rows as aligned columns, those in `right` to the right."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
