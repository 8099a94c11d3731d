"""N-EUREKA layers for tests: their meaning in numpy, the packing of weights, the job registers that ask for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
XIN, YOUT, WEIGHTS, SCALE, SHIFTS, BIAS = 0x10004000, 0x10014000, 0x10024000, 0x1003C000, 0x1003C800, 0x1003D000
WMEM_OFFSET = 0x100
GUARD = 64  # bytes before and behind the output that have to survive


@dataclass(frozen=True)
class Layer:
    """A legal job. Sizes are those of the output; padding is (top, right, bottom, left); 3x3 inputs are larger by 2."""

    mode: str  # "1x1", "3x3", "depthwise"
    cin: int
    cout: int
    height: int
    width: int
    weight_bits: int = 8
    weight_offset: int = -128
    signed: bool = True
    relu: bool = False
    out_bits: int = 8
    scale_bits: int = 8  # 0: no normalisation
    bias: bool = True
    channel_shift: bool = False
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: int = 0
    mask: int = 0  # bit = 1: tap off
    stream_in: bool = False
    in_wmem: bool = True
    prefetch: bool = False
    pixel_gap: int = 0  # bytes between input pixels, rows likewise; outputs have the same gaps
    row_gap: int = 0
    skew: int = 0  # bytes that input and output are moved off their aligned places
    seed: int = 0

    @property
    def kernel(self) -> int:
        return 1 if self.mode == "1x1" else 3

    @property
    def input_shape(self) -> tuple[int, int, int]:
        top, right, bottom, left = self.padding
        grow = self.kernel - 1
        return self.height + grow - top - bottom, self.width + grow - left - right, self.cin


@dataclass(frozen=True)
class Tensors:
    """What a job reads: integers, not yet bytes. `y0` is what lies at the output before."""

    x: Ints
    weights: Ints  # unsigned, (cout, cin or 1, k, k)
    scale: Ints
    bias: Ints
    shifts: Ints
    y0: Ints
    shift: int


def tensors(layer: Layer) -> Tensors:
    rng = np.random.default_rng(layer.seed)
    low, high = (-128, 128) if layer.signed else (0, 256)
    x = rng.integers(low, high, layer.input_shape)
    taps = layer.kernel**2
    weights = rng.integers(
        0,
        1 << layer.weight_bits,
        (layer.cout, 1 if layer.mode == "depthwise" else layer.cin, layer.kernel, layer.kernel),
    )
    largest = 256 * max(abs(layer.weight_offset), abs(layer.weight_offset + (1 << layer.weight_bits) - 1)) * taps
    largest *= 1 if layer.mode == "depthwise" else layer.cin
    y0 = (
        rng.integers(-100_000, 100_000, (layer.height, layer.width, layer.cout))
        if layer.stream_in
        else np.zeros(0, np.int64)
    )
    top = (
        (1 << layer.scale_bits) - 1
        if layer.bias
        else min((1 << layer.scale_bits) - 1, (2**31 - 1) // (largest + 100_000))
    )
    scale = rng.integers(0, max(top, 0) + 1, layer.cout)
    bias = rng.integers(-(2**31), 2**31, layer.cout) >> rng.integers(0, 31)
    return Tensors(x, weights, scale, bias, rng.integers(0, 32, layer.cout), y0, int(rng.integers(0, 32)))


def reference(layer: Layer, t: Tensors) -> Ints:
    """The convolution, its normalisation and clipping; shape (height, width, cout)."""
    top, right, bottom, left = layer.padding
    x = np.pad(t.x, ((top, bottom), (left, right), (0, 0)), constant_values=layer.pad_value)
    w = t.weights + layer.weight_offset
    acc = np.zeros((layer.height, layer.width, layer.cout), np.int64)
    for ky in range(layer.kernel):
        for kx in range(layer.kernel):
            if layer.mask >> (layer.kernel * ky + kx) & 1:
                continue
            window = x[ky : ky + layer.height, kx : kx + layer.width]
            acc += window * w[:, 0, ky, kx] if layer.mode == "depthwise" else window @ w[:, :, ky, kx].T
    if layer.stream_in:
        acc = acc + t.y0
    if not layer.scale_bits:
        return acc
    y = acc * t.scale
    if layer.bias:
        y = (y + t.bias + 2**31) % 2**32 - 2**31
    y = y >> (t.shifts if layer.channel_shift else np.int64(t.shift))
    if layer.out_bits == 32:
        return np.asarray(np.maximum(y, 0) if layer.relu else y)
    return np.asarray(np.clip(y, 0, 255) if layer.relu else np.clip(y, -128, 127))


def pack_weights(weights: Ints, bits: int, depthwise: bool = False) -> bytes:
    """256-bit words of bit planes. 3x3: bit 28 * tap + channel; 1x1: always eight planes, four channels abreast."""
    if depthwise:
        weights = weights.transpose(1, 0, 2, 3)
    cout, cin, kernel, _ = weights.shape
    lanes = 32 if kernel == 1 else 28
    tiles = -(-cin // lanes)
    full = np.zeros((cout, tiles * lanes, kernel * kernel), np.int64)
    full[:, :cin] = weights.reshape(cout, cin, -1)
    full = full.reshape(cout, tiles, lanes, kernel * kernel)
    if kernel == 1:
        planes = full.reshape(cout, tiles, 8, 1, 4) >> np.arange(8).reshape(8, 1) & 1
        words = planes.reshape(cout, tiles, 256)
    else:
        planes = full.transpose(0, 1, 3, 2)[:, :, None] >> np.arange(bits).reshape(-1, 1, 1) & 1
        words = np.zeros((cout, tiles, bits, 256), np.int64)
        words[..., :252] = planes.reshape(cout, tiles, bits, 252)
    return np.packbits(words.reshape(-1).astype(np.uint8), bitorder="little").tobytes()


def strides(layer: Layer, channels: int, width: int, element: int) -> tuple[int, int]:
    """Bytes from pixel to pixel and from row to row. Gaps of 32-bit outputs stay whole words."""
    pixel = channels * element + layer.pixel_gap * element
    return pixel, width * pixel + layer.row_gap * element


def remainder(size: int, tile: int) -> int:
    return (size - 1) % tile + 1


def tiles(size: int, tile: int) -> int:
    return (size - 1) // tile + 1


def registers(layer: Layer, t: Tensors) -> list[int]:
    """The 24 job registers."""
    top, right, bottom, left = layer.padding
    grow, depthwise = layer.kernel - 1, layer.mode == "depthwise"
    lanes_in, lanes_out = (32 if layer.kernel == 1 else 28), (28 if depthwise else 32)
    in_pixel, in_row = strides(layer, layer.cin, layer.input_shape[1], 1)
    out_pixel, out_row = strides(layer, layer.cout, layer.width, layer.out_bits // 8)
    input_tiles = tiles(layer.cin, lanes_in)
    skew_out = layer.skew if layer.out_bits == 8 else 4 * layer.skew
    r = [0] * 24
    r[0] = WMEM_OFFSET if layer.in_wmem else WEIGHTS
    r[1] = XIN + layer.skew - top * in_row - left * in_pixel
    r[2], r[3], r[4], r[5] = YOUT + skew_out, SCALE, SHIFTS, BIAS
    r[6], r[7] = in_pixel, in_row
    r[9], r[10], r[11] = 32, out_pixel, out_row
    r[12] = 32
    r[13] = 0 if depthwise else 32 * input_tiles * (1 if layer.kernel == 1 else layer.weight_bits)
    r[15] = remainder(layer.cout, lanes_out) << 16 | remainder(layer.cin, lanes_in)
    r[16] = remainder(layer.height, 6) << 16 | remainder(layer.width, 6)
    r[17] = (remainder(layer.height, 6) + grow - bottom) << 16 | (remainder(layer.width, 6) + grow - right)
    r[18] = tiles(layer.cout, lanes_out) << 16 | input_tiles
    r[19] = tiles(layer.height, 6) << 16 | tiles(layer.width, 6)
    r[20] = top << 28 | right << 24 | bottom << 20 | left << 16 | (layer.pad_value & 0xFFFF)
    r[21], r[22] = layer.weight_offset & 0xFFFFFFFF, layer.mask
    r[23] = configuration(layer, t)
    return r


def configuration(layer: Layer, t: Tensors) -> int:
    mode = {"3x3": 0, "depthwise": 1, "1x1": 2}[layer.mode]
    shift = t.shift if layer.scale_bits and not layer.channel_shift else 0
    flags = (
        (layer.weight_bits - 1, 0), (bool(layer.scale_bits), 4), (mode, 5), (layer.in_wmem, 9), (layer.prefetch, 10),
        (2 if layer.scale_bits == 32 else 0, 12), (layer.stream_in, 14), (1, 15), (shift, 16),
        (2 if layer.out_bits == 32 else 0, 21), (not layer.relu, 23), (layer.channel_shift, 24),
        (bool(layer.scale_bits) and layer.bias, 25), (layer.signed, 26),
    )  # fmt: skip
    return sum(int(value) << at for value, at in flags)


def place(values: Ints, pixel: int, row: int, element: int, fill: int) -> bytes:
    """A (height, width, channels) tensor as strided bytes; gaps hold `fill`."""
    height, width, channels = values.shape
    image = np.full((height - 1) * row + (width - 1) * pixel + channels * element, fill, np.uint8)
    raw = (
        (values & ((1 << 8 * element) - 1))
        .astype(f"<u{element}")
        .view(np.uint8)
        .reshape(height, width, channels * element)
    )
    for y in range(height):
        for x in range(width):
            image[y * row + x * pixel : y * row + x * pixel + channels * element] = raw[y, x]
    return image.tobytes()


def input_image(layer: Layer, t: Tensors) -> bytes:
    return place(t.x, *strides(layer, layer.cin, layer.input_shape[1], 1), 1, 0x5B)


def output_image(layer: Layer, values: Ints) -> bytes:
    element = layer.out_bits // 8
    return place(values, *strides(layer, layer.cout, layer.width, element), element, 0xA5)
