"""What stands between the products of QuantLib's prompts: exact, and about as fast as it says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.targets.siracusa.test_decoder import BYTES, ONE, case_of, check
from tilewright.ir.types import I8, I32, TensorType
from tilewright.ops import Append, IntegerRMSNorm, RotateHeads, TableBinary
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.language import LANGUAGE
from tilewright.targets.siracusa.norm import ONE_WEIGHT, ROOTS, by_root, factors
from tilewright.targets.siracusa.rows_between import ROWS_BETWEEN

TURN, ADD, MULTIPLY = ROWS_BETWEEN
NORM_ONE, NORM_ROWS = ONE_WEIGHT
(CHANNELS,) = (k for k in LANGUAGE if k.symbol == "tw_cluster_append_channels")
THEMSELVES = np.arange(256, dtype=np.uint8).view(np.int8)
HALF = [1 << 15]


def turn(tokens: int, heads: int, rng: np.random.Generator, own: bool = True) -> Case:
    x, r = TensorType((tokens, 4 * heads), I8), TensorType((tokens if own else 1, 4, 4), I8)
    return case_of(TURN, RotateHeads(heads, 16), [x, r, ONE, ONE, None], rng, mul=[int(rng.integers(1, 900))], add=HALF)


def join(kernel: Kernel, shape: tuple[int, ...], rng: np.random.Generator, mul: int, **fixed: Any) -> Case:
    op, kind = TableBinary("add" if kernel is ADD else "mul", 16), TensorType(shape, I8)
    types = [kind, kind, BYTES, BYTES, ONE, ONE]
    return case_of(kernel, op, types, rng, table_b=THEMSELVES, **{"mul": [mul], "add": HALF, **fixed})


def norm(
    tokens: int, n: int, rng: np.random.Generator, w: int, shift: int = 16, spread: Any = 128, row: Kernel = NORM_ROWS
) -> Case:
    types = [TensorType((tokens, n), I8), TensorType((n,), I32)]
    case = case_of(row, IntegerRMSNorm(shift), types, rng, w=np.full(n, w))
    case.operands["x"][:] = rng.integers(-spread, spread, (tokens, n))
    return case


def append(tokens: int, n: int, rng: np.random.Generator) -> Case:
    state = TensorType((tokens + 5, n), I8)
    return case_of(CHANNELS, Append(3), [state, TensorType((tokens, n), I8)], rng)


@pytest.mark.parametrize("cores", [1, 8])
def test_random_instances_are_exact(cores: int) -> None:
    rng, cases = np.random.default_rng(cores), []
    for _ in range(8):
        tokens, heads, n = (int(rng.integers(low, 20)) for low in (2, 1, 1))
        cases += [turn(tokens, heads, rng, own) for own in (True, False)]
        cases.append(join(ADD, (tokens, n), rng, int(rng.integers(1, 80_000))))
        cases.append(join(MULTIPLY, (tokens, n), rng, int(rng.integers(0, 1 << 15))))
        cases.append(norm(tokens, 8 * int(rng.integers(1, 20)), rng, int(rng.integers(1, 1 << 23))))
        cases.append(norm(1, 1 << int(rng.integers(4, 9)), rng, int(rng.integers(1, 1 << 23)), row=NORM_ONE))
        cases.append(append(tokens, 4 * n, rng))
    check(cases, cores)


@pytest.mark.parametrize("shift", [0, 1, 8, 16, 31, 40])
def test_norms_divide_every_byte_by_every_root(shift: int) -> None:
    """Rows of all bytes that are about as large: roots from 1 on, weights that are multiples of them, and not."""
    rng = np.random.default_rng(shift)
    weights = [1, 127, 1 << 16, 3 << 16, 2953639, (1 << 31) - 1, *map(int, rng.integers(1, 1 << 23, 2))]
    spreads = np.arange(1, 129)[:, None]
    cases = [norm(len(spreads), 128, rng, w, shift, spreads) for w in weights]
    cases += [norm(1, 64, rng, w, shift, spread, NORM_ONE) for w in weights for spread in (1, 9, 128)]
    extremes = [(n, x, row) for row in ONE_WEIGHT for n in (16, 1 << 14) for x in (-128, 0, 127)]
    for n, x, row in extremes:
        cases.append(norm(1, n, rng, 3 << 16, shift, row=row))
        cases[-1].operands["x"][:] = x
    check(cases)


@pytest.mark.parametrize("shift", [0, 3, 16, 27, 62])
def test_factors_divide_every_byte_by_every_root(shift: int) -> None:
    rng, x = np.random.default_rng(shift), np.arange(-128, 128)
    for w in map(int, [1, 128, 1 << 16, (1 << 31) - 1, *(2.0 ** rng.uniform(0, 31, 12))]):
        found = factors(w, shift)
        assert found is not None
        assert len(found) == ROOTS
        for root, factor in enumerate(found, 1):
            m, u = (factor & 0xFFFF ^ 0x8000) - 0x8000, factor >> 16
            assert factor == u << 16 | m & 0xFFFF
            assert -(1 << 15) <= u < 1 << 15
            quotient = np.sign(x) * (np.abs(x) * w // root) >> shift
            np.testing.assert_array_equal(
                np.clip(x * m - np.where(x < 0, u, 0) >> (u & 31), -128, 127), np.clip(quotient, -128, 127)
            )
    assert factors(0, shift) is factors(-1, shift) is None


PAIRS = {i * i + j * j: (i, j) for i in range(129) for j in range(129)}  # sums of two squares


def _row_of(total: int) -> list[int]:
    """64 bytes whose squares have this sum: 60 of two sizes, and four that make good what is left."""
    size = math.isqrt(total // 64)
    for more in range(min(60, max(0, total - 62 * size * size) // (2 * size + 1)), -1, -1):
        left = total - 60 * size * size - more * (2 * size + 1)
        found = [(*PAIRS[first], *PAIRS[left - first]) for first in PAIRS if left - first in PAIRS]
        if found:
            return [-v for v in (*[size + 1] * more, *[size] * (60 - more), *found[0])]
    raise AssertionError(total)


def test_roots_change_at_squares() -> None:
    """Means that are a square less one, and one less: in the mean and in the sum."""
    rng, totals = np.random.default_rng(2), [64 * (d * d - 1) - less for d in range(1, 120) for less in (0, 1, 64)]
    rows = [_row_of(total) for total in totals if total >= 0]
    case = norm(len(rows), 64, rng, 3019044)
    case.operands["x"][:] = rows
    check([case])


def test_factors_are_packed_behind_the_weight() -> None:
    w, packing = np.full(64, 2953639, np.int32), by_root(16)
    assert packing.pack(w).tolist() == [2953639, *(factors(2953639, 16) or ())]
    np.testing.assert_array_equal(packing.unpack(packing.pack(w), w.shape), w)
    assert packing.elements(w.shape) == 1 + ROOTS


def test_other_nodes_are_left_to_the_general_rows() -> None:
    rng = np.random.default_rng(0)
    assert ADD.misfit(join(MULTIPLY, (2, 8), rng, 5).node) == "Sums with a second table that changes nothing"
    node = join(MULTIPLY, (2, 8), rng, 5).node
    add = node.operands["add"].data
    assert add is not None
    add[0] = 0
    assert MULTIPLY.misfit(node) == (
        "Products with a second table that changes nothing, shifted by 16 and rounded, a multiplier of 15 bits"
    )
    node = norm(3, 16, rng, 900).node
    weight = node.operands["w"].data
    assert weight is not None
    weight[7] += 1
    rule = "Rows of a multiple of eight channels, at most 2^14, one constant weight, and factors that divide every byte"
    assert NORM_ROWS.misfit(node) == rule
    assert NORM_ONE.misfit(node) == "A single row, of 16, 32, 64 ... channels"


def test_cycles_are_as_predicted() -> None:
    rng = np.random.default_rng(1)
    cases = [turn(8, 16, rng), turn(64, 16, rng), join(ADD, (8, 64), rng, 50_000), join(ADD, (8, 512), rng, 50_000)]
    cases += [join(MULTIPLY, (8, 256), rng, 1200), join(MULTIPLY, (8, 64), rng, 1200)]
    cases += [norm(8, 64, rng, 3019044), norm(64, 64, rng, 3019044), *(norm(1, 64, rng, 5, row=NORM_ONE),) * 2]
    for case, outcome in zip(cases, check(cases), strict=True):
        assert abs(case.kernel.cycles(case.node) - outcome.cycles) <= 0.15 * outcome.cycles + 30, (
            case.kernel.symbol, outcome.cycles, case.kernel.cycles(case.node),
        )  # fmt: skip
