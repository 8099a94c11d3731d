"""Weights as N-EUREKA reads them: words of 256 bits, in which the bits of many weights lie side by side.

Weights are unsigned there: what is stored is `w - low`, and the engine adds `low` times the sum of the inputs. Inputs
past the last one are taken as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...ir.domain import Box
from ...ir.types import Array
from ..base import Packing

WORD = 32  # bytes
POINT_INPUTS = 32  # of a word in 1x1 mode
TAP_INPUTS = 28  # of each of the nine taps of a word in 3x3 modes
TAPS = 9


@dataclass(frozen=True)
class Levels:
    """The values that weights take: `low` and the 2^bits - 1 above."""

    low: int
    bits: int

    @staticmethod
    def of(weights: Array) -> Levels:
        """The fewest bits that hold these weights, and zero; of eight, all bytes, so that layers are alike."""
        return Levels.between(min(0, int(weights.min(initial=0))), max(0, int(weights.max(initial=0))))

    @staticmethod
    def between(low: int, high: int) -> Levels:
        """The same for values from `low` to `high`."""
        bits = max(2, (high - low).bit_length())
        return Levels(low, bits) if bits < 8 else ALL_BYTES

    @property
    def high(self) -> int:
        return self.low + (1 << self.bits) - 1


ALL_BYTES = Levels(-128, 8)


def point_words(weights: Array, low: int) -> Array:
    """[outputs, inputs] -> bytes [outputs, tiles of 32 inputs, 32]; all eight bits whatever the weights have.

    A word is eight groups of four inputs: their bits 0, then their bits 1, and so on.
    """
    outputs, inputs = weights.shape
    filled = np.zeros((outputs, -(-inputs // POINT_INPUTS) * POINT_INPUTS), np.uint8)
    filled[:, :inputs] = weights.astype(np.int16) - low
    bits = np.unpackbits(filled.reshape(outputs, -1, 8, 4, 1), axis=4, bitorder="little")
    return np.packbits(bits.swapaxes(3, 4).reshape(outputs, -1, 8 * WORD), axis=2, bitorder="little")


def point_weights(words: Array, inputs: int, low: int) -> Array:
    """The inverse of `point_words`."""
    bits = np.unpackbits(words.reshape(-1, WORD), axis=1, bitorder="little").reshape(-1, 8, 8, 4)
    stored = np.packbits(bits.swapaxes(2, 3), axis=3, bitorder="little").reshape(words.shape[0], -1)
    return np.asarray(stored[:, :inputs].astype(np.int16) + low)


def tap_words(weights: Array, levels: Levels) -> Array:
    """[outputs, taps, inputs] -> bytes [outputs, tiles of 28 inputs, bits, 32]: a word has one bit of every weight.

    What is missing is a weight of zero.
    """
    outputs, _, inputs = weights.shape
    tiles = -(-inputs // TAP_INPUTS)
    filled = np.full((outputs, TAPS, tiles * TAP_INPUTS), -levels.low, np.uint8)
    filled[:, :, :inputs] = weights.astype(np.int16) - levels.low
    by_tile = filled.reshape(outputs, TAPS, tiles, TAP_INPUTS).transpose(0, 2, 1, 3).reshape(outputs, tiles, 1, -1)
    planes = by_tile >> np.arange(levels.bits, dtype=np.uint8)[:, None] & 1
    return np.packbits(planes, axis=3, bitorder="little")


def tap_weights(words: Array, inputs: int, levels: Levels) -> Array:
    """The inverse of `tap_words`."""
    outputs, tiles = words.shape[:2]
    planes = np.unpackbits(words, axis=3, bitorder="little")[..., : TAPS * TAP_INPUTS]
    stored = (planes.astype(np.int16) << np.arange(levels.bits)[:, None]).sum(axis=2)
    by_tap = stored.reshape(outputs, tiles, TAPS, TAP_INPUTS).transpose(0, 2, 1, 3).reshape(outputs, TAPS, -1)
    return np.asarray(by_tap[:, :, :inputs] + levels.low)


def point_packing(low: int) -> Packing:
    """Of matrices [outputs, inputs], or filters [outputs, 1, 1, inputs], for 1x1 jobs."""

    def tiles(shape: tuple[int, ...]) -> int:
        return -(-shape[-1] // POINT_INPUTS)

    def pack(weights: Array) -> Array:
        return point_words(weights.reshape(weights.shape[0], -1), low).reshape(-1).view(np.int8)

    def unpack(packed: Array, shape: tuple[int, ...]) -> Array:
        words = packed.view(np.uint8).reshape(shape[0], tiles(shape), WORD)
        return point_weights(words, shape[-1], low).astype(packed.dtype).reshape(shape)

    return Packing(f"N-EUREKA 1x1 from {low}", pack, unpack, _rows_of(lambda shape: tiles(shape) * WORD))


def tap_packing(levels: Levels) -> Packing:
    """Of filters [outputs, 3, 3, inputs], for 3x3 jobs."""

    def size(shape: tuple[int, ...]) -> int:
        return -(-shape[3] // TAP_INPUTS) * levels.bits * WORD

    def pack(weights: Array) -> Array:
        return tap_words(weights.reshape(len(weights), TAPS, -1), levels).reshape(-1).view(np.int8)

    def unpack(packed: Array, shape: tuple[int, ...]) -> Array:
        words = packed.view(np.uint8).reshape(shape[0], -1, levels.bits, WORD)
        return tap_weights(words, shape[3], levels).astype(packed.dtype).reshape(shape)

    return Packing(f"N-EUREKA 3x3 {levels}", pack, unpack, _rows_of(size))


def depth_packing(levels: Levels) -> Packing:
    """Of filters [3, 3, channels], for depthwise jobs: a word has 28 channels."""

    def pack(weights: Array) -> Array:
        return tap_words(weights.reshape(1, TAPS, -1), levels).reshape(-1).view(np.int8)

    def unpack(packed: Array, shape: tuple[int, ...]) -> Array:
        words = packed.view(np.uint8).reshape(1, -1, levels.bits, WORD)
        return tap_weights(words, shape[2], levels).astype(packed.dtype).reshape(shape)

    def region(box: Box, shape: tuple[int, ...]) -> tuple[int, int] | None:
        first, stop = box[2]
        if box[:2] != ((0, 3), (0, 3)) or first % TAP_INPUTS or (stop % TAP_INPUTS and stop != shape[2]):
            return None
        tile = levels.bits * WORD
        return first // TAP_INPUTS * tile, (-(-stop // TAP_INPUTS) - first // TAP_INPUTS) * tile

    return Packing(f"N-EUREKA depthwise {levels}", pack, unpack, region)


def _rows_of(size: Callable[[tuple[int, ...]], int]) -> Callable[[Box, tuple[int, ...]], tuple[int, int] | None]:
    """Where rows of outputs lie, each of `size(shape)` bytes."""

    def region(box: Box, shape: tuple[int, ...]) -> tuple[int, int] | None:
        if any(axis != (0, extent) for axis, extent in zip(box[1:], shape[1:], strict=True)):
            return None
        first, stop = box[0]
        return first * size(shape), (stop - first) * size(shape)

    return region


def each_output(outputs: int, dtype: np.dtype[Any], bits: int) -> Packing:
    """Of a parameter [1] or [outputs] of a type: one element of so many bits for each output."""
    element = np.dtype(np.uint8 if bits == 8 else np.int32)

    def pack(values: Array) -> Array:
        each = np.broadcast_to(values, outputs) if values.size == 1 else values
        stored = each.astype(element).view(np.uint8)
        filled = np.zeros(-(-stored.size // dtype.itemsize) * dtype.itemsize, np.uint8)
        filled[: stored.size] = stored
        return filled.view(dtype)

    def unpack(packed: Array, shape: tuple[int, ...]) -> Array:
        return np.asarray(packed.view(element)[: math.prod(shape)].astype(dtype).reshape(shape))

    return Packing(f"N-EUREKA {bits} bits for {outputs}", pack, unpack)
