"""The unit tests in C++ (`sim/tests`), compiled with what they need, with sanitizers where there are any."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shared import ROOT

SIM = ROOT / "sim"
UNITS = {
    "caches": [],
    "disasm": ["disasm.cpp", "isa.cpp", "compressed.cpp"],
    "energy": ["energy.cpp"],
    "events": ["event_unit.cpp", "timer.cpp"],
    "neureka": ["neureka.cpp", "neureka_job.cpp", "neureka_engine.cpp", "neureka_datapath.cpp"],
}
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def compiler() -> list[str]:
    """The system's C++ compiler, else clang from the ziglang wheel."""
    system = os.environ.get("CXX") or shutil.which("c++")
    return system.split() if system else [sys.executable, "-m", "ziglang", "c++"]


def compiled(unit: str, target: Path, extra: list[str]) -> subprocess.CompletedProcess[str]:
    sources = [SIM / "tests" / f"{unit}_test.cpp", *(SIM / "src" / name for name in UNITS[unit])]
    flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{SIM / 'src'}", f"-I{SIM / 'tests'}", *extra]
    command = [*compiler(), *flags, *map(str, sources), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", UNITS)
def test_unit(unit: str, tmp_path: Path) -> None:
    program = tmp_path / unit
    built = compiled(unit, program, SANITIZERS)
    if built.returncode:  # a compiler without the sanitizers' run time
        built = compiled(unit, program, [])
    assert built.returncode == 0, built.stderr
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
