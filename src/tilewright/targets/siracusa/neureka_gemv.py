"""Rows for one row of inputs on N-EUREKA: 3x3 jobs, whose words of weights hold 252 of them instead of 32.

A word has weights of nine taps and 28 channels. The inputs are laid under the taps so that few are left out: as nine
pixels of one window, or as fewer pixels that several windows see under different taps, one for each of several rows of
weights. Such rows share a channel, and so the multiplier and the addend.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import Array
from ...ops import FirstSums, Linear
from ..base import Kernel, Packing
from ..host.arguments import type_of
from .dense import one_row
from .neureka_job import Job, Mode
from .neureka_rows import POINTS, Constants, by_output, constants_of, finished, outputs_of_one_row, row
from .neureka_weights import TAP_INPUTS, TAPS, WORD, Levels, tap_weights, tap_words
from .share import up

RUNS = 6  # of rows that share a multiplier and an addend; each is a job


@dataclass(frozen=True)
class Run:
    """Rows of weights from `first` to `stop`: the multiplier and the addend of each are those `turn` rows before."""

    first: int
    stop: int
    turn: int = 1

    @property
    def rows(self) -> int:
        return self.stop - self.first


@dataclass(frozen=True)
class Windows:
    """How many windows of results there are, and how many pixels of inputs lie under each."""

    name: str
    high: int
    wide: int
    pixels: int

    def offsets(self, rows: int, turn: int = 1) -> tuple[int, int, int]:
        """Channels of a window, and rows of weights from one window to the next, aside and down: multiples of `turn`.

        Windows may overlap, so that they hold exactly `rows` rows: some of them are then computed twice.
        """
        for channels in range(up(rows, self.high * self.wide), rows + 1):
            for aside in range(channels - channels % turn, -1, -turn):
                line = channels + (self.wide - 1) * aside
                down, left = divmod(rows - line, self.high - 1) if self.high > 1 else (0, rows - line)
                if not left and 0 <= down <= line and down % turn == 0:
                    return channels, aside, down
        raise AssertionError("one window holds all rows")

    def index(self, rows: int, cols: int, turn: int = 1) -> Array:
        """Which weight of a matrix lies at [channel, tap, input], -1: none."""
        channels, aside, down = self.offsets(rows, turn)
        inputs = up(cols, self.pixels)
        found = np.full((channels, 3, 3, inputs), -1)
        for i in range(self.high):
            for j in range(self.wide):
                row = (i * down + j * aside + np.arange(channels))[:, None]
                for pixel in range(self.pixels):
                    col = pixel * inputs + np.arange(inputs)
                    tap = self._tap(i, j, pixel)
                    found[:, tap[0], tap[1]] = np.where(col < cols, row * cols + col, -1)
        return found.reshape(channels, TAPS, inputs)

    def _tap(self, i: int, j: int, pixel: int) -> tuple[int, int]:
        """Under which tap a window sees a pixel of the inputs."""
        if self.pixels == TAPS:
            return pixel // 3, pixel % 3
        return (pixel if self.pixels > 1 else 2 - i), 2 - j

    @property
    def pad(self) -> tuple[int, int, int, int]:
        return (self.high - 1, self.wide - 1) * 2


ONE = Windows("one", 1, 1, 9)
THREE = Windows("three", 1, 3, 3)
NINE = Windows("nine", 3, 3, 1)


def runs(constants: Constants) -> tuple[Run, ...]:
    """Rows of weights that share a multiplier and an addend, or have a few in turns."""
    if constants.turn:
        return (Run(0, constants.outputs, constants.turn),)
    return tuple(Run(*ends) for ends in itertools.pairwise((0, *constants.changes, constants.outputs)))


def few_runs(node: Node) -> bool:
    """Rows of weights share multipliers and addends: there are at most six runs of them, or up to three in turns"""
    return len(runs(constants_of(node))) <= RUNS


def _parts(windows: Windows, constants: Constants) -> tuple[Run, ...]:
    return (Run(0, constants.outputs),) if windows is ONE else runs(constants)


def _jobs(windows: Windows, node: Node, constants: Constants) -> Sequence[Job]:
    cols = type_of(node, "w").static_shape[1]
    size, job, inputs = type_of(node, "y").dtype.bits // 8, finished(node, constants), up(cols, windows.pixels)
    aside_in, down_in = (inputs, 3 * inputs) if windows.pixels == TAPS else (0, inputs if windows.pixels > 1 else 0)
    found: list[Job] = []
    w_at = mul_at = add_at = 0
    for run in _parts(windows, constants):
        channels, aside, down = windows.offsets(run.rows, run.turn)
        found.append(
            job(
                Mode.TAPS, inputs=inputs, outputs=channels, rows=windows.high, columns=windows.wide, pad=windows.pad,
                in_strides=(aside_in, down_in), out_strides=(size * aside, size * down), y_at=size * run.first,
                w_at=w_at, mul_at=mul_at, add_at=add_at,
            )
        )  # fmt: skip
        w_at += channels * up(inputs, TAP_INPUTS) * constants.levels.bits * WORD
        mul_at += _aligned(channels, constants.scale)
        add_at += 4 * channels
    return found


def _packings(windows: Windows, node: Node, constants: Constants) -> Mapping[str, Packing]:
    parts = _parts(windows, constants)
    found = {"w": weights_of(windows, parts, constants.levels)}
    if windows is ONE:
        return {**found, **by_output(node, constants)}
    for name, bits in (("mul", constants.scale), ("add", 32)) if constants.scale else ():
        found[name] = of_runs(windows, parts, type_of(node, name).dtype.numpy, bits)
    return found


def weights_of(windows: Windows, parts: Sequence[Run], levels: Levels) -> Packing:
    """Of matrices [rows, cols], some rows after the other."""

    def pack(weights: Array) -> Array:
        found = []
        for run in parts:
            index = windows.index(run.rows, weights.shape[1], run.turn)
            laid = np.where(index < 0, 0, weights[run.first : run.stop].reshape(-1)[index])
            found.append(tap_words(laid, levels).reshape(-1))
        return np.concatenate(found).view(np.int8)

    def unpack(packed: Array, shape: tuple[int, ...]) -> Array:
        weights, at = np.zeros(shape, packed.dtype), 0
        for run in parts:
            index = windows.index(run.rows, shape[1], run.turn)
            words = packed[at:].view(np.uint8).reshape(-1, up(index.shape[2], TAP_INPUTS), levels.bits, WORD)
            laid = tap_weights(words[: len(index)], index.shape[2], levels)
            weights[run.first : run.stop].reshape(-1)[index[index >= 0]] = laid[index >= 0]
            at += words[: len(index)].size
        return weights

    return Packing(f"N-EUREKA {windows.name} windows {levels} {parts}", pack, unpack)


def of_runs(windows: Windows, parts: Sequence[Run], dtype: np.dtype[Any], bits: int) -> Packing:
    """Of a parameter [1] or [rows] of a type that comes in turns throughout each run: an element for each channel."""
    element = np.dtype(np.uint8 if bits == 8 else np.int32)
    channels = [windows.offsets(run.rows, run.turn)[0] for run in parts]
    places = [sum(_aligned(n, bits) for n in channels[:i]) for i in range(len(channels) + 1)]
    size = up(places[-1], dtype.itemsize) * dtype.itemsize

    def pack(values: Array) -> Array:
        stored = np.zeros(size, np.uint8)
        for run, number, at in zip(parts, channels, places[:-1], strict=True):
            turn = values[run.first : min(run.first + run.turn, run.stop)] if values.size > 1 else values
            stored[at : at + number * element.itemsize].view(element)[:] = np.resize(turn, number)
        return stored.view(dtype)

    def unpack(packed: Array, shape: tuple[int, ...]) -> Array:
        each = packed.view(np.uint8)
        found = []
        for run, number, at in zip(parts, channels, places[:-1], strict=True):
            turn = each[at : at + number * element.itemsize].view(element)[: run.turn]
            found.append(np.resize(turn, run.rows).astype(dtype))
        return np.concatenate(found)[: shape[0]]

    return Packing(f"N-EUREKA {windows.name} windows {bits} bits {parts}", pack, unpack)


def _aligned(elements: int, bits: int) -> int:
    """Bytes of the parameters of a run: the next one begins with a word."""
    return 4 * up(elements * bits, 32)


def _row(windows: Windows, op: type[Op] = Linear) -> Kernel:
    return row(
        op, windows.name, lambda node, constants: _jobs(windows, node, constants),
        lambda node, constants: _packings(windows, node, constants), one_row,
        *((few_runs,) if windows is not ONE else ()), split=outputs_of_one_row, whole=True,
    )  # fmt: skip


PRODUCTS = (POINTS, *map(_row, (ONE, THREE, NINE)), _row(ONE, FirstSums))
