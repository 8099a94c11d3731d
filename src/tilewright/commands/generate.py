"""`tilewright generate`: compiled C writes text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UserError
from ..output import Outcome, step
from .common import compile_options, json_option, scratch_folder, table, target_option, timing_option, write

if TYPE_CHECKING:
    from ..model import Language, Model
    from ..targets.base import Told

BLOCK = 1 << 16


@click.command()
@click.argument("model")
@target_option()
@click.option("--prompt", default="", help="How the text begins; default: nothing.")
@click.option(
    "-n", "tokens", type=click.IntRange(0, 1 << 30), default=200, show_default=True, help="New tokens at most."
)
@click.option("--temperature", type=float, default=0.0, show_default=True, help="0: always the likeliest token.")
@click.option("--top-p", type=float, default=1.0, show_default=True, help="Draw from this share of the probability.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same text.")
@click.option("--ignore-eos", is_flag=True, help="Go on where the model ends its text.")
@timing_option
@compile_options
@json_option
@click.pass_obj
def generate(
    outcome: Outcome, model: str, target: str, prompt: str, tokens: int, temperature: float, top_p: float, seed: int,
    ignore_eos: bool, timing: str, pairs: tuple[str, ...], tokenizer: Path | None, dump: Path | None,
) -> None:  # fmt: skip
    """Compile the language model MODEL and let the C write; the text appears as it is written."""
    from dataclasses import asdict

    from ..lm.sampler import Sampling
    from ..targets.base import Story
    from ..targets.registry import storyteller

    outcome.add(target=target)
    Sampling.of(1.0, temperature, top_p, seed)  # refuses settings out of range before anything is compiled
    with scratch_folder() as folder:
        compiled, seconds = write(model, target, folder, pairs, tokenizer, dump)
        language = language_of(compiled.model)
        prompt_tokens = _prompt_tokens(prompt, language)
        story = Story(prompt, tokens, temperature, top_p, seed, ignore_eos)
        with step("compiling the C"):
            teller = storyteller(target, folder, story, timing)

        from ..report.record import read
        from ..report.summary import fields
        from ..report.timeline import read as read_timeline

        sizes = asdict(teller.built.sizes) if teller.built.sizes is not None else None
        outcome.add(compile_seconds=seconds, **fields(read(folder)[0], sizes, read_timeline(folder)[0]))
        text, notes = _stream(teller.command, teller.separator)
        outcome.add(text=text.removesuffix(b"\n").decode("utf-8", "replace"))
        _statistics(outcome, teller.told(notes), prompt_tokens)


def language_of(model: Model) -> Language:
    """The language face of a model; UserError where it has none."""
    if model.language is None:
        raise UserError(f"{model.name} is no language model", hint="`tilewright run` runs other networks")
    return model.language


def _prompt_tokens(prompt: str, language: Language) -> int:
    """How many tokens the prompt has; UserError where the context is shorter."""
    from ..lm.tokenizer import encode

    count = len(encode(language.vocabulary, prompt))
    if count > language.context:
        raise UserError(
            f"the prompt has {count:,} tokens, with the one that begins a text",
            rule=f"the context of the model is {language.context:,} tokens", hint="shorten the prompt",
        )  # fmt: skip
    return count


def _stream(command: list[str], separator: bytes) -> tuple[bytes, str]:
    """Run the program, pass its text on as it comes; the text, and what it told behind it or on stderr.

    A program with one channel writes the separator between the text and what it tells.
    """
    written, shown = bytearray(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            while part := os.read(program.stdout.fileno(), BLOCK):
                written += part
                end = written.rfind(separator) if separator else -1
                end = len(written) if end < 0 else end
                _show(bytes(written[shown:end]))
                shown = max(shown, end)
            notes = program.stderr.read().decode("utf-8", "replace")
        except BaseException:
            program.kill()
            raise
    if program.returncode == 2:
        raise UserError(notes.strip() or "the generated program refused its arguments")
    if program.returncode:
        raise RuntimeError(f"the generated program ended with {program.returncode}: {notes.strip()}")
    text, told = bytes(written), notes
    if separator:
        text, _, behind = text.rpartition(separator)
        told = behind.decode("utf-8", "replace")
    return text, told


def _show(part: bytes) -> None:
    """Bytes to stdout at once: a piece may be a part of a character."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(part.decode("utf-8", "replace"))
    else:
        stream.write(part)
    sys.stdout.flush()


def _statistics(outcome: Outcome, told: Told, first: int) -> None:
    """Tokens, positions (decodes start at position `first`), and the speed as the target tells it."""
    decodes = max(0, told.tokens - 1)
    outcome.add(tokens=told.tokens, positions=[first, first + decodes - 1] if decodes else [])
    outcome.add(**told.fields(first, decodes))
    rate = outcome.fields.get("tokens_per_second")
    if rate is not None:
        click.echo(f"{told.tokens} tokens, {rate:,.0f} tokens/s on {outcome.fields['target']}{told.note}", err=True)
    rows = told.rows(outcome.fields)
    if rows:
        click.echo(table([(f"  {name}", value, note) for name, value, note in rows]), err=True)
