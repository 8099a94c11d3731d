"""A llama in integer arithmetic: int8 weights and activations, an int16 residual stream, int32 logits.

Multipliers have eight bits, and one shift serves the same matrix of all blocks, so that the blocks stay one loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..frontend.checkpoint import LlamaCheckpoint, LlamaConfig
from ..ir.graph import Builder, Graph
from ..ir.op import Op
from ..ir.types import I4, I8, I16, I32, Array, Sym, TensorType, Value, const
from ..ops import (
    Append,
    Linear,
    LinearAdd,
    QuantisedAttention,
    QuantisedEmbed,
    QuantisedRMSNorm,
    QuantisedRoPE,
    QuantisedSwiGLU,
    Requantise,
    Row,
)
from ..ops.rope import rope_table
from .calibrate import Scales
from .requant import half
from .rounding import Moments, Rows, group_size, quantise_matrices, row_ratios

if TYPE_CHECKING:
    from .lower import Recipe

NARROW = ("wv", "gate", "up")
"""Matrices whose results are int8, as the accelerator writes them; its fast forms want rows to share multipliers.
q and k (int16) and what goes into the residual stream leave it as int32, and cores apply a multiplier per row."""
ROPE_BITS = 14
TURN_BITS = 6
"""How much finer q and k are before RoPE than after: int16, of which the result keeps eight bits."""
EXP_STEPS = 40.0
"""Entries of the exponential table per nat: 255 / 40 = 6.4 nats, where 255 e^-x rounds to zero."""
PROBABILITY = 255


@dataclass(frozen=True)
class Site:
    """One matrix of every block: its operator's shift, and the rows of each block."""

    rows: tuple[Rows, ...]

    @property
    def shift(self) -> int:
        return self.rows[0].shift


@dataclass(frozen=True)
class IntegerLlama:
    """All constants of the integer graph. Norm gains are [c] i16, per-head multipliers [heads] i32."""

    name: str
    config: LlamaConfig
    embed: Rows
    head: Rows | None  # None: the embedding
    matrices: Mapping[str, Site]
    norm_attn: tuple[Array, ...]
    norm_ffn: tuple[Array, ...]
    norm_out: Array
    norm_shift: int
    eps: int
    score: tuple[Array, ...]
    score_shift: int
    mix: tuple[Array, ...]
    mix_shift: int
    swiglu: tuple[Array, ...]
    swiglu_shift: int
    logit_scale: float


def quantise(model: LlamaCheckpoint, scales: Scales, seen: Mapping[str, Array], recipe: Recipe) -> IntegerLlama:
    """Integers for a checkpoint with static scales."""
    cfg, blocks = model.config, scales.blocks
    group, hd = cfg.heads // cfg.kv_heads, cfg.head_dim
    turn = 2.0**-TURN_BITS
    inputs = {
        "wq": "attn_in", "wk": "attn_in", "wv": "attn_in", "wo": "attention", "gate": "ffn_in", "up": "ffn_in",
        "down": "swiglu",
    }  # fmt: skip
    results = {
        "wq": [np.repeat(b.q, hd) * turn for b in blocks], "wk": [np.repeat(b.k, hd) * turn for b in blocks],
        "wv": [np.repeat(b.v, hd) for b in blocks], "gate": [np.array(b.gate) for b in blocks],
        "up": [np.array(b.up) for b in blocks],
    }  # fmt: skip
    residual = [np.array(scales.residual)] * cfg.layers

    @cache
    def moments(site: str) -> Moments:
        return Moments.seen(seen[site])

    def site(name: str) -> Site:
        ratios = []
        for i, block in enumerate(blocks):
            tensor = f"blocks.{i}.{name}"
            bits, w = recipe.bits(tensor), model[tensor]
            known = moments(f"blocks.{i}.{inputs[name]}") if bits == 4 else None
            size = group_size(*w.shape) if recipe.tied_rows and name in NARROW else 1
            x_step = getattr(block, inputs[name])
            ratios.append(row_ratios(w, x_step, results.get(name, residual)[i], bits, size, known))
        return Site(quantise_matrices(ratios))

    matrices = {name: site(name) for name in inputs}
    gains = [model[f"blocks.{i}.norm_{part}"] for part in ("attn", "ffn") for i in range(cfg.layers)]
    steps = [getattr(b, f"{part}_in") for part in ("attn", "ffn") for b in blocks]
    norms, norm_shift = _common(
        [g.astype(np.float64) * np.sqrt(cfg.dim) / s for g, s in
         zip([*gains, model["norm_out"]], [*steps, scales.out_norm], strict=True)], 32767, 30, offset=-15,
    )  # fmt: skip
    score, score_shift = _common(
        [b.q * np.repeat(b.k, group) * hd**-0.5 * EXP_STEPS for b in blocks], _score_limit(hd), 31
    )
    mix, mix_shift = _common([np.repeat(b.v, group) / b.attention for b in blocks], _mix_limit(cfg.context), 28)
    gate = [_silu(np.arange(-128, 128) * b.gate) * b.up / b.swiglu for b in blocks]
    swiglu, swiglu_shift = _common(gate, 32767, 24)
    embed, head, logit_scale = _embedding(model, scales)
    layers = cfg.layers
    return IntegerLlama(
        model.name, cfg, embed, head, matrices,
        tuple(n.astype(np.int16) for n in norms[:layers]),
        tuple(n.astype(np.int16) for n in norms[layers:-1]), norms[-1].astype(np.int16), norm_shift,
        max(1, round(cfg.dim * cfg.eps / scales.residual**2)),
        tuple(s.astype(np.int32) for s in score), score_shift, tuple(m.astype(np.int32) for m in mix), mix_shift,
        tuple(t.astype(np.int16) for t in swiglu), swiglu_shift, logit_scale,
    )  # fmt: skip


