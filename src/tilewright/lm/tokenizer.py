"""Text to tokens and back, in Python. The generated C does the same in c/tokenizer.c, token for token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import pairwise

from .vocabulary import ABSENT, Prefix, Split, Vocabulary
from .words import gpt2_words


def code_points(text: bytes) -> Iterator[bytes]:
    """Groups of one byte and up to three continuation bytes, as llama2.c cuts a text; valid UTF-8 gives code points."""
    start, size = 0, len(text)
    while start < size:
        end = start + 1
        while end < size and end - start < 4 and text[end] & 0xC0 == 0x80:
            end += 1
        yield text[start:end]
        start = end


def symbols(vocabulary: Vocabulary, text: bytes) -> list[int]:
    """The tokens of a text before any merge."""
    if not vocabulary.symbols:
        return [vocabulary.byte_tokens[byte] for byte in text]
    found: list[int] = []
    for point in code_points(text):
        token = vocabulary.symbols.get(point)
        found += [vocabulary.byte_tokens[byte] for byte in point] if token is None else [token]
    return found


def _words(vocabulary: Vocabulary, prefix: bytes, text: bytes) -> Iterator[tuple[int, ...]]:
    """The symbols of each word. prefix: the space in front of the text, or nothing."""
    if vocabulary.split is Split.GPT2:
        for word in gpt2_words(prefix + text):
            yield tuple(symbols(vocabulary, word))
        return
    tokens, start, space = symbols(vocabulary, prefix) + symbols(vocabulary, text), 0, vocabulary.space
    if vocabulary.split is not Split.NONE:
        for at in range(1, len(tokens)):
            if tokens[at] == space and (vocabulary.split is Split.EACH_SPACE or tokens[at - 1] != space):
                yield tuple(tokens[start:at])
                start = at
    yield tuple(tokens[start:])


def merge(vocabulary: Vocabulary, word: tuple[int, ...]) -> list[int]:
    """Merge the pair of lowest rank, leftmost first, until none is left: in n log n steps by a heap of pairs."""
    tokens: list[int] = list(word)
    after = [*range(1, len(tokens)), ABSENT]
    before = list(range(-1, len(tokens) - 1))
    found = ((vocabulary.merges.get(pair), at, pair) for at, pair in enumerate(pairwise(word)))
    heap = [(rule[1], at, pair, rule[0]) for rule, at, pair in found if rule]
    heapify(heap)
    while heap:
        _, left, pair, merged = heappop(heap)
        right = after[left]
        if right == ABSENT or (tokens[left], tokens[right]) != pair:
            continue
        tokens[left], tokens[right] = merged, ABSENT
        after[left] = after[right]
        if after[left] != ABSENT:
            before[after[left]] = left
        for at in (before[left], left):
            if at != ABSENT and after[at] != ABSENT:
                pair = (tokens[at], tokens[after[at]])
                if rule := vocabulary.merges.get(pair):
                    heappush(heap, (rule[1], at, pair, rule[0]))
    return [token for token in tokens if token != ABSENT]


class Encoder:
    """Encodes texts with one vocabulary and remembers words: running text repeats few of them."""

    LIMIT = 65_536

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._known: dict[tuple[int, ...], list[int]] = {}

    def __call__(self, text: str | bytes, *, bos: bool = True) -> list[int]:
        """The tokens of a text, with `bos` in front where the vocabulary has one and `bos` is asked for.

        Special tokens spelled out in a text are ordinary text. A str may hold surrogate escapes for stray bytes.
        """
        vocabulary = self.vocabulary
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        tokens = [vocabulary.bos] if bos and vocabulary.bos != ABSENT else []
        if not data:
            return tokens
        spaced = vocabulary.prefix is Prefix.UNLESS_SPACE and symbols(vocabulary, data[:4])[0] == vocabulary.space
        prefix = b"" if vocabulary.prefix is Prefix.NEVER or spaced else b" "
        for word in _words(vocabulary, prefix, data):
            if word not in self._known:
                if len(self._known) >= self.LIMIT:
                    self._known.clear()
                self._known[word] = merge(vocabulary, word)
            tokens += self._known[word]
        return tokens


def encode(vocabulary: Vocabulary, text: str | bytes, *, bos: bool = True) -> list[int]:
    """The tokens of one text, see `Encoder`."""
    return Encoder(vocabulary)(text, bos=bos)


def piece(vocabulary: Vocabulary, previous: int, token: int) -> bytes:
    """The bytes that `token` writes after `previous`, as llama2.c prints them: no leading space after bos."""
    text = vocabulary.pieces[token]
    return text[1:] if vocabulary.strip and previous == vocabulary.bos and text[:1] == b" " else text


def decode(vocabulary: Vocabulary, tokens: Iterable[int]) -> bytes:
    """The text of a sequence. Bos and eos write nothing; the token behind bos, or the first of all, is a beginning."""
    text, previous = b"", vocabulary.bos
    for token in tokens:
        if token not in (vocabulary.bos, vocabulary.eos):
            text += piece(vocabulary, previous, token)
        previous = token
    return text
