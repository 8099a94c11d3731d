"""What follows an accumulation before the result is stored: nothing, a clamp, or the one requantisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..ir.op import require
from ..ir.types import I8, I16, I32, I64, U8, Array, DType, TensorType
from ..quant.requant import requantise
from .common import wrapped


@dataclass(frozen=True)
class Clamp:
    """Float results within low .. high: Relu, Relu6, Clip. The C kernels take the bounds as float."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Requantise:
    """Integer results: clip((acc * mul[c] + add[c]) >> shift, low, high), stored as `dtype`.

    mul (i32 or u8) and add (i32 or i64) are operands, one element per output channel or one for all; the bias, the zero
    points and the rounding are folded into add.
    """

    shift: int
    low: int
    high: int
    dtype: DType


Epilogue = Clamp | Requantise | None

WIDE = I32
_NARROW = (I8, U8, I16)


def accumulated(x: TensorType, w: TensorType) -> DType:
    """Element type of the accumulator: integers of any width accumulate in i32, floats in themselves."""
    if x.dtype.is_float:
        require(x.dtype == w.dtype, f"x and w have the same element type, they have {x.dtype} and {w.dtype}")
        return x.dtype
    require(w.dtype.is_integer, f"x and w are both integers or both floats, they are {x.dtype} and {w.dtype}")
    return I64 if I64 in (x.dtype, w.dtype) else WIDE


def finished_type(
    epilogue: Epilogue, acc: DType, channels: int, b: TensorType | None, mul: TensorType | None, add: TensorType | None
) -> DType:
    """Element type of the result; checks the epilogue's operands against the number of output channels."""
    require(b is None or (b.shape == (channels,) and b.dtype == acc), f"the bias is one {acc} per output channel")
    if not isinstance(epilogue, Requantise):
        require(mul is None and add is None, "multiplier and addend belong to a requantisation")
        require(epilogue is None or acc.is_float, "a clamp of floats; integers clamp when they are requantised")
        return acc
    require(acc == WIDE, "only i32 accumulators are requantised")
    require(mul is not None and add is not None, "a requantisation has a multiplier and an addend")
    assert mul is not None
    assert add is not None
    require(mul.shape in ((1,), (channels,)), "the multiplier is one for all, or one per channel")
    require(mul.dtype in (I32, U8), "the multiplier is i32, or u8 as accelerators take it")
    require(
        add.shape in ((1,), (channels,)) and add.dtype in (I32, I64), "the addend is i32 or i64, one or one per channel"
    )
    require(epilogue.dtype.low <= epilogue.low <= epilogue.high <= epilogue.dtype.high, "the clamp is within the type")
    return epilogue.dtype


def finish(epilogue: Epilogue, acc: Array, x: Array, w: Array, mul: Array | None, add: Array | None) -> Array:
    """The result from exact sums (int64 or float64) of products of x and w, output channels last."""
    if isinstance(epilogue, Requantise):
        assert mul is not None
        assert add is not None
        held = wrapped(acc, np.dtype(np.int32))
        return requantise(held, mul, add, epilogue.shift, epilogue.low, epilogue.high).astype(epilogue.dtype.numpy)
    if isinstance(epilogue, Clamp):
        acc = np.clip(acc, epilogue.low, epilogue.high)
    if x.dtype.kind == "f":
        return wrapped(acc, x.dtype)
    return wrapped(acc, np.dtype(np.int64 if np.int64 in (x.dtype, w.dtype) else np.int32))


def requant_maps(epilogue: Epilogue, mul: TensorType | None, add: TensorType | None, channel: str) -> dict[str, str]:
    """Access maps of multiplier and addend."""
    if not isinstance(epilogue, Requantise) or mul is None or add is None:
        return {}
    return {
        name: channel if kind.shape != (1,) or channel == "0" else "0" for name, kind in (("mul", mul), ("add", add))
    }
