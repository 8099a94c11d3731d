"""How long calls of asynchronous engines may be in flight: from when their operands are there, to the first reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ir.graph import Graph
from ..ir.plan import Tiled
from ..ir.types import Value
from ..targets.base import Target
from .tilings import root


@dataclass(frozen=True)
class Flight:
    """The steps at which a call may start at the earliest, and may still run at the latest."""

    first: int
    last: int


def flights(graph: Graph, ways: Mapping[str, Tiled], target: Target) -> dict[int, Flight]:
    """Of the nodes that an asynchronous engine has, or some of; by step.

    No call starts further ahead than its engine's queue holds calls. A node that is cut comes and goes tile by tile: it
    is in flight at its own step alone.
    """
    written: dict[Value, int] = {}
    read: dict[Value, list[int]] = {}
    for step, node in enumerate(graph.nodes):
        if node.op.view:
            continue
        for value in node.inputs:
            if value is not None:
                read.setdefault(root(graph, value)[0], []).append(step)
        for value in node.outputs:
            written[root(graph, value)[0]] = step
    found: dict[int, Flight] = {}
    starts = [0] * max(engine.queue for engine in target.engines)
    for step, node in enumerate(graph.nodes):
        way = ways.get(node.name)
        if way is None or not way.aside or way.tile:
            continue
        made = (written.get(root(graph, value)[0], -1) for value in node.inputs if value is not None)
        readers = (at for value in node.outputs for at in read.get(root(graph, value)[0], ()) if at > step)
        queue = target.engine((way.partner or way).kernel).queue
        first = min(step, max(starts[-1], starts[-queue] + 1, *(at + 1 for at in made)))
        found[step] = Flight(first, max(step, min(readers, default=step) - 1))
        starts.append(first)
    return found
