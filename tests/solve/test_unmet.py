"""Steps between which cores need not meet: no barrier is demanded by bytes that are used again."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graphs import random_inputs
from tilewright.interp import graph as interpreter
from tilewright.interp.program import Machine
from tilewright.ir.graph import Builder, Graph
from tilewright.ir.program import Barrier, Phase, Step
from tilewright.ir.types import I8, Array, TensorType, Value, const
from tilewright.ops import EnterHeads, IntegerAttention, TableBinary
from tilewright.schedule.lower import lower
from tilewright.solve.plan import solve
from tilewright.targets.registry import find

CHIP = find("siracusa")


def heads(kv: int, group: int, positions: int) -> Graph:
    """What a product gave becomes queries, keys and values; attention over all positions, and something behind it."""
    b, rng, n = Builder("run"), np.random.default_rng(1), 4 * kv

    def table(array: Array, dtype: type[np.generic] = np.int8) -> Value:
        return const(b.unique("c"), np.asarray(array).astype(dtype))

    def numbers(*some: int) -> Value:
        return table(np.array(some), np.int32)

    rows = [b.input(name, TensorType((1, size), I8)) for name, size in (("q", n * group), ("k", n), ("v", n))]
    same = table(np.arange(256))
    both = [b(TableBinary("add", 16), x, x, same, same, numbers(30000), numbers(1 << 15)) for x in rows]
    r = b.input("r", TensorType((1, 4, 4), I8))
    caches = [b.state(name, TensorType((positions, n), I8)) for name in ("keys", "values")]
    tables = [table(rng.integers(-128, 128, 256)) for _ in range(2)]
    turned = numbers(500, 1 << 15, 600, 1 << 15)
    entering = EnterHeads(kv * group, kv, positions - 1, 16, 16)
    q, k, v = b.add(entering, *caches, *both, r, *tables, turned)
    exp = table(np.floor(900 * 0.94 ** np.arange(256)), np.int32)
    attention = IntegerAttention(kv * group, kv, 16, 16)
    plain, weight = table(rng.integers(-64, 64, 256)), table(np.arange(256) // 2)
    y = b(attention, q, k, v, plain, exp, weight, numbers(700, 1 << 15, 60, 1 << 15))
    return b.finish((b(TableBinary("add", 16), y, y, same, same, numbers(40000), numbers(1 << 15)),))


def meetings(steps: tuple[Step, ...], first: type, second: type) -> int:
    """Barriers between the two operators."""
    at = {type(c.semantics.op): i for i, step in enumerate(steps) if isinstance(step, Phase) for c in step.calls}
    return sum(isinstance(step, Barrier) for step in steps[at[first] : at[second]])


@pytest.mark.parametrize(("kv", "group", "positions", "apart"), [(16, 1, 17, True), (8, 2, 30, True), (4, 1, 9, False)])
def test_heads_follow_each_other_where_a_core_has_the_same(kv: int, group: int, positions: int, apart: bool) -> None:
    """Of four heads, cores have one each or two: what one of them enters another attends to."""
    graph = heads(kv, group, positions)
    plan = solve((graph,), CHIP)
    (program,) = lower(plan, CHIP)
    machine, state = Machine((program,), plan.capacity, CHIP.cores, "l1", 3), interpreter.initial_state(graph)
    for seed in (3, 4):
        inputs = random_inputs(graph, seed)
        (wanted,) = interpreter.run(graph, inputs, state).values()
        (got,) = machine.run(program, list(inputs.values()))
        np.testing.assert_array_equal(got, wanted.reshape(-1))
    assert meetings(program.steps, EnterHeads, IntegerAttention) == (0 if apart else 1)
