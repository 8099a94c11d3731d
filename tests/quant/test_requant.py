"""Integer arithmetic: proven against exact rationals and by brute force."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.quant.requant import accumulator_range, fits32, fixed_point, half, integer_root, requantise, truncated

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)


@given(INT32, INT32, st.integers(-(1 << 62), 1 << 61), st.integers(0, 62))
def test_requantise_is_the_floor_of_an_exact_product(acc: int, mul: int, add: int, shift: int) -> None:
    want = (
        min(127, max(-128, math.floor(Fraction(acc * mul + add, 1 << shift))))
        if abs(acc * mul + add) < 1 << 63
        else None
    )
    got = requantise(np.array([acc], np.int32), np.array([mul]), np.array([add]), shift, -128, 127)
    assert want is None or int(got[0]) == want


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=5))
def test_fixed_point_uses_all_bits(scales: list[float]) -> None:
    mul, shift = fixed_point(np.asarray(scales))
    assert np.abs(mul).max() < 1 << 31
    assert np.abs(mul).max() >= 1 << 29 or shift == 62
    np.testing.assert_allclose(np.ldexp(mul.astype(float), -shift), scales, atol=max(scales) * 2.0**-29)


@settings(max_examples=200)
@given(st.data())
def test_fits32_is_exact_over_the_ranges(data: st.DataObject) -> None:
    low = data.draw(st.integers(-3000, 0))
    high = data.draw(st.integers(0, 3000))
    mul, add = data.draw(st.integers(-(1 << 21), 1 << 21)), data.draw(INT32)
    values = np.array([low, high, 0], object)
    everywhere = all(-(1 << 31) <= v < 1 << 31 for v in (*(values * mul), *(values * mul + add)))
    assert fits32(np.array([low]), np.array([high]), np.array([mul]), np.array([add])) == everywhere


@given(st.data())
def test_accumulator_range_holds_and_is_reached(data: st.DataObject) -> None:
    weights = np.array(data.draw(st.lists(st.integers(-128, 127), min_size=1, max_size=6)))[None]
    low, high = accumulator_range(weights, -128, 127)
    assert int(low[0]) == int(np.where(weights > 0, weights * -128, weights * 127).sum())
    assert int(high[0]) == int(np.where(weights > 0, weights * 127, weights * -128).sum())


@given(INT32, INT32.filter(bool))
def test_truncated_division(a: int, b: int) -> None:
    assert int(truncated(np.array(a), np.array(b))) == int(Fraction(a, b))


@given(st.integers(0, (1 << 52) - 1))
def test_integer_root(value: int) -> None:
    assert int(integer_root(np.array([value]))[0]) == math.isqrt(value)


def test_half() -> None:
    assert [half(s) for s in (0, 1, 8)] == [0, 1, 128]
