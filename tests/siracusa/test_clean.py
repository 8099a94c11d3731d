"""The chip's generated C and kernels have no warning to give."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shared import QUANTLIB, needs_shared
from tilewright.api import compile_file
from tilewright.cgen.project import write
from tilewright.options import Options
from tilewright.targets.siracusa.build import CLUSTER, compile_sources
from tilewright.targets.siracusa.target import RUNTIME

MODELS = QUANTLIB / "Models"
NAMES = ["microLlama/INT8/microLlama16", "microLlama/INT8/microLlama8_parallel", "MLPerf/KeywordSpotting"]
STRICT = ("-Wall", "-Wextra", "-Werror")


def compile_strictly(folder: Path) -> None:
    """UserError with what the compiler says, about everything but constants and the example."""
    sources = [p for p in folder.rglob("*.c") if p.name != "main.c" and not p.name.endswith("_weights.c")]
    includes = [RUNTIME, RUNTIME / "include", folder, folder / "kernels", folder / "lm"]
    (folder / "build").mkdir()
    compile_sources(sorted(sources), includes, folder / "build", (*CLUSTER, *STRICT))


def test_language_model(tmp_path: Path) -> None:
    write(compile_file("tinystories", "siracusa", Options(language_quant="int8")), tmp_path / "net")
    compile_strictly(tmp_path / "net")


@needs_shared
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("l1", [None, 16_000])
def test_network(name: str, l1: int | None, tmp_path: Path) -> None:
    write(compile_file(str(MODELS / name), "siracusa", Options(l1=l1)), tmp_path / "net")
    compile_strictly(tmp_path / "net")
