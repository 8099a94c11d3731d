"""The bundled model in PyTorch: a llama with all blocks' matrices stacked, so that the optimiser works in batches."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    dim: int = 64
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    hidden: int = 256
    vocab: int = 512
    context: int = 256
    eps: float = 1e-5
    theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


def norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE on halves, the convention of Hugging Face. x: [batch, heads, time, head_dim]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Llama(nn.Module):
    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.cfg = cfg
        d, kv, ff, n = cfg.dim, cfg.kv_heads * cfg.head_dim, cfg.hidden, cfg.layers

        def matrix(out: int, into: int, scale: float = 1.0) -> nn.Parameter:
            return nn.Parameter(torch.randn(n, out, into) * scale * into**-0.5)

        self.embed = nn.Parameter(torch.randn(cfg.vocab, d) * 0.05)
        self.q, self.k, self.v = matrix(d, d), matrix(kv, d), matrix(kv, d)
        self.o = matrix(d, d, 0.1)
        self.gate, self.up = matrix(ff, d), matrix(ff, d)
        self.down = matrix(d, ff, 0.1)
        self.norm_attn = nn.Parameter(torch.ones(n, d))
        self.norm_ffn = nn.Parameter(torch.ones(n, d))
        self.norm_out = nn.Parameter(torch.ones(d))
        freq = cfg.theta ** (-torch.arange(0, cfg.head_dim, 2).float() / cfg.head_dim)
        angle = torch.outer(torch.arange(cfg.context).float(), freq)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def matrices(self) -> list[nn.Parameter]:
        return [self.q, self.k, self.v, self.o, self.gate, self.up, self.down]

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: [batch, time] -> logits [batch, time, vocab]."""
        cfg = self.cfg
        batch, time = tokens.shape
        cos, sin = self.cos[:time], self.sin[:time]
        x = F.embedding(tokens, self.embed)

        def heads(y: Tensor, count: int) -> Tensor:
            return y.view(batch, time, count, cfg.head_dim).transpose(1, 2)

        for i in range(cfg.layers):
            h = norm(x, self.norm_attn[i], cfg.eps)
            q = rotate(heads(F.linear(h, self.q[i]), cfg.heads), cos, sin)
            k = rotate(heads(F.linear(h, self.k[i]), cfg.kv_heads), cos, sin)
            v = heads(F.linear(h, self.v[i]), cfg.kv_heads)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + F.linear(a.transpose(1, 2).reshape(batch, time, cfg.dim), self.o[i])
            h = norm(x, self.norm_ffn[i], cfg.eps)
            x = x + F.linear(F.silu(F.linear(h, self.gate[i])) * F.linear(h, self.up[i]), self.down[i])
        return F.linear(norm(x, self.norm_out, cfg.eps), self.embed)
