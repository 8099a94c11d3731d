"""The chip's kernels for quantised llamas: exact against the operators' definitions, on the simulated cluster."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.instances import FILTERED, node_of, random_operands, row_instances
from tests.instances import expected as all_expected
from tests.kernels.conftest import CACHE
from tilewright.interp.native import call, shared_library
from tilewright.ir.graph import Node
from tilewright.ir.op import Op
from tilewright.ir.types import I8, I16, I32, U8, Array, TensorType, resolve
from tilewright.ops import Append, QuantisedAttention, QuantisedEmbed, QuantisedRMSNorm, QuantisedRoPE, QuantisedSwiGLU
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case, measure
from tilewright.targets.siracusa.language import LANGUAGE, VALUES
from tilewright.targets.siracusa.one_call import ONE_CALL
from tilewright.targets.siracusa.target import KERNELS, SIRACUSA

BATCH = 12  # instances in one program
PLAIN = (*LANGUAGE, *(kernel for kernel in ONE_CALL if kernel.file == "cluster_sums.c"))


def expected(node: Node, operands: dict[str, Array]) -> Array:
    return np.asarray(node.op.reference(*(operands.get(name.rstrip("?")) for name in type(node.op).operands)))


@pytest.mark.parametrize("cores", [1, 8])
@pytest.mark.parametrize("kernel", LANGUAGE, ids=lambda kernel: kernel.symbol)
@settings(max_examples=3, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_random_instances_are_exact(kernel: Kernel, cores: int, data: st.DataObject) -> None:
    drawn = [data.draw(row_instances(kernel)) for _ in range(BATCH)]
    cases = [Case(kernel, node, arrays, shift=data.draw(st.integers(0, 3))) for node, arrays in drawn]
    for case, outcome in zip(cases, measure(cases, cores), strict=True):
        np.testing.assert_array_equal(outcome.results["y"], expected(case.node, dict(case.operands)))


@pytest.fixture(scope="module")
def plain_library() -> ctypes.CDLL:
    """The kernels' plain C on this machine, which stops at undefined behaviour."""
    files = {row.file for row in PLAIN}
    target = dataclasses.replace(SIRACUSA, kernels=tuple(row for row in SIRACUSA.kernels if row.file in files))
    options = ("-O1", "-fsanitize=undefined", "-fsanitize-trap=undefined")
    return ctypes.CDLL(str(shared_library(target, CACHE, options=options)))


@pytest.mark.parametrize("kernel", PLAIN, ids=lambda kernel: kernel.symbol)
@settings(max_examples=20, deadline=None, suppress_health_check=FILTERED)
@given(data=st.data())
def test_plain_c_is_exact(kernel: Kernel, plain_library: ctypes.CDLL, data: st.DataObject) -> None:
    node, arrays = data.draw(row_instances(kernel))
    shapes = {name: value.type.shape for name, value in node.operands.items()}
    split = kernel.split(node)
    assert split is not None
    extents = node.op.domain(*node.types).extents(shapes)
    total = math.prod(resolve(extents[dim], {}) for dim in split.dims)
    share = {**kernel.arguments(node), "first": 0, "last": total}
    results = call(plain_library, dataclasses.replace(kernel, arguments=lambda _: share), node, arrays)
    for name, want in all_expected(node, arrays).items():
        np.testing.assert_array_equal(results[name], want)


def llama(
    d: int, heads: int, kv: int, hidden: int, capacity: int, pos: int, t: int
) -> list[tuple[str, Op, tuple[Any, ...]]]:
    """The operators of a block between its matrix products, and the embedding."""
    hd = d // heads
    cache, rows = ((capacity, kv * hd), I8), ((t, kv * hd), I8)
    return [
        ("embed", QuantisedEmbed(6), (((t,), I32), ((50, d), I8), ((50,), U8))),
        ("embed_rows", QuantisedEmbed(6), (((t,), I32), ((50, d), I8), ((50,), U8))),
        ("rmsnorm", QuantisedRMSNorm(15, 1000), (((t, d), I16), ((d,), I16))),
        ("rmsnorm_row", QuantisedRMSNorm(15, 1000), (((t, d), I16), ((d,), I16))),
        ("rope", QuantisedRoPE(heads, 14, pos), (((t, d), I16), ((capacity, hd), I16))),
        ("rope_sums", QuantisedRoPE(heads, 14, pos), (((t, d), I32), ((capacity, hd), I16))),
        ("rope_sums", QuantisedRoPE(kv, 20, pos), (((t, kv * hd), I32), ((capacity, hd), I16))),
        ("append_rows", Append(pos), (cache, rows)),
        ("append_channels", Append(pos), (cache, rows)),
        ("append_column", Append(pos), (cache, rows)),
        ("attention", QuantisedAttention(heads, kv, 14, 19, pos),
         (((t, d), I8), cache, cache, ((heads,), I32), ((heads,), I32), ((256,), U8))),
        ("swiglu", QuantisedSwiGLU(12), (((t, hidden), I8), ((t, hidden), I8), ((256,), I16))),
        ("swiglu", QuantisedSwiGLU(10), (((t, hidden), I8), ((t, hidden), I8), ((256,), I16))),
        ("rmsnorm", QuantisedRMSNorm(20, 1000), (((t, d), I16), ((d,), I16))),
    ]  # fmt: skip


