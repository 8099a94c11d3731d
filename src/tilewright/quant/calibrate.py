"""What activations look like on a text, and the scales that cost least for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..frontend.checkpoint import LlamaCheckpoint
from ..interp import graph as interpreter
from ..ir.types import Array
from ..lm.evaluate import split_stories
from ..lm.tokenizer import Encoder
from ..lm.vocabulary import Vocabulary

MAX_TOKENS = 8192
"""Tokens of a calibration text that are used: whole stories up to this many."""

RATIOS = np.linspace(0.3, 1.0, 36)
"""Clipping thresholds that are tried, as shares of the greatest magnitude."""


@dataclass(frozen=True)
class CalibrationText:
    """Stories for calibration; `digest` is the SHA-256 of the file and goes into plan.json."""

    stories: tuple[str, ...]
    digest: str

    @classmethod
    def read(cls, path: Path | None = None) -> CalibrationText:
        """From a file, or the short text that ships with the package. UserError where it cannot be read."""
        try:
            data = (files(__package__) / "calibration.txt" if path is None else path).read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}", hint="--calibrate takes a text file") from None
        stories = split_stories(data.decode("utf-8", "surrogateescape"))
        return cls(tuple(stories), hashlib.sha256(data).hexdigest())


def sequences(text: CalibrationText, vocabulary: Vocabulary, context: int) -> list[Array]:
    """The stories as tokens, each cut at the context."""
    encode, used = Encoder(vocabulary), 0
    chosen: list[Array] = []
    for story in text.stories:
        tokens = np.array(encode(story)[:context], np.int32)
        if used + len(tokens) > MAX_TOKENS and chosen:
            break
        used += len(tokens)
        chosen.append(tokens)
    return [tokens for tokens in chosen if len(tokens)]


def observe(model: LlamaCheckpoint, texts: Sequence[Array]) -> dict[str, Array]:
    """Values of every node of the fp32 graph but the logits, by name: [tokens of all texts, channels]."""
    from ..frontend.llama import graph

    whole = graph(model, model.config.context, all_logits=True)
    body = replace(whole, nodes=whole.nodes[:-1])
    watched = [v for node in body.nodes for v in node.outputs if v not in whole.states and node.op.aliases == {}]
    body = replace(body, outputs=tuple(watched))
    seen: dict[str, list[Array]] = {v.name: [] for v in watched}
    for tokens in texts:
        state = interpreter.initial_state(body)
        got = interpreter.run(body, {"tokens": tokens}, state, {"n": len(tokens), "pos": 0})
        for name, array in got.items():
            seen[name].append(array)
    return {name: np.concatenate(arrays) for name, arrays in seen.items()}


def clip_scale(x: Array, importance: Array | None = None, top: int = 127) -> float:
    """The step of a symmetric grid -top .. top with the least weighted squared error on x: [tokens, channels].

    importance: [channels], how much an error in a channel matters, for instance the squared norm of the weights that
    read it.
    """
    peak = float(np.abs(x).max(initial=0.0))
    if peak == 0.0:
        return 1.0 / top
    weight = np.ones(x.shape[1], np.float32) if importance is None else importance.astype(np.float32)
    best, grid = (np.inf, peak / top), np.empty_like(x)
    for ratio in RATIOS:
        step = np.float32(peak * ratio / top)
        np.multiply(x, 1 / step, out=grid)
        np.rint(np.clip(grid, -top, top, out=grid), out=grid)
        grid -= x / step
        best = min(best, (float(np.einsum("tc,tc->c", grid, grid) @ weight) * float(step) ** 2, float(step)))
    return best[1]


def head_scales(x: Array, heads: int) -> Array:
    """`clip_scale` of every head. x: [tokens, heads * hd]."""
    return np.array([clip_scale(part) for part in np.split(x, heads, axis=1)])


@dataclass(frozen=True)
class BlockScales:
    """Steps of the int8 activations of one block; q, k and v have one per head."""

    attn_in: float
    q: Array
    k: Array
    v: Array
    attention: float
    ffn_in: float
    gate: float
    up: float
    swiglu: float


@dataclass(frozen=True)
class Scales:
    """Steps of all activations: the int16 residual stream, the blocks, the input of the head."""

    residual: float
    blocks: tuple[BlockScales, ...]
    out_norm: float


RESIDUAL_HEADROOM = 2.0
"""How much further than calibration saw the residual stream reaches before it saturates; int16 has bits to spare."""


def find_scales(model: LlamaCheckpoint, seen: Mapping[str, Array]) -> Scales:
    """Static scales for a checkpoint whose activations were `seen`."""
    cfg = model.config

    def importance(*names: str) -> Array:
        return np.asarray(sum((model[n].astype(np.float64) ** 2).sum(0) for n in names))

    blocks = []
    for i in range(cfg.layers):
        at = f"blocks.{i}."
        blocks.append(BlockScales(
            attn_in=clip_scale(seen[at + "attn_in"], importance(at + "wq", at + "wk", at + "wv")),
            q=head_scales(seen[at + "q_turned"], cfg.heads),
            k=head_scales(seen[at + "k_turned"], cfg.kv_heads),
            v=head_scales(seen[at + "v"], cfg.kv_heads),
            attention=clip_scale(seen[at + "attention"], importance(at + "wo")),
            ffn_in=clip_scale(seen[at + "ffn_in"], importance(at + "gate", at + "up")),
            gate=clip_scale(seen[at + "gate"]),
            up=clip_scale(seen[at + "up"]),
            swiglu=clip_scale(seen[at + "swiglu"], importance(at + "down")),
        ))  # fmt: skip
    streams = ["x", *(f"blocks.{i}.after_{part}" for i in range(cfg.layers) for part in ("attn", "ffn"))]
    peak = max(float(np.abs(seen[name]).max()) for name in streams)
    head = clip_scale(seen["out_norm"], importance("embed" if cfg.tied else "head"))
    return Scales(max(peak, 1e-6) * RESIDUAL_HEADROOM / 32767, tuple(blocks), head)
