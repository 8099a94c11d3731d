"""What kernels can be passed besides buffers and scalars: tables of numbers, and the addresses of many operands."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tilewright.cgen.layout import expression
from tilewright.cgen.printer import print_programs
from tilewright.cgen.prototypes import prototypes
from tilewright.interp.native import FLAGS, ZIG, call
from tilewright.ir.graph import Node
from tilewright.ir.program import Buffer, Call, Phase, Program, Ref
from tilewright.ir.types import F32, Kind, TensorType
from tilewright.ops import Concat
from tilewright.targets.base import Kernel
from tilewright.targets.host.target import HOST

from ..instances import node_of

# Interleaves its operands: y[i * count + k] = factor * x[k][order[i]].
SOURCE = """
#include "tw_kernels.h"
void interleave(const float *const *x, float *y, const int32_t *order, int count, int n, double factor)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < count; k++)
            y[i * count + k] = (float)factor * x[k][order[i]];
}
"""
# The same of two operands, by a struct but for the count.
BY_STRUCT = """
void interleave_two(const struct interleave_two *given, int count)
{
    const float *const x[] = {given->x0, given->x1};
    interleave(x, given->y, given->order, count, given->n, given->factor);
}
"""
ORDER = (2, 0, 1)
ROW = Kernel(
    Concat, "interleave.c", "interleave",
    "const float *const *x, float *y, const int32_t *order, int count, int n, double factor", {"x": "f32"},
    lambda node: {"order": ORDER, "count": len(node.inputs), "n": 3, "factor": 0.1},
)  # fmt: skip


TWO = replace(
    ROW, symbol="interleave_two", by_struct=True, late=frozenset({"count"}),
    signature="const float *restrict x0, const float *x1, float *y, const int32_t *order, int count, int n,"
    " double factor",
)  # fmt: skip


def _node(count: int) -> Node:
    return node_of(Concat(0), *[TensorType((3,), F32)] * count)


def _built(folder: Path, extra: str = "") -> ctypes.CDLL:
    (folder / "tw_kernels.h").write_text(prototypes([ROW, TWO]))
    (folder / "all.c").write_text(SOURCE + BY_STRUCT + extra)
    command = [*ZIG, *FLAGS, "-shared", "-fPIC", f"-I{folder}", str(folder / "all.c"), "-o", str(folder / "all.so")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "all.so"))


def _wanted(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return (np.stack(arrays)[:, list(ORDER)].T * np.float32(0.1)).reshape(-1)


def test_a_kernel_called_from_python_gets_table_and_addresses(tmp_path: Path) -> None:
    arrays = {f"x{k}": np.arange(3, dtype=np.float32) + 10 * k for k in range(4)}
    result = call(_built(tmp_path), ROW, _node(4), arrays)["y"]
    np.testing.assert_array_equal(result, _wanted(list(arrays.values())))


def test_a_kernel_called_from_python_gets_a_struct(tmp_path: Path) -> None:
    arrays = {f"x{k}": np.arange(3, dtype=np.float32) + 10 * k for k in range(2)}
    result = call(_built(tmp_path), TWO, _node(2), arrays)["y"]
    np.testing.assert_array_equal(result, _wanted(list(arrays.values())))


@pytest.mark.parametrize(("row", "count"), [(ROW, 3), (TWO, 2)])
def test_printed_c_passes_table_and_addresses(tmp_path: Path, row: Kernel, count: int) -> None:
    node = _node(count)
    inputs = tuple(Buffer(f"in{k}", Kind.INPUT, "caller", None, 3, F32) for k in range(count))
    y = Buffer("y", Kind.OUTPUT, "caller", None, 3 * count, F32)
    operands = (*((f"x{k}", Ref(b)) for k, b in enumerate(inputs)), ("y", Ref(y)))
    one = Call(row, node, operands, tuple(row.arguments(node).items()))
    source = print_programs([Program("run", (Phase((one, one)),), inputs, (y,), (), ())], "net", {"ram": 0}, HOST)
    assert source.tables.count("static const int32_t") == 1, "equal tables are one"
    (prototype, body), *_ = source.functions
    library = _built(tmp_path, f"{source.tables}\n{prototype};\n{prototype}\n{body}\n")
    arrays = [np.arange(3, dtype=np.float32) + 10 * k for k in range(count)]
    result = np.zeros(3 * count, np.float32)
    library.net_run(*(ctypes.c_void_p(a.ctypes.data) for a in [*arrays, result]))
    np.testing.assert_array_equal(result, _wanted(arrays))


@pytest.mark.parametrize("value", [0, -1, 2**31 - 1, -(2**31), -(2**31) - 5, 2**63 - 1, -(2**63)])
def test_integers_of_any_size_are_printed_exactly(value: int) -> None:
    assert eval(expression(value)) == value  # C and Python agree on these


def test_doubles_keep_their_digits() -> None:
    assert expression(1 / 3, "double") == repr(1 / 3)
    assert expression(0.1, "float") == "0.1f"
