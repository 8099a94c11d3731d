"""Grids, weights and multipliers: chosen well, and found again after they were rounded to f32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.quant.networks import random_network
from tilewright.errors import UserError
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, I8, U8, TensorType
from tilewright.ops import Binary
from tilewright.quant.ranges import Grid, Range, best_grid
from tilewright.quant.requant import accumulator_range, fits32, fixed_point, half, multipliers
from tilewright.quant.samples import random_samples, read_samples
from tilewright.quant.weights import fitted_weights, snapped

SEED = st.integers(0, 2**32 - 1)


def seen(values: np.ndarray) -> Range:
    return Range(min(0.0, float(values.min())), max(0.0, float(values.max())), [values.astype(np.float32)])


def squared(grid: Grid, x: np.ndarray) -> float:
    return float(((grid.rounded(x) - x) ** 2).sum())


@settings(deadline=None, max_examples=30)
@given(SEED, st.booleans())
def test_clipping_never_costs(seed: int, unsigned: bool) -> None:
    """No worse than the grid that clips nothing, and no step in the neighbourhood is much better."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_t(3, 500) * np.exp(rng.normal())).astype(np.float32)
    x = np.abs(x) if unsigned else x
    grid, top = best_grid(seen(x), unsigned=unsigned), 255 if unsigned else 127
    assert grid.dtype == (U8 if unsigned else I8)
    found = squared(grid, x)
    for ratio in (0.3, 0.5, 0.7, 0.8, 0.9, 1.0):
        assert found <= squared(grid.coarser(float(np.abs(x).max()) * ratio / top), x) * 1.05


def test_grid_of_zeros_has_a_step() -> None:
    assert best_grid(seen(np.zeros(4)), unsigned=False).scale > 0


