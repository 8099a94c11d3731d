"""Reductions, the place of the extreme, running sums, softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import BOOL, F32, F64, I8, I32, I64, Array, DType, TensorType
from ..quant.requant import truncated
from .common import dims, present, shape_strategy, static, wrapped
from .elementwise import FLOATS, NUMBERS

_WIDE: dict[str, Any] = {"f": np.float64, "i": np.int64, "u": np.uint64, "b": np.bool_}
REDUCTIONS = ("sum", "mean", "sumsq", "prod", "max", "min")


@dataclass(frozen=True)
class Reduce(Op):
    """y = function over some axes, which stay with extent 1.

    Integers: sums and products wrap in the result's type (`dtype` may widen it); the mean rounds half up where the
    count is a power of two, else half away from zero (QuantLib's IntegerMean).
    """

    function: str = "sum"
    axes: tuple[int, ...] = ()
    dtype: DType | None = None
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(self.function in REDUCTIONS, f"the reduction is one of {', '.join(REDUCTIONS)}")
        boolean = x.dtype == BOOL and self.function in ("max", "min")
        require(boolean or x.dtype.name in NUMBERS, f"{self.function} takes numbers, not {x.dtype}")
        require(all(0 <= a < x.rank for a in self.axes), "the axes are the operand's")
        require(self.dtype is None or (x.dtype.is_integer and self.dtype.is_integer), "only integers widen")
        empty = any(static(x.shape)[a] == 0 for a in self.axes)
        require(
            not (empty and x.dtype.is_integer and self.function in ("mean", "max", "min")),
            "there is something to reduce",
        )
        shape = tuple(1 if axis in self.axes else d for axis, d in enumerate(x.shape))
        return (TensorType(shape, self.dtype or x.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        kept = [n for axis, n in enumerate(names) if axis not in self.axes]
        summed = [n for axis, n in enumerate(names) if axis in self.axes]
        y = ", ".join("0" if axis in self.axes else n for axis, n in enumerate(names))
        return Domain.of(f"{' '.join(kept)} | {' '.join(summed)}", {"x": ", ".join(names), "y": y}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        wide = x.astype(_WIDE[x.dtype.kind])
        dtype = self.dtype.numpy if self.dtype else x.dtype
        count = int(np.prod([x.shape[a] for a in self.axes], dtype=np.int64))
        with np.errstate(all="ignore"):
            y = self._reduced(wide, count)
        return wrapped(y, dtype)

    def _reduced(self, x: Array, count: int) -> Array:
        axes = self.axes
        if not axes:
            return x * x if self.function == "sumsq" else x
        if self.function in ("max", "min"):
            if count == 0:
                return np.full(
                    [1 if a in axes else d for a, d in enumerate(x.shape)],
                    -np.inf if self.function == "max" else np.inf,
                )
            return np.asarray((np.max if self.function == "max" else np.min)(x, axes, keepdims=True))
        if self.function == "prod":
            return np.asarray(np.prod(x, axes, keepdims=True, dtype=x.dtype if x.dtype.kind != "u" else np.uint64))
        total = np.sum(x * x if self.function == "sumsq" else x, axes, keepdims=True)
        if self.function != "mean":
            return np.asarray(total)
        if x.dtype.kind == "f":
            return np.asarray(total / count) if count else np.full(total.shape, np.nan)
        signed = total.astype(np.int64)
        if count & (count - 1) == 0:
            return np.asarray((signed + (count >> 1)) >> (count.bit_length() - 1))
        return truncated(signed + np.where(signed >= 0, 1, -1) * (count >> 1), np.asarray(count))

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        axes = tuple(a for a in range(len(shape)) if draw(st.booleans()))
        function, dtype = draw(st.sampled_from(REDUCTIONS)), draw(st.sampled_from([F32, F64, I8, I32, I64]))
        wider = I32 if dtype == I8 and function in ("sum", "mean") else None
        return cls(function, axes, wider), (TensorType(shape, dtype),)


@dataclass(frozen=True)
class ArgReduce(Op):
    """Where the greatest (or least) element along an axis is: i64, the axis stays with extent 1."""

    axis: int = 0
    greatest: bool = True
    last: bool = False  # of equal elements the last, not the first
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.dtype.name in NUMBERS, "numbers have an order")
        require(
            0 <= self.axis < x.rank and static(x.shape)[self.axis] > 0, "the axis is one of the operand's, not empty"
        )
        return (TensorType((*x.shape[: self.axis], 1, *x.shape[self.axis + 1 :]), I64),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        kept = [n for axis, n in enumerate(names) if axis != self.axis]
        x = ", ".join("*" if axis == self.axis else n for axis, n in enumerate(names))
        y = ", ".join("0" if axis == self.axis else n for axis, n in enumerate(names))
        return Domain.of(" ".join(kept), {"x": x, "y": y}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        search = np.argmax if self.greatest else np.argmin
        if not self.last:
            return np.asarray(search(x, self.axis, keepdims=True)).astype(np.int64)
        place = x.shape[self.axis] - 1 - search(np.flip(x, self.axis), self.axis, keepdims=True)
        return np.asarray(place).astype(np.int64)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        op = cls(draw(st.integers(0, len(shape) - 1)), draw(st.booleans()), draw(st.booleans()))
        return op, (TensorType(shape, draw(st.sampled_from([F32, I8]))),)


@dataclass(frozen=True)
class Cumulative(Op):
    """Running sum or product along an axis; `exclusive` leaves out the element itself, `reverse` starts at the end."""

    function: str = "sum"
    axis: int = 0
    exclusive: bool = False
    reverse: bool = False
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(self.function in ("sum", "prod") and x.dtype.name in NUMBERS, "a running sum or product of numbers")
        require(0 <= self.axis < x.rank, "the axis is one of the operand's")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        text = ", ".join("*" if axis == self.axis else n for axis, n in enumerate(names))
        kept = " ".join(n for axis, n in enumerate(names) if axis != self.axis)
        return Domain.of(kept, dict.fromkeys("xy", text), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        wide = x.astype(np.float64 if x.dtype.kind == "f" else np.int64)
        wide = np.moveaxis(wide, self.axis, -1)
        wide = wide[..., ::-1] if self.reverse else wide
        y = np.cumsum(wide, -1) if self.function == "sum" else np.cumprod(wide, -1)
        if self.exclusive:
            start = np.full((*y.shape[:-1], 1), 0 if self.function == "sum" else 1, y.dtype)
            y = np.concatenate([start, y[..., :-1]], -1)
        y = y[..., ::-1] if self.reverse else y
        return wrapped(np.ascontiguousarray(np.moveaxis(y, -1, self.axis)), x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        axis = draw(st.integers(0, len(shape) - 1))
        op = cls(draw(st.sampled_from(["sum", "prod"])), axis, draw(st.booleans()), draw(st.booleans()))
        return op, (TensorType(shape, draw(st.sampled_from([F32, I32]))),)


@dataclass(frozen=True)
class Softmax(Op):
    """exp(x - max) / sum along an axis, or its logarithm."""

    axis: int = -1
    log: bool = False
    operands = ("x",)

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        (x,) = present(types)
        require(x.dtype.name in FLOATS, "softmax is of floats; quantised networks carry their own")
        require(-x.rank <= self.axis < max(x.rank, 1), "the axis is one of the operand's")
        return (x,)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        names[self.axis] = "*"
        text = ", ".join(names)
        return Domain.of(" ".join(n for n in names if n != "*"), dict.fromkeys("xy", text), macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        (x,) = present(arrays)
        wide = x.astype(np.float64)
        if wide.size == 0:
            return np.array(x)
        with np.errstate(all="ignore"):
            shifted = wide - wide.max(self.axis, keepdims=True)
            total = np.exp(shifted).sum(self.axis, keepdims=True)
            y = shifted - np.log(total) if self.log else np.exp(shifted) / total
        return np.asarray(y).astype(x.dtype)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        return cls(draw(st.integers(0, len(shape) - 1)), draw(st.booleans())), (TensorType(shape, F32),)
