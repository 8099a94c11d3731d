"""Tokenizers against llama2.c's algorithm and the `tokenizers` library, in Python and in C."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from tilewright.frontend.tokenizer_bin import read_tokenizer_bin
from tilewright.frontend.tokenizer_json import read_tokenizer_json
from tilewright.lm.emit import vocabulary_c
from tilewright.lm.tokenizer import decode, encode, merge, piece, symbols
from tilewright.lm.unicode_classes import LETTER, NUMBER, OTHER, SPACE, class_runs
from tilewright.lm.vocabulary import Prefix, Split, Vocabulary
from tilewright.lm.words import gpt2_words

from .clib import FLAGS, SOURCES, ZIG, CVocabulary, LanguageLibrary, Tables, build
from .oracles import llama2c_decode, llama2c_encode
from .samples import BYTES, FEW, LIBRARY_KINDS, MARK, RAW, SPECIAL, TEXTS, library_json, llama2c_tokens, tokenizer_bin

HEAD = [name.encode() for name in [*SPECIAL, *BYTES]]


@functools.cache
def from_library(kind: str, folder: Path) -> tuple[Tokenizer, Vocabulary, Tables]:
    """One tokenizer as the library, as Tilewright and as C have it. Special tokens in a text are ordinary text."""
    path = folder / f"{kind}.json"
    path.write_bytes(library_json(kind))
    library = Tokenizer.from_file(str(path))
    library.encode_special_tokens = True
    vocabulary = read_tokenizer_json(path)
    return library, vocabulary, Tables(vocabulary)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizers")


def read_bin(folder: Path, texts: list[bytes], scores: list[float]) -> Vocabulary:
    path = folder / "tokenizer.bin"
    path.write_bytes(tokenizer_bin(texts, scores))
    return read_tokenizer_bin(path)


@pytest.mark.parametrize("kind", LIBRARY_KINDS)
@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
def test_library(kind: str, text: str, folder: Path) -> None:
    library, vocabulary, _ = from_library(kind, folder)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cn", "Cs"))
    tokens = encode(vocabulary, text)
    assert tokens == library.encode(text).ids
    decoded = decode(vocabulary, tokens).decode("utf-8", "replace")
    if kind.startswith("meta"):  # the library drops every space of the first token; here only the one in front is lost
        assert decoded == text.replace(MARK, " ").removeprefix(" ")
    else:
        assert decoded == library.decode(tokens)


@settings(max_examples=200, deadline=None)
@given(tokens=llama2c_tokens(), text=st.one_of(FEW, FEW, RAW))
def test_llama2c(tokens: tuple[list[bytes], list[float]], text: bytes, folder: Path, c: LanguageLibrary) -> None:
    text = text.replace(b"\0", b"a")  # a C string has none
    vocabulary = read_bin(folder, *tokens)
    everything, scores = HEAD + tokens[0], [0.0] * 259 + tokens[1]
    expected = llama2c_encode(everything, scores, text)
    assert encode(vocabulary, text) == expected
    tables = Tables(vocabulary)
    assert c.encode(tables, text, len(text) + 2) == expected
    for previous, token in pairwise(expected):
        assert piece(vocabulary, previous, token) == llama2c_decode(everything, previous, token)
        assert c.decode(tables, previous, token) == llama2c_decode(everything, previous, token)
    assert decode(vocabulary, expected) == text


@pytest.mark.parametrize("kind", LIBRARY_KINDS)
@settings(max_examples=150, deadline=None)
@given(text=RAW, bos=st.booleans(), shortage=st.integers(0, 30))
def test_c_equals_python(kind: str, text: bytes, bos: bool, shortage: int, folder: Path, c: LanguageLibrary) -> None:
    """Token for token on any bytes; a buffer that is too small gives the error or, where merges helped, the tokens."""
    _, vocabulary, tables = from_library(kind, folder)
    expected, room = encode(vocabulary, text, bos=bos), len(text) + 2
    assert c.encode(tables, text, room, bos) == expected
    less = max(room - shortage, 0)
    short = c.encode(tables, text, less, bos)
    assert short in (expected, -1)
    if len(expected) > less:
        assert short == -1
    for previous, token in zip([vocabulary.bos, *expected], expected, strict=False):
        assert c.decode(tables, previous, token) == piece(vocabulary, previous, token)


@pytest.mark.parametrize("kind", LIBRARY_KINDS)
@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 300), max_size=4), part=st.sampled_from(["a", "the", "1", " ", "é", "aé", "'"]))
def test_long_words_in_c(kind: str, lengths: list[int], part: str, folder: Path, c: LanguageLibrary) -> None:
    """Words longer than what C merges at hand, and than the part of the text that it holds, anywhere in a text."""
    _, vocabulary, tables = from_library(kind, folder)
    text = " she saw ".join(part * length for length in lengths).encode()
    assert c.encode(tables, text, len(text) + 2) == encode(vocabulary, text)


def test_whole_words(folder: Path) -> None:
    """The table of words has every token that its own bytes become as one word, and no other."""
    _, vocabulary, tables = from_library("byte partial", folder)
    pieces = [(token, tuple(symbols(vocabulary, piece))) for token, piece in enumerate(vocabulary.pieces)]
    alone = [token for token, word in pieces if word and merge(vocabulary, word) == [token]]
    assert len(alone) > 100
    assert sorted(int(token) for token in tables.arrays["words"] if token >= 0) == alone


@given(token=st.integers(-(2**31), 2**31 - 1))
def test_c_decodes_any_number(token: int, folder: Path, c: LanguageLibrary) -> None:
    _, vocabulary, tables = from_library("llama", folder)
    known = 0 <= token < len(vocabulary)
    assert c.decode(tables, 1, token) == (piece(vocabulary, 1, token) if known else b"")


@settings(max_examples=300, deadline=None)
@given(tokens=llama2c_tokens(), text=FEW)
def test_words_change_nothing(tokens: tuple[list[bytes], list[float]], text: bytes, folder: Path) -> None:
    """Where words are found to begin at spaces, the tokens are those of the whole text as one word."""
    from dataclasses import replace

    vocabulary = read_bin(folder, *tokens)
    assert encode(vocabulary, text) == encode(replace(vocabulary, split=Split.NONE), text)


def test_both_kinds_of_words_occur(folder: Path) -> None:
    """The property above is about something: vocabularies with and without merges across spaces."""
    letters = [b" ", b"a", b"b"]
    assert read_bin(folder, [*letters, b" a", b"  ", b"ab"], [0.0] * 6).split is Split.SPACES
    assert read_bin(folder, [*letters, b"a ", b"ab"], [0.0] * 5).split is Split.NONE


def test_emitted_c_compiles_and_agrees(folder: Path, c: LanguageLibrary) -> None:
    """The emitted source as C: same struct, same bytes, no warnings, the same text twice."""
    for kind in ("byte partial", "llama"):
        _, vocabulary, tables = from_library(kind, folder)
        source = vocabulary_c(vocabulary, "test_vocabulary")
        assert source == vocabulary_c(vocabulary, "test_vocabulary")
        path = folder / "vocabulary.c"
        path.write_text(source)
        compiled = ctypes.CDLL(str(build(folder / f"{kind}.so", str(path))))
        emitted = CVocabulary.in_dll(compiled, "test_vocabulary")
        for name, array in tables.arrays.items():
            assert ctypes.string_at(getattr(emitted, name), array.nbytes) == array.tobytes()
        numbers = [name for name, kind in CVocabulary._fields_ if kind is not ctypes.c_void_p]
        assert all(getattr(emitted, name) == getattr(tables.c, name) for name in numbers)


def test_character_classes() -> None:
    """The packed table says what Python's Unicode data says, of all code points that Python knows."""
    for first, last, kind in class_runs():
        for point in range(first, last + 1):
            category = unicodedata.category(chr(point))
            if category in ("Cn", "Cs"):
                continue
            expected = {"L": LETTER, "N": NUMBER}.get(category[0], OTHER)
            if chr(point).isspace() and chr(point) not in "\x1c\x1d\x1e\x1f":
                expected = SPACE
            assert kind == expected, hex(point)
    assert class_runs()[-1][1] == 0x10FFFF


