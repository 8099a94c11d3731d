"""A llama as a graph: the forward pass of one chunk of tokens, over a cache that is state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir.graph import Builder, Graph
from ..ir.op import Op
from ..ir.types import F32, I32, Sym, TensorType, Value, const
from ..ops import Add, Append, Attention, Embed, Linear, RMSNorm, RoPE, Row, SwiGLU
from ..ops.rope import rope_table
from .checkpoint import LlamaCheckpoint


def entries(model: LlamaCheckpoint, chunk: int) -> tuple[Graph, Graph]:
    """`prefill` of up to `chunk` tokens, and `decode` of one: the same graph, with the same weights and state."""
    return prefill_and_decode(graph(model, chunk))


def prefill_and_decode(whole: Graph) -> tuple[Graph, Graph]:
    """The entries of a forward pass: usually as many of a text's first tokens as there can be, and one further on."""
    n, pos = (next(sym for sym in whole.syms if sym.name == name) for name in ("n", "pos"))
    first = {"n": replace(n, nominal=n.max), "pos": replace(pos, nominal=0)}
    return whole.specialise("prefill", first), whole.specialise("decode", {"n": 1})


def graph(model: LlamaCheckpoint, chunk: int, *, all_logits: bool = False) -> Graph:
    """Forward pass of n <= chunk tokens at positions pos .. pos + n - 1; logits [1, vocab] of the last one.

    The caller keeps pos + n within the context. With `all_logits` the logits are [n, vocab]. Decode is this graph
    with n = 1 (`Graph.specialise`).
    """
    cfg = model.config
    n, pos = Sym("n", chunk, 1), Sym("pos", cfg.context - 1, cfg.context // 2)
    b = Builder(model.name)
    kv = cfg.kv_heads * cfg.head_dim
    constants: dict[str, Value] = {}

    def weight(name: str) -> Value:
        if name not in constants:
            block, dot, last = name.rpartition(".")
            label = f"{block}{dot}w_{last}" if last in ("gate", "up", "down") else name
            constants[name] = const(label, model.tensors[name])
        return constants[name]

    rope = const("rope", np.asarray(rope_table(cfg.context, cfg.head_dim, cfg.rope_theta)))
    tokens = b.input("tokens", TensorType((n,), I32))
    x = b(Embed(), tokens, weight("embed"), name="x")
    for i in range(cfg.layers):

        def node(op: Op, *operands: Value, name: str, at: str = f"blocks.{i}.") -> Value:
            return b(op, *operands, name=at + name)

        def linear(operand: Value, name: str, at: str = f"blocks.{i}.") -> Value:
            return b(Linear(), operand, weight(at + name), name=at + name.removeprefix("w"), origin=at + name)

        h = node(RMSNorm(cfg.eps), x, weight(f"blocks.{i}.norm_attn"), name="attn_in")
        q = node(RoPE(cfg.heads, pos), linear(h, "wq"), rope, name="q_turned")
        k = node(RoPE(cfg.kv_heads, pos), linear(h, "wk"), rope, name="k_turned")
        v = linear(h, "wv")
        cache = TensorType((cfg.context, kv), F32)
        keys = node(Append(pos), b.state(f"blocks.{i}.k_cache", cache), k, name="k_append")
        values = node(Append(pos), b.state(f"blocks.{i}.v_cache", cache), v, name="v_append")
        a = node(Attention(cfg.heads, cfg.kv_heads, cfg.head_dim**-0.5, pos), q, keys, values, name="attention")
        x = node(Add(), x, linear(a, "wo"), name="after_attn")
        h = node(RMSNorm(cfg.eps), x, weight(f"blocks.{i}.norm_ffn"), name="ffn_in")
        g = node(SwiGLU(), linear(h, "gate"), linear(h, "up"), name="swiglu")
        x = node(Add(), x, linear(g, "down"), name="after_ffn")
    if not all_logits:
        x = b(Row(n - 1), x, name="last")
    x = b(RMSNorm(cfg.eps), x, weight("norm_out"), name="out_norm")
    logits = b(Linear(), x, weight("embed" if cfg.tied else "head"), name="logits")
    return b.finish((logits,), (n, pos))
