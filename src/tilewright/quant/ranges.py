"""What the values of a float network look like on calibration samples, and the 8-bit grids that cost them least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..interp.graph import evaluate
from ..ir.graph import Graph
from ..ir.types import F32, I8, U8, Array, DType, Value

Samples = Sequence[Mapping[str, Array]]
"""Inputs of the network by name, one mapping per sample."""

RATIOS = np.linspace(0.3, 1.0, 36)
"""Clipping thresholds that are tried, as shares of the greatest magnitude."""

KEPT = 1 << 16
"""Elements of a value that are kept for the search, over all samples; the peak is that of all elements."""


@dataclass(frozen=True)
class Grid:
    """real = scale * stored for stored of an 8-bit type; the zero point is 0, so that kernels see plain products."""

    scale: float
    dtype: DType

    @property
    def array(self) -> Array:
        """The scale as the operators take it: f32[1]."""
        return np.array([self.scale], np.float32)

    def stored(self, real: Array) -> Array:
        """Integers for reals, ties to even, saturated: what `Quantize` gives."""
        scaled = np.rint(np.asarray(real, np.float32) / np.float32(self.scale))
        return np.asarray(np.clip(scaled, self.dtype.low, self.dtype.high).astype(self.dtype.numpy))

    def rounded(self, real: Array) -> Array:
        """Reals on the grid, f32."""
        return np.asarray(self.stored(real).astype(np.float32) * np.float32(self.scale))

    def coarser(self, scale: float) -> Grid:
        """The same grid with another step."""
        return Grid(float(np.float32(scale)), self.dtype)


@dataclass
class Range:
    """What calibration saw of one value: extremes, and a part of its elements."""

    low: float = 0.0
    high: float = 0.0
    parts: list[Array] = field(default_factory=list)

    def see(self, array: Array, share: int, rng: np.random.Generator) -> None:
        """Take in one sample's elements, at most `share` of them."""
        flat = array.reshape(-1)
        if flat.size:
            self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self.parts.append(flat if flat.size <= share else flat[rng.integers(0, flat.size, share)])

    @property
    def peak(self) -> float:
        return max(-self.low, self.high)

    @property
    def elements(self) -> Array:
        return np.concatenate(self.parts) if self.parts else np.zeros(0, np.float32)


def joint(ranges: Sequence[Range]) -> Range:
    """One range for values that share a grid."""
    parts = [part for r in ranges for part in r.parts]
    return Range(min(r.low for r in ranges), max(r.high for r in ranges), parts)


def observe(graph: Graph, samples: Samples, seed: int = 0) -> dict[Value, Range]:
    """Ranges of all float values that are not constant, over the samples."""
    rng = np.random.default_rng(seed)
    share = max(1, KEPT // max(1, len(samples)))
    ranges: dict[Value, Range] = {}
    for sample in samples:
        held: dict[Value, Array] = {v: np.asarray(sample[v.name], v.type.dtype.numpy) for v in graph.inputs}
        for value in graph.values:
            if value.data is not None:
                held[value] = value.data
        for node in graph.nodes:
            held |= zip(node.outputs, evaluate(node, [held[v] if v else None for v in node.inputs], {}), strict=True)
        for value, array in held.items():
            if value.data is None and value.type.dtype == F32:
                ranges.setdefault(value, Range()).see(array, share, rng)
    return ranges


def best_grid(seen: Range, *, unsigned: bool) -> Grid:
    """The 8-bit grid with the least squared error on what was seen: symmetric signed, or unsigned from zero."""
    dtype, top = (U8, 255) if unsigned else (I8, 127)
    if seen.peak == 0.0:
        return Grid(float(np.float32(1.0 / top)), dtype)
    x, best = seen.elements.astype(np.float32), (np.inf, seen.peak / top)
    for ratio in RATIOS:
        step = np.float32(seen.peak * ratio / top)
        error = np.clip(np.rint(x / step), dtype.low, top) * step - x
        best = min(best, (float(np.dot(error, error)), float(step)))
    return Grid(max(best[1], 1e-30), dtype)
