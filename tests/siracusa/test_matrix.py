"""Everything that runs on the chip, with all of L1, with 64,000 and with 16,000 bytes: samples, and with `full` all."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tests.shared import FOLDER, QUANTLIB, VECTORS, needs_shared
from tests.siracusa.matrix import BUDGETS, FLOAT, INTEGER, MASKED, Network, check
from tilewright.api import compile_file
from tilewright.cgen.project import write
from tilewright.conformance.run import run_suite, sample
from tilewright.errors import UserError
from tilewright.options import Options
from tilewright.targets.base import Story
from tilewright.targets.registry import storyteller

CELLS = [(network, l1) for network in (*INTEGER, *MASKED) for l1 in BUDGETS]
SAMPLED = random.Random(6).sample(CELLS, 3)
STORIES = FOLDER / "data" / "llm" / "stories260K.bin"


def cells(cells: list[tuple[Network, int | None]]) -> list[object]:
    return [
        pytest.param(n, l1, marks=[] if (n, l1) in SAMPLED else pytest.mark.full, id=f"{n.name}-{l1}")
        for n, l1 in cells
    ]  # fmt: skip


@needs_shared
@pytest.mark.parametrize(("network", "l1"), cells(CELLS))
def test_integer_networks_are_exact_in_any_budget(network: Network, l1: int | None, tmp_path: Path) -> None:
    check(network, l1, tmp_path, seed=0)


@needs_shared
@pytest.mark.parametrize(("network", "l1"), cells([(n, l1) for n in FLOAT for l1 in BUDGETS]))
def test_float_networks_are_close_or_tell_the_least(network: Network, l1: int | None, tmp_path: Path) -> None:
    refusal = ""
    try:
        check(network, l1, tmp_path, seed=0, timing="gvsoc")
    except UserError as error:
        refusal = str(error)
    assert not refusal or (l1 == 16_000 and "needs at least" in refusal)


@needs_shared
@pytest.mark.full
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("network", MASKED, ids=lambda n: n.name)
def test_other_masks(network: Network, seed: int, tmp_path: Path) -> None:
    check(network, None, tmp_path, seed, "gvsoc")


@needs_shared
@pytest.mark.parametrize("l1", BUDGETS)
def test_a_sample_of_quantlib(l1: int | None) -> None:
    names = sample("quantlib", QUANTLIB / "Kernels", 3, l1 or 0)
    verdicts = list(run_suite("quantlib", QUANTLIB / "Kernels", "siracusa", 1, Options(l1=l1), names.__contains__))
    assert [v for v in verdicts if v.status == "failed"] == []
    assert all(v.name.startswith("FP32") and "needs at least" in v.reason for v in verdicts if v.status == "refused")


@needs_shared
@pytest.mark.full
@pytest.mark.parametrize("l1", BUDGETS)
def test_all_of_quantlib(l1: int | None) -> None:
    verdicts = list(run_suite("quantlib", QUANTLIB, "siracusa", 2, Options(l1=l1)))
    assert [v for v in verdicts if v.status == "failed"] == []
    refused = [v for v in verdicts if v.status == "refused"]
    assert l1 == 16_000 or refused == []
    assert all("FP32" in v.name and "needs at least" in v.reason for v in refused)


@needs_shared
@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.full)])
def test_a_sample_of_onnx_vectors_that_the_host_passes(count: int) -> None:
    names = sample("onnx", VECTORS, 2 * count, 0)
    on_host = run_suite("onnx", VECTORS, "host", 1, Options(), names.__contains__)
    passed = {v.name for v in [v for v in on_host if v.status == "passed"][:count]}
    assert len(passed) == count
    verdicts = list(run_suite("onnx", VECTORS, "siracusa", 1, Options(), passed.__contains__))
    assert [v for v in verdicts if v.status != "passed"] == []


SETTINGS = [(0.0, 1.0, 0), (0.8, 0.9, 1), (0.8, 0.9, 2)]  # temperature, top-p, seed


@needs_shared
@pytest.mark.full
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("model", ["tinystories", str(STORIES)], ids=["bundled", "stories260K"])
def test_text_in_any_budget_is_the_hosts(model: str, settings: tuple[float, float, int], tmp_path: Path) -> None:
    story = Story("Once upon a time", 14, *settings, ignore_eos=True)
    wanted = told(model, "host", None, story, tmp_path)
    assert len(wanted) > len(story.prompt) + 14
    for l1 in BUDGETS:
        assert told(model, "siracusa", l1, story, tmp_path) == wanted, l1


def told(model: str, target: str, l1: int | None, story: Story, folder: Path) -> bytes:
    place = folder / f"{target}{l1}"
    write(compile_file(model, target, Options(quant="int8", l1=l1)), place)
    teller = storyteller(target, place, story)
    out = subprocess.run(teller.command, capture_output=True, check=True).stdout
    return out.partition(teller.separator)[0] if teller.separator else out
