"""The tokenizer file of llama2.c: a score and a text for each token, byte tokens at 3..258."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from ..errors import UserError
from ..lm.vocabulary import MAX_TOKENS, Prefix, Vocabulary, words_begin_at_spaces
from .files import read_file

UNK, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
MAX_FILE, MAX_TEXT = 4 << 20, 512
LEAST_SCORE = -1e10
"""llama2.c merges only into tokens with a better score."""


def read_tokenizer_bin(path: Path) -> Vocabulary:
    """Read a llama2.c tokenizer: int32 longest text, then float32 score, int32 length and text for each token.

    Raises UserError for a file that is cut off, longer than its records, or not of this format.
    """
    scores, texts = _records(path)
    for byte in range(256):
        if texts[FIRST_BYTE + byte : FIRST_BYTE + byte + 1] != [b"<0x%02X>" % byte]:
            rule = "tokens 3 to 258 are <0x00> to <0xFF>: llama2.c writes unknown characters with them"
            raise UserError(f"token {FIRST_BYTE + byte} is not <0x{byte:02X}>", where=str(path), rule=rule)
    ids: dict[bytes, int] = {}
    for token, text in enumerate(texts):
        ids.setdefault(text, token)
    if b" " not in ids:
        raise UserError("no token for a space", where=str(path), rule="llama2.c begins each text with a space")
    merges, sides = _merges(scores, ids)
    raw = [bytes([byte]) for byte in range(256)]
    return Vocabulary(
        pieces=(*texts[:FIRST_BYTE], *raw, *texts[FIRST_BYTE + 256 :]),
        bos=BOS,
        eos=EOS,
        unk=UNK,
        split=words_begin_at_spaces(sides),
        prefix=Prefix.ALWAYS,
        strip=True,
        symbols={text: token for text, token in ids.items() if _is_code_point(text)},
        byte_tokens=tuple(range(FIRST_BYTE, FIRST_BYTE + 256)),
        merges=merges,
    )


def _is_code_point(text: bytes) -> bool:
    """What llama2.c looks up whole: one byte and its continuation bytes, four in all at most."""
    return len(text) <= 4 and all(byte & 0xC0 == 0x80 for byte in text[1:])


def _merges(
    scores: list[float], ids: dict[bytes, int]
) -> tuple[dict[tuple[int, int], tuple[int, int]], list[tuple[bytes, bytes]]]:
    """Every split of a token into two tokens, ranked by its score, and the texts of the two sides.

    Tokens of equal score share a rank: llama2.c takes the leftmost then.
    """
    ranks = {score: rank for rank, score in enumerate(sorted({scores[token] for token in ids.values()}, reverse=True))}
    merges, sides = {}, []
    for text, token in ids.items():
        if scores[token] <= LEAST_SCORE:
            continue
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in ids and right in ids:
                merges[ids[left], ids[right]] = (token, ranks[scores[token]])
                sides.append((left, right))
    return merges, sides


def _records(path: Path) -> tuple[list[float], list[bytes]]:
    data = read_file(path, MAX_FILE, "a llama2.c tokenizer")
    if len(data) < 4:
        raise UserError("the file is cut off", where=str(path), rule="a llama2.c tokenizer begins with an int32")
    (longest,) = struct.unpack_from("<i", data)
    if not 1 <= longest <= MAX_TEXT:
        rule = f"the longest text has 1 to {MAX_TEXT} bytes"
        raise UserError(f"the header says that texts have up to {longest} bytes", where=str(path), rule=rule)
    scores: list[float] = []
    texts: list[bytes] = []
    at = 4
    while at < len(data):
        token = len(texts)
        if token >= MAX_TOKENS:
            raise UserError("too many tokens", where=str(path), rule=f"a vocabulary has at most {MAX_TOKENS:,} tokens")
        if at + 8 > len(data):
            raise UserError(
                f"the file ends inside token {token}", where=str(path), rule="every token has 8 bytes of header"
            )
        score, size = struct.unpack_from("<fi", data, at)
        at += 8
        if not 1 <= size <= longest or at + size > len(data):
            rule = f"a text has 1 to {longest} bytes, as the header says, and ends before the file does"
            raise UserError(f"token {token} has a text of {size} bytes", where=str(path), rule=rule)
        text = data[at : at + size]
        if not math.isfinite(score) or b"\0" in text:
            raise UserError(f"token {token} is damaged", where=str(path), rule="scores are finite, texts hold no NUL")
        scores.append(score)
        texts.append(text)
        at += size
    return scores, texts
