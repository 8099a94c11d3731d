"""Runs of the command line in this process, and a toy language model as files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.llamas import Shape, checkpoint
from tests.lm.samples import tokenizer_bin
from tilewright import cli
from tilewright.api import compile_model
from tilewright.cgen.project import write
from tilewright.ir.graph import Builder
from tilewright.ir.types import F32, TensorType, const
from tilewright.model import Model
from tilewright.ops import Add, Linear
from tilewright.options import Options
from tilewright.targets.host.target import HOST

TOY = Shape(16, 44, 2, 4, 2, 33, tied=True, chunk=8)


@dataclass(frozen=True)
class Run:
    """What one command line did."""

    code: int
    out: str
    err: str
    json: dict[str, Any]


Tilewright = Callable[..., Run]


@pytest.fixture
def tilewright(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Tilewright:
    """Call with the words of a command line; `--json` is added."""

    def call(*words: object) -> Run:
        file = tmp_path / "outcome.json"
        file.unlink(missing_ok=True)
        capfd.readouterr()
        code = cli.run([*map(str, words), "--json", str(file)])
        out, err = capfd.readouterr()
        return Run(code, out, err, json.loads(file.read_text()) if file.exists() else {})

    return call


def llama2c(shape: Shape) -> bytes:
    """A llama2.c checkpoint, version 0."""
    made = checkpoint(shape)
    cfg = made.config
    blocks = [f"blocks.{i}." for i in range(cfg.layers)]
    order = ["norm_attn", "wq", "wk", "wv", "wo", "norm_ffn", "gate", "down", "up"]
    arrays = [made["embed"], *(made[b + name] for name in order for b in blocks), made["norm_out"]]
    arrays.append(np.zeros(cfg.context * cfg.head_dim, np.float32))  # RoPE tables, which nobody reads
    header = (cfg.dim, cfg.hidden, cfg.layers, cfg.heads, cfg.kv_heads, cfg.vocab, cfg.context)
    return struct.pack("<7i", *header) + b"".join(a.astype("<f4").tobytes() for a in arrays)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """toy.bin with its tokenizer beside it."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "toy.bin").write_bytes(llama2c(TOY))
    (folder / "tok264.bin").write_bytes(tokenizer_bin([b" ", b"a", b"b", b" a", b"ab"], [-5.0, -4.0, -3.0, -1.0, -2.0]))
    return folder / "toy.bin"


@pytest.fixture(scope="session")
def compiled_toy(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """toy.bin, compiled and built."""
    folder = tmp_path_factory.mktemp("compiled") / "toy"
    assert cli.run(["compile", str(toy), "-o", str(folder)]) == 0
    return folder


def dense() -> Model:
    """s = x w^T + b and t = s + x: one input [2, 4], two outputs."""
    b = Builder("run")
    x = b.input("x", TensorType((2, 4), F32))
    rng = np.random.default_rng(0)
    weight = const("w", rng.normal(size=(4, 4)).astype(np.float32))
    s = b(Linear(), x, weight, name="s", origin="/net/MatMul_7")
    t = b(Add(), s, x, name="t", origin="/net/Add_8")
    return Model("dense", (b.finish((s, t)),))


@pytest.fixture(scope="session")
def compiled_dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain network `dense`, compiled."""
    folder = tmp_path_factory.mktemp("compiled") / "dense"
    write(compile_model(dense(), HOST, Options()), folder)
    return folder
