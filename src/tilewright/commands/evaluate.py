"""`tilewright evaluate`: the loss of a language model on a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UserError
from ..output import Outcome, step
from .common import FILE, compile_options, json_option, options, scratch_folder, target_option, write
from .generate import language_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..lm.evaluate import Loss, Tokens
    from ..model import Language
    from ..targets.base import Runner

REFERENCE = "reference"
MAX_TEXT = 1 << 30


@click.command()
@click.argument("model")
@target_option()
@click.option("--text", "text_file", type=FILE, required=True, help="Stories with <|endoftext|> between them.")
@click.option("--limit", type=click.IntRange(1), help="Take whole stories up to this many bytes.")
@compile_options
@json_option
@click.pass_obj
def evaluate(
    outcome: Outcome, model: str, target: str, text_file: Path, limit: int | None,
    pairs: tuple[str, ...], tokenizer: Path | None, dump: Path | None,
) -> None:  # fmt: skip
    """Measure MODEL's loss on a text: nats per token and bits per byte.

    TARGET may also be `reference`: numpy, without any of the compiler. Every story starts with fresh state and BOS; its
    first tokens, as many as the context holds, are scored.
    """
    from ..lm.evaluate import split_stories

    outcome.add(target=target)
    stories = split_stories(read_text(text_file), limit)
    if target == REFERENCE:
        from ..frontend.load import load

        language = language_of(load(model, options(pairs, tokenizer)))
        with step(f"evaluating {len(stories):,} stories with numpy"):
            loss = _by_reference(language, stories)
    else:
        from ..targets.registry import known, runner

        known(target)
        with scratch_folder() as folder:
            compiled, seconds = write(model, target, folder, pairs, tokenizer, dump)
            language = language_of(compiled.model)
            outcome.add(compile_seconds=seconds)
            with step("compiling the C"):
                network = runner(target, folder)
            with step(f"evaluating {len(stories):,} stories on {target}"):
                loss = _by_runner(network, language, stories)
    outcome.add(
        nats_per_token=loss.nats_per_token, bits_per_byte=loss.bits_per_byte, tokens=loss.tokens, bytes=loss.bytes,
        stories=loss.stories,
    )  # fmt: skip
    click.echo(f"{loss.nats_per_token:.4f} nats/token  {loss.bits_per_byte:.4f} bits/byte")
    click.echo(f"{loss.tokens:,} tokens of {loss.bytes:,} bytes in {loss.stories:,} stories, on {target}")


def read_text(path: Path) -> str:
    """A text of stories. UserError where it is missing or too large."""
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path} is not a regular file", rule="texts are read from files")
        if path.stat().st_size > MAX_TEXT:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes", rule=f"at most {MAX_TEXT:,}")
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        raise UserError(f"no such text: {path}") from None


def _by_reference(language: Language, stories: list[str]) -> Loss:
    from ..lm.evaluate import evaluate
    from ..lm.reference import Reference

    return evaluate(stories, language.vocabulary, language.context, Reference(language.checkpoint))


def _by_runner(network: Runner, language: Language, stories: list[str]) -> Loss:
    """Every token by one decode of the compiled C, as a story is written. Integer logits become real ones."""
    import numpy as np

    from ..lm.evaluate import evaluate

    def logits_of(sequences: list[Tokens]) -> Iterator[npt.NDArray[Any]]:
        for sequence in sequences:
            network.reset()
            rows = np.stack([network.decode(int(token)).reshape(-1) for token in sequence])
            yield rows if language.logit_scale is None else rows * language.logit_scale

    return evaluate(stories, language.vocabulary, language.context, logits_of)
