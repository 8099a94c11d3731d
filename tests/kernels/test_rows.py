"""Every kernel row computes what its operator defines, and touches only its own memory."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import FILTERED, agree, expected, row_instances
from tilewright.interp.native import call
from tilewright.ir.types import Array
from tilewright.targets.base import Kernel
from tilewright.targets.host.target import HOST

rows = pytest.mark.parametrize("kernel", HOST.kernels, ids=lambda kernel: kernel.symbol)
GUARD = 256


class GuardedMemory:
    """Buffers between guard bytes, `shift` bytes off a cache line."""

    def __init__(self, shift: int) -> None:
        self.shift = shift
        self.areas: list[tuple[str, Array, int, int]] = []

    def __call__(self, name: str, size: int) -> Array:
        area = np.full(size + 2 * GUARD + 64, 0xC3, np.uint8)
        start = GUARD + (self.shift - area.ctypes.data - GUARD) % 64
        self.areas.append((name, area, start, size))
        area[start : start + size] = 0
        return area[start : start + size]

    def damaged(self) -> list[str]:
        return [
            name for name, area, start, size in self.areas
            if (area[:start] != 0xC3).any() or (area[start + size :] != 0xC3).any()
        ]  # fmt: skip


@rows
@settings(max_examples=40, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_row_computes_its_operator(kernel: Kernel, host_library: ctypes.CDLL, data: st.DataObject) -> None:
    node, arrays = data.draw(row_instances(kernel))
    memory = GuardedMemory(shift=data.draw(st.sampled_from([0, 4, 20])))
    results = call(host_library, kernel, node, arrays, allocate=memory)
    for name, want in expected(node, arrays).items():
        assert agree(results[name], want), name
    assert not memory.damaged()


@rows
@settings(max_examples=15, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_packing_is_undone_by_unpacking(kernel: Kernel, data: st.DataObject) -> None:
    _, arrays = data.draw(row_instances(kernel))
    for name, packing in kernel.packing.items():
        if name in arrays:
            packed = packing.pack(arrays[name])
            assert packed.ndim == 1
            assert packed.dtype == arrays[name].dtype
            assert packed.size == packing.elements(arrays[name].shape)
            np.testing.assert_array_equal(packing.unpack(packed, arrays[name].shape), arrays[name])


@rows
@settings(max_examples=25, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_a_region_of_a_packed_whole_is_the_packed_part(kernel: Kernel, data: st.DataObject) -> None:
    _, arrays = data.draw(row_instances(kernel))
    for name, packing in kernel.packing.items():
        if name in arrays:
            whole = arrays[name]
            ends = [sorted(data.draw(st.lists(st.integers(0, d), min_size=2, max_size=2, unique=True)))
                    for d in whole.shape]  # fmt: skip
            box = tuple((low, high) for low, high in ends)
            region = packing.region(box, whole.shape)
            if region is not None:
                first, count = region
                part = packing.pack(whole[tuple(slice(low, high) for low, high in box)])
                np.testing.assert_array_equal(packing.pack(whole)[first : first + count], part)


@pytest.mark.parametrize("kernel", [k for k in HOST.kernels if k.in_place], ids=lambda kernel: kernel.symbol)
@settings(max_examples=10, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_row_may_run_in_place_where_it_says_so(kernel: Kernel, host_library: ctypes.CDLL, data: st.DataObject) -> None:
    node, arrays = data.draw(row_instances(kernel))
    there = ((result, operand) for result, operand in kernel.in_place.items() if operand in arrays)  # some are optional
    for result, operand in there:
        apart = call(host_library, kernel, node, arrays)[result]
        together = call(host_library, kernel, node, arrays, overlay={result: operand})[result]
        np.testing.assert_array_equal(apart, together)
