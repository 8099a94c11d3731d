"""Products of one token with what follows them: exact, and about as fast as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.instances import node_of, random_operands
from tests.targets.siracusa.cases import check, with_constants
from tilewright.ir.types import I8, I16, I32, U8, TensorType
from tilewright.ops import GatedLinear, GatedSums, RestAdd, ScaledAdd, TurnedHeads
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.one_call import ONE_CALL

GATED, HEADS, JOINED, REST, *GATED_SUMS = ONE_CALL
WEIGHTS = ("w_gate", "mul_gate", "w_up", "mul_up")


def gated(rng: np.random.Generator, rows: int) -> Case:
    x, w, mul = TensorType((1, 64), I8), TensorType((rows, 64), I8), TensorType((rows,), U8)
    op = GatedLinear(int(rng.integers(12, 18)), int(rng.integers(12, 18)), int(rng.integers(0, 20)))
    node = node_of(op, x, w, mul, w, mul, TensorType((256,), I16))
    arrays = random_operands(node, rng)
    return Case(GATED, with_constants(node, arrays, WEIGHTS), arrays, shift=int(rng.integers(0, 4)))


def turned_heads(rng: np.random.Generator, heads: int, kv_heads: int, hd: int, pos: int, positions: int) -> Case:
    """Caches in L1, where they are in networks; sums as far from 0 as 32 bits allow."""
    shifts = (int(rng.integers(0, 24)) for _ in "qkv")
    op = TurnedHeads(heads, kv_heads, pos, *shifts, int(rng.integers(14, 24)), 8_300_000)
    width, state = (heads + 2 * kv_heads) * hd, TensorType((positions, kv_heads * hd), I8)
    types = TensorType((1, width), I32), TensorType((width,), U8), TensorType((1, hd), I16)
    node = node_of(op, state, state, *types)
    arrays = random_operands(node, rng)
    arrays["x"] >>= rng.integers(0, 20, width).astype(np.int32)
    near = replace(HEADS, direct=HEADS.direct - {"state_k", "state_v"})
    return Case(near, with_constants(node, arrays, ("mul",)), arrays, shift=int(rng.integers(0, 4)))


@pytest.mark.parametrize("cores", [1, 3, 8])
def test_heads_that_enter_caches_are_exact_and_about_as_fast_as_predicted(cores: int) -> None:
    rng = np.random.default_rng(cores)
    sizes = [(4, 2, 16, 128, 256), (4, 4, 16, 0, 256), (8, 4, 8, 255, 256), (1, 1, 4, 3, 9), (6, 2, 20, 70, 80)]
    cases = [turned_heads(rng, *size) for size in sizes for _ in range(3)]
    assert all(case.kernel.misfit(case.node) is None for case in cases)
    for case, outcome in zip(cases, check(cases, cores), strict=True):
        if cores == 8:
            assert outcome.cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.15, abs=60), case.node.op


def joined_sums(rng: np.random.Generator, columns: int) -> Case:
    op = ScaledAdd(int(rng.integers(4, 24)), 8_300_000)
    node = node_of(op, TensorType((1, columns), I32), TensorType((1, columns), I16), TensorType((columns,), U8))
    arrays = random_operands(node, rng)
    arrays["x"] >>= rng.integers(0, 20, arrays["x"].shape).astype(np.int32)
    overlay = {"y": "r"} if rng.integers(0, 2) else {}
    return Case(JOINED, with_constants(node, arrays, ("mul",)), arrays, overlay=overlay, shift=int(rng.integers(0, 4)))


def rest_of_sums(rng: np.random.Generator, columns: int) -> Case:
    op = RestAdd(int(rng.integers(4, 24)), 8_300_000)
    sums, row = TensorType((1, columns), I32), TensorType((1, columns), I16)
    x, w, mul = TensorType((1, 4), I8), TensorType((columns, 4), I8), TensorType((columns,), U8)
    node = node_of(op, sums, x, w, row, mul)
    arrays = random_operands(node, rng)
    arrays["s"] >>= rng.integers(0, 20, arrays["s"].shape).astype(np.int32)
    overlay = {"y": "r"} if rng.integers(0, 2) else {}
    known = with_constants(node, arrays, ("w", "mul"))
    return Case(REST, known, arrays, overlay=overlay, shift=int(rng.integers(0, 4)))


def gated_sums(rng: np.random.Generator, columns: int) -> Case:
    op = GatedSums(*(int(rng.integers(*shifts)) for shifts in ((8, 24), (8, 24), (0, 20))), 8_300_000)
    types = TensorType((1, 2 * columns), I32), TensorType((2 * columns,), U8), TensorType((256,), I16)
    node = node_of(op, *types)
    arrays = random_operands(node, rng)
    arrays["x"] >>= rng.integers(0, 20, arrays["x"].shape).astype(np.int32)
    node = with_constants(node, arrays, ("mul", "table"))
    kernel = next(row for row in GATED_SUMS if row.misfit(node) is None)
    return Case(kernel, node, arrays, shift=int(rng.integers(0, 4)))


@pytest.mark.parametrize("cores", [1, 3, 8])
def test_what_follows_sums_is_exact_and_about_as_fast_as_predicted(cores: int) -> None:
    rng = np.random.default_rng(cores)
    cases = [
        make(rng, n)
        for make in (joined_sums, rest_of_sums, gated_sums)
        for n in (1, 7, 64, 100, 256, 688)
        for _ in range(3)
    ]
    assert all(case.kernel.misfit(case.node) is None for case in cases)
    for case, outcome in zip(cases, check(cases, cores), strict=True):
        if cores == 8:
            assert outcome.cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.15, abs=60), case.node.op


def test_sums_of_heads_that_may_leave_32_bits_are_refused() -> None:
    case = turned_heads(np.random.default_rng(1), 4, 2, 16, 5, 9)
    wide = replace(case.node, op=replace(case.node.op, bound=1 << 24))  # type: ignore[type-var]
    assert HEADS.misfit(wide) is not None


@pytest.mark.parametrize("cores", [1, 8])
def test_random_instances_are_exact(cores: int) -> None:
    rng = np.random.default_rng(cores)
    cases = [gated(rng, int(rng.integers(1, 90))) for _ in range(12)]
    for _ in range(16):
        kv, group, hd = int(rng.integers(1, 4)), int(rng.integers(1, 4)), 4 * int(rng.integers(1, 6))
        cases.append(turned_heads(rng, kv * group, kv, hd, int(rng.integers(0, 9)), 20))
    assert all(case.kernel.misfit(case.node) is None for case in cases)
    check(cases, cores)


def test_cycles_are_as_predicted() -> None:
    rng = np.random.default_rng(3)
    cases = [gated(rng, rows) for rows in (64, 172, 256)]
    for case in cases:
        cycles = sorted(outcome.cycles for outcome in check([case] * 3))[1]
        assert cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.1), case.node.op


def test_sums_that_may_leave_32_bits_are_refused() -> None:
    case = gated(np.random.default_rng(0), 8)
    arrays = {**case.operands, "w_up": np.full((8, 64), -128, np.int8), "mul_up": np.full(8, 255, np.uint8)}
    node = with_constants(node_of(GatedLinear(15, 30, 9), *case.node.types[:-1]), arrays, WEIGHTS)
    assert GATED.misfit(node) is None
    unknown = node_of(GatedLinear(15, 15, 9), *case.node.types[:-1])
    assert GATED.misfit(unknown) is not None
