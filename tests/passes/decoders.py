"""Random networks like QuantLib's decoders: attention over caches, a gate, random requantisations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import I8, I32, Array, TensorType, Value, const
from tilewright.ops import (
    Binary,
    Concat,
    Expand,
    IntegerHardswish,
    IntegerRMSNorm,
    IntegerSoftmax,
    Linear,
    MatMul,
    Requant,
    Reshape,
    Transpose,
)  # fmt: skip

IDENTITY = 65536


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder: `past` cached positions, `tokens` new ones."""

    blocks: int = 2
    heads: int = 3
    group: int = 1  # query heads that share a head of the cache
    head: int = 4
    past: int = 5
    tokens: int = 1
    hidden: int = 10
    masked: bool = True
    identities: bool = False  # whether requantisations without effect stand between operators
    biased: bool = True

    @property
    def width(self) -> int:
        return self.heads * self.head

    @property
    def positions(self) -> int:
        return self.past + self.tokens


class Decoder:
    """Builds one; the numbers come from a seed."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self.shape, self.rng, self.b = shape, np.random.default_rng(seed), Builder("decoder")
        self.outputs: list[Value] = []

    def number(self, value: object) -> Value:
        return const(self.b.unique("c"), np.asarray(value, np.int32))

    def requant(self, x: Value, mul: int) -> Value:
        return self.b(Requant(16), x, self.number([mul]), self.number([1 << 15]))

    def any_requant(self, x: Value) -> Value:
        """A requantisation of 8 bits that changes something, or one that does not."""
        same = self.shape.identities and self.rng.random() < 0.5
        return self.requant(x, IDENTITY if same else int(self.rng.integers(20_000, 90_000)))

    def linear(self, x: Value, rows: int) -> Value:
        cols = x.type.static_shape[-1]
        w = const(self.b.unique("w"), self.rng.integers(-128, 128, (rows, cols)).astype(np.int8))
        y = self.b(Linear(), x, w)
        if self.shape.biased:
            y = self.b(Binary("add", I32), y, self.number(self.rng.integers(-500, 500, rows)))
        return self.requant(y, int(65536 * self.rng.uniform(0.3, 2) / (80 * np.sqrt(cols))))

    def heads_first(self, x: Value, heads: int, turn: Value | None) -> Value:
        s = self.shape
        y = self.b(Reshape((1, s.tokens, heads, s.head)), x)
        if turn is not None:
            y = self.requant(self.b(MatMul(), y, turn), int(self.rng.integers(400, 600)))
        return self.b(Transpose((0, 2, 1, 3)), y)

    def cache(self, x: Value, name: str) -> tuple[Value, Value]:
        """New rows behind the cached ones, for all query heads; and the whole, which is an output."""
        s, kv = self.shape, self.shape.heads // self.shape.group
        whole = self.any_requant(x)
        if s.past:
            old = self.b.input(name, TensorType((1, kv, s.past, s.head), I8))
            whole = self.b(Concat(2), old, whole)
        self.outputs.append(whole)
        if s.group == 1:
            return whole, whole
        wide = self.b(Reshape((1, kv, 1, s.positions, s.head)), whole)
        wide = self.b(Expand((1, kv, s.group, s.positions, s.head)), wide)
        return self.b(Reshape((1, s.heads, s.positions, s.head)), wide), whole

    def attention(self, x: Value, turn: Value, mask: Value | None, block: int) -> Value:
        s, kv = self.shape, self.shape.heads // self.shape.group
        q = self.heads_first(self.linear(x, s.width), s.heads, turn)
        k = self.cache(self.heads_first(self.linear(x, kv * s.head), kv, turn), f"k{block}")[0]
        v = self.cache(self.heads_first(self.linear(x, kv * s.head), kv, None), f"v{block}")[0]
        scores = self.b(MatMul(), q, self.b(Transpose((0, 1, 3, 2)), k))
        scores = self.requant(scores, int(self.rng.integers(200, 900)))
        scores = self.requant(self.b(Binary("mul", I32), scores, self.number(8191)), int(self.rng.integers(2, 9)))
        if mask is not None:
            hidden = self.requant(mask, int(self.rng.choice([4_171_896, 30_000])))
            scores = self.any_requant(self.b(Binary("add", I32), scores, hidden))
        log2 = int(self.rng.integers(5, 70))
        p = self.b(IntegerSoftmax(1, log2 + 20, log2 * log2, log2, 256), scores)
        p = self.requant(p, int(self.rng.integers(50_000, 90_000)))
        y = self.requant(self.b(MatMul(), p, v), int(self.rng.integers(200, 900)))
        y = self.b(Reshape((1, s.tokens, s.width)), self.b(Transpose((0, 2, 1, 3)), y))
        return self.linear(y, s.width)

    def gate(self, x: Value) -> Value:
        gate, up = self.linear(x, self.shape.hidden), self.linear(x, self.shape.hidden)
        gate = self.requant(self.b(IntegerHardswish(42, 122, 244), gate), int(self.rng.integers(20, 60)))
        product = self.requant(self.b(Binary("mul", I32), gate, up), int(self.rng.integers(400, 900)))
        return self.linear(product, self.shape.width)

    def residual(self, x: Value, y: Value) -> Value:
        return self.any_requant(self.b(Binary("add", I32), self.any_requant(x), y))

    def norm(self, x: Value) -> Value:
        return self.b(IntegerRMSNorm(16), x, self.number(np.full(self.shape.width, self.rng.integers(3e6, 4e6))))

    def graph(self) -> Graph:
        s, b = self.shape, self.b
        x = b.input("x", TensorType((1, s.tokens, s.width), I8))
        mask_shape = (s.positions,) if s.tokens == 1 else (1, s.tokens, s.positions)
        mask = b.input("mask", TensorType(mask_shape, I8)) if s.masked else None
        turn = b.input("turn", TensorType((1, s.tokens, s.head, s.head), I8))
        for block in range(s.blocks):
            x = self.residual(x, self.attention(self.norm(x), turn, mask, block))
            x = self.residual(x, self.gate(self.norm(x)))
        return b.finish((self.norm(x), *self.outputs))


def random_inputs(graph: Graph, seed: int) -> dict[str, Array]:
    """Numbers over all of i8; half of the mask is 0."""
    rng = np.random.default_rng(seed)
    given = {v.name: rng.integers(-128, 128, v.type.static_shape).astype(np.int8) for v in graph.inputs}
    if "mask" in given:
        given["mask"] *= rng.random(given["mask"].shape) < 0.5
    return given
