"""Convolutions and pools on the chip: every row that fits an instance computes it exactly."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.targets.siracusa.cases import check, fitting, instance, with_constants
from tilewright.ir.graph import Node
from tilewright.ir.op import Op
from tilewright.ir.types import F32, I8, I16, I32, I64, U8, Array, DType, TensorType
from tilewright.ops import AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, Requantise, ResidualConv2D
from tilewright.ops.epilogue import Clamp
from tilewright.ops.quantize import QuantizedAdd
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case
from tilewright.targets.siracusa.vision import HALVES, HIGH, NARROW, NONE, TOP, VISION, WIDE

Instance = tuple[Node, dict[str, Array]]
Pads = tuple[int, int, int, int]


def geometry(rng: np.random.Generator, most: int = 4) -> tuple[tuple[int, int], dict[str, object], tuple[int, int]]:
    """Kernel, attributes and image; pads on any sides, as tiles of a larger image keep only their own."""
    kernel = int(rng.integers(1, most)), int(rng.integers(1, most))
    dilation = (1, 1) if rng.random() < 0.7 else (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    pad: Pads = tuple(int(rng.integers(0, s)) if rng.random() < 0.5 else 0 for s in (*span, *span))  # type: ignore
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 4))) if rng.random() < 0.5 else (1, 1)
    size = int(rng.integers(span[0], span[0] + 9)), int(rng.integers(span[1], span[1] + 14))
    return kernel, {"stride": stride, "pad": pad, "dilation": dilation}, size


def requantisation(
    rng: np.random.Generator, channels: int, dtype: DType
) -> tuple[Requantise | None, list[TensorType | None]]:
    """An epilogue and the types of b, mul and add."""
    b = TensorType((channels,), I32) if rng.random() < 0.4 else None
    if rng.random() < 0.1:
        return None, [b]
    low, high = (dtype.low, dtype.high) if rng.random() < 0.5 else (dtype.low // 2, 100)
    per = [TensorType((channels if rng.random() < 0.6 else 1,), kind) for kind in (I32, rng.choice([I32, I64]))]
    return Requantise(int(rng.choice([0, 9, 14, 20, 32, 33, 38, 42])), low, high, dtype), [b, *per]


def settled(op: Op, types: list[TensorType | None], rng: np.random.Generator) -> Instance:
    """Parameters as networks have them: small ones with small shifts, addends of whole upper words, or anything."""
    node, arrays = instance(op, types, rng, limit=[None, 200, 3000][rng.integers(3)], constant=False)
    if "add" in arrays and arrays["add"].dtype == np.int64 and rng.random() < 0.5:
        arrays["add"] = rng.integers(-1000, 1000, arrays["add"].shape) << 32
        arrays["mul"] = rng.integers(1 << 28, 1 << 31, arrays["mul"].shape).astype(np.int32)
    return (with_constants(node, arrays) if rng.random() < 0.9 else node), arrays


def convolution(rng: np.random.Generator, *, residual: bool = False) -> Instance:
    kernel, attributes, size = geometry(rng)
    n, ci, co = int(rng.integers(1, 3)), int(rng.choice([1, 2, 3, 4, 8, 12, 17])), int(rng.choice([1, 3, 4, 8, 10, 24]))
    dtype = I8 if residual or rng.random() < 0.6 else rng.choice([U8, I16])
    epilogue, rest = requantisation(rng, co, dtype)
    x = TensorType((n, *size, ci), rng.choice([I8, U8]))
    types = [x, TensorType((co, *kernel, ci), I8), *rest]
    op = Conv2D(**attributes, pad_value=int(rng.integers(0, 9)), epilogue=epilogue)  # type: ignore[arg-type]
    if not residual or epilogue is None:
        return settled(op, types, rng)
    (y,) = op.infer(*types)
    shift = int(rng.choice([8, 8, 14, 35]))
    mul_a, mul_b, add = (int(v) for v in rng.integers(-(1 << min(shift, 30)), 1 << min(shift, 30), 3))
    join = QuantizedAdd(mul_a, mul_b, add, shift, -128, int(rng.choice([127, 90])), I8)
    joined = ResidualConv2D(**attributes, pad_value=op.pad_value, epilogue=epilogue, join=join)  # type: ignore[arg-type]
    return settled(joined, [*types, TensorType(y.shape, rng.choice([I8, U8]))], rng)


def residual_convolution(rng: np.random.Generator) -> Instance:
    return convolution(rng, residual=True)


def depthwise(rng: np.random.Generator) -> Instance:
    kernel, attributes, size = geometry(rng, 4 if rng.random() < 0.5 else 7)
    n, channels = int(rng.integers(1, 3)), int(rng.choice([1, 3, 4, 8, 10, 20]))
    if rng.random() < 0.4:
        kernel, attributes = (3, 3), {**attributes, "dilation": (1, 1), "pad": tuple(rng.integers(0, 2, 4).tolist())}
        size = size[0] + 2, size[1] + 2
    epilogue, rest = requantisation(rng, channels, rng.choice([I8, I8, U8, I16]))
    op = DepthwiseConv2D(**attributes, pad_value=int(rng.integers(0, 9)), epilogue=epilogue)  # type: ignore[arg-type]
    x = TensorType((n, *size, channels), rng.choice([I8, U8]))
    return settled(op, [x, TensorType((*kernel, channels), I8), *rest], rng)


def means(rng: np.random.Generator) -> Instance:
    """Weights that are all one, at times over the whole image; also of channels that fill no word."""
    kernel, size = (
        (int(rng.integers(1, 6)), int(rng.integers(1, 6))),
        (int(rng.integers(5, 9)), int(rng.integers(5, 9))),
    )
    if rng.random() < 0.3:
        kernel = size
    n, channels = int(rng.integers(1, 3)), int(rng.choice([1, 3, 4, 8, 10, 40]))
    epilogue, rest = requantisation(rng, channels, rng.choice([I8, U8, I16]))
    op = DepthwiseConv2D((int(rng.integers(1, 3)), int(rng.integers(1, 4))), epilogue=epilogue)
    x = TensorType((n, *size, channels), rng.choice([I8, U8]))
    node, arrays = settled(op, [x, TensorType((*kernel, channels), I8), *rest], rng)
    arrays["w"] = np.ones_like(arrays["w"])
    return with_constants(node, arrays), arrays


def single_pixels(rng: np.random.Generator) -> Instance:
    """Kernels of one element, and results of few pixels: what the cores share by channel."""
    n, h, width = int(rng.integers(1, 3)), int(rng.integers(1, 6)), int(rng.integers(1, 6))
    ci, co = int(rng.choice([3, 4, 16, 64])), int(rng.choice([10, 12, 40, 64]))
    epilogue, rest = requantisation(rng, co, rng.choice([I8, U8]))
    types = [TensorType((n, h, width, ci), rng.choice([I8, U8])), TensorType((co, 1, 1, ci), I8), *rest]
    return settled(Conv2D(epilogue=epilogue, stride=(1, int(rng.integers(1, 3)))), types, rng)


def pool(rng: np.random.Generator) -> Instance:
    kernel, attributes, size = geometry(rng)
    attributes["pad"] = tuple(min(p, k - 1) for p, k in zip(attributes["pad"], (*kernel, *kernel), strict=True))  # type: ignore
    shape = int(rng.integers(1, 3)), *size, int(rng.choice([1, 3, 4, 8, 13]))
    if rng.random() < 0.3:
        op: Op = AveragePool2D(kernel, count_pad=bool(rng.random() < 0.5), **attributes)  # type: ignore[arg-type]
        return instance(op, [TensorType(shape, F32)], rng)
    return instance(MaxPool2D(kernel, **attributes), [TensorType(shape, rng.choice([F32, I8, U8]))], rng)  # type: ignore[arg-type]


def floats(rng: np.random.Generator) -> Instance:
    kernel, attributes, size = geometry(rng)
    n, ci, co = int(rng.integers(1, 3)), int(rng.choice([1, 3, 8, 40])), int(rng.choice([1, 4, 7, 16]))
    clamp = [None, Clamp(0.0), Clamp(-1.0, 2.0)][rng.integers(3)]
    b = TensorType((co,), F32) if rng.random() < 0.5 else None
    x = TensorType((n, *size, ci), F32)
    which = rng.integers(3)
    if which == 0:
        op: Op = DepthwiseConv2D(**attributes, epilogue=clamp)  # type: ignore[arg-type]
        return instance(op, [x.with_shape((n, *size, co)), TensorType((*kernel, co), F32), b], rng)
    op = Conv2D(**attributes, epilogue=clamp)  # type: ignore[arg-type]
    types = [x, TensorType((co, *kernel, ci), F32), b]
    if which == 1:
        return instance(op, types, rng)
    (y,) = op.infer(*types)
    return instance(ResidualConv2D(**attributes, epilogue=clamp), [*types, None, None, y], rng)  # type: ignore[arg-type]


FAMILIES = (convolution, residual_convolution, depthwise, means, single_pixels, pool, floats)


def random_cases(count: int, seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases: list[Case] = []
    for i in range(count):
        node, arrays = FAMILIES[i % len(FAMILIES)](rng)
        cases += fitting(VISION, node, arrays, shift=int(rng.choice([0, 0, 1, 2, 3])))
    return cases


def row_of(kernel: Kernel) -> tuple[str, str, str]:
    return kernel.symbol, kernel.dtypes["x"], str(sorted(p.name for p in kernel.packing.values()))


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_exact(seed: int) -> None:
    cases = random_cases(140, seed)
    check(cases)
    assert {row_of(k) for k in VISION} == {row_of(c.kernel) for c in cases}


@pytest.mark.parametrize("cores", [1, 3])
def test_any_number_of_cores_does(cores: int) -> None:
    check(random_cases(42, 9), cores)


def test_every_way_to_requantise_is_tried() -> None:
    used = {(c.kernel.symbol, c.kernel.arguments(c.node).get("product")) for c in random_cases(140, 0)}
    ways = {NONE, NARROW, TOP, HIGH, WIDE}
    for symbol, all_ways in (("tw_cluster_conv2d", {*ways, HALVES}), ("tw_cluster_depthwise", ways)):
        assert {product for name, product in used if name == symbol} == all_ways


def test_a_core_with_one_pixel_holds_one_window() -> None:
    cases = [c for c in random_cases(420, 0) if "windows" in c.kernel.arguments(c.node)]
    single = [c for c in cases if c.kernel.arguments(c.node)["windows"] == 1]
    assert 4 <= len(single) < len(cases)
    assert all(math.prod(c.node.operands["y"].type.static_shape[:3]) <= 8 for c in single)


def test_results_may_lie_where_the_residual_was() -> None:
    rng = np.random.default_rng(3)
    cases = []
    for make in (residual_convolution, floats):
        for _ in range(12):
            node, arrays = make(rng)
            if isinstance(node.op, ResidualConv2D):
                found = fitting(VISION, node, arrays)
                cases += [
                    replace(c, overlay=c.kernel.in_place)
                    for c in found
                    if node.operands["r"].type == node.operands["y"].type
                ]
    assert len(cases) >= 8
    check(cases)
