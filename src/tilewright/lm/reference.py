"""The forward pass of a llama in numpy, whole sequences at once: an oracle that shares no code with the compiler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from ..frontend.checkpoint import LlamaCheckpoint
from .evaluate import Tokens

F32: TypeAlias = npt.NDArray[np.float32]

BATCH = 4096
"""Tokens that share one pass over the weights."""


def rms_norm(x: F32, weight: F32, eps: float) -> F32:
    return np.asarray(x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(eps)) * weight)


def rotate(x: F32, cos: F32, sin: F32) -> F32:
    """RoPE on neighbours. x: [t, heads, hd], cos and sin: [t, 1, hd / 2]."""
    a, b = x[..., 0::2], x[..., 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


def attention(q: F32, k: F32, v: F32) -> F32:
    """Causal attention over one sequence. q: [t, heads, hd], k and v: [t, kv_heads, hd]; returns [t, heads * hd].

    Queries go in blocks, so that few of the scores that the causal mask throws away are computed.
    """
    time, heads, size = q.shape
    kv_heads, block = k.shape[1], 64
    grouped = q.reshape(time, kv_heads, heads // kv_heads, size).transpose(1, 2, 0, 3) * np.float32(size**-0.5)
    keys, values = k.transpose(1, 2, 0)[:, None], v.transpose(1, 0, 2)[:, None]
    out = np.empty_like(grouped)
    for first in range(0, time, block):
        last = min(first + block, time)
        scores = grouped[:, :, first:last] @ keys[..., :last]
        future = np.arange(last) > np.arange(first, last)[:, None]
        scores = np.where(future, np.float32(-np.inf), scores)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        out[:, :, first:last] = weights @ values[:, :, :last] / weights.sum(axis=-1, keepdims=True)
    return np.asarray(out.transpose(2, 0, 1, 3).reshape(time, heads * size), np.float32)


class Reference:
    """Logits of a checkpoint in fp32. The instance is an `evaluate.LogitsOf`."""

    def __init__(self, checkpoint: LlamaCheckpoint) -> None:
        self.checkpoint = checkpoint
        config = checkpoint.config
        frequency = config.rope_theta ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
        angle = np.outer(np.arange(config.context), frequency)[:, None]
        self._cos, self._sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def __call__(self, sequences: list[Tokens]) -> Iterator[F32]:
        """Sequences of tokens [t] -> for each logits [t, vocabulary]. Raises UserError beyond the context."""
        batch: list[Tokens] = []
        for sequence in sequences:
            batch.append(sequence)
            if sum(map(len, batch)) >= BATCH:
                yield from self.forward(batch)
                batch = []
        if batch:
            yield from self.forward(batch)

    def forward(self, sequences: list[Tokens]) -> list[F32]:
        """One pass over the weights: matrices see the tokens of all sequences, attention sees each sequence alone."""
        config, weights = self.checkpoint.config, self.checkpoint
        longest = max(map(len, sequences))
        if longest > config.context:
            raise UserError(f"{longest} tokens", rule=f"the context of {weights.name} is {config.context} tokens")
        at = np.concatenate([np.arange(len(sequence)) for sequence in sequences])
        cuts = np.cumsum([len(sequence) for sequence in sequences])[:-1].tolist()
        cos, sin = self._cos[at], self._sin[at]
        x = weights["embed"][np.concatenate(sequences)]
        for i in range(config.layers):
            block = f"blocks.{i}."
            h = rms_norm(x, weights[block + "norm_attn"], config.eps)
            q, k, v = (
                (h @ weights[block + name].T).reshape(len(h), -1, config.head_dim) for name in ("wq", "wk", "wv")
            )
            heads = (np.split(y, cuts) for y in (rotate(q, cos, sin), rotate(k, cos, sin), v))
            x = x + np.concatenate([attention(*qkv) for qkv in zip(*heads, strict=True)]) @ weights[block + "wo"].T
            h = rms_norm(x, weights[block + "norm_ffn"], config.eps)
            gate = h @ weights[block + "gate"].T
            silu = gate / (1 + np.exp(-np.maximum(gate, np.float32(-80))))
            x = x + (silu * (h @ weights[block + "up"].T)) @ weights[block + "down"].T
        logits = rms_norm(x, weights["norm_out"], config.eps) @ weights.head.T
        return [np.asarray(rows) for rows in np.split(logits, cuts)]

    def greedy(self, tokens: list[int], count: int) -> list[int]:
        """Continue `tokens` by the `count` most probable ones, each by a pass over the whole sequence."""
        for _ in range(count):
            tokens = [*tokens, int(self.forward([np.array(tokens, np.int32)])[0][-1].argmax())]
        return tokens
