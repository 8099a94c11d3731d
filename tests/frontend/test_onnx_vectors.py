"""ONNX's operator vectors by the operators' references: agreed or refused, none wrong, none crashed."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.frontend.vectors import Case, cases
from tests.shared import needs_shared
from tilewright.errors import UserError
from tilewright.frontend.onnx import import_model
from tilewright.frontend.onnx_model import parse_model
from tilewright.interp.graph import run
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.targets.registry import find

HOST = find("host", Options())


def outcome(case: Case) -> str:
    """passed or refused; AssertionError with a wrong value, whatever is raised by a crash."""
    try:
        graph = apply(import_model(parse_model(case.model, "model.onnx")), HOST)
    except UserError as error:
        return "refused" if error.rule else f"refused without a rule: {error}"
    for inputs, outputs in case.arrays():
        got = run(graph, {v.name: a for v, a in zip(graph.inputs, inputs, strict=True)})
        for value, want in zip(graph.outputs, outputs, strict=True):
            array = got[value.name]
            assert (array.dtype, array.shape) == (want.dtype, want.shape), value
            if want.dtype.kind == "f":
                tolerance = 2e-3 if want.dtype == np.float16 else 1e-4
                np.testing.assert_allclose(array, want, rtol=tolerance, atol=tolerance)
            else:
                np.testing.assert_array_equal(array, want)
    return "passed"


@needs_shared
def test_sample() -> None:
    names = random.Random(0).sample(sorted(cases()), 250)
    results = [outcome(cases()[name]) for name in names]
    assert results.count("passed") >= 150
    assert set(results) == {"passed", "refused"}


@needs_shared
@pytest.mark.full
def test_all() -> None:
    results = [outcome(case) for case in cases().values()]
    assert len(results) == 1765
    assert results.count("passed") >= 1150
    assert set(results) == {"passed", "refused"}
