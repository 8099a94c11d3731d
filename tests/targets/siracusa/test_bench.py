"""The bench of single calls finds kernels that touch what is not theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.instances import node_of, random_operands
from tilewright.ir.types import F32, TensorType
from tilewright.ops import Binary
from tilewright.targets.base import Kernel, Split
from tilewright.targets.siracusa import bench
from tilewright.targets.siracusa.bench import Case, measure

NODE = node_of(Binary("add"), TensorType((37,), F32), TensorType((37,), F32))
OPERANDS = random_operands(NODE, np.random.default_rng(0))


def adding(body: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Kernel:
    """A row whose C adds first .. last, then does what `body` says."""
    signature = "float *a, const float *b, float *y, int8_t *scratch, int n, int first, int last"
    loop = "    for (int i = first; i < last; i++)\n        y[i] = a[i] + b[i];\n"
    text = (
        f'#include "tw_kernels.h"\nvoid tw_added({signature})\n{{\n    (void)n, (void)scratch;\n{loop}    {body}\n}}\n'
    )
    (folder / "added.c").write_text(text)
    target = replace(bench.SIRACUSA, kernel_folders=(folder, *bench.SIRACUSA.kernel_folders))
    monkeypatch.setattr(bench, "SIRACUSA", target)
    return Kernel(
        Binary, "added.c", "tw_added", signature, {"a": "f32", "b": "f32"}, lambda node: {"n": 37},
        split=lambda node: Split(("i0",), 4), scratch=lambda node: 24,
    )  # fmt: skip


@pytest.mark.parametrize("cores", [1, 3, 8])
def test_results_and_cycles(cores: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel = adding("scratch[0] = 1, scratch[23] = 2;", monkeypatch, tmp_path)
    for shift in (0, 3):
        outcomes = measure([Case(kernel, NODE, OPERANDS, shift=shift)] * 3, cores)
        for outcome in outcomes:
            np.testing.assert_array_equal(outcome.results["y"], OPERANDS["a"] + OPERANDS["b"])
            assert outcome.cycles == max(outcome.spent) > 37 / cores


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("if (last == n) y[n] = 0;", "what lies behind y"),
        ("if (first == 0) y[-1] = 0;", "what lies (before y|behind b)"),
        ("if (first == 0) a[3] = 0;", "wrote into a"),
        ("scratch[24] = 0;", "what lies behind scratch"),
        ("if (last < n) y[last] = 0;", "the order of the cores"),
        ("if (0 < first && first < last) y[first - 1] = 0;", "the order of the cores"),
    ],
)
def test_trespassing_is_found(body: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel = adding(body, monkeypatch, tmp_path)
    with pytest.raises(RuntimeError, match=problem):
        measure([Case(kernel, NODE, OPERANDS)])
