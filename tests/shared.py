"""The data that tests read where it is present: a folder beside the checkout, or TILEWRIGHT_SHARED."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("TILEWRIGHT_SHARED", Path(__file__).parents[2] / "shared"))
QUANTLIB = FOLDER / "data" / "quantlib"
NETWORKS = FOLDER / "data" / "onnx"
VECTORS = NETWORKS / "onnx_backend_tests_1.22.0.tar.xz"

needs_shared = pytest.mark.skipif(not QUANTLIB.is_dir(), reason="the shared test data is not here (TILEWRIGHT_SHARED)")


def quantlib_cases() -> list[Path]:
    """Folders of QuantLib networks, none where the data is absent."""
    return sorted(path.parent for path in QUANTLIB.glob("**/network.onnx"))
