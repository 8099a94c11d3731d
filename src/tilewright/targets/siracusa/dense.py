"""Rows for matrix products with weights of bytes, on eight cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import I8, I32, Array, Value, maximum
from ...ops import Linear, LinearAdd
from ...quant.requant import accumulator_range, half
from ..base import Kernel, Packing, Rule, Scalar, Split
from ..host.arguments import clamp, product, type_of
from .dense_cycles import (
    STREAM_ADD,
    STREAM_BYTES,
    STREAM_MULTIPLES,
    STREAM_SUMS,
    eights,
    few,
    float_columns,
    fours,
    gemm,
    gemv,
    stream,
)
from .requant import BYTES, MODE, NARROW, SUMS, WIDE, joined, results
from .share import CORES, per_core, up

BY_TOKENS = 1 << 10  # TW_BY_TOKENS in kernels/tw_results.h


def pitch(cols: int) -> int:
    """Bytes of a row of weights: whole words, an odd number of them where rows are read side by side, so that eight
    rows lie in different banks. tw_pitch in kernels/tw_gemm.h.
    """
    words = up(cols, 4)
    return 4 * (words | 1 if words > 16 else words)


def _pack(weight: Array) -> Array:
    return _filled(weight, pitch(weight.shape[1]))


def _pack_apart(weight: Array) -> Array:
    return _filled(weight, 4 * (up(weight.shape[1], 4) | 1))


def _filled(weight: Array, width: int) -> Array:
    """Rows with zeros behind them."""
    rows, cols = weight.shape
    filled = np.zeros((rows, width), weight.dtype)
    filled[:, :cols] = weight
    return filled.reshape(-1)


def _unpack(packed: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray(packed.reshape(shape[0], -1)[:, : shape[1]])


def _pack_fours(weight: Array) -> Array:
    """[rows, cols] -> [rows / 4][cols][4], missing rows are zero."""
    rows, cols = weight.shape
    filled = np.zeros((4 * up(rows, 4), cols), weight.dtype)
    filled[:rows] = weight
    return np.ascontiguousarray(filled.reshape(-1, 4, cols).transpose(0, 2, 1)).reshape(-1)


def _unpack_fours(packed: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray(packed.reshape(-1, shape[1], 4).transpose(0, 2, 1).reshape(-1, shape[1])[: shape[0]])


FOURS = Packing("panels of 4 rows", _pack_fours, _unpack_fours)
ROWS = Packing("rows of whole words", _pack, _unpack)
APART = Packing("rows of an odd number of words", _pack_apart, _unpack)
# Multipliers of one dimension: a number times a factor, onto that number, takes a cycle less than their product alone.
LESS_ONE = Packing(
    "each less one", lambda mul: (mul - 1).reshape(-1), lambda packed, shape: (packed + 1).reshape(shape),
    lambda box, shape: (box[0][0], box[0][1] - box[0][0]) if len(shape) == 1 else None,
)  # fmt: skip


def _sums(node: Node) -> tuple[Array | int, Array | int]:
    """Bounds of the sums of products, per row."""
    x, w = type_of(node, "x").dtype, node.operands["w"]
    if w.data is not None:
        return _range(w, x.low, x.high)
    most = type_of(node, "w").static_shape[1] * max(-x.low, x.high) * -I8.low
    return -most, most


@lru_cache(maxsize=1024)
def _range(w: Value, low: int, high: int) -> tuple[Array, Array]:
    assert w.data is not None
    return accumulator_range(w.data, low, high)


def _tokens(node: Node) -> int:
    """Rows of x, the most there may be."""
    return maximum(product(type_of(node, "x").shape[:-1]))


def by_tokens(node: Node) -> bool:
    """Whether cores share the rows of x rather than those of the weights: where that leaves less to the busiest."""
    rows, tokens = type_of(node, "w").static_shape[0], _tokens(node)
    fixed = all(isinstance(d, int) for d in type_of(node, "x").shape)
    if type_of(node, "x").rank == 1 or (not fixed and rows >= 4 * CORES):
        return False
    return up(tokens, 2 * CORES) * up(rows, 4) < up(tokens, 2) * up(up(rows, CORES), 4)


def _split(node: Node) -> Split:
    if by_tokens(node):
        return Split(tuple(name for name in node.op.domain(*node.types).parallel if name != "o"), 2)
    return Split(("o",), 4 if _tokens(node) > 1 else 1)


def _split_float(node: Node) -> Split:
    """Rows of weights are packed in fours."""
    return _split(node) if by_tokens(node) else Split(("o",), 4)


def _sizes(node: Node) -> dict[str, Scalar]:
    rows, cols = type_of(node, "w").static_shape
    return {"tokens": product(type_of(node, "x").shape[:-1]), "rows": rows, "cols": cols}


def _linear(node: Node) -> Mapping[str, Scalar]:
    told = results(node, *_sums(node))
    return {**_sizes(node), **told, "form": told["form"] | BY_TOKENS * by_tokens(node)}


def _streamed(node: Node) -> Mapping[str, Scalar]:
    return {"mul_step": int(type_of(node, "mul").size > 1), "shift": _told(node)["shift"]}


def _fours(node: Node) -> Mapping[str, Scalar]:
    told = _streamed(node)
    usual = usual_rounding(told["shift"], node.operands["mul"].data, node.operands["add"].data)
    return {
        **_sizes(node),
        **told,
        "shift": USUAL if usual else told["shift"],
        "by_tokens": int(_fours_by_tokens(node)),
    }


USUAL = -1  # as a shift: the one of `usual_rounding`


def usual_rounding(shift: Scalar, mul: Array | None, add: Array | None) -> bool:
    """Whether sums are shifted by 16 and rounded, with constant multipliers of 15 bits: two products of halves each."""
    if shift != 16 or mul is None or add is None:
        return False
    return bool(np.all(add == 1 << 15) and np.all(mul >= 0) and np.all(mul < 1 << 15))


def _linear_add(node: Node) -> Mapping[str, Scalar]:
    told = joined(node, *_sums(node))
    return {**_sizes(node), **told, "form": told["form"] | BY_TOKENS * by_tokens(node)}


def narrow_results(node: Node) -> bool:
    """Results have at most 32 bits"""
    return type_of(node, "y").dtype.bits <= 32


def one_row(node: Node) -> bool:
    """One row of inputs"""
    return product(type_of(node, "x").shape[:-1]) == 1


def in_registers(node: Node) -> bool:
    """Rows of 64 inputs"""
    return type_of(node, "w").shape[1] == 64


def in_eights(node: Node) -> bool:
    """Rows of whole words of inputs, a multiple of eight of them"""
    rows, cols = type_of(node, "w").static_shape
    return rows % 8 == 0 and cols % 4 == 0


def in_words(node: Node) -> bool:
    """Rows of whole words of inputs"""
    return type_of(node, "w").static_shape[1] % 4 == 0


def in_fours(node: Node) -> bool:
    """Rows of more than one word of inputs, a multiple of four of them, and of four tokens"""
    (rows, cols), tokens = type_of(node, "w").static_shape, product(type_of(node, "x").shape[:-1])
    return rows % 4 == 0 and cols > 4 and isinstance(tokens, int) and tokens % 4 == 0


def bare_sums(node: Node) -> bool:
    """Sums without a bias, and nothing behind them"""
    return "b" not in node.operands and cast(Linear, node.op).epilogue is None


def scaled_rows(node: Node) -> bool:
    """A multiplier for each row, one addend of 32 bits, and sums that stay within 32 bits up to their shift"""
    if "b" in node.operands or "mul" not in node.operands or type_of(node, "add").dtype.bits != 32:
        return False
    return (
        type_of(node, "mul").shape == type_of(node, "w").shape[:1]
        and type_of(node, "add").size == 1
        and (_told(node)["form"] >> MODE & 3 == NARROW)
    )


def multiples(node: Node) -> bool:
    """Sums that are multiplied, without an addend, a shift or a limit"""
    add, told = node.operands["add"].data, _told(node)
    return add is not None and not add.any() and (told["shift"], told["low"], told["high"]) == (0, I32.low, I32.high)


def scaled_bytes(node: Node) -> bool:
    """One addend of 32 bits, sums that stay within 32 bits up to their shift, and bytes of the whole range"""
    if "b" in node.operands or "mul" not in node.operands or type_of(node, "add").dtype.bits != 32:
        return False
    told = _told(node)
    return (
        type_of(node, "add").size == 1
        and told["form"] >> MODE & 3 == NARROW
        and (told["low"], told["high"]) == (I8.low, I8.high)
    )


def small_sums(node: Node) -> bool:
    """Sums that stay within 30 bits once they are scaled"""
    op, mul = cast(LinearAdd, node.op), node.operands["mul"].data
    if _told(node)["form"] >> MODE & 3 != NARROW or mul is None:
        return False
    low, high = _sums(node)
    most = max(int(np.max(np.abs(v) * mul)) for v in (low, high)) + half(op.shift)
    return most >> min(op.shift, 31) < 1 << 30


def finish(told: Mapping[str, int], add: bool = False) -> tuple[str, bool]:
    """How sums are finished, by the names of dense_cycles, and whether tiles of kernels/tw_tiles.h do it."""
    mode, size = told["form"] >> MODE & 3, told["form"] >> BYTES & 7
    if mode == WIDE:
        return "wide", size == 1 and told["shift"] >= 32 and not add
    if add:
        return "joined", True
    if mode == SUMS:
        return "sums", True
    if size == 1:
        return "bytes" if mode == NARROW else "bounded", True
    return "halves", size == 2 and mode == NARROW


def _told(node: Node) -> dict[str, int]:
    return joined(node, *_sums(node)) if isinstance(node.op, LinearAdd) else results(node, *_sums(node))


def _shares(node: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    """(rows of weights, tokens) of a core with a whole share, and of the one with the last."""
    rows, tokens = type_of(node, "w").static_shape[0], _tokens(node)
    size, unit = (tokens, 2) if by_tokens(node) else (rows, 1 if tokens == 1 else 4)
    share = min(size, per_core(size, unit))
    last = (size - 1) % share + 1
    return ((rows, share), (rows, last)) if by_tokens(node) else ((share, tokens), (last, tokens))


def _gemm_cycles(node: Node) -> float:
    cols, (name, tiled) = type_of(node, "w").static_shape[1], finish(_told(node), isinstance(node.op, LinearAdd))
    return max(gemm(rows, tokens, cols, name, tiled and "b" not in node.operands) for rows, tokens in _shares(node))


def _fours_by_tokens(node: Node) -> bool:
    """Whether cores share the tokens rather than the rows of the weights, in fours of both."""
    rows, tokens = up(type_of(node, "w").static_shape[0], 4), up(_tokens(node), 4)
    return up(tokens, CORES) * rows < tokens * up(rows, CORES)


def _fours_split(node: Node) -> Split:
    if _fours_by_tokens(node):
        return Split(tuple(name for name in node.op.domain(*node.types).parallel if name != "o"), 4)
    return Split(("o",), 4)


def _fours_cycles(node: Node) -> float:
    (rows, cols), tokens = type_of(node, "w").static_shape, up(_tokens(node), 4)
    blocks = up(rows, 4)
    if _fours_by_tokens(node):
        return fours(blocks, up(tokens, CORES), cols)
    return fours(up(blocks, CORES), tokens, cols)


def _gemv_cycles(node: Node) -> float:
    cols, (name, _) = type_of(node, "w").static_shape[1], finish(_told(node), isinstance(node.op, LinearAdd))
    registers = in_registers(node) and type_of(node, "x").dtype.is_signed
    return gemv(_shares(node)[0][0], cols, registers, name)


def _stream_cycles(node: Node) -> float:
    return stream(_shares(node)[0][0])


def _stream_add_cycles(node: Node) -> float:
    return stream(_shares(node)[0][0], STREAM_ADD)


def _few_cycles(node: Node) -> float:
    return few(_shares(node)[0][0], type_of(node, "w").static_shape[1])


def _eights_cycles(node: Node) -> float:
    rows, cols = type_of(node, "w").static_shape
    return eights(up(up(rows, 8), CORES), cols)


def _float_cycles(node: Node) -> float:
    rows, tokens = _shares(node)[0]
    return 250 + float_columns(up(rows, 4) * 4, tokens, type_of(node, "w").static_shape[1])


Cycles = Callable[[Node], float]
_POINTERS = (
    "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const void *restrict mul,"
    " const void *restrict add, void *restrict y,"
)
_FINISH = "int form, int shift, int32_t low, int32_t high, int32_t acc_low, int32_t acc_high, int first, int last"
_ADD = "const int8_t *restrict x, const int8_t *restrict w, const int16_t *r, const uint8_t *restrict mul, int16_t *y,"


def _row(symbol: str, file: str, cycles: Cycles, dtype: str, sizes: str, *rules: Rule) -> Kernel:
    return Kernel(
        Linear, file, symbol, f"{_POINTERS} {sizes}, {_FINISH}", {"x": dtype, "w": "i8"}, _linear,
        requires=(narrow_results, *rules), packing={"w": ROWS}, split=_split, cycles=cycles,
    )  # fmt: skip


def _stream(result: str) -> Kernel:
    return Kernel(
        Linear, "gemv_i8.c", f"tw_stream_{result}",
        "const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,"
        f" const int32_t *restrict add, int{result[1:]}_t *restrict y, int shift, int32_t low, int32_t high, int first,"
        " int last",
        {"x": "i8", "w": "i8", "mul": "u8", "add": "i32", "y": result}, _linear,
        requires=(one_row, in_registers, scaled_rows), packing={"w": ROWS}, split=_split,
        cycles=_stream_cycles,
    )  # fmt: skip


def _joining(symbol: str, file: str, cycles: Cycles, arguments: str, *rules: Rule) -> Kernel:
    return Kernel(
        LinearAdd, file, symbol, f"{_ADD} {arguments}, int first, int last", {"x": "i8", "w": "i8"}, _linear_add,
        requires=rules, packing={"w": ROWS}, split=_split, in_place={"y": "r"}, cycles=cycles,
    )  # fmt: skip


def _float(node: Node) -> Mapping[str, Scalar]:
    return {**_sizes(node), **clamp(node), "by_tokens": int(by_tokens(node))}


DENSE = (
    _stream("i8"),
    _stream("i16"),
    Kernel(
        Linear, "gemv_i8.c", "tw_stream_multiples",
        "const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul, int32_t *restrict y,"
        " int first, int last",
        {"x": "i8", "w": "i8", "mul": "u8", "add": "i32", "y": "i32"},
        requires=(one_row, in_registers, scaled_rows, multiples), packing={"w": ROWS}, split=_split,
        cycles=lambda node: stream(_shares(node)[0][0], STREAM_MULTIPLES), by_struct=True,
    ),
    Kernel(
        Linear, "gemv_i8.c", "tw_stream_sums",
        "const int8_t *restrict x, const int8_t *restrict w, int32_t *restrict y, int first, int last",
        {"x": "i8", "w": "i8", "y": "i32"}, requires=(one_row, in_registers, bare_sums), packing={"w": ROWS},
        split=_split, cycles=lambda node: stream(_shares(node)[0][0], STREAM_SUMS), by_struct=True,
    ),
    Kernel(
        Linear, "gemv_i8.c", "tw_few_sums",
        "const int8_t *restrict x, const int8_t *restrict w, int32_t *restrict y, int cols, int first, int last",
        {"x": "i8", "w": "i8", "y": "i32"}, _sizes, requires=(one_row, in_words, bare_sums), packing={"w": ROWS},
        split=_split, cycles=_few_cycles, by_struct=True,
    ),
    Kernel(
        Linear, "gemv_i8.c", "tw_stream_bytes",
        "const int8_t *restrict x, const int8_t *restrict w, const int32_t *restrict mul, const int32_t *restrict add,"
        " int8_t *restrict y, int mul_step, int shift, int first, int last",
        {"x": "i8", "w": "i8", "mul": "i32", "y": "i8"}, _streamed, requires=(one_row, in_registers, scaled_bytes),
        packing={"w": ROWS, "mul": LESS_ONE}, split=_split, by_struct=True,
        cycles=lambda node: stream(_shares(node)[0][0], STREAM_BYTES),
    ),
    Kernel(
        Linear, "gemv_i8.c", "tw_eights_bytes",
        "const int8_t *restrict x, const int8_t *restrict w, const int32_t *restrict mul, const int32_t *restrict add,"
        " int8_t *restrict y, int cols, int mul_step, int shift, int first, int last",
        {"x": "i8", "w": "i8", "mul": "i32", "y": "i8"}, lambda node: {**_sizes(node), **_streamed(node)},
        requires=(one_row, in_eights, scaled_bytes), packing={"w": ROWS}, split=lambda _: Split(("o",), 8),
        cycles=_eights_cycles,
    ),
    Kernel(
        Linear, "gemm_bytes.c", "tw_gemm_bytes",
        "const int8_t *restrict x, const int8_t *restrict w, const int32_t *restrict mul, const int32_t *restrict add,"
        " int8_t *restrict y, int tokens, int rows, int cols, int mul_step, int shift, int by_tokens, int first,"
        " int last",
        {"x": "i8", "w": "i8", "mul": "i32", "y": "i8"}, _fours, requires=(in_fours, scaled_bytes),
        packing={"w": APART}, split=_fours_split, cycles=_fours_cycles, by_struct=True,
    ),
    *(_row("tw_gemv_i8", "gemv_i8.c", _gemv_cycles, dtype, "int cols", one_row) for dtype in ("i8", "u8")),
    *(
        _row("tw_gemm_i8", "dense_i8.c", _gemm_cycles, dtype, "int tokens, int rows, int cols")
        for dtype in ("i8", "u8")
    ),
    replace(
        _joining(
            "tw_stream_add", "gemv_i8.c", _stream_add_cycles, "int32_t *restrict scratch, int shift", one_row,
            in_registers, small_sums,
        ),
        scratch=lambda node: 4 * _shares(node)[0][0], by_struct=True,
    ),
    replace(
        _joining(
            "tw_eights_add", "gemv_i8.c", _eights_cycles, "int cols, int shift, int32_t half", one_row, in_eights,
            small_sums,
        ),
        split=lambda node: Split(("o",), 8),  # noqa: ARG005
        by_struct=True,
    ),
    _joining(
        "tw_gemv_add_i8", "gemv_i8.c", _gemv_cycles, "int cols, int form, int shift, int64_t half", one_row
    ),
    _joining(
        "tw_gemm_add_i8", "dense_i8.c", _gemm_cycles,
        "int tokens, int rows, int cols, int form, int shift, int64_t half",
    ),
    Kernel(
        Linear, "dense_f32.c", "tw_gemm_f32",
        "const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y, int tokens,"
        " int rows, int cols, float low, float high, int by_tokens, int first, int last",
        {"x": "f32", "w": "f32", "b": "f32"}, _float, packing={"w": FOURS}, split=_split_float,
        cycles=_float_cycles,
    ),
)  # fmt: skip
