"""Types of tensors: element types, symbolic dimensions, quantisation, and the values of a graph."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DType:
    """An element type. `bits` is what one element occupies in memory; numpy holds sub-byte types one per int8."""

    name: str
    bits: int
    numpy: np.dtype[Any] = field(compare=False)
    ctype: str = field(compare=False)

    @property
    def is_float(self) -> bool:
        return self.name.startswith("f")

    @property
    def is_integer(self) -> bool:
        return self.name[0] in "iu"

    @property
    def is_signed(self) -> bool:
        return self.name[0] in "if"

    @property
    def low(self) -> int:
        """Least value of an integer type."""
        return -(1 << (self.bits - 1)) if self.is_signed else 0

    @property
    def high(self) -> int:
        """Greatest value of an integer type."""
        return (1 << (self.bits - 1)) - 1 if self.is_signed else (1 << self.bits) - 1

    def __repr__(self) -> str:
        return self.name


def _dtype(name: str, bits: int, numpy_name: str, ctype: str) -> DType:
    return DType(name, bits, np.dtype(numpy_name), ctype)


F16, F32, F64 = (
    _dtype("f16", 16, "float16", "_Float16"),
    _dtype("f32", 32, "float32", "float"),
    _dtype("f64", 64, "float64", "double"),
)
I4, I8, I16, I32, I64 = (
    _dtype("i4", 4, "int8", "int8_t"), _dtype("i8", 8, "int8", "int8_t"), _dtype("i16", 16, "int16", "int16_t"),
    _dtype("i32", 32, "int32", "int32_t"), _dtype("i64", 64, "int64", "int64_t"),
)  # fmt: skip
U8, U16, U32, U64 = (
    _dtype("u8", 8, "uint8", "uint8_t"), _dtype("u16", 16, "uint16", "uint16_t"),
    _dtype("u32", 32, "uint32", "uint32_t"), _dtype("u64", 64, "uint64", "uint64_t"),
)  # fmt: skip
BOOL = _dtype("bool", 8, "bool", "uint8_t")
DTYPES: dict[str, DType] = {
    t.name: t for t in (F16, F32, F64, I4, I8, I16, I32, I64, U8, U16, U32, U64, BOOL)
}  # fmt: skip


def dtype_of(array: Array) -> DType:
    """The element type of a numpy array; KeyError-free: raises TypeError for what has no C counterpart."""
    for candidate in DTYPES.values():
        if candidate.numpy == array.dtype and candidate is not I4:
            return candidate
    raise TypeError(f"no element type for numpy dtype {array.dtype}")


@dataclass(frozen=True)
class Sym:
    """A quantity known only at run time, such as the position in a text: 0 <= value <= max, usually about `nominal`.

    `of`: the name of another, of which this is what lies beyond `first`, at most `max`.
    """

    name: str
    max: int
    nominal: int
    of: str = ""
    first: int = 0

    def known(self, env: Mapping[str, int]) -> bool:
        """Whether an environment tells its value."""
        return (self.of or self.name) in env

    def value(self, env: Mapping[str, int]) -> int:
        """Its value under an environment that maps names to values. KeyError names a missing one."""
        return min(max(0, env[self.of] - self.first), self.max) if self.of else env[self.name]

    def become(self, env: Mapping[str, Dim]) -> Dim:
        """What an environment has for it; the Sym itself where there is nothing."""
        new = env.get(self.of or self.name, self)
        if not self.of:
            return new
        return self.value({self.of: new}) if isinstance(new, int) else self

    def __add__(self, other: Dim) -> Expr:
        return Expr.of(self) + other

    __radd__ = __add__

    def __mul__(self, factor: int) -> Expr:
        return Expr.of(self) * factor

    __rmul__ = __mul__

    def __sub__(self, other: Dim) -> Expr:
        return Expr.of(self) - other

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Expr:
    """An affine expression of Syms: const + sum of coefficient * Sym. What loop bounds and offsets are made of."""

    const: int = 0
    terms: tuple[tuple[Sym, int], ...] = ()

    @staticmethod
    def of(value: Dim) -> Expr:
        if isinstance(value, Expr):
            return value
        return Expr(0, ((value, 1),)) if isinstance(value, Sym) else Expr(int(value))

    def __add__(self, other: Dim) -> Expr:
        right = Expr.of(other)
        total: dict[Sym, int] = dict(self.terms)
        for sym, coefficient in right.terms:
            total[sym] = total.get(sym, 0) + coefficient
        kept = sorted(((s, c) for s, c in total.items() if c), key=lambda term: term[0].name)
        return Expr(self.const + right.const, tuple(kept))

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Expr:
        return self + Expr.of(other) * -1

    def __mul__(self, factor: int) -> Expr:
        return Expr(self.const * factor, tuple((s, c * factor) for s, c in self.terms if factor))

    __rmul__ = __mul__

    def at(self, env: Mapping[str, int]) -> int:
        """Value under an environment that maps names of Syms to values. KeyError names a missing one."""
        return self.const + sum(coefficient * sym.value(env) for sym, coefficient in self.terms)

    def simplified(self) -> Dim:
        """The plainest form: an int or a Sym where that is all there is."""
        if not self.terms:
            return self.const
        return self.terms[0][0] if self.const == 0 and len(self.terms) == 1 and self.terms[0][1] == 1 else self

    def __repr__(self) -> str:
        parts = [f"{'' if c == 1 else f'{c}*'}{s.name}" for s, c in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return " + ".join(parts).replace("+ -", "- ")


Dim = int | Sym | Expr


def resolve(dim: Dim, env: Mapping[str, int]) -> int:
    """Value of a dimension under an environment."""
    return dim if isinstance(dim, int) else Expr.of(dim).at(env)


def substitute(dim: Dim, env: Mapping[str, Dim]) -> Dim:
    """The dimension with some Syms replaced by numbers, or by other dimensions, the rest left."""
    if isinstance(dim, int):
        return dim
    result = Expr(Expr.of(dim).const)
    for sym, coefficient in Expr.of(dim).terms:
        result = result + Expr.of(sym.become(env)) * coefficient
    return result.simplified()


def maximum(dim: Dim) -> int:
    """Greatest value of a dimension: every Sym at its max (coefficients are positive in shapes)."""
    if isinstance(dim, int):
        return dim
    return Expr.of(dim).const + sum(max(0, c) * s.max for s, c in Expr.of(dim).terms)


def nominal(dim: Dim) -> int:
    """Usual value of a dimension, for costs."""
    return dim if isinstance(dim, int) else Expr.of(dim).const + sum(c * s.nominal for s, c in Expr.of(dim).terms)


def syms_of(dim: Dim) -> tuple[Sym, ...]:
    """The Syms in a dimension."""
    return () if isinstance(dim, int) else tuple(s for s, _ in Expr.of(dim).terms)


Shape = tuple[Dim, ...]


@dataclass(frozen=True)
class Quant:
    """real = scale * (stored - zero). One scale, or one per index of `axis`."""

    scale: tuple[float, ...]
    zero: tuple[int, ...] = (0,)
    axis: int | None = None


@dataclass(frozen=True)
class TensorType:
    """Shape, element type and, where the numbers stand for reals, the quantisation."""

    shape: Shape
    dtype: DType
    quant: Quant | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements, every Sym at its maximum."""
        return math.prod(maximum(d) for d in self.shape)

    @property
    def bytes(self) -> int:
        """Bytes in memory, every Sym at its maximum."""
        return (self.size * self.dtype.bits + 7) // 8

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape where no dimension is symbolic; TypeError otherwise."""
        if not all(isinstance(d, int) for d in self.shape):
            raise TypeError(f"{self!r} has run-time dimensions")
        return tuple(int(d) for d in self.shape if isinstance(d, int))

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(shape, self.dtype, self.quant)

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(self.shape, dtype, self.quant)

    def substitute(self, env: Mapping[str, Dim]) -> TensorType:
        return self.with_shape(tuple(substitute(d, env) for d in self.shape))

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(repr, self.shape))}]"


class Kind(enum.Enum):
    """What a value is to the program."""

    ACT = "act"  # transient, lives in the arena
    CONST = "const"  # known at compile time
    INPUT = "input"  # given by the caller of each run
    OUTPUT = "output"  # read by the caller after each run
    STATE = "state"  # survives from run to run


@dataclass(frozen=True, eq=False)
class Value:
    """A named tensor of a graph. Two values are the same only if they are the same object."""

    name: str
    type: TensorType
    kind: Kind = Kind.ACT
    data: Array | None = None  # CONST only, numpy dtype of the type

    def __post_init__(self) -> None:
        if (self.data is not None) != (self.kind is Kind.CONST):
            raise ValueError(f"{self.name}: data belongs to constants, and constants have data")

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type!r}"


def const(name: str, data: Array, dtype: DType | None = None, quant: Quant | None = None) -> Value:
    """A constant from a numpy array, which is copied and made read-only."""
    kept = dtype or dtype_of(data)
    frozen = np.ascontiguousarray(data, kept.numpy).reshape(data.shape).copy()
    frozen.setflags(write=False)
    return Value(name, TensorType(tuple(frozen.shape), kept, quant), Kind.CONST, frozen)


def shape_of(kind: TensorType, env: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a type under an environment."""
    return tuple(resolve(d, env) for d in kind.shape)
