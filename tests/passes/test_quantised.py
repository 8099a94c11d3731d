"""Quantised networks: what stands between a Dequantize and a Quantize becomes an operator of integers."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, TensorType, Value, const
from tilewright.ops import Copy, Dequantize, Pad, Quantize, Reduce
from tilewright.passes.pipeline import apply
from tilewright.targets.registry import find

STEP = 0.02


def padded_mean(shape: tuple[int, ...], axes: tuple[int, ...]) -> Graph:
    """A border of zeros, and the mean over some axes, between values of 8 bits."""
    b = Builder("run")

    def stored(value: Value, scale: float, zero: int) -> Value:
        grid = [
            const(b.unique("scale"), np.array([scale], np.float32)),
            const(b.unique("zero"), np.array([zero], np.uint8)),
        ]
        return b(Dequantize(), b(Quantize(), value, *grid), *grid)

    x = stored(b.input("x", TensorType(shape, F32)), STEP, 101)
    borders = tuple(1 if i == 1 else 0 for i in range(len(shape)))
    x = stored(b(Pad(borders, borders, 0.0), x, name="padded"), STEP, 101)
    return b.finish((stored(b(Reduce("mean", axes), x, name="mean"), STEP / 4, 120),))


@pytest.mark.parametrize(
    ("shape", "axes"), [((1, 6, 5, 7), (2, 3)), ((1, 6, 5, 7), (1, 2)), ((3, 9), (1,)), ((4, 5, 6), (2,))]
)
@pytest.mark.parametrize("target", ["host", "siracusa"])
def test_borders_and_means_are_integers(shape: tuple[int, ...], axes: tuple[int, ...], target: str) -> None:
    graph = padded_mean(shape, axes)
    integer = apply(graph, find(target))
    between = [n for n in integer.nodes if not isinstance(n.op, (Quantize, Dequantize, Copy)) and not n.op.view]
    assert between
    assert not any(v.type.dtype.is_float for n in between for v in n.outputs)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (wanted,), (got,) = (list(run(g, {"x": x}).values()) for g in (graph, integer))
    assert np.abs(wanted - got).max() <= STEP / 4 * 1.01
