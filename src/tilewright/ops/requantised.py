"""Sums and products of 8-bit values, each through a table first, and a requantisation after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I32, I64, U8, Array, TensorType
from ..quant.requant import requantise
from .common import dims, present, shape_strategy

_FUNCTIONS = {"add": np.add, "mul": np.multiply}


@dataclass(frozen=True)
class TableBinary(Op):
    """y = clip((f(table_a[a], table_b[b]) * mul + add) >> shift), f the sum or the product.

    a, b: i8 or u8 of one shape, tables: [256] i8, indexed by the bits of the operand; mul: [1] i32, add: [1] i32 or
    i64; y: i8. This is the residual sum of QuantLib (RequantizedAdd), whose operands are requantised and saturated
    before they are added, and the product of a gate with its activation.
    """

    function: str = "add"
    shift: int = 0
    operands = ("a", "b", "table_a", "table_b", "mul", "add")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        a, b, table_a, table_b, mul, add = present(types)
        require(self.function in _FUNCTIONS, "the function is add or mul")
        require(a.shape == b.shape and {a.dtype, b.dtype} <= {I8, U8}, "operands are i8 or u8 of one shape")
        require(table_a.shape == table_b.shape == (256,), "tables have 256 entries")
        require(table_a.dtype == table_b.dtype == I8, "tables are of i8")
        require(mul.shape == add.shape == (1,) and mul.dtype == I32 and add.dtype in (I32, I64), "mul and add are one")
        require(0 <= self.shift < 63, "the shift is 0 .. 62")
        return (TensorType(a.shape, I8),)

    def domain(self, *types: TensorType | None) -> Domain:
        names = dims(present(types[:1])[0].rank)
        each = ", ".join(names)
        maps = {"a": each, "b": each, "table_a": "*", "table_b": "*", "mul": "0", "add": "0", "y": each}
        return Domain.of(" ".join(names), maps, macs=0)

    def reference(self, *arrays: Array | None) -> Array:
        a, b, table_a, table_b, mul, add = present(arrays)
        p, q = (
            table[np.ascontiguousarray(x).view(np.uint8).reshape(x.shape)].astype(np.int64)
            for x, table in ((a, table_a), (b, table_b))
        )
        return requantise(_FUNCTIONS[self.function](p, q), mul, add, self.shift, I8.low, I8.high).astype(np.int8)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        shape = shape_strategy(draw)
        a, b = (TensorType(shape, draw(st.sampled_from([I8, U8]))) for _ in "ab")
        table, add = TensorType((256,), I8), TensorType((1,), draw(st.sampled_from([I32, I64])))
        op = cls(draw(st.sampled_from(sorted(_FUNCTIONS))), draw(st.integers(0, 24)))
        return op, (a, b, table, table, TensorType((1,), I32), add)


@dataclass(frozen=True)
class TablePairs(Op):
    """y = clip((table_a[a] * table_b[b] * mul + add) >> shift) of pairs a, b that lie side by side.

    x: [..., 2 o] i8; tables: [256] i8, indexed by the bits of the operand; mul, add: [1] i32; y: [..., o] i8.
    """

    shift: int = 0
    operands = ("x", "table_a", "table_b", "mul", "add")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, table_a, table_b, mul, add = present(types)
        require(x.dtype == I8 and x.rank > 0, "x is of i8")
        require(x.static_shape[-1] % 2 == 0, "the last axis of x has pairs")
        require(add.dtype == I32, "add is of i32")
        half = x.with_shape((*x.shape[:-1], x.static_shape[-1] // 2))
        return TableBinary("mul", self.shift).infer(half, half, table_a, table_b, mul, add)

    def domain(self, *types: TensorType | None) -> Domain:
        (x,) = present(types[:1])
        *lead, last = dims(x.rank)
        maps = {"x": ", ".join([*lead, f"2*{last}+k"]), "y": ", ".join([*lead, last]), "mul": "0", "add": "0"}
        return Domain.of(
            f"{' '.join([*lead, last])} | k", maps | {"table_a": "*", "table_b": "*"}, macs=0,
            extents={last: x.static_shape[-1] // 2, "k": 2},
        )  # fmt: skip

    def reference(self, *arrays: Array | None) -> Array:
        x, table_a, table_b, mul, add = present(arrays)
        return TableBinary("mul", self.shift).reference(x[..., 0::2], x[..., 1::2], table_a, table_b, mul, add)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        *lead, last = shape_strategy(draw)
        table, one = TensorType((256,), I8), TensorType((1,), I32)
        return cls(draw(st.integers(0, 24))), (TensorType((*lead, 2 * last), I8), table, table, one, one)
