"""What convolutions and pools cost on the cluster: cycles of the busiest of eight cores.

Linear models whose terms are counted from the loops of the kernels. Instructions of inner loops are exact; what stands
around them was fitted to the simulator (`--timing gvsoc`) over the layers of image and keyword networks.
"""

from __future__ import annotations

import math
from typing import cast

from ...ir.graph import Node
from ...ops import MaxPool2D
from ..host.arguments import type_of
from .share import CORES

NONE, NARROW, TOP, HIGH, WIDE, HALVES = range(6)  # how products by multipliers are held: the enum in kernels/tw_sums.h
SCALE = {HALVES: 22.0, NARROW: 27.0, TOP: 39.0, HIGH: 63.0}  # instructions of 4 results in assembly, mulh 5 and mul 2
PLAIN = {NONE: 18.0, NARROW: 50.0, TOP: 50.0, HIGH: 50.0, WIDE: 50.0, HALVES: 50.0}  # one result in C
BANKS = 1.03  # cores wait for each other's banks

CALL = 1700.0  # arguments, divisions, code that other layers have driven out of the cache
SETTING = 14.0  # a channel's multiplier and addend for HALVES, once per call
PANEL = 230.0  # four pixels: where they are
NEXT = 30.0  # four pixels more in the same piece of assembly
GROUP, GROUP_HALVES = 92.0, 74.0  # four channels of a panel: bias, pointers, sums to memory and back
GATHER = (110.0, 12.0, 0.55)  # a window that is copied: per pixel, per row, per byte
JOIN = 42.0  # four bytes that a residual joins


