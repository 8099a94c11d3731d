"""What quantisation cost a network: signal to noise at the outputs and at every layer, and what widening would buy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np

from ..errors import UserError
from ..interp.graph import evaluate
from ..ir.graph import Graph, Node
from ..ir.types import Array, Value
from ..ops import Concat, Quantize
from ..passes.fold import fold
from ..passes.fuse import epilogues
from ..passes.layout import layout
from ..passes.quantised import lower_quantised
from ..passes.tidy import tidy
from ..targets.base import Target
from .network import Scheme, affordable, computed, quantised
from .proof import proven
from .ranges import Samples
from .roles import MOVES, weighted

SENSITIVITY_WORK = 1 << 33
"""Multiply-accumulates that leaving out one layer after the other may cost."""


@dataclass(frozen=True)
class LayerLoss:
    """One layer of the quantised network. `snr_db`: of its result as computed after all layers before it; `worst`: its
    greatest error, in units of the result; `gain_db`: what the outputs gain when this layer alone stays float (None
    where it is float anyway); `fits32`: whether its requantisation provably fits 32 bits (None: it has none).
    """

    name: str
    op: str
    origin: str
    arithmetic: str
    snr_db: float
    worst: float
    gain_db: float | None
    fits32: bool | None


@dataclass(frozen=True)
class Loss:
    """`snr_db` of all outputs together, `worst` error of any; layers in order; samples that calibration did not see
    or, where there are none to spare, those that it saw.
    """

    samples: int
    snr_db: float
    worst: float
    layers: tuple[LayerLoss, ...]
    float_ops: int

    @property
    def costliest(self) -> LayerLoss | None:
        """The layer that costs the outputs most."""
        found = [layer for layer in self.layers if layer.gain_db is not None]
        return max(found, key=lambda layer: layer.gain_db or 0.0, default=None)


@dataclass
class _Noise:
    signal: float = 0.0
    noise: float = 0.0
    worst: float = 0.0

    def see(self, exact: Array, rough: Array) -> None:
        exact, rough = exact.astype(np.float64), rough.astype(np.float64)
        self.signal += float((exact**2).sum())
        self.noise += float(((exact - rough) ** 2).sum())
        self.worst = max(self.worst, float(np.abs(exact - rough).max(initial=0.0)))

    @property
    def snr_db(self) -> float:
        """Infinite where nothing was lost."""
        return decibels(self.signal, self.noise)


def decibels(signal: float, noise: float) -> float:
    """10 log10 of a ratio of powers."""
    if noise == 0.0:
        return float("inf")
    return float(10 * np.log10(max(signal, 1e-300) / noise))


def lowered(graph: Graph, target: Target) -> Graph:
    """Integer operators of a graph with Quantize and Dequantize in it."""
    for step in (lower_quantised, epilogues, layout, tidy, fold):
        graph = step(graph, target)
    return graph


def unit(scheme: Scheme, node: Node) -> frozenset[Node]:
    """The node with those before it that become one integer operator with it."""
    found = [node]
    for member in found:
        makers = (scheme.graph.producers.get(v) for v in member.inputs if v in scheme.roles.linked)
        found += [m for m in makers if m is not None]
    return frozenset(found)


def layers(scheme: Scheme) -> list[Node]:
    """Nodes whose results are compared: all that compute something and are not a part of the next."""
    moving = (*MOVES, Concat)
    return [
        n for n in scheme.graph.nodes
        if not isinstance(n.op, moving) and n.outputs[0] not in scheme.roles.linked
        and n.outputs[0].type.dtype.is_float
    ]  # fmt: skip


def measure(scheme: Scheme, target: Target, samples: Samples, *, sensitivity: bool = True) -> Loss:
    """The loss on samples: the float graph against the integer one, both run by their definitions."""
    graph, compared = scheme.graph, layers(scheme)
    whole = quantised(scheme, watched=True)
    bare = [n.outputs[0] for n in compared if n.outputs[0] not in scheme.roles.needed]
    bare = [v for v in bare if v not in graph.outputs]
    integer = lowered(replace(whole, outputs=(*whole.outputs, *bare)), target)
    places = dict(zip((*whole.outputs, *bare), integer.outputs, strict=True))
    stored = {n.inputs[0]: n.outputs[0] for n in whole.nodes if isinstance(n.op, Quantize)}
    noise, outputs = {n: _Noise() for n in compared}, _Noise()
    for sample in samples:
        exact, rough = run(graph, sample), run(integer, sample)
        for node, entry in noise.items():
            value = node.outputs[0]
            if value in stored:
                real = rough[places[stored[value]]].astype(np.float32) * np.float32(scheme.grids[value].scale)
            else:
                real = rough[places[value]]
            entry.see(exact[value], real)
        for value in graph.outputs:
            outputs.see(exact[value], rough[places[value]])
    gains = sensitivities(scheme, samples) if sensitivity else {}
    results = []
    for node in compared:
        value = node.outputs[0]
        made = integer.producers.get(places[stored.get(value, value)])
        results.append(LayerLoss(
            node.name, _kind(scheme, node), node.origin, "int8" if node in scheme.roles.integer else "float",
            noise[node].snr_db, noise[node].worst, gains.get(node), proven(integer, made) if made is not None else None,
        ))  # fmt: skip
    plain = lowered(quantised(scheme), target)
    floats = sum(any(v.type.dtype.is_float for v in n.outputs) for n in plain.nodes)
    return Loss(len(samples), outputs.snr_db, outputs.worst, tuple(results), floats)


def _kind(scheme: Scheme, node: Node) -> str:
    """Operators of a layer in order."""
    members = sorted(unit(scheme, node), key=scheme.graph.nodes.index)
    return " + ".join(str(getattr(m.op, "function", type(m.op).__name__)) for m in members)


def run(graph: Graph, sample: Mapping[str, Array]) -> dict[Value, Array]:
    """Every value of a graph on one sample."""
    held: dict[Value, Array] = {v: np.asarray(sample[v.name], v.type.dtype.numpy) for v in graph.inputs}
    held |= {v: v.data for v in graph.values if v.data is not None}
    for node in graph.nodes:
        held |= zip(node.outputs, evaluate(node, [held[v] if v else None for v in node.inputs], {}), strict=True)
    return held


def sensitivities(scheme: Scheme, samples: Samples) -> dict[Node, float]:
    """What the outputs gain, in dB, when one layer alone stays float; for all layers that are integer.

    Mean errors do not count: biases make up for those of the layers before them, and would be fitted anew.
    """
    nodes = [n for n in layers(scheme) if n in scheme.roles.integer]
    few = affordable(scheme.graph, samples, SENSITIVITY_WORK // max(1, len(nodes)), 16)
    variants = {n: scheme.keeping(scheme.roles.kept | unit(scheme, n)) for n in nodes}
    base: list[Array] = []
    errors: dict[Node, list[Array]] = {n: [] for n in nodes}
    for sample in few:
        exact = _outputs(scheme, run(scheme.graph, sample))
        start = _simulated(scheme, sample, None, {})
        base.append(_outputs(scheme, start) - exact)
        for node, variant in variants.items():
            errors[node].append(_outputs(scheme, _simulated(variant, sample, scheme, start)) - exact)
    power = _spread(base)
    return {n: decibels(power, max(_spread(e), power * 1e-12)) if power else 0.0 for n, e in errors.items()}


def _outputs(scheme: Scheme, held: Mapping[Value, Array]) -> Array:
    """All outputs in one vector."""
    return np.concatenate([held[v].astype(np.float64).reshape(-1) for v in scheme.graph.outputs])


def _spread(errors: list[Array]) -> float:
    """Power of errors around their mean over the samples; of a single sample, all of it."""
    stacked = np.array(errors)
    centre = stacked.mean(0) if len(errors) > 1 else 0.0
    return float(((stacked - centre) ** 2).sum())


def _simulated(
    scheme: Scheme, sample: Mapping[str, Array], before: Scheme | None, known: Mapping[Value, Array]
) -> dict[Value, Array]:
    """Values of the quantised network, computed in floats; what another scheme computed alike is taken from there."""
    graph = scheme.graph
    held: dict[Value, Array] = {v: np.asarray(sample[v.name], v.type.dtype.numpy) for v in graph.inputs}
    held |= {v: v.data for v in graph.values if v.data is not None}
    changed: set[Value] = set()
    for node in graph.nodes:
        values = [v for v in node.inputs if v is not None]
        if before is not None and not _differs(node, values, scheme, before, changed):
            held |= {v: known[v] for v in node.outputs}
            continue
        changed |= set(node.outputs)
        held |= zip(node.outputs, computed(node, [held[v] if v else None for v in node.inputs], scheme), strict=True)
    return held


def _differs(node: Node, values: list[Value], scheme: Scheme, before: Scheme, changed: set[Value]) -> bool:
    """Whether a node gives other results under two schemes."""
    if (node in scheme.roles.integer) != (node in before.roles.integer) or any(v in changed for v in values):
        return True
    return any(scheme.roles.rounded(node, v) != before.roles.rounded(node, v) for v in values)


def kept_nodes(scheme: Scheme, samples: Samples, keep: str) -> frozenset[Node]:
    """The layers that `keep` names, or as many of the costliest as it says. UserError for names that no layer has."""
    if keep.isdigit():
        gains = sensitivities(scheme, samples)
        ranked = sorted((n for n in gains if gains[n] > 0), key=lambda n: -gains[n])
        return frozenset[Node]().union(*(unit(scheme, n) for n in ranked[: int(keep)]))
    found: set[Node] = set()
    for name in keep.split(","):
        matches = [n for n in scheme.graph.nodes if name in (n.name, n.origin, n.origin.rpartition(" -> ")[2])]
        if not matches:
            known = [n.name for n in scheme.graph.nodes if weighted(n)]
            close = get_close_matches(name, known, 3, 0.4) or known[:3]
            raise UserError(f"no layer named {name!r} to keep", hint=f"layers are {', '.join(close)}, ...")
        found |= frozenset[Node]().union(*(unit(scheme, n) for n in matches))
    return frozenset(found)
