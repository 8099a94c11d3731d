"""Tokens that enter an attention of QuantLib's decoders: queries, and keys and values that caches take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I32, Array, TensorType
from .caching import _Caching
from .common import present
from .enter_heads import ONE, TABLE, EnterHeads
from .epilogue import Requantise
from .linear import Linear


@dataclass(frozen=True)
class NewHeads(_Caching):
    """A product of tokens gives queries, keys and values; the first two are turned, the others go to rows pos + t.

    x: [t, i] i8; w: [kv_heads * (group + 2) * hd, i] i8, for each head of the caches its group of queries, its key and
    its value; mul: i32, one per row; r: matrices [1 or t, hd, hd] i8. Products are clip((x w^T * mul + add) >> shift),
    then enter caches as with EnterHeads: queries and keys are turned, keys and values go through a table each.
    numbers: [5] i32 (add, q_mul, q_add, k_mul, k_add). state_k, state_v: [positions, kv_heads * hd] i8, updated in
    place; y, the queries: [t, heads * hd].
    """

    shift: int = 0
    q_shift: int = 0
    k_shift: int = 0
    operands = ("state_k", "state_v", "x", "w", "mul", "r", "table_k", "table_v", "numbers")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        state_k, state_v, x, w, mul, r, table_k, table_v, numbers = present(types)
        require(self.heads % self.kv_heads == 0, "query heads are a multiple of key/value heads")
        require(x.rank == 2 and r.rank == 3, "x is [t, i], r a matrix or one per row of x")
        require(x.dtype == w.dtype == I8, "x and the weight are i8")
        require(mul.shape == w.shape[:1], "there is one multiplier per row")
        require(w.static_shape[0] == self._rows(r), "the weight has the rows of all heads")
        require(numbers.shape == (5,) and numbers.dtype == I32, "numbers are five of i32")
        (rows,) = self._product().infer(x, w, None, mul, ONE)
        width = r.static_shape[2]
        queries, keys = (rows.with_shape((x.shape[0], width * n)) for n in (self.heads, self.kv_heads))
        rest = TensorType((4,), I32)
        return self._enter().infer(state_k, state_v, queries, keys, keys, r, table_k, table_v, rest)

    def _rows(self, r: TensorType) -> int:
        return self.kv_heads * (self.group + 2) * r.static_shape[2]

    def _product(self) -> Linear:
        return Linear(Requantise(self.shift, I8.low, I8.high, I8))

    def _enter(self) -> EnterHeads:
        return EnterHeads(self.heads, self.kv_heads, self.pos, self.q_shift, self.k_shift)

    def domain(self, *types: TensorType | None) -> Domain:
        x, r = (present((types[i],))[0] for i in (2, 5))
        hd = r.static_shape[2]
        rows, queries = (self.group + 2) * hd, self.group * hd
        maps = {"x": "t, i", "w": f"{rows}*g+e, i", "mul": f"{rows}*g+e", "y": f"t, {queries}*g+c"}
        maps["r"] = f"{'t' if r.shape[0] == x.shape[0] else '0'}, *, *"
        maps |= dict.fromkeys(("state_k", "state_v", "k", "v"), f"*, {hd}*g+d")
        maps |= dict.fromkeys(("table_k", "table_v", "numbers"), "*")
        extents = {"g": self.kv_heads, "e": rows, "c": queries, "d": hd}
        return Domain.of("t g | e i c d", maps, extents=extents, besides=("c", "d"))

    def reference(self, *arrays: Array | None) -> tuple[Array, ...]:
        state_k, state_v, x, w, mul, r, table_k, table_v, numbers = present(arrays)
        rows = self._product().reference(x, w, None, mul, numbers[:1])
        parts = rows.reshape(len(x), self.kv_heads, self.group + 2, r.shape[2])
        q, k, v = (
            np.ascontiguousarray(part).reshape(len(x), -1)
            for part in (parts[:, :, :-2], parts[:, :, -2], parts[:, :, -1])
        )
        return self._enter().reference(state_k, state_v, q, k, v, r, table_k, table_v, numbers[1:])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, i, kv, group, hd = (draw(st.integers(1, n)) for n in (4, 20, 4, 3, 5))
        pos, rows = draw(st.integers(0, 5)), kv * (group + 2) * hd
        state = TensorType((pos + t + draw(st.integers(0, 2)), kv * hd), I8)
        operands = [state, state, TensorType((t, i), I8), TensorType((rows, i), I8), TensorType((rows,), I32)]
        operands += [TensorType((draw(st.sampled_from([1, t])), hd, hd), I8), TABLE, TABLE, TensorType((5,), I32)]
        shift, q_shift, k_shift = (draw(st.integers(0, 24)) for _ in range(3))
        return cls(kv * group, kv, pos, shift, q_shift, k_shift), tuple(operands)
