"""Elementwise operators with numpy's broadcasting: one class per arity, the function is an attribute."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import BOOL, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64, Array, DType, TensorType, dtype_of
from .common import aligned, broadcast, dims, partly_broadcast, present, shape_strategy, wrapped

FLOATS = frozenset({"f16", "f32", "f64"})
SIGNED = frozenset({"i8", "i16", "i32", "i64"})
INTEGERS = SIGNED | {"u8", "u16", "u32", "u64"}
NUMBERS = FLOATS | INTEGERS
ANY = NUMBERS | {"bool"}


def erf(x: Array) -> Array:
    """The error function, elementwise, to double precision."""
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x)) if np.size(x) else np.asarray(x)


def _sigmoid(x: Array) -> Array:
    return np.where(x >= 0, 1.0 / (1.0 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1.0 + np.exp(-np.abs(x))))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@dataclass(frozen=True)
class Function:
    """A function of one element: its definition on float64 (or int64), parameters, and the types that it takes."""

    define: Callable[..., Array]
    dtypes: frozenset[str] = FLOATS
    parameters: int = 0
    result: DType | None = None


UNARY: dict[str, Function] = {
    "neg": Function(np.negative, FLOATS | SIGNED),
    "abs": Function(np.abs, NUMBERS),
    "sign": Function(np.sign, NUMBERS),
    "relu": Function(lambda x: np.maximum(x, 0), FLOATS | SIGNED),
    "not": Function(np.logical_not, frozenset({"bool"})),
    "bitnot": Function(np.invert, INTEGERS),
    "isnan": Function(np.isnan, FLOATS, result=BOOL),
    "isinf": Function(
        lambda x, negative, positive: np.where(np.isinf(x), np.where(x > 0, positive, negative), 0.0) != 0,
        FLOATS, 2, BOOL,
    ),
    "exp": Function(np.exp), "log": Function(np.log), "sqrt": Function(np.sqrt), "recip": Function(np.reciprocal),
    "floor": Function(np.floor), "ceil": Function(np.ceil), "round": Function(np.rint),
    "sin": Function(np.sin), "cos": Function(np.cos), "tan": Function(np.tan),
    "asin": Function(np.arcsin), "acos": Function(np.arccos), "atan": Function(np.arctan),
    "sinh": Function(np.sinh), "cosh": Function(np.cosh), "tanh": Function(np.tanh),
    "asinh": Function(np.arcsinh), "acosh": Function(np.arccosh), "atanh": Function(np.arctanh),
    "erf": Function(erf),
    "sigmoid": Function(_sigmoid),
    "silu": Function(lambda x: x * _sigmoid(x)),
    "softplus": Function(_softplus),
    "gelu": Function(lambda x: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))),
    "gelu_tanh": Function(lambda x: 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))),
    "elu": Function(lambda x, alpha: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x), FLOATS, 1),
    "leaky": Function(lambda x, alpha: np.where(x < 0, alpha * x, x), FLOATS, 1),
    "hardsigmoid": Function(lambda x, alpha, beta: np.clip(alpha * x + beta, 0.0, 1.0), FLOATS, 2),
    "hardswish": Function(lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)),
}  # fmt: skip
"""Every function of one argument. Whatever else ONNX has is composed of these by the frontend."""

_LOGIC, _BITS = frozenset({"bool"}), INTEGERS


def _divide(a: Array, b: Array) -> Array:
    """Quotient; of integers truncated to zero, 0 where the divisor is 0 (C leaves that undefined)."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    safe = np.where(b == 0, 1, b).astype(b.dtype)
    down = np.floor_divide(a, safe)
    return np.where(b == 0, 0, down + ((np.mod(a, safe) != 0) & ((a < 0) ^ (safe < 0))))


def _modulo(a: Array, b: Array) -> Array:
    """Remainder with the sign of the divisor; 0 where an integer divisor is 0."""
    return np.asarray(np.mod(a, b)) if a.dtype.kind == "f" else np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b)))


def _remainder(a: Array, b: Array) -> Array:
    """Remainder with the sign of the dividend, as C's % and fmod."""
    return np.asarray(np.fmod(a, b)) if a.dtype.kind == "f" else np.where(b == 0, 0, np.fmod(a, np.where(b == 0, 1, b)))