SHAPES = [
    (64, 4, 2, 256, 256, pos, t) for pos, t in ((0, 1), (1, 1), (2, 1), (7, 1), (128, 1), (255, 1), (0, 16), (100, 7))
] + [(64, 8, 4, 172, 512, pos, t) for pos, t in ((0, 1), (511, 1), (300, 1), (0, 13), (496, 16))]


@pytest.mark.parametrize("cores", [3, 8])
def test_shapes_of_networks_are_exact_and_about_as_fast_as_predicted(cores: int) -> None:
    rng, cases = np.random.default_rng(1), []
    for shape in SHAPES:
        for name, op, types in llama(*shape):
            node = node_of(op, *(TensorType(*kind) for kind in types))
            for kernel in LANGUAGE:
                if kernel.symbol == f"tw_cluster_{name}" and kernel.misfit(node) is None:
                    near = dataclasses.replace(kernel, direct=kernel.direct - {"state"})  # in L1, where caches are
                    operands = random_operands(node, rng)
                    if op == QuantisedRMSNorm(20, 1000):
                        operands["x"] = np.asarray(operands["x"] >> 4)
                    cases.append(Case(near, node, operands))
    for case, outcome in zip(cases, measure(cases, cores), strict=True):
        np.testing.assert_array_equal(outcome.results["y"], expected(case.node, dict(case.operands)))
        if cores == 8:
            predicted = case.kernel.cycles(case.node)
            assert abs(predicted - outcome.cycles) <= 0.2 * outcome.cycles + 30, case.kernel.symbol


@pytest.mark.parametrize("n", [1, 2, 4, 5, 63, 64, 66, 128, 130, 257])
def test_norms_of_extreme_rows_are_exact(n: int) -> None:
    """Sums of squares at and beyond 32 bits, and next to powers of two."""
    single, kernel = (k for k in LANGUAGE if k.op is QuantisedRMSNorm)
    rows = np.array([[-32768], [32767], [0], [1], [-256], [255], [-1], [16384], [181]], np.int16)
    x = np.concatenate([np.repeat(rows, n, 1), np.where(np.arange(n) % 3, -32768, 32767)[None]]).astype(np.int16)
    w = np.random.default_rng(n).integers(-32768, 32768, n).astype(np.int16)
    cases = []
    for eps in (1, 3, (1 << 30) - 1, 1 << 32, (1 << 51) - 1):
        node = node_of(QuantisedRMSNorm(15, eps), TensorType(x.shape, I16), TensorType((n,), I16))
        cases.append(Case(kernel, node, {"x": x, "w": w}))
        for row in x if n % 64 == 0 else ():
            node = node_of(QuantisedRMSNorm(15, eps), TensorType((1, n), I16), TensorType((n,), I16))
            cases.append(Case(single, node, {"x": row[None], "w": w}))
    for case, outcome in zip(cases, measure(cases), strict=True):
        np.testing.assert_array_equal(outcome.results["y"], expected(case.node, dict(case.operands)))


