"""The protocol of evaluate: what is scored, what is counted, and numbers known beforehand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.errors import UserError
from tilewright.frontend.tokenizer_json import read_tokenizer_json
from tilewright.lm.evaluate import Tokens, evaluate, losses, split_stories
from tilewright.lm.tokenizer import decode, encode
from tilewright.lm.vocabulary import Prefix, Split, Vocabulary

from .samples import CORPUS, library_json

A, B, C = 3, 4, 5


@pytest.fixture
def letters() -> Vocabulary:
    """<unk> <s> </s> and a, b, c; ? begins and every other byte ends a text, which texts cannot spell otherwise."""
    tokens = tuple({97: A, 98: B, 99: C, 63: 1}.get(byte, 2) for byte in range(256))
    pieces = (b"", b"", b"", b"a", b"b", b"c")
    return Vocabulary(pieces, 1, 2, 0, Split.NONE, Prefix.NEVER, False, {}, tokens, {})


def uniform(count: int) -> Any:
    return lambda sequences: (np.zeros((len(s), count)) for s in sequences)


def test_uniform_logits(letters: Vocabulary) -> None:
    loss = evaluate(["abc", "a"], letters, 8, uniform(6))
    assert (loss.tokens, loss.bytes, loss.stories) == (4, 4, 2)
    assert loss.nats_per_token == pytest.approx(math.log(6), rel=1e-12)
    assert loss.bits_per_byte == pytest.approx(math.log2(6), rel=1e-12)


def test_a_model_that_knows(letters: Vocabulary) -> None:
    """Logits at position i are for token i + 1: a model that is told the answer has no loss, shifted it has much."""

    def knows(shift: int) -> Any:
        def logits_of(sequences: list[Tokens]) -> Iterator[npt.NDArray[np.float64]]:
            for sequence in sequences:
                assert sequence[0] == 1
                text = [A, B, C, A, B, C][shift : shift + len(sequence)]
                yield 1e4 * (np.arange(6) == np.array(text)[:, None])

        return logits_of

    assert evaluate(["abcab"], letters, 9, knows(0)).nats == 0
    assert evaluate(["abcab"], letters, 9, knows(1)).nats == pytest.approx(5e4)


def test_context_counts_bos(letters: Vocabulary) -> None:
    """The first four tokens are <s>abc: three are scored, and the model sees none behind them."""
    seen: list[Tokens] = []

    def logits_of(sequences: list[Tokens]) -> Iterator[npt.NDArray[np.float64]]:
        for sequence in sequences:
            seen.append(sequence)
            yield np.zeros((len(sequence), 6))

    loss = evaluate(["abcabc"], letters, 4, logits_of)
    assert [s.tolist() for s in seen] == [[1, A, B]]
    assert (loss.tokens, loss.bytes) == (3, 3)


@pytest.mark.parametrize("special", ["!", "?"])
def test_special_tokens_are_unscored(special: str, letters: Vocabulary) -> None:
    loss = evaluate([f"a{special}b"], letters, 9, uniform(6))
    assert (loss.tokens, loss.bytes) == (2, 2)


def test_bytes_are_those_of_the_text(tmp_path: Path) -> None:
    """Scored tokens spell the stories, the space that llama's tokenizer puts in front not counted."""
    (tmp_path / "t.json").write_bytes(library_json("llama"))
    vocabulary = read_tokenizer_json(tmp_path / "t.json")
    stories = split_stories("<|endoftext|>".join(CORPUS[:4]))
    loss = evaluate(stories, vocabulary, 10_000, uniform(len(vocabulary)))
    assert loss.bytes == sum(len(story.encode()) for story in stories)
    short = evaluate(stories, vocabulary, 7, uniform(len(vocabulary)))
    assert short.bytes == sum(len(decode(vocabulary, encode(vocabulary, story)[:7])) for story in stories)


def test_stories() -> None:
    text = " one \n<|endoftext|>\n\n<|endoftext|>zwölf<|endoftext|> three "
    assert split_stories(text) == ["one", "zwölf", "three"]
    assert split_stories(text, 9) == ["one", "zwölf"]
    assert split_stories(text, 8) == ["one"]
    for nothing in ("", "<|endoftext|> "):
        with pytest.raises(UserError):
            split_stories(nothing)
    with pytest.raises(UserError):
        split_stories(text, 2)


@settings(max_examples=50)
@given(seed=st.integers(0, 999), scale=st.sampled_from([1.0, 50.0, 1e4, 1e30]), shift=st.floats(-1e4, 1e4))
def test_losses(seed: int, scale: float, shift: float) -> None:
    """Against exact sums of big floats; huge logits neither overflow nor give a negative loss."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((3, 9)) * scale + shift).astype(np.float32)
    labels = rng.integers(0, 9, 3).astype(np.int32)
    found = losses(x, labels)
    for row, label, loss in zip(x.astype(float).tolist(), labels.tolist(), found.tolist(), strict=True):
        expected = math.log(math.fsum(math.exp(v - max(row)) for v in row)) + max(row) - row[label]
        assert loss == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert loss >= 0


def test_an_executor_that_stops_early(letters: Vocabulary) -> None:
    with pytest.raises(ValueError, match="shorter"):
        evaluate(["a", "b"], letters, 9, lambda sequences: iter([np.zeros((1, 6))]))
