"""Random instances of kernel rows: a node that the row takes, and operands for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tilewright.ir.graph import Builder, Node
from tilewright.ir.op import operand_names
from tilewright.ir.types import Array, TensorType
from tilewright.ops import Append, Attention, Embed
from tilewright.targets.base import Kernel


@st.composite
def instances(draw: Any, kernel: Kernel) -> tuple[Node, dict[str, Array]]:
    """A node that the row can run, and random operands, by name."""
    op, types = kernel.op.examples(draw)
    builder = Builder("instance")
    names = operand_names(op, len(types))
    values = [kind and builder.input(name, kind) for name, kind in zip(names, types, strict=True)]
    builder.add(op, *values)
    (node,) = builder.nodes
    assume(kernel.misfit(node) is None)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return node, operands(node, rng)


def operands(node: Node, rng: np.random.Generator) -> dict[str, Array]:
    """Random values for the inputs of a node. What a causal operator must not read is not a number."""
    arrays = {name: random_array(node.operands[name].type, rng) for name in input_names(node)}
    if isinstance(node.op, Embed):
        arrays["tokens"] %= len(arrays["table"])
    if isinstance(node.op, Attention):
        for name in ("k", "v"):
            arrays[name][int(node.op.pos) + len(arrays["q"]) :] = np.nan  # type: ignore[arg-type]
    if isinstance(node.op, Append):
        arrays["state"][rng.random(arrays["state"].shape) < 0.1] = np.nan
    return arrays


def input_names(node: Node) -> list[str]:
    names = operand_names(node.op, len(node.inputs))
    return [name for name, value in zip(names, node.inputs, strict=True) if value is not None]


def random_array(kind: TensorType, rng: np.random.Generator) -> Array:
    """Normal floats; integers over the whole range of the type."""
    if kind.dtype.is_float:
        return rng.standard_normal(kind.static_shape).astype(kind.dtype.numpy)
    if kind.dtype.is_integer:
        return rng.integers(kind.dtype.low, kind.dtype.high, kind.static_shape, kind.dtype.numpy, endpoint=True)
    return rng.random(kind.static_shape) < 0.5


def expected(node: Node, arrays: dict[str, Array]) -> dict[str, Array]:
    """What the operator's definition says, by result."""
    names = operand_names(node.op, len(node.inputs))
    results = node.op.reference(*(arrays.get(name) for name in names))
    outputs = [name for name in node.operands if name not in names]
    return dict(zip(outputs, results if isinstance(results, tuple) else (results,), strict=True))


def agree(got: Array, want: Array) -> bool:
    """Integers to the bit, floats within 1e-4 + 1e-4 |want|."""
    if want.dtype.kind != "f":
        return np.array_equal(got, want)
    return bool(np.allclose(got, want, rtol=1e-4, atol=1e-4, equal_nan=True))
