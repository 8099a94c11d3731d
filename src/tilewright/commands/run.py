"""`tilewright run`: a compiled network on its target's runner, compared with what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError
from ..output import DIFFERS, OK, Outcome, say, step
from .common import FILE, compile_options, json_option, scratch_folder, table, target_option, timing_option, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..arrays import Port
    from ..ir.types import Array


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--inputs", "inputs_file", type=FILE, help="npz with the inputs; without it they are zeros.")
@click.option("--outputs", "outputs_file", type=FILE, help="Write the outputs to this npz.")
@click.option("--expect", "expect_file", type=FILE, help="npz with the outputs that every repetition must give.")
@click.option("--repeat", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="Runs in a row.")
@click.option("--perfetto", "perfetto_file", type=FILE, help="Write predicted and simulated time for ui.perfetto.dev.")
@target_option()
@timing_option
@compile_options
@json_option
@click.pass_obj
def run(
    outcome: Outcome, folder: Path, inputs_file: Path | None, outputs_file: Path | None, expect_file: Path | None,
    repeat: int, perfetto_file: Path | None, target: str, timing: str, pairs: tuple[str, ...],
    tokenizer: Path | None, dump: Path | None,
) -> int:  # fmt: skip
    """Build and run the compiled network in DIR; exit code 1 where an output is not as expected.

    DIR may also be a model: it is compiled to a temporary folder first.
    """
    from ..frontend.load import holds_model
    from ..report.record import read

    if (folder / "plan.json").exists():
        plan, _ = read(folder)
        if pairs:
            say(f"note: {folder} is compiled already, options do not change it")
        return _run(outcome, folder, plan, inputs_file, outputs_file, expect_file, repeat, perfetto_file, timing)
    if folder.is_dir() and not holds_model(folder):
        raise UserError(f"{folder} is not a compiled network", hint="make one with `tilewright compile MODEL -o DIR`")
    with scratch_folder() as compiled:
        outcome.add(target=target)
        outcome.add(compile_seconds=write(str(folder), target, compiled, pairs, tokenizer, dump)[1])
        plan = read(compiled)[0]
        return _run(outcome, compiled, plan, inputs_file, outputs_file, expect_file, repeat, perfetto_file, timing)


def _run(
    outcome: Outcome, folder: Path, plan: dict[str, Any], inputs_file: Path | None, outputs_file: Path | None,
    expect_file: Path | None, repeat: int, perfetto_file: Path | None, timing: str,
) -> int:  # fmt: skip
    from ..arrays import match, read_npz, shaped, write_npz

    arrays, results = _given(plan, inputs_file), _ports(plan, "outputs")
    expected = match(read_npz(expect_file), results, "output", expect_file) if expect_file else None

    from dataclasses import asdict

    from ..report.summary import fields
    from ..targets.registry import runner

    with step("compiling the C"):
        network = runner(plan["target"], folder, timing)
    sizes = network.built.sizes
    outcome.add(**fields(plan, asdict(sizes) if sizes is not None else None))
    verdict = _Verdict(results, expected)
    last: Sequence[Array] = ()
    with step(f"running {repeat} times" if repeat > 1 else "running"):
        for repetition, last in enumerate(network.series(arrays, repeat, expected)):
            verdict.take(last, repetition)
    outcome.add(**network.measured())
    _timeline(outcome, folder, plan, None if sizes is None else asdict(sizes), perfetto_file)
    if outputs_file:
        write_npz(outputs_file, {p.name: shaped(a, p, "output") for p, a in zip(results, last, strict=True)})
    if expected is not None:
        outcome.add(wrong_values=verdict.wrong, max_abs_error=verdict.worst)
        if verdict.first:
            outcome.add(error=verdict.first)
            say(f"error: {verdict.first}")
            return DIFFERS
    click.echo(_told(results, last, expected is not None, repeat, verdict.worst))
    rows = network.rows(outcome.fields)
    if rows:
        click.echo(table([(f"  {name}", value, note) for name, value, note in rows]), err=True)
    return OK


def _timeline(
    outcome: Outcome, folder: Path, plan: dict[str, Any], sizes: dict[str, Any] | None, perfetto_file: Path | None
) -> None:
    """Time by phase and layer where the target tells it: in the fields, in report.html, for ui.perfetto.dev."""
    from ..files import replace_file
    from ..report.html import html
    from ..report.summary import fields
    from ..report.timeline import perfetto, read, text

    schedule, simulated = read(folder)
    if schedule is None:
        if perfetto_file is not None:
            raise UserError(
                f"{plan['target']} has no timeline",
                where="--perfetto",
                rule="only what runs on a simulated chip has one",
            )
        return
    outcome.add(**fields(plan, sizes, schedule, simulated))
    replace_file(folder / "report.html", html(plan, sizes, schedule, simulated))
    if perfetto_file is not None:
        replace_file(perfetto_file, text(perfetto(schedule, simulated)))


def _given(plan: dict[str, Any], source: Path | None) -> list[Array]:
    """The inputs of a run from an npz file: arrays of the interface, or a prompt; zeros without a file."""
    from ..arrays import cast, match, read_npz

    ports = _ports(plan, "inputs")
    if source is None:
        return _zeros(ports, plan)
    given = read_npz(source)
    if plan["language"] is not None:
        return [_prompt(given, ports[0], source)]
    matched = match(given, ports, "input", source, surplus=True)
    if len(given) > len(ports):
        say(f"note: {source} has {len(given)} arrays for {len(ports)} inputs; the last are taken for constants")
    return [cast(array, port) for array, port in zip(matched, ports, strict=True)]


def _prompt(given: dict[str, Array], port: Port, source: object) -> Array:
    """The tokens of a prompt: the only array of the file, of any length."""
    from ..arrays import cast

    if len(given) != 1:
        raise UserError(f"{source} has {len(given)} arrays", rule="a language model takes one: the tokens of a prompt")
    return cast(next(iter(given.values())).reshape(-1), port)


def _ports(plan: dict[str, Any], which: str) -> list[Port]:
    from ..arrays import Port
    from ..ir.types import DTYPES

    try:
        return [
            Port(str(v["name"]), tuple(int(d) for d in v["max_shape"]), DTYPES[v["dtype"]].numpy)
            for v in plan["entries"][-1][which]
        ]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"plan.json is damaged: {which}", hint="compile the model again") from None


def _zeros(ports: Sequence[Port], plan: dict[str, Any]) -> list[Array]:
    import numpy as np

    if plan["language"] is not None:
        raise UserError(
            f"{plan['name']} is a language model",
            rule="its input is an array of tokens",
            hint="give --inputs, or use `tilewright generate`",
        )
    if ports:
        say("note: no --inputs, all inputs are zeros")
    return [np.zeros(p.shape, p.dtype) for p in ports]


class _Verdict:
    """Outputs of all repetitions against the expectation: wrong values, worst distance, the first mismatch."""

    def __init__(self, ports: Sequence[Port], expected: Sequence[Array] | None) -> None:
        self.ports, self.expected = ports, expected
        self.wrong, self.worst, self.first = 0, 0.0, ""

    def take(self, outputs: Sequence[Array], repetition: int) -> None:
        from ..arrays import compare

        if self.expected is None:
            return
        for port, got, wanted in zip(self.ports, outputs, self.expected, strict=True):
            found = compare(got.reshape(wanted.shape), wanted)
            self.wrong += found.wrong
            self.worst = max(self.worst, found.worst)
            if found.first is not None and not self.first:
                index = _index(found.first, port.shape)
                g, w = got.reshape(-1)[found.first], wanted.reshape(-1)[found.first]
                self.first = (
                    f"output {port.name} at {index} is {_number(g)}, expected {_number(w)}, "
                    f"in repetition {repetition + 1}; {found.wrong:,} of {got.size:,} values of this output are wrong"
                )


def _index(flat: int, shape: tuple[int, ...]) -> list[int]:
    index = []
    for size in reversed(shape):
        flat, at = divmod(flat, size)
        index.append(at)
    return index[::-1]


def _number(value: Any) -> str:
    return f"{float(value):.9g}" if value.dtype.kind == "f" else str(int(value))


def _told(ports: Sequence[Port], outputs: Sequence[Array], compared: bool, repeat: int, worst: float) -> str:
    rows = []
    for port, array in zip(ports, outputs, strict=True):
        flat = array.reshape(-1)
        shown = ", ".join(_number(v) for v in flat[:4]) + (", ..." if flat.size > 4 else "")
        rows.append(f"{port.name}  {port.dtype.name}{list(port.shape)}  {shown}")
    if compared:
        runs = f"all {repeat} runs agree" if repeat > 1 else "agrees"
        rows.append(f"{runs} with what was expected; the largest difference is {worst:.3g}")
    return "\n".join(rows)
