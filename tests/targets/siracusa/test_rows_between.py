"""What stands between the products of QuantLib's prompts: exact, and about as fast as it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.targets.siracusa.test_decoder import BYTES, ONE, case_of, check
from tilewright.ir.types import I8, I32, TensorType
from tilewright.ops import Append, IntegerRMSNorm, RotateHeads, TableBinary
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.language import LANGUAGE
from tilewright.targets.siracusa.norm import ONE_WEIGHT
from tilewright.targets.siracusa.rows_between import ROWS_BETWEEN

TURN, ADD, MULTIPLY = ROWS_BETWEEN
(NORM_ROWS,) = ONE_WEIGHT
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


def norm(tokens: int, n: int, rng: np.random.Generator, w: int, shift: int = 16, spread: Any = 128) -> Case:
    types = [TensorType((tokens, n), I8), TensorType((n,), I32)]
    case = case_of(NORM_ROWS, IntegerRMSNorm(shift), types, rng, w=np.full(n, w))
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
        cases.append(norm(tokens, 1 << int(rng.integers(4, 8)), rng, int(rng.integers(1, 1 << 23))))
        cases.append(append(tokens, 4 * n, rng))
    check(cases, cores)


@pytest.mark.parametrize("shift", [0, 1, 8, 16, 31])
def test_norms_divide_every_byte_by_every_root(shift: int) -> None:
    """Rows of all bytes that are about as large: roots from 1 on, weights that are multiples of them, and not."""
    rng = np.random.default_rng(shift)
    weights = [1, 127, 1 << 16, 3 << 16, 2953639, (1 << 23) - 1, *map(int, rng.integers(1, 1 << 23, 2))]
    spreads = np.arange(1, 129)[:, None]
    check([norm(len(spreads), 128, rng, w, shift, spreads) for w in weights])


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
    assert NORM_ROWS.misfit(node) == (
        "Several rows of 16, 32, 64 ... channels with one constant weight, positive and within 2^23, a shift below 32"
    )


def test_cycles_are_as_predicted() -> None:
    rng = np.random.default_rng(1)
    cases = [turn(8, 16, rng), turn(64, 16, rng), join(ADD, (8, 64), rng, 50_000), join(ADD, (8, 512), rng, 50_000)]
    cases += [join(MULTIPLY, (8, 256), rng, 1200), join(MULTIPLY, (8, 64), rng, 1200)]
    cases += [norm(8, 64, rng, 3019044), norm(64, 64, rng, 3019044)]
    for case, outcome in zip(cases, check(cases), strict=True):
        assert abs(case.kernel.cycles(case.node) - outcome.cycles) <= 0.15 * outcome.cycles + 30, (
            case.kernel.symbol, outcome.cycles, case.kernel.cycles(case.node),
        )  # fmt: skip
