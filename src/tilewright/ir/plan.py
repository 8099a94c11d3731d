"""Plans: the record of every decision about a network. Made by `solve`, read by `schedule`, kept as plan.json."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field

from ..targets.base import Kernel, Packing
from .graph import Graph
from .types import Dim, Kind, Value

Tile = tuple[tuple[str, int], ...]  # the dimensions that are cut, outermost loop first, and their extent per tile


@dataclass(frozen=True)
class Stream:
    """An operand that passes through a buffer tile by tile. `size`: bytes of the largest tile; the rest per run."""

    operand: str
    size: int
    moved: float  # bytes
    transfers: float
    cycles: float  # of the DMA
    issue: float  # cycles of the core that starts the transfers
    near: bool  # whether the tiles can be used in place, where the whole value is in the scratchpad


@dataclass(frozen=True)
class Partner:
    """What an asynchronous engine does of a node while the cores do the rest: the last `size` of a dimension.

    Core 0, which starts it, has `late` units of the cores' share less than the others. Where the partner does only a
    product of what is one operator for the cores, `then` finishes it: `between` bytes go from one to the other.
    """

    kernel: Kernel
    dim: str
    size: int
    late: int = 0
    then: Kernel | None = None
    between: int = 0


@dataclass(frozen=True)
class Tiled:
    """One way to run a node: kernel, tile, buffers per stream (2: transfers overlap the tile before), cycles."""

    kernel: Kernel
    tile: Tile
    depth: int
    count: int  # tiles
    cycles: float
    around: float  # cycles between the kernels: barriers, waits
    worst_cycles: float
    scratch: int
    streams: tuple[Stream, ...]  # activations, results, state
    constants: Stream | None
    cores: int = 0  # that share the work, where not all have scratch; 0: all
    partner: Partner | None = None
    aside: bool = False  # whether an asynchronous engine has it, or some of it

    @property
    def does(self) -> Hashable:
        """Equal for ways that run nodes of one shape by the same code."""
        mate = self.partner
        return tuple(kernel.symbol for kernel in self.kernels), mate and (mate.dim, mate.size, mate.late)

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """What runs the node: more than one where engines share it."""
        mate = self.partner
        others = () if mate is None else (mate.kernel, mate.then)
        return (self.kernel, *(kernel for kernel in others if kernel is not None))

    @property
    def between(self) -> int:
        """Bytes that go from one engine to another."""
        return self.partner.between if self.partner else 0

    @property
    def own(self) -> int:
        """Bytes of the scratchpad that the node needs whatever is near: scratch, constants, what engines pass on."""
        constants = aligned(self.constants.size) * self.depth if self.constants else 0
        return aligned(self.scratch) + aligned(self.between) + constants

    @property
    def serial(self) -> bool:
        """Whether kernels wait for the transfers of all tiles."""
        return self.count > 1 and self.depth == 1

    def time(self, moving: Collection[str] | None = None) -> float:
        """Predicted cycles, with these streams (None: all) through buffers; constants always are.

        A single tile's constants may come while other nodes run; the first and the last tile of streams hide nowhere.
        """
        streams = [s for s in self.streams if moving is None or s.operand in moving]
        moves = [*streams, self.constants] if self.constants else streams
        cores = self.cycles + self.around + sum(s.issue for s in moves)
        dma = sum(s.cycles for s in moves)
        open_ = dma if self.serial else sum(s.cycles for s in streams) / self.count
        return max(cores, dma - open_) + open_

    @property
    def least(self) -> int:
        """Bytes when nothing else is near."""
        return self.own + sum(aligned(s.size) * self.depth for s in self.streams)


MEMBER_ALIGNMENT = 8  # of constants that travel together


def aligned(size: int, to: int = 16) -> int:
    """The size rounded up: 16 is how buffers in a scratchpad begin."""
    return -(-size // to) * to


@dataclass(frozen=True)
class Choice:
    """What runs a node: kernel, predicted cycles of it (nominal and at most), bytes of scratch of all cores.

    On a target with a scratchpad `tiled` says how the node is cut and what passes through buffers, and `early` how
    many steps ahead its constants begin to arrive; `resident` ones came with the first call and stay. `offered` are the
    ways there were, none where nothing had to be cut.
    """

    kernel: Kernel
    cycles: float
    worst_cycles: float
    scratch: int
    tiled: Tiled | None = None
    early: int = 0
    resident: bool = False
    offered: tuple[Tiled, ...] = ()

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """What runs the node: more than one where engines share it."""
        return (self.kernel,) if self.tiled is None else self.tiled.kernels


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
    """Decisions for one entry of a network: its graph, a choice per node, transient blocks and homes.

    `again`: constants that a call ends with, for the next one to find, by the nodes that read them; the step before
    which they are sent for.
    """

    graph: Graph
    choices: Mapping[str, Choice]  # by node name; views have none
    blocks: tuple[Block, ...]
    homes: Mapping[Value, Home]
    again: Mapping[str, int] = field(default_factory=dict)

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


def packings_of(graph: Graph, choices: Mapping[str, Choice]) -> dict[Value, Packing]:
    """The packing of each constant and state, from the kernels that use them (which agree: see the checker)."""
    found: dict[Value, Packing] = {}
    for node in graph.nodes:
        if not node.op.view:
            packings = choices[node.name].kernel.packing
            found |= {graph.storage(v): packings[name] for name, v in node.operands.items() if name in packings}
    return found
