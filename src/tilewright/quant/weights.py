"""Weights as 8-bit integers, one scale per output channel, chosen together with the requantisation.

A scale may be anything, so it is chosen such that x scale * w scale / y scale = mul / 2^shift with a small integer mul:
the requantisation is exact then, fits an 8-bit multiplier, and its product with the sums stays within 32 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..ir.types import Array
from .ranges import Grid
from .requant import accumulator_range, fits32, half

TOP = 127
RATIOS = np.linspace(0.7, 1.0, 13)
"""Clipping thresholds of a channel that are tried, as shares of its greatest magnitude."""

MULTIPLIER_BITS = (8, 7, 6, 5)
"""Bits of the largest multiplier of a layer, tried in this order until the product fits 32 bits."""


@dataclass(frozen=True)
class Weights:
    """stored: int8 [channels, depth]; scale: f32 [channels]. `bits` of the multipliers, 0: 64-bit or none at all."""

    stored: Array
    scale: Array
    bits: int

    @property
    def real(self) -> Array:
        """The weights that the integers stand for, f32 [channels, depth]."""
        return np.asarray(self.stored.astype(np.float32) * self.scale[:, None])


def rounded(w: Array, scale: Array) -> Array:
    """int8 for weights [channels, depth] and scales [channels]."""
    return np.clip(np.rint(w / scale[:, None]), -TOP, TOP).astype(np.int8)


def _least_error(w: Array, candidates: Array) -> Array:
    """Of the scales [candidates, channels], the ones with the least squared error per channel."""
    errors = [((rounded(w, s).astype(np.float64) * s[:, None] - w) ** 2).sum(1) for s in candidates]
    return np.asarray(np.take_along_axis(candidates, np.argmin(errors, 0)[None], 0)[0])


def free_weights(w: Array) -> Weights:
    """For a layer whose sums are not requantised. w: [channels, depth]."""
    peak = np.maximum(np.abs(w).max(1, initial=0.0) / TOP, 1e-30)
    scale = np.asarray(_least_error(w, RATIOS[:, None] * peak), np.float32)
    return Weights(rounded(w, scale.astype(np.float64)), scale, 0)


def fitted_weights(w: Array, bias: Array, x: Grid, y: Grid) -> Weights:
    """For a layer from grid x to grid y. w: [channels, depth], bias: [channels], real.

    The first number of bits with which acc * mul + add provably fits 32 bits; free scales where none does.
    """
    peak = np.maximum(np.abs(w).max(1, initial=0.0) / TOP, 1e-30)
    factor = peak * (x.scale / y.scale)
    for bits in MULTIPLIER_BITS:
        shift = bits - 1 - math.floor(math.log2(float(factor.max())))
        top = np.ceil(np.ldexp(factor, shift))
        if top.max() >= 1 << bits:
            shift -= 1
            top = np.ceil(np.ldexp(factor, shift))
        if not 0 <= shift <= 40:
            break
        step = math.ldexp(y.scale / x.scale, -shift)
        scale = _least_error(w, np.maximum(1.0, np.rint(RATIOS[:, None] * top)) * step)
        stored = rounded(w, scale)
        mul = np.rint(scale / step).astype(np.int64)
        low, high = accumulator_range(stored, x.dtype.low, x.dtype.high)
        spare = 0.05 * np.abs(bias) / (scale * x.scale) + 2 * y.dtype.high / mul * 2.0**shift / 16  # for its correction
        margin = (np.abs(np.rint(bias / (scale * x.scale))) + spare).astype(np.int64)
        if fits32(low - margin, high + margin, mul, np.full(mul.shape, half(shift))):
            return Weights(stored, np.asarray(scale, np.float32), bits)
    return free_weights(w)


def snapped(grid: Grid, factor: float) -> Grid:
    """The grid with its step widened by at most 1/64, so that factor / scale is a multiplier of 8 bits and a shift.

    The multiplier is odd: an even one would make sums that lie halfway between two integers frequent, and rounding
    them all up would shift the mean.
    """
    ratio = factor / grid.scale
    shift = 7 - math.floor(math.log2(ratio))
    mul = math.floor(math.ldexp(ratio, shift))
    return grid.coarser(factor / math.ldexp(mul - 1 + mul % 2, -shift))
