"""Decoders of the QuantLib dialect become few operators over state, and compute the same to the bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.passes.decoders import Decoder, Shape, random_inputs
from tilewright.conformance.batch import run_batch
from tilewright.conformance.cases import PASSED, Case, DataSet
from tilewright.interp.graph import initial_state, run
from tilewright.ir.graph import Graph, Node
from tilewright.ir.program import Loop
from tilewright.ir.types import Value
from tilewright.ops import Binary, Copy, Requant, Transpose
from tilewright.options import Options
from tilewright.passes.pipeline import apply
from tilewright.schedule.lower import lower
from tilewright.solve.plan import solve
from tilewright.targets.registry import find

CORES = find("siracusa", Options(npu="off"))  # without the engine beside them

HOST = find("host", Options())


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    group = draw(st.sampled_from([1, 1, 2]))
    numbers = {"blocks": (1, 2), "head": (1, 6), "past": (0, 9), "tokens": (1, 4), "hidden": (1, 9)}
    drawn = {name: draw(st.integers(*ends)) for name, ends in numbers.items()}
    masked, identities = draw(st.booleans()), draw(st.booleans())
    return Shape(heads=group * draw(st.integers(1, 3)), group=group, masked=masked, identities=identities, **drawn)


def counts(graph: Graph) -> Counter[str]:
    return Counter(type(n.op).__name__ for n in graph.nodes if not n.op.view)


def agrees(before: Graph, after: Graph, seed: int) -> None:
    inputs = random_inputs(before, seed)
    want, got = run(before, inputs), run(after, inputs)
    assert list(want) == list(got)
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(shapes(), st.integers(0, 2**32 - 1))
def test_any_decoder_stays_what_it_is(shape: Shape, seed: int) -> None:
    before = Decoder(shape, seed).graph()
    agrees(before, apply(before, HOST), seed)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(("past", "tokens"), [(7, 1), (0, 5), (6, 3), (0, 1)])
@pytest.mark.parametrize("masked", [True, False])
def test_a_block_is_few_operators(past: int, tokens: int, group: int, masked: bool) -> None:
    shape = Shape(blocks=3, heads=4, group=group, past=past, tokens=tokens, masked=masked)
    graph = apply(Decoder(shape, 1).graph(), HOST)
    found = counts(graph)
    linears = 7 if tokens > 1 else 4 if group == 1 else 5
    assert found == {
        "IntegerAttention": 3, "RotateHeads": 6, "Append": 6, "LookUp": 3, "TableBinary": 9, "IntegerRMSNorm": 7,
        "Linear": 3 * linears,
    }  # fmt: skip
    assert len(graph.states) == 6
    assert [v.name for v in graph.arguments] == (["x", "mask", "turn"] if masked else ["x", "turn"])
    assert len(graph.results) == 1
    assert len(graph.loads) == (6 if past else 0)
    assert len(graph.stores) == 6


@pytest.mark.parametrize(("group", "masked", "past"), [(1, True, 5), (2, False, 0), (4, True, 9)])
def test_a_block_is_six_calls_where_a_chip_saves_by_it(group: int, masked: bool, past: int) -> None:
    shape = Shape(blocks=3, heads=16, group=group, masked=masked, past=past, hidden=64, biased=False)
    before = Decoder(shape, 1).graph()
    after = apply(before, CORES)
    expected = {"NewHeads": 3, "IntegerAttention": 3, "LinearJoin": 6, "LinearGate": 3, "IntegerRMSNorm": 7}
    assert counts(after) == expected
    agrees(before, after, 1)


@pytest.mark.parametrize(("group", "masked", "past"), [(1, True, 5), (2, False, 0)])
def test_products_stand_alone_where_an_engine_shares_them(group: int, masked: bool, past: int) -> None:
    shape = Shape(blocks=2, heads=16, group=group, masked=masked, past=past, hidden=64, biased=False)
    before = Decoder(shape, 1).graph()
    after = apply(before, find("siracusa", Options()))
    found = counts(after)
    assert (found["EnterHeads"], found.get("NewHeads", 0)) == (2, 0)
    agrees(before, after, 1)


@pytest.mark.parametrize(("added", "joins", "gates"), [(0.0, 12, 6), (4.0, 12, 0), (1000.0, 0, 0)])
def test_kernels_that_are_worth_their_code_join_products_beside_an_engine(added: float, joins: int, gates: int) -> None:
    shape = Shape(blocks=6, heads=16, hidden=256, biased=False)
    before, chip = Decoder(shape, 1).graph(), find("siracusa", Options())
    assert chip.code is not None
    after = apply(before, replace(chip, code=replace(chip.code, added=added)))
    found = counts(after)
    assert (found.get("LinearJoin", 0), found.get("LinearGate", 0)) == (joins, gates)
    agrees(before, after, 1)


def test_what_the_kernels_of_one_call_do_not_run_stays() -> None:
    shape = Shape(blocks=1, heads=16, hidden=64, biased=False)
    for other in (replace(shape, tokens=2), replace(shape, heads=12), replace(shape, biased=True)):
        found = counts(apply(Decoder(other, 1).graph(), CORES))
        assert not {"NewHeads", "LinearGate"} & set(found)


def test_blocks_are_one_loop_whatever_is_an_identity_in_some() -> None:
    shape = Shape(blocks=6, heads=4, identities=True)
    (program,) = lower(solve([apply(Decoder(shape, 5).graph(), HOST)], HOST), HOST)
    loops = [step for step in program.steps if isinstance(step, Loop)]
    assert [len(loop.table.rows) for loop in loops] == [5]


@pytest.mark.parametrize("hidden", [64, 256])  # weights stay, or stream
def test_a_chip_runs_all_blocks_in_one_loop(hidden: int) -> None:
    shape = Shape(blocks=5, heads=16, hidden=hidden, biased=False)
    graph = apply(Decoder(shape, seed=10).graph(), CORES)  # whose attentions all are for the same kernel
    (program,) = lower(solve([graph], CORES), CORES)
    loops = [step for step in program.steps if isinstance(step, Loop)]
    assert [len(loop.table.rows) for loop in loops] == [5]


def test_runs_in_a_row_append_at_the_same_place() -> None:
    before = Decoder(Shape(), 2).graph()
    after = apply(before, HOST)
    inputs, state = random_inputs(before, 0), initial_state(after)
    first, second = (run(after, inputs, state) for _ in range(2))
    for name, array in run(before, inputs).items():
        np.testing.assert_array_equal(first[name], array)
        np.testing.assert_array_equal(second[name], array)


def test_a_cache_that_is_read_otherwise_stays_an_input() -> None:
    before = Decoder(Shape(blocks=1), 3).graph()
    k = next(v for v in before.inputs if v.name == "k0")
    copy = Value("again", k.type)
    before = replace(
        before, nodes=(*before.nodes, Node(Copy(), (k,), (copy,), "again")), outputs=(*before.outputs, copy)
    )
    after = apply(before, HOST)
    assert [b.value.name for b in after.loads] == ["v0"]
    assert k in after.arguments
    assert counts(after)["IntegerAttention"] == 1
    agrees(before, after, 0)


def test_targets_without_the_kernels_keep_the_small_operators() -> None:
    few = tuple(k for k in HOST.kernels if k.op.__name__ not in ("IntegerAttention", "RotateHeads", "TableBinary"))
    before = Decoder(Shape(), 4).graph()
    after = apply(before, replace(HOST, kernels=few))
    assert not {"IntegerAttention", "RotateHeads", "TableBinary"} & set(counts(after))
    assert not after.states
    agrees(before, after, 0)


def test_origins_survive() -> None:
    before = Decoder(Shape(blocks=1), 6).graph()
    named = replace(before, nodes=tuple(replace(n, origin=f"model/{n.name}") for n in before.nodes))
    assert all(n.origin.startswith("model/") for n in apply(named, HOST).nodes)


def test_the_c_loads_and_stores_what_is_state(tmp_path: Path) -> None:
    cases = []
    for seed, shape in enumerate([Shape(), Shape(past=0, tokens=5), Shape(heads=4, group=2, past=20, identities=True)]):
        graph = Decoder(shape, seed).graph()
        sets = [random_inputs(graph, s) for s in range(2)]
        data = [DataSet(tuple(given.values()), tuple(run(graph, given).values())) for given in sets]
        cases.append(Case(str(shape), lambda graph=graph: graph, lambda _, data=data: data))
    verdicts = run_batch(cases, HOST, Options(), tmp_path)
    assert [(v.status, v.reason) for v in verdicts] == [(PASSED, "")] * 3


def test_requantisations_between_8_bit_values_are_gone() -> None:
    graph = apply(Decoder(Shape(), 7).graph(), HOST)
    assert not [n for n in graph.nodes if isinstance(n.op, (Requant, Binary, Transpose, Copy))]
