"""Rows of operators that address by values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from ...ir.graph import Node
from ...ops import Gather, GatherElements, GatherND, Scatter
from ..base import Argument, Kernel
from .arguments import type_of
from .generic import KINDS, elements, few_axes, kind, retyped, rows, size, split, steps, whole_bytes

Arguments = Mapping[str, Argument]
SCATTER = ("none", "add", "mul", "max", "min")  # NONE .. MIN in kernels/generic_index.c


def _wide(node: Node) -> int:
    return int(type_of(node, "indices").dtype.bits == 64)


def gather(node: Node) -> Arguments:
    outer, extent, inner = split(node, "x", cast(Gather, node.op).axis)
    return {
        "wide": _wide(node), "outer": outer, "extent": extent, "count": elements(node, "indices"),
        "block": inner * size(node, "x"),
    }  # fmt: skip


def _along(node: Node) -> Arguments:
    """Walk over the indices: steps through the operand, 0 along the axis whose coordinate they replace."""
    axis = node.op.attributes["axis"]
    x = type_of(node, "x").static_shape
    own = [0 if a == axis else step for a, step in enumerate(steps(x))]
    table = rows(type_of(node, "indices").static_shape, own)
    return {"wide": _wide(node), "size": size(node, "x"), "extent": x[axis], "step": steps(x)[axis], "rows": table}


def _addressed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Extent and step of each axis that coordinates name, in blocks of the axes that they do not name."""
    return tuple(number for pair in zip(shape, steps(shape), strict=True) for number in pair)


def _gather_nd(node: Node) -> Arguments:
    batch = cast(GatherND, node.op).batch
    x, indices = type_of(node, "x").static_shape, type_of(node, "indices").static_shape
    named = x[batch : batch + indices[-1]]
    return {
        "wide": _wide(node), "batch": math.prod(x[:batch]), "inner": math.prod(named),
        "count": math.prod(indices[batch:-1]), "depth": indices[-1],
        "block": math.prod(x[batch + indices[-1] :]) * size(node, "x"), "axes": _addressed(named),
    }  # fmt: skip


def _scatter(node: Node) -> dict[str, Argument]:
    return {
        "wide": _wide(node), "size": size(node, "x"), "elements": elements(node, "x"),
        "reduction": SCATTER.index(cast(Scatter, node.op).reduction),
        "kind": kind(node, "x") if type_of(node, "x").dtype.name in KINDS else 0,
    }  # fmt: skip


def _scatter_nd(node: Node) -> Arguments:
    x, indices = type_of(node, "x").static_shape, type_of(node, "indices").static_shape
    depth = indices[-1]
    return {
        **_scatter(node), "count": math.prod(indices[:-1]), "depth": depth, "block": math.prod(x[depth:]),
        "axes": _addressed(x[:depth]),
    }  # fmt: skip


def _scatter_elements(node: Node) -> Arguments:
    return {**_scatter(node), **_along(node)}


def coordinates(node: Node) -> bool:
    """The last axis of the indices holds coordinates (ScatterND)."""
    return cast(Scatter, node.op).axis is None


def one_axis(node: Node) -> bool:
    """The indices are along one axis (ScatterElements)."""
    return cast(Scatter, node.op).axis is not None


def combines_numbers(node: Node) -> bool:
    """A combined element is an integer of 8 to 64 bits, bool, f32 or f64."""
    return cast(Scatter, node.op).reduction == "none" or type_of(node, "x").dtype.name in KINDS


_ALONG = "int extent, int step, const int32_t *rows"
_UPDATED = (
    "const void *x, const void *restrict indices, const void *restrict updates, void *y, int wide, int kind, int size,"
    " int reduction, int elements"
)

INDEX = (
    Kernel(
        Gather, "generic_index.c", "tw_gather",
        "const void *restrict x, const void *restrict indices, void *restrict y, int wide, int outer, int extent,"
        " int count, int block",
        {}, gather, (whole_bytes,), examples=retyped(Gather, "x"),
    ),
    Kernel(
        GatherElements, "generic_index.c", "tw_gather_elements",
        f"const void *restrict x, const void *restrict indices, void *restrict y, int wide, int size, {_ALONG}",
        {}, _along, (whole_bytes, few_axes(_along)), examples=retyped(GatherElements, "x"),
    ),
    Kernel(
        GatherND, "generic_index.c", "tw_gather_nd",
        "const void *restrict x, const void *restrict indices, void *restrict y, int wide, int batch, int inner,"
        " int count, int depth, int block, const int32_t *axes",
        {}, _gather_nd, (whole_bytes,), examples=retyped(GatherND, "x"),
    ),
    Kernel(
        Scatter, "generic_index.c", "tw_scatter_nd",
        f"{_UPDATED}, int count, int depth, int block, const int32_t *axes",
        {}, _scatter_nd, (coordinates, whole_bytes, combines_numbers), in_place={"y": "x"},
        examples=retyped(Scatter, "x", "updates"),
    ),
    Kernel(
        Scatter, "generic_index.c", "tw_scatter_elements", f"{_UPDATED}, {_ALONG}",
        {}, _scatter_elements, (one_axis, whole_bytes, combines_numbers, few_axes(_scatter_elements)),
        in_place={"y": "x"}, examples=retyped(Scatter, "x", "updates"),
    ),
)  # fmt: skip
