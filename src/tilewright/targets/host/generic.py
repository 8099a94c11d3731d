"""What the rows of the generic kernels share: element types by number, and tables of rows for broadcast operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...ir.graph import Node
from ...ir.op import Op, RuleError, operand_names
from ...ir.types import DTYPES, TensorType
from ..base import Argument, Kernel, Rule
from .arguments import product, type_of

KINDS = ("bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f32", "f64")  # TW_BOOL .. in tw_generic.h
CTYPES = {
    "bool": "uint8_t", "i8": "int8_t", "i16": "int16_t", "i32": "int32_t", "i64": "int64_t",
    "u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t", "u64": "uint64_t", "f32": "float", "f64": "double",
}  # fmt: skip
INTEGERS = KINDS[1:9]
AXES = 8  # TW_AXES
RANGE = "int first, int last"  # of the elements of the result

Arguments = Callable[[Node], Mapping[str, Argument]]


def kind(node: Node, operand: str) -> int:
    """The number of an operand's element type."""
    return KINDS.index(type_of(node, operand).dtype.name)


def size(node: Node, operand: str) -> int:
    """Bytes of an element."""
    return type_of(node, operand).dtype.bits // 8


def elements(node: Node, operand: str = "y") -> int:
    """Elements of an operand of static shape."""
    return math.prod(type_of(node, operand).static_shape)


def entire(node: Node) -> dict[str, Argument]:
    """The range of a call that computes all of its result."""
    return {"first": 0, "last": product(type_of(node, "y").shape)}


def split(node: Node, operand: str, axis: int) -> tuple[int, int, int]:
    """(outer, extent, inner): elements before, along and after an axis."""
    shape = type_of(node, operand).static_shape
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def steps(shape: Sequence[int]) -> list[int]:
    """Elements from one index to the next, per axis of a contiguous array."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def broadcast_steps(shape: Sequence[int], rank: int) -> list[int]:
    """Steps of an operand along the last `rank` axes of what it broadcasts to: 0 where it stays in place."""
    own = [0 if extent == 1 else step for extent, step in zip(shape, steps(shape), strict=True)]
    return [0] * (rank - len(shape)) + own


def rows(shape: Sequence[int], *operands: Sequence[int]) -> tuple[int, ...]:
    """The table of a walk (struct tw_walk): axes of extent 1 dropped, neighbours merged where every operand allows."""
    if 0 in shape:
        return 1, len(operands), 0, *[0] * len(operands)
    merged: list[tuple[int, ...]] = []
    for extent, *step in zip(shape, *operands, strict=True):
        if extent == 1:
            continue
        if merged and all(before == extent * here for before, here in zip(merged[-1][1:], step, strict=True)):
            merged[-1] = (merged[-1][0] * extent, *step)
        else:
            merged.append((extent, *step))
    merged = merged or [(1, *[1] * len(operands))]
    return len(merged), len(operands), *(number for axis in merged for number in axis)


def broadcast_rows(node: Node, *operands: str) -> tuple[int, ...]:
    """Rows over the result's shape for operands that broadcast to it."""
    shape = type_of(node, "y").static_shape
    return rows(shape, *(broadcast_steps(type_of(node, name).static_shape, len(shape)) for name in operands))


def few_axes(arguments: Arguments) -> Rule:
    """The rule that the table of rows fits struct tw_walk."""

    def rule(node: Node) -> bool:
        """No more than 8 axes are left when neighbours are merged."""
        table = arguments(node)["rows"]
        return isinstance(table, tuple) and table[0] <= AXES

    return rule


def whole_bytes(node: Node) -> bool:
    """Elements are 1, 2, 4 or 8 bytes."""
    return all(value.type.dtype.bits in (8, 16, 32, 64) for value in node.operands.values())


def known_types(node: Node) -> bool:
    """Elements are of a C type: bool, i8 to i64, u8 to u64, f32 or f64."""
    return all(value.type.dtype.name in KINDS for value in node.operands.values())


def fixed_shapes(node: Node) -> bool:
    """All dimensions are known at compile time."""
    return all(isinstance(d, int) for value in node.operands.values() for d in value.type.shape)


def fixed(kernels: Sequence[Kernel]) -> tuple[Kernel, ...]:
    """The rows with the rule that shapes are fixed, which tables of extents and steps need."""
    return tuple(replace(kernel, requires=(fixed_shapes, *kernel.requires)) for kernel in kernels)


def retyped(op: type[Op], *operands: str, dtypes: Sequence[str] = KINDS) -> Callable[[Any], Any]:
    """Examples of an operator with one element type out of `dtypes` for the named operands."""

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import reject
        from hypothesis import strategies as st

        instance, types = op.examples(draw)
        dtype = DTYPES[draw(st.sampled_from(dtypes))]
        names = [name.rstrip("0123456789") for name in operand_names(instance, len(types))]
        renewed = tuple(
            kind and (replace(kind, dtype=dtype) if name in operands else kind)
            for name, kind in zip(names, types, strict=True)
        )
        try:
            instance.infer(*renewed)
        except RuleError:
            reject()
        return instance, renewed

    return examples
