"""What a tokenizer is, whatever file it came from: pieces, first symbols, and one table of merges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ..errors import UserError

ABSENT: Final = -1
MAX_TOKENS: Final = 65_536
MAX_RANKS: Final = 65_535
"""Ranks are stored in 16 bits; the largest value stands for `no merge`."""


class Split(IntEnum):
    """Where words begin; merges never cross the boundary of a word."""

    NONE = 0
    """The text is one word."""
    SPACES = 1
    """A word begins at a space after anything but a space. Chosen only where no merge could cross such a boundary, so
    that it gives the same tokens as NONE in linear time."""
    EACH_SPACE = 2
    """A word begins at every space (Metaspace of the `tokenizers` library)."""
    GPT2 = 3
    """The regular expression of GPT-2, see `words.gpt2_words`."""


class Prefix(IntEnum):
    """Whether a space is put in front of a text that is not empty."""

    NEVER = 0
    ALWAYS = 1
    UNLESS_SPACE = 2
    """Only where the text does not begin with a space."""


@dataclass(frozen=True)
class Vocabulary:
    """A byte-pair tokenizer.

    A text becomes symbols: each code point that `symbols` knows is one token, any other becomes one token per byte by
    `byte_tokens`. Then, word by word, the pair of neighbours with the lowest rank in `merges` is merged, leftmost
    first, until no pair is left. Decoding concatenates `pieces`.

    pieces: the bytes that each token writes; empty for tokens that write nothing.
    bos, eos, unk: token ids, or ABSENT.
    byte_tokens: 256 token ids.
    merges: (left, right) -> (merged, rank).
    strip: the first token after `bos` loses one leading space when it is decoded.
    """

    pieces: tuple[bytes, ...]
    bos: int
    eos: int
    unk: int
    split: Split
    prefix: Prefix
    strip: bool
    symbols: Mapping[bytes, int]
    byte_tokens: tuple[int, ...]
    merges: Mapping[tuple[int, int], tuple[int, int]]

    def __post_init__(self) -> None:
        tokens = range(len(self.pieces))
        last = MAX_TOKENS - 1
        if not 1 <= len(self.pieces) <= MAX_TOKENS:
            raise UserError(f"{len(self.pieces)} tokens", rule=f"a vocabulary has 1 to {MAX_TOKENS:,} tokens")
        if self.merges and max(rank for _, rank in self.merges.values()) >= MAX_RANKS:
            raise UserError("too many merges", rule=f"a vocabulary has at most {MAX_RANKS:,} ranks of merges")
        if (last, last) in self.merges:  # the C tables have it for `no pair`
            raise UserError(f"token {last} merges with itself", rule=f"a pair of token {last} does not merge")
        for name, token in (("bos", self.bos), ("eos", self.eos), ("unk", self.unk)):
            if token != ABSENT and token not in tokens:
                raise UserError(f"{name} is token {token}", rule=f"tokens are 0 to {len(tokens) - 1}")
        if len(self.byte_tokens) != 256 or not all(token in tokens for token in self.byte_tokens):
            raise UserError("a byte has no token", rule="every byte has a token of the vocabulary")

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def space(self) -> int:
        """The token that a space becomes before merging."""
        return self.symbols.get(b" ", self.byte_tokens[0x20])

    def with_size(self, tokens: int) -> Vocabulary:
        """The same vocabulary with silent tokens appended: models round the rows of their embedding up."""
        from dataclasses import replace

        return replace(self, pieces=self.pieces + (b"",) * (tokens - len(self.pieces)))


def words_begin_at_spaces(texts: list[tuple[bytes, bytes]]) -> Split:
    """SPACES where no pair of texts that merge could cross the boundary in front of a space, else NONE.

    texts: the texts of the left and right tokens of all merges.
    """
    crosses = any(right[:1] == b" " and left[-1:] != b" " for left, right in texts)
    return Split.NONE if crosses else Split.SPACES
