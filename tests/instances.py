"""Random instances of operators: a node, operands for it, and what its definition says."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume
from hypothesis import strategies as st

from tilewright.ir.graph import Builder, Node
from tilewright.ir.op import Op, operand_names
from tilewright.ir.types import Array, TensorType
from tilewright.ops import Append, Attention, QuantisedAttention, WeightOnlyEmbed, WeightOnlyLinear
from tilewright.targets.base import Kernel

# An operator's examples may mostly be for other rows.
FILTERED = [HealthCheck.filter_too_much, HealthCheck.too_slow]


@st.composite
def op_instances(draw: Any, op_class: type[Op]) -> tuple[Node, dict[str, Array]]:
    """A node of the class and random operands, by name."""
    op, types = op_class.examples(draw)
    node = node_of(op, *types)
    return node, random_operands(node, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


@st.composite
def row_instances(draw: Any, kernel: Kernel) -> tuple[Node, dict[str, Array]]:
    """The same, of nodes that the kernel row can run."""
    op, types = kernel.examples(draw) if kernel.examples else kernel.op.examples(draw)
    node = node_of(op, *types)
    assume(kernel.misfit(node) is None)
    return node, random_operands(node, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))


def node_of(op: Op, *types: TensorType | None) -> Node:
    """A node of its own, operands named as in the access maps."""
    builder = Builder("instance")
    names = operand_names(op, len(types))
    builder.add(op, *(kind and builder.input(name, kind) for name, kind in zip(names, types, strict=True)))
    return builder.nodes[0]


def random_operands(node: Node, rng: np.random.Generator) -> dict[str, Array]:
    """Random values for the inputs of a node. What a causal operator must not read is not a number."""
    types = [value and value.type for value in node.inputs]
    arrays = {}
    for name in input_names(node):
        kind, limits = node.operands[name].type, node.op.limits(name, *types)
        if limits is not None:
            arrays[name] = rng.integers(*limits, kind.static_shape, kind.dtype.numpy)
        else:
            arrays[name] = random_array(kind, rng)
    if isinstance(node.op, Attention):
        for name in ("k", "v"):
            arrays[name][int(node.op.pos) + len(arrays["q"]) :] = np.nan  # type: ignore[arg-type]
    if isinstance(node.op, (WeightOnlyLinear, WeightOnlyEmbed)):  # scales as quantisers make them: weights of about 1
        arrays["scale"] /= 8 * 63 if "step" in arrays else 127
    if isinstance(node.op, QuantisedAttention):
        arrays["table"][0] = 255  # e^0: the greatest score is never improbable
    if isinstance(node.op, Append) and arrays["state"].dtype.kind == "f":
        arrays["state"][rng.random(arrays["state"].shape) < 0.1] = np.nan
    return arrays


def input_names(node: Node) -> list[str]:
    names = operand_names(node.op, len(node.inputs))
    return [name for name, value in zip(names, node.inputs, strict=True) if value is not None]


def random_array(kind: TensorType, rng: np.random.Generator) -> Array:
    """Normal floats; bytes over the whole range; wider integers of every magnitude, so that none drowns the others."""
    shape, dtype = kind.static_shape, kind.dtype
    if dtype.is_float:
        return rng.standard_normal(shape).astype(dtype.numpy)
    if dtype.is_integer and dtype.bits > 8:
        magnitude = np.exp2(rng.uniform(0, dtype.bits - 1, shape)) - 1
        return (magnitude * rng.choice([-1, 1] if dtype.is_signed else [1], shape)).astype(dtype.numpy)
    if dtype.is_integer:
        return rng.integers(dtype.low, dtype.high, shape, dtype.numpy, endpoint=True)
    return rng.random(shape) < 0.5


def expected(node: Node, arrays: dict[str, Array]) -> dict[str, Array]:
    """What the operator's definition says, by result."""
    names = operand_names(node.op, len(node.inputs))
    results = node.op.reference(*(arrays.get(name) for name in names))
    outputs = [name for name in node.operands if name not in names]
    return dict(zip(outputs, results if isinstance(results, tuple) else (results,), strict=True))


def agree(got: Array, want: Array, tolerance: float = 1e-4) -> bool:
    """Integers to the bit, floats within tolerance * (1 + |want|)."""
    if got.shape != want.shape:
        return False
    if want.dtype.kind != "f":
        return np.array_equal(got, want)
    return bool(np.allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True))
