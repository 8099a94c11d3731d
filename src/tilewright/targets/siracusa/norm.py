"""Rows of norms and softmaxes of bytes, as QuantLib defines them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import DTYPES, Array, TensorType
from ...ops import IntegerLayerNorm, IntegerRMSNorm, IntegerSoftmax, ShiftSoftmax
from ...quant.requant import truncated
from ..base import Argument, Kernel, Packing, Rule, Split
from ..host.arguments import type_of
from ..host.generic import CTYPES, elements
from ..host.generic_quantize import constants_fit
from .share import flat, per_core

Arguments = Mapping[str, Argument]
LONGEST = 1 << 15  # channels: sums of squares of 9 bits, times 2, fit 31
_RANGE = "int first, int last"


def _length(node: Node) -> int:
    return type_of(node, "x").static_shape[-1]


def reciprocal(divisor: int) -> tuple[int, int]:
    """(m, shift) with p // divisor = (p m >> 32) >> shift for p below 2^31, m 0 for 1 (see kernels/rows_i8.c)."""
    if divisor == 1:
        return 0, 0
    bits = (divisor - 1).bit_length()
    return (1 << 31 + bits) // divisor + 1, bits - 1


def rows_are_short(node: Node) -> bool:
    """Rows have at most 2^15 channels, the shift is below 63"""
    return 0 < _length(node) <= LONGEST and 0 <= node.op.attributes["shift"] < 63


def _norm(node: Node) -> Arguments:
    m, shift = reciprocal(_length(node))
    steps = {f"{name}_step": int(elements(node, name) > 1) for name in "wb" if name in node.operands}
    return {"n": _length(node), "by_m": m, "by_shift": shift, "shift": node.op.attributes["shift"], **steps}


def one_weight(node: Node) -> bool:
    """Rows of a multiple of eight channels, at most 2^14, one constant weight, and factors that divide every byte"""
    n, w = _length(node), node.operands["w"].data
    if w is None or not n or n % 8 or n > 1 << 14 or _odd(n) >= 512 or w.min() != w.max():
        return False
    return factors(int(w.flat[0]), node.op.attributes["shift"]) is not None


def one_row(node: Node) -> bool:
    """A single row, of 16, 32, 64 ... channels"""
    shape, n = type_of(node, "x").static_shape, _length(node)
    return math.prod(shape) == n and n in (1 << bits for bits in range(4, 15))


def shifted(node: Node) -> bool:
    """A shift of 1 .. 31"""
    return 0 < int(node.op.attributes["shift"]) < 32


def small_weights(node: Node) -> bool:
    """A constant weight within 2^22 for each channel"""
    w = node.operands["w"].data
    return w is not None and w.size == _length(node) and int(np.abs(w.astype(np.int64)).max()) < 1 << 22


def _twice(w: Array) -> Array:
    return np.asarray(w << 1).reshape(-1)


DOUBLED = Packing("twice their value", _twice, lambda packed, shape: np.asarray(packed >> 1).reshape(shape))


def _odd(n: int) -> int:
    return n // (n & -n)


