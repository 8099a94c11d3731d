"""Rows for products of one token with what follows them, on eight cores: no barrier between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from ...ir.graph import Node
from ...ir.op import Op
from ...ir.types import TensorType, maximum
from ...ops import GatedLinear, GatedSums, RestAdd, ScaledAdd, TurnedHeads
from ...quant.requant import accumulator_range, fits32, half
from ..base import Argument, Kernel, Rule, Split
from ..host.arguments import type_of
from ..host.one_call import GATED, GATED_SUMS, HEADS, REST_ADD, SCALED_ADD, gated, gated_sums
from .dense import LESS_ONE, ROWS
from .dense_cycles import stream
from .language import SWIGLU_SHIFTS, VALUES, pitch_of
from .share import CORES, flat, per_core


def one_token(node: Node) -> bool:
    """One token of 64 inputs"""
    return type_of(node, "x").shape == (1, 64)


def scaled_rows(node: Node) -> bool:
    """Constant weights whose sums stay within 32 bits up to their shifts"""
    for name in ("gate", "up"):
        w, mul = node.operands.get(f"w_{name}"), node.operands.get(f"mul_{name}")
        if w is None or mul is None:
            continue
        if w.data is None or mul.data is None:
            return False
        rounding = np.array(half(node.op.attributes[f"{name}_shift"]))
        if not fits32(*accumulator_range(w.data, -128, 127), mul.data.astype(np.int64), rounding):
            return False
    return True


def less_one(node: Node) -> bool:
    """Multipliers from 1 on"""
    mul = node.operands["mul"].data
    return mul is None or bool(mul.min() >= 1)


def one_token_in_words(node: Node) -> bool:
    """One token, heads of a multiple of four channels"""
    return type_of(node, "x").shape[0] == 1 and type_of(node, "angles").static_shape[1] % 4 == 0


def scaled_in_32_bits(node: Node) -> bool:
    """Sums that stay within 32 bits once they are multiplied"""
    joins = isinstance(node.op, ScaledAdd | RestAdd)
    named = ("shift",) if joins else ("q_shift", "k_shift", "v_shift", "gate_shift", "up_shift")
    shifts = [shift for name, shift in node.op.attributes.items() if name in named]
    return bool(node.op.attributes["bound"] * 255 + half(max(shifts)) < 1 << 31)


def small_scaled_sums(node: Node) -> bool:
    """Sums within 30 bits once they are scaled and shifted: a residual can be added"""
    op = cast(ScaledAdd | RestAdd, node.op)
    return (op.bound * 255 + half(op.shift)) >> op.shift < 1 << 30


def one_row_of_sums(node: Node) -> bool:
    """One row"""
    return type_of(node, "x").shape[0] == 1


def one_word(node: Node) -> bool:
    """Four inputs"""
    return type_of(node, "w").static_shape[1] == 4


PIECE = 10  # numbers of a piece


def _pieces(node: Node) -> list[list[tuple[int, ...]]]:
    """The pieces of each core, of eight, as the C has them: its columns, cut where parts of heads end."""
    op, hd = cast(TurnedHeads, node.op), type_of(node, "angles").static_shape[1]
    positions, n = type_of(node, "state_v").shape
    columns = type_of(node, "mul").static_shape[0]
    pitch, chunk, width = pitch_of(maximum(positions)), per_core(columns, 4), maximum(n)
    found: list[list[tuple[int, ...]]] = []
    for core in range(CORES):
        at, end = core * chunk, min((core + 1) * chunk, columns)
        mine: list[tuple[int, ...]] = []
        while at < end:
            (kv, part), c = divmod(at // hd, op.group + 2), at % hd
            count, kind = min(hd - c, end - at), max(0, part - op.group + 1)
            to = (kv * op.group + part) * hd + c if kind == 0 else (kv * hd + c) * (pitch if kind == 2 else 1)
            angles = c // 2, (hd + c) // 2
            shift, turn = (op.q_shift, op.k_shift, op.v_shift)[kind], -1 if kind == 2 else op.turn
            mine.append((count // 2, at, at, *angles, to, (0, width, 1)[kind], pitch, shift, turn))
            at += count
        found.append(mine)
    return found


def _heads(node: Node) -> Mapping[str, Argument]:
    pieces = _pieces(node)
    most, none = max(map(len, pieces)), (0,) * PIECE
    rows = [number for mine in pieces for piece in [*mine, *[none] * (most - len(mine))] for number in piece]
    return {"pos": cast(TurnedHeads, node.op).pos, "sizes": (most, *rows)}


def _heads_examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
    """One token, heads of whole words, small sums."""
    from hypothesis import strategies as st

    op, types = TurnedHeads.examples(draw)
    assert isinstance(op, TurnedHeads)
    state, _, x, mul, angles = (kind for kind in types if kind is not None)
    hd = 4 * draw(st.integers(1, 5))
    width = op.kv_heads * (op.group + 2) * hd
    state = state.with_shape((state.shape[0], op.kv_heads * hd))
    kinds = state, state, x.with_shape((1, width)), mul.with_shape((width,)), angles.with_shape((1, hd))
    return replace(op, bound=min(op.bound, 1 << 22)), kinds


# Cluster cycles of warm calls, fitted on the simulator with `--timing gvsoc`.


def _gated_cycles(node: Node) -> float:
    rows = per_core(type_of(node, "y").static_shape[1])
    return 2 * stream(rows) + 150 + 8.5 * rows


def _sums_cycles(call: float, each: float) -> Callable[[Node], float]:
    return lambda node: call + each * per_core(type_of(node, "y").static_shape[1])


def _heads_cycles(node: Node) -> float:
    """Of the slowest core: values take half as long as what is turned."""
    return 67 + max(sum(55 + 14 * p[0] if p[9] < 0 else 66 + 25.5 * p[0] for p in mine) for mine in _pieces(node))


_GATED_SUMS = Kernel(
    GatedSums, "cluster_sums.c", "tw_cluster_gated_sums",
    f"{GATED_SUMS}, int columns, int gate_shift, int up_shift, int shift, int first, int last",
    {}, gated_sums, (one_row_of_sums, scaled_in_32_bits, less_one), packing={"mul": LESS_ONE}, split=flat,
    cycles=_sums_cycles(75, 17), by_struct=True,
)  # fmt: skip


def _shift_of(shift: int) -> Rule:
    def rule(node: Node) -> bool:
        return cast(GatedSums, node.op).shift == shift

    rule.__doc__ = f"A last shift of {shift}"
    return rule


def _gated_examples(shift: int) -> Callable[[Any], tuple[Op, tuple[TensorType | None, ...]]]:
    def examples(draw: Any) -> tuple[Op, tuple[TensorType | None, ...]]:
        op, (x, mul, table) = GatedSums.examples(draw)
        assert x is not None
        return replace(cast(GatedSums, op), shift=shift), (x.with_shape((1, x.shape[1])), mul, table)

    return examples


_SHIFTED = {shift: _shift_of(shift) for shift in SWIGLU_SHIFTS}

ONE_CALL = (
    Kernel(
        GatedLinear, "gemv_i8.c", "tw_gated_i8",
        f"{GATED}, int8_t *restrict scratch, int gate_shift, int up_shift, int shift, int first, int last",
        {}, gated, requires=(one_token, scaled_rows), packing={"w_gate": ROWS, "w_up": ROWS},
        scratch=lambda node: type_of(node, "y").static_shape[1], cycles=_gated_cycles, by_struct=True,
        split=lambda node: Split(("t", "o")),  # noqa: ARG005
    ),
    Kernel(
        TurnedHeads, "cluster_sums.c", "tw_cluster_turned_heads",
        f"{HEADS}, const int32_t *restrict sizes, int pos",
        {}, _heads, (one_token_in_words, scaled_in_32_bits, less_one),
        packing={"state_v": VALUES, "v": VALUES, "mul": LESS_ONE},
        split=lambda node: Split(("t", "g", "e"), 4),  # noqa: ARG005
        direct=frozenset({"state_k", "state_v"}), cycles=_heads_cycles, examples=_heads_examples,
        by_struct=True, late=frozenset({"pos"}), meets=True,
    ),
    Kernel(
        ScaledAdd, "gemv_i8.c", "tw_cluster_scaled_add", f"{SCALED_ADD}, int shift, int first, int last",
        {}, lambda node: {"shift": cast(ScaledAdd, node.op).shift},
        (one_row_of_sums, scaled_in_32_bits, small_scaled_sums), split=flat, in_place={"y": "r"},
        cycles=_sums_cycles(74, 10), by_struct=True,
    ),
    Kernel(
        RestAdd, "gemv_i8.c", "tw_cluster_rest_add", f"{REST_ADD}, int shift, int first, int last",
        {}, lambda node: {"shift": cast(RestAdd, node.op).shift},
        (one_row_of_sums, one_word, scaled_in_32_bits, small_scaled_sums), split=flat, in_place={"y": "r"},
        cycles=_sums_cycles(78, 12), by_struct=True,
    ),
    *(
        replace(
            _GATED_SUMS, symbol=f"tw_cluster_gated_sums_{shift}", cycles=_sums_cycles(75, 16),
            requires=(*_GATED_SUMS.requires, rule), examples=_gated_examples(shift),
        )
        for shift, rule in _SHIFTED.items()
    ),
    _GATED_SUMS,
)  # fmt: skip
