"""All rows under the address and undefined-behaviour sanitizers of gcc, in a process of their own.

Run as a program, this file is that process: it takes the library's path.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.instances import agree, expected, row_instances
from tilewright.interp.native import call, shared_library
from tilewright.ir.types import Array
from tilewright.targets.base import Kernel
from tilewright.targets.host.target import HOST

SANITIZE = ("-g", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def _malloc(size: int) -> Array:
    """Bytes of their own in the C heap, where the sanitizer watches every edge; the process is too short to free."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    address = libc.malloc(ctypes.c_size_t(size))
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def _check(kernel: Kernel, library: ctypes.CDLL, cut: int) -> None:
    """Run random instances; results are `cut` bytes short of what the kernel writes."""

    def allocate(name: str, size: int) -> Array:
        return _malloc(size)[cut if name == "y" and size > cut else 0 :]

    @seed(1)
    @settings(
        max_examples=12, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        node, arrays = data.draw(row_instances(kernel))
        results = call(library, kernel, node, arrays, allocate=allocate)
        assert all(agree(results[name], want) for name, want in expected(node, arrays).items())

    check()


def _sanitizer_runtime() -> str:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed; ziglang has no address sanitizer")
    path = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout
    if not Path(path.strip()).is_absolute():
        pytest.skip("gcc has no address sanitizer here")
    return path.strip()


def _run(library: Path, runtime: str, cut: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    command = [sys.executable, "-m", "tests.kernels.test_sanitized", str(library), str(cut)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_rows_are_clean_under_sanitizers(tmp_path: Path) -> None:
    runtime = _sanitizer_runtime()
    library = shared_library(HOST, tmp_path, ("gcc",), SANITIZE)
    clean = _run(library, runtime, cut=0)
    assert clean.returncode == 0, clean.stderr[-3000:]
    assert "heap-buffer-overflow" in _run(library, runtime, cut=4).stderr


if __name__ == "__main__":
    for row in HOST.kernels:
        _check(row, ctypes.CDLL(sys.argv[1]), cut=int(sys.argv[2]))
