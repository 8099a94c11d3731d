"""Prompts of any length on the chip: those that one job takes at once, and longer ones."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.llamas import Shape, checkpoint, vocabulary
from tilewright.api import compile_model
from tilewright.cgen.project import write
from tilewright.compiled import Compiled
from tilewright.model import Model
from tilewright.options import Options
from tilewright.quant.calibrate import CalibrationText
from tilewright.quant.lower import Recipe, language_model
from tilewright.targets.host.runner import HostRunner
from tilewright.targets.registry import find
from tilewright.targets.siracusa.runner import SiracusaRunner

CHUNK, ROWS = 64, 36


TIGHT = 42_000  # bytes of L1 in which products of 64 rows are cut, those of 36 are not


@cache
def model(chunk: int) -> Model:
    shape = Shape(64, 96, 2, 4, 2, 128, tied=True, chunk=chunk)
    return language_model(checkpoint(shape), vocabulary(), chunk, Recipe("int8", CalibrationText.read()))


def compiled(
    name: str, chunk: int = CHUNK, npu: str = "on", l1: int | None = None, weights: int | None = None
) -> Compiled:
    options = Options(npu=npu, l1=l1)
    target = find(name, options)
    memories = tuple(replace(m, bytes=weights) if weights and m.holds == "const" else m for m in target.memories)
    return compile_model(model(chunk), replace(target, memories=memories), options)


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> tuple[HostRunner, SiracusaRunner]:
    host, chip = (tmp_path_factory.mktemp(target) / "c" for target in ("host", "siracusa"))
    write(compiled("host"), host)
    write(compiled("siracusa"), chip)
    return HostRunner(host), SiracusaRunner(chip)


@pytest.mark.parametrize("count", [1, 2, 5, 35, 36, 37, 64, 65, 100, 101])
def test_logits_are_the_hosts(count: int, runners: tuple[HostRunner, SiracusaRunner]) -> None:
    host, chip = runners
    tokens = np.random.default_rng(count).integers(3, 259, count).tolist()
    host.reset()
    chip.reset()
    np.testing.assert_array_equal(chip.prefill(tokens).reshape(-1), host.prefill(tokens))
    parts = [min(CHUNK, count - first) for first in range(0, count, CHUNK)]
    ran = json.loads((Path(chip.folder) / "build" / "simulated.json").read_text())["entries"]
    assert set(ran) == {"decode" if n == 1 else "prefill_few" if n <= ROWS else "prefill" for n in parts}


@pytest.mark.parametrize(
    ("target", "chunk", "npu"), [("host", 64, "on"), ("siracusa", ROWS, "on"), ("siracusa", 64, "off")]
)
def test_there_is_one_function_for_prompts_where_no_job_runs_in_vain(target: str, chunk: int, npu: str) -> None:
    assert [program.name for program in compiled(target, chunk, npu).programs] == ["prefill", "decode"]


def test_few_tokens_take_no_more_memory_and_half_the_jobs() -> None:
    made = compiled("siracusa")
    assert [program.name for program in made.programs] == ["prefill", "prefill_few", "decode"]
    alone = compiled("siracusa", ROWS)
    assert made.memory["weights"] == alone.memory["weights"]
    graph = made.plan.entries[1].graph
    assert [(s.name, s.max) for s in graph.syms if s.name == "n"] == [("n", ROWS)]
    text = made.source.tables
    few, prefill = (text.partition(f"toy_{name}_jobs[")[2].partition("]")[0] for name in ("prefill_few", "prefill"))
    assert int(prefill) - 1 > 1.5 * (int(few) - 1)


def test_few_tokens_are_exact_where_those_of_more_are_cut(
    runners: tuple[HostRunner, SiracusaRunner], tmp_path: Path
) -> None:
    host, made = runners[0], compiled("siracusa", l1=TIGHT)
    write(made, tmp_path / "c")
    host.reset()
    tokens = [*range(5, 41)]
    np.testing.assert_array_equal(SiracusaRunner(tmp_path / "c").prefill(tokens).reshape(-1), host.prefill(tokens))


def test_where_weights_fill_their_memory_few_tokens_have_none_of_their_own() -> None:
    roomy = compiled("siracusa", l1=TIGHT)
    full = compiled("siracusa", l1=TIGHT, weights=roomy.memory["weights"] + 100)
    assert [program.name for program in roomy.programs] == ["prefill", "prefill_few", "decode"]
    assert [program.name for program in full.programs] == ["prefill", "decode"]
    assert full.memory["weights"] < roomy.memory["weights"]
