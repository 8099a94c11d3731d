"""Rows of reductions, running sums, the place of the extreme, softmax and norms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ops import ArgReduce, Cumulative, LayerNorm, Reduce, RMSNorm, Softmax, TopK
from ...ops.reduce import REDUCTIONS
from ..base import Argument, Kernel
from .arguments import type_of
from .generic import AXES, CTYPES, INTEGERS, KINDS, elements, kind, retyped, rows, size, split, steps

Arguments = Mapping[str, Argument]
_FLOATS = ("f32", "f64")
_LAYOUT = "int outer, int n, int inner"


def reduction(node: Node) -> Arguments:
    op, shape = cast(Reduce, node.op), type_of(node, "x").static_shape
    pairs = list(zip(shape, steps(shape), strict=True))
    kept = [p for axis, p in enumerate(pairs) if axis not in op.axes] or [(1, 1)]
    summed = [p for axis, p in enumerate(pairs) if axis in op.axes] or [(1, 1)]
    return {
        "function": REDUCTIONS.index(op.function), "count": math.prod(extent for extent, _ in summed),
        "kept": rows(*zip(*kept, strict=True)), "rows": rows(*zip(*summed, strict=True)),
    }  # fmt: skip


def _reduce_integers(node: Node) -> Arguments:
    return {**reduction(node), "from": kind(node, "x"), "to": kind(node, "y")}


def few_reduced_axes(node: Node) -> bool:
    """No more than 8 axes are left when neighbours are merged, of those that stay and of the others."""
    arguments = reduction(node)
    tables = (arguments["kept"], arguments["rows"])
    return all(isinstance(table, tuple) and table[0] <= AXES for table in tables)


def whole_numbers(node: Node) -> bool:
    """Elements are integers of 8 to 64 bits, or bool."""
    return all(v.type.dtype.name in KINDS[:9] for v in node.operands.values())


def numbers(node: Node) -> bool:
    """Elements are integers of 8 to 64 bits, bool, f32 or f64."""
    return type_of(node, "x").dtype.name in KINDS


def _layout(node: Node, axis: int) -> dict[str, Argument]:
    outer, n, inner = split(node, "x", axis % type_of(node, "x").rank)
    return {"outer": outer, "n": n, "inner": inner}


def _arg(node: Node) -> Arguments:
    op = cast(ArgReduce, node.op)
    return {
        **_layout(node, op.axis), "kind": kind(node, "x"), "greatest": int(op.greatest), "last": int(op.last),
    }  # fmt: skip


def _top(node: Node) -> Arguments:
    op = cast(TopK, node.op)
    return {**_layout(node, op.axis), "kind": kind(node, "x"), "k": op.k, "largest": int(op.largest)}


def _cumulative(node: Node) -> Arguments:
    op = cast(Cumulative, node.op)
    flags = {"product": int(op.function == "prod"), "exclusive": int(op.exclusive), "reverse": int(op.reverse)}
    return {**_layout(node, op.axis), **flags, "size": size(node, "x")}


def _softmax(node: Node) -> Arguments:
    op = cast(Softmax, node.op)
    if elements(node) == 0 or not type_of(node, "x").shape:
        return {"outer": elements(node), "n": 1, "inner": 1, "log": int(op.log)}
    return {**_layout(node, op.axis), "log": int(op.log)}


def _norm(node: Node) -> Arguments:
    shape = type_of(node, "x").static_shape
    return {"rows": math.prod(shape[:-1]), "n": shape[-1], "eps": cast(LayerNorm | RMSNorm, node.op).eps}


def _per_float(dtype: str) -> tuple[Kernel, ...]:
    """The rows of one float type."""
    t = CTYPES[dtype]
    return (
        Kernel(
            Reduce, "generic_reduce.c", f"tw_reduce_{dtype}",
            f"const {t} *restrict x, {t} *restrict y, int function, int count, const int32_t *kept,"
            " const int32_t *rows",
            {"x": dtype}, reduction, (few_reduced_axes,), examples=retyped(Reduce, "x", dtypes=(dtype,)),
        ),
        Kernel(
            Cumulative, "generic_reduce.c", f"tw_cumulative_{dtype}",
            f"const {t} *restrict x, {t} *restrict y, {_LAYOUT}, int product, int exclusive, int reverse",
            {"x": dtype}, _cumulative, examples=retyped(Cumulative, "x", dtypes=(dtype,)),
        ),
        Kernel(
            Softmax, "generic_norm.c", f"tw_softmax_{dtype}", f"const {t} *x, {t} *y, {_LAYOUT}, int log",
            {"x": dtype}, _softmax, in_place={"y": "x"}, examples=retyped(Softmax, "x", dtypes=(dtype,)),
        ),
        Kernel(
            LayerNorm, "generic_norm.c", f"tw_layer_norm_{dtype}",
            f"const {t} *x, const {t} *restrict w, const {t} *restrict b, {t} *y, int rows, int n, double eps",
            {"x": dtype}, _norm, in_place={"y": "x"}, examples=retyped(LayerNorm, "x", "w", "b", dtypes=(dtype,)),
        ),
    )  # fmt: skip


REDUCE = (
    *_per_float("f32"),
    *_per_float("f64"),
    Kernel(
        RMSNorm, "generic_norm.c", "tw_rms_norm_f64",
        "const double *x, const double *restrict w, double *y, int rows, int n, double eps",
        {"x": "f64", "w": "f64"}, _norm, in_place={"y": "x"}, examples=retyped(RMSNorm, "x", "w", dtypes=("f64",)),
    ),
    Kernel(
        Reduce, "generic_reduce.c", "tw_reduce_integers",
        "const void *restrict x, void *restrict y, int from, int to, int function, int count, const int32_t *kept,"
        " const int32_t *rows",
        {}, _reduce_integers, (whole_numbers, few_reduced_axes), examples=retyped(Reduce, "x", dtypes=INTEGERS),
    ),
    Kernel(
        Cumulative, "generic_reduce.c", "tw_cumulative_integers",
        f"const void *restrict x, void *restrict y, int size, {_LAYOUT}, int product, int exclusive, int reverse",
        {}, _cumulative, (whole_numbers,), examples=retyped(Cumulative, "x", dtypes=INTEGERS),
    ),
    Kernel(
        ArgReduce, "generic_reduce.c", "tw_arg",
        f"const void *restrict x, int64_t *restrict y, int kind, {_LAYOUT}, int greatest, int last",
        {}, _arg, (numbers,), examples=retyped(ArgReduce, "x", dtypes=KINDS[1:]),
    ),
    Kernel(
        TopK, "generic_reduce.c", "tw_top",
        f"const void *restrict x, void *restrict y, int64_t *restrict indices, int kind, {_LAYOUT}, int k,"
        " int largest",
        {}, _top, (numbers,), examples=retyped(TopK, "x"),
    ),
)  # fmt: skip
