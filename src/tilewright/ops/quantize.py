"""Between reals and integers, and from wide integers to narrow ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import F32, I8, I16, I32, I64, U8, U16, Array, DType, TensorType
from ..quant.requant import requantise
from .common import aligned, axis_of, broadcast, dims, partly_broadcast, present, shape_strategy
from .elementwise import saturated

_STORED = (I8, U8, I16, U16, I32)


def along(axis: int, rank: int, values: Array) -> Array:
    """A vector as it broadcasts along one axis; a single element broadcasts as it is."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape([-1 if a == axis % rank else 1 for a in range(rank)])


def _per_axis(x: TensorType, axis: int, *parameters: TensorType) -> None:
    for kind in parameters:
        extent = x.shape[axis_of(axis, x.rank)] if x.rank else 1
        require(
            kind.shape in ((1,), (extent,)),
            f"one element, or one per index of the axis ({extent}); it is {list(kind.shape)}",
        )


def _maps(x: TensorType, axis: int, parameters: dict[str, TensorType]) -> dict[str, str]:
    names = dims(x.rank)
    channel = names[axis % x.rank] if x.rank else "0"
    return {name: channel if kind.shape != (1,) else "0" for name, kind in parameters.items()}


@dataclass(frozen=True)
class Requant(Op):
    """y = clip((x * mul + add) >> shift, low, high): integers to a narrower type, with a 64-bit product.

    mul: i32, add: i32 or i64, one element or one per index of `axis` (named from the end: -1 is the last).
    """

    shift: int = 0
    low: int = -128
    high: int = 127
    axis: int = -1
    dtype: DType = I8
    operands = ("x", "mul", "add")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, mul, add = present(types)
        require(
            x.dtype.is_integer and x.dtype.bits <= 32, f"requantisation is of integers up to 32 bits, not {x.dtype}"
        )
        require(mul.dtype == I32 and add.dtype in (I32, I64), "the multiplier is i32, the addend i32 or i64")
        require(0 <= self.shift < 63, "the shift is 0 .. 62")
        require(self.dtype.low <= self.low <= self.high <= self.dtype.high, f"the clamp is within {self.dtype}")
        _per_axis(x, self.axis, mul, add)
        return (TensorType(x.shape, self.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, mul, add = present(types[:3])
        names = ", ".join(dims(x.rank))
        maps = {"x": names, **_maps(x, self.axis, {"mul": mul, "add": add}), "y": names}
        return Domain.of(" ".join(dims(x.rank)), maps, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, mul, add = present(arrays)
        mul, add = along(self.axis, x.ndim, mul), along(self.axis, x.ndim, add)
        return requantise(x, mul, add, self.shift, self.low, self.high).astype(self.dtype.numpy).reshape(x.shape)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        axis = -draw(st.integers(1, len(shape)))
        mul, add = (
            TensorType((draw(st.sampled_from([1, shape[axis]])),), d) for d in (I32, draw(st.sampled_from([I32, I64])))
        )
        low, high, dtype = draw(st.sampled_from([(-128, 127, I8), (0, 255, U8), (0, 100, I8), (-32768, 32767, I16)]))
        op = cls(draw(st.integers(0, 40)), low, high, axis, dtype)
        return op, (TensorType(shape, draw(st.sampled_from([I8, U8, I32]))), mul, add)


@dataclass(frozen=True)
class Quantize(Op):
    """y = clip(round(x / scale) + zero): reals to integers, ties to even. scale and zero: one, or one per `axis`."""

    axis: int = -1
    operands = ("x", "scale", "zero")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, scale, zero = present(types)
        require(x.dtype == F32 and scale.dtype == F32, f"x and scale are f32, they are {x.dtype} and {scale.dtype}")
        require(zero.dtype in _STORED, f"the result is one of {_STORED}, not {zero.dtype}")
        _per_axis(x, self.axis, scale, zero)
        return (TensorType(x.shape, zero.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, scale, zero = present(types[:3])
        names = ", ".join(dims(x.rank))
        maps = {"x": names, **_maps(x, self.axis, {"scale": scale, "zero": zero}), "y": names}
        return Domain.of(" ".join(dims(x.rank)), maps, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, scale, zero = present(arrays)
        with np.errstate(all="ignore"):
            scaled = np.rint(np.asarray(x / along(self.axis, x.ndim, scale), np.float32)).astype(np.float64)
        return _stored(scaled + along(self.axis, x.ndim, zero), zero.dtype).reshape(x.shape)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        axis = -draw(st.integers(1, len(shape)))
        kind = (draw(st.sampled_from([1, shape[axis]])),)
        return cls(axis), (
            TensorType(shape, F32),
            TensorType(kind, F32),
            TensorType(kind, draw(st.sampled_from([I8, U8, I16]))),
        )


def _stored(values: Array, dtype: np.dtype[Any]) -> Array:
    by_name = {t.numpy: t for t in _STORED}
    return saturated(values, by_name[dtype])


@dataclass(frozen=True)
class Dequantize(Op):
    """y = (x - zero) * scale: integers to reals. scale and zero: one, or one per index of `axis`."""

    axis: int = -1
    operands = ("x", "scale", "zero")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, scale, zero = present(types)
        require(x.dtype in _STORED and zero.dtype == x.dtype, f"x and zero have one type out of {_STORED}")
        require(scale.dtype == F32, "the scale is f32")
        _per_axis(x, self.axis, scale, zero)
        return (TensorType(x.shape, F32),)

    def domain(self, *types: TensorType | None) -> Domain:
        x, scale, zero = present(types[:3])
        names = ", ".join(dims(x.rank))
        maps = {"x": names, **_maps(x, self.axis, {"scale": scale, "zero": zero}), "y": names}
        return Domain.of(" ".join(dims(x.rank)), maps, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, scale, zero = present(arrays)
        difference = x.astype(np.int64) - along(self.axis, x.ndim, zero)
        return np.asarray(difference.astype(np.float32) * along(self.axis, x.ndim, scale), np.float32).reshape(x.shape)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        axis = -draw(st.integers(1, len(shape)))
        kind, dtype = (draw(st.sampled_from([1, shape[axis]])),), draw(st.sampled_from([I8, U8, I32]))
        return cls(axis), (TensorType(shape, dtype), TensorType(kind, F32), TensorType(kind, dtype))


@dataclass(frozen=True)
class LookUp(Op):
    """y = table[x] for 8-bit x: any function of one argument. table: [256], indexed by the bits of x as u8."""

    operands = ("x", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, table = present(types)
        require(x.dtype in (I8, U8), f"the argument is i8 or u8, not {x.dtype}")
        require(table.shape == (256,), "the table has 256 entries")
        return (TensorType(x.shape, table.dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = ", ".join(dims(present(types[:1])[0].rank))
        return Domain.of(names.replace(",", ""), {"x": names, "table": "*", "y": names}, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        x, table = present(arrays)
        return np.asarray(table[np.ascontiguousarray(x).view(np.uint8).reshape(x.shape)])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        x = TensorType(shape_strategy(draw), draw(st.sampled_from([I8, U8])))
        return cls(), (x, TensorType((256,), draw(st.sampled_from([I8, U8]))))


@dataclass(frozen=True)
class _QuantizedBinary(Op):
    """Two quantised operands, with broadcasting; 64-bit arithmetic, one shift, one clamp."""

    operands = ("a", "b")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b = present(types)
        require(a.dtype in (I8, U8) and b.dtype in (I8, U8), f"operands are i8 or u8, they are {a.dtype} and {b.dtype}")
        dtype: DType = self.attributes["dtype"]
        low, high = self.attributes["low"], self.attributes["high"]
        require(dtype.low <= low <= high <= dtype.high, "the clamp is within the type")
        return (TensorType(broadcast(a.shape, b.shape), dtype),)

    def domain(self, *types: TensorType | None) -> Domain:
        a, b = present(types[:2])
        shape = broadcast(a.shape, b.shape)
        names = dims(len(shape))
        maps = {"a": aligned(a.shape, names), "b": aligned(b.shape, names), "y": ", ".join(names)}
        return Domain.of(" ".join(names), maps, extents=dict(zip(names, shape, strict=True)), macs=0)

    @classmethod
    def _types(cls, draw: Any) -> tuple[TensorType, TensorType]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        other = partly_broadcast(draw, shape)
        return TensorType(shape, draw(st.sampled_from([I8, U8]))), TensorType(other, draw(st.sampled_from([I8, U8])))


@dataclass(frozen=True)
class QuantizedAdd(_QuantizedBinary):
    """y = clip((a mul_a + b mul_b + add) >> shift): the sum of two quantised tensors at a third scale."""

    mul_a: int = 1
    mul_b: int = 1
    add: int = 0
    shift: int = 0
    low: int = -128
    high: int = 127
    dtype: DType = I8

    def reference(self, *arrays: Array | None) -> Array:
        a, b = present(arrays)
        total = a.astype(np.int64) * self.mul_a + b.astype(np.int64) * self.mul_b + self.add
        return np.asarray(np.clip(total >> self.shift, self.low, self.high)).astype(self.dtype.numpy)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shift = draw(st.integers(4, 22))
        factor, addend = st.integers(-(1 << shift), 1 << shift), st.integers(-20 << shift, 20 << shift)
        op = cls(draw(factor), draw(factor), draw(addend), shift)
        return op, cls._types(draw)


@dataclass(frozen=True)
class QuantizedMul(_QuantizedBinary):
    """y = clip(((a - zero_a) (b - zero_b) mul + add) >> shift): the product of two quantised tensors."""

    zero_a: int = 0
    zero_b: int = 0
    mul: int = 1
    add: int = 0
    shift: int = 0
    low: int = -128
    high: int = 127
    dtype: DType = I8

    def reference(self, *arrays: Array | None) -> Array:
        a, b = present(arrays)
        total = (a.astype(np.int64) - self.zero_a) * (b.astype(np.int64) - self.zero_b) * self.mul + self.add
        return np.asarray(np.clip(total >> self.shift, self.low, self.high)).astype(self.dtype.numpy)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shift = draw(st.integers(8, 45))
        mul, add = draw(st.integers(1, min(1 << (shift - 5), I32.high))), draw(st.integers(-20 << shift, 20 << shift))
        op = cls(draw(st.integers(-9, 9)), draw(st.integers(0, 255)), mul, add, shift)
        return op, cls._types(draw)