def _power(a: Array, b: Array) -> Array:
    """Power; of two integers exact and saturated, of an integer to a real rounded to even and saturated."""
    if a.dtype.kind == "f":
        return np.asarray(np.power(a, b))
    dtype = dtype_of(a)
    if b.dtype.kind == "f":
        return saturated(np.rint(np.power(a.astype(np.float64), b)), dtype)
    exact = np.frompyfunc(lambda x, n: min(max(_whole_power(int(x), int(n)), dtype.low), dtype.high), 2, 1)
    return np.asarray(exact(a, b)).astype(a.dtype)


def _whole_power(x: int, n: int) -> int:
    """x^n; beyond 64 bits anything that is; a negative power rounded to 0, of 0 as great as can be."""
    if n < 0:
        return 1 << 64 if x == 0 else x ** (n % 2) if abs(x) == 1 else 0
    return int(x ** (n if abs(x) < 2 else min(n, 64 + n % 2)))


@dataclass(frozen=True)
class Function2:
    """A function of two elements, as `Function`."""

    define: Callable[[Array, Array], Array]
    dtypes: frozenset[str] = NUMBERS
    result: DType | None = None
    second: frozenset[str] | None = None  # types of the second operand where they differ from the first's


BINARY: dict[str, Function2] = {
    "add": Function2(np.add), "sub": Function2(np.subtract), "mul": Function2(np.multiply), "div": Function2(_divide),
    "mod": Function2(_modulo), "fmod": Function2(_remainder), "pow": Function2(_power, NUMBERS, None, NUMBERS),
    "min": Function2(np.minimum), "max": Function2(np.maximum),
    "and": Function2(np.logical_and, _LOGIC), "or": Function2(np.logical_or, _LOGIC),
    "xor": Function2(np.logical_xor, _LOGIC),
    "bitand": Function2(np.bitwise_and, _BITS), "bitor": Function2(np.bitwise_or, _BITS),
    "bitxor": Function2(np.bitwise_xor, _BITS),
    "shl": Function2(np.left_shift, _BITS), "shr": Function2(np.right_shift, _BITS),
    "eq": Function2(np.equal, ANY, BOOL), "lt": Function2(np.less, NUMBERS, BOOL),
    "le": Function2(np.less_equal, NUMBERS, BOOL),
    "prelu": Function2(lambda x, slope: np.where(x < 0, x * slope, x)),
}  # fmt: skip
"""Every function of two arguments."""


def _wide(x: Array) -> Array:
    """What a definition works on: floats as float64, the rest as it is."""
    return x.astype(np.float64) if x.dtype.kind == "f" else x


