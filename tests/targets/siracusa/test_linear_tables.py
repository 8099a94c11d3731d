"""Products of one token with the sum or product through tables that follows them: exact, about as fast as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.instances import node_of, random_operands
from tests.targets.siracusa.cases import check, with_constants
from tilewright.ir.types import I8, I32, U8, Array, TensorType
from tilewright.ops import LinearGate, LinearJoin, RestJoin, TablePairs
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.linear_tables import LINEAR_TABLES

TABLE = TensorType((256,), I8)
CONSTANTS = ("w", "table", "table_r", "table_a", "table_b", "numbers")
JOIN, ROWS, GATE, PAIRS, ONE, REST = LINEAR_TABLES


def numbers_of(*spread: int) -> Array:
    """Multipliers that bring values of some size to bytes, with halves as addends."""
    return np.array([v for most in spread for v in (max(1, (200 << 16) // most), 1 << 15)], np.int32)


def join(rng: np.random.Generator, rows: int, cols: int, kernel: Kernel = JOIN) -> Case:
    r = TensorType((1, rows), rng.choice([I8, U8]))
    types = TensorType((1, cols), I8), TensorType((rows, cols), I8), r, TABLE, TABLE, TensorType((4,), I32)
    node = node_of(LinearJoin(16, 16), *types)
    numbers = numbers_of(int(rng.integers(500 + 110 * cols, 1400 * cols + 600)), int(rng.integers(20, 2000)))
    arrays = random_operands(node, rng) | {"numbers": numbers}
    return Case(kernel, with_constants(node, arrays, CONSTANTS), arrays, shift=int(rng.integers(0, 4)))


def gate(rng: np.random.Generator, rows: int) -> Case:
    types = TensorType((1, 64), I8), TensorType((2 * rows, 64), I8), TABLE, TABLE, TensorType((6,), I32)
    node = node_of(LinearGate(16, 16, 16), *types)
    numbers = numbers_of(*(int(rng.integers(8000, most)) for most in (90000, 70000, 30000)))
    arrays = random_operands(node, rng) | {"numbers": numbers}
    return Case(GATE, with_constants(node, arrays, CONSTANTS), arrays, shift=int(rng.integers(0, 4)))


def pairs(rng: np.random.Generator, rows: int, kernel: Kernel = PAIRS) -> Case:
    one = TensorType((1,), I32)
    node = node_of(TablePairs(16), TensorType((1, 2 * rows), I8), TABLE, TABLE, one, one)
    mul, add = numbers_of(int(rng.integers(1000, 30000))).reshape(2, 1)
    arrays = random_operands(node, rng) | {"mul": mul, "add": add}
    if kernel is ONE:
        arrays["table_b"] = np.arange(256, dtype=np.uint8).view(np.int8)
    return Case(kernel, with_constants(node, arrays, (*CONSTANTS, "mul", "add")), arrays, shift=int(rng.integers(0, 4)))


def rest(rng: np.random.Generator, rows: int, words: int = 1, before: int = 63) -> Case:
    r, cols = TensorType((1, rows), rng.choice([I8, U8])), 4 * (words + before)
    x, w, s = TensorType((1, cols), I8), TensorType((rows, 4 * words), I8), TensorType((1, rows), I32)
    node = node_of(RestJoin(16, 16, cols << 14), s, x, w, r, TABLE, TABLE, TensorType((4,), I32))
    numbers = numbers_of(90000 + int(rng.integers(50000)), int(rng.integers(20, 2000)))
    numbers[0] = min(int(numbers[0]), ((1 << 31) - (1 << 16)) // (cols << 14))
    arrays = random_operands(node, rng) | {"numbers": numbers, "s": rng.integers(-90000, 90000, (1, rows), np.int32)}
    return Case(REST, with_constants(node, arrays, CONSTANTS), arrays, shift=int(rng.integers(0, 4)))


@pytest.mark.parametrize("cores", [1, 8])
def test_random_instances_are_exact(cores: int) -> None:
    rng, cases = np.random.default_rng(cores), list[Case]()
    for _ in range(10):
        rows = int(rng.integers(1, 60))
        cases += [join(rng, 8 * rows, cols) for cols in (64, 4 * int(rng.integers(1, 70)))]
        cases += [join(rng, rows, 8 * int(rng.integers(1, 40)), ROWS), gate(rng, rows)]
        cases += [pairs(rng, rows), pairs(rng, rows, ONE)]
        cases.append(rest(rng, rows, int(rng.integers(1, 5)), int(rng.integers(0, 40))))
    assert all(case.kernel.misfit(case.node) is None for case in cases)
    check([replace(c, overlay=c.kernel.in_place) if rng.random() < 0.5 else c for c in cases], cores)


def test_cycles_are_as_predicted() -> None:
    """The products per cycle that eight cores reach, too."""
    rng = np.random.default_rng(3)
    wanted = [(join(rng, 64, 64), 6.3), (join(rng, 64, 256), 11), (gate(rng, 256), 11.5), (gate(rng, 104), 10)]
    wanted += [(join(rng, rows, cols, kernel=ROWS), 3) for rows, cols in ((16, 256), (24, 256), (32, 64), (64, 64))]
    for case, rate in wanted:
        cycles = sorted(outcome.cycles for outcome in check([replace(case, shift=0)] * 5))[2]
        assert cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.08), case.node.op
        assert case.node.operands["w"].type.size / cycles > rate
    fewer = [pairs(rng, rows, kernel) for kernel in (PAIRS, ONE) for rows in (8, 40, 88, 120, 168)]
    for case in (*fewer, *(rest(rng, rows, words) for rows in (8, 40, 48, 64) for words in (1, 3))):
        cycles = sorted(outcome.cycles for outcome in check([replace(case, shift=0)] * 5))[2]
        assert cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.1), case.node.op


@pytest.mark.parametrize(
    ("op", "numbers"),
    [
        (LinearJoin(16, 16), [400, 1 << 15, 50000, 0]),
        (LinearJoin(16, 16), [400, 1 << 15, 1 << 23, 1 << 15]),
        (LinearJoin(16, 16), [4000, 1 << 15, 50000, 1 << 15]),
        (LinearJoin(15, 16), [400, 1 << 14, 50000, 1 << 15]),
        (LinearJoin(15, 15), [400, 1 << 14, 50000, 1 << 14]),
        (LinearJoin(16, 16), [-400, 1 << 15, 50000, 1 << 15]),
        (LinearJoin(0, 0), [1, 0, 1, 0]),
    ],
)
def test_what_does_not_round_alike_or_may_leave_32_bits_is_refused(op: LinearJoin, numbers: list[int]) -> None:
    case = join(np.random.default_rng(0), 8, 64)
    arrays = {**case.operands, "w": np.full((8, 64), -128, np.int8), "numbers": np.array(numbers, np.int32)}
    assert JOIN.misfit(with_constants(node_of(op, *case.node.types[:-1]), arrays, CONSTANTS)) is not None
    arrays["numbers"] = np.array([400, 1 << 15, 50000, 1 << 15], np.int32)
    good = node_of(LinearJoin(16, 16), *case.node.types[:-1])
    assert JOIN.misfit(with_constants(good, arrays, CONSTANTS)) is None
    assert JOIN.misfit(good) is not None
