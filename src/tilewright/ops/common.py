"""What several families of operators share: presence of operands, broadcasting, names of axes, exact products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from ..ir.op import RuleError, require
from ..ir.types import Array, Shape, TensorType

T = TypeVar("T")


def present(operands: Sequence[T | None]) -> tuple[T, ...]:
    """The operands, all of which must be there."""
    found = tuple(item for item in operands if item is not None)
    require(len(found) == len(operands), "every operand of this operator is required")
    return found


def padded(operands: Sequence[T | None], count: int) -> tuple[T | None, ...]:
    """The operands, with None for the optional ones at the end that were not given."""
    return (*operands, *(None for _ in range(count - len(operands))))


def static(shape: Shape) -> tuple[int, ...]:
    """A shape of numbers: the operators of imported networks know no run-time dimensions."""
    if not all(isinstance(d, int) for d in shape):
        raise RuleError("all dimensions are known at compile time")
    return tuple(d for d in shape if isinstance(d, int))


def broadcast(*shapes: Shape) -> tuple[int, ...]:
    """Numpy's broadcasting."""
    try:
        return tuple(int(d) for d in np.broadcast_shapes(*(static(s) for s in shapes)))
    except ValueError:
        raise RuleError(
            f"shapes broadcast: from the last axis on, equal or 1; they are {', '.join(map(str, shapes))}"
        ) from None


def dims(rank: int, letter: str = "i") -> list[str]:
    """Names of iteration dimensions: i0, i1, ..."""
    return [f"{letter}{axis}" for axis in range(rank)]


def aligned(shape: Shape, names: Sequence[str]) -> str:
    """Access map of a broadcast operand: its axes are the last of `names`, axes of extent 1 stay at 0."""
    tail = names[len(names) - len(shape) :]
    return ", ".join("0" if d == 1 else name for d, name in zip(shape, tail, strict=True))


def axis_of(axis: int, rank: int) -> int:
    """A normalised axis."""
    require(-rank <= axis < max(rank, 1), f"the axis is within -{rank} .. {rank - 1}, it is {axis}")
    return axis % rank if rank else 0


def exact_product(a: Array, b: Array) -> Array:
    """A @ b in float64 for floats, in int64 for integers (through float64 where that is exact)."""
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64)))
    bound = float(2 ** (8 * a.dtype.itemsize) * 2 ** (8 * b.dtype.itemsize)) * max(1, a.shape[-1])
    if bound < 2.0**53:
        return np.asarray(np.rint(np.matmul(a.astype(np.float64), b.astype(np.float64)))).astype(np.int64)
    return np.asarray(np.matmul(a.astype(np.int64), b.astype(np.int64)))


def wrapped(values: Array, dtype: np.dtype[Any]) -> Array:
    """Integers reduced to a type modulo 2^bits, as C's unsigned arithmetic does; floats rounded."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values).astype(dtype)


def shape_strategy(draw: Any, *, min_rank: int = 1, max_rank: int = 4, high: int = 6) -> tuple[int, ...]:
    """A small random shape."""
    from hypothesis import strategies as st

    return tuple(draw(st.lists(st.integers(1, high), min_size=min_rank, max_size=max_rank)))


def partly_broadcast(draw: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `shape`: leading axes dropped, some axes 1."""
    from hypothesis import strategies as st

    kept = shape[draw(st.integers(0, len(shape))) :]
    return tuple(1 if draw(st.booleans()) else d for d in kept)


def whole(types: Sequence[TensorType | None], names: Sequence[str]) -> dict[str, str]:
    """Access maps that touch all of every operand."""
    return {name: ", ".join(["*"] * kind.rank) for name, kind in zip(names, types, strict=True) if kind is not None}


def volume(shape: Shape) -> int:
    """Elements of a static shape."""
    return math.prod(static(shape))
