"""Programs: how a network runs. Steps over buffers with addresses; what the C printer prints and what can be executed.

A program is SPMD: every core runs all steps. `Phase` shares its calls out over the cores, `Parts` gives each its own;
`Copy` and `Job` start transfers and accelerator jobs that finish at the `Wait` for their token, which the issuing core
does; a `Barrier` publishes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..targets.base import Argument, Kernel, Packing
from .graph import Node
from .types import Array, Dim, DType, Kind, Sym, TensorType


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory with a name. `offset` is the address within `memory` (of a member: within its struct); None: by name."""

    name: str
    kind: Kind
    memory: str
    offset: int | None
    elements: int
    dtype: DType
    data: Array | None = None  # packed constant
    packing: Packing | None = None
    members: tuple[Buffer, ...] = ()  # constants that travel together: this buffer is a struct of them, in bytes

    @property
    def bytes(self) -> int:
        return (self.elements * self.dtype.bits + 7) // 8


@dataclass(frozen=True)
class Ref:
    """An operand: a buffer, and the first element within it."""

    buffer: Buffer
    offset: Dim = 0


@dataclass(frozen=True)
class Column:
    """An operand inside a Loop: the entry of the loop's table in this column."""

    index: int


Operand = Ref | Column


@dataclass(frozen=True)
class Call:
    """One kernel call. `operands` follow the kernel's pointer parameters by name; None passes a null pointer.

    `semantics` is the node whose reference defines what the call does to the operands, named as its operator does.
    """

    kernel: Kernel
    semantics: Node
    operands: tuple[tuple[str, Operand | None], ...]
    scalars: tuple[tuple[str, Argument], ...]

    def types(self) -> dict[str, TensorType]:
        return {name: value.type for name, value in self.semantics.operands.items()}


@dataclass(frozen=True)
class Share:
    """A core's part of a call: indices of 0 .. `total` in multiples of `unit`, as even as that allows.

    Core 0 has up to `late` units less than the others: it starts something before.
    """

    total: Dim
    unit: int = 1
    dims: tuple[str, ...] = ()  # of the operator's domain, flat in this order
    cores: int = 0  # that get any, and have scratch; 0: all
    late: int = 0

    def range_of(self, core: int, cores: int, total: int) -> tuple[int, int]:
        """First index and one past the last of a core: what the C computes."""
        units = -(-total // self.unit) + self.late
        chunk, missing = -(units // -cores) * self.unit, self.late * self.unit
        ends = (core * chunk - missing, (core + 1) * chunk - missing)
        return min(max(0, ends[0]), total), min(max(0, ends[1]), total)


@dataclass(frozen=True)
class Phase:
    """Calls that run one after the other on each core, each core its share of them; without a share on core 0 alone."""

    calls: tuple[Call, ...]
    share: Share | None = None


@dataclass(frozen=True)
class Parts:
    """One call, cut into a smaller one for each core: they differ in operands' offsets and scalars. None: no work."""

    calls: tuple[Call | None, ...]


@dataclass(frozen=True)
class Copy:
    """Start a transfer between the scratchpad and another memory; done at the Wait for the token.

    `blocks` blocks of `lines` lines of `bytes` each. In the scratchpad they follow each other; outside, lines are
    `stride` bytes apart and blocks `apart`. Transfers that share a token follow each other directly. One of no bytes
    stands for what the call before brought: it opens a token that is waited for like others.
    """

    target: Operand
    source: Operand
    bytes: Dim
    token: int
    lines: Dim = 1
    stride: int = 0
    core: int = 0
    blocks: int = 1
    apart: int = 0


FIRST_JOB = 64  # tokens from here on are of jobs, those below of transfers


@dataclass(frozen=True)
class Job:
    """Start a call on an asynchronous engine, which takes them in order; done at the Wait for the token."""

    call: Call
    token: int
    core: int = 0


@dataclass(frozen=True)
class Wait:
    """The issuing core waits until the token's transfers are done, or its job and all that started before it.

    `behind`: how many jobs started since then on that engine (of transfers the name is empty). `tells`: where that is
    none, the engine is told of the call that starts next meanwhile; in a program all waits are alike in that.
    """

    token: int
    core: int = 0
    engine: str = ""
    behind: int = 0
    tells: bool = True


@dataclass(frozen=True)
class Barrier:
    """All cores meet; what any of them wrote or waited for is visible to all."""


@dataclass(frozen=True)
class Table:
    """Operands of a loop: one row per iteration, one named column per operand that changes.

    None: the transfer from or to there is left out in that iteration.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Ref | None, ...], ...]


@dataclass(frozen=True)
class Loop:
    """Steps repeated once per row of a table."""

    table: Table
    body: tuple[Step, ...]


@dataclass(frozen=True)
class Once:
    """Steps of the network's first call only, whichever program it is of: what stays in the scratchpad is fetched."""

    steps: tuple[Step, ...]


Work = Phase | Parts | Copy | Job  # what touches bytes: where to wait and to meet follows from it
Step = Work | Wait | Barrier | Loop | Once


@dataclass(frozen=True)
class Program:
    """One entry of a network. `inputs` and `outputs` are buffers of the caller, in the order of the C call."""

    name: str
    steps: tuple[Step, ...]
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    syms: tuple[Sym, ...]
    buffers: tuple[Buffer, ...]
