"""Rows that move data, for elements of any type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Expr, maximum
from ...ops import Concat, Copy, Expand, Pad, RowsAt, Select, Slice, Transpose, Windows
from ..base import Argument, Kernel
from .arguments import product, type_of
from .generic import broadcast_rows, elements, few_axes, retyped, rows, size, split, steps, whole_bytes

Arguments = Mapping[str, Argument]


def rows_at(node: Node) -> Arguments:
    """The first element of x that is taken."""
    start = Expr.of(cast(RowsAt, node.op).pos) * maximum(type_of(node, "x").shape[1])
    return {"size": size(node, "y"), "start": start.simplified()}


def transpose(node: Node) -> Arguments:
    perm, source = cast(Transpose, node.op).perm, steps(type_of(node, "x").static_shape)
    table = rows(type_of(node, "y").static_shape, [source[axis] for axis in perm])
    return {"size": size(node, "x"), "first": 0, "rows": table}


def slice_(node: Node) -> Arguments:
    op, source = cast(Slice, node.op), steps(type_of(node, "x").static_shape)
    first = sum(start * step for start, step in zip(op.start, source, strict=True))
    table = rows(op.shape, [k * step for k, step in zip(op.step, source, strict=True)])
    return {"size": size(node, "x"), "first": first, "rows": table}


def expand(node: Node) -> Arguments:
    return {"size": size(node, "x"), "first": 0, "rows": broadcast_rows(node, "x")}


def windows(node: Node) -> Arguments:
    op, (n, down, aside, c) = cast(Windows, node.op), steps(type_of(node, "x").static_shape)
    (sy, sx), (dy, dx) = op.stride, op.dilation
    table = rows(type_of(node, "y").static_shape, [n, sy * down, sx * aside, dy * down, dx * aside, c])
    return {"size": size(node, "x"), "first": 0, "rows": table}


def _concat(node: Node) -> Arguments:
    names = [name for name in node.operands if name != "y"]
    parts = [split(node, name, cast(Concat, node.op).axis) for name in names]
    pieces = tuple(extent * inner * size(node, "y") for _, extent, inner in parts)
    return {"count": len(names), "outer": parts[0][0], "bytes": pieces}


def pad(node: Node) -> Arguments:
    op, x, y = cast(Pad, node.op), type_of(node, "x"), type_of(node, "y")
    target = steps(y.static_shape)
    first = sum(before * step for before, step in zip(op.before, target, strict=True))
    bits = int(np.array([op.value]).astype(x.dtype.numpy).view(f"u{size(node, 'x')}")[0])
    value = tuple(int(half) for half in np.array([bits], "<u8").view("<i4"))
    return {
        "size": size(node, "x"), "count": elements(node), "first": first, "value": value,
        "rows": rows(x.static_shape, target),
    }  # fmt: skip


def _select(node: Node) -> Arguments:
    return {"size": size(node, "y"), "rows": broadcast_rows(node, "c", "a", "b")}


_STRIDED = "const void *restrict x, void *restrict y, int size, int first, const int32_t *rows"

MOVE = (
    Kernel(
        Copy, "generic_move.c", "tw_copy_bytes", "const void *x, void *y, int bytes", {},
        lambda node: {"bytes": elements(node) * size(node, "y")}, (whole_bytes,), in_place={"y": "x"},
        examples=retyped(Copy, "x"),
    ),
    Kernel(
        RowsAt, "generic_move.c", "tw_rows_at", "const void *restrict x, void *restrict y, int size, int start, int n",
        {}, lambda node: {**rows_at(node), "n": product(type_of(node, "y").shape)}, (whole_bytes,),
        examples=retyped(RowsAt, "x"),
    ),
    *(
        Kernel(
            op, "generic_move.c", "tw_strided_copy", _STRIDED, {}, arguments, (whole_bytes, few_axes(arguments)),
            examples=retyped(op, "x"),
        )
        for op, arguments in ((Transpose, transpose), (Slice, slice_), (Expand, expand), (Windows, windows))
    ),
    Kernel(
        Concat, "generic_move.c", "tw_concat",
        "const void *const *x, void *restrict y, int count, int outer, const int32_t *bytes", {}, _concat,
        (whole_bytes,), examples=retyped(Concat, "x"),
    ),
    Kernel(
        Pad, "generic_move.c", "tw_pad",
        "const void *restrict x, void *restrict y, int size, int count, int first, const int32_t *value,"
        " const int32_t *rows",
        {}, pad, (whole_bytes, few_axes(pad)),
        examples=retyped(Pad, "x", dtypes=("i8", "i16", "i32", "i64", "f32", "f64")),
    ),
    Kernel(
        Select, "generic_move.c", "tw_select",
        "const uint8_t *restrict c, const void *restrict a, const void *restrict b, void *restrict y, int size,"
        " const int32_t *rows",
        {"c": "bool"}, _select, (whole_bytes, few_axes(_select)), examples=retyped(Select, "a", "b"),
    ),
)  # fmt: skip
