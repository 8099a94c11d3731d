"""Products of quantised language models with what follows them: fewer calls where cores meet after each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.domain import Domain, Ranges
from ..ir.op import Op, require
from ..ir.types import I8, I16, U8, Array, Dim, DType, Expr, TensorType
from ..quant.requant import half
from .common import exact_product, present
from .pointwise import QuantisedSwiGLU
from .rope import QuantisedRoPE


def _check(x: TensorType, w: TensorType, mul: TensorType, shift: int) -> None:
    require(x.rank == 2 and w.rank == 2 and x.shape[1] == w.shape[1], "x is [t, i] and weights are [o, i]")
    require(x.dtype == w.dtype == I8, "x and weights are i8")
    require(mul.shape == w.shape[:1] and mul.dtype == U8, "the multipliers are u8, one per row")
    require(0 <= shift <= 30, "shifts are 0 .. 30")


def _rows(x: Array, w: Array, mul: Array, shift: int, dtype: DType) -> Array:
    """clip((x w^T * mul + half) >> shift)."""
    wide = exact_product(x, w.T).astype(np.int64) * mul + half(shift) >> shift
    return np.asarray(np.clip(wide, dtype.low, dtype.high), dtype.numpy)


@dataclass(frozen=True)
class GatedLinear(Op):
    """QuantisedSwiGLU of two products of x, both i8: clip((x w^T * mul + half) >> shift) with their own shifts.

    x: [t, i] i8; w_gate, w_up: [o, i] i8; mul_gate, mul_up: [o] u8; table: [256] i16; y: [t, o] i8.
    """

    gate_shift: int = 0
    up_shift: int = 0
    shift: int = 0
    operands = ("x", "w_gate", "mul_gate", "w_up", "mul_up", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w_gate, mul_gate, w_up, mul_up, table = present(types)
        _check(x, w_gate, mul_gate, self.gate_shift)
        _check(x, w_up, mul_up, self.up_shift)
        require(w_gate.shape == w_up.shape, "both products have as many rows")
        y = TensorType((x.shape[0], w_up.shape[0]), I8)
        return QuantisedSwiGLU(self.shift).infer(y, y, table)

    def domain(self, *types: TensorType | None) -> Domain:
        maps = {"x": "t, i", "w_gate": "o, i", "mul_gate": "o", "w_up": "o, i", "mul_up": "o", "table": "*"}
        return Domain.of("t o | i", {**maps, "y": "t, o"}, macs=2)

    def reference(self, *arrays: Array | None) -> Array:
        x, w_gate, mul_gate, w_up, mul_up, table = present(arrays)
        gate, up = _rows(x, w_gate, mul_gate, self.gate_shift, I8), _rows(x, w_up, mul_up, self.up_shift, I8)
        return QuantisedSwiGLU(self.shift).reference(gate, up, table)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, o, i = (draw(st.integers(1, n)) for n in (4, 40, 40))
        x, w, mul = TensorType((t, i), I8), TensorType((o, i), I8), TensorType((o,), U8)
        op = cls(*(draw(st.integers(low, high)) for low, high in ((8, 18), (8, 18), (0, 20))))
        return op, (x, w, mul, w, mul, TensorType((256,), I16))


@dataclass(frozen=True)
class TurnedLinear(Op):
    """Queries, keys and values of tokens, one behind the other: products of x, the first two turned by QuantisedRoPE.

    x: [t, i] i8; w_q: [heads * hd, i], w_k, w_v: [kv_heads * hd, i] i8; mul_*: u8, one per row; table: [positions, hd]
    i16. Products are clip((x w^T * mul + half) >> shift), i16 before they are turned, else i8.
    y: [t, (heads + 2 kv_heads) * hd] i8.
    """

    heads: int
    kv_heads: int
    q_shift: int = 0
    k_shift: int = 0
    v_shift: int = 0
    turn: int = 14
    pos: Dim = 0
    operands = ("x", "w_q", "mul_q", "w_k", "mul_k", "w_v", "mul_v", "table")

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x, w_q, mul_q, w_k, mul_k, w_v, mul_v, table = present(types)
        width = 0
        for w, mul, shift in ((w_q, mul_q, self.q_shift), (w_k, mul_k, self.k_shift), (w_v, mul_v, self.v_shift)):
            _check(x, w, mul, shift)
            width += w.static_shape[0]
        require(w_k.shape == w_v.shape, "there are as many keys as values")
        for w, heads in ((w_q, self.heads), (w_k, self.kv_heads)):
            QuantisedRoPE(heads, self.turn, self.pos).infer(TensorType((x.shape[0], w.shape[0]), I16), table)
        return (TensorType((x.shape[0], width), I8),)

    def domain(self, *types: TensorType | None) -> Domain:
        maps = {"x": "t, i", "table": "*, *", "y": "t, c"}
        return Domain.of("t c | i", {**maps, **{f"w_{n}": "*, i" for n in "qkv"}, **{f"mul_{n}": "*" for n in "qkv"}})

    def limits(self, operand: str, *types: TensorType | None) -> tuple[int, int] | None:
        return (-(1 << 14), (1 << 14) + 1) if operand == "table" else None

    def tiled(self, ranges: Ranges) -> Op:
        pos = (Expr.of(self.pos) + ranges["t"][0]).simplified()
        return TurnedLinear(self.heads, self.kv_heads, self.q_shift, self.k_shift, self.v_shift, self.turn, pos)

    def reference(self, *arrays: Array | None) -> Array:
        x, w_q, mul_q, w_k, mul_k, w_v, mul_v, table = present(arrays)
        q, k = _rows(x, w_q, mul_q, self.q_shift, I16), _rows(x, w_k, mul_k, self.k_shift, I16)
        turned = [
            QuantisedRoPE(heads, self.turn, self.pos).reference(part, table)
            for part, heads in ((q, self.heads), (k, self.kv_heads))
        ]
        return np.concatenate([*turned, _rows(x, w_v, mul_v, self.v_shift, I8)], axis=1)

    @classmethod
    def examples(cls, draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        from hypothesis import strategies as st

        t, i, kv, group = (draw(st.integers(1, n)) for n in (3, 40, 3, 3))
        pairs, pos = draw(st.integers(1, 8)), draw(st.integers(0, 9))
        x, table = TensorType((t, i), I8), TensorType((pos + t + draw(st.integers(0, 3)), 2 * pairs), I16)
        q_shift, k_shift, v_shift = (draw(st.integers(4, 14)) for _ in "qkv")
        op = cls(kv * group, kv, q_shift, k_shift, v_shift, draw(st.integers(10, 24)), pos)
        sizes = [n * 2 * pairs for n in (kv * group, kv, kv)]
        weights = [kind for n in sizes for kind in (TensorType((n, i), I8), TensorType((n,), U8))]
        return op, (x, *weights, table)
