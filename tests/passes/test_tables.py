"""Chains of functions of 8 bits become tables, sums and products take them along; nothing changes in any bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.interp.graph import run
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.types import I8, I16, I32, U8, DType, TensorType, Value, const
from tilewright.ops import Binary, Cast, IntegerGELU, IntegerHardswish, LookUp, Requant, TableBinary
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.targets.registry import find

HOST = find("host", Options())
NARROW = {I8: (-128, 127), U8: (0, 255)}


def number(b: Builder, value: int) -> Value:
    return const(b.unique("c"), np.asarray([value], np.int32))


def requant(b: Builder, x: Value, mul: int, shift: int, dtype: DType = I8) -> Value:
    low, high = NARROW[dtype]
    return b(Requant(shift, low, high, -1, dtype), x, number(b, mul), number(b, (1 << shift) >> 1))


@st.composite
def functions(draw: st.DrawFn, b: Builder, x: Value) -> Value:
    """Some function of one 8-bit value: what is wide is requantised at its end."""
    for _ in range(draw(st.integers(1, 4))):
        shift = draw(st.integers(4, 16))
        kind = draw(st.sampled_from(["requant", "hardswish", "gelu", "mul", "add"]))
        if kind != "requant":
            x = {
                "hardswish": lambda x: b(IntegerHardswish(42, 100, 200), x),
                "gelu": lambda x: b(IntegerGELU(-40, 700), x),
                "mul": lambda x: b(Binary("mul", I32), x, number(b, draw(st.integers(-9000, 9000)))),
                "add": lambda x: b(Binary("add", I32), x, number(b, draw(st.integers(-300, 300)))),
            }[kind](x)
        x = requant(b, x, draw(st.integers(-(3 << shift), 3 << shift)), shift, draw(st.sampled_from([I8, U8])))
    return x


def every_value(dtype: DType) -> TensorType:
    return TensorType((2, 128), dtype)


def agrees(before: Graph, seed: int) -> Graph:
    """The graph after all passes, compared on all values of the first input and random ones of the others."""
    after, rng = apply(before, HOST), np.random.default_rng(seed)
    inputs = {}
    for i, value in enumerate(before.inputs):
        kind = value.type.dtype.numpy
        every = np.arange(256).astype(np.uint8).view(kind).reshape(2, 128)
        inputs[value.name] = every if i == 0 else rng.permutation(every.reshape(-1)).reshape(value.type.static_shape)
    want, got = run(before, inputs), run(after, inputs)
    for found, array in zip(got.values(), want.values(), strict=True):
        np.testing.assert_array_equal(found, array)
    return after


def names(graph: Graph) -> list[str]:
    return [type(n.op).__name__ for n in graph.nodes if not n.op.view]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_chain_is_one_table_or_nothing(data: st.DataObject) -> None:
    b = Builder("chain")
    x = b.input("x", every_value(data.draw(st.sampled_from([I8, U8]))))
    after = agrees(b.finish((data.draw(functions(b, x)),)), 0)
    assert names(after) in (["LookUp"], ["Copy"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_others_read_within_a_chain_stays(data: st.DataObject) -> None:
    b = Builder("chain")
    x = b.input("x", every_value(I8))
    middle = data.draw(functions(b, x))
    agrees(b.finish((data.draw(functions(b, middle)), middle, data.draw(functions(b, middle)))), 1)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(["add", "mul"]), st.booleans(), st.booleans())
def test_sums_and_products_take_tables_along(data: st.DataObject, function: str, left: bool, right: bool) -> None:
    b = Builder("sum")
    p, q = (b.input(name, every_value(data.draw(st.sampled_from([I8, U8])))) for name in "pq")
    p = data.draw(functions(b, p)) if left else p
    q = data.draw(functions(b, q)) if right else q
    shift = data.draw(st.integers(4, 16))
    y = b(Binary(function, I32), p, q)
    y = requant(b, y, data.draw(st.integers(-(1 << shift), 1 << shift)), shift, data.draw(st.sampled_from([I8, U8])))
    after = agrees(b.finish((y,)), 2)
    assert not {"Requant", "Binary", "IntegerGELU", "IntegerHardswish"} & set(names(after))


def test_two_tables_and_a_sum_are_one_operator() -> None:
    b = Builder("residual")
    p, q = (b.input(name, every_value(I8)) for name in "pq")
    y = b(Binary("add", I32), requant(b, p, 27083, 16), requant(b, q, 40000, 16))
    after = agrees(b.finish((requant(b, y, 57197, 16),)), 3)
    assert [type(n.op) for n in after.nodes] == [TableBinary]


@pytest.mark.parametrize(("mul", "same"), [(65536, True), (65499, True), (65281, True), (65280, False), (66000, False)])
def test_only_identities_are_dropped(mul: int, same: bool) -> None:
    b = Builder("identity")
    x = b.input("x", every_value(I8))
    after = agrees(b.finish((requant(b, x, mul, 16),)), 4)
    assert names(after) == (["Copy"] if same else ["LookUp"])


def test_operands_of_other_shapes_broadcast() -> None:
    b = Builder("row")
    p, q = b.input("p", every_value(I8)), b.input("q", TensorType((1, 256), I8))
    q = b(Cast(I16), q)
    y = b(Binary("add", I32), p, b(Binary("add", I32), b.input("r", TensorType((2, 128), U8)), number(b, 3)))
    after = agrees(b.finish((requant(b, y, 30000, 16), q)), 5)
    assert LookUp not in {type(n.op) for n in after.nodes}
