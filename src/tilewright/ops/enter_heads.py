"""What follows the product of tokens that enter an attention of QuantLib's decoders: rotations, tables, caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain
from ..ir.op import Op, require
from ..ir.types import I8, I32, Array, TensorType
from .attention import Append
from .caching import _Caching
from .common import present
from .rotate import RotateHeads

ONE = TensorType((1,), I32)
TABLE = TensorType((256,), I8)


@dataclass(frozen=True)
class EnterHeads(_Caching):
    """Queries and keys are turned; keys and values go through a table each, to rows pos + t of caches.

    x_q: [t, heads * hd], x_k and x_v: [t, kv_heads * hd] i8; r: matrices [1 or t, hd, hd] i8. Queries and keys are
    turned by RotateHeads with q_shift and k_shift. numbers: [4] i32 (q_mul, q_add, k_mul, k_add). state_k, state_v:
    [positions, kv_heads * hd] i8, updated in place; y, the queries: [t, heads * hd].
    """

    q_shift: int = 0
    k_shift: int = 0
    operands = ("state_k", "state_v", "x_q", "x_k", "x_v", "r", "table_k", "table_v", "numbers")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        state_k, state_v, q, k, v, r, table_k, table_v, numbers = present(types)
        require(self.heads % self.kv_heads == 0, "query heads are a multiple of key/value heads")
        require(k == v, "keys are as values")
        require(table_k == table_v == TABLE, "tables are 256 elements of i8")
        require(numbers.shape == (4,) and numbers.dtype == I32, "numbers are four of i32")
        (queries,) = RotateHeads(self.heads, self.q_shift).infer(q, r, ONE, ONE)
        (keys,) = RotateHeads(self.kv_heads, self.k_shift).infer(k, r, ONE, ONE)
        return queries, *(Append(self.pos).infer(state, keys)[0] for state in (state_k, state_v))

    def domain(self, *types: TensorType | None) -> Domain:
        q, r = (present((types[i],))[0] for i in (2, 5))
        hd = r.static_shape[2]
        queries = self.group * hd
        maps = dict.fromkeys(("x_q", "y"), f"t, {queries}*g+c") | dict.fromkeys(("x_k", "x_v"), f"t, {hd}*g+d")
        maps["r"] = f"{'t' if r.shape[0] == q.shape[0] else '0'}, *, *"
        maps |= dict.fromkeys(("state_k", "state_v", "k", "v"), f"*, {hd}*g+d")
        maps |= dict.fromkeys(("table_k", "table_v", "numbers"), "*")
        return Domain.of("t g | c d", maps, extents={"g": self.kv_heads, "c": queries, "d": hd}, besides=("d",))

    def reference(self, *arrays: Array | None) -> tuple[Array, ...]:
        state_k, state_v, q, k, v, r, table_k, table_v, numbers = present(arrays)
        y = RotateHeads(self.heads, self.q_shift).reference(q, r, numbers[:1], numbers[1:2])
        turned = RotateHeads(self.kv_heads, self.k_shift).reference(k, r, numbers[2:3], numbers[3:], table_k)
        append = Append(self.pos)
        return y, append.reference(state_k, turned), append.reference(state_v, table_v[v.view(np.uint8)])

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, kv, group, hd = (draw(st.integers(1, n)) for n in (4, 4, 3, 5))
        pos = draw(st.integers(0, 5))
        state = TensorType((pos + t + draw(st.integers(0, 2)), kv * hd), I8)
        rows = TensorType((t, kv * hd), I8)
        operands = [state, state, TensorType((t, kv * group * hd), I8), rows, rows]
        operands += [TensorType((draw(st.sampled_from([1, t])), hd, hd), I8), TABLE, TABLE, TensorType((4,), I32)]
        return cls(kv * group, kv, pos, draw(st.integers(0, 24)), draw(st.integers(0, 24))), tuple(operands)
