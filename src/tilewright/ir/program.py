"""Programs: how a network runs. Steps over buffers with addresses; what the C printer prints and what can be executed.

A program is SPMD: every core runs all steps. `Phase` splits its calls over the cores; `Copy` and `Job` start transfers
and accelerator jobs that finish at the `Wait` for their token, which the issuing core does; a `Barrier` publishes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..targets.base import Argument, Kernel, Packing
from .graph import Node
from .types import Array, Dim, DType, Kind, Sym, TensorType


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory with a name. `offset` is the address within `memory`; None where the caller owns it."""

    name: str
    kind: Kind
    memory: str
    offset: int | None
    elements: int
    dtype: DType
    data: Array | None = None  # packed constant
    packing: Packing | None = None

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
class Phase:
    """Calls that run one after the other on each core, split along a named axis of the domain (None: core 0)."""

    calls: tuple[Call, ...]
    split: str | None = None


@dataclass(frozen=True)
class Copy:
    """Start a transfer of bytes; done at the Wait for the token."""

    target: Ref
    source: Ref
    bytes: int
    token: int
    core: int = 0


@dataclass(frozen=True)
class Job:
    """Start a call on an accelerator; done at the Wait for the token."""

    call: Call
    token: int
    core: int = 0


@dataclass(frozen=True)
class Wait:
    """The issuing core waits until the token's transfer or job is done."""

    token: int


@dataclass(frozen=True)
class Barrier:
    """All cores meet; what any of them wrote or waited for is visible to all."""


@dataclass(frozen=True)
class Table:
    """Operands of a loop: one row per iteration, one named column per operand that changes."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Ref, ...], ...]


@dataclass(frozen=True)
class Loop:
    """Steps repeated once per row of a table."""

    table: Table
    body: tuple[Step, ...]


Step = Phase | Copy | Job | Wait | Barrier | Loop


@dataclass(frozen=True)
class Program:
    """One entry of a network. `inputs` and `outputs` are buffers of the caller, in the order of the C call."""

    name: str
    steps: tuple[Step, ...]
    inputs: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    syms: tuple[Sym, ...]
    buffers: tuple[Buffer, ...]
