"""llama2.c checkpoints, version 0: seven int32, then fp32 weights, each kind for all layers together."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from ..errors import UserError
from .checkpoint import LlamaCheckpoint, LlamaConfig, Weights, sealed
from .files import file_size, open_file

HEADER = struct.Struct("<7i")
EPS, THETA = 1e-5, 10000.0
"""Constants of llama2.c; the file does not say them."""

_STRANGERS = {
    b"PK\x03\x04": "a PyTorch archive; pickles can run code and are never opened: export it to safetensors",
    b"\x80\x02": "a Python pickle; pickles can run code and are never opened: export it to safetensors",
    b"24ka": "llama2.c's version 1 or 2; export it as version 0 (the default of its export.py)",
    b"GGUF": "GGUF; give the original Hugging Face folder",
}


def read_llama2c(path: Path) -> LlamaCheckpoint:
    """Read a version 0 .bin. Raises UserError unless the file has exactly the size that its header asks for."""
    size = file_size(path)
    with open_file(path) as file:
        head = file.read(HEADER.size)
    for magic, what in _STRANGERS.items():
        if head.startswith(magic):
            raise UserError(f"the file is {what}", where=str(path), rule="a llama2.c checkpoint of version 0")
    if len(head) < HEADER.size:
        raise UserError(f"{size} bytes", where=str(path), rule="a llama2.c checkpoint begins with seven int32")
    config = _config(head, str(path))
    order = _order(config)
    tables = config.context * config.head_dim // 2 * 2
    wanted = HEADER.size + 4 * (sum(math.prod(shape) for _, shape in order) + tables)
    if size != wanted:
        rule = f"a checkpoint of these sizes has {wanted:,} bytes"
        hint = "the file is cut off or no llama2.c checkpoint of version 0"
        raise UserError(f"the file has {size:,} bytes", where=str(path), rule=rule, hint=hint)
    return sealed(path.stem, config, _tensors(path, order, tables), str(path))


def _config(head: bytes, where: str) -> LlamaConfig:
    dim, hidden, layers, heads, kv_heads, vocab, context = HEADER.unpack(head)
    if heads < 1 or dim % heads:
        raise UserError(f"dim {dim}, {heads} heads", where=where, rule="dim is a multiple of the number of heads")
    config = LlamaConfig(
        dim, hidden, layers, heads, kv_heads, dim // heads, abs(vocab), context, THETA, EPS, tied=vocab > 0
    )
    config.check(where)
    return config


def _order(config: LlamaConfig) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes in the order of the file; RoPE tables, which are recomputed, stand in front of `head`."""
    shapes = config.shapes()
    kinds = ("norm_attn", "wq", "wk", "wv", "wo", "norm_ffn", "gate", "down", "up")
    names = ["embed", *(f"blocks.{i}.{kind}" for kind in kinds for i in range(config.layers)), "norm_out"]
    return [(name, shapes[name]) for name in names + ([] if config.tied else ["head"])]


def _tensors(path: Path, order: list[tuple[str, tuple[int, ...]]], tables: int) -> dict[str, Weights]:
    tensors: dict[str, Weights] = {}
    with open_file(path) as file:
        file.seek(HEADER.size)
        for name, shape in order:
            if name == "head":
                file.seek(4 * tables, 1)
            array = np.fromfile(file, "<f4", math.prod(shape))
            if array.size != math.prod(shape):
                raise UserError(f"the file ends inside {name}", where=str(path), rule="the file does not change")
            tensors[name] = array.reshape(shape).astype(np.float32, copy=False)
    return tensors