def _silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-np.maximum(x, -80))))


def _common(values: Sequence[Array], limit: int, top: int, offset: int = 0) -> tuple[list[Array], int]:
    """Integers v * 2^(shift + offset) within the limit, one shift <= top for all."""
    peak = max(float(np.abs(v).max()) for v in values)
    shift = int(np.clip(np.floor(np.log2(limit / max(peak, 1e-12))) - offset, 1, top))
    return [np.clip(np.rint(np.ldexp(v, shift + offset)), -limit, limit).astype(np.int64) for v in values], shift


def _score_limit(hd: int) -> int:
    """Greatest multiplier of a distance between scores whose product, rounded, is below 2^31."""
    return (1 << 30) // (2 * hd * 128 * 128) - 1


def _mix_limit(context: int) -> int:
    """Greatest `out` of an attention whose products fit 32 bits: 128 * (out + sum of p) < 2^30."""
    return (1 << 23) - 1 - PROBABILITY * context


def _embedding(model: LlamaCheckpoint, scales: Scales) -> tuple[Rows, Rows | None, float]:
    """Embedding, head (None where tied) and the scale of the logits.

    Rows have multipliers of one real unit; as embedding they are shifted into the residual stream, as head they are not
    shifted at all, so the logits are exact.
    """
    cfg = model.config
    ((embed,),) = (quantise_matrices([row_ratios(model["embed"], 1.0, np.array(scales.residual), 8, 1, None)]),)
    if cfg.tied:
        unit = float(np.ldexp(scales.residual, -embed.shift))
        return embed, None, unit * scales.out_norm
    w = model["head"]
    unit = float(np.abs(w).max()) / 127 / 255 * scales.out_norm * (1 + 1e-9)
    ((head,),) = (quantise_matrices([row_ratios(w, scales.out_norm, np.array(unit), 8, 1, None)], shift=0),)
    return embed, head, unit


def exponentials() -> Array:
    """[256] u8: 255 e^-i/EXP_STEPS, but for the last, which takes all that is further away and rounds to zero."""
    return np.asarray(np.rint(PROBABILITY * np.exp(-np.arange(256) / EXP_STEPS)), np.uint8)


