"""Repetition in sequences: the layers of a network, the steps of a program."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from .graph import Graph
from .types import Kind


@dataclass(frozen=True)
class Repeat:
    """`count` equal blocks of `period` elements, from `start` on."""

    start: int
    period: int
    count: int

    def role(self, index: int) -> int | None:
        """Which element of a block this is; None outside."""
        inside = self.start <= index < self.start + self.period * self.count
        return (index - self.start) % self.period if inside else None


def best_run(keys: Sequence[Hashable], at: int) -> tuple[int, int]:
    """(period, repetitions) of the run from `at` that covers most elements; the shortest period among equals."""
    best, covered = (1, 1), 1
    for period in range(1, (len(keys) - at) // 2 + 1):
        if keys[at] != keys[at + period]:
            continue
        count = 1
        while keys[at : at + period] == keys[at + count * period : at + (count + 1) * period]:
            count += 1
        if count > 1 and count * period > covered:
            best, covered = (period, count), count * period
    return best


def layers(graph: Graph, does: Mapping[str, Hashable]) -> Repeat | None:
    """The longest repetition of nodes that do the same; None where there is none worth a loop.

    `does`: equal for nodes (by name) that run, or may run, in the same ways. Inputs of the network count as what others
    compute: the first layer reads one.
    """
    known: dict[Hashable, int] = {}
    keys = []
    for node in graph.nodes:
        kinds = tuple((name, v.type, Kind.ACT if v.kind is Kind.INPUT else v.kind) for name, v in node.operands.items())
        keys.append(known.setdefault((node.op, kinds, does.get(node.name)), len(known)))
    best: Repeat | None = None
    at = 0
    while at < len(keys):
        period, count = best_run(keys, at)
        if count > 1 and period > 1 and (best is None or period * count > best.period * best.count):
            best = Repeat(at, period, count)
        at += max(1, period * count if count > 1 else 1)
    return best
