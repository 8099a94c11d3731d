"""Rows of integer operators that work element by element, with the cycles that they took on the simulated chip."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import DTYPES, TensorType
from ...ops import (
    Binary,
    IntegerAffine,
    IntegerGELU,
    IntegerHardswish,
    LookUp,
    QuantizedAdd,
    QuantizedMul,
    Requant,
)
from ...ops.common import partly_broadcast, shape_strategy
from ..base import Argument, Kernel, Rule
from ..host.arguments import type_of
from ..host.generic import CTYPES, broadcast_rows, elements, few_axes, retyped, size
from ..host.generic_elementwise import WIDENING, one_of, widened
from ..host.generic_quantize import constants_fit, requant
from ..host.pointwise_i8 import fits32
from .share import flat, in_step, per_core

Arguments = Mapping[str, Argument]
LIMIT = 1 << 31
BYTES = ("i8", "u8")
_RANGE = "int first, int last"
_STEPS = "int a_step, int b_step, const int32_t *rows"


def bytes_result(node: Node) -> bool:
    """The result has 8-bit elements."""
    return type_of(node, "y").dtype.bits == 8


# Cycles below are those of the chip's simulator: of a call, and of a core for each element.


def _linear(per_element: float, call: float) -> Callable[[Node], float]:
    """Cycles of a call: so many for each element of a core, and some for the call."""
    return lambda node: call + per_element * per_core(elements(node))


def _parts(node: Node) -> int:
    """In how many parts of rows a core walks over broadcast operands, 0 where all is one row."""
    table = broadcast_rows(node, "a", "b")
    length = table[2 + (table[0] - 1) * 3]
    return math.ceil(per_core(elements(node)) / max(1, length)) if table[0] > 1 else 0


def _walk(per_element: float, call: float, apart: float | None = None) -> Callable[[Node], float]:
    """The same with broadcast operands; `apart`: of an element where the cores do not begin in the same bank."""

    def cycles(node: Node) -> float:
        parts = _parts(node)
        each = per_element if apart is None or in_step(node) else apart
        return call + each * per_core(elements(node)) + (300.0 + 110.0 * parts if parts else 0.0)

    return cycles


def _wide_cycles(node: Node) -> float:
    """A product takes one cycle more; a single operand is not loaded again.

    Stores of words that begin in one bank take 4.6 to 6.4, as the cores happen to start together or apart: the middle.
    """
    table, function = broadcast_rows(node, "a", "b"), cast(Binary, node.op).function
    single = table[0] == 1 and table[4] == 0
    each = (4.2 if single else 5.5 if in_step(node) else 4.6) + (0.9 if function == "mul" and not single else 0.0)
    return _walk(each, 215.0)(node)


def _requant(node: Node) -> Arguments:
    arguments = requant(node)
    kept = ("channels", "inner", "mul_step", "add_step", "shift", "low", "high")
    taken = {name: arguments[name] for name in kept}
    return {**taken, "add_wide": arguments["wide"], "y_bytes": size(node, "y")}


def bounds_of_32_bits(node: Node) -> bool:
    """Results have up to 32 bits, those of 32 a sign."""
    dtype = type_of(node, "y").dtype
    return dtype.bits < 32 or dtype.name == "i32"


def one_for_all(node: Node) -> bool:
    """One multiplier and one 32-bit addend for all, and results of 8 bits."""
    mul, add = type_of(node, "mul"), type_of(node, "add")
    return mul.size == 1 and add.size == 1 and add.dtype.bits == 32 and size(node, "y") == 1


def _one_scale(draw: Any, dtype: str) -> tuple[Op, tuple[TensorType | None, ...]]:
    """Examples with one multiplier for all."""
    from hypothesis import strategies as st

    low, high, result = draw(st.sampled_from([(-128, 127, "i8"), (0, 255, "u8"), (0, 100, "i8")]))
    shape = draw(st.sampled_from([shape_strategy(draw), (draw(st.integers(1, 300)),)]))
    one, op = TensorType((1,), DTYPES["i32"]), Requant(draw(st.integers(0, 40)), low, high, -1, DTYPES[result])
    return op, (TensorType(shape, DTYPES[dtype]), one, one)


def _requant_rows(dtype: str, per_element: float) -> tuple[Kernel, ...]:
    x = f"const {CTYPES[dtype]} *x, const int32_t *mul"
    return (
        Kernel(
            Requant, "requant.c", f"tw_requant_{dtype}",
            f"{x}, const int32_t *add, uint8_t *y, int shift, int low, int high, {_RANGE}",
            {"x": dtype}, lambda node: {name: node.op.attributes[name] for name in ("shift", "low", "high")},
            (one_for_all,), cycles=_one_scale_cycles(per_element), split=flat,
            examples=lambda draw: _one_scale(draw, dtype),
        ),
        Kernel(
            Requant, "requant.c", f"tw_requant_any_{dtype}",
            f"{x}, const void *add, void *y, int add_wide, int y_bytes, int channels, int inner, int mul_step,"
            f" int add_step, int shift, int low, int high, {_RANGE}",
            {"x": dtype}, _requant, (bounds_of_32_bits,), cycles=_channels(dtype, per_element), split=flat,
            examples=retyped(Requant, "x", dtypes=(dtype,)),
        ),
    )  # fmt: skip


def _one_scale_cycles(per_element: float) -> Callable[[Node], float]:
    """A clamp that is no power of two takes one instruction more."""

    def cycles(node: Node) -> float:
        op = cast(Requant, node.op)
        return 160.0 + (per_element + (op.low != -op.high - 1)) * per_core(elements(node))

    return cycles


def _narrow(op: Requant, bits: int, mul: int, add: int) -> bool:
    """Whether products are made in 32 bits, as kernels/requant.c decides."""
    room = 1 << 30
    if op.shift > 31 or abs(add) >= room:
        return False
    if bits < 32:
        return abs(mul) < room >> bits
    if not 0 < mul < room:
        return False
    reach = mul << 29 - mul.bit_length() + 1
    return (reach - mul + add) >> op.shift >= op.high and (add - reach) >> op.shift <= op.low


def _channels(dtype: str, per_element: float, per_channel: float = 130.0) -> Callable[[Node], float]:
    """Cycles with a multiplier per channel, whose elements follow each other; 64 bits where 32 are not enough."""
    bits = {"i16": 15}.get(dtype, DTYPES[dtype].bits)

    def each(node: Node, inner: int) -> float:
        op, mul, add = cast(Requant, node.op), node.operands["mul"].data, node.operands["add"].data
        bytes_of_result = size(node, "y")
        if inner > 1 and bytes_of_result == 1 and mul is not None and add is not None:
            pairs = zip(*np.broadcast_arrays(mul, add), strict=True)
            if all(_narrow(op, bits, int(m), int(a)) for m, a in pairs):
                return per_element
        if op.shift < 32:
            return 60.0
        return 21.0 if dtype == "i32" and bytes_of_result == 1 else 39.0

    def cycles(node: Node) -> float:
        own, inner = per_core(elements(node)), cast(int, _requant(node)["inner"])
        run = inner if inner > 1 else cast(int, _requant(node)["channels"])
        return 200.0 + each(node, inner) * own + per_channel * own / run

    return cycles


def _walked(node: Node) -> dict[str, Argument]:
    """The walk over both operands; where it is one row, its steps, so that the table need not be read."""
    table = broadcast_rows(node, "a", "b")
    steps = table[3:5] if table[0] == 1 else (-1, -1)
    return {"rows": table, "a_step": steps[0], "b_step": steps[1]}


def _pair(node: Node) -> Arguments:
    op = cast(QuantizedAdd | QuantizedMul, node.op)
    return {"shift": op.shift, "low": op.low, "high": op.high, **_walked(node)}


def _sum(node: Node) -> Arguments:
    op = cast(QuantizedAdd, node.op)
    return {**_pair(node), "mul_a": op.mul_a, "mul_b": op.mul_b, "term": op.add}


def _furthest(node: Node) -> int:
    """The greatest magnitude of (a - zero_a) (b - zero_b)."""
    op, (a, b) = cast(QuantizedMul, node.op), (type_of(node, name).dtype for name in "ab")
    spread = [max(abs(d.low - zero), abs(d.high - zero)) for d, zero in ((a, op.zero_a), (b, op.zero_b))]
    return spread[0] * spread[1] if max(spread) < 1 << 15 else LIMIT


def _product(node: Node) -> Arguments:
    op = cast(QuantizedMul, node.op)
    narrow = _furthest(node) * abs(op.mul) + abs(op.add) < LIMIT and op.shift < 32
    return {
        **_pair(node), "zero_a": op.zero_a, "zero_b": op.zero_b, "mul": op.mul, "add": op.add, "narrow": int(narrow),
    }  # fmt: skip


def factors_fit(node: Node) -> bool:
    """Multipliers and the product of the operands fit 32 bits, the sum 64, the shift is up to 62."""
    op = node.op.attributes
    factors = [abs(op[name]) for name in ("mul", "mul_a", "mul_b", "zero_a", "zero_b") if name in op]
    product = not isinstance(node.op, QuantizedMul) or _furthest(node) < LIMIT
    return max(factors) < LIMIT and abs(op["add"]) < 1 << 61 and product and op["shift"] < 63


def _retyped_pair(op: type[Op], a: str, b: str, small: bool = False) -> Callable[[Any], Any]:
    """Examples of quantised pairs with these element types; `small`: multipliers of few bits, as networks have them."""

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        instance, types = op.examples(draw)
        if small:
            factor = st.integers(-(1 << 21), 1 << 21)
            instance = QuantizedAdd(draw(factor), draw(factor), draw(st.integers(-(1 << 28), 1 << 28)), 20)
        return instance, tuple(kind and replace(kind, dtype=DTYPES[d]) for kind, d in zip(types, (a, b), strict=True))

    return examples


def _pairs(a: str, b: str) -> tuple[Kernel, ...]:
    """Sums and products of two quantised tensors."""
    types, name = {"a": a, "b": b}, f"{a}_{b}"
    operands = f"const {CTYPES[a]} *a, const {CTYPES[b]} *b, uint8_t *y"
    after = f"int shift, int low, int high, {_STEPS}, {_RANGE}"
    rules = (factors_fit, bytes_result)
    return (
        Kernel(
            QuantizedAdd, "cluster_flat.c", f"tw_sum_{name}", f"{operands}, int mul_a, int mul_b, int term, {after}",
            types, _sum, (*rules, fits32, few_axes(_sum)), cycles=_walk(10.0, 240.0, apart=7.9), split=flat,
            examples=_retyped_pair(QuantizedAdd, a, b, small=True),
        ),
        Kernel(
            QuantizedAdd, "cluster_flat.c", f"tw_sum_wide_{name}",
            f"{operands}, int mul_a, int mul_b, int64_t term, {after}",
            types, _sum, (*rules, few_axes(_sum)), cycles=_walk(40.0, 250.0), split=flat,
            examples=_retyped_pair(QuantizedAdd, a, b),
        ),
        Kernel(
            QuantizedMul, "cluster_flat.c", f"tw_product_{name}",
            f"{operands}, int zero_a, int zero_b, int mul, int64_t add, int shift, int low, int high, int narrow,"
            f" {_STEPS}, {_RANGE}",
            types, _product, (*rules, few_axes(_product)), split=flat,
            cycles=lambda node: _walk(10.1 if _product(node)["narrow"] else 30.5, 250.0)(node),
            examples=_retyped_pair(QuantizedMul, a, b),
        ),
    )  # fmt: skip


def _arithmetic(node: Node) -> Arguments:
    return {"function": WIDENING.index(cast(Binary, node.op).function), **_walked(node)}


def to_32_bits(node: Node) -> bool:
    """The result is i32."""
    return type_of(node, "y").dtype.name == "i32"


def _wide_examples(a: str, b: str) -> Callable[[Any], Any]:
    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        left, right = (partly_broadcast(draw, shape), shape)[:: draw(st.sampled_from([1, -1]))]
        op = Binary(draw(st.sampled_from(WIDENING)), DTYPES["i32"])
        return op, (TensorType(left, DTYPES[a]), TensorType(right, DTYPES[b]))

    return examples


def _wide(a: str, b: str) -> Kernel:
    return Kernel(
        Binary, "cluster_flat.c", f"tw_wide_{a}_{b}",
        f"const {CTYPES[a]} *a, const {CTYPES[b]} *b, int32_t *y, int function, {_STEPS}, {_RANGE}",
        {"a": a, "b": b}, _arithmetic, (one_of(WIDENING), widened, to_32_bits, few_axes(_arithmetic)),
        cycles=_wide_cycles, split=flat, examples=_wide_examples(a, b),
    )  # fmt: skip


def bend_fits(node: Node) -> bool:
    """The bounded argument fits 16 bits, twice the greatest value 32"""
    op = cast(IntegerGELU, node.op)
    return abs(op.b) + 255 < 1 << 15 and (abs(op.b) + 255) ** 2 + 2 * abs(op.one) < LIMIT


def bounds_are_small(node: Node) -> bool:
    """The bounds of the argument are below 2^30"""
    op = cast(IntegerHardswish, node.op)
    return max(abs(op.three), abs(op.six)) < 1 << 30


def _swish(node: Node) -> Arguments:
    op = cast(IntegerHardswish, node.op)
    brief = op.six >= 0 and max(op.six, abs(op.one_over_six), op.six * abs(op.one_over_six)) < 1 << 15
    return {"factor": op.one_over_six, "three": op.three, "six": op.six, "brief": int(brief)}


def _gelu(node: Node) -> Arguments:
    op = cast(IntegerGELU, node.op)
    return {"b": op.b, "one": op.one}


def _affine(node: Node) -> Arguments:
    op = cast(IntegerAffine, node.op)
    rows = broadcast_rows(node, "x", "w", "b")
    return {"wide": int(op.dtype.bits == 32), "mul": op.mul, "shift": min(op.shift, 31), "rows": rows}


def _activations(dtype: str) -> tuple[Kernel, ...]:
    x, types = f"const {CTYPES[dtype]} *x", {"x": dtype}

    def row(op: type[Op], name: str, signature: str, arguments: Callable[[Node], Arguments], *rules: Rule,
            per_element: float) -> Kernel:  # fmt: skip
        return Kernel(
            op, "cluster_flat.c", f"tw_{name}_{dtype}", f"{x}, {signature}, {_RANGE}", types, arguments,
            (constants_fit, *rules), cycles=_linear(per_element, 100.0), split=flat,
            examples=retyped(op, "x", dtypes=(dtype,)),
        )  # fmt: skip

    return (
        row(IntegerHardswish, "swish", "int32_t *y, int factor, int three, int six, int brief", _swish,
            bounds_are_small, per_element=6.3),
        row(IntegerGELU, "gelu", "int32_t *y, int b, int one", _gelu, bend_fits, per_element=13.1),
        row(IntegerAffine, "affine", "const int32_t *w, const int32_t *b, void *y, int wide, int mul, int shift,"
            " const int32_t *rows", _affine, few_axes(_affine), per_element=23.5),
    )  # fmt: skip


def few_bytes(node: Node) -> bool:
    """Entries of the table have 1, 2 or 4 bytes."""
    return size(node, "y") in (1, 2, 4)


def _all(make: Callable[[str, str], Any], left: Sequence[str], right: Sequence[str]) -> list[Any]:
    return [make(a, b) for a in left for b in right]


POINTWISE = (
    *(row for dtype in (*BYTES, "i16", "i32") for row in _requant_rows(dtype, 7.1 if dtype == "i32" else 6.4)),
    *(row for rows in _all(_pairs, BYTES, BYTES) for row in rows),
    Kernel(
        LookUp, "cluster_flat.c", "tw_table", f"const void *x, const void *table, void *y, int size, {_RANGE}",
        {}, lambda node: {"size": size(node, "y")}, (few_bytes,), cycles=_linear(4.3, 80.0), split=flat,
    ),
    *_all(_wide, (*BYTES, "i32"), (*BYTES, "i32")),
    *(row for dtype in BYTES for row in _activations(dtype)),
)  # fmt: skip
