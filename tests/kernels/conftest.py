from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import pytest

from tilewright.interp.native import shared_library
from tilewright.targets.host.target import HOST

CACHE = Path(tempfile.gettempdir()) / "tilewright-test-kernels"


@pytest.fixture(scope="session")
def host_library() -> ctypes.CDLL:
    """The host's kernels, compiled with zig for this machine; cached by content."""
    return ctypes.CDLL(str(shared_library(HOST, CACHE, options=("-O3", "-march=native"))))
