"""Rows for products of several tokens of QuantLib's prompts with what follows them: a core needs only its own sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np

from ...ir.graph import Node
from ...ops import LinearGate, LinearJoin, NewHeads
from ..base import Argument, Kernel, Split
from ..host.arguments import product, type_of
from ..host.integer_heads import NEW
from ..host.linear_tables import GATE, JOIN, sizes
from .decoder import CENTRED, TURNING, new_sums_of_32_bits
from .dense import APART, USUAL, usual_rounding
from .dense_cycles import fours
from .language import VALUES, pitch_of
from .linear_tables import rounded
from .rows_between import given
from .share import per_core, up

Arguments = Mapping[str, Argument]


def tokens_in_fours(node: Node) -> bool:
    """A multiple of four tokens of more than four inputs"""
    tokens, cols = product(type_of(node, "x").shape[:-1]), type_of(node, "x").static_shape[-1]
    return isinstance(tokens, int) and tokens % 4 == 0 and cols > 4


def heads_of_four(node: Node) -> bool:
    """Heads of four channels"""
    return type_of(node, "r").shape[1:] == (4, 4)


def usual_gate(node: Node) -> bool:
    """A multiple of four outputs, a second table that changes nothing"""
    return type_of(node, "y").static_shape[-1] % 4 == 0 and given(node, "table_b")


def usual_join(node: Node) -> bool:
    """A multiple of four outputs, a table behind the product that changes nothing"""
    return type_of(node, "y").static_shape[-1] % 4 == 0 and given(node, "table")


def _sizes(node: Node) -> Arguments:
    found = sizes(node)
    return {name: found[name] for name in ("tokens", "rows", "cols")} | {"most": _own_outputs(node)}


def _tokens(node: Node) -> int:
    return int(np.prod(type_of(node, "x").static_shape[:-1]))


def _own_outputs(node: Node) -> int:
    return per_core(type_of(node, "y").static_shape[-1], 4)


def _heads(node: Node) -> Arguments:
    op, (positions, n) = cast(NewHeads, node.op), type_of(node, "state_v").static_shape
    tokens, cols = type_of(node, "x").static_shape
    mul, numbers = (node.operands[name].data for name in ("mul", "numbers"))
    usual = numbers is not None and usual_rounding(op.shift, mul, numbers[:1])
    return {
        "tokens": tokens, "cols": cols, "n": n, "group": op.group, "pitch": pitch_of(positions), "pos": op.pos,
        "step": 16 if type_of(node, "r").static_shape[0] > 1 else 0, "shift": USUAL if usual else op.shift,
        "turn": op.q_shift, "most": per_core(op.kv_heads),
    }  # fmt: skip


def _own_rows(node: Node) -> int:
    """Rows of weights of the busiest core."""
    op = cast(NewHeads, node.op)
    return per_core(op.kv_heads) * (op.group + 2) * 4


# Cluster cycles of warm calls, fitted on the simulator with `--timing gvsoc`.


def _heads_cycles(node: Node) -> float:
    (tokens, cols), op = type_of(node, "x").static_shape, cast(NewHeads, node.op)
    blocks = up(_own_rows(node), 4)
    turned = tokens * (50 + per_core(op.kv_heads) * (24 * op.group + 41))
    return fours(blocks, up(tokens, 4), cols) + 30 * blocks + turned


def _gate_cycles(node: Node) -> float:
    tokens, cols, own = _tokens(node), type_of(node, "x").static_shape[-1], _own_outputs(node)
    few, many = sorted((up(own, 2), up(tokens, 4)))  # columns of tiles go along the longer side
    return fours(few, many, cols) + tokens * (5 + 6.75 * own)


def _join_cycles(node: Node) -> float:
    tokens, cols, own = _tokens(node), type_of(node, "x").static_shape[-1], _own_outputs(node)
    return fours(up(own, 4), up(tokens, 4), cols) + 40 + tokens * (3 + 7.6 * own)


ROWS_LINEAR = (
    Kernel(
        NewHeads, "gemm_bytes.c", "tw_heads_rows",
        f"{NEW}, int8_t *restrict scratch, int tokens, int cols, int n, int group, int pitch, int pos, int step,"
        " int shift, int turn, int most, int first, int last",
        {}, _heads, (tokens_in_fours, heads_of_four, new_sums_of_32_bits),
        packing={"w": APART, "table_k": CENTRED, "table_v": CENTRED, "state_v": VALUES, "v": VALUES,
                 "numbers": TURNING},
        scratch=lambda node: _own_rows(node) * type_of(node, "x").static_shape[0],
        split=lambda _: Split(("g",)), direct=frozenset({"state_k", "state_v"}), cycles=_heads_cycles,
        by_struct=True, late=frozenset({"pos"}),
    ),
    Kernel(
        LinearGate, "gemm_bytes.c", "tw_gate_rows",
        f"{GATE}, int8_t *restrict scratch, int tokens, int rows, int cols, int most, int first, int last",
        {}, _sizes, (tokens_in_fours, rounded, usual_gate), packing={"w": APART, "table_a": CENTRED},
        scratch=lambda node: 2 * _own_outputs(node) * _tokens(node), split=lambda _: Split(("o",), 4),
        cycles=_gate_cycles, by_struct=True,
    ),
    Kernel(
        LinearJoin, "gemm_bytes.c", "tw_gemm_join",
        f"{JOIN}, int8_t *restrict scratch, int tokens, int rows, int cols, int most, int first, int last",
        {}, _sizes, (tokens_in_fours, rounded, usual_join), packing={"w": APART}, in_place={"y": "r"},
        scratch=lambda node: _own_outputs(node) * _tokens(node), split=lambda _: Split(("o",), 4),
        cycles=_join_cycles, by_struct=True, direct=frozenset({"table"}),
    ),
)  # fmt: skip
