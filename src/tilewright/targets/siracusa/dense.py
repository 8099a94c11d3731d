"""Rows for matrix products with weights of bytes, on eight cores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...ir.graph import Node
from ...ir.types import I8, Array, maximum
from ...ops import Linear, LinearAdd
from ...quant.requant import accumulator_range
from ..base import Kernel, Packing, Scalar, Split
from ..host.arguments import product, type_of
from .requant import joined, results

CORES = 8
BY_TOKENS = 1 << 10  # TW_BY_TOKENS in kernels/tw_results.h


def pitch(cols: int) -> int:
    """Bytes of a row of weights: whole words, an odd number of them where rows are read side by side, so that eight
    rows lie in different banks. pitch_of in kernels/dense_i8.c."""
    words = -(-cols // 4)
    return 4 * (words | 1 if words > 16 else words)


def _pack(weight: Array) -> Array:
    rows, cols = weight.shape
    filled = np.zeros((rows, pitch(cols)), weight.dtype)
    filled[:, :cols] = weight
    return filled.reshape(-1)


def _unpack(packed: Array, shape: tuple[int, ...]) -> Array:
    return np.asarray(packed.reshape(shape[0], -1)[:, : shape[1]])


ROWS = Packing("rows of whole words", _pack, _unpack)


def _sums(node: Node) -> tuple[Array | int, Array | int]:
    """Bounds of the sums of products, per row."""
    x, w = type_of(node, "x").dtype, node.operands["w"]
    if w.data is not None:
        return accumulator_range(w.data, x.low, x.high)
    most = type_of(node, "w").static_shape[1] * max(-x.low, x.high) * -I8.low
    return -most, most


def _tokens(node: Node) -> int:
    """Rows of x, the most there may be."""
    return maximum(product(type_of(node, "x").shape[:-1]))


def by_tokens(node: Node) -> bool:
    """Whether cores share the rows of x rather than those of the weights: where that leaves less to the busiest."""
    rows, tokens = type_of(node, "w").static_shape[0], _tokens(node)
    fixed = all(isinstance(d, int) for d in type_of(node, "x").shape)
    if type_of(node, "x").rank == 1 or (not fixed and rows >= 4 * CORES):
        return False
    return -(-tokens // CORES) * _blocks(rows) * 4 < tokens * _blocks(-(-rows // CORES)) * 4


def _blocks(rows: int) -> int:
    return -(-rows // 4)


def _split(node: Node) -> Split:
    if by_tokens(node):
        return Split(tuple(name for name in node.op.domain(*node.types).parallel if name != "o"))
    return Split(("o",), 4 if _tokens(node) > 1 else 1)


def _sizes(node: Node) -> dict[str, Scalar]:
    rows, cols = type_of(node, "w").static_shape
    return {"tokens": product(type_of(node, "x").shape[:-1]), "rows": rows, "cols": cols}


def _linear(node: Node) -> Mapping[str, Scalar]:
    told = results(node, *_sums(node))
    return {**_sizes(node), **told, "form": told["form"] | BY_TOKENS * by_tokens(node)}


def _linear_add(node: Node) -> Mapping[str, Scalar]:
    told = joined(node, *_sums(node))
    return {**_sizes(node), **told, "form": told["form"] | BY_TOKENS * by_tokens(node)}


def narrow_results(node: Node) -> bool:
    """Results have at most 32 bits"""
    return type_of(node, "y").dtype.bits <= 32


def _row(dtype: str) -> Kernel:
    return Kernel(
        Linear, "dense_i8.c", "tw_dense_i8",
        "const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const void *restrict mul,"
        " const void *restrict add, void *restrict y, int tokens, int rows, int cols, int form, int shift,"
        " int32_t low, int32_t high, int32_t acc_low, int32_t acc_high, int first, int last",
        {"x": dtype, "w": "i8"}, _linear, requires=(narrow_results,), packing={"w": ROWS}, split=_split,
    )  # fmt: skip


DENSE = (
    _row("i8"),
    _row("u8"),
    Kernel(
        LinearAdd, "dense_i8.c", "tw_dense_add_i8",
        "const int8_t *restrict x, const int8_t *restrict w, const int16_t *r, const uint8_t *restrict mul,"
        " int16_t *y, int tokens, int rows, int cols, int form, int shift, int64_t half, int first, int last",
        {"x": "i8", "w": "i8"}, _linear_add, packing={"w": ROWS}, split=_split, in_place={"y": "r"},
    ),
)  # fmt: skip
