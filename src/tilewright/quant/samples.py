"""Calibration samples of networks: from an npz, or made up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..arrays import read_npz
from ..errors import UserError
from ..ir.graph import Graph
from ..ir.types import Array, Value
from .ranges import Samples

MADE_UP = 32


def random_samples(graph: Graph, count: int = MADE_UP, seed: int = 0) -> Samples:
    """Standard normal floats, integers 0 and 1."""
    rng = np.random.default_rng(seed)

    def one(value: Value) -> Array:
        shape, dtype = value.type.static_shape, value.type.dtype
        drawn = rng.standard_normal(shape) if dtype.is_float else rng.integers(0, 2, shape)
        return drawn.astype(dtype.numpy)

    return [{v.name: one(v) for v in graph.inputs} for _ in range(count)]


def read_samples(path: Path, graph: Graph) -> Samples:
    """Samples from an npz: one array per input with the samples along its first axis, by name or in order; or, for
    networks of one input, one array per sample. UserError where shapes do not fit or a number is not finite.
    """
    arrays, inputs = read_npz(path), graph.inputs
    if len(inputs) == 1 and len(arrays) > 0 and all(_is_one(a, inputs[0]) for a in arrays.values()):
        return [{inputs[0].name: _sample(a, inputs[0], f"{path}: {name}")} for name, a in arrays.items()]
    if len(arrays) != len(inputs):
        raise UserError(
            f"{path} has {len(arrays)} arrays ({', '.join(list(arrays)[:8]) or 'none'}), the network has {len(inputs)} "
            f"inputs ({', '.join(v.name for v in inputs)})",
            rule="calibration has one array per input, samples along the first axis, or one array per sample",
        )  # fmt: skip
    columns = {v.name: _column(_named(arrays, v, i), v, path) for i, v in enumerate(inputs)}
    counts = {name: len(c) for name, c in columns.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise UserError(f"{path} has {counts} samples", rule="every input has the same number of samples, at least one")
    return [{name: c[i] for name, c in columns.items()} for i in range(next(iter(counts.values())))]


def _squeezed(shape: tuple[int, ...]) -> list[int]:
    return [d for d in shape if d != 1]


def _is_one(array: Array, value: Value) -> bool:
    return _squeezed(array.shape) == _squeezed(value.type.static_shape)


def _named(arrays: Mapping[str, Array], value: Value, index: int) -> Array:
    return arrays[value.name] if value.name in arrays else list(arrays.values())[index]


def _column(array: Array, value: Value, path: Path) -> list[Array]:
    """The samples of one input."""
    if array.ndim and _squeezed(array.shape[1:]) == _squeezed(value.type.static_shape):
        return [_sample(a, value, f"{path}: {value.name}") for a in array]
    if _is_one(array, value):
        return [_sample(array, value, f"{path}: {value.name}")]
    raise UserError(
        f"{path}: calibration for {value.name} has shape {list(array.shape)}",
        rule=f"samples along the first axis, each of shape {list(value.type.shape)}",
    )


def _sample(array: Array, value: Value, where: str) -> Array:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{where} has values that are not finite", hint="remove the sample")
    return array.reshape(value.type.static_shape).astype(value.type.dtype.numpy)
