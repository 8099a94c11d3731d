"""The fuzzer in one process, built with sanitizers; `--count 100000` is what docs/simulator.md quotes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from shared import ROOT


@pytest.mark.full
def test_no_crash_no_hang_no_sanitizer_report(tmp_path: Path) -> None:
    if shutil.which("c++") is None or shutil.which("cmake") is None or shutil.which("ninja") is None:
        pytest.skip("needs a C++ compiler with sanitizers, cmake and ninja")
    options = ["-DSIRACUSA_SANITIZE=ON", "-DSIRACUSA_FUZZ=ON", "-DCMAKE_CXX_FLAGS_RELEASE=-O1"]
    subprocess.run(
        ["cmake", "-S", ROOT / "sim", "-B", tmp_path, "-G", "Ninja", *options], check=True, capture_output=True
    )
    subprocess.run(["ninja", "-C", tmp_path, "-j", "2", "siracusa-fuzz"], check=True, capture_output=True)
    done = subprocess.run(
        [tmp_path / "siracusa-fuzz", "--count", "5000", "--seed", "700000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    counts = [int(number) for number in re.findall(r"\d+", done.stdout)]
    assert counts[0] == 5000
    assert all(count > 0 for count in counts[2:]), f"some endings never happen: {done.stdout}"
