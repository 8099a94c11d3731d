"""How kernels of the chip finish integer sums: what holds for a requantisation, and how they are told."""

from __future__ import annotations

from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ir.types import Array
from ...ops import LinearAdd
from ...ops.epilogue import Requantise
from ...quant.requant import half
from ..host.arguments import type_of

SUMS, WIDE, NARROW, BOUNDED = range(4)  # modes: TW_SUMS ... in kernels/tw_results.h
X_SIGNED, MUL_U8, MUL_ROWS, ADD_ROWS, ADD_I64, BYTES, MODE = 1, 2, 4, 8, 16, 5, 8
INT32 = -(1 << 31), (1 << 31) - 1


def results(node: Node, low: Array | int, high: Array | int, x: str = "x") -> dict[str, int]:
    """Arguments about the epilogue, for sums that are within low .. high, per output channel or for all."""
    epilogue = node.op.attributes.get("epilogue")
    form = X_SIGNED * type_of(node, x).dtype.is_signed | (type_of(node, "y").dtype.bits // 8) << BYTES
    if not isinstance(epilogue, Requantise):
        return {"form": form | SUMS << MODE, **dict.fromkeys(("shift", "low", "high", "acc_low", "acc_high"), 0)}
    mul, add = type_of(node, "mul"), type_of(node, "add")
    form |= MUL_U8 * (mul.dtype.bits == 8) | MUL_ROWS * (mul.size > 1) | ADD_ROWS * (add.size > 1)
    form |= ADD_I64 * (add.dtype.bits == 64)
    mode, bounds = _mode(node, epilogue, low, high)
    shift = epilogue.shift if mode == WIDE else min(epilogue.shift, 31)
    return {
        "form": form | mode << MODE, "shift": shift, "low": epilogue.low, "high": epilogue.high,
        "acc_low": bounds[0], "acc_high": bounds[1],
    }  # fmt: skip


def mode_of(node: Node, low: Array | int, high: Array | int) -> int:
    """How requantised sums within low .. high are held."""
    return _mode(node, node.op.attributes["epilogue"], low, high)[0]


def joined(node: Node, low: Array | int, high: Array | int) -> dict[str, int]:
    """The same for sums that join a residual stream."""
    op = cast(LinearAdd, node.op)
    mul, add = node.operands["mul"].data, half(op.shift)
    fits = mul is not None and _fits(low, high, mul, np.array(add))
    form = X_SIGNED | MUL_U8 | MUL_ROWS | ADD_I64 | 2 << BYTES | (NARROW if fits else WIDE) << MODE
    return {"form": form, "shift": min(op.shift, 31) if fits else op.shift, "half": add}


def _mode(node: Node, epilogue: Requantise, low: Array | int, high: Array | int) -> tuple[int, tuple[int, int]]:
    """The mode, and bounds that sums are clipped to in mode BOUNDED."""
    mul, add = node.operands["mul"].data, node.operands["add"].data
    if mul is None or add is None:
        return WIDE, (0, 0)
    b = node.operands.get("b")
    if b is not None:
        if b.data is None:
            return WIDE, (0, 0)
        low, high = np.asarray(low) + b.data, np.asarray(high) + b.data
        if (low < INT32[0]).any() or (high > INT32[1]).any():
            return WIDE, (0, 0)
    if _fits(low, high, mul, add):
        return NARROW, (0, 0)
    if mul.min() <= 0 or epilogue.shift > 31:
        return WIDE, (0, 0)
    wide_mul, wide_add = mul.astype(object), add.astype(object)
    least = -((wide_add - (epilogue.low << epilogue.shift)) // wide_mul)  # from here down, results are low or next
    most = -((wide_add - (epilogue.high << epilogue.shift)) // wide_mul)  # from here up, they are high
    bounds = int(min(0, np.min(least) - 1)), int(max(0, np.max(most)))
    lower, upper = np.maximum(low, bounds[0]), np.minimum(high, bounds[1])
    inside = INT32[0] <= bounds[0] and bounds[1] <= INT32[1]
    return (BOUNDED, bounds) if inside and _fits(lower, upper, mul, add) else (WIDE, (0, 0))


def _fits(low: Array | int, high: Array | int, mul: Array, add: Array) -> bool:
    """Whether sum * mul + add fits 32 bits for all sums within low .. high; the product alone may wrap."""
    ends = [np.asarray(v, object) * mul.astype(object) + add.astype(object) for v in (low, high)]
    inside = all(INT32[0] <= int(np.min(v)) and int(np.max(v)) <= INT32[1] for v in ends)
    return inside and INT32[0] <= int(np.min(add)) and int(np.max(add)) <= INT32[1]
