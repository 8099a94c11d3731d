"""Weights to integers: multipliers, shared multipliers, compensated rounding."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.quant.requant import accumulator_range, fits32, half
from tilewright.quant.rounding import (
    Moments,
    compensated,
    group_maximum,
    group_positions,
    group_size,
    nearest,
    quantise_matrices,
    row_ratios,
)
from tilewright.quant.weight_only import GROUP, grouped

seeds = st.integers(0, 2**32 - 1)


def weights(rows: int, cols: int, seed: int) -> np.ndarray:
    """Rows of unlike ranges, one of them zero."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(rows, cols)) * np.exp(rng.normal(size=(rows, 1)))
    w[rng.integers(rows)] = 0
    return w.astype(np.float32)


def moments(cols: int, seed: int) -> np.ndarray:
    """Second moments of correlated inputs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4 * cols, cols)) @ (np.eye(cols) + 0.5 * rng.normal(size=(cols, cols)) / cols**0.5)
    return x.T @ x / len(x)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 90), st.sampled_from([1, 3, 9]), st.floats(1e-4, 1.0), seeds)
def test_multipliers_of_eight_bits_leave_no_error_of_scale(
    rows: int, cols: int, group: int, y_step: float, seed: int
) -> None:
    w, x_step = weights(rows, cols, seed), 0.02
    matrices = [row_ratios(m, x_step, np.array(y_step), 8, group, None) for m in (w, 3 * w)]
    shifts = set()
    for rounded, real in zip(quantise_matrices(matrices), (w, 3 * w), strict=True):
        shifts.add(rounded.shift)
        mul = rounded.mul.astype(np.float64)
        np.testing.assert_allclose(mul * 2.0**-rounded.shift * y_step / x_step, rounded.steps, rtol=1e-12)
        error = np.abs(rounded.weights * rounded.steps[:, None] - real)
        assert (error <= rounded.steps[:, None] * 0.5001 + 1e-9).all(), "nothing is clipped"
        for r in range(rows):
            assert rounded.mul[r] == rounded.mul[r % -(-rows // group)], "rows n apart share"
        low, high = accumulator_range(rounded.weights, -128, 127)
        assert fits32(low, high, rounded.mul.astype(np.int64), np.array(half(rounded.shift)))
    assert len(shifts) == 1


@given(st.integers(1, 400), st.sampled_from([1, 3, 9]))
def test_groups_hold_every_row_once(rows: int, size: int) -> None:
    places = group_positions(rows, size)
    assert sorted(places) == list(range(rows))
    values = np.random.default_rng(rows).random(rows)
    n = -(-rows // size)
    for r, most in enumerate(group_maximum(values, size)):
        assert most == max(values[q] for q in range(rows) if q % n == r % n)


def test_group_sizes() -> None:
    assert [group_size(64, 64), group_size(256, 84), group_size(64, 85)] == [3, 9, 1]


def cost(w: np.ndarray, rounded: np.ndarray, second: np.ndarray) -> float:
    return float(np.einsum("rc,cd,rd->", rounded - w, second, rounded - w))


def test_compensation_beats_rounding_to_nearest() -> None:
    """It is greedy, so it may lose now and then; over many matrices it has to win clearly."""
    gains = []
    for seed in range(30):
        rows, cols = 8 + seed, 8 + 2 * seed
        w, second = weights(rows, cols, seed).astype(np.float64), moments(cols, seed + 1)
        steps = np.maximum(np.abs(w).max(1), 1e-9) / 7
        by_column = compensated(w, steps[:, None], 7, Moments.of(second))
        assert by_column.min() >= -8
        assert by_column.max() <= 7
        plain = nearest(w, steps, 7) * steps[:, None]
        gains.append(cost(w, by_column * steps[:, None], second) / cost(w, plain, second))
    assert np.exp(np.mean(np.log(gains))) < 0.85
    assert np.mean(np.array(gains) < 1) > 0.9


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 40), st.integers(1, 60), seeds)
def test_groups_beat_rows(rows: int, cols: int, seed: int) -> None:
    w, second = weights(rows, cols, seed), moments(cols, seed + 1)
    g = grouped(w, Moments.of(second))
    assert g.step.min() >= 1
    assert np.abs(g.weights).max() <= 8
    real = g.weights * g.scale[:, None] * np.repeat(g.step, GROUP, axis=1)[:, :cols]
    (rows4,) = quantise_matrices([row_ratios(w, 1.0, np.array(0.01), 4, 3, Moments.of(second))])
    assert cost(w, real, second) <= 1.05 * cost(w, rows4.weights * rows4.steps[:, None], second)
