"""Post-training quantisation of float networks: 8-bit weights per output channel, 8-bit activations per tensor.

The network comes out with pairs of Quantize and Dequantize around its values, as quantised ONNX files have them;
`passes.quantised` makes integer operators of it, exactly as of such a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import UserError
from ..ir.graph import Graph, Node
from ..ir.types import I32, Array, Value, const, nominal
from ..ir.verify import verify
from ..ops import AveragePool2D, Binary, Concat, DepthwiseConv2D, Dequantize, MatMul, Quantize
from ..passes.fold import fold
from ..passes.fuse import epilogues
from ..passes.layout import layout
from ..passes.recognise import recognise
from ..passes.tidy import tidy
from ..targets.base import Target
from .ranges import Grid, Samples, best_grid, joint, observe
from .roles import MOVES, Roles, mean, not_negative, product, roles, weighted
from .weights import Weights, fitted_weights, free_weights, snapped

LARGEST_WORK = 1 << 33
"""Multiply-accumulates that looking at calibration samples may cost; fewer samples are used where they are large."""

MOST_SAMPLES = 64


@dataclass(frozen=True, eq=False)
class Scheme:
    """Everything that was decided: the float graph, roles, grids of values, weights and corrected biases of nodes."""

    graph: Graph
    roles: Roles
    grids: Mapping[Value, Grid]
    weights: Mapping[Node, Weights] = field(default_factory=dict)
    biases: Mapping[Node, Array] = field(default_factory=dict)

    def keeping(self, kept: frozenset[Node]) -> Scheme:
        """The same decisions with some nodes left in float."""
        return replace(self, roles=roles(self.graph, kept))

    def grid(self, node: Node, value: Value) -> Grid | None:
        """The grid from which a node reads a value, None where it reads the value itself."""
        return self.grids[value] if self.roles.rounded(node, value) else None


def prepared(graph: Graph, target: Target) -> Graph:
    """The float graph as it is quantised: channels last, batch norms, biases and clamps within their products."""
    if any(isinstance(n.op, (Quantize, Dequantize)) or not n.outputs[0].type.dtype.is_float for n in graph.nodes):
        integers = [n for n in graph.nodes if isinstance(n.op, (Quantize, Dequantize)) or hasattr(n.op, "shift")]
        if integers:
            raise UserError(
                f"{graph.name} is quantised already", where=integers[0].name, origin=integers[0].origin,
                rule="quantisation starts from a float network", hint="compile it as it is",
            )  # fmt: skip
    for step in (recognise, layout, tidy, epilogues, layout, tidy, fold):
        graph = verify(step(graph, target))
    return graph


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one run."""
    shapes = ({name: value.type.shape for name, value in n.operands.items()} for n in graph.nodes)
    return sum(nominal(n.op.domain(*n.types).macs(s)) for n, s in zip(graph.nodes, shapes, strict=True))