def graph(m: IntegerLlama, chunk: int, *, all_logits: bool = False) -> Graph:
    """Forward pass of n <= chunk tokens at pos; logits [1, vocab] i32 of the last one, or [n, vocab]."""
    cfg = m.config
    n, pos = Sym("n", chunk, 1), Sym("pos", cfg.context - 1, cfg.context // 2)
    b = Builder(m.name)
    rope = const("rope", np.rint(rope_table(cfg.context, cfg.head_dim, cfg.rope_theta) * 2**ROPE_BITS).astype(np.int16))
    exp = const("exp", exponentials())
    halves: dict[int, Value] = {}

    def rounding(shift: int) -> Value:
        if shift not in halves:
            halves[shift] = const(f"half{shift}", np.array([half(shift)], np.int32))
        return halves[shift]

    def weights(rows: Rows, name: str) -> tuple[Value, Value]:
        block, dot, last = name.rpartition(".")
        label = f"{block}{dot}w_{last}" if last in ("gate", "up", "down") else name
        return const(label, rows.weights, I4 if rows.bits == 4 else I8), const(f"{label}_mul", rows.mul)

    embed, embed_mul = weights(m.embed, "embed")
    tokens = b.input("tokens", TensorType((n,), I32))
    x = b(QuantisedEmbed(m.embed.shift), tokens, embed, embed_mul, name="x")
    norm = QuantisedRMSNorm(m.norm_shift, m.eps)
    turn = ROPE_BITS + TURN_BITS
    for i in range(cfg.layers):

        def node(op: Op, *operands: Value, name: str, at: str = f"blocks.{i}.", origin: str = "") -> Value:
            return b(op, *operands, name=at + name, origin=origin)

        def matrix(name: str, i: int = i) -> tuple[Value, Value]:
            return weights(m.matrices[name].rows[i], f"blocks.{i}.{name}")

        def linear(x: Value, name: str, dtype: object = I8, at: str = f"blocks.{i}.") -> Value:
            shift = m.matrices[name].shift
            kind = I16 if dtype is I16 else I8
            w, mul = matrix(name)
            op = Linear(Requantise(shift, kind.low, kind.high, kind))
            (y,) = b.add(op, x, w, None, mul, rounding(shift), name=at + name.removeprefix("w"), origin=at + name)
            return y

        h = node(norm, x, const(f"blocks.{i}.norm_attn", m.norm_attn[i]), name="attn_in")
        q = node(QuantisedRoPE(cfg.heads, turn, pos), linear(h, "wq", I16), rope, name="q_turned")
        k = node(QuantisedRoPE(cfg.kv_heads, turn, pos), linear(h, "wk", I16), rope, name="k_turned")
        v = linear(h, "wv")
        cache = TensorType((cfg.context, cfg.kv_heads * cfg.head_dim), I8)
        keys = node(Append(pos), b.state(f"blocks.{i}.k_cache", cache), k, name="k_append")
        values = node(Append(pos), b.state(f"blocks.{i}.v_cache", cache), v, name="v_append")
        attention = QuantisedAttention(cfg.heads, cfg.kv_heads, m.score_shift, m.mix_shift, pos)
        score, mix = const(f"blocks.{i}.score_mul", m.score[i]), const(f"blocks.{i}.mix_mul", m.mix[i])
        a = node(attention, q, keys, values, score, mix, exp, name="attention")
        w, mul = matrix("wo")
        x = node(LinearAdd(m.matrices["wo"].shift), a, w, x, mul, name="after_attn", origin=f"blocks.{i}.wo")
        h = node(norm, x, const(f"blocks.{i}.norm_ffn", m.norm_ffn[i]), name="ffn_in")
        table = const(f"blocks.{i}.silu", m.swiglu[i])
        g = node(QuantisedSwiGLU(m.swiglu_shift), linear(h, "gate"), linear(h, "up"), table, name="swiglu")
        w, mul = matrix("down")
        x = node(LinearAdd(m.matrices["down"].shift), g, w, x, mul, name="after_ffn", origin=f"blocks.{i}.down")
    if not all_logits:
        x = b(Row(n - 1), x, name="last")
    x = b(norm, x, const("norm_out", m.norm_out), name="out_norm")
    w, mul = (embed, embed_mul) if m.head is None else weights(m.head, "head")
    (logits,) = b.add(Linear(Requantise(0, I32.low, I32.high, I32)), x, w, None, mul, rounding(0), name="logits")
    return b.finish((logits,), (n, pos))
