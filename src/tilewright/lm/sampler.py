"""Choose the next token from integer logits, in integers: the twin of c/sampler.c and c/sampler_float.c, to the bit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .vocabulary import MAX_TOKENS

BINS: Final = 256
LOGIT_SCALE: Final = 1.0 / 65536
"""The scale of what `logits_to_int` gives."""
BINS_PER_NAT: Final = 23.083120654223414
"""16 / ln 2: sixteen bins to an octave of probability."""

WEIGHTS: Final = np.append(np.floor(65535 * np.exp2(-np.arange(BINS - 1) / 16) + 0.5), 0).astype(np.uint64)
"""65535 * 2^(-i/16) rounded; the last bin takes every logit that is further away, and has no weight: given the least
weight instead, the many improbable tokens of a large vocabulary would be drawn far too often."""

IntArray = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Sampling:
    """Settings as the C code takes them. multiplier 0 is greedy.

    multiplier / 2^shift turns a distance between logits into bins; top_p is a share * 2^32; state: of xorshift32.
    """

    multiplier: int
    shift: int
    top_p: int
    state: int

    @classmethod
    def of(cls, scale: float, temperature: float, top_p: float, seed: int) -> Sampling:
        """Settings for logits with one `scale` (real logit = integer * scale). Temperature 0 is greedy.

        Raises UserError for a temperature, top_p or seed that is out of range.
        """
        if not 0.0 <= temperature <= 1000.0:
            raise UserError(f"temperature is {temperature}", rule="the temperature is from 0 (greedy) to 1000")
        if not 0.0 < top_p <= 1.0:
            raise UserError(f"top-p is {top_p}", rule="top-p is above 0 and at most 1 (everything)")
        if not 0 <= seed < 1 << 32:
            raise UserError(f"the seed is {seed}", rule="seeds are from 0 to 4294967295")
        multiplier = shift = 0
        if temperature > 0.0:
            factor = scale / temperature * BINS_PER_NAT
            while factor < 2.0**30 and shift < 62:
                factor, shift = factor * 2.0, shift + 1
            multiplier = max(int(min(factor, 2.0**31 - 1) + 0.5), 1)
        return cls(multiplier, shift, min(int(top_p * 2.0**32 + 0.5), 2**32 - 1), seed_state(seed))

    @classmethod
    def fixed(cls, unit: int, exponent: int, temperature: int, top_p: int, seed: int) -> Sampling:
        """Settings in integers, as tw_sampler_fixed makes them: temperature and top_p in thousandths.

        `unit` and `exponent` are those of `fixed_unit`. Raises UserError for what is out of range.
        """
        if not 0 <= temperature <= 1_000_000:
            raise UserError(f"temperature is {temperature / 1000}", rule="the temperature is from 0 (greedy) to 1000")
        if not 0 < top_p <= 1000:
            raise UserError(f"top-p is {top_p / 1000}", rule="top-p is above 0 and at most 1 (everything)")
        if not 0 <= seed < 1 << 32:
            raise UserError(f"the seed is {seed}", rule="seeds are from 0 to 4294967295")
        share = (top_p << 32) // 1000 if top_p < 1000 else 2**32 - 1
        if temperature == 0:
            return cls(0, 0, share, seed_state(seed))
        multiplier = unit // temperature
        while multiplier >> 31 or exponent > 62:
            multiplier, exponent = multiplier >> 1, exponent - 1
        if exponent < 0:
            multiplier, exponent = 2**31 - 1, 0
        return cls(max(multiplier, 1), exponent, share, seed_state(seed))


def fixed_unit(scale: float) -> tuple[int, int]:
    """(unit, exponent) with unit / 2^exponent = 1000 * scale * BINS_PER_NAT and 2^62 <= unit < 2^63."""
    mantissa, power = math.frexp(1000.0 * scale * BINS_PER_NAT)
    return int(math.ldexp(mantissa, 63)), 63 - power


def seed_state(seed: int) -> int:
    """The first state of xorshift32: the seed mixed by MurmurHash3's finaliser, as small states stay small."""
    seed ^= seed >> 16
    seed = seed * 0x85EBCA6B & 0xFFFFFFFF
    seed ^= seed >> 13
    seed = seed * 0xC2B2AE35 & 0xFFFFFFFF
    return seed ^ seed >> 16 or 0x9E3779B9


def xorshift32(state: int) -> int:
    """The next state, which is also the random number (Marsaglia 2003)."""
    state ^= state << 13 & 0xFFFFFFFF
    state ^= state >> 17
    return state ^ state << 5 & 0xFFFFFFFF


def logits_to_int(logits: npt.NDArray[Any]) -> IntArray:
    """fp32 logits * 2^16, halves away from zero, clamped to int32; NaN becomes the least."""
    with np.errstate(over="ignore"):
        scaled = (np.asarray(logits, np.float32) * np.float32(65536)).astype(np.float64)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled))
    clamped = np.nan_to_num(np.clip(rounded, -(2.0**31), 2.0**31 - 1), nan=-(2.0**31))
    return np.asarray(clamped, np.int32)


class Sampler:
    """Draws tokens one after the other."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.state = sampling.state

    def __call__(self, logits: IntArray) -> int:
        """The next token from int32 logits [vocabulary]."""
        if not 1 <= len(logits) <= MAX_TOKENS:
            raise UserError(f"{len(logits)} logits", rule=f"a vocabulary has 1 to {MAX_TOKENS:,} tokens")
        best, sampling = int(logits.argmax()), self.sampling
        if sampling.multiplier == 0:
            return best
        distance = (int(logits[best]) - logits.astype(np.int64)).astype(np.uint64)
        half = np.uint64((1 << sampling.shift) >> 1)
        bins = (distance * np.uint64(sampling.multiplier) + half) >> np.uint64(sampling.shift)
        bins = np.minimum(bins, np.uint64(BINS - 1)).astype(np.intp)
        mass = np.bincount(bins, minlength=BINS).astype(np.uint64) * WEIGHTS
        ends = np.cumsum(mass).astype(np.uint64)
        need = (int(ends[-1]) * sampling.top_p >> 32) + 1
        last = int(np.searchsorted(ends, need))
        before, weight = int(ends[last] - mass[last]), int(WEIGHTS[last])
        kept = before - (before - need) // weight * weight
        self.state = xorshift32(self.state)
        target = self.state * kept >> 32
        chosen = int(np.searchsorted(ends, target, side="right"))
        rank = (target - int(ends[chosen] - mass[chosen])) // int(WEIGHTS[chosen])
        return int(np.flatnonzero(bins == chosen)[rank])
