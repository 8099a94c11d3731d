"""Attention of one token by cores that meet in the call: exact, and about as fast as the rows say."""

from __future__ import annotations

import ctypes
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import FILTERED, expected, node_of, random_operands, row_instances
from tests.kernels.conftest import CACHE
from tests.targets.siracusa.cases import check
from tilewright.interp.native import call, shared_library
from tilewright.ir.types import I8, I32, U8, TensorType
from tilewright.ops import QuantisedAttention
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.shared_attention import SHARED_ATTENTION
from tilewright.targets.siracusa.target import SIRACUSA

BATCH = 12  # instances in one program
every_row = pytest.mark.parametrize("kernel", SHARED_ATTENTION, ids=lambda kernel: kernel.symbol)


@every_row
@settings(max_examples=6, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_random_instances_are_exact(kernel: Kernel, data: st.DataObject) -> None:
    drawn = [data.draw(row_instances(kernel)) for _ in range(BATCH)]
    check([Case(kernel, node, arrays, shift=data.draw(st.integers(0, 3))) for node, arrays in drawn])


@pytest.fixture(scope="module")
def plain_library() -> ctypes.CDLL:
    """The kernels' plain C on this machine, of one core, which stops at undefined behaviour."""
    chip = dataclasses.replace(SIRACUSA, kernels=SHARED_ATTENTION)
    return ctypes.CDLL(
        str(shared_library(chip, CACHE, options=("-O1", "-fsanitize=undefined", "-fsanitize-trap=undefined")))
    )


@every_row
@settings(max_examples=20, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_plain_c_is_exact(kernel: Kernel, plain_library: ctypes.CDLL, data: st.DataObject) -> None:
    node, arrays = data.draw(row_instances(kernel))
    np.testing.assert_array_equal(call(plain_library, kernel, node, arrays)["y"], expected(node, arrays)["y"])


def attention(heads: int, kv: int, hd: int, pos: int, capacity: int, rng: np.random.Generator) -> Case:
    cache, head = TensorType((capacity, kv * hd), I8), TensorType((heads,), I32)
    op = QuantisedAttention(heads, kv, 14, 19, pos)
    node = node_of(op, TensorType((1, heads * hd), I8), cache, cache, head, head, TensorType((256,), U8))
    kernel = next(k for k in SHARED_ATTENTION if k.misfit(node) is None)
    return Case(kernel, node, random_operands(node, rng))


SIZES = [(4, 2, 16), (8, 4, 8), (4, 4, 16), (6, 6, 48), (8, 2, 32), (3, 1, 20), (16, 16, 4)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_shapes_of_networks_are_about_as_fast_as_predicted(size: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    cases = [attention(*size, pos, 256, rng) for pos in (0, 1, 10, 60, 127, 255)]
    for case, outcome in zip(cases, check(cases), strict=True):
        told = f"{case.kernel.symbol} at {case.node.op.attributes['pos']}"
        assert outcome.cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.15, abs=30), told
