"""Exact arithmetic on IEEE 754 binary32 bit patterns: by fractions, rounded once. Slow, and independent of any FPU."""

from __future__ import annotations

import math
from fractions import Fraction

SIGN = 1 << 31
INFINITY = 0x7F800000
NAN = 0x7FC00000  # the canonical one
_MIN_EXPONENT = -149  # of the last place of a subnormal


def is_nan(a: int) -> bool:
    return a & ~SIGN > INFINITY


def is_inf(a: int) -> bool:
    return a & ~SIGN == INFINITY


def value(a: int) -> Fraction:
    """The number that a finite pattern stands for."""
    exponent, mantissa = a >> 23 & 255, a & 0x7FFFFF
    magnitude = Fraction(mantissa | (1 << 23 if exponent else 0)) * Fraction(2) ** (max(exponent, 1) - 150)
    return -magnitude if a & SIGN else magnitude


def round_even(exact: Fraction) -> int:
    """The integer nearest to it, ties to even."""
    return round(exact)


def pattern(exact: Fraction, sign_of_zero: int = 0) -> int:
    """The nearest binary32, ties to even; overflow gives infinity."""
    if exact == 0:
        return sign_of_zero
    sign = SIGN if exact < 0 else 0
    magnitude = abs(exact)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    place = max(exponent - 23, _MIN_EXPONENT)
    mantissa = round_even(magnitude / Fraction(2) ** place)
    if mantissa == 1 << 24:
        mantissa, place = mantissa >> 1, place + 1
    if mantissa < 1 << 23:
        return sign | mantissa
    biased = place + 150
    return sign | INFINITY if biased >= 255 else sign | biased << 23 | mantissa & 0x7FFFFF


def add(a: int, b: int) -> int:
    return fma(a, 0x3F800000, b) if not is_nan(a) else NAN


def mul(a: int, b: int) -> int:
    if is_nan(a) or is_nan(b):
        return NAN
    sign = (a ^ b) & SIGN
    if is_inf(a) or is_inf(b):
        return NAN if value_is_zero(a) or value_is_zero(b) else sign | INFINITY
    return pattern(value(a) * value(b), sign)


def value_is_zero(a: int) -> bool:
    return a & ~SIGN == 0


def fma(a: int, b: int, c: int) -> int:
    """A * b + c, rounded once."""
    if is_nan(a) or is_nan(b) or is_nan(c):
        return NAN
    sign = (a ^ b) & SIGN
    if is_inf(a) or is_inf(b):
        if value_is_zero(a) or value_is_zero(b) or (is_inf(c) and c & SIGN != sign):
            return NAN
        return sign | INFINITY
    if is_inf(c):
        return c
    product = value(a) * value(b)
    zero = c & SIGN if product == 0 and value_is_zero(c) and c & SIGN == sign else 0
    return pattern(product + value(c), zero)


def div(a: int, b: int) -> int:
    sign = (a ^ b) & SIGN
    if is_nan(a) or is_nan(b) or (is_inf(a) and is_inf(b)) or (value_is_zero(a) and value_is_zero(b)):
        return NAN
    if is_inf(a) or value_is_zero(b):
        return sign | INFINITY
    return sign if is_inf(b) else pattern(value(a) / value(b), sign)


def sqrt(a: int) -> int:
    if is_nan(a) or (a & SIGN and not value_is_zero(a)):
        return NAN
    if is_inf(a) or value_is_zero(a):
        return a
    exact = value(a)
    shift = 2 * 80  # an even power of two that leaves a root of well over 24 bits; the sticky bit decides ties
    scaled = exact * Fraction(2) ** (2 * shift)
    root = math.isqrt(scaled.numerator // scaled.denominator)
    sticky = Fraction(0) if root * root == scaled else Fraction(1, 2)
    return pattern((root + sticky) / Fraction(2) ** shift)


def _order(a: int) -> Fraction:
    """A key that sorts patterns by value, infinities included."""
    if is_inf(a):
        return Fraction(-(2**200) if a & SIGN else 2**200)
    return value(a)


def equal(a: int, b: int) -> bool:
    return not (is_nan(a) or is_nan(b)) and _order(a) == _order(b)


def less(a: int, b: int) -> bool:
    return not (is_nan(a) or is_nan(b)) and _order(a) < _order(b)


def less_equal(a: int, b: int) -> bool:
    return not (is_nan(a) or is_nan(b)) and _order(a) <= _order(b)


def minimum(a: int, b: int) -> int:
    """A number wins over NaN; -0 is below +0."""
    if is_nan(a) or is_nan(b):
        return NAN if is_nan(a) and is_nan(b) else b if is_nan(a) else a
    if value_is_zero(a) and value_is_zero(b):
        return a | b
    return a if less(a, b) else b


def maximum(a: int, b: int) -> int:
    if is_nan(a) or is_nan(b):
        return NAN if is_nan(a) and is_nan(b) else b if is_nan(a) else a
    if value_is_zero(a) and value_is_zero(b):
        return a & b
    return b if less(a, b) else a


def from_int(number: int) -> int:
    return pattern(Fraction(number))


def to_int(a: int, is_signed: bool, rounding: int) -> int:
    """Rounded to integer and saturated; NaN is the largest.

    Rounding: 0 nearest even, 1 to zero, 2 down, 3 up, 4 nearest away from zero, 7 the default, which is 0.
    """
    low, high = (-(1 << 31), (1 << 31) - 1) if is_signed else (0, (1 << 32) - 1)
    if is_nan(a):
        return high
    if is_inf(a):
        return low if a & SIGN else high
    exact = value(a)
    whole = {
        1: math.trunc(exact),
        2: math.floor(exact),
        3: math.ceil(exact),
        4: math.trunc(exact + Fraction(1 if exact >= 0 else -1, 2)),
    }.get(rounding, round_even(exact))
    return min(max(whole, low), high)


def classify(a: int) -> int:
    """The one-hot class of fclass."""
    negative, exponent, mantissa = bool(a & SIGN), a >> 23 & 255, a & 0x7FFFFF
    if exponent == 255:
        if mantissa:
            return 1 << (9 if mantissa >> 22 else 8)
        return 1 << (0 if negative else 7)
    if exponent:
        return 1 << (1 if negative else 6)
    if mantissa:
        return 1 << (2 if negative else 5)
    return 1 << (3 if negative else 4)
