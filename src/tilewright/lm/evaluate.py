"""The loss of a language model on a text of stories, by one protocol for every executor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .tokenizer import Encoder, piece
from .vocabulary import ABSENT, Vocabulary

SEPARATOR = "<|endoftext|>"

Tokens = npt.NDArray[np.int32]
LogitsOf = Callable[[list[Tokens]], Iterable[npt.NDArray[Any]]]
"""Sequences of tokens [t] -> for each, in order, real-valued logits [t, vocabulary]; state is fresh for each."""


@dataclass(frozen=True)
class Loss:
    """Summed negative log-likelihood in nats, over `tokens` scored tokens that spell `bytes` bytes of `stories`."""

    nats: float
    tokens: int
    bytes: int
    stories: int

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens

    @property
    def bits_per_byte(self) -> float:
        return self.nats / (self.bytes * math.log(2))


def split_stories(text: str, limit: int | None = None) -> list[str]:
    """The stories of a text: split at `<|endoftext|>`, stripped, empty ones dropped; whole ones up to `limit` bytes.

    Raises UserError where nothing is left.
    """
    stories: list[str] = []
    used = 0
    for story in (part.strip() for part in text.split(SEPARATOR)):
        used += len(story.encode("utf-8", "surrogateescape"))
        if limit is not None and used > limit:
            break
        if story:
            stories.append(story)
    if not stories:
        raise UserError(
            "no story to evaluate", rule=f"a text holds stories with {SEPARATOR} between them, within --limit"
        )
    return stories


def evaluate(stories: list[str], vocabulary: Vocabulary, context: int, logits_of: LogitsOf) -> Loss:
    """The loss over stories: fresh state and bos for each, its first `context` tokens, bos and eos unscored.

    Bos counts as one of the `context` tokens. Raises UserError where no token is left to score.
    """
    if vocabulary.bos == ABSENT:
        raise UserError("the vocabulary has no beginning-of-text token", rule="each story begins with it")
    encode = Encoder(vocabulary)
    sequences = [np.array(encode(story)[:context], np.int32) for story in stories]
    sequences = [sequence for sequence in sequences if len(sequence) > 1]
    nats, tokens, size = 0.0, 0, 0
    logits = logits_of([sequence[:-1] for sequence in sequences])
    for sequence, rows in zip(sequences, logits, strict=True):
        labels = sequence[1:]
        scored = (labels != vocabulary.bos) & (labels != vocabulary.eos)
        nats += float(losses(rows, labels)[scored].sum())
        tokens += int(scored.sum())
        before = sequence[:-1][scored].tolist()
        size += sum(len(piece(vocabulary, a, b)) for a, b in zip(before, labels[scored].tolist(), strict=True))
    if tokens == 0 or size == 0:
        raise UserError("no token to score", rule=f"a story has a token behind bos within {context} tokens")
    return Loss(nats, tokens, size, len(sequences))


def losses(logits: npt.NDArray[Any], labels: Tokens) -> npt.NDArray[np.float64]:
    """Negative log-likelihood of each label in nats, in double precision. logits: [t, vocabulary], labels: [t]."""
    x = logits.astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(x).sum(axis=-1)) - x[np.arange(len(labels)), labels])
