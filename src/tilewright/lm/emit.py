"""A vocabulary as C tables for c/tokenizer.c."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TypeVar

from .tokenizer import merge, symbols
from .unicode_classes import UNICODE_CLASSES
from .vocabulary import ABSENT, Split, Vocabulary

T = TypeVar("T")
WIDTH = 118
PAIR_HASH, WORD_HASH = 2654435761, 16777619  # as in c/tokenizer.h
MASK = NO_PAIR = 0xFFFFFFFF


def vocabulary_c(vocabulary: Vocabulary, symbol: str) -> str:
    """A C source file that defines `const tw_vocabulary <symbol>` and the tables that it points to."""
    known = sorted((_key(text), token) for text, token in vocabulary.symbols.items())
    pair_bits, pairs = _pair_slots(vocabulary.merges)
    word_bits, words = _word_slots(vocabulary)
    classes = UNICODE_CLASSES if vocabulary.split is Split.GPT2 else b""
    tables: list[tuple[str, str, Iterable[int]]] = [
        ("text", "uint8_t", b"".join(vocabulary.pieces)),
        ("offsets", "uint32_t", accumulate((len(piece) for piece in vocabulary.pieces), initial=0)),
        ("symbols", "uint32_t", (key for key, _ in known)),
        ("symbol_tokens", "uint16_t", (token for _, token in known)),
        ("byte_tokens", "uint16_t", vocabulary.byte_tokens),
        ("pairs", "uint32_t", (pair for pair, _ in pairs)),
        ("mergers", "uint32_t", (merger for _, merger in pairs)),
        ("words", "int32_t", words),
        ("classes", "uint8_t", classes),
    ]
    lines = ['#include "tokenizer.h"', ""]
    for name, kind, values in tables:
        lines += [f"static const {kind} {name}[] = {{", *_rows(values), "};"]
    lines += ["", f"extern const tw_vocabulary {symbol};", f"const tw_vocabulary {symbol} = {{"]
    lines += [f"    .{name} = {name}," for name, _, _ in tables]
    numbers = {
        "tokens": len(vocabulary), "symbol_count": len(known), "class_bytes": len(classes),
        "pair_slots": len(pairs), "pair_shift": 32 - pair_bits, "word_slots": len(words), "word_shift": 32 - word_bits,
        "bos": vocabulary.bos, "eos": vocabulary.eos, "unk": vocabulary.unk,
        "split": int(vocabulary.split), "prefix": int(vocabulary.prefix), "strip": int(vocabulary.strip),
    }  # fmt: skip
    lines += [f"    .{name} = {value}," for name, value in numbers.items()]
    return "\n".join([*lines, "};", ""])


def _pair_slots(merges: Mapping[tuple[int, int], tuple[int, int]]) -> tuple[int, list[tuple[int, int]]]:
    """Bits of a hash of a pair, and what a pair and its merger are in each slot."""
    found = sorted((left << 16 | right, rank << 16 | merged) for (left, right), (merged, rank) in merges.items())
    return _slots([(pair * PAIR_HASH & MASK, (pair, merger)) for pair, merger in found], (NO_PAIR, NO_PAIR))


def _word_slots(vocabulary: Vocabulary) -> tuple[int, list[int]]:
    """Bits of a hash of a word, and the token in each slot; no slots where words are not found by their bytes."""
    if vocabulary.split is not Split.GPT2 or vocabulary.symbols:
        return 1, []
    found: list[tuple[int, int]] = []
    for token, piece in enumerate(vocabulary.pieces):
        if piece and merge(vocabulary, tuple(symbols(vocabulary, piece))) == [token]:
            key = 0
            for byte in piece:
                key = (key ^ byte) * WORD_HASH & MASK
            found.append((key * PAIR_HASH & MASK, token))
    return _slots(found, ABSENT)


def _slots(entries: list[tuple[int, T]], empty: T) -> tuple[int, list[T]]:
    """A table, at most half full, in which each lies at the first free slot from that of the upper bits of its hash on.

    entries: hashes of 32 bits and what they belong to. Returns how many bits of a hash say where to begin.
    """
    bits = max(1, (2 * len(entries)).bit_length())
    slots = [empty] * (1 << bits)
    for key, entry in entries:
        at = key >> 32 - bits
        while slots[at] != empty:
            at = (at + 1) % len(slots)
        slots[at] = entry
    return bits, slots


def _key(text: bytes) -> int:
    """A code point as the tokenizer looks it up: its bytes in 32 bits, the first uppermost."""
    return int.from_bytes(text.ljust(4, b"\0"), "big")


def _rows(values: Iterable[int]) -> Iterator[str]:
    """Numbers in rows of at most WIDTH characters; an empty table gets one 0, for C has no empty arrays."""
    row = ""
    for value in values:
        word = f"{value}," if value < 1 << 31 else f"{value}u,"
        if len(row) + len(word) + 5 > WIDTH:
            yield f"   {row}"
            row = ""
        row += f" {word}"
    yield f"   {row or ' 0,'}"