@dataclass(frozen=True)
class Unary(Op):
    """y = function(x), elementwise. `parameters` are the function's constants (alpha, beta)."""

    function: str = "neg"
    parameters: tuple[float, ...] = ()
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        entry = UNARY[self.function]
        require(x.dtype.name in entry.dtypes, f"{self.function} takes {', '.join(sorted(entry.dtypes))}, not {x.dtype}")
        require(len(self.parameters) == entry.parameters, f"{self.function} has {entry.parameters} parameters")
        return (TensorType(x.shape, entry.result or x.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types)[0].rank)
        return Domain.of(" ".join(names), dict.fromkeys("xy", ", ".join(names)), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        entry = UNARY[self.function]
        with np.errstate(all="ignore"):
            y = entry.define(_wide(x), *self.parameters)
        return wrapped(y, entry.result.numpy if entry.result else x.dtype).reshape(x.shape)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        name = draw(st.sampled_from(sorted(UNARY)))
        entry = UNARY[name]
        dtype = draw(st.sampled_from([t for t in _SAMPLED if t.name in entry.dtypes]))
        values = tuple(draw(st.sampled_from([0.0, 0.25, 1.0])) for _ in range(entry.parameters))
        return cls(name, values), (TensorType(shape_strategy(draw), dtype),)


_SAMPLED = (F32, F64, I8, I16, I32, I64, U8, U16, U32, U64, BOOL)


@dataclass(frozen=True)
class Binary(Op):
    """y = function(a, b), elementwise with broadcasting.

    `dtype` widens the result of integer add, sub, mul beyond the operands' types (which may then differ).
    """

    function: str = "add"
    dtype: DType | None = None
    operands = ("a", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b = present(types)
        entry = BINARY[self.function]
        require(a.dtype.name in entry.dtypes, f"{self.function} takes {', '.join(sorted(entry.dtypes))}, not {a.dtype}")
        if self.dtype is None and entry.second is None:
            require(a.dtype == b.dtype, f"both operands have the same element type, they have {a.dtype} and {b.dtype}")
        elif entry.second is not None:
            require(b.dtype.name in entry.second, f"the second operand is a number, not {b.dtype}")
        else:
            require(self.function in ("add", "sub", "mul"), "only add, sub and mul widen")
            require(a.dtype.is_integer and b.dtype.is_integer, "only integers widen")
        return (TensorType(broadcast(a.shape, b.shape), self.dtype or entry.result or a.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        a, b = present(types[:2])
        shape = broadcast(a.shape, b.shape)
        names = dims(len(shape))
        maps = {"a": aligned(a.shape, names), "b": aligned(b.shape, names), "y": ", ".join(names)}
        return Domain.of(" ".join(names), maps, extents=dict(zip(names, shape, strict=True)), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        a, b = present(arrays)
        entry = BINARY[self.function]
        dtype = self.dtype or entry.result
        with np.errstate(all="ignore"):
            if self.dtype is not None:
                y = entry.define(a.astype(np.int64), b.astype(np.int64))
            else:
                y = entry.define(_wide(a), _wide(b))
        return wrapped(y, dtype.numpy if dtype else a.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        other = partly_broadcast(draw, shape)
        if draw(st.booleans()):
            narrow = st.sampled_from([I8, U8, I32])
            op = cls(draw(st.sampled_from(["add", "sub", "mul"])), I32)
            return op, (TensorType(shape, draw(narrow)), TensorType(other, draw(narrow)))
        name = draw(st.sampled_from(sorted(set(BINARY) - {"shl", "shr", "pow"})))
        dtype = draw(st.sampled_from([t for t in _SAMPLED if t.name in BINARY[name].dtypes]))
        return cls(name), (TensorType(shape, dtype), TensorType(other, dtype))


@dataclass(frozen=True)
class Select(Op):
    """y = a where the condition holds, else b; all three broadcast."""

    operands = ("c", "a", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        c, a, b = present(types)
        require(c.dtype == BOOL, "the condition is bool")
        require(a.dtype == b.dtype, "both choices have the same element type")
        return (TensorType(broadcast(c.shape, a.shape, b.shape), a.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        c, a, b = present(types[:3])
        shape = broadcast(c.shape, a.shape, b.shape)
        names = dims(len(shape))
        maps = {n: aligned(t.shape, names) for n, t in (("c", c), ("a", a), ("b", b))}
        extents = dict(zip(names, shape, strict=True))
        return Domain.of(" ".join(names), {**maps, "y": ", ".join(names)}, extents=extents, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        c, a, b = present(arrays)
        return np.asarray(np.where(c, a, b)).astype(a.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw, max_rank=2)
        dtype = draw(st.sampled_from([F32, I8, I64]))
        c, a, b = (shape if draw(st.booleans()) else partly_broadcast(draw, shape) for _ in range(3))
        return cls(), (TensorType(c, BOOL), TensorType(a, dtype), TensorType(b, dtype))


@dataclass(frozen=True)
class Cast(Op):
    """y = x in another element type: floats to integers truncate (saturating), integers wrap, to bool is x != 0."""

    dtype: DType = F32
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        return (TensorType(x.shape, self.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types)[0].rank)
        return Domain.of(" ".join(names), dict.fromkeys("xy", ", ".join(names)), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        if self.dtype == BOOL:
            return np.asarray(x != 0)
        if x.dtype.kind == "f" and self.dtype.is_integer:
            return saturated(np.trunc(x.astype(np.float64)), self.dtype)
        return wrapped(x, self.dtype.numpy)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        source, result = draw(st.sampled_from(_SAMPLED)), draw(st.sampled_from(_SAMPLED))
        return cls(result), (TensorType(shape_strategy(draw), source),)


def saturated(values: Array, dtype: DType) -> Array:
    """Whole float64 numbers as integers of a type, clipped to its range; not-a-number becomes 0."""
    finite = np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=-np.inf)
    low, high = finite <= float(dtype.low), finite >= float(dtype.high)
    inner = np.where(low | high, 0.0, finite).astype(dtype.numpy)
    return np.where(low, dtype.numpy.type(dtype.low), np.where(high, dtype.numpy.type(dtype.high), inner))