def conv_cycles(node: Node, mode: int, *, by_channel: bool) -> float:
    """Cycles of a dense integer convolution."""
    co, ky, kx, ci = type_of(node, "w").static_shape
    n, oy, ox, _ = type_of(node, "y").static_shape
    words, total = -(-ky * kx * ci // 4), n * oy * ox
    pixels, channels = (total, -(-co // (4 * CORES)) * 4) if by_channel else (-(-total // CORES), co)
    panels, runs, copied = _panels(node, pixels)
    quick = mode in SCALE and type_of(node, "y").dtype.bits == 8
    groups, rest = divmod(min(channels, co), 4) if quick else (0, min(channels, co))
    group = (GROUP_HALVES if mode == HALVES else GROUP) + 24 * words + 4 * ky
    each = groups * (group + 4 * SCALE.get(mode, 0)) + -(-rest // 4) * (group + 120) + rest * 4 * PLAIN[mode]
    windows = copied * (GATHER[0] + GATHER[1] * ky + GATHER[2] * ky * kx * ci)
    join = JOIN * pixels * channels / 4 if "r" in node.operands else 0.0
    call, around = CALL, PANEL * panels
    if mode == HALVES:
        call += SETTING * groups * 4
    if mode == HALVES and not join and not rest:
        around = PANEL * runs + NEXT * panels
    return BANKS * (call + around + panels * each + windows + join)


def _panels(node: Node, pixels: int) -> tuple[int, float, float]:
    """Groups of 4 pixels of one core, runs of groups side by side, and how many pixels' windows it copies."""
    _, ky, kx, ci = type_of(node, "w").static_shape
    _, h, width, _ = type_of(node, "x").static_shape
    _, oy, ox, _ = type_of(node, "y").static_shape
    (sy, sx), (dy, dx), (top, left, _, _) = (node.op.attributes[a] for a in ("stride", "dilation", "pad"))
    if ky == kx == sy == sx == 1 and not any(node.op.attributes["pad"]):
        return -(-pixels // 4), 1.0 if ci % 4 == 0 else pixels / 4, 0.0 if ci % 4 == 0 else float(pixels)
    if dx != 1 or kx * ci % 4:
        return -(-pixels // 4), pixels / 4, float(pixels)
    near, far = -(-left // sx), min((width + left - kx) // sx + 1, ox)
    begin = -(-near // 4) * 4
    direct = max(far - begin, 0) // 4 * 4
    inner = ox - direct  # copied in a row without padding above or below
    rows = pixels / ox
    above = min(-(-top // sy), rows)
    below = min(max(oy - ((h + top - (ky - 1) * dy - 1) // sy + 1), 0), rows)
    edge = max(above, below) if rows < oy else above + below
    inside = max(rows - edge, 0)
    copied = edge * ox + inside * inner
    return -(-pixels // 4), copied / 4 + (inside if direct else 0.0), copied


STRIP = 320.0  # a strip: where it begins
ENTRY = 18.0  # 4 places of 4 channels
LINE = 100.0  # a channel of a line or of two: before the loop
SUMS = (60.0, 25.0, 11.0)  # in C: a channel, a result, a product of 4


def depthwise_cycles(node: Node, mode: int, *, by_channel: bool, along: int) -> float:
    """Cycles of an integer depthwise convolution with strips along an axis (0 is y)."""
    shape, kernel = type_of(node, "y").static_shape, type_of(node, "w").static_shape
    n, results, across, channels = shape[0], shape[1 + along], shape[2 - along], shape[3]
    stride, dilation = node.op.attributes["stride"], node.op.attributes["dilation"]
    lines: float = n * across
    if by_channel:
        quads = -(-channels // (4 * CORES))
    else:
        quads, lines = -(-channels // 4), float(-(-lines // CORES))
    chunks, u, v = -(-kernel[1 - along] // 4), kernel[along], kernel[1 - along]
    shared = (4 - v) // stride[1 - along] + 1 if chunks == 1 and dilation[1 - along] == 1 else 1
    length = (results - 1) * stride[along] + (u - 1) * dilation[along] + 1
    strips = math.ceil(lines / shared)
    build = strips * chunks * (STRIP + ENTRY * length)
    lanes = min(channels, 4)
    if u == 3 and chunks == 1 and dilation[along] == 1 and mode in SCALE and type_of(node, "y").dtype.bits == 8:
        positive = mode == NARROW and node.op.attributes["epilogue"].low == 0
        one = 11.0 if positive else {NARROW: 13.0, TOP: 16.0, HIGH: 22.0}[mode]
        pairs = lines // 2 if shared > 1 else 0
        work = lanes * (pairs * (LINE + (2 * one - 3) * results) + (lines - 2 * pairs) * (LINE + one * results))
    else:
        work = lanes * lines * (chunks * (SUMS[0] + results * (SUMS[1] + SUMS[2] * u)) + results * PLAIN[mode])
    return float(BANKS * (CALL + quads * (build + work)))


def window_sums_cycles(node: Node, mode: int, *, by_channel: bool) -> float:
    """Cycles of the sums of windows, of four channels at a time, and of what becomes of them."""
    n, oy, ox, channels = type_of(node, "y").static_shape
    ky, kx, _ = type_of(node, "w").static_shape
    quads, few, bare = channels // 4, channels % 4, mode == NONE and "b" not in node.operands
    rows, groups = (n * oy, -(-quads // CORES)) if by_channel else (-(-n * oy // CORES), quads)
    four = 85.0 + ox * (25.5 + ky * (3.0 + 6.4 * kx))
    if not bare:
        four += 225.0 + ox * (18.5 + 4 * (PLAIN[mode] + 6))
    some = 280.0 + few * ox * (34.0 + ky * (10.3 + 6.8 * kx) + PLAIN[mode]) if few else 0.0
    each = max(groups * four, some) if by_channel else groups * four + some
    return BANKS * (300.0 + rows * each)


FLOAT_CALL = 500.0
PAIR = 415.0  # two pixels: where their windows begin, which takes divisions
RESULT = 52.0  # bias, clip, store
ELEMENT = 76.0  # an element of the windows of two pixels, or 32 channels of it: where it is
EIGHT = 19.2  # products, of 4 channels and 2 pixels: the cores share four floating-point units
RUN = 32  # channels of an element at a time, as in kernels/cluster_conv_f32.c


def float_cycles(node: Node) -> float:
    """Cycles of an fp32 convolution; pixels go in pairs, and a single one takes as long."""
    n, oy, ox, channels = type_of(node, "y").static_shape
    pixels, groups, w = -(-n * oy * ox // CORES), -(-channels // 4), type_of(node, "w").static_shape
    if len(w) == 3:
        return FLOAT_CALL + pixels * (60.0 + groups * (200.0 + 40.0 * w[0] + 20.0 * w[0] * w[1]))
    _, ky, kx, ci = w
    each = ky * kx * (ELEMENT * -(-ci // RUN) + EIGHT * ci)
    return FLOAT_CALL + -(-pixels // 2) * (PAIR + groups * each) + pixels * channels * RESULT


def pool_cycles(node: Node, *, by_channel: bool, lanes: int) -> float:
    """Cycles of a pool; `lanes` channels are compared or added at a time."""
    n, oy, ox, channels = type_of(node, "y").static_shape
    total = n * oy * ox
    pixels, mine = (total, -(-channels // CORES)) if by_channel else (-(-total // CORES), channels)
    ky, kx = cast(tuple[int, int], node.op.attributes["kernel"])
    if lanes == 1:
        base, tap = (26.0, 12.5) if isinstance(node.op, MaxPool2D) else (30.0, 7.8)
        return 400.0 + pixels * (110.0 + mine * (base + tap * ky * kx))
    mine = -(-mine // lanes) * lanes if by_channel else mine
    words, rest = divmod(min(mine, channels), lanes)
    return 400.0 + pixels * (101.0 + words * (14.5 + ky * (3 + 3 * kx)) + rest * (65 + 11 * ky * kx))
