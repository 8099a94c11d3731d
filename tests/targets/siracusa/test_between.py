"""What is between the products on the chip: every row computes what its operator defines, and costs what it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.instances import node_of, random_operands, row_instances
from tests.targets.siracusa.cases import check
from tilewright.ir.graph import Node
from tilewright.ir.op import Op
from tilewright.ir.types import DTYPES, F32, Array, TensorType
from tilewright.ops import (
    Binary,
    Concat,
    Copy,
    IntegerGELU,
    IntegerHardswish,
    IntegerLayerNorm,
    IntegerRMSNorm,
    IntegerSoftmax,
    LayerNorm,
    LookUp,
    Pad,
    Quantize,
    QuantizedAdd,
    QuantizedMul,
    Reduce,
    Requant,
    RMSNorm,
    ShiftSoftmax,
    Slice,
    Softmax,
    Transpose,
    Unary,
)
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.floats import FLOATS
from tilewright.targets.siracusa.move import MOVE
from tilewright.targets.siracusa.norm import NORM, reciprocal
from tilewright.targets.siracusa.pointwise import POINTWISE

ROWS = (*POINTWISE, *NORM, *MOVE, *FLOATS)
Instance = tuple[Node, dict[str, Array]]


def names(kernel: Kernel) -> str:
    return f"{kernel.op.__name__}-{kernel.symbol}"


def instances(kernel: Kernel, count: int) -> list[Instance]:
    """Random instances that the row runs, always the same ones."""
    found: list[Instance] = []

    @seed(0)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def collect(data: st.DataObject) -> None:
        found.append(data.draw(row_instances(kernel)))

    collect()
    return found


@pytest.mark.parametrize("kernel", ROWS, ids=names)
def test_row_computes_its_operator(kernel: Kernel) -> None:
    """At any alignment of activations, with any of them broadcast."""
    drawn = instances(kernel, 12)
    assert any(kernel.split(node) for node, _ in drawn)
    check([Case(kernel, node, arrays, shift=i % 4) for i, (node, arrays) in enumerate(drawn)])


@pytest.mark.parametrize("kernel", [row for row in ROWS if row.in_place], ids=names)
def test_row_may_run_in_place_where_it_says_so(kernel: Kernel) -> None:
    cases = []
    for node, arrays in instances(kernel, 6):
        types = {name: value.type for name, value in node.operands.items()}
        overlay = {y: x for y, x in kernel.in_place.items() if types[x].size == types[y].size}
        same = all(types[x].dtype.bits == types[y].dtype.bits for y, x in overlay.items())
        if overlay and same:
            cases.append(Case(kernel, node, arrays, overlay=overlay))
    assert cases
    for apart, together in zip(
        check([Case(c.kernel, c.node, c.operands) for c in cases]), _results_of(cases), strict=True
    ):
        np.testing.assert_array_equal(apart.results["y"], together)


def _results_of(cases: list[Case]) -> list[Array]:
    from tilewright.targets.siracusa.bench import measure

    return [outcome.results["y"] for outcome in measure(cases)]


def test_quantisation_rounds_the_quotient() -> None:
    """Reals at and next to ties, of any size, and what is no number."""
    rng = np.random.default_rng(7)
    cases = []
    for dtype in ("i8", "u8", "i16"):
        for scale in (1.0, 0.1, 1 / 255, 3e-39, 1e-12, 7e30, *np.exp(rng.normal(0, 3, 4))):
            kind = DTYPES[dtype]
            size = 1 << (17 if dtype == "i16" else 9)
            ties = (rng.integers(-size, size, 400) + rng.choice([0, 0.5], 400)).astype(np.float32)
            with np.errstate(over="ignore"):
                x = ties * np.float32(scale)
            x = np.concatenate([x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(np.inf)), np.zeros(1)])
            odd = np.asarray([np.nan, np.inf, -np.inf, 3e38, 1e-45], np.float32)
            x = np.concatenate([x, odd]).astype(np.float32)
            arrays = {
                "x": x,
                "scale": np.full(1, scale, np.float32),
                "zero": rng.integers(kind.low, kind.high + 1, 1).astype(kind.numpy),
            }
            node = node_of(
                Quantize(), *(TensorType(a.shape, t) for a, t in zip(arrays.values(), (F32, F32, kind), strict=True))
            )
            cases += [Case(k, node, arrays) for k in FLOATS if k.misfit(node) is None and k.split(node) is not None]
    assert len(cases) == 30
    check(cases)


def test_quotients_by_reciprocal_truncate() -> None:
    """At the ends of the range and around multiples, where a reciprocal would be wrong first."""
    rng = np.random.default_rng(0)
    for divisor in (*range(2, 300), 4095, 4096, 32767, 32768):
        m, shift = reciprocal(divisor)
        assert m < 1 << 32
        near = rng.integers(0, (1 << 31) // divisor, 200) * divisor
        for p in (0, (1 << 31) - 1, *(int(n) + off for n in near for off in (-1, 0, 1))):
            if 0 <= p < 1 << 31:
                assert (p * m >> 32) >> shift == p // divisor


def _kind(shape: tuple[int, ...], dtype: str) -> TensorType:
    return TensorType(shape, DTYPES[dtype])


def _requant(shape: tuple[int, ...], dtype: str) -> tuple[Op, list[TensorType]]:
    return Requant(16), [_kind(shape, dtype), _kind((1,), "i32"), _kind((1,), "i32")]


I32 = DTYPES["i32"]
HEADS, ROW, GATE, VISION = (1, 16, 1, 129), (1, 8, 64), (1, 8, 256), (1, 64, 128)
TYPICAL: list[tuple[Op, list[TensorType]]] = [
    *(_requant(shape, dtype) for shape in (HEADS, ROW, GATE, VISION) for dtype in ("i8", "u8", "i32")),
    (Binary("mul", I32), [_kind(HEADS, "i8"), _kind((), "i32")]),
    *((Binary(f, I32), [_kind(s, "i8"), _kind(s, "i8")]) for s in (ROW, GATE, VISION) for f in ("add", "mul")),
    (QuantizedAdd(1000, 2000, 1 << 15, 16), [_kind(VISION, "i8"), _kind(VISION, "i8")]),
    (QuantizedMul(0, 0, 1000, 1 << 15, 16), [_kind(VISION, "i8"), _kind(VISION, "i8")]),
    (LookUp(), [_kind(GATE, "i8"), _kind((256,), "i8")]),
    (IntegerHardswish(42, 181, 362), [_kind(GATE, "i8")]),
    (IntegerGELU(-40, 1743), [_kind(VISION, "i8")]),
    *((IntegerRMSNorm(16), [_kind((1, rows, 64), "i8"), _kind((64,), "i32")]) for rows in (1, 8, 16)),
    (IntegerLayerNorm(14), [_kind(VISION, "i8"), _kind((128,), "i32"), _kind((128,), "i32")]),
    (IntegerSoftmax(1, 85, 3778, 63), [_kind(HEADS, "i8")]),
    (ShiftSoftmax(256, 0), [_kind((1, 1, 64, 64), "i8")]),
    (Transpose((0, 1, 3, 2)), [_kind((1, 16, 129, 4), "i8")]),
    (Transpose((0, 2, 3, 1)), [_kind((1, 128, 8, 8), "u8")]),
    (Concat(2), [_kind((1, 16, 128, 4), "i8"), _kind((1, 16, 1, 4), "i8")]),
    (Copy(), [_kind((1, 48, 64), "i32")]),
    (Pad((0, 1, 1, 0), (0, 1, 1, 0), 0), [_kind((1, 16, 16, 32), "i8")]),
    (Slice((0, 0, 0, 0), (1, 1, 1, 1), (1, 1, 64, 32)), [_kind((1, 2, 64, 32), "f32")]),
    (Binary("add"), [_kind(VISION, "f32"), _kind(VISION, "f32")]),
    (Unary("relu"), [_kind(VISION, "f32")]),
    (Unary("gelu"), [_kind(GATE, "f32")]),
    (Softmax(-1), [_kind((1, 1, 64, 64), "f32")]),
    (LayerNorm(1e-5), [_kind((1, 64, 32), "f32"), _kind((32,), "f32"), _kind((32,), "f32")]),
    (RMSNorm(1e-6), [_kind((1, 1, 64), "f32"), _kind((64,), "f32")]),
    (Reduce("mean", (1,)), [_kind(VISION, "i8")]),
]


def _typical(op: Op, types: list[TensorType]) -> Case:
    node, rng = node_of(op, *types), np.random.default_rng(0)
    arrays = random_operands(node, rng)
    for name, low, high in (("mul", 1, 4000), ("add", 0, 40000), ("w", 1, 90000)):
        if name in arrays and arrays[name].dtype.kind == "i":
            arrays[name] = rng.integers(low, high, arrays[name].shape).astype(arrays[name].dtype)
    row = min((k for k in ROWS if k.misfit(node) is None), key=lambda k: k.cycles(node))
    return Case(row, node, arrays)


def test_cycles_of_typical_shapes_are_predicted() -> None:
    """Most within a tenth; calls of a few hundred cycles also depend on where code lies in the instruction cache."""
    cases = [_typical(op, types) for op, types in TYPICAL]
    told = []
    for case, outcome in zip(cases, check(cases), strict=True):
        said = case.kernel.cycles(case.node) / outcome.cycles
        if not 0.75 < said < 1.3:
            told.append(f"{case.kernel.symbol} {[v.type for v in case.node.inputs if v]}: {outcome.cycles}, {said:.2f}")
    assert not told, "\n".join(told)