@settings(deadline=None)
@given(SEED, st.integers(1, 8))
def test_short_multipliers_survive_f32(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    mul = rng.integers(1, 1 << bits, 6)
    shift = int(rng.integers(bits, 30))
    x, y = np.float32(np.exp(rng.normal())), np.float32(np.exp(rng.normal()))
    w = (mul * np.float64(y) / (np.float64(x) * 2.0**shift)).astype(np.float32)
    got, found = multipliers(np.float64(x) * w.astype(np.float64) / np.float64(y))
    assert np.array_equal(got * 2.0**-found, mul * 2.0**-shift)
    assert got.max() < 1 << bits


@settings(deadline=None)
@given(SEED)
def test_other_multipliers_keep_their_bits(seed: int) -> None:
    scales = np.exp(np.random.default_rng(seed).normal(-4, 1, 5))
    got, shift = multipliers(scales)
    want, long = fixed_point(scales)
    assert (np.array_equal(got, want) and shift == long) or np.allclose(got * 2.0**-shift, scales, rtol=2.0**-22)


@settings(deadline=None, max_examples=50)
@given(SEED)
def test_fitted_weights(seed: int) -> None:
    """Every weight is within a step of its integer, the multipliers are short, and everything fits 32 bits."""
    rng = np.random.default_rng(seed)
    channels, depth = int(rng.integers(1, 9)), int(rng.integers(16, 300))
    w = rng.normal(0, 1, (channels, depth)) * np.exp(rng.normal(0, 1, (channels, 1)))
    x = Grid(float(np.float32(0.02)), U8 if rng.random() < 0.5 else I8)
    bias = rng.normal(0, 1, channels)
    y = Grid(float(np.float32(np.abs(w).sum(1).max() * 0.01)), I8)
    made = fitted_weights(w, bias, x, y)
    assert 5 <= made.bits <= 8
    peak = np.abs(w).max(1)
    error = np.abs(made.real - w).max(1)
    assert (error <= np.maximum(0.31 * peak, 0.51 * made.scale)).all(), "the clip is at 0.7 of the peak at least"
    mul, shift = multipliers(x.scale * made.scale.astype(np.float64) / y.scale)
    assert mul.max() < 1 << made.bits
    low, high = accumulator_range(made.stored, x.dtype.low, x.dtype.high)
    add = np.rint(bias / (x.scale * made.scale.astype(np.float64))).astype(np.int64) * mul + half(shift)
    assert fits32(low, high, mul, add)
    step = y.scale / (x.scale * 2.0**shift)  # of the scales that have such a multiplier
    chosen = made.stored * (mul * step)[:, None]  # in double, as plain is: the scale is kept in single precision
    while np.ceil(peak.max() / 127 / (step / 2)) < 1 << made.bits:
        step /= 2  # multipliers that were all even are told at a coarser step
    unclipped = np.ceil(peak / 127 / step) * step
    plain = np.clip(np.rint(w / unclipped[:, None]), -127, 127) * unclipped[:, None]
    assert (((chosen - w) ** 2).sum(1) <= ((plain - w) ** 2).sum(1) * (1 + 1e-5)).all(), "clipping never costs"


def test_products_that_cannot_fit_get_scales_of_their_own() -> None:
    w = np.full((2, 60_000), 1.0)
    assert fitted_weights(w, np.zeros(2), Grid(0.02, U8), Grid(50.0, I8)).bits == 0


@settings(deadline=None)
@given(st.floats(1e-6, 4), st.floats(1e-6, 1e3))
def test_snapped_grids_are_at_most_a_little_coarser(ratio: float, scale: float) -> None:
    factor = ratio * scale
    grid = snapped(Grid(scale, I8), factor)
    assert scale * (1 - 1e-6) <= grid.scale <= scale * (1 + 1 / 63)
    mul, _ = multipliers(np.array([factor / grid.scale]))
    assert mul[0] < 256
    assert mul[0] % 2 == 1


def two_inputs() -> Graph:
    b = Builder("two")
    kind = TensorType((1, 3), F32)
    return b.finish((b(Binary("add"), b.input("a", kind), b.input("b", kind)),))


def test_samples_along_the_first_axis(tmp_path: Path) -> None:
    file = tmp_path / "c.npz"
    a, b = np.arange(12.0).reshape(4, 1, 3), np.arange(12).reshape(4, 3)
    np.savez(file, b=b, a=a)
    samples = read_samples(file, two_inputs())
    assert len(samples) == 4
    assert samples[2]["a"].tolist() == [[6, 7, 8]]
    assert samples[1]["b"].tolist() == [[3, 4, 5]]
    assert samples[0]["b"].dtype == np.float32


def test_one_array_per_sample(tmp_path: Path) -> None:
    graph = random_network(0)
    shape = graph.inputs[0].type.static_shape
    arrays = {f"s{i}": np.full(shape[1:], i, np.float32) for i in range(3)}
    np.savez(tmp_path / "c.npz", **arrays)
    samples = read_samples(tmp_path / "c.npz", graph)
    assert [float(s["image"].max()) for s in samples] == [0, 1, 2]
    assert samples[0]["image"].shape == shape


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"a": np.zeros((4, 3))}, "has 1 arrays"),
        ({"a": np.zeros((4, 3)), "b": np.zeros((3, 3))}, "same number of samples"),
        ({"a": np.zeros((4, 2)), "b": np.zeros((4, 3))}, "shape \\[4, 2\\]"),
        ({"a": np.full((4, 3), np.nan), "b": np.zeros((4, 3))}, "not finite"),
        ({"a": np.zeros((0, 3)), "b": np.zeros((0, 3))}, "at least one"),
    ],
)
def test_calibration_that_does_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], problem: str) -> None:
    np.savez(tmp_path / "c.npz", **arrays)
    with pytest.raises(UserError, match=problem):
        read_samples(tmp_path / "c.npz", two_inputs())


def test_random_samples_are_seeded() -> None:
    graph = random_network(0)
    first, second = random_samples(graph, 3), random_samples(graph, 3)
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0]["image"], first[1]["image"])
