"""Calls of chip kernels: nodes whose parameters are constants, as networks have them, and batches of random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.instances import FILTERED, agree, expected, input_names, row_instances
from tilewright.ir.graph import Builder, Node
from tilewright.ir.types import Array, const
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case, Outcome, measure


def with_constants(node: Node, arrays: Mapping[str, Array], names: Sequence[str]) -> Node:
    """The node with some operands constant."""
    builder = Builder("case")
    inputs = []
    for name, value in zip(input_slots(node), node.inputs, strict=True):
        if value is None:
            inputs.append(None)
        elif name in names:
            inputs.append(const(name, arrays[name], value.type.dtype))
        else:
            inputs.append(builder.input(name, value.type))
    builder.add(node.op, *inputs)
    return builder.nodes[0]


def input_slots(node: Node) -> list[str]:
    """Names of all operands of the node, absent ones too."""
    from tilewright.ir.op import operand_names

    return list(operand_names(node.op, len(node.inputs)))


def random_cases(kernel: Kernel, count: int, constants: Sequence[str] = (), *, small: float = 0.5) -> list[Case]:
    """Instances that the row runs; in some, parameters are small, so that their arithmetic fits 32 bits."""
    found: list[Case] = []

    @settings(max_examples=count, deadline=None, suppress_health_check=FILTERED, phases=[Phase.generate], database=None)
    @given(data=st.data())
    def collect(data: st.DataObject) -> None:
        node, arrays = data.draw(row_instances(kernel))
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        if rng.random() < small:
            arrays = {name: tame(name, array, rng) for name, array in arrays.items()}
        if rng.random() < 0.8:
            node = with_constants(node, arrays, [n for n in constants if n in input_names(node)])
        if kernel.misfit(node) is None:
            found.append(Case(kernel, node, arrays, shift=int(rng.integers(0, 4))))

    collect()
    return found


def tame(name: str, array: Array, rng: np.random.Generator) -> Array:
    """Multipliers and addends of a few bits."""
    if name not in ("mul", "add") or array.dtype.itemsize == 1:
        return array
    high = int(rng.choice([30, 2000, 100_000]))
    return rng.integers(1 if name == "mul" else -high, high, array.shape).astype(array.dtype)


def check(cases: Sequence[Case], cores: int = 8) -> list[Outcome]:
    """Run the cases; all results are as their operators define them."""
    outcomes = measure(cases, cores=cores)
    for case, outcome in zip(cases, outcomes, strict=True):
        for name, want in expected(case.node, dict(case.operands)).items():
            shapes = {n: v.type for n, v in case.node.operands.items()}
            told = f"{case.kernel.symbol}: {name} of {case.node.op} on {shapes}, {case.kernel.arguments(case.node)}"
            assert agree(outcome.results[name], want), told
    return outcomes
