"""Random convolutional networks, well-behaved: weights scaled to their depth, activations after most of them."""

from __future__ import annotations

import numpy as np

from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, Array, TensorType, Value, const
from tilewright.ops import (
    AveragePool2D,
    Binary,
    Clamp,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    Linear,
    MaxPool2D,
    Reduce,
    Reshape,
    Softmax,
    Transpose,
    Unary,
)  # fmt: skip

CLAMPS = (None, Clamp(0.0), Clamp(0.0), Clamp(0.0, 6.0))


class Network:
    """A graph that grows by one random block after another."""

    def __init__(self, seed: int) -> None:
        self.rng, self.b = np.random.default_rng(seed), Builder(f"random{seed}")

    def weights(self, name: str, shape: tuple[int, ...], depth: int) -> Value:
        spread = np.exp(self.rng.normal(0, 0.5, shape[0])).reshape(-1, *[1] * (len(shape) - 1))
        return const(self.b.unique(name), (self.rng.normal(0, 1.4 / np.sqrt(depth), shape) * spread).astype(np.float32))

    def bias(self, channels: int) -> Value:
        return const(self.b.unique("bias"), self.rng.normal(0, 0.2, channels).astype(np.float32))

    def conv(self, x: Value, channels: int, clamp: Clamp | None, stride: int = 1) -> Value:
        k, ci = int(self.rng.choice([1, 3])), x.type.static_shape[3]
        pad = (k // 2,) * 4
        w = self.weights("w", (channels, k, k, ci), k * k * ci)
        return self.b(Conv2D((stride, stride), pad, (1, 1), 0, clamp), x, w, self.bias(channels))

    def depthwise(self, x: Value, clamp: Clamp | None) -> Value:
        c = x.type.static_shape[3]
        w = const(self.b.unique("w"), self.rng.normal(0, 0.5, (3, 3, c)).astype(np.float32))
        return self.b(DepthwiseConv2D((1, 1), (1, 1, 1, 1), (1, 1), 0, clamp), x, w, self.bias(c))

    def block(self, x: Value, kind: str) -> Value:
        _, h, w, c = x.type.static_shape
        clamp = CLAMPS[self.rng.integers(len(CLAMPS))]
        match kind:
            case "conv":
                return self.conv(x, int(self.rng.integers(3, 12)), clamp)
            case "depthwise":
                return self.depthwise(x, clamp)
            case "residual":
                return self.b(Unary("relu"), self.b(Binary("add"), self.conv(x, c, None), x))
            case "gate":
                return self.b(Binary("mul"), self.b(Unary("sigmoid"), self.conv(x, c, None)), x)
            case "join":
                return self.b(Concat(3), self.conv(x, 4, Clamp(0.0)), self.conv(x, 3, clamp))
            case "max" if min(h, w) > 2:
                return self.b(MaxPool2D((2, 2), (2, 2)), x)
            case "average" if min(h, w) > 2:
                return self.b(AveragePool2D((2, 2), (2, 2)), x)
            case _:
                return self.conv(x, c, Clamp(0.0))


KINDS = ("conv", "depthwise", "residual", "gate", "join", "max", "average")


def random_network(seed: int, blocks: int = 5, *, softmax: bool = False) -> Graph:
    """An image [1, 3, h, w] to ten logits."""
    n = Network(seed)
    size = (1, 3, int(n.rng.integers(6, 11)), int(n.rng.integers(6, 11)))
    x = n.b(Transpose((0, 2, 3, 1)), n.b.input("image", TensorType(size, F32)))
    x = n.conv(x, 8, Clamp(0.0))
    for kind in n.rng.permutation(KINDS)[:blocks]:
        x = n.block(x, str(kind))
    x = n.b(Reduce("mean", (1, 2)), x) if n.rng.random() < 0.5 else n.b(AveragePool2D((2, 2), (2, 2)), x)
    width = x.type.size
    x = n.b(Reshape((1, width)), x)
    y = n.b(Linear(), x, n.weights("w", (10, width), width), n.bias(10), name="logits")
    return n.b.finish((n.b(Softmax(-1), y, name="shares"),) if softmax else (y,))


def random_inputs(graph: Graph, count: int, seed: int) -> list[dict[str, Array]]:
    """Standard normal images."""
    rng = np.random.default_rng(seed)
    return [{v.name: rng.standard_normal(v.type.static_shape, np.float32) for v in graph.inputs} for _ in range(count)]
