"""The numpy forward pass against the definition of Hugging Face's llama, and against published text and loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.errors import UserError
from tilewright.frontend.checkpoint import LlamaCheckpoint, LlamaConfig
from tilewright.frontend.llm import load_model
from tilewright.lm.evaluate import evaluate, split_stories
from tilewright.lm.reference import Reference
from tilewright.lm.tokenizer import decode, encode

from .checkpoints import configs, random_checkpoint, stored

F64 = npt.NDArray[np.float64]


def half_split_llama(checkpoint: LlamaCheckpoint, tokens: list[int]) -> F64:
    """One position after the other in double precision, from the tensors and in the convention of Hugging Face."""
    c, w = checkpoint.config, {name: array.astype(np.float64) for name, array in stored(checkpoint).items()}
    keys: list[list[F64]] = [[] for _ in range(c.layers)]
    values: list[list[F64]] = [[] for _ in range(c.layers)]
    logits = []

    def norm(x: F64, name: str) -> F64:
        return np.asarray(w[name] * x / np.sqrt(np.mean(x**2) + c.eps))

    def turn(x: F64, position: int) -> F64:
        a, b = x[:, : c.head_dim // 2], x[:, c.head_dim // 2 :]
        angle = position / c.rope_theta ** (np.arange(c.head_dim // 2) * 2 / c.head_dim)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=1)

    for position, token in enumerate(tokens):
        x = w["model.embed_tokens.weight"][token]
        for i in range(c.layers):
            p = f"model.layers.{i}."
            h = norm(x, p + "input_layernorm.weight")
            q, k, v = ((w[f"{p}self_attn.{n}_proj.weight"] @ h).reshape(-1, c.head_dim) for n in "qkv")
            keys[i].append(turn(k, position))
            values[i].append(v)
            mixed = []
            for head, query in enumerate(turn(q, position)):
                kv = head // (c.heads // c.kv_heads)
                scores = np.array([query @ past[kv] for past in keys[i]]) / np.sqrt(c.head_dim)
                share = np.exp(scores - scores.max())
                mixed.append(sum(s * past[kv] for s, past in zip(share / share.sum(), values[i], strict=True)))
            x = x + w[p + "self_attn.o_proj.weight"] @ np.concatenate(mixed)
            h = norm(x, p + "post_attention_layernorm.weight")
            gate, up = w[p + "mlp.gate_proj.weight"] @ h, w[p + "mlp.up_proj.weight"] @ h
            x = x + w[p + "mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * up)
        head = w["model.embed_tokens.weight" if c.tied else "lm_head.weight"]
        logits.append(head @ norm(x, "model.norm.weight"))
    return np.array(logits)


@settings(max_examples=40, deadline=None)
@given(config=configs(), seed=st.integers(0, 999))
def test_definition(config: LlamaConfig, seed: int) -> None:
    checkpoint = random_checkpoint(config, seed)
    tokens = np.random.default_rng(seed).integers(0, config.vocab, min(config.context, 12)).astype(np.int32)
    (found,) = Reference(checkpoint).forward([tokens])
    expected = half_split_llama(checkpoint, tokens.tolist())
    assert (np.abs(found - expected) <= 1e-4 + 1e-4 * np.abs(expected)).all()


def test_long_sequences_and_company() -> None:
    """Longer than a block of queries; what stands beside or behind a token does not change its logits."""
    config = LlamaConfig(12, 16, 2, 3, 1, 4, 30, 200, 1e4, 1e-5, tied=True)
    checkpoint = random_checkpoint(config)
    long, short = (np.random.default_rng(n).integers(0, 30, n).astype(np.int32) for n in (150, 7))
    reference = Reference(checkpoint)
    together = list(reference([short, long, short[:1], long[:70]]))
    assert [len(rows) for rows in together] == [7, 150, 1, 70]
    np.testing.assert_allclose(together[1], half_split_llama(checkpoint, long.tolist()), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together[3], together[1][:70], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(together[0], reference.forward([short])[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="context of random is 200"):
        reference.forward([np.zeros(201, np.int32)])


def test_stories260k(shared: Path) -> None:
    """The text that llama2.c writes greedily, and the loss of the first 60 kB of the valid split."""
    checkpoint, vocabulary = load_model(shared / "llm" / "stories260K.bin")
    reference = Reference(checkpoint)
    text = decode(vocabulary, reference.greedy(encode(vocabulary, ""), 45)).decode()
    opening = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park"
    assert text.startswith(opening)
    stories = split_stories((shared / "text" / "tinystories_valid.txt").read_text(), 60_000)
    loss = evaluate(stories, vocabulary, checkpoint.config.context, reference)
    assert loss.nats_per_token == pytest.approx(1.31892, abs=5e-5)


@pytest.mark.full
def test_loss_of_stories260k_on_the_valid_split(shared: Path) -> None:
    checkpoint, vocabulary = load_model(shared / "llm" / "stories260K.bin")
    stories = split_stories((shared / "text" / "tinystories_valid.txt").read_text())
    loss = evaluate(stories, vocabulary, checkpoint.config.context, Reference(checkpoint))
    assert (loss.stories, loss.tokens, loss.bytes) == (3117, 1_116_681, 2_313_242)
    assert loss.nats_per_token == pytest.approx(1.30022, abs=5e-5)
    assert loss.bits_per_byte == pytest.approx(0.90552, abs=5e-5)
