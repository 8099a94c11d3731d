"""Random integer networks: chains and joins of convolutions, pools, products, elementwise operators and views."""

from __future__ import annotations

import numpy as np

from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import I8, U8, Array, DType, TensorType, Value, const
from tilewright.ops import (
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Linear,
    MaxPool2D,
    QuantizedAdd,
    Requant,
    Requantise,
    Reshape,
    Slice,
    Transpose,
)  # fmt: skip

SHIFT = 12


class Growth:
    """A graph that grows by one random node after another. `open` are values that a later node may read."""

    def __init__(self, seed: int, most: int) -> None:
        self.rng, self.b, self.most = np.random.default_rng(seed), Builder("run"), most
        self.open: list[Value] = []

    def number(self, low: int, high: int) -> int:
        """One of low .. high."""
        return int(self.rng.integers(low, high, endpoint=True))

    def any(self) -> Value:
        """An open value, the latest more often than others."""
        return self.open[-1 - min(self.number(0, len(self.open) - 1), self.number(0, len(self.open) - 1))]

    def weights(self, shape: tuple[int, ...]) -> Value:
        return const(self.b.unique("w"), self.rng.integers(-128, 128, shape, np.int8))

    def scales(self, channels: int) -> tuple[Value, Value]:
        """Multipliers and addends, one or one per channel."""
        count = channels if self.number(0, 1) else 1
        mul = self.rng.integers(1, 200, count, np.int32)
        add = self.rng.integers(-(1 << SHIFT), 1 << SHIFT, count, np.int32)
        return const(self.b.unique("mul"), mul), const(self.b.unique("add"), add)

    def epilogue(self) -> Requantise:
        return Requantise(SHIFT, -128, 127, I8) if self.number(0, 1) else Requantise(SHIFT, 0, 255, U8)

    def image(self, x: Value) -> Value:
        """The value as [1, h, w, c]."""
        shape = x.type.static_shape
        if len(shape) == 4:
            return x
        size = int(np.prod(shape))
        c = next(d for d in (6, 5, 4, 3, 2, 1) if size % d == 0)
        h = next(d for d in (8, 6, 5, 4, 3, 2, 1) if size // c % d == 0)
        return self.b(Reshape((1, h, size // c // h, c)), x)

    def grow(self) -> None:
        x = self.any()
        kind = self.rng.choice(["conv", "depthwise", "pool", "linear", "add", "requant", "concat", "move", "view"])
        y = getattr(self, f"_{kind}")(x)
        if y.type.size <= self.most:
            self.open.append(y)
        else:
            self.open.append(self._part(y))

    def _conv(self, x: Value) -> Value:
        x = self.image(x)
        _, h, w, c = x.type.static_shape
        ky, kx = self.number(1, min(3, h)), self.number(1, min(3, w))
        co = self.number(1, 20)
        pad = (ky // 2, kx // 2, self.number(0, ky // 2), self.number(0, kx // 2))
        op = Conv2D((self.number(1, 2), self.number(1, 2)), pad, (1, 1), self.number(0, 3), self.epilogue())
        return self.b(op, x, self.weights((co, ky, kx, c)), None, *self.scales(co))

    def _depthwise(self, x: Value) -> Value:
        x = self.image(x)
        _, h, w, c = x.type.static_shape
        ky, kx = self.number(1, min(3, h)), self.number(1, min(3, w))
        op = DepthwiseConv2D((1, self.number(1, 2)), (ky // 2, kx // 2) * 2, (1, 1), 0, self.epilogue())
        return self.b(op, x, self.weights((ky, kx, c)), None, *self.scales(c))

    def _pool(self, x: Value) -> Value:
        x = self.image(x)
        _, h, w, _ = x.type.static_shape
        kernel = self.number(1, min(3, h)), self.number(1, min(3, w))
        return self.b(MaxPool2D(kernel, (self.number(1, 2), self.number(1, 2))), x)

    def _linear(self, x: Value) -> Value:
        rows = self.number(1, 40)
        return self.b(
            Linear(self.epilogue()), x, self.weights((rows, x.type.static_shape[-1])), None, *self.scales(rows)
        )

    def _add(self, x: Value) -> Value:
        same = [v for v in self.open if v.type.shape == x.type.shape]
        other = same[self.number(0, len(same) - 1)]
        return self.b(QuantizedAdd(self.number(-9, 9), self.number(1, 9), self.number(-50, 50), 3), x, other)

    def _requant(self, x: Value) -> Value:
        dtype: DType = U8 if self.number(0, 1) else I8
        return self.b(Requant(SHIFT, dtype.low, dtype.high, -1, dtype), x, *self.scales(x.type.static_shape[-1]))

    def _concat(self, x: Value) -> Value:
        shape = x.type.static_shape
        axis = self.number(0, len(shape) - 1)
        fits = [
            v for v in self.open
            if v.type.dtype == x.type.dtype and v.type.rank == len(shape)
            and all(i == axis or a == b for i, (a, b) in enumerate(zip(v.type.static_shape, shape, strict=True)))
        ]  # fmt: skip
        return self.b(Concat(axis), x, fits[self.number(0, len(fits) - 1)])

    def _move(self, x: Value) -> Value:
        return self.b(Transpose(tuple(int(i) for i in self.rng.permutation(x.type.rank))), x)

    def _view(self, x: Value) -> Value:
        shape = x.type.static_shape
        return self.b(Reshape((int(np.prod(shape[:-1])), shape[-1]) if len(shape) > 2 else (1, *shape)), x)

    def _part(self, x: Value) -> Value:
        """Some of the value: at most as much as values may have."""
        shape = list(x.type.static_shape)
        while np.prod(shape) > self.most:
            axis = int(np.argmax(shape))
            shape[axis] = -(-shape[axis] // 2)
        start = tuple(full - some for full, some in zip(x.type.static_shape, shape, strict=True))
        return self.b(Slice(start, tuple(1 for _ in shape), tuple(shape)), x)


def random_graph(seed: int, nodes: int = 8, most: int = 3000) -> Graph:
    """One to three inputs, one to three outputs, all int8 and uint8 values; no value has more than `most` elements."""
    g = Growth(seed, most)
    for i in range(g.number(1, 3)):
        rank4 = g.number(0, 2)
        shape = (1, g.number(3, 14), g.number(3, 14), g.number(1, 9)) if rank4 else (g.number(1, 20), g.number(1, 60))
        g.open.append(g.b.input(f"x{i}", TensorType(shape, U8 if g.number(0, 1) else I8)))
    inputs = len(g.open)
    for _ in range(nodes):
        g.grow()
    made = g.open[inputs:]
    count = min(len(made), g.number(1, 3))
    picks = sorted({len(made) - 1, *(g.number(0, len(made) - 1) for _ in range(count - 1))})
    return g.b.finish(tuple(made[i] for i in picks))


def random_inputs(graph: Graph, seed: int) -> dict[str, Array]:
    """Every byte value."""
    rng = np.random.default_rng(seed)
    return {
        v.name: rng.integers(
            v.type.dtype.low, v.type.dtype.high, v.type.static_shape, v.type.dtype.numpy, endpoint=True
        )
        for v in graph.inputs
    }
