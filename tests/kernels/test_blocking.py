"""Sizes beyond one block: several panels, groups and runs, with what is left over of each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import agree, expected, node_of, random_operands
from tilewright.interp.native import call
from tilewright.ir.op import Op
from tilewright.ir.types import F32, I8, I32, I64, DType, TensorType
from tilewright.ops import Append, Attention, Conv2D, DepthwiseConv2D, Linear, MatMul
from tilewright.ops.epilogue import Clamp, Requantise
from tilewright.targets.host.target import HOST

Instance = tuple[Op, tuple[TensorType | None, ...]]
Draw = Callable[[st.SearchStrategy[int]], int]


def _few(draw: Draw, *bounds: tuple[int, int]) -> list[int]:
    return [draw(st.integers(low, high)) for low, high in bounds]


def _finish(channels: int, dtype: DType) -> tuple[Clamp | Requantise, tuple[TensorType | None, ...]]:
    if dtype is F32:
        return Clamp(-3.0, 20.0), (TensorType((channels,), F32),)
    scales = (TensorType((channels,), I32), TensorType((channels,), I64))
    return Requantise(18, -128, 127, I8), (TensorType((channels,), I32), *scales)


def linear(draw: Draw, dtype: DType) -> Instance:
    tokens, rows, cols = _few(draw, (1, 20), (1, 150), (1, 200))
    epilogue, rest = _finish(rows, dtype)
    return Linear(epilogue), (TensorType((tokens, cols), dtype), TensorType((rows, cols), dtype), *rest)


def convolution(draw: Draw, dtype: DType) -> Instance:
    ci, co, size, kernel, stride, dilation, pad = _few(draw, (1, 140), (1, 50), (5, 11), (1, 3), (1, 2), (1, 2), (0, 2))
    epilogue, rest = _finish(co, dtype)
    op = Conv2D((stride, 1), (pad, 1, 0, pad), (1, dilation), 0 if dtype is F32 else -3, epilogue)
    return op, (TensorType((1, size, size + 4, ci), dtype), TensorType((co, kernel, kernel, ci), dtype), *rest)


def depthwise(draw: Draw, dtype: DType) -> Instance:
    c, size, kernel, stride = _few(draw, (1, 50), (4, 9), (1, 3), (1, 2))
    epilogue, rest = _finish(c, dtype)
    op = DepthwiseConv2D((1, stride), (1, 0, 1, 2), (1, 1), 0 if dtype is F32 else -3, epilogue)
    return op, (TensorType((2, size, size, c), dtype), TensorType((kernel, kernel, c), dtype), *rest)


def product(draw: Draw, dtype: DType) -> Instance:
    m, k, n, flip = _few(draw, (1, 20), (1, 70), (1, 150), (0, 1))
    b = TensorType((3, n, k) if flip else (3, k, n), dtype)
    return MatMul(bool(flip)), (TensorType((3, m, k), dtype), b)


def attention(draw: Draw, dtype: DType) -> Instance:
    t, group, hd, pos = _few(draw, (1, 5), (1, 2), (1, 20), (0, 90))
    cache = TensorType((pos + t + 9, 2 * hd), dtype)
    return Attention(2 * group, 2, 0.2, pos), (TensorType((t, 2 * group * hd), dtype), cache, cache)


def append(draw: Draw, dtype: DType) -> Instance:
    t, c, pos = _few(draw, (1, 5), (1, 70), (0, 90))
    return Append(pos), (TensorType((pos + t + 9, c), dtype), TensorType((t, c), dtype))


CASES = [
    *((family, F32) for family in (linear, convolution, depthwise, product, attention, append)),
    *((family, I8) for family in (linear, convolution, depthwise, product)),
]


@pytest.mark.parametrize(("family", "dtype"), CASES, ids=lambda case: getattr(case, "__name__", repr(case)))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_larger_than_a_block(
    family: Callable[[Draw, DType], Instance], dtype: DType, host_library: ctypes.CDLL, data: st.DataObject
) -> None:
    op, types = family(data.draw, dtype)
    node = node_of(op, *types)
    arrays = random_operands(node, np.random.default_rng(data.draw(st.integers(0, 999))))
    kernel = next(k for k in HOST.kernels if k.misfit(node) is None)
    results = call(host_library, kernel, node, arrays)
    assert all(agree(results[name], want) for name, want in expected(node, arrays).items())
