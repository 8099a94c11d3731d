"""How the host's kernels want constants and state laid out."""

from __future__ import annotations

import math

import numpy as np

from ...ir.domain import Box
from ...ir.types import Array
from ..base import Packing

GROUP = 16  # floats that a kernel works on at a time: TW_GROUP in kernels/tw_math.h


def padded(size: int) -> int:
    """The size rounded up to whole groups."""
    return -(-size // GROUP) * GROUP


def _pack_panels(weight: Array) -> Array:
    """[rows, cols] -> [rows / 16][cols][16], missing rows are zero."""
    rows, cols = weight.shape
    filled = np.zeros((padded(rows), cols), weight.dtype)
    filled[:rows] = weight
    return np.ascontiguousarray(filled.reshape(-1, GROUP, cols).transpose(0, 2, 1)).reshape(-1)


def _unpack_panels(packed: Array, shape: tuple[int, ...]) -> Array:
    rows, cols = shape
    return np.asarray(packed.reshape(-1, cols, GROUP).transpose(0, 2, 1).reshape(-1, cols)[:rows])


def _pack_filters(weight: Array) -> Array:
    """[co, ky, kx, ci] -> [co / 16][ky][kx][ci][16], missing channels are zero."""
    return _pack_panels(weight.reshape(weight.shape[0], -1))


def _unpack_filters(packed: Array, shape: tuple[int, ...]) -> Array:
    return _unpack_panels(packed, (shape[0], math.prod(shape[1:]))).reshape(shape)


def _pack_pairs(weight: Array) -> Array:
    """[co, ...] -> [co / 16][depth / 2][16][2], depth being the product of the rest; what is missing is zero."""
    rows, cols = weight.shape[0], math.prod(weight.shape[1:])
    filled = np.zeros((padded(rows), cols + cols % 2), weight.dtype)
    filled[:rows, :cols] = weight.reshape(rows, cols)
    return np.ascontiguousarray(filled.reshape(-1, GROUP, (cols + 1) // 2, 2).transpose(0, 2, 1, 3)).reshape(-1)


def _unpack_pairs(packed: Array, shape: tuple[int, ...]) -> Array:
    rows, cols = shape[0], math.prod(shape[1:])
    panels = packed.reshape(-1, (cols + 1) // 2, GROUP, 2).transpose(0, 2, 1, 3)
    return np.asarray(panels.reshape(padded(rows), -1)[:rows, :cols].reshape(shape))


def _pack_channels(state: Array) -> Array:
    """[capacity, channels] -> [channels][pitch], missing positions are zero."""
    capacity, channels = state.shape
    filled = np.zeros((channels, padded(capacity)), state.dtype)
    filled[:, :capacity] = state.T
    return filled.reshape(-1)


def _unpack_channels(packed: Array, shape: tuple[int, ...]) -> Array:
    capacity, channels = shape
    return np.asarray(packed.reshape(channels, -1)[:, :capacity].T)


def _region_of_channels(box: Box, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """All positions of some channels follow each other."""
    positions, (first, stop) = box
    pitch = padded(shape[0])
    return (first * pitch, (stop - first) * pitch) if positions == (0, shape[0]) else None


def _pack_nibbles(weight: Array) -> Array:
    """[rows, cols] of 4 bits -> [rows / 16][(cols + 1) / 2][16] bytes: even column below, odd column above."""
    rows, cols = weight.shape
    even = np.zeros((rows, cols + cols % 2), np.int8)
    even[:, :cols] = weight
    return _pack_panels((even[:, ::2] & 15 | even[:, 1::2] << 4).astype(np.int8))


def _unpack_nibbles(packed: Array, shape: tuple[int, ...]) -> Array:
    rows, cols = shape
    both = _unpack_panels(packed, (rows, (cols + 1) // 2))
    columns = np.stack([((both & 15) ^ 8) - 8, both >> 4], axis=-1).reshape(rows, -1)
    return np.asarray(columns[:, :cols].astype(np.int8))


PANELS = Packing("panels of 16 rows", _pack_panels, _unpack_panels)
FILTERS = Packing("filters of 16 channels", _pack_filters, _unpack_filters)
PAIRS = Packing("pairs of 16 rows", _pack_pairs, _unpack_pairs)
NIBBLES = Packing("panels of 16 rows, two columns to a byte", _pack_nibbles, _unpack_nibbles)
CHANNELS = Packing(
    "channel by channel, positions in groups of 16", _pack_channels, _unpack_channels, _region_of_channels
)