def _power_of_two(node: Node) -> Arguments:
    n = _length(node)
    return {"n": n, "bits": (n & -n).bit_length() - 1, "odd": (1 << 32) // _odd(n) + 1 if _odd(n) > 1 else 0}


ROOTS = 128  # of the mean of squares of bytes, plus one
_BELOW, _ABOVE = np.arange(-128, 0), np.arange(1, 128)
_CANDIDATES = 9  # multipliers that are tried
_HALF = 1 << 15


def _quotients(x: Array, w: int, shift: int) -> Array:
    """clip((x w / root) >> shift): [root][x]."""
    products, roots = x[None, :] * np.int64(w), np.arange(1, ROOTS + 1)[:, None]
    return np.asarray(np.clip(truncated(products, roots) >> shift, -128, 127))


def _multipliers(above: Array, k: Array) -> tuple[Array, Array]:
    """The least and the greatest M with x M >> k right for a root's bytes x > 0, but for what is clipped."""
    low = np.where(above > -128, -(-(above << k) // _ABOVE), -_HALF).max(1)
    high = np.where(above < 127, -(-(above + 1 << k) // _ABOVE) - 1, _HALF - 1).min(1)
    return low.clip(-_HALF), high.clip(max=_HALF - 1)


def _factors(below: Array, k: Array, low: Array, high: Array) -> Array:
    """M + 2^16 U, of 16 bits each, where U is k modulo 32 and (x M - U) >> k is right for a root's bytes x < 0, but for
    what is clipped; 0: none. Some multipliers from low to high are tried.
    """
    m = low[:, None] + (high - low)[:, None] * np.arange(_CANDIDATES) // (_CANDIDATES - 1)
    products = m[:, :, None] * _BELOW
    greatest = (np.where(below > -128, -(below << k), 1 << 24)[:, None, :] + products).min(2)
    least = (np.where(below < 127, 1 - (below + 1 << k), -(1 << 24))[:, None, :] + products).max(2)
    u = greatest.clip(max=_HALF - 1)
    u -= (u - k) % 32
    room = np.where(u >= least.clip(-_HALF), greatest - least, -1)
    rows, best = np.arange(len(k)), room.argmax(1)
    return np.asarray(np.where(room[rows, best] >= 0, (u[rows, best] << 16) + (m[rows, best] & 0xFFFF), 0))


@lru_cache(maxsize=256)
def factors(w: int, shift: int) -> tuple[int, ...] | None:
    """A factor for every root; None where there is none. tw_rms_norm_one says what a factor does."""
    if w <= 0:
        return None
    below, above = _quotients(_BELOW, w, shift), _quotients(_ABOVE, w, shift)
    slope = np.where(above < 127, (above + 1) / _ABOVE, 128.0).min(1)  # 2^k times that is at least M
    k = np.minimum(31, 15 - np.floor(np.log2(slope)).astype(np.int64))
    found = np.zeros(ROOTS, np.int64)
    while (left := np.flatnonzero((found == 0) & (k >= 0))).size:
        low, high = _multipliers(above[left], k[left, None])
        some = low <= high
        tried = left[some]
        found[tried] = _factors(below[tried], k[tried, None], low[some], high[some])
        k[left] -= 1
    return tuple(map(int, found)) if found.all() else None


@lru_cache(maxsize=64)
def by_root(shift: int) -> Packing:
    """The weight, and behind it factors by root."""

    def pack(w: Array) -> Array:
        found = factors(int(w.flat[0]), shift) or (0,) * ROOTS
        return np.array([w.flat[0], *found]).astype(w.dtype)

    return Packing(
        f"the weight, then factors with a shift of {shift}", pack,
        lambda packed, shape: np.full(shape, packed[0], packed.dtype),
    )  # fmt: skip


def _rows_cost(call: float, per_row: float, per_input: float, per_output: float) -> Callable[[Node], float]:
    """Cycles of a call, of each row that a core touches, of each element read for it, of each element made;
    measured on the chip's simulator.
    """

    def cycles(node: Node) -> float:
        own, n = per_core(elements(node)), _length(node)
        touched = math.ceil(own / n) if own % n == 0 or own < n else math.ceil(own / n) + 1
        return call + touched * (per_row + per_input * n) + per_output * own

    return cycles


def exponentials(op: IntegerSoftmax) -> list[int]:
    """e(d) for every distance d = 0 .. 255 from the maximum."""
    values = []
    for d in range(256):
        z = min(d // op.log2, 31)
        values.append((op.a * (z * op.log2 - d + op.b) ** 2 + op.c) >> z)
    return values


def _is_wide(node: Node) -> bool:
    peak = max(exponentials(cast(IntegerSoftmax, node.op)))
    return peak >= 1 << 11 or peak * _length(node) >= 1 << 20


def exponentials_are_numbers(node: Node) -> bool:
    """No exponential is negative, the first is not 0, all fit 23 bits, their sum 32; factors fit 16 bits"""
    op, values = cast(IntegerSoftmax, node.op), exponentials(cast(IntegerSoftmax, node.op))
    least = 256 if _is_wide(node) else 1
    square = abs(op.b) + 256 + op.log2 < 1 << 15
    sums = max(values) < 1 << 23 and max(values) * _length(node) < 1 << 32
    return min(values) >= 0 and values[0] >= least and sums and square and 2 <= op.log2 < 1 << 15


def _softmax(node: Node) -> Arguments:
    op = cast(IntegerSoftmax, node.op)
    inverse = -(-(1 << 16) // op.log2)
    return {
        "n": _length(node), "a": op.a, "b": op.b, "c": op.c, "log2": op.log2, "inverse": inverse,
        "levels": op.levels, "wide": int(_is_wide(node)),
    }  # fmt: skip


def _softmax_examples(dtype: str) -> Callable[[Any], Any]:
    """Long rows too, and exponentials of few bits."""

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        b, log2 = draw(st.integers(1, 345)), draw(st.integers(2, 260))
        op = IntegerSoftmax(draw(st.integers(1, 2)), b, draw(st.integers(0, 62395)), log2, draw(st.integers(2, 256)))
        shape = (draw(st.integers(1, 12)), draw(st.integers(1, 140)))
        return op, (TensorType(shape, DTYPES[dtype]),)

    return examples


def _norm_examples(op: type[Op]) -> Callable[[Any], Any]:
    """Long rows too."""

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        n = draw(st.sampled_from([1, 2, 3, 16, 64, 100]))
        channel = TensorType((draw(st.sampled_from([1, n])),), DTYPES["i32"])
        more = (channel,) if op is IntegerRMSNorm else (channel, TensorType((n,), DTYPES["i32"]))
        shape = (draw(st.integers(1, 12)), n)
        return op(draw(st.integers(0, 30))), (TensorType(shape, DTYPES["i8"]), *more)  # type: ignore[call-arg]

    return examples


def rows_at_once(node: Node) -> bool:
    """Rows are short and not streamed in groups: their maximum is known"""
    return cast(ShiftSoftmax, node.op).group == 0 and 0 < _length(node) <= LONGEST


def _softmax_row(dtype: str) -> Kernel:
    return Kernel(
        IntegerSoftmax, "rows_i8.c", f"tw_softmax_rows_{dtype}",
        f"const {CTYPES[dtype]} *x, uint8_t *y, int32_t *scratch, int n, int a, int b, int c, int log2, int inverse,"
        f" int levels, int wide, {_RANGE}",
        {"x": dtype}, _softmax, (constants_fit, exponentials_are_numbers), scratch=lambda node: 4 * _length(node),
        cycles=_rows_cost(360.0, 150.0, 11.5, 10.3), split=flat, examples=_softmax_examples(dtype),
    )  # fmt: skip


ONE_ROW = (
    Kernel(
        IntegerRMSNorm, "rows_i8.c", "tw_rms_norm_row",
        f"const int8_t *restrict x, const int32_t *restrict w, int8_t *restrict y, int bits, int shift, {_RANGE}",
        {"x": "i8"}, lambda node: {"bits": _length(node).bit_length() - 1, "shift": node.op.attributes["shift"]},
        (constants_fit, one_row, shifted, small_weights), packing={"w": DOUBLED}, split=flat,
        by_struct=True, cycles=lambda node: 110.0 + 0.6 * _length(node) + 16.0 * per_core(elements(node)),
    ),
)  # fmt: skip


def _one_weight(
    symbol: str, sizes: str, unit: int, arguments: Callable[[Node], Arguments], rules: tuple[Rule, ...],
    cycles: Callable[[Node], float],
) -> Kernel:  # fmt: skip
    """A row whose factors follow from the weight and the shift: they are read where they are, one for each root."""

    @lru_cache(maxsize=64)
    def with_factors(shift: int) -> Kernel:
        return replace(row, packing={"w": by_root(shift)}, bind=None)

    row = Kernel(
        IntegerRMSNorm, "rows_i8.c", symbol,
        f"const int8_t *restrict x, const int32_t *restrict w, int8_t *restrict y, {sizes}, {_RANGE}",
        {"x": "i8"}, arguments, (constants_fit, *rules, one_weight), cycles=cycles, direct=frozenset({"w"}),
        split=lambda node: Split(flat(node).dims, unit), by_struct=True,
        bind=lambda _, nodes: with_factors(nodes[0].op.attributes["shift"]),
    )  # fmt: skip
    return row


ONE_WEIGHT = (
    _one_weight(
        "tw_rms_norm_one", "int bits", 2, lambda node: {"bits": _length(node).bit_length() - 1}, (one_row,),
        lambda node: 65.0 + 0.6 * _length(node) + 5.3 * per_core(elements(node), 2),
    ),
    _one_weight(
        "tw_rms_norm_rows", "int n, int bits, uint32_t odd", 4, _power_of_two, (), _rows_cost(90.0, 45.0, 0.6, 5.1),
    ),
)  # fmt: skip
NORM = (
    Kernel(
        IntegerRMSNorm, "rows_i8.c", "tw_rms_norm_i8",
        f"const int8_t *x, const int32_t *w, int8_t *y, int n, uint32_t by_m, int by_shift, int w_step, int shift,"
        f" {_RANGE}",
        {"x": "i8"}, _norm, (constants_fit, rows_are_short), cycles=_rows_cost(245.0, 113.0, 0.9, 21.3), split=flat,
        examples=_norm_examples(IntegerRMSNorm),
    ),
    Kernel(
        IntegerLayerNorm, "rows_i8.c", "tw_layer_norm_i8",
        "const int8_t *x, const int32_t *w, const int32_t *b, int8_t *y, int n, uint32_t by_m, int by_shift,"
        f" int w_step, int b_step, int shift, {_RANGE}",
        {"x": "i8"}, _norm, (constants_fit, rows_are_short), cycles=_rows_cost(270.0, 198.0, 1.7, 21.4), split=flat,
        examples=_norm_examples(IntegerLayerNorm),
    ),
    *(_softmax_row(dtype) for dtype in ("i8", "u8")),
    Kernel(
        ShiftSoftmax, "rows_i8.c", "tw_shift_softmax_rows",
        f"const int8_t *x, uint8_t *y, int n, int levels, {_RANGE}",
        {"x": "i8"}, lambda node: {"n": _length(node), "levels": cast(ShiftSoftmax, node.op).levels},
        (rows_at_once,), cycles=_rows_cost(250.0, 130.0, 9.9, 9.9), split=flat,
    ),
)  # fmt: skip
