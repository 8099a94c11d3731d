"""Damaged and hostile files of every format: one UserError, or a model that is whole; quickly and in little memory."""

from __future__ import annotations

import json
import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilewright.errors import UserError
from tilewright.frontend.checkpoint import LlamaCheckpoint
from tilewright.frontend.huggingface import read_huggingface
from tilewright.frontend.llama2c import read_llama2c
from tilewright.frontend.tokenizer_bin import read_tokenizer_bin
from tilewright.frontend.tokenizer_json import read_tokenizer_json
from tilewright.lm.emit import vocabulary_c
from tilewright.lm.tokenizer import decode, encode
from tilewright.lm.vocabulary import Vocabulary

from .checkpoints import SMALL, config_json, llama2c_bytes, random_checkpoint, write_folder
from .samples import CORPUS, library_json, tokenizer_bin

SECONDS, BYTES = 1.0, 48 << 20
Mutation = Callable[[random.Random, bytes], bytes]

CHECKPOINT = random_checkpoint(SMALL)


def try_it(load: Callable[[Path], object], path: Path) -> bool:
    """Load and use; True if it was refused. Other errors, a second of this process and 48 MiB are failures."""
    message = ""
    tracemalloc.start()
    began = time.process_time()
    try:
        use(load(path))
        refused = False
    except UserError as error:
        refused, message = True, str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.process_time() - began < SECONDS
    assert len(message) < 1000
    assert "\n" not in message
    assert peak < BYTES
    return refused


def use(loaded: object) -> None:
    """A model that loads is whole: shapes fit, numbers are finite, a vocabulary encodes, decodes and becomes C."""
    if isinstance(loaded, tuple):
        loaded = loaded[0]
    if isinstance(loaded, LlamaCheckpoint):
        shapes = loaded.config.shapes()
        assert {name: array.shape for name, array in loaded.tensors.items()} == shapes
        assert all(np.isfinite(array).all() for array in loaded.tensors.values())
    else:
        assert isinstance(loaded, Vocabulary)
        tokens = encode(loaded, CORPUS[1])
        assert all(0 <= token < len(loaded) for token in tokens)
        decode(loaded, tokens)
        assert vocabulary_c(loaded, "x")


# --- mutations of bytes ---


def truncate(r: random.Random, data: bytes) -> bytes:
    return data[: r.randrange(len(data))]


def flip(r: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(r.choice([1, 1, 3, 20])):
        changed[r.randrange(min(len(data), r.choice([8, 64, 1000, len(data)])))] = r.randrange(256)
    return bytes(changed)


def hostile_words(r: random.Random, data: bytes) -> bytes:
    """Sizes at the front, where headers are, become zero, negative and enormous."""
    changed = bytearray(data)
    for _ in range(r.choice([1, 2])):
        at = 4 * r.randrange(10)
        changed[at : at + 4] = r.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 65_536, 2**24, 7]).to_bytes(4, "little")
    return bytes(changed)


def rubbish(r: random.Random, data: bytes) -> bytes:
    return r.randbytes(r.choice([0, 1, 4, 27, 28, 40, 1000]))


def append(r: random.Random, data: bytes) -> bytes:
    return data + r.randbytes(r.choice([1, 4, 100]))


def cut_out(r: random.Random, data: bytes) -> bytes:
    at = r.randrange(len(data))
    return data[:at] + data[at + r.choice([1, 4, 50]) :]


MUTATIONS: list[Mutation] = [truncate, flip, hostile_words, rubbish, append, cut_out]


def load_safetensors(path: Path) -> object:
    return read_huggingface(path.parent)


TEXTS = [text.encode() for text in (" ", "a", "b", "c", "ab", "abc", "é")]

FORMATS: dict[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]] = {
    "llama2.c": ("model.bin", lambda: llama2c_bytes(CHECKPOINT), read_llama2c),
    "safetensors": ("model.safetensors", lambda: b"", load_safetensors),
    "config": ("config.json", lambda: b"", load_safetensors),
    "tokenizer.bin": (
        "tokenizer.bin",
        lambda: tokenizer_bin(TEXTS, [0.0, -1.0, -2.0, 3.0, 4.0, 5.0, 6.0]),
        read_tokenizer_bin,
    ),
    "tokenizer.json byte": ("tokenizer.json", lambda: library_json("byte partial"), read_tokenizer_json),
    "tokenizer.json llama": ("tokenizer.json", lambda: library_json("llama"), read_tokenizer_json),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_damaged_bytes(mutation: Mutation, kind: str, tmp_path: Path) -> None:
    name, make, load = FORMATS[kind]
    write_folder(tmp_path, CHECKPOINT)
    path = tmp_path / name
    data = make() or path.read_bytes()
    path.write_bytes(data)
    assert not try_it(load, path)
    r = random.Random(f"{kind} {mutation.__name__}")
    refused = 0
    for _ in range(25):
        path.write_bytes(mutation(r, data))
        refused += try_it(load, path)
    expected = {truncate: 25, rubbish: 25, append: 20}.get(mutation, 1)
    assert refused >= (1 if kind == "tokenizer.bin" and mutation is truncate else expected)


def test_every_cut_of_a_tokenizer_file(tmp_path: Path) -> None:
    """The file of llama2.c does not say how many tokens it has: between two of them, and only there, it may end."""
    data = FORMATS["tokenizer.bin"][1]()
    ends = len(data) - np.cumsum([0, *(8 + len(text) for text in reversed(TEXTS[1:]))])
    path = tmp_path / "tokenizer.bin"
    for size in range(ends[-1] - 3, len(data) + 1):
        path.write_bytes(data[:size])
        assert try_it(read_tokenizer_bin, path) == (size not in ends)


# --- mutations of JSON ---

HOSTILE_VALUES = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 10**4000, 1e308, float("nan"), float("inf"),
    "", "x", "\ud800", "x" * 100_000, "../../etc/passwd", "\0",
    [], [[]], [0], {}, {"type": "Sequence"}, {"type": []}, [None] * 1000,
    {"a": {"b": {"c": 0}}}, "BPE", "ByteLevel", [["a", "b"]], {"SpecialToken": {"id": 5}}, "F64", [2**40, 2**40],
]  # fmt: skip


