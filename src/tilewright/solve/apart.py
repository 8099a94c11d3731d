"""What keeps its place beyond its last use, so that no bytes that are used again make anybody wait.

Cores need not meet between steps of which each core touches nothing of what another one does. And where rows are
computed in two parts, a step of the first part may begin while an earlier one of the second part is still at work. Both
hold as long as bytes allow it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from sys import maxsize

from ..ir.domain import Box
from ..ir.footprint import core_boxes, share_of
from ..ir.graph import Graph, Node
from ..ir.plan import Block, Tiled
from ..ir.program import Call
from ..ir.types import Value, syms_of
from ..targets.base import Target
from .tilings import root

Parts = list[dict[str, list[Box]]]  # per core, of every operand

Lasting = Mapping[int, tuple[int, int]]  # step: what dies there lives until which, if it has at most so many bytes

SMALL = 4096  # bytes of what may keep its place: to meet costs less than a plan that has no room
BEHIND = 2  # steps by which the second part of the rows is behind the first one, where there is room


def unmet(graph: Graph, ways: Mapping[str, Tiled], cores: int) -> list[list[int]]:
    """Runs of steps: a core begins each of them as soon as it is done with the one before."""
    parts: dict[int, Parts | None] = {}
    runs: list[list[int]] = []
    for step, node in enumerate(graph.nodes):
        if node.op.view:
            continue
        way = ways[node.name]
        parts[step] = _parts(node, way, cores) if _usual(way) else None
        if runs and all(_apart(graph, before, step, parts) for before in runs[-1]):
            runs[-1].append(step)
        else:
            runs.append([step])
    return [run for run in runs if len(run) > 1]


def undisturbed(blocks: Sequence[Block], runs: Sequence[Sequence[int]]) -> bool:
    """Whether no constants begin to arrive within such runs: cores would meet before they do."""
    within = {step for run in runs for step in run[1:]}
    return not any(block.first in within for block in blocks if block.name.endswith(".constants"))


def through(runs: Sequence[Sequence[int]]) -> Lasting:
    """What dies in a run lives until it ends."""
    return {step: (run[-1], SMALL) for run in runs for step in run[:-1]}


def in_turns(graph: Graph, target: Target, behind: int) -> Lasting:
    """What dies where rows are computed in two parts lives through so many steps that begin meanwhile."""
    parted = [
        not node.op.view and any(target.parts(s) for v in node.outputs for d in v.type.shape[:1] for s in syms_of(d))
        for node in graph.nodes
    ]
    found: dict[int, tuple[int, int]] = {}
    for step in range(len(parted)):
        later = [s for s in range(step + 1, step + 1 + behind) if s < len(parted) and parted[s]]
        if later and any(parted[max(0, step - behind) : step + 1]):
            found[step] = later[-1], maxsize
    return found


def kept(blocks: dict[str, Block], lasting: Lasting, memory: str) -> None:
    """Blocks live longer; not constants: others are on their way to their place."""
    for name, block in blocks.items():
        last, most = lasting.get(block.last, (0, 0))
        if last and block.bytes <= most and block.memory == memory and not name.endswith(".constants"):
            blocks[name] = replace(block, last=last)


def _usual(way: Tiled) -> bool:
    """All cores have a share of one call."""
    return not (way.tile or way.aside or way.partner or way.cores or way.kernel.meets)


def _apart(graph: Graph, before: int, step: int, parts: Mapping[int, Parts | None]) -> bool:
    """Whether cores' parts of what is in both nodes, and written in one, do not meet those of other cores."""
    pair = graph.nodes[before], graph.nodes[step]
    first, second = parts[before], parts[step]
    if first is None or second is None:
        return False
    common = [
        (a, b)
        for a, mine in pair[0].operands.items()
        for b, theirs in pair[1].operands.items()
        if _home(graph, mine) is _home(graph, theirs) and (mine in pair[0].outputs or theirs in pair[1].outputs)
    ]
    if any(pair[0].operands[a].type.shape != pair[1].operands[b].type.shape for a, b in common):
        return False
    return not any(
        _meet(x, y)
        for (i, mine), (j, theirs) in itertools.product(enumerate(first), enumerate(second))
        if i != j
        for a, b in common
        for x, y in itertools.product(mine[a], theirs[b])
    )


def _home(graph: Graph, value: Value) -> Value:
    return root(graph, graph.storage(value))[0]


def _parts(node: Node, way: Tiled, cores: int) -> Parts | None:
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
