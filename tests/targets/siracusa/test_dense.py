"""Matrix products on the chip: every row that fits an instance computes it exactly, and about as fast as it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.instances import node_of, random_operands
from tests.targets.siracusa.cases import check, fitting, instance, with_constants
from tilewright.ir.graph import Node
from tilewright.ir.op import Op
from tilewright.ir.types import F32, I8, I16, I32, I64, U8, Array, TensorType
from tilewright.ops import Linear, LinearAdd, MatMul, Requantise
from tilewright.ops.epilogue import Clamp
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.dense import DENSE
from tilewright.targets.siracusa.product import PRODUCT

Instance = tuple[Op, list[TensorType | None]]
ROWS = (*DENSE, *PRODUCT)
COLS = (1, 3, 4, 7, 27, 32, 61, 64, 65, 68, 96, 128, 130)
LIMITS = (None, None, 200, 3000, 100_000)


def linear(rng: np.random.Generator) -> Instance:
    """Any epilogue, any form of its parameters."""
    tokens, rows, cols = int(rng.choice([1, 1, 2, 3, 8, 11])), int(rng.integers(1, 90)), int(rng.choice(COLS))
    x, w = TensorType((tokens, cols), rng.choice([I8, U8])), TensorType((rows, cols), I8)
    if rng.random() < 0.15:
        return Linear(), [x, w, TensorType((rows,), I32) if rng.random() < 0.5 else None]
    dtype = rng.choice([I8, I8, U8, I16, I32])
    low, high = (dtype.low, dtype.high) if rng.random() < 0.5 else (dtype.low // 2, 100)
    op = Linear(Requantise(int(rng.choice([0, 6, 12, 16, 20, 31, 32, 37, 45])), low, high, dtype))
    b = TensorType((rows,), I32) if rng.random() < 0.1 else None
    mul = TensorType((rows if rng.random() < 0.6 else 1,), rng.choice([I32, U8]))
    return op, [x, w, b, mul, TensorType((rows if rng.random() < 0.5 else 1,), rng.choice([I32, I32, I64]))]


def streamed(rng: np.random.Generator) -> Instance:
    """As quantised language models have them: 64 inputs, a multiplier of 8 bits per row or sums; or eights of rows."""
    rows, dtype = int(rng.integers(1, 150)), rng.choice([I8, I16, I32])
    if rng.random() < 0.3:
        cols = int(rng.choice([64, 4 * int(rng.integers(1, 70))]))
        return Linear(), [TensorType((1, cols), I8), TensorType((rows, cols), I8)]
    op = Linear(Requantise(int(rng.integers(0, 20)), dtype.low, dtype.high, dtype))
    kinds = ((1, 64), I8), ((rows, 64), I8), None, ((rows,), U8), ((1,), I32)
    if rng.random() < 0.5:
        rows, cols = 8 * int(rng.integers(1, 18)), int(rng.choice([64, 64, 4 * int(rng.integers(1, 70))]))
        tokens = int(rng.choice([1, 1, 4, 8, 20, 44]))
        op = Linear(Requantise(int(rng.integers(0, 20)), I8.low, I8.high, I8))
        kinds = ((tokens, cols), I8), ((rows, cols), I8), None, ((int(rng.choice([1, rows])),), I32), ((1,), I32)
    return op, [kind and TensorType(*kind) for kind in kinds]


def multiples(rng: np.random.Generator, rows: int) -> tuple[Node, dict[str, Array]]:
    """Logits: sums of 64 products times 8 bits, nothing added."""
    types = TensorType((1, 64), I8), TensorType((rows, 64), I8), None, TensorType((rows,), U8), TensorType((1,), I32)
    node = node_of(Linear(Requantise(0, I32.low, I32.high, I32)), *types)
    arrays = random_operands(node, rng) | {"add": np.zeros(1, np.int32)}
    return with_constants(node, arrays), arrays


def joining(rng: np.random.Generator) -> Instance:
    tokens, rows, cols = (
        int(rng.choice([1, 1, 2, 5, 8])),
        int(rng.integers(1, 90)),
        int(rng.choice(COLS)),
    )
    op = LinearAdd(int(rng.choice([0, 9, 14, 31, 40])))
    if rng.random() < 0.4:
        op, tokens = LinearAdd(int(rng.integers(4, 16))), 1
        rows, cols = 8 * (1 + rows % 12), (64, 64, 68, 256)[rows % 4]
    kinds = ((tokens, cols), I8), ((rows, cols), I8), ((tokens, rows), I16), ((rows,), U8)
    return op, [TensorType(*kind) for kind in kinds]


def multiplied(rng: np.random.Generator) -> Instance:
    """Products of activations; b straight or transposed, one of them the same for the whole batch or not."""
    batch, m, k, n = int(rng.choice([1, 2, 3, 8, 9])), *(int(rng.integers(1, high)) for high in (12, 40, 30))
    k = int(rng.choice([k, 4 * k]))
    flip, dtype = bool(rng.random() < 0.5), rng.choice([I8, I8, U8, I16])
    lead, other = (batch,), (batch,) if rng.random() < 0.8 else ()
    a, b = TensorType((*lead, m, k), rng.choice([I8, I8, U8])), TensorType((*other, *((n, k) if flip else (k, n))), I8)
    if rng.random() < 0.2:
        return MatMul(flip), [a, b]
    op = MatMul(flip, Requantise(int(rng.choice([8, 14, 20, 34])), dtype.low // 2, dtype.high, dtype))
    return op, [a, b, TensorType((1,), I32), TensorType((1,), rng.choice([I32, I64]))]


def floating(rng: np.random.Generator) -> Instance:
    tokens, rows, cols = int(rng.choice([1, 2, 5, 8, 17])), int(rng.integers(1, 50)), int(rng.integers(1, 80))
    if rng.random() < 0.5:
        bias = TensorType((rows,), F32) if rng.random() < 0.5 else None
        clamp = Clamp(0.0, 6.0) if rng.random() < 0.5 else None
        return Linear(clamp), [TensorType((tokens, cols), F32), TensorType((rows, cols), F32), bias]
    flip, batch = bool(rng.random() < 0.5), int(rng.choice([1, 2, 9]))
    b = TensorType((batch, rows, cols) if flip else (batch, cols, rows), F32)
    return MatMul(flip), [TensorType((batch, tokens, cols), F32), b]


def random_cases(count: int, seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(count):
        make = (linear, linear, streamed, joining, multiplied, multiplied, floating)[i % 7]
        op, types = make(rng)
        limit = LIMITS[rng.integers(len(LIMITS))] or (400 if make is streamed else None)
        node, arrays = instance(op, types, rng, limit=limit, constant=rng.random() < 0.9)
        if i % 21 == 2:
            node, arrays = multiples(rng, int(rng.integers(1, 150)))
        found = fitting(ROWS, node, arrays, shift=int(rng.choice([0, 0, 1, 2, 3])))
        cases += [replace(c, overlay=c.kernel.in_place) if rng.random() < 0.5 else c for c in found]
    return cases


def _x(kernel: Kernel) -> str:
    return kernel.dtypes.get("x") or kernel.dtypes["a"]


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_exact(seed: int) -> None:
    cases = random_cases(120, seed)
    check(cases)


def test_every_row_is_tried() -> None:
    tried = {(c.kernel.symbol, _x(c.kernel)) for seed in range(3) for c in random_cases(90, seed)}
    assert tried == {(k.symbol, _x(k)) for k in ROWS}


@pytest.mark.parametrize("cores", [1, 3])
def test_any_number_of_cores_does(cores: int) -> None:
    check(random_cases(24, 9), cores)


def test_every_way_to_requantise_is_tried() -> None:
    forms = [case.kernel.arguments(case.node).get("form") for case in random_cases(200, 0)]
    assert {form >> 8 & 3 for form in forms if isinstance(form, int)} == {0, 1, 2, 3}
    assert {form >> 10 for form in forms if isinstance(form, int)} == {0, 1, 2, 3}


def called(tokens: int, rows: int, cols: int, kind: str) -> Case:
    """A product as networks have it."""
    rng = np.random.default_rng(1)
    x, w = TensorType((tokens, cols), I8), TensorType((rows, cols), I8)
    types: list[TensorType | None] = [x, w, None, TensorType((rows,), I32), TensorType((rows,), I32)]
    op: Op = Linear(Requantise(16, -128, 127, I8))
    if kind == "language":
        types[3:] = [TensorType((rows,), U8), TensorType((1,), I32)]
    elif kind == "bytes":
        types[3:] = [TensorType((1,) if rows == 64 else (rows,), I32), TensorType((1,), I32)]
    elif kind == "joining":
        op, types = LinearAdd(12), [x, w, TensorType((tokens, rows), I16), TensorType((rows,), U8)]
    elif kind == "sums":
        op, types = Linear(), [x, w]
    elif kind == "wide":
        op = Linear(Requantise(38, -128, 127, I8))
    elif kind == "multiples":
        node, arrays = multiples(rng, rows)
        return fitting(DENSE, node, arrays)[0]
    node, arrays = instance(op, types, rng, limit=None if kind == "wide" else 400)
    return fitting(DENSE, node, arrays)[0]


@pytest.mark.parametrize(
    ("tokens", "rows", "cols", "kind", "rate"),
    [
        (1, 64, 64, "language", 7.2), (1, 256, 64, "language", 10.5), (1, 512, 64, "language", 11.5),
        (1, 64, 64, "bytes", 7.2), (1, 192, 64, "bytes", 9.8), (1, 512, 64, "bytes", 11.5), (1, 64, 256, "bytes", 11),
        (1, 64, 64, "joining", 7.5), (1, 64, 256, "joining", 8.5), (1, 128, 128, "channels", 8),
        (64, 64, 64, "language", 14), (64, 64, 256, "channels", 18.5), (64, 64, 256, "wide", 16),
        (100, 64, 64, "channels", 15), (256, 16, 144, "channels", 17), (256, 32, 288, "channels", 19),
        (64, 64, 576, "channels", 19.5), (16, 64, 256, "joining", 16), (64, 64, 256, "sums", 19),
        (1, 24, 256, "sums", 9.5), (1, 32, 172, "sums", 9), (1, 200, 64, "sums", 11.5), (1, 272, 64, "multiples", 11),
        (5, 64, 64, "language", 5.5),
        (8, 64, 64, "bytes", 12), (8, 256, 64, "bytes", 13.5), (8, 64, 256, "bytes", 17), (64, 64, 576, "bytes", 19.5),
    ],
)  # fmt: skip
def test_cycles_are_as_predicted(tokens: int, rows: int, cols: int, kind: str, rate: float) -> None:
    """`rate`: products per cycle that eight cores reach."""
    case = called(tokens, rows, cols, kind)
    cycles = sorted(outcome.cycles for outcome in check([case] * 9))[4]  # single ones vary with what is in the caches
    assert cycles == pytest.approx(case.kernel.cycles(case.node), rel=0.1)
    assert tokens * rows * cols / cycles > rate