def nodes(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value of a JSON tree."""
    found: list[tuple[Any, Any]] = []
    children = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, child in children:
        found.append((tree, key))
        found += nodes(child)
    return found


def mutate_json(r: random.Random, tree: Any) -> Any:
    tree = json.loads(json.dumps(tree))
    for _ in range(r.choice([1, 1, 2])):
        places = nodes(tree)
        few = [(container, key) for container, key in places if len(container) < 40]
        container, key = r.choice(few if r.random() < 0.7 and few else places)
        if r.random() < 0.25:
            del container[key]
        else:
            container[key] = r.choice(HOSTILE_VALUES)
    return tree


@pytest.mark.parametrize("kind", ["byte partial", "byte prefix", "llama", "meta"])
def test_hostile_tokenizer_json(kind: str, tmp_path: Path) -> None:
    """Members replaced and removed; the long lists of tokens and merges are cut, so that the rest is hit as well."""
    tree = json.loads(library_json(kind))
    tree["model"]["merges"] = tree["model"]["merges"][:30]
    path, r, refused = tmp_path / "tokenizer.json", random.Random(kind), 0
    for _ in range(120):
        path.write_text(json.dumps(mutate_json(r, tree)))
        refused += try_it(read_tokenizer_json, path)
    assert 30 < refused < 120


def test_hostile_config(tmp_path: Path) -> None:
    write_folder(tmp_path, CHECKPOINT)
    r, refused = random.Random(1), 0
    for _ in range(300):
        (tmp_path / "config.json").write_text(json.dumps(mutate_json(r, config_json(SMALL))))
        refused += try_it(load_safetensors, tmp_path / "config.json")
    assert 100 < refused < 300


def test_hostile_safetensors_header(tmp_path: Path) -> None:
    write_folder(tmp_path, CHECKPOINT)
    path, r, refused = tmp_path / "model.safetensors", random.Random(2), 0
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    for _ in range(300):
        text = json.dumps(mutate_json(r, header)).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
        refused += try_it(load_safetensors, path)
    assert refused > 280


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "model.safetensors.index.json"])
@pytest.mark.parametrize("text", [b"[" * 200_000, b'{"a":' * 200_000, b'{"a":' + b"9" * 100_000 + b"}", b"\xff\xfe{}"])
def test_deep_json(text: bytes, name: str, tmp_path: Path) -> None:
    write_folder(tmp_path, CHECKPOINT)
    if name.endswith("index.json"):
        (tmp_path / "model.safetensors").unlink()
    path = tmp_path / name
    path.write_bytes(struct.pack("<Q", len(text)) + text if name == "model.safetensors" else text)
    assert try_it(read_tokenizer_json if name == "tokenizer.json" else load_safetensors, path)


def test_oversized_files(tmp_path: Path) -> None:
    """Sparse files of a terabyte are refused by their size alone."""
    write_folder(tmp_path, CHECKPOINT)
    for name, load in {"model.bin": read_llama2c, "t.bin": read_tokenizer_bin, "t.json": read_tokenizer_json}.items():
        with (tmp_path / name).open("wb") as file:
            file.write(llama2c_bytes(CHECKPOINT))
            file.truncate(1 << 40)
        assert try_it(load, tmp_path / name)
    for name in ("model.safetensors", "config.json"):
        with (tmp_path / name).open("r+b") as file:
            file.truncate(1 << 40)
        assert try_it(load_safetensors, tmp_path / name)


def test_an_empty_claim_of_exabytes(tmp_path: Path) -> None:
    """Sizes that multiply to 2^60 bytes, in headers of a few bytes."""
    (tmp_path / "model.bin").write_bytes(struct.pack("<7i", 1 << 20, 1 << 20, 1024, 2, 2, 65_536, 1 << 20) + bytes(64))
    assert try_it(read_llama2c, tmp_path / "model.bin")
    write_folder(tmp_path, CHECKPOINT, {"intermediate_size": 1 << 20, "num_hidden_layers": 1024})
    assert try_it(load_safetensors, tmp_path / "config.json")
