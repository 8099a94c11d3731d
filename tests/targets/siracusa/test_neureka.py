"""N-EUREKA: its rows compute what operators define, in the time that they say; what stays on the cores says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from tests.instances import node_of
from tests.targets.siracusa.cases import check, fitting, instance, with_constants
from tilewright.ir.op import Op
from tilewright.ir.types import F32, I4, I8, I16, I32, I64, U8, Array, TensorType
from tilewright.ops import Conv2D, DepthwiseConv2D, Linear, Requantise
from tilewright.sim import SimResult, Simulation
from tilewright.targets.siracusa import bench
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.neureka import NEUREKA
from tilewright.targets.siracusa.neureka_rows import DESCRIBE, ISSUE, LATENCY, grid

Instance = tuple[Op, list[TensorType | None]]
SIZES = (1, 3, 20, 28, 31, 32, 33, 64, 65, 84, 96, 130, 252)
ALONE = 110  # cycles of a call by itself, which writes all registers
LIMITS = (200, 200, 3000, 100_000)
SYMBOLS = {f"tw_neureka_{name}" for name in ("1x1", "one", "three", "nine", "3x3", "depthwise")}


def epilogue(rng: np.random.Generator, outputs: int) -> tuple[Requantise | None, list[TensorType | None]]:
    """What follows the sums, and types of its operands after the bias."""
    if rng.random() < 0.2:
        return None, []
    dtype = rng.choice([I8, U8, I32])
    op = Requantise(int(rng.choice([0, 6, 12, 16, 31, 40])), dtype.low, dtype.high, dtype)
    mul, add = (TensorType((outputs if rng.random() < 0.5 else 1,), rng.choice(k)) for k in ([I32, U8], [I32, I64]))
    return op, [None, mul, add]


def linear(rng: np.random.Generator) -> Instance:
    tokens, rows, cols = int(rng.choice([1, 1, 1, 2, 7, 13, 35, 36, 37, 64])), *map(int, rng.choice(SIZES, 2))
    op, rest = epilogue(rng, rows)
    return Linear(op), [TensorType((tokens, cols), rng.choice([I8, U8])), TensorType((rows, cols), I8), *rest]


def convolution(rng: np.random.Generator) -> Instance:
    n, inputs, outputs = int(rng.choice([1, 1, 2])), *map(int, rng.integers(1, 70, 2))
    high, wide = map(int, rng.integers(3, 15, 2))
    depth, single = bool(rng.random() < 0.4), bool(rng.random() < 0.4)
    pad = cast(Any, tuple(map(int, rng.integers(0, 2, 4))))
    x = TensorType((n, high, wide, inputs), rng.choice([I8, U8]))
    op, rest = epilogue(rng, inputs if depth else outputs)
    if depth:
        return DepthwiseConv2D(pad=pad, epilogue=op), [x, TensorType((3, 3, inputs), I8), *rest]
    if single:
        stride = cast(Any, tuple(map(int, rng.integers(1, 3, 2))))
        return Conv2D(stride=stride, epilogue=op), [x, TensorType((outputs, 1, 1, inputs), I8), *rest]
    return Conv2D(pad=pad, epilogue=op), [x, TensorType((outputs, 3, 3, inputs), I8), *rest]


def levels(weights: Array, rng: np.random.Generator) -> Array:
    """The same weights with fewer values: some networks' are so."""
    low, bits = int(rng.integers(-128, 1)), int(rng.integers(1, 9))
    return np.clip(weights, low, min(127, low + (1 << bits) - 1))


