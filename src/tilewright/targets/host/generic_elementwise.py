"""Rows of elementwise operators: one line per element type and group of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import DTYPES, TensorType
from ...ops import Binary, Cast, Unary
from ...ops.common import partly_broadcast, shape_strategy
from ..base import Argument, Kernel, Rule
from .arguments import type_of
from .generic import CTYPES, INTEGERS, KINDS, RANGE, broadcast_rows, elements, entire, few_axes, kind, known_types

Arguments = Mapping[str, Argument]
Examples = Callable[[Any], tuple[Op, tuple[TensorType | None, ...]]]

# In the order of the enumerations in kernels/generic_unary.c and tw_binary.h.
SIMPLE = (
    "neg", "abs", "sign", "relu", "recip", "floor", "ceil", "round", "sqrt", "leaky", "hardsigmoid", "hardswish",
)  # fmt: skip
EXPONENTIAL = ("exp", "sigmoid", "silu", "tanh", "erf", "gelu", "gelu_tanh", "elu", "softplus", "log")
CIRCULAR = ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh")
WHOLE = ("neg", "abs", "sign", "relu", "bitnot")
CLASSES = ("isnan", "isinf")
ARITHMETIC = ("add", "sub", "mul", "div", "mod", "fmod", "min", "max", "prelu")
BITS = ("bitand", "bitor", "bitxor", "shl", "shr")
LOGIC = {"and": "bitand", "or": "bitor", "xor": "bitxor"}
COMPARISONS = ("eq", "lt", "le")
WIDENING = ("add", "sub", "mul")
_CODES = {name: code for code, name in enumerate((*ARITHMETIC, *BITS, "pow"))}
_CODES |= {name: _CODES[bits] for name, bits in LOGIC.items()}


def one_of(functions: Sequence[str]) -> Rule:
    """The rule that a row has the node's function."""

    def rule(node: Node) -> bool:
        return node.op.attributes["function"] in functions

    rule.__doc__ = f"The function is one of {', '.join(functions)}."
    return rule


def _numbered(functions: Sequence[str], parameters: int = 0) -> Callable[[Node], Arguments]:
    """Arguments of a function of one element: how many, which function, and its constants."""

    def arguments(node: Node) -> Arguments:
        op = cast(Unary, node.op)
        given = (*op.parameters, 0.0, 0.0)[:parameters]
        scalars = {**entire(node), "function": functions.index(op.function)}
        return {**scalars, **dict(zip(("alpha", "beta"), map(float, given), strict=False))}

    return arguments


def _unary_examples(functions: Sequence[str], dtype: str) -> Examples:
    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        from ...ops.elementwise import UNARY

        name = draw(st.sampled_from([f for f in functions if dtype in UNARY[f].dtypes]))
        constants = tuple(draw(st.sampled_from([0.0, 0.25, 1.0])) for _ in range(UNARY[name].parameters))
        long = (draw(st.integers(60, 200)),)
        shape = draw(st.sampled_from([long, shape_strategy(draw)]))
        return Unary(name, constants), (TensorType(shape, DTYPES[dtype]),)

    return examples


def _unary(dtype: str, symbol: str, functions: Sequence[str], parameters: int = 0) -> Kernel:
    ctype = CTYPES[dtype]
    constants = f", {ctype} alpha, {ctype} beta" if parameters else ""
    return Kernel(
        Unary, "generic_unary.c", symbol, f"const {ctype} *x, {ctype} *y, {RANGE}, int function{constants}",
        {"x": dtype}, _numbered(functions, parameters), (one_of(functions),), in_place={"y": "x"},
        examples=_unary_examples(functions, dtype),
    )  # fmt: skip


def _classify(dtype: str) -> Kernel:
    def arguments(node: Node) -> Arguments:
        op = cast(Unary, node.op)
        negative, positive = (int(v != 0) for v in (*op.parameters, 0.0, 0.0)[:2])
        which = CLASSES.index(op.function)
        return {**entire(node), "kind": which, "negative": negative, "positive": positive}

    return Kernel(
        Unary, "generic_unary.c", f"tw_classify_{dtype}",
        f"const {CTYPES[dtype]} *restrict x, uint8_t *restrict y, {RANGE}, int kind, int negative,"
        " int positive",
        {"x": dtype}, arguments, (one_of(CLASSES),), examples=_unary_examples(CLASSES, dtype),
    )  # fmt: skip


def same_types(node: Node) -> bool:
    """Both operands have the same element type, and the result is not wider."""
    a, b = type_of(node, "a").dtype, type_of(node, "b").dtype
    return a == b and cast(Binary, node.op).dtype in (None, a)


def first_is_whole(node: Node) -> bool:
    """The first operand has the shape of the result."""
    return type_of(node, "a").shape == type_of(node, "y").shape


def widened(node: Node) -> bool:
    """The operator names the type of the result."""
    return cast(Binary, node.op).dtype is not None


def _binary_arguments(node: Node) -> Arguments:
    return {"function": _CODES[cast(Binary, node.op).function], "rows": broadcast_rows(node, "a", "b"), **entire(node)}


def _compare_arguments(node: Node) -> Arguments:
    function = COMPARISONS.index(cast(Binary, node.op).function)
    return {"function": function, "rows": broadcast_rows(node, "a", "b"), **entire(node)}


