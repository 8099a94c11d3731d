"""Rows for sums and products of quantised tensors, and for functions by table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import TensorType
from ...ops import LookUp, QuantizedAdd, QuantizedMul
from ..base import Argument, Kernel
from .arguments import type_of
from .generic import broadcast_rows, elements, few_axes, size

LIMIT = 1 << 31


def _types(node: Node) -> dict[str, Argument]:
    return {
        "a_signed": int(type_of(node, "a").dtype.is_signed), "b_signed": int(type_of(node, "b").dtype.is_signed),
        "y_bytes": size(node, "y"), "rows": broadcast_rows(node, "a", "b"),
    }  # fmt: skip


def _add(node: Node) -> Mapping[str, Argument]:
    op = cast(QuantizedAdd, node.op)
    return {
        **_types(node), "mul_a": op.mul_a, "mul_b": op.mul_b, "add": op.add,
        "shift": op.shift, "low": op.low, "high": op.high,
    }  # fmt: skip


def _mul(node: Node) -> Mapping[str, Argument]:
    op = cast(QuantizedMul, node.op)
    return {
        **_types(node), "zero_a": op.zero_a, "zero_b": op.zero_b, "mul": op.mul, "add": op.add,
        "shift": op.shift, "low": op.low, "high": op.high,
    }  # fmt: skip


def fits32(node: Node) -> bool:
    """Multiples of the operands and their sum stay within 32 bits"""
    op = cast(QuantizedAdd, node.op)
    a, b = (type_of(node, name).dtype for name in "ab")
    largest = max(-a.low, a.high) * abs(op.mul_a) + max(-b.low, b.high) * abs(op.mul_b) + abs(op.add)
    return largest < LIMIT and op.shift < 32


def _small_sums(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    """Sums with multipliers of few bits, as networks have them."""
    from hypothesis import strategies as st

    _, types = QuantizedAdd.examples(draw)
    factor = st.integers(-(1 << 21), 1 << 21)
    return QuantizedAdd(draw(factor), draw(factor), draw(st.integers(-(1 << 28), 1 << 28)), 20), types


def _row(op: type[Op], symbol: str, factors: str, arguments: Any, **more: Any) -> Kernel:
    return Kernel(
        op, "pointwise_i8.c", symbol,
        "const void *a, const void *restrict b, void *y, int a_signed, int b_signed, int y_bytes,"
        f" {factors}, int64_t add, int shift, int low, int high, const int32_t *rows",
        {}, arguments, in_place={"y": "a"}, **more,
    )  # fmt: skip


def _slow(node: Node) -> float:  # noqa: ARG001
    """Behind the row of 32 bits where that can run."""
    return 2.0


_SUM = "int mul_a, int mul_b"

POINTWISE_I8 = (
    _row(QuantizedAdd, "tw_quantized_add_32", _SUM, _add, requires=(fits32, few_axes(_add)), examples=_small_sums),
    _row(QuantizedAdd, "tw_quantized_add", _SUM, _add, requires=(few_axes(_add),), cycles=_slow),
    _row(QuantizedMul, "tw_quantized_mul", "int zero_a, int zero_b, int mul", _mul, requires=(few_axes(_mul),)),
    Kernel(
        LookUp, "pointwise_i8.c", "tw_look_up",
        "const uint8_t *x, const void *restrict table, void *y, int n, int size",
        {}, lambda node: {"n": elements(node), "size": size(node, "y")}, in_place={"y": "x"},
    ),
)  # fmt: skip
