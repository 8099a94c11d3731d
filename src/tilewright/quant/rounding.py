"""Weights to integers: multipliers of eight bits, rows that share them, rounding that compensates its own errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.types import Array
from .requant import accumulator_range, fits32, half

FAST_COLUMNS = 84
"""Longest row for which the accelerator computes several rows per weight word."""
MANY_ROWS = 256
"""From here on nine rows per word beat three."""
MAX_SHIFT = 28
CLIPPING = tuple(float(r) for r in np.linspace(0.5, 1.05, 12))
"""Ranges of 4-bit rows that are tried, as parts of the greatest magnitude."""


def group_size(rows: int, cols: int) -> int:
    """How many rows share a multiplier in a matrix that may go to the accelerator's fast forms; 1: every row its own.

    Row r shares with r + n, r + 2n, ... where n = ceil(rows / size).
    """
    if cols > FAST_COLUMNS:
        return 1
    return 9 if rows >= MANY_ROWS else 3


def group_positions(rows: int, size: int) -> Array:
    """All rows, those of one group behind each other."""
    n = -(-rows // size)
    places = np.arange(n)[:, None] + n * np.arange(size)
    return np.asarray(places[places < rows])


def group_maximum(values: Array, size: int) -> Array:
    """For each row the greatest value of its group."""
    n = -(-len(values) // size)
    padded = np.zeros(n * size)
    padded[: len(values)] = values
    return np.tile(padded.reshape(size, n).max(0), size)[: len(values)]


@dataclass(frozen=True, eq=False)
class Moments:
    """What compensated rounding knows of the inputs of a matrix.

    second: [cols, cols], the mean of x x^T. Columns go in `order` of falling importance; `upper` is the Cholesky factor
    of the inverse in that order.
    """

    second: Array
    order: Array
    upper: Array

    @classmethod
    def of(cls, second: Array, damping: float = 0.01) -> Moments:
        order = np.argsort(-np.diag(second), kind="stable")
        ridge = damping * np.trace(second) / len(order) + 1e-12
        inverse = np.linalg.inv(second[np.ix_(order, order)] + np.eye(len(order)) * ridge)
        return cls(second, order, np.asarray(np.linalg.cholesky(inverse).T))

    @classmethod
    def seen(cls, x: Array) -> Moments:
        """From inputs [tokens, cols]."""
        wide = x.astype(np.float64)
        return cls.of(wide.T @ wide / len(wide))


@dataclass(frozen=True)
class Rows:
    """A quantised matrix: y = (acc * mul + half) >> shift; `steps` are the weights' own scales [rows]."""

    weights: Array  # int8, also for four bits
    steps: Array
    mul: Array  # uint8
    shift: int
    bits: int

    @property
    def fits32(self) -> bool:
        """Whether no accumulator, multiplied and rounded, can leave int32, whatever int8 comes in."""
        low, high = accumulator_range(self.weights, -128, 127)
        return fits32(low, high, self.mul.astype(np.int64), np.array(half(self.shift)))


@dataclass(frozen=True)
class RowRatios:
    """A matrix before it is rounded: per row the least ratio of steps, x_step * w_step / y_step, that spans it."""

    w: Array
    ratio: Array
    unit: Array  # y_step / x_step per row: the weights' step is mul / 2^shift of these
    bits: int
    inputs: Moments | None

    def rounded(self, shift: int) -> Rows:
        """Integers for a shift. The ratio is rounded up to mul / 2^shift with mul of eight bits and the step of the
        weights follows from it, so that no error of scale is left and narrow accelerator scales do.
        """
        top = (1 << (self.bits - 1)) - 1
        mul = np.clip(np.ceil(np.ldexp(self.ratio, shift) * (1 - 1e-9)), 1, 255)
        steps = np.ldexp(mul, -shift) * self.unit
        if self.inputs is None:
            weights = nearest(self.w, steps, top)
        else:
            weights = compensated(self.w, steps[:, None], top, self.inputs)
        return Rows(weights, steps, mul.astype(np.uint8), shift, self.bits)


def row_ratios(w: Array, x_step: float, y_steps: Array, bits: int, group: int, inputs: Moments | None) -> RowRatios:
    """For w [rows, cols] between activations of step `x_step` and results of `y_steps` ([rows] or one).

    `group` rows share a multiplier. With `inputs` rounding compensates its errors.
    """
    top = (1 << (bits - 1)) - 1
    unit = np.broadcast_to(np.asarray(y_steps, np.float64) / x_step, w.shape[:1])
    peak = group_maximum(np.maximum(np.abs(w).max(1).astype(np.float64), 1e-12) / unit, group) * unit
    share = clipping(w, peak / top, top, inputs, group) if inputs is not None else 1.0
    return RowRatios(w, peak * share / top / unit, unit, bits, inputs)


def clipping(w: Array, steps: Array, top: int, inputs: Moments, group: int) -> Array:
    """[rows]: what part of the range to keep, so that the error of the results after compensated rounding is least."""
    n = -(-len(w) // group)
    best, share = np.full(len(w), np.inf), np.ones(len(w))
    for ratio in CLIPPING:
        error = compensated(w, steps[:, None] * ratio, top, inputs) * (steps * ratio)[:, None] - w
        cost = np.bincount(np.arange(len(w)) % n, (error @ inputs.second * error).sum(1))
        cost = np.tile(cost, group)[: len(w)]
        share, best = np.where(cost < best, ratio, share), np.minimum(cost, best)
    return share


def quantise_matrices(matrices: Sequence[RowRatios], shift: int | None = None) -> tuple[Rows, ...]:
    """All with one shift: the greatest at which multipliers have eight bits and no product leaves 32 bits."""
    peak = max(float(m.ratio.max()) for m in matrices)
    chosen = int(np.clip(np.floor(np.log2(255.0 / peak)), 0, MAX_SHIFT)) if shift is None else shift
    while True:
        rows = tuple(m.rounded(chosen) for m in matrices)
        if chosen == 0 or all(r.fits32 for r in rows):
            return rows
        chosen -= 1


def nearest(w: Array, steps: Array, top: int) -> Array:
    """Round to nearest, saturated: int8 within -top .. top."""
    return np.clip(np.rint(w / steps[:, None]), -top, top).astype(np.int8)


def compensated(w: Array, steps: Array, top: int, inputs: Moments) -> Array:
    """GPTQ (Frantar et al. 2023): round column by column, spread each error over the columns still to come.

    w: [rows, cols], steps: [rows, cols] or [rows, 1]. int8 within -top - 1 .. top.
    """
    order, upper = inputs.order, inputs.upper
    rest, rounded = w[:, order].astype(np.float64), np.empty(w.shape, np.int8)
    spread = np.broadcast_to(steps, w.shape)[:, order]
    for at, column in enumerate(order):
        q = np.clip(np.rint(rest[:, at] / spread[:, at]), -top - 1, top)
        rounded[:, column] = q
        error = (rest[:, at] - q * spread[:, at]) / upper[at, at]
        rest[:, at + 1 :] -= np.outer(error, upper[at, at + 1 :])
    return rounded
