"""Networks on the simulated chip, with the portable kernels."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from tests.llamas import SHAPES, model
from tests.shared import QUANTLIB, needs_shared
from tilewright.api import compile_file, compile_model
from tilewright.cgen.project import write
from tilewright.cli import run
from tilewright.errors import UserError
from tilewright.frontend.load import load
from tilewright.options import Options
from tilewright.sim import simulate
from tilewright.targets.base import Story
from tilewright.targets.registry import find, storyteller
from tilewright.targets.siracusa.build import build
from tilewright.targets.siracusa.program import Job
from tilewright.targets.siracusa.runner import SiracusaRunner

WIDE = QUANTLIB / "Kernels" / "Integer" / "Conv" / "PW_2D"
ADD = QUANTLIB / "Kernels" / "Integer" / "Add" / "Regular_RQ"


SETTINGS = [
    (0.8, 0.9, 1),
    *(pytest.param(*given, marks=pytest.mark.full) for given in ((0.0, 1.0, 0), (0.8, 0.9, 2))),
]


def arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[name] for name in file.files]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("chip") / "c"
    write(compile_file(str(ADD), "siracusa", Options()), made)
    return made


@needs_shared
def test_two_runs_are_exact_and_counted(folder: Path) -> None:
    chip = SiracusaRunner(folder)
    inputs = [a.astype(np.int8) for a in arrays(ADD / "inputs.npz")]
    (wanted,) = arrays(ADD / "outputs.npz")
    results = list(chip.series(inputs, 2, None))
    assert len(results) == len(chip.cycles) == 2
    for (got,) in results:
        np.testing.assert_array_equal(got, wanted.reshape(got.shape))
    told = chip.measured()
    assert told["cycles"] > 0
    assert told["energy_uj"] > 0


@needs_shared
def test_the_elf_alone_finds_a_wrong_value(folder: Path) -> None:
    inputs = [a.astype(np.int8) for a in arrays(ADD / "inputs.npz")]
    right = [arrays(ADD / "outputs.npz")[0].astype(np.int8)]
    done = simulate(build(folder, Job(inputs, right)).executable)
    assert (done.status, done.output.count(" mismatches 0 ")) == (0, 1)
    right[0].flat[77] ^= 1
    done = simulate(build(folder, Job(inputs, right)).executable)
    assert (done.status, done.output.count(" mismatches 1 ")) == (1, 1)


@needs_shared
def test_what_l1_cannot_hold_is_in_l2() -> None:
    roomy, tight = (compile_file(str(WIDE), "siracusa", Options(l1=l1)) for l1 in (None, 16_000))
    assert {b.memory for b in roomy.plan.entries[0].blocks} == {"l1"}
    assert {b.memory for b in tight.plan.entries[0].blocks} == {"l1", "l2"}
    assert tight.plan.capacity["l1"] <= 16_000


@needs_shared
def test_arenas_are_linked_where_the_plan_has_them(tmp_path: Path) -> None:
    write(compile_file(str(WIDE), "siracusa", Options(l1=16_000)), tmp_path)
    with build(tmp_path).executable.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        where = {symbol.name: symbol["st_value"] for symbol in symbols if symbol.name.startswith("arena_")}
    assert {name: address >> 24 for name, address in where.items()} == {"arena_l1": 0x10, "arena_l2": 0x1C}


def test_constants_that_fit_nowhere_are_explained() -> None:
    target = find("siracusa")
    small = replace(target, memories=(replace(target.memories[0], bytes=1000), *target.memories[1:]))
    with pytest.raises(UserError, match=r"constants need [\d,]+ bytes of wmem, it has 1,000"):
        compile_model(load("tinystories", Options(quant="int8")), small, Options(quant="int8"))


@pytest.mark.parametrize(("temperature", "top_p", "seed"), SETTINGS)
def test_text_equals_the_hosts(temperature: float, top_p: float, seed: int, tmp_path: Path) -> None:
    options = Options(quant="int8")
    story = Story("Once upon a time", 12, temperature, top_p, seed, ignore_eos=True)
    texts = []
    for target in ("host", "siracusa"):
        write(compile_file("tinystories", target, options), tmp_path / target)
        teller = storyteller(target, tmp_path / target, story)
        done = subprocess.run(teller.command, capture_output=True, check=True)
        texts.append(done.stdout.partition(teller.separator)[0] if teller.separator else done.stdout)
    assert texts[0] == texts[1]
    assert len(texts[0]) > len(story.prompt) + 12


@pytest.mark.parametrize("chunk", [1, 8])
def test_tokens_that_transfers_fetch_lie_where_they_reach(chunk: int, tmp_path: Path) -> None:
    """A network of floats that leaves room in L1 for the sampler's data: the token to decode is not among them."""
    texts = []
    for target, tokens in (("host", 8), ("siracusa", chunk)):
        write(
            compile_model(model(replace(SHAPES[0], chunk=tokens)), find(target), Options(quant="none")),
            tmp_path / target,
        )
        teller = storyteller(target, tmp_path / target, Story("abc", 6, ignore_eos=True))
        done = subprocess.run(teller.command, capture_output=True, check=True)
        texts.append(done.stdout.partition(teller.separator)[0] if teller.separator else done.stdout)
    assert texts[0] == texts[1]


def test_a_prompt_may_be_bytes_that_are_no_text(tmp_path: Path) -> None:
    write(compile_file("tinystories", "siracusa", Options(quant="int8")), tmp_path)
    teller = storyteller("siracusa", tmp_path, Story(os.fsdecode(b"\xff\xfe!"), 1))
    assert subprocess.run(teller.command, capture_output=True, check=True).stdout.startswith(b"\xff\xfe!")


@needs_shared
@pytest.mark.full
def test_every_quantlib_case_is_exact(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    words = ["conformance", "quantlib", "--vectors", str(QUANTLIB), "-t", "siracusa", "-j", "2", "--json", str(report)]
    assert run(words) == 0
    found = json.loads(report.read_text())
    assert (found["passed"], found["failed"]) == (found["cases"], 0)
