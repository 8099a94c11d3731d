"""Products with what follows them as one operator, on two engines: any cut gives the bits of the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engines import toy
from tests.graphs import random_inputs
from tests.schedule.exactly import runs_exactly
from tilewright.interp.program import Machine, RaceError
from tilewright.ir.graph import Builder, Graph, Node
from tilewright.ir.op import operand_names
from tilewright.ir.plan import Partner, Plan, Tiled
from tilewright.ir.program import Job, Phase, Wait
from tilewright.ir.types import I8, Array, TensorType, Value, const
from tilewright.ops import LinearGate, LinearJoin, linear_tables
from tilewright.solve import decide
from tilewright.solve.check import PlanError, check
from tilewright.solve.parts import Part, shared, steps_of
from tilewright.solve.plan import solve
from tilewright.targets.base import Target
from tilewright.targets.registry import find

CHIP = find("siracusa")


def block(seed: int, inputs: int, hidden: int, cols: int, shift: int = 0) -> Graph:
    """A gate, and a product of it that joins the inputs; any shift where none is given."""
    b, rng = Builder("run"), np.random.default_rng(seed)
    shift = shift or int(rng.integers(8, 16))

    def constant(name: str, shape: tuple[int, ...]) -> Value:
        return const(b.unique(name), rng.integers(-128, 128, shape, np.int8))

    def numbers(*most: int) -> Value:
        pairs = [(max(1, (200 << shift) // m), 1 << (shift - 1)) for m in most]
        return const(b.unique("numbers"), np.array(pairs, np.int32).reshape(-1))

    x, r = b.input("x", TensorType((1, cols), I8)), b.input("r", TensorType((1, inputs), I8))
    tables = [constant("table", (256,)) for _ in range(4)]
    w = constant("w", (2 * hidden, cols))
    gate = b(LinearGate(shift, shift, shift), x, w, *tables[:2], numbers(60000, 50000, 15000))
    w = constant("w", (inputs, hidden))
    join = b(LinearJoin(shift, shift), gate, w, r, *tables[2:], numbers(70000, 260))
    return b.finish((join,))


def computed(node: Node, values: dict[str, Array]) -> Array:
    """What a node gives, by operand name."""
    pairs = zip(operand_names(node.op, len(node.inputs)), node.inputs, strict=True)
    arrays = [None if value is None else values[name] for name, value in pairs]
    return np.asarray(node.op.reference(*arrays))


@given(st.integers(0, 1 << 20), st.integers(2, 40), st.integers(2, 40), st.integers(1, 60), st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_steps_of_any_part_compute_what_the_node_does(
    monkeypatch: pytest.MonkeyPatch, seed: int, rows: int, hidden: int, cols: int, data: st.DataObject
) -> None:
    monkeypatch.setattr(linear_tables, "WINDOW", 9)
    graph = block(seed, rows, hidden, cols)
    rng = np.random.default_rng(seed)
    ways = [(node, steps.product.op) for node in graph.nodes for steps in steps_of(node)]
    assert len(ways) > 2 or hidden < 9 or hidden % 9 == 0
    for node, op in ways:
        kernel = next(kernel for kernel in CHIP.kernels if kernel.op is type(op))
        values = {name: value.data for name, value in node.operands.items() if value.data is not None}
        for name in node.operands.keys() - values.keys() - {"y"}:
            values[name] = rng.integers(-128, 128, node.operands[name].type.static_shape).astype(np.int8)
        wanted, size = computed(node, values), node.outputs[0].type.static_shape[1]
        part = data.draw(st.integers(1, size - 1))
        first, mine, last = shared(node, kernel, Partner(kernel, "o", part, then=kernel))
        kind = first.piece.node.outputs[0].type
        y, between = np.zeros_like(wanted), np.zeros(kind.static_shape, kind.dtype.numpy)
        for step in (first, mine, last):
            result = computed(step.piece.node, _operands(step, values, between))
            if step is first:
                between = result
            else:
                box = step.piece.boxes["y"]
                y[tuple(slice(*ends) for ends in box)] = result
        np.testing.assert_array_equal(y, wanted)


def _operands(part: Part, values: dict[str, Array], between: Array) -> dict[str, Array]:
    """Of a step: parts of what the node reads, constants of its own, what the step before gave."""
    found = {}
    for name, value in part.piece.node.operands.items():
        if name in part.within:
            at = part.within[name]
            found[name] = between.reshape(-1)[at : at + value.type.size].reshape(value.type.static_shape)
        elif value.data is not None:
            found[name] = value.data
        elif (own := part.name(name)) in values:
            assert own is not None
            found[name] = values[own][tuple(slice(*ends) for ends in part.piece.boxes[name])]
    return found


def test_only_what_has_constants_is_taken_apart() -> None:
    gate, join = block(1, 8, 8, 8).nodes
    assert steps_of(gate)
    assert steps_of(join)
    numbers = gate.operands["numbers"]
    unknown = tuple(Value("numbers", v.type) if v is numbers and v is not None else v for v in gate.inputs)
    assert not steps_of(replace(gate, inputs=unknown))
    op = gate.op
    assert isinstance(op, LinearGate)
    assert not steps_of(replace(gate, op=replace(op, b_shift=op.a_shift + 1)))  # an engine has one shift


def forced(monkeypatch: pytest.MonkeyPatch, graph: Graph, target: Target, size: int) -> Plan:
    """A plan in which the engine has this much of every node that it may share, or next to it."""
    together = decide.together

    def only(*arguments: object) -> list[Tiled]:
        ways = [way for way in together(*arguments) if way.partner is not None]  # type: ignore[arg-type]
        best = min(ways, key=lambda way: abs((way.partner or Partner(way.kernel, "", 0)).size - size), default=None)
        return [] if best is None else [replace(best, cycles=0.0)]

    monkeypatch.setattr(decide, "together", only)
    return solve((graph,), target)


@pytest.mark.parametrize("size", [4, 16, 32, 60])
@pytest.mark.parametrize("l1", [None, 30000])
def test_any_cut_runs_exactly(monkeypatch: pytest.MonkeyPatch, size: int, l1: int | None) -> None:
    target, graph = toy(l1, 2000), block(size, 64, 64, 64)
    plan = forced(monkeypatch, graph, target, size)
    ways = [choice.tiled for choice in plan.entries[0].choices.values()]
    assert all(way is not None and way.partner is not None and way.partner.then is not None for way in ways)
    steps = runs_exactly(graph, plan, target, size).steps
    assert sum(isinstance(step, Job) for step in steps) == 2
    assert sum(isinstance(step, Phase) for step in steps) == 4


def test_the_engine_and_the_cores_share_it_where_that_is_quicker() -> None:
    graph = block(3, 64, 256, 64, shift=16)
    ways = [c.tiled for c in solve((graph,), toy(cycles=400)).entries[0].choices.values()]
    assert all(way is not None and way.partner is not None for way in ways)
    ways = [c.tiled for c in solve((graph,), toy(cycles=100_000)).entries[0].choices.values()]
    assert all(way is not None and way.partner is None for way in ways)


def test_every_wait_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    target, graph = toy(cycles=2000), block(5, 64, 64, 64)
    plan = forced(monkeypatch, graph, target, 32)
    program = runs_exactly(graph, plan, target, 0)
    waits = [at for at, step in enumerate(program.steps) if isinstance(step, Wait) and step.engine]
    assert len(waits) == 2
    for at in waits:
        mutant = replace(program, steps=(*program.steps[:at], *program.steps[at + 1 :]))
        with pytest.raises(RaceError):
            Machine((mutant,), plan.capacity, target.cores, "l1", 0).run(mutant, [*random_inputs(graph, 0).values()])


def test_what_goes_between_the_engines_needs_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    target, graph = toy(cycles=2000), block(5, 64, 64, 64)
    plan = forced(monkeypatch, graph, target, 32)
    (entry,) = plan.entries
    for blocks in (
        tuple(b for b in entry.blocks if not b.name.endswith(".between")),
        tuple(replace(b, bytes=16) if b.name.endswith(".between") else b for b in entry.blocks),
    ):
        with pytest.raises(PlanError, match="between"):
            check(replace(plan, entries=(replace(entry, blocks=blocks),)), target)
