"""The same bits from every compiler, every vector width, and whether tokens come together or one by one."""

from __future__ import annotations

import ctypes
import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import FILTERED, node_of, random_operands, row_instances
from tests.kernels.conftest import CACHE
from tilewright.interp.native import FLAGS, ZIG, call, shared_library
from tilewright.ir.graph import Node
from tilewright.ir.op import Op
from tilewright.ir.types import F32, Array, TensorType
from tilewright.ops import Attention, Linear
from tilewright.targets.base import Kernel
from tilewright.targets.host.target import HOST

VARIANTS = {
    "zig, single floats": (ZIG, ("-O1", "-DTW_PLAIN")),
    "zig, baseline": (ZIG, ("-O2",)),
    "gcc": (("gcc",), ("-O2", "-march=native")),
}


@pytest.fixture(scope="session", params=VARIANTS)
def other_library(request: pytest.FixtureRequest) -> ctypes.CDLL:
    compiler, options = VARIANTS[request.param]
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed")
    return ctypes.CDLL(str(shared_library(HOST, CACHE, compiler, options)))


@pytest.mark.parametrize("kernel", HOST.kernels, ids=lambda kernel: kernel.symbol)
@settings(max_examples=8, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_every_build_gives_the_same_bits(
    kernel: Kernel, host_library: ctypes.CDLL, other_library: ctypes.CDLL, data: st.DataObject
) -> None:
    node, arrays = data.draw(row_instances(kernel))
    ours, theirs = call(host_library, kernel, node, arrays), call(other_library, kernel, node, arrays)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)


def _node(op: Op, shapes: dict[str, tuple[int, ...]]) -> Node:
    return node_of(op, *(TensorType(shape, F32) for shape in shapes.values()))


def _run(library: ctypes.CDLL, op: Op, arrays: dict[str, Array]) -> Array:
    node = _node(op, {name: array.shape for name, array in arrays.items()})
    kernel = min((k for k in HOST.kernels if k.misfit(node) is None), key=lambda k: k.cycles(node))
    return call(library, kernel, node, arrays)["y"]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 11), st.integers(1, 90), st.integers(1, 50), st.integers(0, 999))
def test_linear_of_many_tokens_is_linear_of_each(
    host_library: ctypes.CDLL, tokens: int, rows: int, cols: int, seed: int
) -> None:
    shapes = {"x": (tokens, cols), "w": (rows, cols), "b": (rows,)}
    arrays = random_operands(_node(Linear(), shapes), np.random.default_rng(seed))
    together = _run(host_library, Linear(), arrays)
    for t in range(tokens):
        one = _run(host_library, Linear(), arrays | {"x": arrays["x"][t : t + 1]})
        np.testing.assert_array_equal(together[t : t + 1], one)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 70), st.integers(1, 3), st.integers(1, 9), st.integers(0, 999))
def test_attention_of_many_tokens_is_attention_of_each(
    host_library: ctypes.CDLL, tokens: int, pos: int, group: int, half: int, seed: int
) -> None:
    op, cache = Attention(2 * group, 2, 0.3, pos), (pos + tokens + 5, 4 * half)
    shapes = {"q": (tokens, 4 * group * half), "k": cache, "v": cache}
    arrays = random_operands(_node(op, shapes), np.random.default_rng(seed))
    together = _run(host_library, op, arrays)
    for t in range(tokens):
        one = _run(host_library, dataclasses.replace(op, pos=pos + t), arrays | {"q": arrays["q"][t : t + 1]})
        np.testing.assert_array_equal(together[t : t + 1], one)


PROBE = """
#include "tw_math.h"
void probe_exp(const float *x, float *y, int n);
void probe_rsqrt(const float *x, float *y, int n);
void probe_exp(const float *x, float *y, int n) { for (int i = 0; i < n; i++) y[i] = tw_expf(x[i]); }
void probe_rsqrt(const float *x, float *y, int n) { for (int i = 0; i < n; i++) y[i] = tw_rsqrtf(x[i]); }
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder: Path = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text(PROBE)
    command = [*ZIG, *FLAGS, "-O2", "-shared", "-fPIC", f"-I{HOST.kernel_folders[0]}"]
    subprocess.run([*command, str(folder / "probe.c"), "-o", str(folder / "probe.so")], check=True)
    return ctypes.CDLL(str(folder / "probe.so"))


def _ulps(function: ctypes._CFuncPtr, x: Array, exact: Array) -> float:
    y = np.empty_like(x)
    function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int(x.size))
    return float((np.abs(y - exact) / np.spacing(exact.astype(np.float32))).max())


def test_exponential_is_within_two_ulp(probe: ctypes.CDLL) -> None:
    x = np.linspace(-87, 88, 2_000_003, dtype=np.float32)
    assert _ulps(probe.probe_exp, x, np.exp(x.astype(np.float64))) < 2
    ends = np.array([-np.inf, -1e30, -87.5, 0, 89, 1e30, np.inf], np.float32)
    top = np.exp(np.float64(88))
    y = np.empty_like(ends)
    probe.probe_exp(ctypes.c_void_p(ends.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_int(ends.size))
    np.testing.assert_allclose(y, [0, 0, 0, 1, top, top, top], rtol=1e-6)


def test_reciprocal_root_is_within_two_ulp(probe: ctypes.CDLL) -> None:
    x = np.geomspace(1.2e-38, 3e38, 2_000_003).astype(np.float32)
    assert _ulps(probe.probe_rsqrt, x, 1 / np.sqrt(x.astype(np.float64))) < 2