def affordable(graph: Graph, samples: Samples, work: int = LARGEST_WORK, most: int = MOST_SAMPLES) -> Samples:
    """As many of the samples as the work allows, evenly from all of them, at least two."""
    count = max(2, min(most, work // max(1, macs(graph))))
    if len(samples) <= count:
        return samples
    return [samples[int(i)] for i in np.linspace(0, len(samples) - 1, count)]


def decide(graph: Graph, samples: Samples, kept: frozenset[Node] = frozenset()) -> Scheme:
    """Grids, weights and biases for a prepared graph."""
    part = roles(graph, kept)
    if not any(weighted(n) or product(n) for n in part.integer):
        raise UserError(
            f"{graph.name} has nothing to quantise",
            rule="convolutions and matrix products with constant fp32 weights become integer",
        )
    chosen = affordable(graph, samples)
    return _fitted(Scheme(graph, part, _grids(part, chosen)), chosen)


def _grids(part: Roles, samples: Samples) -> dict[Value, Grid]:
    """A grid for every value that is rounded; values that are only moved share theirs."""
    graph, ranges = part.graph, observe(part.graph, samples)
    group: dict[Value, Value] = {}

    def root(value: Value) -> Value:
        while value in group:
            value = group[value]
        return value

    for node in graph.nodes:
        if node in part.integer and isinstance(node.op, (*MOVES, Concat)) and node.outputs[0] in part.needed:
            for value in node.inputs:
                if value is not None and value.data is None and root(value) is not root(node.outputs[0]):
                    group[root(value)] = root(node.outputs[0])
    members: dict[Value, list[Value]] = {}
    for value in ranges:
        if value in part.needed:
            members.setdefault(root(value), []).append(value)
    positive = not_negative(graph, frozenset(v for v in graph.inputs if v in ranges and ranges[v].low >= 0))
    signed = {v for n in part.integer if product(n) for v in n.inputs[1:]}
    found: dict[Value, Grid] = {}
    for values in members.values():
        unsigned = all(v in positive for v in values) and not any(v in signed for v in values)
        sources = [v for v in values if not _only_moved(graph, v)] or values
        found |= dict.fromkeys(values, best_grid(joint([ranges[v] for v in sources]), unsigned=unsigned))
    for node in graph.nodes:  # steps that make the multipliers of means and products short
        factor = _factor(node, found) if node in part.integer else None
        same = members.get(root(node.outputs[0]), [])
        if factor is not None and same:
            found |= dict.fromkeys(same, snapped(found[same[0]], factor))
    return found


def _only_moved(graph: Graph, value: Value) -> bool:
    maker = graph.producers.get(value)
    return maker is not None and isinstance(maker.op, (*MOVES, Concat))


def _factor(node: Node, grids: Mapping[Value, Grid]) -> float | None:
    """Real value of one unit of the sums of a mean or of a product of activations."""
    steps = [grids[v].scale if v is not None and v in grids else 0.0 for v in node.inputs]
    if mean(node) and node.inputs[0] is not None:
        window = node.op.kernel if isinstance(node.op, AveragePool2D) else node.inputs[0].type.static_shape[1:3]
        return steps[0] / math.prod(window)
    if isinstance(node.op, MatMul) or (isinstance(node.op, Binary) and node.op.function == "mul" and 0 not in steps):
        return math.prod(steps) or None
    return None


def channels_first(node: Node, w: Array) -> Array:
    """Weights as a matrix [output channels, depth]."""
    return (
        np.moveaxis(w, -1, 0).reshape(w.shape[-1], -1)
        if isinstance(node.op, DepthwiseConv2D)
        else w.reshape(len(w), -1)
    )


def as_operand(node: Node, matrix: Array) -> Array:
    """The way back, to the shape of the node's weights."""
    w = node.inputs[1]
    assert w is not None
    shape = w.type.static_shape
    if isinstance(node.op, DepthwiseConv2D):
        return np.moveaxis(matrix.reshape(shape[-1], *shape[:-1]), 0, -1)
    return matrix.reshape(shape)


def bias_of(node: Node, channels: int) -> Array:
    """The real bias of a float product, zeros where it has none."""
    b = node.inputs[2] if len(node.inputs) > 2 else None
    return np.zeros(channels) if b is None or b.data is None else b.data.astype(np.float64)


def _fitted(scheme: Scheme, samples: Samples) -> Scheme:
    """The scheme with weights and biases, layer by layer: each bias makes up for the mean error at its layer."""
    weights, biases = dict(scheme.weights), dict(scheme.biases)
    growing = replace(scheme, weights=weights, biases=biases)
    both = _Lockstep(growing, samples)
    for node in scheme.graph.nodes:
        if node not in scheme.roles.integer or not weighted(node):
            both.advance(node)
            continue
        x, w, y = node.inputs[0], node.inputs[1], node.outputs[0]
        assert x is not None
        assert w is not None
        assert w.data is not None
        matrix = channels_first(node, w.data.astype(np.float64))
        bias, goal = bias_of(node, len(matrix)), scheme.grids.get(y)
        narrow = goal is not None and all(scheme.roles.rounded(n, y) for n in scheme.graph.consumers.get(y, ()))
        narrow = narrow and y not in scheme.graph.outputs
        weights[node] = fitted_weights(matrix, bias, scheme.grids[x], goal) if narrow and goal else free_weights(matrix)
        biases[node] = bias
        biases[node] = bias - _shrunk(both.errors(node))
        both.advance(node)
    return growing


def _shrunk(errors: Array) -> Array:
    """Mean errors per channel from means per sample [samples, channels], less what is only chance."""
    average = errors.mean(0)
    chance = errors.var(0, ddof=1) / len(errors) if len(errors) > 1 else average**2
    return np.asarray(average * np.maximum(0.0, 1.0 - chance / np.maximum(average**2, 1e-300)))


class _Lockstep:
    """The float network and the quantised one on all samples, node by node; values go when nothing reads them more."""

    def __init__(self, scheme: Scheme, samples: Samples) -> None:
        self.scheme = scheme
        inputs = {v: [np.asarray(s[v.name], v.type.dtype.numpy) for s in samples] for v in scheme.graph.inputs}
        self.exact, self.rough = dict(inputs), dict(inputs)
        self.left = {v: len(nodes) for v, nodes in scheme.graph.consumers.items()}

    def advance(self, node: Node) -> None:
        for held, by in ((self.exact, None), (self.rough, self.scheme)):
            results = [computed(node, operands, by) for operands in self._operands(node, held)]
            held |= {v: [r[i] for r in results] for i, v in enumerate(node.outputs)}
        for value in dict.fromkeys(v for v in node.inputs if v is not None and v.data is None):
            self.left[value] -= node.inputs.count(value)
            if self.left[value] <= 0:
                self.exact.pop(value, None)
                self.rough.pop(value, None)

    def errors(self, node: Node) -> Array:
        """Mean error of each output channel before the clamp, per sample."""
        bare = replace(node, op=replace(node.op, epilogue=None))  # type: ignore[call-arg]
        found = []
        pairs = zip(self._operands(node, self.exact), self._operands(node, self.rough), strict=True)
        for exact, rough in pairs:
            difference = computed(bare, rough, self.scheme, node)[0] - computed(bare, exact, None)[0]
            found.append(difference.reshape(-1, difference.shape[-1]).mean(0, dtype=np.float64))
        return np.array(found)

    def _operands(self, node: Node, held: Mapping[Value, list[Array]]) -> Iterator[list[Array | None]]:
        count = len(next(iter(self.exact.values())))
        for i in range(count):
            yield [None if v is None else v.data if v.data is not None else held[v][i] for v in node.inputs]


def computed(node: Node, operands: list[Array | None], scheme: Scheme | None, key: Node | None = None) -> list[Array]:
    """Results of a node on values as computed before it; by a scheme: its operands rounded, its weights quantised."""
    if scheme is not None:
        key = key or node
        grids = [scheme.grid(key, v) if v is not None else None for v in node.inputs]
        operands = [
            g.rounded(a) if g is not None and a is not None else a for g, a in zip(grids, operands, strict=True)
        ]
        if key in scheme.roles.integer and key in scheme.weights:
            real = as_operand(key, scheme.weights[key].real).astype(np.float32)
            operands = [operands[0], real, scheme.biases[key].astype(np.float32)]
    got = node.op.reference(*operands)
    return list(got) if isinstance(got, tuple) else [got]


def quantised(scheme: Scheme, *, watched: bool = False) -> Graph:
    """The graph with Quantize and Dequantize in it. `watched`: what is rounded is stored as an output, too, under the
    value's name and ".q".
    """
    graph, names = scheme.graph, {v.name for v in scheme.graph.values} | {n.name for n in scheme.graph.nodes}
    nodes: list[Node] = []
    pairs: dict[Value, tuple[Value, Value]] = {}

    def fresh(name: str) -> str:
        while name in names:
            name += "_"
        names.add(name)
        return name

    def add(op: Quantize | Dequantize, inputs: tuple[Value, ...], name: str, origin: str) -> Value:
        (kind,) = op.infer(*(v.type for v in inputs))
        value = Value(fresh(name), kind)
        nodes.append(Node(op, inputs, (value,), value.name, origin))
        return value

    def constant(name: str, data: Array) -> Value:
        return const(fresh(name), data)

    def on_grid(value: Value, origin: str) -> Value:
        if value not in pairs:
            grid = scheme.grids[value]
            scale = constant(f"{value.name}.scale", grid.array)
            zero = constant(f"{value.name}.zero", np.zeros(1, grid.dtype.numpy))
            stored = add(Quantize(), (value, scale, zero), f"{value.name}.q", origin)
            pairs[value] = stored, add(Dequantize(), (stored, scale, zero), f"{value.name}.dq", origin)
        return pairs[value][1]

    def parameters(node: Node, step: float) -> list[Value]:
        weights, bias, w = scheme.weights[node], scheme.biases[node], node.inputs[1]
        assert w is not None
        axis = {4: -4, 3: -1, 2: -2}[w.type.rank]
        operands = []
        scales = np.asarray(np.float32(step) * weights.scale, np.float32)
        whole = np.rint(bias / (step * weights.scale.astype(np.float64)))
        for label, data, scale, at in (
            (w.name, as_operand(node, weights.stored), weights.scale, axis),
            (f"{node.name}.b", np.clip(whole, I32.low, I32.high).astype(np.int32), scales, -1),
        ):
            stored = constant(f"{label}.{'i8' if data.dtype == np.int8 else 'i32'}", data)
            zero = constant(f"{label}.zero", np.zeros(scale.shape, data.dtype))
            operands.append(
                add(Dequantize(at), (stored, constant(f"{label}.scale", scale), zero), f"{label}.dq", node.origin)
            )
        return operands

    for node in graph.nodes:
        inputs = [
            on_grid(v, node.origin) if v is not None and scheme.roles.rounded(node, v) else v for v in node.inputs
        ]
        if node in scheme.weights and node in scheme.roles.integer and node.inputs[0] is not None:
            inputs = [inputs[0], *parameters(node, scheme.grids[node.inputs[0]].scale)]
        nodes.append(replace(node, inputs=tuple(inputs)))
    extra = tuple(stored for stored, _ in pairs.values()) if watched else ()
    return verify(replace(graph, nodes=tuple(nodes), outputs=(*graph.outputs, *extra)))


__all__ = ["Scheme", "decide", "prepared", "quantised"]
