"""`tilewright generate`: compiled C writes text."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import UserError
from ..output import Outcome
from .common import build, compile_options, json_option, scratch_folder, target_option, write

if TYPE_CHECKING:
    from ..model import Language, Model

STATISTICS = re.compile(r"^tokens (\d+) positions \d+ seconds ([\d.]+)$", re.MULTILINE)
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
@compile_options
@json_option
@click.pass_obj
def generate(
    outcome: Outcome, model: str, target: str, prompt: str, tokens: int, temperature: float, top_p: float, seed: int,
    ignore_eos: bool, pairs: tuple[str, ...], tokenizer: Path | None, dump: Path | None,
) -> None:  # fmt: skip
    """Compile the language model MODEL and let the C write; the text appears as it is written."""
    from ..lm.sampler import Sampling

    outcome.add(target=target)
    Sampling.of(1.0, temperature, top_p, seed)  # refuses settings out of range before anything is compiled
    with scratch_folder() as folder:
        compiled, seconds = write(model, target, folder, pairs, tokenizer, dump)
        language = language_of(compiled.model)
        prompt_tokens = _prompt_tokens(prompt, language)
        executable, sizes = build(folder, target)

        from ..report.record import read
        from ..report.summary import fields

        outcome.add(compile_seconds=seconds, **fields(read(folder)[0], sizes))
        words = [
            "--prompt", prompt, "--tokens", str(tokens), "--temperature", repr(temperature), "--top-p", repr(top_p),
            "--seed", str(seed), *(["--ignore-eos"] if ignore_eos else []),
        ]  # fmt: skip
        text, notes = _stream([str(executable), *words])
    outcome.add(text=text.removesuffix(b"\n").decode("utf-8", "replace"))
    _statistics(outcome, notes, prompt_tokens)


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


def _stream(command: list[str]) -> tuple[bytes, str]:
    """Run the program, pass its text on as it comes; what it wrote to stdout and to stderr."""
    written = bytearray()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            while part := os.read(program.stdout.fileno(), BLOCK):
                written += part
                _show(part)
            notes = program.stderr.read().decode("utf-8", "replace")
        except BaseException:
            program.kill()
            raise
    if program.returncode == 2:
        raise UserError(notes.strip() or "the generated program refused its arguments")
    if program.returncode:
        raise RuntimeError(f"the generated program ended with {program.returncode}: {notes.strip()}")
    return bytes(written), notes


def _show(part: bytes) -> None:
    """Bytes to stdout at once: a piece may be a part of a character."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:
        sys.stdout.write(part.decode("utf-8", "replace"))
    else:
        stream.write(part)
    sys.stdout.flush()


def _statistics(outcome: Outcome, notes: str, first: int) -> None:
    """`tokens N positions P seconds S` of the program: S seconds for N - 1 decodes, from position `first` on."""
    found = STATISTICS.search(notes)
    if found is None:
        raise RuntimeError(f"the generated program said {notes.strip()[:200]!r} instead of its statistics")
    tokens, seconds = int(found[1]), float(found[2])
    decodes = max(0, tokens - 1)
    outcome.add(tokens=tokens, positions=[first, first + decodes - 1] if decodes else [])
    if decodes and seconds > 0:
        rate = decodes / seconds
        outcome.add(tokens_per_second=round(rate, 1))
        click.echo(f"{tokens} tokens, {rate:,.0f} tokens/s on {outcome.fields['target']}", err=True)
