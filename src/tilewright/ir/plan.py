"""Plans: the record of every decision about a network. Made by `solve`, read by `schedule`, kept as plan.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..targets.base import Kernel
from .graph import Graph
from .types import Dim, Kind, Value


@dataclass(frozen=True)
class Choice:
    """What runs a node: kernel, predicted cycles (nominal and at most), bytes of scratch."""

    kernel: Kernel
    cycles: float
    worst_cycles: float
    scratch: int


@dataclass(frozen=True)
class Block:
    """Bytes that live somewhere from the step `first` to the step `last`, both included; one or more values."""

    name: str
    memory: str
    bytes: int
    first: int
    last: int
    offset: int = -1  # placed by solve

    def overlaps_in_time(self, other: Block) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Home:
    """Where a value lives: a block of the plan, or (`block` None) memory of the caller; elements from its start."""

    block: str | None
    offset: Dim = 0


@dataclass(frozen=True)
class EntryPlan:
    """Decisions for one entry of a network: its graph, a choice per node, transient blocks and homes."""

    graph: Graph
    choices: Mapping[str, Choice]  # by node name; views have none
    blocks: tuple[Block, ...]
    homes: Mapping[Value, Home]

    @property
    def cycles(self) -> float:
        """Predicted cycles at nominal sizes."""
        return sum(c.cycles for c in self.choices.values())


@dataclass(frozen=True)
class Plan:
    """Decisions for a whole network: entries share constants, states, and the arena of transients."""

    target: str
    entries: tuple[EntryPlan, ...]
    packings: Mapping[Value, str]  # layout of each constant and state, "" for the logical one
    capacity: Mapping[str, int]  # bytes of each memory's arena
    lower_bound: int  # no placement can use fewer bytes of arena than this
    levels: Mapping[Kind, str]  # the memory that holds constants (CONST), transients (ACT), state (STATE)
