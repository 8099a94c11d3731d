"""The chip's kernels for fp32 llamas against the operators' definitions, on the simulated cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import FILTERED, row_instances
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case, measure
from tilewright.targets.siracusa.language_float import LANGUAGE_FLOAT

BATCH = 12  # instances in one program


@pytest.mark.parametrize("cores", [1, 8])
@pytest.mark.parametrize("kernel", LANGUAGE_FLOAT, ids=lambda kernel: kernel.symbol)
@settings(max_examples=3, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_random_instances(kernel: Kernel, cores: int, data: st.DataObject) -> None:
    drawn = [data.draw(row_instances(kernel)) for _ in range(BATCH)]
    for (node, arrays), outcome in zip(drawn, measure([Case(kernel, *d) for d in drawn], cores), strict=True):
        expected = np.asarray(node.op.reference(*(arrays.get(name) for name in type(node.op).operands)))
        np.testing.assert_allclose(outcome.results["y"], expected, rtol=1e-4, atol=1e-4)
