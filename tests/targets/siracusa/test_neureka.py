"""N-EUREKA: its rows compute what operators define, in the time that they say; jobs that it gets wrong are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from tests.instances import node_of
from tests.targets.siracusa.cases import check, fitting, instance, with_constants
from tilewright.ir.op import Op
from tilewright.ir.types import F32, I4, I8, I16, I32, I64, U8, Array, TensorType
from tilewright.ops import Linear, Requantise
from tilewright.sim import SimResult, Simulation
from tilewright.targets.base import Packing
from tilewright.targets.siracusa import bench, neureka_job
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.neureka import DISPATCH, NEUREKA, REUSED, grid
from tilewright.targets.siracusa.neureka_job import (
    BIAS,
    CONF,
    FAR_WEIGHTS,
    LINEAR,
    MODE,
    MODE16,
    QUANTISE,
    RESULT,
    SCALE,
    STREAM_IN,
    STRIDED,
    Job,
    Mode,
    form,
    pair,
    wrong,
)  # fmt: skip
from tilewright.targets.siracusa.neureka_weights import Levels, each_output, point_packing, tap_weights, tap_words

Instance = tuple[Op, list[TensorType | None]]
SIZES = (1, 3, 20, 28, 31, 32, 33, 64, 65, 96, 130)
LIMITS = (200, 200, 3000, 100_000)


def linear(rng: np.random.Generator) -> Instance:
    tokens, rows, cols = int(rng.choice([1, 1, 2, 7, 13, 35, 36, 37, 64])), *map(int, rng.choice(SIZES, 2))
    x, w = TensorType((tokens, cols), rng.choice([I8, U8])), TensorType((rows, cols), I8)
    if rng.random() < 0.2:
        return Linear(), [x, w]
    dtype = rng.choice([I8, U8, I32])
    op = Linear(Requantise(int(rng.choice([0, 6, 12, 16, 31, 40])), dtype.low, dtype.high, dtype))
    mul = TensorType((rows if rng.random() < 0.5 else 1,), rng.choice([I32, U8]))
    return op, [x, w, None, mul, TensorType((rows if rng.random() < 0.5 else 1,), rng.choice([I32, I64]))]


def levels(weights: Array, rng: np.random.Generator) -> Array:
    """The same weights with fewer values, some networks' are so."""
    low, bits = int(rng.integers(-128, 1)), int(rng.integers(1, 9))
    return np.clip(weights, low, min(127, low + (1 << bits) - 1))