def test_reciprocals_of_all_roots_are_exact() -> None:
    """As the kernel finds them, whose table this makes anew: for all roots, about squares and where entries meet."""
    i = np.arange(64, 256)
    about = np.array([math.isqrt((2 * k + 1) << 23) for k in i])
    inverse = np.round(2.0**30 / about).astype(np.int64)
    words = [f"0x{upper << 16 | lower:08x}" for upper, lower in zip(inverse, about, strict=True)]
    assert ", ".join(words) in " ".join((KERNELS / "cluster_norm.c").read_text().split())
    roots = np.arange(1 << 15, 1 << 16)
    value = np.concatenate([roots**2, (roots + 1) ** 2 - 1, roots**2 + roots, i << 24, (i + 1 << 24) - 1])
    at = (value >> 24) - 64
    off = value - about[at] ** 2 >> 9
    assert -(1 << 15) <= off.min() <= off.max() < 1 << 15
    root = about[at] + (off * inverse[at] + (1 << 21) >> 22)
    root += value - root**2 >> 63
    np.testing.assert_array_equal(root, [math.isqrt(v) for v in value.tolist()])
    off = (1 << 30) - root * inverse[at] >> 8
    assert -(1 << 15) <= off.min() <= off.max() < 1 << 15
    quotient = inverse[at] + 1 + (off * inverse[at] >> 22)
    quotient += (1 << 30) - quotient * root >> 63
    np.testing.assert_array_equal(quotient, (1 << 30) // root)


@pytest.mark.parametrize("n", [4, 7, 64, 66, 192])
def test_norms_of_rows_about_one_element_are_exact(n: int) -> None:
    """Shifts that have loops of their own and their neighbours, on rows of which one element has nearly all."""
    rng, kernel = np.random.default_rng(n), next(k for k in LANGUAGE if k.symbol == "tw_cluster_rmsnorm")
    rows = [rng.normal(0, scale, n).clip(-32768, 32767) for scale in (0.3, 1, 10, 300, 4000, 20000)]
    for most in (-32768, 32767, -1000, 1001, 64, -37, 2, -1):
        for ratio in (0, 60, 80, 90, 100, 128):  # of the greatest to all others, about which the loop is left
            row = rng.choice([-1, 1], n) * (abs(most) / ratio / math.sqrt(n) if ratio else 0)
            row[rng.integers(n)] = most
            rows.append(row.round())
    x, w = np.array(rows).astype(np.int16), rng.integers(-32768, 32768, n).astype(np.int16)
    cases = []
    for shift in range(17, 25):
        for eps in (1, 1 << 20):
            node = node_of(QuantisedRMSNorm(shift, eps), TensorType(x.shape, I16), TensorType((n,), I16))
            cases.append(Case(kernel, node, {"x": x, "w": w}))
    for case, outcome in zip(cases, measure(cases, 3), strict=True):
        np.testing.assert_array_equal(outcome.results["y"], expected(case.node, dict(case.operands)))


@pytest.mark.parametrize("shift", range(11, 18))
def test_prompts_of_heads_of_16_channels_are_exact(shift: int) -> None:
    """Multipliers of every size, zero too; scores as far apart as they can be."""
    rng, kernel = np.random.default_rng(shift), next(k for k in LANGUAGE if k.symbol == "tw_prompt_attention")
    cases = []
    shapes = (2, 1, 9, 0, 2), (4, 2, 5, 30, 2), (8, 1, 3, 7, 0), (10, 1, 2, 4, 9), (2, 3, 16, 61, 5), (2, 2, 36, 0, 190)
    for group, kv, tokens, pos, room in shapes:  # of the scratch's room, how many rows take a step together depends
        heads, capacity = group * kv, pos + tokens + room
        types = (
            ((tokens, 16 * heads), I8), ((capacity, 16 * kv), I8), ((capacity, 16 * kv), I8), ((heads,), I32),
            ((heads,), I32), ((256,), U8),
        )  # fmt: skip
        edge = (255 << shift) // 65535
        for low, high in ((1, 4095), (max(1, edge - 3), edge + 4), (2000, 4095), (0, 3)):
            node = node_of(QuantisedAttention(heads, kv, shift, 22, pos), *(TensorType(*kind) for kind in types))
            operands = random_operands(node, rng)
            extreme = rng.random() < 0.5
            for name in ("q", "k") if extreme else ():
                operands[name] = rng.choice(np.array([-128, 127], np.int8), operands[name].shape)
            operands["mul"] = rng.integers(low, high, heads, endpoint=True).astype(np.int32)
            cases.append(Case(kernel, node, operands))
    for case, outcome in zip(cases, measure(cases, 3), strict=True):
        np.testing.assert_array_equal(outcome.results["y"], expected(case.node, dict(case.operands)))


@pytest.mark.parametrize("shift", range(10, 18))
def test_swiglu_of_every_pair_is_exact(shift: int) -> None:
    rng, kernel = np.random.default_rng(shift), next(k for k in LANGUAGE if k.op is QuantisedSwiGLU)
    a, b = (part.reshape(256, 256).astype(np.int8) for part in np.divmod(np.arange(1 << 16), 256) - np.int64(128))
    node = node_of(QuantisedSwiGLU(shift), TensorType(a.shape, I8), TensorType(b.shape, I8), TensorType((256,), I16))
    operands = {"a": a, "b": b, "table": rng.integers(-32768, 32768, 256).astype(np.int16)}
    (outcome,) = measure([Case(kernel, node, operands)])
    np.testing.assert_array_equal(outcome.results["y"], expected(node, operands))


@pytest.mark.parametrize("cores", [3, 8])
def test_sums_of_any_size_turn_exactly(cores: int) -> None:
    """The shift that has a loop of its own and its neighbour; heads that it is for, and others."""
    rng, kernel, cases = (
        np.random.default_rng(cores),
        next(k for k in LANGUAGE if k.symbol == "tw_cluster_rope_sums"),
        [],
    )
    for shift in (19, 20):
        for t, heads, hd in ((2, 1, 4), (3, 5, 4), (9, 4, 16), (5, 3, 8), (4, 2, 6), (7, 1, 20), (6, 7, 2)):
            node = node_of(
                QuantisedRoPE(heads, shift, 1), TensorType((t, heads * hd), I32), TensorType((t + 2, hd), I16)
            )
            operands = random_operands(node, rng)
            operands["x"] = rng.choice(
                [-(1 << 31), -32769, -32768, -300, 0, 1, 32767, 32768, (1 << 31) - 1], (t, heads * hd)
            )
            operands["table"][::2] = rng.choice([-(1 << 14), 0, 1 << 14], operands["table"][::2].shape)
            cases.append(Case(kernel, node, operands | {"x": operands["x"].astype(np.int32)}))
    for case, outcome in zip(cases, measure(cases, cores), strict=True):
        np.testing.assert_array_equal(outcome.results["y"], expected(case.node, dict(case.operands)))


def test_norms_of_every_magnitude_are_exact() -> None:
    """One element alone: its square runs through the roots."""
    kernel = next(k for k in LANGUAGE if k.symbol == "tw_cluster_rmsnorm")
    x = np.concatenate([np.arange(-32768, 32768, 7), np.arange(1, 64) ** 2]).astype(np.int16)[:, None]
    node = node_of(QuantisedRMSNorm(9, 1), TensorType(x.shape, I16), TensorType((1,), I16))
    operands = {"x": x, "w": np.array([32767], np.int16)}
    (outcome,) = measure([Case(kernel, node, operands)])
    np.testing.assert_array_equal(outcome.results["y"], expected(node, operands))


def test_what_is_far_away_takes_the_last_entry() -> None:
    """Distances of any size; no entry is like the last."""
    rng, cases = np.random.default_rng(4), []
    kernel = next(k for k in LANGUAGE if k.op is QuantisedAttention)
    types = [*(TensorType(shape, I8) for shape in ((1, 64), (256, 32), (256, 32))), TensorType((4,), I32)]
    for mul in (1, 20, 300, 4000):
        for pos in (0, 5, 200):
            node = node_of(QuantisedAttention(4, 2, 14, 19, pos), *types, types[-1], TensorType((256,), U8))
            arrays = random_operands(node, rng)
            arrays |= {"mul": np.full(4, mul, np.int32), "table": np.arange(255, -1, -1).astype(np.uint8)}
            arrays["table"][-1] = 9
            cases.append(Case(kernel, node, arrays))
    for case, outcome in zip(cases, measure(cases), strict=True):
        np.testing.assert_array_equal(outcome.results["y"], expected(case.node, dict(case.operands)))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(0, 999))
def test_packing_of_values_is_undone_exactly(capacity: int, channels: int, seed: int) -> None:
    state = np.random.default_rng(seed).integers(-128, 128, (capacity, channels)).astype(np.int8)
    packed = VALUES.pack(state)
    assert packed.ndim == 1
    assert VALUES.elements(state.shape) == packed.size
    np.testing.assert_array_equal(VALUES.unpack(packed, state.shape), state)
