"""The sampler: C and Python to the bit, and both against what sampling means."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.errors import UserError
from tilewright.lm.sampler import LOGIT_SCALE, WEIGHTS, Sampler, Sampling, fixed_unit, logits_to_int

from .clib import CSampler, LanguageLibrary

Logits = npt.NDArray[np.int32]


@st.composite
def integer_logits(draw: st.DrawFn) -> Logits:
    """Logits of any size: near each other, far apart, many equal ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from([1, 2, 3, 17, 512, 3000]))
    spread = draw(st.sampled_from([1, 5, 1000, 2**16, 2**19, 2**24, 2**31 - 1]))
    logits = rng.integers(-spread, spread, count, endpoint=True)
    return logits.astype(np.int32)


TEMPERATURES = st.one_of(st.just(0.0), st.floats(1e-4, 10.0), st.sampled_from([1e-30, 1e-9, 0.8, 1.0, 1000.0]))
SCALES = st.sampled_from([LOGIT_SCALE, 1.0, 0.037, 2.0**-30, 1e-15, 1e4])
TOP_P = st.one_of(st.floats(1e-12, 1.0), st.sampled_from([0.9, 1.0, 1e-12]))


@settings(max_examples=200, deadline=None)
@given(
    scale=st.floats(1e-12, 1e3), temperature=st.integers(0, 1_000_000), top_p=st.integers(1, 1000),
    seed=st.integers(0, 2**32 - 1), logits=integer_logits(),
)  # fmt: skip
def test_settings_without_floats(
    logits: Logits, scale: float, temperature: int, top_p: int, seed: int, c: LanguageLibrary
) -> None:
    """C equals Python to the bit, and both are what the real settings say, to the last digits of the multiplier."""
    unit, exponent = fixed_unit(scale)
    python = Sampling.fixed(unit, exponent, temperature, top_p, seed)
    native = c.fixed(unit, exponent, temperature, top_p, seed)
    assert (native.multiplier, native.shift, native.top_p, native.state) == (
        python.multiplier, python.shift, python.top_p, python.state,
    )  # fmt: skip
    real = Sampling.of(scale, temperature / 1000, top_p / 1000, seed)
    assert python.state == real.state
    assert abs(python.top_p - real.top_p) <= 1
    if temperature:
        np.testing.assert_allclose(
            python.multiplier * 2.0**-python.shift, real.multiplier * 2.0**-real.shift, rtol=2e-9, atol=2.0**-62
        )
    assert c.sample(native, logits) == Sampler(python)(logits)


@settings(max_examples=100, deadline=None)
@given(shift=st.integers(30, 57), multiplier=st.integers(1 << 29, (1 << 31) - 1), seed=st.integers(0, 2**32 - 1))
def test_c_equals_python_about_the_last_bin(shift: int, multiplier: int, seed: int, c: LanguageLibrary) -> None:
    """Thousands of tokens at distances next to where weights end: which of them have one decides the token."""
    rng, last = np.random.default_rng(seed), ((255 << shift) - (1 << shift >> 1)) // multiplier
    distances = np.clip(last + rng.integers(-3, 4, 60000) * max(1, (1 << shift) // multiplier), 0, 2**32 - 1)
    distances[rng.integers(60000)] = 0
    logits = (2**31 - 1 - distances).astype(np.int32)
    native = c.fixed(*fixed_unit(1.0), 1000, 1000, seed)
    native.multiplier, native.shift = multiplier, shift
    python = Sampler(Sampling(multiplier, shift, native.top_p, native.state))
    for _ in range(5):
        assert c.sample(native, logits) == python(logits)


@pytest.mark.parametrize("wrong", [(-1, 1000, 0), (1_000_001, 1000, 0), (800, 0, 0), (800, 1001, 0), (800, 900, -1)])
def test_integer_settings_out_of_range(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(UserError):
        Sampling.fixed(*fixed_unit(1e-5), *wrong)


@settings(max_examples=400, deadline=None)
@given(logits=integer_logits(), scale=SCALES, temperature=TEMPERATURES, top_p=TOP_P, seed=st.integers(0, 2**32 - 1))
def test_c_equals_python(
    logits: Logits, scale: float, temperature: float, top_p: float, seed: int, c: LanguageLibrary
) -> None:
    sampling = Sampling.of(scale, temperature, top_p, seed)
    python, native = Sampler(sampling), c.settings(scale, temperature, top_p, seed)
    assert (native.multiplier, native.shift, native.top_p, native.state) == (
        sampling.multiplier, sampling.shift, sampling.top_p, sampling.state,
    )  # fmt: skip
    for _ in range(5):
        assert c.sample(native, logits) == python(logits)
        assert native.state == python.state


@settings(max_examples=200, deadline=None)
@given(logits=integer_logits(), temperature=st.floats(0.05, 5.0), top_p=TOP_P, seed=st.integers(0, 2**32 - 1))
def test_top_p_keeps_the_most_probable(logits: Logits, temperature: float, top_p: float, seed: int) -> None:
    """The token drawn is among the fewest that reach top_p, by weights computed here in floating point."""
    draw = Sampler(Sampling.of(LOGIT_SCALE, temperature, top_p, seed))(logits)
    distance = (logits.max() - logits.astype(np.float64)) * LOGIT_SCALE / temperature * 16 / math.log(2)
    bins = np.minimum(np.floor(distance + 0.5), 255)
    weights = WEIGHTS[bins.astype(int)].astype(np.float64)
    order = np.lexsort((np.arange(len(logits)), bins))
    before = np.cumsum(weights[order]) - weights[order]
    near = np.abs(distance - np.floor(distance) - 0.5).min() < 1e-5  # a bin's edge: either side is right
    kept = order[before < top_p * weights.sum() * (1 + 1e-9)]
    assert near or draw in kept
    assert near or weights[draw] > 0


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.8, 0.9), (2.0, 0.5)])
def test_frequencies(temperature: float, top_p: float, c: LanguageLibrary) -> None:
    """40,000 draws in C follow softmax within four standard deviations and the 2.2 % that a bin is wide."""
    rng = np.random.default_rng(5)
    real = rng.normal(0, 2, 40).astype(np.float32)
    logits = c.logits_to_int(real)
    native = c.settings(LOGIT_SCALE, temperature, top_p, 11)
    draws = np.bincount([c.sample(native, logits) for _ in range(40_000)], minlength=40) / 40_000
    p = np.exp(real.astype(np.float64) / temperature)
    p /= p.sum()
    order = np.argsort(-p)
    dropped = order[np.cumsum(p[order]) - p[order] >= top_p]
    kept = np.delete(np.arange(40), dropped)
    p[dropped] = 0
    p /= p.sum()
    last = order[len(kept) - 1]  # of the last bin as much is kept as is needed
    for token in range(40):
        slack = (
            4 * math.sqrt(p[token] / 40_000) + 0.045 * p[token] + (p[last] if token in order[len(kept) - 2 :] else 0)
        )
        assert abs(draws[token] - p[token]) <= slack, token


