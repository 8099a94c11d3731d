"""llama2.c's tokenizer, followed line by line: no merge table, no words, no heap."""

from __future__ import annotations


def llama2c_encode(texts: list[bytes], scores: list[float], text: bytes) -> list[int]:
    """`encode` of llama2.c's run.c with bos and without eos. texts, scores: of all tokens."""
    ids: dict[bytes, int] = {}
    for token, known in enumerate(texts):
        ids.setdefault(known, token)
    tokens = [1]
    if text:
        tokens.append(ids[b" "])
    buffer = b""
    for at, byte in enumerate(text):
        if byte & 0xC0 != 0x80:
            buffer = b""
        buffer += bytes([byte])
        if at + 1 < len(text) and text[at + 1] & 0xC0 == 0x80 and len(buffer) < 4:
            continue
        if buffer in ids:
            tokens.append(ids[buffer])
        else:
            tokens += [b + 3 for b in buffer]
        buffer = b""
    while True:
        best_score, best = -1e10, (-1, -1)
        for i in range(len(tokens) - 1):
            merged = ids.get(texts[tokens[i]] + texts[tokens[i + 1]])
            if merged is not None and scores[merged] > best_score:
                best_score, best = scores[merged], (i, merged)
        if best[0] < 0:
            return tokens
        tokens[best[0] : best[0] + 2] = [best[1]]


def llama2c_decode(texts: list[bytes], previous: int, token: int) -> bytes:
    """`decode` of llama2.c's run.c."""
    piece = texts[token]
    if previous == 1 and piece[:1] == b" ":
        piece = piece[1:]
    if piece[:3] == b"<0x":
        return bytes([int(piece[3:5], 16)])
    return piece
