"""Runs a graph with numpy: the definition that every other executor is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import UserError
from ..ir.graph import Graph, Node
from ..ir.types import Array, TensorType, Value, maximum, resolve


def initial_state(graph: Graph) -> dict[str, Array]:
    """State before the first run: zeros, by name."""
    return {v.name: np.zeros([maximum(d) for d in v.type.shape], v.type.dtype.numpy) for v in graph.states}


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    state: dict[str, Array] | None = None,
    env: Mapping[str, int] | None = None,
) -> dict[str, Array]:
    """Outputs by name. `state` is updated in place; `env` gives the run-time parameters of the graph."""
    env = env or {}
    missing = [s.name for s in graph.syms if s.name not in env]
    if missing:
        raise ValueError(f"{graph.name} needs values for {', '.join(missing)}")
    held: dict[Value, Array] = {v: _checked(inputs, v, env) for v in graph.inputs}
    if graph.states:
        if graph.bound and state is None:
            state = initial_state(graph)
        assert state is not None, "a graph with state needs somewhere to keep it"
        for bound in graph.loads:
            state[bound.state.name] = bound.loaded(held[bound.value], state[bound.state.name])
        held |= {v: state[v.name] for v in graph.states}
    for value in graph.values:
        if value.data is not None:
            held[value] = value.data
    for node in graph.nodes:
        held |= zip(node.outputs, evaluate(node, [held[v] if v else None for v in node.inputs], env), strict=True)
    if state is not None:
        updated = {graph.storage(v): v for node in graph.nodes for v in node.outputs}
        state |= {v.name: held[updated[v]] for v in graph.states if v in updated}
        held |= {bound.value: bound.stored(state[bound.state.name]) for bound in graph.stores}
    return {v.name: held[v] for v in graph.outputs}


def evaluate(node: Node, operands: list[Array | None], env: Mapping[str, int]) -> tuple[Array, ...]:
    """The reference of one node on arrays; checks that it keeps its own shape rule."""
    got = node.op.at(env).reference(*operands)
    results = got if isinstance(got, tuple) else (got,)
    for value, array in zip(node.outputs, results, strict=True):
        if array.shape != _shape(value.type, env) or array.dtype != value.type.dtype.numpy:
            raise ValueError(f"{node!r}: reference gives {array.dtype}{array.shape}, the rule says {value.type!r}")
    return results


def _shape(kind: TensorType, env: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(resolve(d, env) for d in kind.shape)


def _checked(inputs: Mapping[str, Array], value: Value, env: Mapping[str, int]) -> Array:
    if value.name not in inputs:
        raise UserError(f"input {value.name} is missing", hint=f"given were {', '.join(inputs) or 'none'}")
    array = np.asarray(inputs[value.name])
    if array.shape != _shape(value.type, env):
        raise UserError(f"input {value.name} has shape {array.shape}, the network takes {_shape(value.type, env)}")
    return array.astype(value.type.dtype.numpy, copy=False)
