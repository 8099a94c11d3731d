"""A vocabulary as C tables for c/tokenizer.c."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from .unicode_classes import UNICODE_CLASSES
from .vocabulary import Split, Vocabulary

WIDTH = 118


def vocabulary_c(vocabulary: Vocabulary, symbol: str) -> str:
    """A C source file that defines `const tw_vocabulary <symbol>` and the tables that it points to."""
    symbols = sorted((_key(text), token) for text, token in vocabulary.symbols.items())
    merges = sorted((left, right, *rule) for (left, right), rule in vocabulary.merges.items())
    partners = Counter(left for left, _, _, _ in merges)
    classes = UNICODE_CLASSES if vocabulary.split is Split.GPT2 else b""
    tables: list[tuple[str, str, Iterable[int]]] = [
        ("text", "uint8_t", b"".join(vocabulary.pieces)),
        ("offsets", "uint32_t", accumulate((len(piece) for piece in vocabulary.pieces), initial=0)),
        ("symbols", "uint32_t", (key for key, _ in symbols)),
        ("symbol_tokens", "uint16_t", (token for _, token in symbols)),
        ("byte_tokens", "uint16_t", vocabulary.byte_tokens),
        ("partners", "uint32_t", accumulate((partners[left] for left in range(len(vocabulary))), initial=0)),
        ("rights", "uint16_t", (right for _, right, _, _ in merges)),
        ("merged", "uint16_t", (merged for _, _, merged, _ in merges)),
        ("ranks", "uint16_t", (rank for _, _, _, rank in merges)),
        ("classes", "uint8_t", classes),
    ]
    lines = ['#include "tokenizer.h"', ""]
    for name, kind, values in tables:
        lines += [f"static const {kind} {name}[] = {{", *_rows(values), "};"]
    lines += ["", f"extern const tw_vocabulary {symbol};", f"const tw_vocabulary {symbol} = {{"]
    lines += [f"    .{name} = {name}," for name, _, _ in tables]
    numbers = {
        "tokens": len(vocabulary), "symbol_count": len(symbols), "class_bytes": len(classes),
        "bos": vocabulary.bos, "eos": vocabulary.eos, "unk": vocabulary.unk,
        "split": int(vocabulary.split), "prefix": int(vocabulary.prefix), "strip": int(vocabulary.strip),
    }  # fmt: skip
    lines += [f"    .{name} = {value}," for name, value in numbers.items()]
    return "\n".join([*lines, "};", ""])


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
