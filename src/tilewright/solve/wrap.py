"""Constants that a call ends with: what the next one reads first comes again, when the DMA has nothing else to do.

They stay between calls alone. Whatever is called next finds them: every entry leaves the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..ir.graph import Graph
from ..ir.plan import Block, EntryPlan, Tiled
from ..ir.repeats import Repeat
from ..targets.base import Dma

Ways = Mapping[str, Tiled]
WORTH = 50  # cycles that it has to save: a token is taken and waited for once more


def wrapped(
    graph: Graph, ways: Ways, blocks: Mapping[str, Block], early: Mapping[str, int], dma: Dma, repeat: Repeat | None
) -> dict[str, Block]:  # fmt: skip
    """Bytes of constants from when they come again until the call ends, by the nodes that the next call has them for.

    Of those whose transfers begin before anything runs they are what would be waited for, and is not at the end.
    `early`: how many steps ahead the constants of nodes begin to arrive.
    """
    nodes = graph.nodes
    start = {step: step - early[node.name] for step, node in enumerate(nodes) if node.name in early}
    begin = next((step for step, node in enumerate(nodes) if node.name in ways), 0)
    again: dict[int, int] = {}
    least = _cycles(graph, ways, start, again, dma)
    for step in [step for step, at in start.items() if at <= begin and not ways[nodes[step].name].tile]:
        at = max(_again(step, start, repeat), blocks[f"{nodes[step].name}.constants"].last + 1)
        if max(again.values(), default=0) <= at < len(nodes):
            cycles = _cycles(graph, ways, start, {**again, step: at}, dma)
            if cycles + WORTH <= least:
                again[step], least = at, cycles
    return {
        (name := nodes[step].name): replace(
            blocks[f"{name}.constants"], name=f"{name}.again.constants", first=at, last=len(nodes) - 1
        )
        for step, at in again.items()
    }


def _again(step: int, start: Mapping[int, int], repeat: Repeat | None) -> int:
    """The step before which a node's constants are sent for again: in the last layer where the layers before do."""
    if repeat is None or repeat.role(step) is None or step + repeat.period not in start:
        return step + 1
    return start[step + repeat.period] + (repeat.count - 1) * repeat.period


def _cycles(graph: Graph, ways: Ways, start: Mapping[int, int], again: Mapping[int, int], dma: Dma) -> float:
    """Cycles of a call that waits for constants, where those of some steps come at its end, for the next call."""
    sent: dict[int, list[int]] = {}
    for step, at in (*((s, at) for s, at in start.items() if s not in again), *again.items()):
        sent.setdefault(at, []).append(step)
    now, idle, there = 0.0, 0.0, dict.fromkeys(again, 0.0)
    for step, node in enumerate(graph.nodes):
        for load in sent.get(step, ()):
            constants = ways[graph.nodes[load].name].constants
            assert constants is not None
            idle = max(idle, now) + constants.cycles
            if load >= step:
                there[load] = idle + dma.latency
        now = max(now, there.get(step, 0.0))
        now += ways[node.name].cycles + ways[node.name].around if node.name in ways else 0.0
    return max(now, idle + dma.latency)


def elsewhere(entry: EntryPlan, last: EntryPlan) -> EntryPlan:
    """Another entry's plan, which leaves the same bytes as the last one's: as early as its own blocks allow."""
    blocks = {block.name: block for block in last.blocks}
    again = {name: _free(entry, blocks[f"{name}.constants"]) for name in last.again}
    end = len(entry.graph.nodes) - 1
    left = [
        replace(blocks[f"{name}.constants"], name=f"{name}.again.constants", first=step, last=end)
        for name, step in again.items()
        if step <= end
    ]
    return replace(entry, again=again, blocks=(*entry.blocks, *left))


def _free(entry: EntryPlan, block: Block) -> int:
    """The step from which on no block needs the bytes of one of another entry."""
    stop = block.offset + block.bytes
    beside: Sequence[Block] = [
        b for b in entry.blocks if b.memory == block.memory and b.offset < stop and block.offset < b.offset + b.bytes
    ]
    return max((b.last + 1 for b in beside), default=0)
