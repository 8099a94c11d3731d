"""Calls of chip kernels: nodes whose parameters are constants, as networks have them, and what has to come out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tests.instances import agree, expected, input_names, node_of, random_operands
from tilewright.ir.graph import Builder, Node
from tilewright.ir.op import Op, operand_names
from tilewright.ir.types import Array, TensorType, const
from tilewright.targets.base import Kernel
from tilewright.targets.siracusa.bench import Case, Outcome, measure

PARAMETERS = ("w", "b", "mul", "add")


def with_constants(node: Node, arrays: Mapping[str, Array], names: Collection[str] = PARAMETERS) -> Node:
    """The node with those of its operands constant that have one of the names."""
    builder = Builder("case")
    inputs = []
    for name, value in zip(operand_names(node.op, len(node.inputs)), node.inputs, strict=True):
        if value is None:
            inputs.append(None)
        elif name in names:
            inputs.append(const(name, arrays[name], value.type.dtype))
        else:
            inputs.append(builder.input(name, value.type))
    builder.add(node.op, *inputs)
    return builder.nodes[0]


def instance(
    op: Op, types: Sequence[TensorType | None], rng: np.random.Generator, *, limit: int | None = None,
    constant: bool = True,
) -> tuple[Node, dict[str, Array]]:  # fmt: skip
    """A node and random operands. `limit`: multipliers and addends of 32 bits are below it, multipliers positive."""
    node = node_of(op, *types)
    arrays = random_operands(node, rng)
    for name in ("mul", "add"):
        if limit is not None and name in input_names(node) and arrays[name].dtype.itemsize > 1:
            low = 1 if name == "mul" else -limit
            arrays[name] = rng.integers(low, limit, arrays[name].shape).astype(arrays[name].dtype)
    return (with_constants(node, arrays) if constant else node), arrays


def fitting(rows: Sequence[Kernel], node: Node, arrays: Mapping[str, Array], shift: int = 0) -> list[Case]:
    """A case for every row that runs the node."""
    fit = [k for k in rows if k.misfit(node) is None and not k.unpacked(node)]
    return [Case(k.bound([node]), node, arrays, shift=shift) for k in fit]


def check(cases: Sequence[Case], cores: int = 8) -> list[Outcome]:
    """Run the cases; all results are as their operators define them."""
    outcomes = measure(cases, cores=cores)
    for case, outcome in zip(cases, outcomes, strict=True):
        for name, want in expected(case.node, dict(case.operands)).items():
            kinds = {n: v.type for n, v in case.node.operands.items()}
            told = f"{case.kernel.symbol}: {name} of {case.node.op} on {kinds}, {case.kernel.arguments(case.node)}"
            assert agree(outcome.results[name], want), told
    return outcomes
