"""Products of several tokens with what follows them: exact, about as fast as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.instances import node_of, random_operands
from tests.targets.siracusa.cases import check, with_constants
from tilewright.ir.types import I8, I32, U8, TensorType
from tilewright.ops import Linear, LinearGate, LinearJoin, NewHeads, Requantise
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.dense import DENSE, USUAL
from tilewright.targets.siracusa.rows_linear import ROWS_LINEAR

TABLE = TensorType((256,), I8)
HEADS, GATE, JOIN = ROWS_LINEAR
THEMSELVES = np.arange(256, dtype=np.uint8).view(np.int8)
BYTES = next(row for row in DENSE if row.symbol == "tw_gemm_bytes")


def heads(rng: np.random.Generator, tokens: int, cols: int, kv: int, group: int, pos: int, own: bool = True) -> Case:
    rows, state = kv * (group + 2) * 4, TensorType((pos + tokens + int(rng.integers(3)), 4 * kv), I8)
    types = [state, state, TensorType((tokens, cols), I8), TensorType((rows, cols), I8), TensorType((rows,), I32)]
    types += [TensorType((tokens if own else 1, 4, 4), I8), TABLE, TABLE, TensorType((5,), I32)]
    usual = rng.random() < 0.5
    shift, turn = 16 if usual else int(rng.integers(1, 17)), int(rng.integers(12, 17))
    node = node_of(NewHeads(kv * group, kv, pos, shift, turn, turn), *types)
    numbers = [1 << 15 if usual else int(rng.integers(1 << 15)), *rng.integers(-600, 600, 4)]
    mul = rng.integers(0 if usual else -300, 1 << int(rng.integers(8, 12)), rows, np.int32)
    arrays = random_operands(node, rng) | {"mul": mul, "numbers": np.array(numbers, np.int32)}
    constants = ("w", "mul", "table_k", "table_v", "numbers")
    return Case(HEADS, with_constants(node, arrays, constants), arrays, shift=int(rng.integers(0, 4)))


def gate(rng: np.random.Generator, tokens: int, cols: int, outputs: int) -> Case:
    types = TensorType((1, tokens, cols), I8), TensorType((2 * outputs, cols), I8), TABLE, TABLE, TensorType((6,), I32)
    node = node_of(LinearGate(16, 16, 16), *types)
    numbers = [v for most in (1000, 1000, 4000) for v in (int(rng.integers(most)), 1 << 15)]
    arrays = random_operands(node, rng) | {
        "numbers": np.array(numbers, np.int32), "table_b": THEMSELVES
    }  # fmt: skip
    constants = ("w", "table_a", "table_b", "numbers")
    return Case(GATE, with_constants(node, arrays, constants), arrays, shift=int(rng.integers(0, 4)))


def join(rng: np.random.Generator, tokens: int, cols: int, outputs: int) -> Case:
    r, numbers = TensorType((1, tokens, outputs), rng.choice([I8, U8])), TensorType((4,), I32)
    types = TensorType((1, tokens, cols), I8), TensorType((outputs, cols), I8), r, TABLE, TABLE, numbers
    node = node_of(LinearJoin(16, 16), *types)
    muls = [max(1, (int(rng.integers(1, 300)) << 16) // most) for most in (70000, 260)]
    numbers_of = np.array([v for mul in muls for v in (mul, 1 << 15)], np.int32)
    arrays = random_operands(node, rng) | {"numbers": numbers_of, "table": THEMSELVES}
    constants = ("w", "table_r", "table", "numbers")
    return Case(JOIN, with_constants(node, arrays, constants), arrays, shift=int(rng.integers(0, 4)))


@pytest.mark.parametrize("cores", [1, 8])
def test_random_instances_are_exact(cores: int) -> None:
    rng, cases = np.random.default_rng(cores), list[Case]()
    for _ in range(8):
        tokens, cols, kv, group, pos = (
            int(rng.integers(low, n)) for low, n in ((1, 4), (5, 90), (1, 20), (1, 4), (0, 9))
        )
        cases.append(heads(rng, 4 * tokens, cols, kv, group, pos, own=rng.random() < 0.7))
        cases.append(gate(rng, 4 * tokens, cols, 4 * int(rng.integers(1, 30))))
        cases.append(join(rng, 4 * tokens, cols, 4 * int(rng.integers(1, 30))))
    assert all(case.kernel.misfit(case.node) is None for case in cases)
    check([replace(c, overlay=c.kernel.in_place) if rng.random() < 0.5 else c for c in cases], cores)


def test_cycles_are_as_predicted() -> None:
    rng = np.random.default_rng(3)
    for case in (
        heads(rng, 8, 64, 16, 1, 0),
        heads(rng, 16, 64, 8, 2, 5),
        heads(rng, 8, 128, 16, 1, 3),
        gate(rng, 8, 64, 256),
        gate(rng, 4, 128, 128),
        join(rng, 8, 64, 64),
        join(rng, 8, 256, 64),
        join(rng, 16, 128, 128),
    ):
        near = replace(case, kernel=replace(case.kernel, direct=frozenset()), shift=0)  # caches in L1
        cycles = sorted(outcome.cycles for outcome in check([near] * 5))[2]
        assert cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.08), case.node.op


@pytest.mark.parametrize("cores", [1, 8])
@pytest.mark.parametrize(("tokens", "outputs"), [(4, 64), (64, 4), (8, 32), (12, 20)])
def test_halves_give_what_32_bits_give(cores: int, tokens: int, outputs: int) -> None:
    """Products that are rounded by halves, up to the greatest, with a multiplier for all rows and for each."""
    rng, cases = np.random.default_rng(tokens), list[Case]()
    for count in (1, outputs):
        x, w, one = TensorType((tokens, 8), I8), TensorType((outputs, 8), I8), TensorType((1,), I32)
        node = node_of(Linear(Requantise(16, -128, 127, I8)), x, w, None, TensorType((count,), I32), one)
        arrays = random_operands(node, rng) | {
            "w": rng.choice(np.array([-128, 127], np.int8), w.static_shape),
            "mul": rng.integers(0, 1 << 14, count, np.int32), "add": np.array([1 << 15], np.int32),
        }  # fmt: skip
        arrays["x"][::2], arrays["w"][0], arrays["mul"][0] = -128, -128, (1 << 14) - 1
        cases.append(Case(BYTES, with_constants(node, arrays), arrays))
    assert all(c.kernel.misfit(c.node) is None and c.kernel.arguments(c.node)["shift"] == USUAL for c in cases)
    check(cases, cores)
