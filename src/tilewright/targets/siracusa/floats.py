"""Rows of floats, of reductions, and between reals and integers. Where the host's C fits, it is shared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import DTYPES, TensorType, maximum, nominal
from ...ops import Binary, Cast, Dequantize, IntegerDivide, LayerNorm, Quantize, Reduce, RMSNorm, Softmax, Unary
from ..base import Argument, Kernel
from ..host.arguments import type_of
from ..host.generic import CTYPES, RANGE, broadcast_rows, elements, few_axes, retyped
from ..host.generic_elementwise import ELEMENTWISE, first_is_whole, one_of, same_types
from ..host.generic_quantize import DIALECT, scaled
from ..host.generic_reduce import few_reduced_axes, reduction
from .fallback import DIVISION, FUNCTIONS, portable
from .share import CALL, CORES, flat, per_core

Arguments = Mapping[str, Argument]
ARITHMETIC = ("add", "sub", "mul", "div", "min", "max")  # ADD .. in kernels/floats.c


def _own(node: Node) -> int:
    return per_core(math.prod(nominal(d) for d in type_of(node, "y").shape))


def _shared(row: Kernel, per_element: Callable[[Node], float]) -> Kernel:
    """A row of the host whose C computes a range. It costs less than the same C on one core, whatever that costs."""
    alone = portable(row)

    def arguments(node: Node) -> Arguments:
        return {name: value for name, value in row.arguments(node).items() if name not in ("first", "last")}

    def cycles(node: Node) -> float:
        return min(CALL + 100.0 + per_element(node) * _own(node), 0.9 * alone.cycles(node))

    return replace(row, arguments=arguments, split=flat, cycles=cycles)


def _of_function(node: Node) -> float:
    function = node.op.attributes["function"]
    return CORES * DIVISION if function in ("recip", "sqrt") else FUNCTIONS.get(function, 400.0)


def _pair(node: Node) -> Arguments:
    function = ARITHMETIC.index(cast(Binary, node.op).function)
    return {"function": function, "rows": broadcast_rows(node, "a", "b")}


def _pair_cycles(node: Node) -> float:
    table = broadcast_rows(node, "a", "b")
    parts = math.ceil(_own(node) / max(1, table[2 + (table[0] - 1) * 3]))
    each = {"div": CORES * DIVISION, "min": 16.0, "max": 16.0}.get(cast(Binary, node.op).function, 10.2)
    return 350.0 + each * _own(node) + 150.0 * (parts - 1)


def _pair_examples(whole: bool) -> Callable[[Any], Any]:
    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        from ...ops.common import partly_broadcast, shape_strategy

        shape = shape_strategy(draw)
        left = shape if whole else partly_broadcast(draw, shape)
        kinds = tuple(TensorType(s, DTYPES["f32"]) for s in (left, partly_broadcast(draw, shape)))
        return Binary(draw(st.sampled_from(ARITHMETIC))), kinds

    return examples


def _pair_row(whole: bool) -> Kernel:
    return Kernel(
        Binary, "floats.c", "tw_float_pair",
        f"const float *a, const float *b, float *y, int function, const int32_t *rows, {RANGE}",
        {"a": "f32", "b": "f32"}, _pair,
        (one_of(ARITHMETIC), same_types, *((first_is_whole,) if whole else ()), few_axes(_pair)),
        in_place={"y": "a"} if whole else {}, cycles=_pair_cycles, split=flat, examples=_pair_examples(whole),
    )  # fmt: skip


def last_axis(node: Node) -> bool:
    """The softmax is along the last axis of elements that there are"""
    op, x = cast(Softmax, node.op), type_of(node, "x")
    return x.rank > 0 and op.axis % x.rank == x.rank - 1 and elements(node) > 0


def _length(node: Node) -> int:
    return maximum(type_of(node, "x").shape[-1])  # rows may be of a number that is known at run time only


def _norm(node: Node) -> Arguments:
    n = _length(node)
    return {"n": n, "share": 1.0 / n, "eps": cast(LayerNorm | RMSNorm, node.op).eps}


def _rows_cycles(per_element: float, per_row: float) -> Callable[[Node], float]:
    def cycles(node: Node) -> float:
        rows = math.prod(nominal(d) for d in type_of(node, "y").shape[:-1])
        return CALL + per_core(rows) * (per_row + per_element * _length(node))

    return cycles


def _rms_cycles(node: Node) -> float:
    n, own = _length(node), _own(node)
    rows = own / n if own % n == 0 or own < n else own // n + 1
    return CALL + 80.0 + max(1, rows) * (50.0 + 6.0 * n) + 11.5 * own


def _reduce_floats(node: Node) -> Arguments:
    found = reduction(node)
    count = cast(int, found["count"])
    return {**{k: v for k, v in found.items() if k != "count"}, "share": 1.0 / max(1, count)}


def _reduce_bytes(node: Node) -> Arguments:
    found = reduction(node)
    return {
        "wide": int(type_of(node, "y").dtype.bits == 32), "mean": int(cast(Reduce, node.op).function == "mean"),
        "count": found["count"], "kept": found["kept"], "rows": found["rows"],
    }  # fmt: skip


def _reduce_cycles(per_element: float) -> Callable[[Node], float]:
    def cycles(node: Node) -> float:
        table = reduction(node)["rows"]
        assert isinstance(table, tuple)
        count = elements(node, "x") // max(1, elements(node))
        walks = count / max(1, table[2 * table[0]])
        return CALL + 150.0 + _own(node) * (150.0 + walks * 10.0 + per_element * count)

    return cycles


def no_product(node: Node) -> bool:
    """The reduction is no product, and there is something to reduce"""
    return cast(Reduce, node.op).function != "prod" and elements(node, "x") > 0


def sum_or_mean(node: Node) -> bool:
    """A sum or mean of bytes to i8, u8 or i32 that stays within 31 bits"""
    short = elements(node, "x") < 1 << 22
    return cast(Reduce, node.op).function in ("sum", "mean") and short and type_of(node, "y").dtype.bits in (8, 32)


def _channels(node: Node) -> Arguments:
    return {name: value for name, value in scaled(node).items() if name != "outer"}


def _byte_examples(dtype: str) -> Callable[[Any], Any]:
    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        from ...ops.common import shape_strategy

        shape = shape_strategy(draw)
        axes = tuple(a for a in range(len(shape)) if draw(st.booleans()))
        wider = draw(st.sampled_from([None, DTYPES["i32"]]))
        return Reduce(draw(st.sampled_from(["sum", "mean"])), axes, wider), (TensorType(shape, DTYPES[dtype]),)

    return examples


_LAYOUT = f"int channels, int inner, int scale_step, int zero_step, {RANGE}"


def _rounded(each: float) -> Callable[[Node], float]:
    """Cycles of elements that are rounded; each run of a channel divides once, and the cores share what does."""

    def cycles(node: Node) -> float:
        runs = math.ceil(_own(node) / cast(int, scaled(node)["inner"]))
        return CALL + 120.0 + each * _own(node) + 165.0 * (runs - 1)

    return cycles


def _quantised(dtype: str) -> Kernel:
    t = CTYPES[dtype]
    return Kernel(
        Quantize, "floats.c", f"tw_quantize_part_{dtype}",
        f"const float *x, const float *scale, const {t} *zero, {t} *y, {_LAYOUT}", {"zero": dtype}, _channels,
        cycles=_rounded(16.0 if dtype in ("i8", "u8") else 26.0), split=flat,
        examples=retyped(Quantize, "zero", dtypes=(dtype,)),
    )  # fmt: skip


def _real(node: Node) -> float:
    """Cycles of an element that becomes a real: an overflow of 32 bits is looked for, channels that lie last vary."""
    found = scaled(node)
    varies = found["inner"] == 1 and (found["scale_step"] or found["zero_step"])
    run = 5.5 + 62.0 / cast(int, found["channels"]) if varies else 0.0
    return 11.0 + 3.0 * (type_of(node, "x").dtype.bits == 32) + run


def _dequantised(dtype: str) -> Kernel:
    t = CTYPES[dtype]
    return Kernel(
        Dequantize, "floats.c", f"tw_dequantize_part_{dtype}",
        f"const {t} *x, const float *scale, const {t} *zero, float *y, {_LAYOUT}", {"x": dtype}, _channels,
        cycles=lambda node: CALL + 80.0 + _real(node) * _own(node), split=flat,
        examples=retyped(Dequantize, "x", "zero", dtypes=(dtype,)),
    )  # fmt: skip


def _bytes_reduced(dtype: str) -> Kernel:
    return Kernel(
        Reduce, "floats.c", f"tw_reduce_part_{dtype}",
        f"const {CTYPES[dtype]} *x, void *y, int wide, int mean, int count, const int32_t *kept, const int32_t *rows,"
        f" {RANGE}",
        {"x": dtype}, _reduce_bytes, (sum_or_mean, few_reduced_axes), cycles=_reduce_cycles(9.6), split=flat,
        examples=_byte_examples(dtype),
    )  # fmt: skip


def _sixty(node: Node) -> float:  # noqa: ARG001
    """Arithmetic in 64 bits: loads, stores and conversions are most of it."""
    return 60.0


def _four_hundred(node: Node) -> float:  # noqa: ARG001
    """A division of 64 bits, which is a function of the compiler's."""
    return 400.0


