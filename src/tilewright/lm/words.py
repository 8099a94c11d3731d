"""GPT-2's word split on bytes, by Python's regular expressions. The C scanner in c/tokenizer.c is its twin."""

from __future__ import annotations

import functools
import re

from .unicode_classes import LETTER, NUMBER, SPACE, class_runs


@functools.cache
def _pattern() -> re.Pattern[str]:
    def ranges(kind: int) -> str:
        return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last, k in class_runs() if k == kind)

    letter, number, space = ranges(LETTER), ranges(NUMBER), ranges(SPACE)
    return re.compile(
        f"'(?:s|t|re|ve|m|ll|d)| ?[{letter}]+| ?[{number}]+| ?[^{space}{letter}{number}]+"
        f"|[{space}]+(?![^{space}])|[{space}]+"
    )


def gpt2_words(text: bytes) -> list[bytes]:
    r"""Words by `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.

    A byte that is no part of valid UTF-8 counts as one character that is neither letter, number nor white space.
    """
    characters = text.decode("utf-8", "surrogateescape")
    return [word.encode("utf-8", "surrogateescape") for word in _pattern().findall(characters)]
