"""Constants that a call ends with: what the next one reads first comes again, when the DMA has nothing else to do.

They stay between calls alone. Whatever is called next finds them: every entry leaves the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from ..ir.graph import Graph
from ..ir.plan import Block, Choice, EntryPlan
from ..ir.repeats import layers
from ..targets.base import Dma
from .resident import bundle_of


def wrapped(plans: Sequence[EntryPlan], dma: Dma, memory: str) -> list[EntryPlan]:
    """The plans of a network that is called again and again, whose calls end with what the last entry starts with."""
    own = plans[-1]
    again = _hidden(own, dma, _candidates(own, memory))
    if not again:
        return list(plans)
    blocks = {name: _block(own, name) for name in again}
    others = [replace(e, again={name: _free(e, block) for name, block in blocks.items()}) for e in plans[:-1]]
    return [_with_blocks(entry, blocks) for entry in (*others, replace(own, again=again))]


def _candidates(entry: EntryPlan, memory: str) -> dict[str, int]:
    """Nodes whose constants begin to arrive before anything runs, and from which step on their bytes are free."""
    graph = entry.graph
    first = next((step for step, node in enumerate(graph.nodes) if node.name in entry.choices), 0)
    does = {name: choice.tiled.does for name, choice in entry.choices.items() if choice.tiled is not None}
    repeat = layers(graph, does)
    found: dict[str, int] = {}
    latest = 0
    for step, node in enumerate(graph.nodes):
        choice = entry.choices.get(node.name)
        if choice is None or not _streams(graph, step, choice) or step - choice.early > first:
            continue
        block = _block(entry, node.name)
        if block.memory != memory or any(b.first < block.first for b in _beside(entry, block)):
            continue
        at = max(latest, _free(entry, block))
        if repeat is not None and repeat.role(step) is not None:  # as in the layers before
            next_ = graph.nodes[step + repeat.period]
            start = step + repeat.period - entry.choices[next_.name].early
            at = max(at, start + repeat.period * (repeat.count - 2))
        if at < len(graph.nodes):
            found[node.name] = latest = at
    return found


def _streams(graph: Graph, step: int, choice: Choice) -> bool:
    """Whether a node's constants come with every call, as a whole."""
    way = choice.tiled
    return (
        way is not None and way.constants is not None and not choice.resident
        and bundle_of(graph.nodes[step], way) is not None
    )  # fmt: skip


def _hidden(entry: EntryPlan, dma: Dma, candidates: Mapping[str, int]) -> dict[str, int]:
    """Those that have arrived when the call ends, as far as can be predicted."""
    nodes = entry.graph.nodes
    choices = [entry.choices.get(node.name) for node in nodes]
    times = [0.0, *accumulate(choice.tiled.time(()) if choice and choice.tiled else 0.0 for choice in choices)]
    idle = 0.0  # when the DMA has done what the call itself needs
    for step, choice in enumerate(choices):
        if choice is not None and choice.tiled is not None and _streams(entry.graph, step, choice):
            assert choice.tiled.constants is not None
            idle = max(idle, times[step - choice.early]) + choice.tiled.constants.cycles
    found: dict[str, int] = {}
    for name, at in candidates.items():
        way = entry.choices[name].tiled
        assert way is not None
        assert way.constants is not None
        there = max(idle, times[at]) + way.constants.cycles + dma.latency
        if there <= times[-1]:
            found[name], idle = at, there
    return found


def _block(entry: EntryPlan, name: str) -> Block:
    return next(block for block in entry.blocks if block.name == f"{name}.constants")


def _beside(entry: EntryPlan, block: Block) -> list[Block]:
    """Other blocks that have some of the same bytes."""
    stop = block.offset + block.bytes
    return [
        b
        for b in entry.blocks
        if b != block and b.memory == block.memory and b.offset < stop and block.offset < b.offset + b.bytes
    ]


def _free(entry: EntryPlan, block: Block) -> int:
    """The step from which on nothing else needs the bytes of a block, of this entry or of another."""
    mine = [block.last + 1] if block in entry.blocks else []
    return max([*mine, *(b.last + 1 for b in _beside(entry, block))], default=0)


def _with_blocks(entry: EntryPlan, blocks: Mapping[str, Block]) -> EntryPlan:
    """The plan with the bytes taken from when they come until the call ends."""
    last = len(entry.graph.nodes) - 1
    kept = [
        replace(blocks[name], name=f"{name}.again", first=at, last=last)
        for name, at in entry.again.items()
        if at <= last
    ]
    return replace(entry, blocks=(*entry.blocks, *kept))