def random_cases(count: int, seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases: list[Case] = []
    while len(cases) < count:
        op, types = (linear, linear, convolution)[len(cases) % 3](rng)
        node, arrays = instance(op, types, rng, limit=int(rng.choice(LIMITS)), constant=False)
        arrays["w"] = levels(arrays["w"], rng) if rng.random() < 0.5 else arrays["w"]
        for name in ("mul", "add"):
            if name in arrays and rng.random() < 0.5:  # runs of rows that share them
                arrays[name] = arrays[name][np.arange(arrays[name].size) // 24 * 24]
        shift = int(rng.choice([0, 0, 1, 3]))
        cases += fitting(NEUREKA, with_constants(node, arrays), arrays, shift)
    return cases


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_exact(seed: int) -> None:
    check(random_cases(80, seed))


def test_every_kind_is_tried() -> None:
    cases = random_cases(150, 0)
    assert {case.kernel.symbol for case in cases} == SYMBOLS
    assert {case.node.operands["y"].type.dtype.name for case in cases} == {"i8", "u8", "i32"}
    assert max(cast(int, case.kernel.arguments(case.node)["jobs"]) for case in cases) > 2
    told = [packing.name for case in cases if (packing := case.kernel.packing.get("mul"))]
    assert any(" 8 bits" in name for name in told)
    assert any(" 32 bits" in name for name in told)


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
    """Each case runs three times; the first cycle of a job is not counted. A job may wait for itself at a bank."""
    cases = [case for case in random_cases(100, 5) if case.kernel.arguments(case.node)["jobs"] == 1]
    cases = [case for case in cases if case.node.operands["y"].type.shape[-1] % 4 == 0]
    check(cases)
    said = sum(case.kernel.cycles(case.node) - 1 for case in cases)
    assert sum(busy) == pytest.approx(3 * said, rel=0.002)


def test_calls_take_about_the_time_they_say() -> None:
    cases = random_cases(100, 6)
    for case, outcome in zip(cases, check(cases), strict=True):
        slack = 80 * cast(int, case.kernel.arguments(case.node)["jobs"])
        expected = case.kernel.cycles(case.node) + ALONE + DESCRIBE + ISSUE + LATENCY
        assert expected == pytest.approx(outcome.cycles, abs=slack, rel=0.12), case.kernel.symbol


@pytest.mark.parametrize(
    ("rows", "cols", "bits", "symbol", "cycles"),
    [(64, 64, 8, "three", 237), (192, 64, 8, "three", 636), (512, 64, 8, "nine", 1631), (64, 252, 8, "one", 632),
     (64, 256, 8, "three", 834), (64, 64, 4, "three", 149), (512, 64, 4, "nine", 935), (64, 256, 4, "three", 482)],
)  # fmt: skip
def test_the_cheapest_arrangement_of_one_row(rows: int, cols: int, bits: int, symbol: str, cycles: int) -> None:
    weights = np.resize(np.arange(-(1 << bits - 1), 1 << bits - 1), (rows, cols))
    arrays = {"w": weights, "mul": np.array([3], np.int32)}
    arrays["add"] = np.array([5], np.int32)
    kinds = [TensorType((1, cols), I8), TensorType((rows, cols), I8), None, *[TensorType((1,), I32)] * 2]
    node = with_constants(node_of(Linear(Requantise(8, -128, 127, I8)), *kinds), arrays)
    found = [k.bound([node]) for k in NEUREKA if k.misfit(node) is None]
    best = min(found, key=lambda kernel: kernel.cycles(node))
    assert (best.symbol, best.cycles(node)) == (f"tw_neureka_{symbol}", cycles)


@pytest.mark.parametrize(("rows", "cols"), [(64, 64), (192, 64), (512, 64), (64, 256)])
@pytest.mark.parametrize("scaled", [True, False])
def test_four_bits_take_less_time_than_eight(rows: int, cols: int, scaled: bool, busy: list[int]) -> None:
    """The same layer by its cheapest arrangement of each: at least 1.4 times, with one multiplier and as raw sums."""
    rng, x = np.random.default_rng(rows + cols), TensorType((1, cols), I8)
    kinds = [x, TensorType((rows, cols), I8), *([None, *[TensorType((1,), I32)] * 2] if scaled else [])]
    op = Linear(Requantise(12, -128, 127, I8)) if scaled else Linear()
    for bits in (8, 4):
        node, arrays = instance(op, kinds, rng, limit=200, constant=False)
        arrays["w"] = rng.integers(-(1 << bits - 1), 1 << bits - 1, (rows, cols), np.int8)
        node = with_constants(node, arrays)
        check([min(fitting(NEUREKA, node, arrays, 0), key=lambda case: case.kernel.cycles(case.node))])
    assert busy[0] >= 1.4 * busy[1]


def test_tokens_fill_the_tiles() -> None:
    for tokens in range(1, 100):
        rows, columns, step = grid(tokens)
        seen = {row * step + column for row in range(rows) for column in range(columns)}
        assert seen == set(range(tokens))
    assert grid(36) == (6, 6, 6)
    assert grid(7)[0] <= 6


# What stays on the cores

I8_BYTES = Requantise(8, -128, 127, I8)


@pytest.mark.parametrize(
    ("op", "kinds", "mul", "why"),
    [
        (Linear(Requantise(8, -128, 127, I16)), (I8, I8, None, I32, I32), 1, "no results of 16 bits"),
        (Linear(Requantise(8, 0, 127, I8)), (I8, I8, None, I32, I32), 1, "no narrower clamp"),
        (Linear(I8_BYTES), (I16, I8, None, I32, I32), 1, "Inputs are of 8 bits"),
        (Linear(I8_BYTES), (I8, I8, I32, I32, I32), 1, "no bias"),
        (Linear(I8_BYTES), (I8, I8, None, I32, I32), -9, "not negative"),
        (Linear(I8_BYTES), (I8, I8, None, I32, I32), 1 << 20, "within 32 bits"),
        (Linear(), (F32, F32, None), 1, "Inputs are of 8 bits"),
    ],
)
def test_products_that_stay_on_the_cores_say_why(op: Op, kinds: Sequence[Any], mul: int, why: str) -> None:
    shapes = (4, 32), (40, 32), (40,), (40,), (40,)
    types = [kind and TensorType(shape, kind) for kind, shape in zip(kinds, shapes, strict=False)]
    node, arrays = instance(op, types, np.random.default_rng(0), limit=200, constant=False)
    arrays |= {"mul": np.full(40, mul, np.int32)} if "mul" in arrays else {}
    assert why in (NEUREKA[0].misfit(with_constants(node, arrays)) or "")


@pytest.mark.parametrize(
    ("op", "window", "why"),
    [
        (Conv2D(stride=(2, 1)), 3, "nor with a stride"),
        (Conv2D(dilation=(1, 2)), 3, "neither dilated"),
        (Conv2D(pad=(2, 0, 0, 0)), 3, "at most one pixel"),
        (Conv2D(pad=(1, 1, 1, 1), pad_value=3), 3, "of zeros"),
        (Conv2D(), 5, "Filters of 3x3"),
        (Conv2D(pad=(1, 0, 0, 0)), 1, "Filters of 3x3"),
    ],
)
def test_convolutions_that_stay_on_the_cores_say_why(op: Op, window: int, why: str) -> None:
    kinds = [TensorType((1, 9, 9, 4), I8), TensorType((5, window, window, 4), I8)]
    node, _ = instance(op, kinds, np.random.default_rng(0))
    whys = [kernel.misfit(node) for kernel in NEUREKA if kernel.op is Conv2D]
    assert None not in whys
    assert any(why in (told or "") for told in whys)


def test_rows_with_parameters_of_their_own_have_a_window_each() -> None:
    kinds = [TensorType((1, 64), I8), TensorType((40, 64), I8), None, *[TensorType((40,), I32)] * 2]
    node, _ = instance(Linear(I8_BYTES), kinds, np.random.default_rng(0), limit=200)
    told = {kernel.symbol: kernel.misfit(node) for kernel in NEUREKA if kernel.op is Linear}
    assert told["tw_neureka_1x1"] is told["tw_neureka_one"] is None
    assert "at most six runs" in (told["tw_neureka_three"] or "")


def test_weights_that_are_computed_stay_on_the_cores() -> None:
    node = node_of(Linear(), TensorType((4, 32), I8), TensorType((40, 32), I4))
    assert "known when the network is compiled" in (NEUREKA[0].misfit(node) or "")