def test_improbable_tokens_of_a_large_vocabulary(c: LanguageLibrary) -> None:
    """65,535 tokens at e^-20 of the best together have 0.01 %: they are not drawn once for each bin's least weight."""
    logits = np.full(65_536, -20 * 65536, np.int32)
    logits[77] = 0
    native = c.settings(LOGIT_SCALE, 1.0, 1.0, 3)
    assert {c.sample(native, logits) for _ in range(50)} == {77}


def test_full_vocabulary_of_equals(c: LanguageLibrary) -> None:
    """The sum of 65,536 equal weights still fits in 32 bits, and draws spread over all of them."""
    logits = np.zeros(65_536, np.int32)
    sampling = Sampling.of(LOGIT_SCALE, 1.0, 1.0, 3)
    python, native = Sampler(sampling), c.settings(LOGIT_SCALE, 1.0, 1.0, 3)
    draws = [c.sample(native, logits) for _ in range(40)]
    assert draws == [python(logits) for _ in range(40)]
    assert 20_000 < np.mean(draws) < 45_000
    assert c.sample(native, np.zeros(65_537, np.int32)) == -1
    assert c.sample(native, np.zeros(0, np.int32)) == -1


def test_greedy_takes_the_lowest_index(c: LanguageLibrary) -> None:
    logits = np.array([3, 9, -5, 9, 9], np.int32)
    assert c.sample(c.settings(1.0, 0.0, 1.0, 0), logits) == 1
    assert Sampler(Sampling.of(1.0, 0.0, 1.0, 0))(logits) == 1


def test_neighbouring_seeds_differ(c: LanguageLibrary) -> None:
    """Also seed 0 works, and small seeds do not all begin alike."""
    logits = np.zeros(1000, np.int32)
    first = [Sampler(Sampling.of(1.0, 1.0, 1.0, seed))(logits) for seed in range(20)]
    assert len(set(first)) >= 18
    assert first == [c.sample(c.settings(1.0, 1.0, 1.0, seed), logits) for seed in range(20)]


@given(values=st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_rounding_of_logits(values: list[float], c: LanguageLibrary) -> None:
    real = np.array(values, np.float32)
    assert c.logits_to_int(real).tolist() == logits_to_int(real).tolist()


@given(halves=st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=40))
def test_halves_round_away_from_zero(halves: list[int], c: LanguageLibrary) -> None:
    real = np.array(halves, np.float32) / np.float32(2**17)
    expected = [(abs(half) + 1) // 2 * (1 if half > 0 else -1) for half in halves]
    assert logits_to_int(real).tolist() == expected
    assert c.logits_to_int(real).tolist() == expected


def test_extreme_logits(c: LanguageLibrary) -> None:
    real = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38, 32768.0, -32768.0, 32767.998, -0.0], np.float32)
    high, low = 2**31 - 1, -(2**31)
    expected = [high, low, low, high, low, high, low, 2147483520, 0]
    assert c.logits_to_int(real).tolist() == expected
    assert logits_to_int(real).tolist() == expected


@pytest.mark.parametrize(
    "wrong", [(-0.1, 1.0, 0), (math.nan, 1.0, 0), (1.0, 0.0, 0), (1.0, 1.1, 0), (1.0, math.nan, 0), (1.0, 1.0, -1)]
)
def test_settings_out_of_range(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(UserError):
        Sampling.of(LOGIT_SCALE, *wrong)


@pytest.mark.parametrize("temperature", [1e-300, 1e-308, 5e-324])
def test_a_temperature_next_to_nothing(temperature: float, c: LanguageLibrary) -> None:
    assert Sampling.of(1.0, temperature, 1.0, 0).multiplier == c.settings(1.0, temperature, 1.0, 0).multiplier


def test_xorshift32(c: LanguageLibrary) -> None:
    """The known sequence from state 1."""
    native = CSampler(multiplier=2**30, shift=40, top_p=2**32 - 1, state=1)
    states = []
    for _ in range(3):
        c.sample(native, np.zeros(4, np.int32))
        states.append(native.state)
    assert states == [270369, 67634689, 2647435461]