def random_cases(count: int, seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases: list[Case] = []
    while len(cases) < count:
        op, types = linear(rng)
        node, arrays = instance(op, types, rng, limit=int(rng.choice(LIMITS)), constant=False)
        arrays["w"] = levels(arrays["w"], rng) if rng.random() < 0.5 else arrays["w"]
        cases += fitting(NEUREKA, with_constants(node, arrays), arrays)
    return cases


@pytest.mark.parametrize("seed", range(2))
def test_every_row_is_exact(seed: int) -> None:
    check(random_cases(60, seed))


def test_every_kind_is_tried() -> None:
    told = set()
    for case in random_cases(60, 0):
        y, mul = case.node.operands["y"].type.dtype, case.kernel.packing.get("mul")
        told.add((y.name, mul.name.split(" bits")[0] if mul else ""))
    assert {y for y, _ in told} == {"i8", "u8", "i32"}
    assert {mul for _, mul in told} == {"", "N-EUREKA 8", "N-EUREKA 32"}


# Time


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Cycles that the engine is busy in each program that runs."""
    found: list[int] = []

    class Watched(Simulation):
        def run(self, cycles: int | None = None) -> SimResult:
            result = super().run(cycles)
            found.append(int(result.report["npu_busy_cycles"]))
            return result

    monkeypatch.setattr(bench, "Simulation", Watched)
    return found


def test_jobs_take_the_time_they_say(busy: list[int]) -> None:
    cases = [c for c in random_cases(40, 5) if c.node.operands["y"].type.shape[-1] % 4 == 0]
    outcomes = check(cases)
    said = sum(case.kernel.cycles(case.node) for case in cases)
    jobs = sum(cast(int, case.kernel.arguments(case.node)["jobs"]) for case in cases)
    # Three calls of each; the first cycle is not counted; a job may wait for itself at a bank.
    assert sum(busy) == pytest.approx(3 * (said - REUSED * (jobs - len(cases)) - jobs), rel=0.002)
    assert sum(o.cycles for o in outcomes) == pytest.approx(said + len(cases) * DISPATCH, rel=0.15)


def test_tokens_fill_the_tiles() -> None:
    for tokens in range(1, 100):
        rows, columns, step = grid(tokens)
        seen = {row * step + column for row in range(rows) for column in range(columns)}
        assert seen == set(range(tokens))
    assert grid(36) == (6, 6, 6)
    assert grid(7)[0] <= 6


# Weights


@pytest.mark.parametrize("seed", range(3))
def test_packed_weights_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (int(rng.integers(1, 40)), int(rng.integers(1, 80)))).astype(np.int8)
    known = Levels.of(levels(weights, rng))
    weights = np.clip(weights, known.low, min(127, known.low + (1 << known.bits) - 1)).astype(np.int8)
    _there_and_back(point_packing(known.low), weights)
    words = tap_words(np.repeat(weights[:, None], 9, 1), known)
    np.testing.assert_array_equal(tap_weights(words, weights.shape[1], known)[:, 4], weights)
    i32, i64 = np.dtype(np.int32), np.dtype(np.int64)
    _there_and_back(each_output(41, i32, 8), rng.integers(0, 256, 41).astype(i32))
    _there_and_back(each_output(7, i32, 8), rng.integers(0, 256, 1).astype(i32))
    _there_and_back(each_output(41, i64, 32), rng.integers(-(1 << 31), 1 << 31, 1).astype(i64))


def _there_and_back(packing: Packing, array: Array) -> None:
    packed = packing.pack(array)
    assert packed.dtype == array.dtype
    assert packed.size == packing.elements(array.shape)
    np.testing.assert_array_equal(packing.unpack(packed, array.shape), array)


def test_a_weight_lies_where_the_engine_reads_it() -> None:
    """Input 37 of output 1: tile 1, group 1, lane 1; bit 2 is at 1 * 32 + 2 * 4 + 1 of the word."""
    weights = np.zeros((2, 40), np.int8)
    weights[1, 37] = 4
    packed = point_packing(0).pack(weights).view(np.uint8)
    bits = np.unpackbits(packed, bitorder="little")
    assert np.flatnonzero(bits).tolist() == [256 * 3 + 32 + 8 + 1]
    words = tap_words(np.where(np.arange(9 * 30).reshape(1, 9, 30) == 5 * 30 + 29, 2, 0), Levels(0, 2))
    assert np.flatnonzero(np.unpackbits(words.reshape(-1), bitorder="little")).tolist() == [256 * 3 + 5 * 28 + 1]


def test_rows_of_packed_weights_are_a_run() -> None:
    weights = np.arange(-60, 60).reshape(3, 40).astype(np.int8)
    packing = point_packing(-128)
    first, count = packing.region(((1, 3), (0, 40)), (3, 40)) or (0, 0)
    np.testing.assert_array_equal(packing.pack(weights)[first : first + count], packing.pack(weights[1:]))
    assert packing.region(((0, 3), (0, 32)), (3, 40)) is None


# What the engine gets wrong

JOB = Job(Mode.TAPS, 28, 32, 7, 7, (28, 252), (32, 224), pad=(1, 1, 1, 1))


def _changed(**registers: Any) -> Sequence[int]:
    found = JOB.registers()
    for name, value in registers.items():
        found[getattr(neureka_job, name)] = value
    return found


@pytest.mark.parametrize(
    ("registers", "why"),
    [
        ({"CONF": JOB.registers()[CONF] | MODE16}, "16 bits"),
        ({"CONF": JOB.registers()[CONF] | LINEAR}, "linear"),
        ({"CONF": JOB.registers()[CONF] | STRIDED}, "stride"),
        ({"CONF": JOB.registers()[CONF] | STREAM_IN}, "adding"),
        ({"CONF": JOB.registers()[CONF] | 1 << RESULT}, "16 bits are not written"),
        ({"CONF": JOB.registers()[CONF] | 1 << SCALE}, "8 or 32 bits"),
        ({"CONF": JOB.registers()[CONF] & ~BIAS}, "bias"),
        ({"CONF": JOB.registers()[CONF] & ~QUANTISE}, "bytes only"),
        ({"CONF": JOB.registers()[CONF] & ~7}, "2 to 8 bits"),
        ({"CONF": JOB.registers()[CONF] & ~FAR_WEIGHTS}, "prefetched"),
        ({"CONF": JOB.registers()[CONF] | 3 << MODE}, "border"),
        ({"PADDING": 0x11110005}, "right of the image"),
        ({"PADDING": 0x31110000}, "at most two"),
        ({"PADDING": 0x11210000}, "before one of a single row"),
        ({"PADDING": 0x12110000}, "before one of a single row"),
        ({"MASK": 1}, "masked"),
        ({"CONF": JOB.registers()[CONF] | 1 << MODE}, "as many outputs"),
        ({"CHANNEL_TILES": pair(1, 0)}, "computes something"),
        ({"PIXEL_TILES": pair(0, 2)}, "computes something"),
        ({"LAST_RESULTS": pair(7, 1)}, "no larger than a tile"),
        ({"LAST_CHANNELS": pair(33, 28)}, "no larger than a tile"),
        ({"LAST_INPUTS": pair(9, 2)}, "no larger than a tile"),
    ],
)
def test_jobs_that_the_engine_gets_wrong_are_refused(registers: dict[str, int], why: str) -> None:
    assert wrong(JOB.registers()) is None
    assert why in (wrong(_changed(**registers)) or "")


@pytest.mark.parametrize("change", [{"result": 16}, {"pad": (0, 0, 2, 0)}, {"scale": 16}, {"mode": Mode.DEPTHWISE}])
def test_forms_of_such_jobs_are_not_made(change: dict[str, Any]) -> None:
    form([JOB])
    with pytest.raises(ValueError, match="N-EUREKA does not compute"):
        form([replace(JOB, **change)])


LINEAR_TYPES = ((4, 32), (40, 32), (40,))


@pytest.mark.parametrize(
    ("op", "kinds", "low", "why"),
    [
        (Linear(Requantise(8, -128, 127, I16)), (I8, I8, None, I32, I32), 1, "no results of 16 bits"),
        (Linear(Requantise(8, 0, 127, I8)), (I8, I8, None, I32, I32), 1, "no narrower clamp"),
        (Linear(Requantise(8, -128, 127, I8)), (I16, I8, None, I32, I32), 1, "Inputs are of 8 bits"),
        (Linear(Requantise(8, -128, 127, I8)), (I8, I8, I32, I32, I32), 1, "no bias"),
        (Linear(Requantise(8, -128, 127, I8)), (I8, I8, None, I32, I32), -9, "not negative"),
        (Linear(Requantise(8, -128, 127, I8)), (I8, I8, None, I32, I32), 1 << 20, "within 32 bits"),
        (Linear(), (F32, F32, None), 1, "Inputs are of 8 bits"),
    ],
)
def test_nodes_that_stay_on_the_cores_say_why(op: Op, kinds: Sequence[Any], low: int, why: str) -> None:
    x, w, each = LINEAR_TYPES
    types = [kind and TensorType(shape, kind) for kind, shape in zip(kinds, (x, w, each, each, each), strict=False)]
    node, arrays = instance(op, types, np.random.default_rng(0), limit=200, constant=False)
    arrays |= {"mul": np.full(each, low, np.int32)} if "mul" in arrays else {}
    assert why in (NEUREKA[0].misfit(with_constants(node, arrays)) or "")


def test_weights_that_are_computed_stay_on_the_cores() -> None:
    node = node_of(Linear(), TensorType((4, 32), I8), TensorType((40, 32), I4))
    assert "known when the network is compiled" in (NEUREKA[0].misfit(node) or "")
