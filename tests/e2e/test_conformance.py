"""Suites through compiled C; and that the judge judges."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.shared import QUANTLIB, VECTORS, needs_shared
from tilewright.cli import run as command
from tilewright.conformance.batch import run_batch
from tilewright.conformance.cases import Case, DataSet, onnx, quantlib
from tilewright.conformance.run import run_onnx, run_quantlib, run_suite, sample
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import F32, TensorType
from tilewright.ops import Transpose
from tilewright.options import Options
from tilewright.targets.base import Target
from tilewright.targets.registry import find

HOST = find("host", Options())


def turned() -> Graph:
    b = Builder("net")
    return b.finish((b(Transpose((1, 0)), b.input("x", TensorType((2, 3), F32)), name="y"),))


def case(name: str, wrong: bool = False) -> Case:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = x.T + (1 if wrong else 0)
    return Case(name, turned, lambda _: [DataSet((x,), (y,))])


def crashing(folder: Path) -> Target:
    """The host, but the kernel that moves data writes where nothing is."""
    for path in HOST.kernel_folders[0].iterdir():
        text = path.read_text()
        if path.name == "generic_move.c":
            head, name, rest = text.partition("void tw_strided_copy(")
            brace = rest.index("{") + 1
            text = f"{head}{name}{rest[:brace]}\n    *(volatile int *)8 = 1;{rest[brace:]}"
        (folder / path.name).write_text(text)
    return replace(HOST, kernel_folders=(folder,))


def test_wrong_values_fail(tmp_path: Path) -> None:
    verdicts = run_batch([case("good"), case("bad", wrong=True), case("also good")], HOST, Options(), tmp_path)
    assert [v.status for v in verdicts] == ["passed", "failed", "passed"]
    assert "6 of 6 values differ" in verdicts[1].reason


def test_a_crash_fails_every_case_that_crashes_and_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    target = crashing(tmp_path / "kernels")
    verdicts = run_batch([case("a"), case("b")], target, Options(), tmp_path)
    assert [(v.name, v.status) for v in verdicts] == [("a", "failed"), ("b", "failed")]
    assert all("crashed with signal" in v.reason for v in verdicts)


def test_kernels_that_do_not_compile_fail(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    target = crashing(tmp_path / "kernels")
    path = tmp_path / "kernels" / "generic_move.c"
    path.write_text(path.read_text() + "\nthis is not C;\n")
    verdicts = run_batch([case("a"), case("b")], target, Options(), tmp_path)
    assert [v.status for v in verdicts] == ["failed", "failed"]
    assert "does not compile" in verdicts[0].reason


@needs_shared
def test_a_sample_of_the_vectors_in_c() -> None:
    names = {c.name for c in random.Random(1).sample(onnx(VECTORS), 200)}
    verdicts = list(run_suite("onnx", VECTORS, "host", 1, Options(), names.__contains__))
    count = Counter(v.status for v in verdicts)
    assert len(verdicts) == 200
    assert count["failed"] == 0, [v for v in verdicts if v.status == "failed"]
    assert count["passed"] >= 110


@needs_shared
def test_a_sample_is_drawn_by_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    first = sample("quantlib", QUANTLIB, 3, 1)
    assert first == sample("quantlib", QUANTLIB, 3, 1) != sample("quantlib", QUANTLIB, 3, 2)
    words = ["conformance", "quantlib", "--vectors", str(QUANTLIB), "--sample", "3", "--seed", "1"]
    assert command(words) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("passed  ") and "/" in line] == [
        f"passed   {name}" for name in sorted(first)
    ]
    assert len(sample("quantlib", QUANTLIB, 1000, 0)) == 102


@needs_shared
def test_quantlib_kernels_in_c() -> None:
    verdicts = run_quantlib(QUANTLIB / "Kernels" / "Integer")
    assert [v for v in verdicts if v.status != "passed"] == []


@needs_shared
@pytest.mark.full
def test_all_vectors_in_c() -> None:
    verdicts = run_onnx(VECTORS, jobs=2)
    count = Counter(v.status for v in verdicts)
    assert len(verdicts) == len({v.name for v in verdicts}) == 1765
    assert count["failed"] == 0, [v for v in verdicts if v.status == "failed"]
    assert count["passed"] >= 700
    assert all(v.rule for v in verdicts if v.status == "refused")


@needs_shared
@pytest.mark.full
def test_all_of_quantlib_in_c() -> None:
    verdicts = run_quantlib(QUANTLIB, jobs=2)
    assert len(verdicts) == len(quantlib(QUANTLIB)) == 102
    assert [v for v in verdicts if v.status != "passed"] == []
