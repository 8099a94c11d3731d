"""N-EUREKA's jobs: those that it gets wrong are refused; weights lie where it reads them, and come back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.targets.siracusa.test_neureka import levels
from tilewright.ir.types import Array
from tilewright.targets.base import Packing
from tilewright.targets.siracusa import neureka_job
from tilewright.targets.siracusa.neureka_gemv import NINE, ONE, THREE, Run, Windows, of_runs, weights_of
from tilewright.targets.siracusa.neureka_job import (
    BIAS,
    CONF,
    FAR_WEIGHTS,
    LENGTH,
    LINEAR,
    MODE,
    MODE16,
    PLACES,
    QUANTISE,
    REGISTERS,
    RESULT,
    SCALE,
    STREAM_IN,
    STRIDED,
    WEIGHT_MEMORY,
    Job,
    Mode,
    described,
    form,
    pair,
    wrong,
)  # fmt: skip
from tilewright.targets.siracusa.neureka_weights import (
    Levels,
    depth_packing,
    each_output,
    point_packing,
    tap_packing,
    tap_words,
)  # fmt: skip

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


@pytest.mark.parametrize("seed", range(5))
def test_a_job_is_told_what_its_context_does_not_have(seed: int) -> None:
    """Contexts take turns, and hold anything at first; addresses are told every time."""
    rng = np.random.default_rng(seed)
    some = [replace(JOB, outputs=int(n), shift=int(n) % 3, w_at=int(n), y_at=4) for n in rng.integers(1, 99, 4)]
    calls = [[some[i] for i in rng.integers(0, len(some), rng.integers(1, 4))] for _ in range(20)]
    contexts: list[dict[int, int]] = [{}, {}]
    sizes = []
    for jobs, told in zip(calls, described([form(jobs) for jobs in calls]), strict=True):
        assert len(jobs) == len(told)
        for job, each in zip(jobs, told, strict=True):
            assert dict(each.addresses) == {
                "w": job.w_at - WEIGHT_MEMORY, "x": -sum(job.in_strides), "y": 4, "mul": 0, "add": 0,
            }  # fmt: skip
            number, *rest = each.numbers
            assert len(rest) == 2 * number
            contexts[0] |= {(at - REGISTERS) // 4: value for value, at in zip(rest[::2], rest[1::2], strict=True)}
            wanted = np.array(job.registers(), np.int64).astype(np.int32).tolist()
            assert [contexts[0][i] for i in range(PLACES, LENGTH)] == wanted[PLACES:]
            contexts.reverse()
            sizes.append(number)
    assert sizes[:2] == [LENGTH - PLACES] * 2
    assert max(sizes[2:]) < 5


# Weights


@pytest.mark.parametrize("seed", range(5))
def test_packed_weights_come_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, cols, channels = (int(n) for n in rng.integers(3, 80, 3))
    known = Levels.of(levels(rng.integers(-128, 128, (rows, cols)), rng))

    def weights(*shape: int) -> Array:
        return rng.integers(known.low, min(128, known.low + (1 << known.bits)), shape).astype(np.int8)

    _there_and_back(point_packing(known.low), weights(rows, cols))
    _there_and_back(point_packing(known.low), weights(rows, 1, 1, cols))
    _there_and_back(tap_packing(known), weights(rows, 3, 3, channels))
    _there_and_back(depth_packing(known), weights(3, 3, channels))
    for windows in (ONE, THREE, NINE):
        for turn in (1, 2, 3):
            _there_and_back(weights_of(windows, (Run(0, 2), Run(2, rows, turn)), known), weights(rows, cols))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_packed_parameters_come_back(dtype: Any) -> None:
    kind = np.dtype(dtype)
    values = np.random.default_rng(0).integers(0, 256, 43).astype(kind)
    for bits in (8, 32):
        _there_and_back(each_output(43, kind, bits), values)
        _there_and_back(each_output(7, kind, bits), values[:1])
        for windows in (THREE, NINE):
            packing = of_runs(windows, (Run(0, 5), Run(5, 6), Run(6, 43)), kind, bits)
            _there_and_back(packing, np.repeat(values[:3], (5, 1, 37)))
            _there_and_back(packing, values[:1])
            _there_and_back(of_runs(windows, (Run(0, 43, 3),), kind, bits), np.resize(values[:3], 43))


def _there_and_back(packing: Packing, array: Array) -> None:
    packed = packing.pack(array)
    assert packed.ndim == 1
    assert packed.dtype == array.dtype
    assert packed.size == packing.elements(array.shape)
    np.testing.assert_array_equal(packing.unpack(packed, array.shape), array)


def test_a_weight_lies_where_the_engine_reads_it() -> None:
    """Input 37 of output 1: tile 1, group 1, lane 1; bit 2 is at 1 * 32 + 2 * 4 + 1 of the word."""
    weights = np.zeros((2, 40), np.int8)
    weights[1, 37] = 4
    bits = np.unpackbits(point_packing(0).pack(weights).view(np.uint8), bitorder="little")
    assert np.flatnonzero(bits).tolist() == [256 * 3 + 32 + 8 + 1]
    words = tap_words(np.where(np.arange(9 * 30).reshape(1, 9, 30) == 5 * 30 + 29, 2, 0), Levels(0, 2))
    assert np.flatnonzero(np.unpackbits(words.reshape(-1), bitorder="little")).tolist() == [256 * 3 + 5 * 28 + 1]


@pytest.mark.parametrize(
    ("packing", "shape", "cut", "none"),
    [
        (point_packing(-128), (3, 40), ((1, 3), (0, 40)), ((0, 3), (0, 32))),
        (
            tap_packing(Levels(-128, 8)),
            (5, 3, 3, 30),
            ((2, 4), (0, 3), (0, 3), (0, 30)),
            ((0, 5), (0, 2), (0, 3), (0, 30)),
        ),
        (depth_packing(Levels(-128, 8)), (3, 3, 90), ((0, 3), (0, 3), (28, 90)), ((0, 3), (0, 3), (10, 90))),
    ],
)
def test_outputs_of_packed_weights_are_a_run(packing: Packing, shape: Any, cut: Any, none: Any) -> None:
    weights = np.random.default_rng(0).integers(-9, 20, shape).astype(np.int8)
    first, count = packing.region(cut, shape) or (0, 0)
    part = weights[tuple(slice(*axis) for axis in cut)]
    np.testing.assert_array_equal(packing.pack(weights)[first : first + count], packing.pack(part))
    assert packing.region(none, shape) is None


@pytest.mark.parametrize("windows", [ONE, THREE, NINE])
def test_windows_hold_every_row_and_no_more(windows: Windows) -> None:
    for rows, turn in ((turn * count, turn) for turn, count in itertools.product((1, 2, 3), range(1, 200))):
        channels, aside, down = windows.offsets(rows, turn)
        assert aside % turn == down % turn == 0
        starts = [i * down + j * aside for i in range(windows.high) for j in range(windows.wide)]
        assert {start + channel for start in starts for channel in range(channels)} == set(range(rows))
        assert channels <= -(-rows // (windows.high * windows.wide)) + 2 * turn - 1 or rows < 9 * turn
