"""Small llamas with random weights and a byte-level vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.frontend.checkpoint import LlamaCheckpoint, LlamaConfig, sealed
from tilewright.frontend.llama import entries
from tilewright.lm.vocabulary import Prefix, Split, Vocabulary
from tilewright.model import Language, Model


@dataclass(frozen=True)
class Shape:
    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    context: int
    tied: bool
    chunk: int


SHAPES = (
    Shape(16, 44, 2, 4, 2, 33, tied=True, chunk=8),
    Shape(24, 20, 1, 2, 1, 17, tied=False, chunk=5),
    Shape(40, 64, 3, 4, 4, 24, tied=True, chunk=16),
)


def vocabulary(size: int = 264) -> Vocabulary:
    """<unk>, <s>, </s>, the bytes, and silent tokens up to `size`."""
    pieces = (b"", b"", b"", *(bytes([i]) for i in range(256)))
    return Vocabulary(
        pieces, bos=1, eos=2, unk=0, split=Split.NONE, prefix=Prefix.NEVER, strip=False, symbols={},
        byte_tokens=tuple(range(3, 259)), merges={},
    ).with_size(size)  # fmt: skip


def checkpoint(shape: Shape, seed: int = 0) -> LlamaCheckpoint:
    """Weights of a size that keeps activations lively."""
    cfg = LlamaConfig(
        shape.dim, shape.hidden, shape.layers, shape.heads, shape.kv_heads, shape.dim // shape.heads, 264,
        shape.context, 10000.0, 1e-5, shape.tied,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, dims in cfg.shapes().items():
        scale = 1.5 * dims[-1] ** -0.5 if len(dims) == 2 else 0.3
        noise = rng.normal(size=dims) * scale
        tensors[name] = (noise + (1.0 if len(dims) == 1 else 0.0)).astype(np.float32)
    return sealed("toy", cfg, tensors, "toy")


def model(shape: Shape, seed: int = 0) -> Model:
    made = checkpoint(shape, seed)
    return Model("toy", entries(made, shape.chunk), Language(made, vocabulary(), shape.context, shape.chunk))