@settings(max_examples=400, deadline=None)
@given(text=RAW)
def test_words_in_c(text: bytes, c: LanguageLibrary) -> None:
    """A vocabulary that merges every word into one token shows how many words C sees, whatever bytes are in them."""
    one = Vocabulary((b"",), -1, -1, 0, Split.GPT2, Prefix.NEVER, False, {}, (0,) * 256, {(0, 0): (0, 0)})
    for end in {len(text), len(text) // 2}:
        words = gpt2_words(text[:end])
        assert c.encode(Tables(one), text[:end], end + 2) == [0] * len(words)


@pytest.mark.full
def test_character_classes_of_the_library() -> None:
    """Every assigned code point that Python knows behind a letter, a digit and a sign: the library cuts alike."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for point in range(0x110000):
        character = chr(point)
        if unicodedata.category(character) not in ("Cn", "Cs"):
            for neighbour in "a1!":
                text = neighbour + character
                found = [text[first:last] for _, (first, last) in level.pre_tokenize_str(text)]
                assert [word.decode() for word in gpt2_words(text.encode())] == found, hex(point)


@settings(max_examples=300)
@given(text=RAW)
def test_words_cover_the_text(text: bytes) -> None:
    assert b"".join(gpt2_words(text)) == text


HARNESS = r"""
#include <stdlib.h>
#include <string.h>
#include "tokenizer.h"
#include "sampler_float.h"
extern const tw_vocabulary test_vocabulary;
/* Random bytes in buffers of exactly the size that is needed, on the heap, where the sanitizer sees every step over. */
int main(void)
{
    uint32_t x = 1;
    for (int round = 0; round < 3000; round++) {
        uint32_t size = (uint32_t)round % 40, length;
        uint8_t *text = malloc(size ? size : 1);
        uint32_t capacity = size + 2 - (round % 3 == 2 ? size / 2 : 0);
        uint16_t *tokens = malloc(2 * capacity);
        uint32_t *work = malloc(4 * capacity);
        int32_t logits[7], count;
        float real[7];
        uint8_t bins[7];
        tw_sampler sampler;
        for (uint32_t i = 0; i < size; i++) {
            x = x * 1664525u + 1013904223u;
            text[i] = round % 2 ? (uint8_t)(x >> 24) : (uint8_t)" '\naesltd19eeeee"[x >> 28];
        }
        count = tw_encode(&test_vocabulary, text, size, 1, tokens, work, capacity);
        for (int32_t i = 0; i < count; i++)
            tw_decode(&test_vocabulary, i ? tokens[i - 1] : -1, tokens[i], &length);
        for (int i = 0; i < 7; i++) {
            x = x * 1664525u + 1013904223u;
            memcpy(&real[i], &x, 4);
        }
        tw_logits_to_int(real, logits, 7);
        tw_sampler_set(&sampler, TW_LOGIT_SCALE, (round % 5) * 0.4, (round % 7) / 6.0, x);
        if (tw_sample(&sampler, logits, 7, bins) < 0)
            return 1;
        free(text), free(tokens), free(work);
    }
    return 0;
}
"""


@pytest.mark.parametrize("kind", ["byte partial", "byte prefix", "llama", "meta"])
def test_sanitized(kind: str, folder: Path) -> None:
    """Address and undefined-behaviour sanitizer over random texts and logits."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed; ziglang has no address sanitizer")
    (folder / "harness.c").write_text(HARNESS)
    (folder / "table.c").write_text(vocabulary_c(from_library(kind, folder)[1], "test_vocabulary"))
    checks = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    files = [*SOURCES, str(folder / "harness.c"), str(folder / "table.c")]
    subprocess.run(["gcc", *FLAGS, *checks, *files, "-o", str(folder / "harness")], check=True)
    ran = subprocess.run([str(folder / "harness")], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_stories_of_llama2c(shared: Path, c: LanguageLibrary) -> None:
    """tok512 on real text: C, Python and llama2.c's algorithm give the same tokens, and the text comes back."""
    path = shared / "llm" / "tok512.bin"
    vocabulary = read_tokenizer_bin(path)
    tables, everything, scores = Tables(vocabulary), *records(path.read_bytes())
    text = (shared / "text" / "tinystories_valid.txt").read_bytes()[:40_000]
    stories = [story.strip() for story in text.split(b"<|endoftext|>")][:20]
    for story in stories:
        tokens = encode(vocabulary, story)
        assert c.encode(tables, story, len(story) + 2) == tokens
        assert decode(vocabulary, tokens) == story
    assert encode(vocabulary, stories[0]) == llama2c_encode(everything, scores, stories[0])


def records(data: bytes) -> tuple[list[bytes], list[float]]:
    texts, scores, at = [], [], 4
    while at < len(data):
        score, size = np.frombuffer(data, "<f4", 1, at)[0], int(np.frombuffer(data, "<i4", 1, at + 4)[0])
        texts.append(data[at + 8 : at + 8 + size])
        scores.append(float(score))
        at += 8 + size
    return texts, scores


def test_no_warnings(folder: Path) -> None:
    """Both compilers, also with conversions checked."""
    compilers: list[Any] = [ZIG] + ([["gcc"]] if shutil.which("gcc") else [])
    for compiler in compilers:
        for source in SOURCES:
            subprocess.run([*compiler, *FLAGS, "-Wconversion", "-c", source, "-o", str(folder / "x.o")], check=True)