def _binary_examples(functions: Sequence[str], dtypes: Sequence[str], *, whole: bool, widen: bool = False) -> Examples:
    """Instances of two operands; the first not broadcast where `whole`. Integers are raised to integers only: what a
    fractional power of a large integer is depends on the last digit of the logarithm.
    """

    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        from ...ops.elementwise import BINARY

        a = DTYPES[draw(st.sampled_from(dtypes))]
        name = draw(st.sampled_from([f for f in functions if a.name in BINARY[f].dtypes]))
        second = INTEGERS if a.is_integer else dtypes
        b = DTYPES[draw(st.sampled_from(second))] if widen or BINARY[name].second else a
        shape = draw(st.sampled_from([shape_strategy(draw), (draw(st.integers(1, 5)), draw(st.integers(60, 150)))]))
        left = shape if whole else partly_broadcast(draw, shape)
        op = Binary(name, DTYPES[draw(st.sampled_from(INTEGERS))] if widen else None)
        return op, (TensorType(left, a), TensorType(partly_broadcast(draw, shape), b))

    return examples


def _binary_file(dtype: str) -> str:
    return f"generic_binary_{'float' if dtype in ('f32', 'f64') else 'integer'}.c"


def _binary(dtype: str, functions: Sequence[str], *, whole: bool, symbol: str = "") -> Kernel:
    ctype = CTYPES[dtype]
    return Kernel(
        Binary, _binary_file(dtype), f"tw_binary_{symbol or dtype}",
        f"const {ctype} *a, const {ctype} *restrict b, {ctype} *y, int function, const int32_t *rows, {RANGE}",
        {"a": dtype, "b": dtype}, _binary_arguments,
        (one_of(functions), same_types, *((first_is_whole,) if whole else ()), few_axes(_binary_arguments)),
        in_place={"y": "a"} if whole else {}, cycles=lambda node: elements(node) * (1.0 if whole else 1.5),
        examples=_binary_examples(functions, (dtype,), whole=whole),
    )  # fmt: skip


def _compare(dtype: str, symbol: str = "") -> Kernel:
    ctype = CTYPES[dtype]
    functions = ("eq",) if dtype == "bool" else COMPARISONS
    return Kernel(
        Binary, _binary_file(dtype), f"tw_compare_{symbol or dtype}",
        f"const {ctype} *a, const {ctype} *restrict b, uint8_t *y, int function, const int32_t *rows, {RANGE}",
        {"a": dtype, "b": dtype}, _compare_arguments, (one_of(functions), same_types, few_axes(_compare_arguments)),
        examples=_binary_examples(functions, (dtype,), whole=False),
    )  # fmt: skip


def _widen_arguments(node: Node) -> Arguments:
    kinds = {f"kind_{name}": kind(node, name) for name in "aby"}
    return {
        **kinds, "function": WIDENING.index(cast(Binary, node.op).function), "rows": broadcast_rows(node, "a", "b"),
        **entire(node),
    }  # fmt: skip


def _power_arguments(node: Node) -> Arguments:
    kinds = {"kind_a": kind(node, "a"), "kind_b": kind(node, "b")}
    return {**kinds, "rows": broadcast_rows(node, "a", "b"), **entire(node)}


ELEMENTWISE = (
    *(_unary(t, f"tw_unary_simple_{t}", SIMPLE, 2) for t in ("f32", "f64")),
    *(_unary(t, f"tw_unary_exponential_{t}", EXPONENTIAL, 2) for t in ("f32", "f64")),
    *(_unary(t, f"tw_unary_circular_{t}", CIRCULAR) for t in ("f32", "f64")),
    *(_unary(t, f"tw_unary_{t}", WHOLE) for t in INTEGERS),
    *(_classify(t) for t in ("f32", "f64")),
    Kernel(
        Unary, "generic_unary.c", "tw_not", f"const uint8_t *x, uint8_t *y, {RANGE}", {"x": "bool"},
        entire, (one_of(("not",)),), in_place={"y": "x"},
        examples=_unary_examples(("not",), "bool"),
    ),
    *(_binary(t, (*ARITHMETIC, "pow"), whole=whole) for t in ("f32", "f64") for whole in (True, False)),
    *(_binary(t, (*ARITHMETIC, *BITS), whole=whole) for t in INTEGERS for whole in (True, False)),
    *(_binary("bool", tuple(LOGIC), whole=whole, symbol="u8") for whole in (True, False)),
    *(_compare(t) for t in KINDS if t != "bool"),
    _compare("bool", "u8"),
    Kernel(
        Binary, "generic_convert.c", "tw_binary_wide",
        "const void *restrict a, const void *restrict b, void *restrict y, int kind_a, int kind_b, int kind_y,"
        f" int function, const int32_t *rows, {RANGE}",
        {}, _widen_arguments, (widened, known_types, few_axes(_widen_arguments)),
        cycles=lambda node: 2.0 * elements(node),
        examples=_binary_examples(WIDENING, INTEGERS, whole=False, widen=True),
    ),
    Kernel(
        Binary, "generic_convert.c", "tw_power",
        "const void *restrict a, const void *restrict b, void *restrict y, int kind_a, int kind_b,"
        f" const int32_t *rows, {RANGE}",
        {}, _power_arguments, (one_of(("pow",)), known_types, few_axes(_power_arguments)),
        cycles=lambda node: 40.0 * elements(node), examples=_binary_examples(("pow",), KINDS[1:], whole=False),
    ),
    Kernel(
        Cast, "generic_convert.c", "tw_cast", f"const void *restrict x, void *restrict y, int from, int to, {RANGE}",
        {}, lambda node: {"from": kind(node, "x"), "to": kind(node, "y"), **entire(node)}, (known_types,),
    ),
)  # fmt: skip
