"""Random small llamas, and the files that hold them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tilewright.frontend.checkpoint import LlamaCheckpoint, LlamaConfig, Weights

KINDS = ("norm_attn", "wq", "wk", "wv", "wo", "norm_ffn", "gate", "down", "up")
STORED = {
    "norm_attn": "input_layernorm", "wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj", "norm_ffn": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}  # fmt: skip

SMALL = LlamaConfig(8, 12, 2, 2, 1, 4, 300, 16, 10000.0, 1e-5, tied=True)


@st.composite
def configs(draw: st.DrawFn) -> LlamaConfig:
    kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    head_dim = 2 * draw(st.integers(1, 4))
    heads = kv_heads * group
    hidden, layers, vocab, context = (draw(st.integers(1, limit)) for limit in (23, 3, 40, 40))
    tied = draw(st.booleans())
    return LlamaConfig(heads * head_dim, hidden, layers, heads, kv_heads, head_dim, vocab, context, 1e4, 1e-5, tied)


def random_checkpoint(config: LlamaConfig, seed: int = 0) -> LlamaCheckpoint:
    rng = np.random.default_rng(seed)
    tensors = {
        name: (rng.standard_normal(shape) * shape[-1] ** -0.5 if len(shape) > 1 else 1 + rng.random(shape) / 4)
        for name, shape in config.shapes().items()
    }
    return LlamaCheckpoint("random", config, {name: array.astype(np.float32) for name, array in tensors.items()})


def llama2c_bytes(checkpoint: LlamaCheckpoint) -> bytes:
    """A version 0 .bin; the RoPE tables, which readers skip, hold noise."""
    c = checkpoint.config
    vocab = c.vocab if c.tied else -c.vocab
    head = struct.pack("<7i", c.dim, c.hidden, c.layers, c.heads, c.kv_heads, vocab, c.context)
    order = ["embed", *(f"blocks.{i}.{kind}" for kind in KINDS for i in range(c.layers)), "norm_out"]
    weights = b"".join(checkpoint[name].astype("<f4").tobytes() for name in order)
    tables = np.random.default_rng(1).standard_normal(c.context * c.head_dim).astype("<f4").tobytes()
    return head + weights + tables + (b"" if c.tied else checkpoint["head"].astype("<f4").tobytes())


def halves(weight: Weights, heads: int) -> Weights:
    """Rows of q or k in Hugging Face's order: row 2i of a head goes to i, row 2i + 1 to i + hd/2."""
    size = len(weight) // heads
    order = [h * size + 2 * i + odd for h in range(heads) for odd in (0, 1) for i in range(size // 2)]
    return np.ascontiguousarray(weight[order])


def stored(checkpoint: LlamaCheckpoint) -> dict[str, Weights]:
    """Tensors under Hugging Face's names and in its order of rows."""
    c = checkpoint.config
    tensors = {"model.embed_tokens.weight": checkpoint["embed"], "model.norm.weight": checkpoint["norm_out"]}
    if not c.tied:
        tensors["lm_head.weight"] = checkpoint["head"]
    for i in range(c.layers):
        for kind, name in STORED.items():
            array = checkpoint[f"blocks.{i}.{kind}"]
            heads = {"wq": c.heads, "wk": c.kv_heads}.get(kind)
            tensors[f"model.layers.{i}.{name}.weight"] = halves(array, heads) if heads else array
    return tensors


def config_json(c: LlamaConfig) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": c.dim,
        "intermediate_size": c.hidden, "num_hidden_layers": c.layers, "num_attention_heads": c.heads,
        "num_key_value_heads": c.kv_heads, "head_dim": c.head_dim, "vocab_size": c.vocab,
        "max_position_embeddings": c.context, "rms_norm_eps": c.eps, "rope_theta": c.rope_theta,
        "tie_word_embeddings": c.tied, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip


def write_folder(folder: Path, checkpoint: LlamaCheckpoint, changes: Mapping[str, object] | None = None) -> Path:
    """A Hugging Face folder without tokenizer; `changes` to config.json, None removes a member."""
    folder.mkdir(exist_ok=True)
    config = config_json(checkpoint.config) | dict(changes or {})
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    save_file(stored(checkpoint), folder / "model.safetensors")
    return folder


def with_head_dim(config: LlamaConfig, head_dim: int) -> LlamaConfig:
    """Heads that do not add up to dim, as some Hugging Face models have them."""
    return replace(config, head_dim=head_dim)
