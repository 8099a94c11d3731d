"""The elementary functions of kernels/tw_functions.h against numpy's, over their range and at its edges."""

from __future__ import annotations

import ctypes
import math
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tilewright.interp.native import FLAGS, ZIG
from tilewright.ir.types import Array
from tilewright.targets.host.target import HOST

Definition = Callable[..., Array]
EDGES = np.array([
    0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-310, -1e-310, 5e-324, 1e308, -1e308, 0.5, -0.5, 709.7, 710, -745,
    -746, 2.5, 3.5, -2.5, 1e-20, 2.0**52 + 1, -(2.0**53), 4503599627370495.5,
])  # fmt: skip
_rng = np.random.default_rng(0)
ANYWHERE = _rng.standard_normal(20000) * 10.0 ** _rng.integers(-8, 3, 20000)
UNIT, ANGLES = np.linspace(-1, 1, 20001), np.linspace(-1e5, 1e5, 20001)
POSITIVE = np.geomspace(1e-320, 1e308, 20001)


def erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf)(x))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


DOUBLE: dict[str, tuple[Definition, Array]] = {
    "exp": (np.exp, np.linspace(-708, 709, 20001)), "log": (np.log, POSITIVE), "sqrt": (np.sqrt, POSITIVE),
    "expm1": (np.expm1, ANYWHERE), "log1p": (np.log1p, np.concatenate([ANYWHERE, -np.geomspace(1e-300, 1, 9999)])),
    "sin": (np.sin, ANGLES), "cos": (np.cos, ANGLES), "tan": (np.tan, ANGLES / 10),
    "asin": (np.arcsin, UNIT), "acos": (np.arccos, UNIT), "atan": (np.arctan, ANYWHERE),
    "sinh": (np.sinh, ANYWHERE), "cosh": (np.cosh, ANYWHERE), "tanh": (np.tanh, ANYWHERE),
    "asinh": (np.arcsinh, ANYWHERE), "acosh": (np.arccosh, np.geomspace(1, 1e300, 9999)), "atanh": (np.arctanh, UNIT),
    "erf": (erf, ANYWHERE), "sigmoid": (sigmoid, ANYWHERE),
    "round": (np.rint, ANYWHERE), "floor": (np.floor, ANYWHERE), "ceil": (np.ceil, ANYWHERE),
}  # fmt: skip
SINGLE: dict[str, tuple[Definition, Array]] = {
    "exp": (np.exp, np.linspace(-87, 89, 200001)), "expm1": (np.expm1, ANYWHERE),
    "tanh": (np.tanh, ANYWHERE), "erf": (erf, ANYWHERE), "sigmoid": (sigmoid, ANYWHERE), "round": (np.rint, ANYWHERE),
    "floor": (np.floor, ANYWHERE),
    "ceil": (np.ceil, ANYWHERE),
}  # fmt: skip
TWO: dict[str, Definition] = {"pow": np.power, "fmod": np.fmod, "mod": np.mod}


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    lines = ['#include "tw_functions.h"']
    for names, kind, ctype in ((DOUBLE, "f64", "double"), (SINGLE, "f32", "float")):
        for name in names:
            head = f"void {name}_{kind}(const {ctype} *x, {ctype} *y, int n)"
            lines += [f"{head};", f"{head} {{ for (int i = 0; i < n; i++) y[i] = tw_{name}_{kind}(x[i]); }}"]
    for name in TWO:
        head = f"void {name}_f64(const double *a, const double *b, double *y, int n)"
        lines += [f"{head};", f"{head} {{ for (int i = 0; i < n; i++) y[i] = tw_{name}_f64(a[i], b[i]); }}"]
    folder: Path = tmp_path_factory.mktemp("functions")
    (folder / "all.c").write_text("\n".join([*lines, ""]))
    command = [*ZIG, *FLAGS, "-O2", "-shared", "-fPIC", f"-I{HOST.kernel_folders[0]}"]
    subprocess.run([*command, str(folder / "all.c"), "-o", str(folder / "all.so")], check=True)
    return ctypes.CDLL(str(folder / "all.so"))


def _run(function: ctypes._CFuncPtr, *operands: Array) -> Array:
    y = np.empty_like(operands[0])
    function(*(ctypes.c_void_p(a.ctypes.data) for a in (*operands, y)), ctypes.c_int(y.size))
    return y


def _far(got: Array, want: Array, relative: float) -> list[int]:
    """Places where the two differ by more; subnormal results may be lost."""
    tiny = np.finfo(want.dtype).tiny
    with np.errstate(invalid="ignore"):
        close = np.abs(got - want) <= relative * np.abs(want) + tiny
    return [int(i) for i in np.flatnonzero(~(close | (got == want) | (np.isnan(got) & np.isnan(want))))]


@pytest.mark.parametrize("name", DOUBLE)
def test_doubles_are_within_a_few_ulp(functions: ctypes.CDLL, name: str) -> None:
    define, x = DOUBLE[name]
    edges = EDGES if name not in ("sin", "cos", "tan") else EDGES[np.abs(EDGES) != 1e308][:-3]
    x = np.concatenate([x, edges])
    with np.errstate(all="ignore"):
        far = _far(_run(functions[f"{name}_f64"], x), define(x), 3e-15)
    assert not far, x[far]


@pytest.mark.parametrize("name", SINGLE)
def test_floats_are_within_a_few_ulp(functions: ctypes.CDLL, name: str) -> None:
    define, x = SINGLE[name]
    with np.errstate(all="ignore"):
        x = np.concatenate([x, EDGES]).astype(np.float32)
        far = _far(_run(functions[f"{name}_f32"], x), define(x.astype(np.float64)).astype(np.float32), 4e-7)
    assert not far, x[far]


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_doubles(functions: ctypes.CDLL, name: str) -> None:
    few = np.concatenate([EDGES, [3, -3, 7.7, -0.1, 2, -2, 64]])
    a, b = (v.reshape(-1).copy() for v in np.meshgrid(few, few))
    x, y = np.abs(ANYWHERE[:10000]), ANYWHERE[10000:]
    a, b = np.concatenate([a, x]), np.concatenate([b, y])
    with np.errstate(all="ignore"):
        far = _far(_run(functions[f"{name}_f64"], a, b), TWO[name](a, b), 1e-13)
    assert not far, (a[far], b[far])
