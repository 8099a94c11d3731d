"""Integer arithmetic of quantised networks, bit for bit: the one requantisation and what feeds it.

    y = clip((acc * mul[c] + add[c]) >> shift, low, high)

with a 64-bit product, mul a signed 32-bit number, an arithmetic shift; bias and rounding are folded into `add`.
"""

from __future__ import annotations

import math

import numpy as np

from ..ir.types import Array


def requantise(acc: Array, mul: Array, add: Array, shift: int, low: int, high: int) -> Array:
    """The definition. acc, mul, add: integers that broadcast; int64 result within low .. high."""
    wide = acc.astype(np.int64) * mul.astype(np.int64) + add.astype(np.int64)
    return np.asarray(np.clip(wide >> shift, low, high))


def half(shift: int) -> int:
    """What is folded into `add` so that the shift rounds half up."""
    return 1 << (shift - 1) if shift > 0 else 0


def fixed_point(scales: Array, *, bits: int = 31, max_shift: int = 62) -> tuple[Array, int]:
    """Real multipliers as (mul, shift): scales ~ mul / 2^shift, one shift for all, |mul| < 2^bits.

    The largest multiplier uses all bits; a scale of 0 gives mul 0. ValueError for what is not finite or too large.
    """
    values = np.asarray(scales, np.float64).reshape(-1)
    if not np.isfinite(values).all():
        raise ValueError("a scale is not finite")
    peak = float(np.abs(values).max(initial=0.0))
    if peak == 0.0:
        return np.zeros(values.shape, np.int64), 0
    shift = min(max_shift, bits - 1 - math.floor(math.log2(peak)))
    if shift < 0:
        raise ValueError(f"a scale of {peak:g} is too large for {bits} bits")
    mul = np.rint(np.ldexp(values, shift)).astype(np.int64)
    while np.abs(mul).max() >= 1 << bits:  # rounding up to the next power of two
        shift -= 1
        mul = np.rint(np.ldexp(values, shift)).astype(np.int64)
    return mul, shift


def multipliers(scales: Array, *, max_shift: int = 62) -> tuple[Array, int]:
    """`fixed_point` with as few bits as hold the scales exactly, up to what three roundings to f32 may have changed.

    Scales that were chosen as mul / 2^shift with mul of 8 bits get that mul back; all others get 31 bits.
    """
    values = np.asarray(scales, np.float64).reshape(-1)
    for bits in range(1, 9):
        try:
            mul, shift = fixed_point(values, bits=bits, max_shift=max_shift)
        except ValueError:
            continue
        if bool((np.abs(np.ldexp(mul.astype(np.float64), -shift) - values) <= np.abs(values) * 2.0**-22).all()):
            return mul, shift
    return fixed_point(values, max_shift=max_shift)


def fits32(acc_low: Array, acc_high: Array, mul: Array, add: Array) -> bool:
    """Whether acc * mul + add stays within int32 for every accumulator in the given ranges (per channel or one)."""
    mul, add = mul.astype(object), add.astype(object)
    ends = [np.asarray(acc_low, object) * mul, np.asarray(acc_high, object) * mul]
    bounds = [e + add for e in ends] + ends
    limit = 1 << 31
    return all(-limit <= int(np.min(b)) and int(np.max(b)) < limit for b in bounds)


def accumulator_range(weights: Array, x_low: int, x_high: int) -> tuple[Array, Array]:
    """Exact bounds of sum over the rest of w[o, ...] * x for x within x_low .. x_high: two vectors [o]."""
    flat = weights.reshape(weights.shape[0], -1).astype(np.int64)
    positive, negative = np.maximum(flat, 0).sum(1), np.minimum(flat, 0).sum(1)
    return positive * x_low + negative * x_high, positive * x_high + negative * x_low


def truncated(numerator: Array, denominator: Array) -> Array:
    """Division that truncates to zero, as in C."""
    quotient = np.abs(numerator) // np.abs(denominator)
    return np.where((numerator < 0) ^ (denominator < 0), -quotient, quotient)


def integer_root(values: Array) -> Array:
    """floor(sqrt(v)) for 0 <= v < 2^52, exact."""
    root = np.floor(np.sqrt(values.astype(np.float64))).astype(np.int64)
    root -= (root * root > values).astype(np.int64)
    return root + ((root + 1) * (root + 1) <= values).astype(np.int64)
