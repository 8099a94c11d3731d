"""Steps of cores that need not meet between: each core touches nothing of what another one does in the step before.

Barriers stand where bytes demand them. So that none is demanded by bytes that are used again, what the step before
touches keeps its place for one step more.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..ir.domain import Box
from ..ir.footprint import core_boxes, share_of
from ..ir.graph import Graph, Node
from ..ir.plan import Block, Tiled
from ..ir.program import Call
from ..ir.types import Value
from .tilings import root


def unmet(graph: Graph, ways: Mapping[str, Tiled], cores: int) -> dict[int, int]:
    """Steps that may begin on a core as soon as that core is done with the one before; with the step before."""
    steps = [step for step, node in enumerate(graph.nodes) if not node.op.view]
    found = {}
    for before, step in itertools.pairwise(steps):
        pair = graph.nodes[before], graph.nodes[step]
        if all(_usual(ways[node.name]) for node in pair) and _apart(graph, pair, ways, cores):
            found[step] = before
    return found


def undisturbed(blocks: Sequence[Block], pairs: Mapping[int, int]) -> bool:
    """Whether no constants begin to arrive at such steps: cores would meet before they do."""
    return not any(block.first in pairs for block in blocks if block.name.endswith(".constants"))


def kept(blocks: dict[str, Block], pairs: Mapping[int, int], memory: str) -> None:
    """Blocks that die before such a step live until it ends; not constants: others are on their way to their place."""
    for step, before in sorted(pairs.items()):
        for name, block in blocks.items():
            if block.memory == memory and block.last == before and not name.endswith(".constants"):
                blocks[name] = replace(block, last=step)


def _usual(way: Tiled) -> bool:
    """All cores have a share of one call."""
    return not (way.tile or way.aside or way.partner or way.cores or way.kernel.meets)


def _apart(graph: Graph, pair: tuple[Node, Node], ways: Mapping[str, Tiled], cores: int) -> bool:
    """Whether cores' parts of what is in both nodes, and written in one, do not meet those of other cores."""
    common = [
        (a, b)
        for a, mine in pair[0].operands.items()
        for b, theirs in pair[1].operands.items()
        if _home(graph, mine) is _home(graph, theirs) and (mine in pair[0].outputs or theirs in pair[1].outputs)
    ]
    if not common or any(pair[0].operands[a].type.shape != pair[1].operands[b].type.shape for a, b in common):
        return False
    parts = [_parts(node, ways[node.name], cores) for node in pair]
    if parts[0] is None or parts[1] is None:
        return False
    first, second = parts
    return not any(
        _meet(x, y)
        for (i, mine), (j, theirs) in itertools.product(enumerate(first or ()), enumerate(second or ()))
        if i != j
        for a, b in common
        for x, y in itertools.product(mine[a], theirs[b])
    )


def _home(graph: Graph, value: Value) -> Value:
    return root(graph, graph.storage(value))[0]


def _parts(node: Node, way: Tiled, cores: int) -> list[dict[str, list[Box]]] | None:
    """Of each core, what it touches; None where nothing is shared out, or sizes are known at run time only."""
    shapes = [value.type.shape for value in node.operands.values()]
    if not all(isinstance(d, int) for shape in shapes for d in shape):
        return None
    share = share_of(way.kernel, node, 0)
    if share is None or not isinstance(share.total, int):
        return None
    extents = node.op.domain(*node.types).extents({n: v.type.shape for n, v in node.operands.items()})
    if not all(isinstance(d, int) for d in extents.values()):
        return None
    return core_boxes(Call(way.kernel, node, (), ()), share, cores, {})


def _meet(a: Box, b: Box) -> bool:
    return all(x[0] < y[1] and y[0] < x[1] for x, y in zip(a, b, strict=True))