def _one_byte(node: Node) -> Arguments:  # noqa: ARG001
    return {"size": 1}


def bytes_to_bytes(node: Node) -> bool:
    """Both types are i8 or u8."""
    return all(type_of(node, name).dtype.name in ("i8", "u8") for name in "xy")


def _byte_casts(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    from hypothesis import strategies as st

    from ...ops.common import shape_strategy

    a, b = (DTYPES[draw(st.sampled_from(["i8", "u8"]))] for _ in range(2))
    return Cast(b), (TensorType(shape_strategy(draw), a),)


def beyond_pairs(node: Node) -> bool:
    """The function is none that the chip's own row has."""
    return type_of(node, "a").dtype.name != "f32" or cast(Binary, node.op).function not in ARITHMETIC


def _others(row: Kernel) -> Kernel:
    return replace(row, requires=(*row.requires, beyond_pairs))


def _host_rows(op: type[Op], rows: Sequence[Kernel], per_element: Callable[[Node], float]) -> list[Kernel]:
    """Rows of the host that compute ranges."""
    return [_shared(row, per_element) for row in rows if row.op is op and "last" in row.signature]


FLOATS = (
    *(_pair_row(whole) for whole in (True, False)),
    *_host_rows(Unary, ELEMENTWISE, _of_function),
    *map(_others, _host_rows(Binary, ELEMENTWISE, _sixty)),
    Kernel(
        Cast, "move.c", "tw_copy_part", f"const void *x, void *y, int size, {RANGE}", {}, _one_byte,
        (bytes_to_bytes,), in_place={"y": "x"}, split=flat, cycles=lambda node: CALL + 60.0 + 0.6 * _own(node),
        examples=_byte_casts,
    ),
    *_host_rows(Cast, ELEMENTWISE, _sixty),
    *_host_rows(IntegerDivide, DIALECT, _four_hundred),
    Kernel(
        Softmax, "floats.c", "tw_softmax_rows_f32", f"const float *x, float *y, int n, int log, {RANGE}",
        {"x": "f32"}, lambda node: {"n": _length(node), "log": int(cast(Softmax, node.op).log)}, (last_axis,),
        split=flat, cycles=_rows_cycles(84.0, 250.0), examples=retyped(Softmax, "x", dtypes=("f32",)),
    ),
    Kernel(
        LayerNorm, "floats.c", "tw_layer_norm_rows_f32",
        f"const float *x, const float *w, const float *b, float *y, int n, float share, float eps, {RANGE}",
        {"x": "f32"}, _norm, in_place={"y": "x"}, split=flat, cycles=_rows_cycles(28.0, 130.0),
    ),
    Kernel(
        RMSNorm, "floats.c", "tw_rms_norm_rows_f32",
        f"const float *x, const float *w, float *y, int n, float share, float eps, {RANGE}",
        {"x": "f32", "w": "f32"}, _norm, split=flat, cycles=_rms_cycles,
    ),
    Kernel(
        Reduce, "floats.c", "tw_reduce_part_f32",
        "const float *x, float *y, int function, float share, const int32_t *kept, const int32_t *rows, " + RANGE,
        {"x": "f32"}, _reduce_floats, (no_product, few_reduced_axes), cycles=_reduce_cycles(10.0), split=flat,
        examples=retyped(Reduce, "x", dtypes=("f32",)),
    ),
    *(_bytes_reduced(dtype) for dtype in ("i8", "u8")),
    *(_quantised(dtype) for dtype in ("i8", "u8", "i16", "u16")),
    *(_dequantised(dtype) for dtype in ("i8", "u8", "i16", "u16", "i32")),
)  # fmt: skip
