"""The page on what is supported is up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shared import QUANTLIB, VECTORS, needs_shared
from tilewright.conformance.run import run_onnx, run_quantlib
from tilewright.conformance.support import PAGE, page, stored, summary

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_is_printed_now() -> None:
    assert (DOCS / PAGE).read_text() == page(stored(DOCS)), "run python -m tilewright.conformance.support docs"


@needs_shared
@pytest.mark.full
def test_the_results_are_those_of_now() -> None:
    found = {
        "onnx, host": summary(run_onnx(VECTORS, jobs=2)),
        "quantlib, host": summary(run_quantlib(QUANTLIB, jobs=2)),
    }
    assert stored(DOCS) == found
