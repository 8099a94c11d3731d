"""Checkpoints come back from both formats as they were written, and are refused with the rule otherwise."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tilewright.errors import UserError
from tilewright.frontend.checkpoint import LlamaCheckpoint, LlamaConfig, Weights
from tilewright.frontend.huggingface import read_huggingface
from tilewright.frontend.llama2c import read_llama2c
from tilewright.frontend.llm import load_model
from tilewright.frontend.safetensors import read_safetensors

from .checkpoints import SMALL, configs, llama2c_bytes, random_checkpoint, stored, with_head_dim, write_folder
from .samples import library_json, tokenizer_bin


def same(a: LlamaCheckpoint, b: LlamaCheckpoint) -> bool:
    return (
        a.config == b.config
        and a.tensors.keys() == b.tensors.keys()
        and all(np.array_equal(array, b[name]) and array.dtype == np.float32 for name, array in a.tensors.items())
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@settings(max_examples=60, deadline=None)
@given(config=configs(), seed=st.integers(0, 99))
def test_llama2c_round_trip(config: LlamaConfig, seed: int, folder: Path) -> None:
    checkpoint = random_checkpoint(config, seed)
    (folder / "model.bin").write_bytes(llama2c_bytes(checkpoint))
    loaded = read_llama2c(folder / "model.bin")
    assert same(loaded, checkpoint)
    assert loaded.head is loaded["embed" if config.tied else "head"]
    with pytest.raises(ValueError, match="read-only"):
        loaded["embed"][0, 0] = 1


@settings(max_examples=60, deadline=None)
@given(config=configs(), seed=st.integers(0, 99), head_dim=st.sampled_from([None, 2, 6]))
def test_huggingface_round_trip(config: LlamaConfig, seed: int, head_dim: int | None, folder: Path) -> None:
    """Also with heads that do not add up to dim."""
    checkpoint = random_checkpoint(with_head_dim(config, head_dim or config.head_dim), seed)
    loaded, tokens = read_huggingface(write_folder(folder / "hf", checkpoint))
    assert same(loaded, checkpoint)
    assert (tokens.bos, tokens.eos) == (1, 2)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
def test_dtypes_and_shards(dtype: str, tmp_path: Path) -> None:
    """Two shards of half precision; every value is one that the dtype holds, so that it comes back exactly."""
    checkpoint = random_checkpoint(SMALL)
    coarse = {name: (array * 64).round() / 64 for name, array in checkpoint.tensors.items()}
    coarse = {name: np.clip(array, -1.9, 1.9).astype(np.float16).astype(np.float32) for name, array in coarse.items()}
    if dtype == "BF16":
        coarse = {name: (a.view(np.uint32) & 0xFFFF0000).view(np.float32) for name, a in coarse.items()}
    checkpoint = replace(checkpoint, tensors=coarse)
    write_folder(tmp_path, checkpoint)
    (tmp_path / "model.safetensors").unlink()
    tensors, weight_map = stored(checkpoint), {}
    for part, names in enumerate((list(tensors)[::2], list(tensors)[1::2])):
        weight_map |= dict.fromkeys(names, f"part{part}.safetensors")
        (tmp_path / f"part{part}.safetensors").write_bytes(safetensors_bytes({n: tensors[n] for n in names}, dtype))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert same(read_huggingface(tmp_path)[0], checkpoint)


def safetensors_bytes(tensors: dict[str, Weights], dtype: str = "F32") -> bytes:
    header, data = {}, b""
    for name, array in tensors.items():
        raw = {"F32": array, "F16": array.astype(np.float16), "BF16": (array.view(np.uint32) >> 16).astype(np.uint16)}
        header[name] = {
            "dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + raw[dtype].nbytes],
        }  # fmt: skip
        data += raw[dtype].tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors_library_agrees(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "a": rng.random((3, 5)).astype(np.float32),
        "b": rng.random(()).astype(np.float32).reshape(1),
        "e": np.zeros((0, 4), np.float32),
    }
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    entries = read_safetensors(tmp_path / "x.safetensors")
    assert {name: entry.read().tolist() for name, entry in entries.items()} == {
        k: v.tolist() for k, v in tensors.items()
    }


@pytest.mark.parametrize("offsets", [[0, 8], [12, 20], [4, 12]])
def test_tensors_cover_the_data(offsets: list[int], tmp_path: Path) -> None:
    """The second of two tensors of 8 bytes lies on the first, leaves a hole, or both, in a file of the right size."""
    data = safetensors_bytes({name: np.ones(2, np.float32) for name in "ab"})
    moved = data.replace(b"[8, 16]", json.dumps(offsets).encode())
    length = struct.pack("<Q", struct.unpack_from("<Q", data)[0] + len(moved) - len(data))
    (tmp_path / "x.safetensors").write_bytes(data)
    assert len(read_safetensors(tmp_path / "x.safetensors")) == 2
    (tmp_path / "x.safetensors").write_bytes(length + moved[8:])
    with pytest.raises(UserError, match="leaves a hole or overlaps"):
        read_safetensors(tmp_path / "x.safetensors")


# --- what is refused ---

Change = Callable[[dict[str, Any]], None]
REFUSED_CONFIGS: dict[str, dict[str, object]] = {
    "rope_scaling": {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "attention_bias": {"attention_bias": True},
    "mlp_bias": {"mlp_bias": True},
    "hidden_act": {"hidden_act": "gelu"},
    "architectures": {"architectures": ["MistralForCausalLM"]},
    "model_type": {"model_type": "qwen2"},
    "rope_type": {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
    "kv_heads": {"num_key_value_heads": 3},
    "head_dim": {"head_dim": 3},
    "zero": {"num_hidden_layers": 0},
    "negative": {"hidden_size": -8},
    "multiple": {"num_attention_heads": 3, "head_dim": None},
    "absurd": {"num_hidden_layers": 10**18},
    "context": {"max_position_embeddings": 10**12},
    "vocabulary": {"vocab_size": 10**7},
    "text": {"hidden_size": "8"},
    "boolean": {"hidden_size": True},
    "list": {"hidden_size": [8]},
    "theta": {"rope_theta": 0},
    "eps": {"rms_norm_eps": -1e-5},
    "two ends": {"eos_token_id": [2, 3]},
    "shape": {"intermediate_size": 13},
    "untied": {"tie_word_embeddings": False},
    "layers": {"num_hidden_layers": 3},
}


@pytest.mark.parametrize("case", REFUSED_CONFIGS)
def test_refused_configurations(case: str, tmp_path: Path) -> None:
    write_folder(tmp_path, random_checkpoint(SMALL), REFUSED_CONFIGS[case])
    with pytest.raises(UserError) as caught:
        read_huggingface(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.rule


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    absent = {"num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "hidden_act"}
    config = replace(SMALL, kv_heads=2, eps=1e-6, tied=False)
    write_folder(tmp_path, random_checkpoint(config), dict.fromkeys(absent))
    assert read_huggingface(tmp_path)[0].config == config


def test_rope_parameters(tmp_path: Path) -> None:
    write_folder(tmp_path, random_checkpoint(SMALL), {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}})
    assert read_huggingface(tmp_path)[0].config.rope_theta == 5e5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(value: float, tmp_path: Path) -> None:
    checkpoint = random_checkpoint(SMALL)
    checkpoint["blocks.1.down"][3, 2] = value
    (tmp_path / "model.bin").write_bytes(llama2c_bytes(checkpoint))
    write_folder(tmp_path, checkpoint)
    with pytest.raises(UserError, match=r"blocks\.1\.down holds NaN or infinity"):
        read_llama2c(tmp_path / "model.bin")
    with pytest.raises(UserError, match=r"blocks\.1\.down holds NaN or infinity"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ((8, 12, 2, 3, 1, 300, 16), "multiple"),
        ((8, 12, 2, 8, 1, 300, 16), "even"),
        ((12, 12, 2, 3, 2, 300, 16), "kv_heads divides"),
        ((8, 0, 2, 2, 1, 300, 16), "hidden is from 1"),
        ((8, 12, 2, 0, 1, 300, 16), "multiple"),
        ((8, 12, 2, 2, 1, 0, 16), "vocab is from 1"),
        ((8, 12, 2, 2, 1, -(2**31), 16), "vocab is from 1"),
        ((8, 12, 2**31 - 1, 2, 1, 300, 16), "layers is from 1"),
        ((8, 12, 2, 2, 1, 300, 17), "a checkpoint of these sizes has"),
        ((8, 12, 2, 2, 1, -300, 16), "a checkpoint of these sizes has"),
    ],
)
def test_refused_headers(head: tuple[int, ...], words: str, tmp_path: Path) -> None:
    data = llama2c_bytes(random_checkpoint(SMALL))
    (tmp_path / "model.bin").write_bytes(struct.pack("<7i", *head) + data[28:])
    with pytest.raises(UserError, match=words):
        read_llama2c(tmp_path / "model.bin")


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\x80\x02", b"24ka", b"GGUF"])
def test_strangers_are_named(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(head + bytes(100))
    with pytest.raises(UserError, match="the file is"):
        load_model(tmp_path / "model.bin")


def test_pickles_are_refused_with_a_hint(tmp_path: Path) -> None:
    write_folder(tmp_path, random_checkpoint(SMALL))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin is a pickle"):
        read_huggingface(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["../x.safetensors", "/etc/x.safetensors", "a/x.safetensors", "..", "", "a\\x.safetensors", "x\0.safetensors"],
)
def test_shards_stay_in_the_folder(name: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", random_checkpoint(SMALL))
    (folder / "model.safetensors").rename(tmp_path / "x.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    with pytest.raises(UserError, match="weight_map names"):
        read_huggingface(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_pipes_do_not_block(name: str, tmp_path: Path) -> None:
    write_folder(tmp_path, random_checkpoint(SMALL))
    (tmp_path / "tokenizer.json").write_bytes(library_json("byte partial"))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="not a regular file"):
        load_model(tmp_path)


# --- a model and its tokenizer ---


def test_a_tokenizer_beside_the_weights(tmp_path: Path) -> None:
    """tok<vocab>.bin comes before tokenizer.bin, and what the user names before both."""
    texts = [b" ", b"a", *(b"x%02d" % i for i in range(39))]
    files = {"tok300.bin": b"b", "tokenizer.bin": b"c", "other.bin": b"d"}
    (tmp_path / "model.bin").write_bytes(llama2c_bytes(random_checkpoint(SMALL)))
    with pytest.raises(UserError, match=r"tok300\.bin or tokenizer\.bin"):
        load_model(tmp_path / "model.bin")
    for name, letter in files.items():
        (tmp_path / name).write_bytes(tokenizer_bin([letter, *texts[:1], *texts[2:]], [0.0] * 41))
    assert load_model(tmp_path / "model.bin")[1].pieces[259] == b"b"
    assert load_model(tmp_path / "model.bin", tmp_path / "other.bin")[1].pieces[259] == b"d"
    (tmp_path / "tok300.bin").unlink()
    assert load_model(tmp_path / "model.bin")[1].pieces[259] == b"c"
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_bin(texts[:2], [0.0] * 2))
    with pytest.raises(UserError, match="261 tokens"):
        load_model(tmp_path / "model.bin")


def test_padded_embeddings(tmp_path: Path) -> None:
    """A folder may have more rows than tokens, not fewer; special tokens come from config.json."""
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "tokenizer.json").write_bytes(library_json("byte partial"))
    write_folder(
        tmp_path / "hf", random_checkpoint(replace(SMALL, vocab=600)), {"bos_token_id": 5, "eos_token_id": [6]}
    )
    checkpoint, vocabulary = load_model(tmp_path / "hf")
    assert (len(vocabulary), checkpoint.config.vocab, vocabulary.bos, vocabulary.eos) == (600, 600, 5, 6)
    assert vocabulary.pieces[-1] == b""
    write_folder(tmp_path / "hf", random_checkpoint(replace(SMALL, vocab=20)))
    with pytest.raises(UserError, match="20 rows"):
        load_model(tmp_path / "hf")


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_model(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(tmp_path / "folder")
