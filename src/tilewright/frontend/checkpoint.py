"""A llama checkpoint in memory, the same for every file format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..lm.vocabulary import MAX_TOKENS
from .files import shown

Weights: TypeAlias = npt.NDArray[np.float32]

MAX_DIM, MAX_LAYERS, MAX_CONTEXT = 1 << 20, 1024, 1 << 20


@dataclass(frozen=True)
class LlamaConfig:
    """Sizes and constants. `kv_heads` divides `heads`, each of `head_dim` channels; tied: the head is the embedding."""

    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    rope_theta: float
    eps: float
    tied: bool

    def check(self, where: str) -> None:
        """Raise UserError, naming the file `where`, if the sizes are no llama's. Nothing is allocated for it."""

        def require(holds: bool, problem: str, rule: str) -> None:
            if not holds:
                raise UserError(problem, where=where, rule=rule)

        for field in fields(self):
            if field.type == "int":
                value, limit = getattr(self, field.name), _LIMITS.get(field.name, MAX_DIM)
                require(1 <= value <= limit, f"{field.name} is {shown(value)}", f"{field.name} is from 1 to {limit:,}")
        require(self.head_dim % 2 == 0, f"head_dim is {self.head_dim}", "RoPE turns pairs: head_dim is even")
        rule = "kv_heads divides heads: each key/value head serves as many query heads"
        require(self.heads % self.kv_heads == 0, f"{self.heads} heads, {self.kv_heads} kv_heads", rule)
        require(0.0 < self.rope_theta < 1e12, f"rope_theta is {self.rope_theta}", "rope_theta is positive and finite")
        require(0.0 < self.eps < 1.0, f"eps is {self.eps}", "the norm's epsilon is positive and small")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The logical name and shape of every tensor; matrices are [out, in]."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        block = {
            "norm_attn": (self.dim,), "wq": (q, self.dim), "wk": (kv, self.dim), "wv": (kv, self.dim),
            "wo": (self.dim, q), "norm_ffn": (self.dim,), "gate": (self.hidden, self.dim),
            "up": (self.hidden, self.dim), "down": (self.dim, self.hidden),
        }  # fmt: skip
        shapes: dict[str, tuple[int, ...]] = {"embed": (self.vocab, self.dim), "norm_out": (self.dim,)}
        for i in range(self.layers):
            shapes |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
        return shapes if self.tied else shapes | {"head": (self.vocab, self.dim)}


_LIMITS = {"layers": MAX_LAYERS, "context": MAX_CONTEXT, "vocab": MAX_TOKENS}


@dataclass(frozen=True)
class LlamaCheckpoint:
    """A llama's weights as read-only fp32 arrays under logical names, see `LlamaConfig.shapes`.

    Rows of wq and wk are in llama2.c's order: RoPE turns the neighbours (2i, 2i+1) of each head.
    """

    name: str
    config: LlamaConfig
    tensors: Mapping[str, Weights]

    def __getitem__(self, name: str) -> Weights:
        return self.tensors[name]

    @property
    def head(self) -> Weights:
        """[vocab, dim]: the classifier, which is the embedding where the two are tied."""
        return self.tensors["embed" if self.config.tied else "head"]


def sealed(name: str, config: LlamaConfig, tensors: Mapping[str, Weights], where: str) -> LlamaCheckpoint:
    """A checkpoint of finite, read-only tensors; UserError, naming file and tensor, for NaN or infinity."""
    for tensor, array in tensors.items():
        if not np.isfinite(array).all():
            raise UserError(f"tensor {tensor} holds NaN or infinity", where=where, rule="weights are finite numbers")
        array.setflags(write=False)
    return LlamaCheckpoint(name, config, MappingProxyType(dict(tensors)))
