"""What a target is made of: memories, engines, a toolchain, a runner, and a table of kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..errors import UserError
from ..ir.domain import Box
from ..ir.graph import Node
from ..ir.op import Op
from ..ir.types import Array, Expr, Kind, Sym, TensorType, maximum

Scalar = int | float | Sym | Expr
Argument = Scalar | tuple[int, ...]  # a tuple is a table: extents, strides, offsets
USUAL_ARGUMENTS = 14  # of a kernel that takes no struct
ALONE = ("scratch", "first", "last")  # parameters that a core has for itself
Rule = Callable[[Node], bool]  # its docstring is the rejection message and the line in SUPPORT.md


@dataclass(frozen=True)
class Packing:
    """How a kernel wants a constant laid out. `unpack(pack(a), a.shape)` equals a, to the bit."""

    name: str
    pack: Callable[[Array], Array]  # logical array -> 1-D array of the same element type
    unpack: Callable[[Array, tuple[int, ...]], Array]
    region: Callable[[Box, tuple[int, ...]], tuple[int, int] | None] = lambda box, shape: None  # noqa: ARG005
    # first packed element and number of a box's elements, where the packed box is a run of the packed whole

    def elements(self, shape: tuple[int, ...]) -> int:
        """How many elements the packed form of a shape has."""
        import numpy as np

        return int(self.pack(np.zeros(shape, np.int8)).size)


@dataclass(frozen=True)
class Split:
    """How the cores share a call: the flat index over some parallel dimensions, in multiples of `unit`."""

    dims: tuple[str, ...]
    unit: int = 1


@dataclass(frozen=True)
class Kernel:
    """One table row: an operator bound to a C function of an engine.

    `signature` is the C parameter list. A pointer parameter named as an operand or result receives its address, one
    named `scratch` receives the scratch buffer; a pointer to pointers named as a "*" operand receives the addresses of
    all of them. The rest comes from `arguments`, by name: scalars, which may be affine in Syms, and tables of numbers
    for `const int32_t *` parameters. `dtypes` gives the element type of every operand, "*" for any. `cycles` is the
    cost in the engine's own unit. `examples` draws instances that the row runs, where the operator's rarely are.

    With a `split`, parameters `first` and `last` receive the range of the flat index that a core computes: it writes
    those elements of the results and no other. `scratch` is then per core. Cores of a row that `meets` share a call out
    among themselves instead: each of them calls, none ends before the last has begun, they have one scratch together,
    and each may touch all of an operand. On an asynchronous engine, which computes a call alone, a split says along
    which dimension the cores may take a part of the node. `direct` names operands of which a call touches little
    (tables that are looked up, a cache that is appended to), or which its engine reads from there: they are used in
    whatever memory they are. A scalar `jobs` says how many jobs of its engine a call is.

    With `by_struct` the C function takes the address of a `struct SYMBOL` that has what is known at compile time, a
    field for each parameter, and behind it what a core or a call has of its own: `scratch`, `first` and `last`, and
    parameters that `late` names because they follow from run-time sizes. A call is then a few instructions.

    What depends on the values of a node's constants, such as a packing, is known once the row is bound to nodes.
    """

    op: type[Op]
    file: str
    symbol: str
    signature: str
    dtypes: Mapping[str, str]
    arguments: Callable[[Node], Mapping[str, Argument]] = lambda node: {}  # noqa: ARG005
    requires: tuple[Rule, ...] = ()
    packing: Mapping[str, Packing] = field(default_factory=dict)
    scratch: Callable[[Node], int] = lambda node: 0  # noqa: ARG005
    cycles: Callable[[Node], float] = lambda node: 1.0  # noqa: ARG005
    in_place: Mapping[str, str] = field(default_factory=dict)  # result -> operand that it may overwrite
    split: Callable[[Node], Split | None] = lambda node: None  # noqa: ARG005
    direct: frozenset[str] = frozenset()
    examples: Callable[[Any], tuple[Op, tuple[TensorType | None, ...]]] | None = None
    engine: str = "cpu"
    meets: bool = False
    bind: Callable[[Kernel, Sequence[Node]], Kernel] | None = None
    by_struct: bool = False
    late: frozenset[str] = frozenset()

    def bound(self, nodes: Sequence[Node]) -> Kernel:
        """The row for nodes of one shape that it runs, and for their pieces: layers of a network are one loop."""
        return self if self.bind is None else self.bind(self, nodes)

    @property
    def costed(self) -> bool:
        """Whether the row has a cycle model of its own."""
        return self.cycles is not type(self).cycles

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """(C type, name) of every parameter."""
        pairs = []
        for text in self.signature.split(","):
            kind, _, name = text.strip().rpartition(" ")
            stars = len(name) - len(name.lstrip("*"))
            pairs.append((f"{kind} {'*' * stars}".strip(), name.lstrip("*")))
        return tuple(pairs)

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """(C type, name) of what lies in the struct of a call; none where all is passed as arguments."""
        passed = set(self.passed)
        rest = [pair for pair in self.parameters if pair not in passed]
        return tuple((ctype.removesuffix("restrict").rstrip(), name) for ctype, name in rest)

    @property
    def passed(self) -> tuple[tuple[str, str], ...]:
        """(C type, name) of the C function's arguments, behind the address of a struct where there is one."""
        if not self.by_struct:
            return self.parameters
        return tuple(pair for pair in self.parameters if pair[1] in ALONE or pair[1] in self.late)

    @property
    def passes(self) -> int:
        """How many arguments the C function has."""
        return len(self.passed) + bool(self.fields)

    def chunks(self, node: Node, cores: Sequence[int]) -> list[int]:
        """Indices that the busiest core gets, where so many share a call; run-time sizes at their maximum."""
        split = self.split(node)
        if split is None:
            return [1] * len(cores)
        shapes = {name: value.type.shape for name, value in node.operands.items()}
        extents = node.op.domain(*node.types).extents(shapes)
        total = math.prod(maximum(extents[name]) for name in split.dims)
        units = -(-total // split.unit)
        return [-(units // -number) * split.unit for number in cores]

    def jobs(self, node: Node) -> int:
        """How many jobs of its engine a call is."""
        jobs = self.arguments(node).get("jobs", 1)
        assert isinstance(jobs, int)
        return jobs

    def layout(self, operand: str) -> str:
        """The name of the layout of an operand, "" for the logical one."""
        return packing.name if (packing := self.packing.get(operand)) else ""

    def gathers(self, parameter: str) -> bool:
        """Whether the parameter takes the addresses of all operands of a "*" name."""
        return any(name == parameter and ctype.count("*") > 1 for ctype, name in self.parameters)

    def unpacked(self, node: Node) -> str | None:
        """Which operand the kernel wants packed that is computed at run time, None where there is none."""
        for name in self.packing:
            value = node.operands.get(name)
            if value is not None and value.kind not in (Kind.CONST, Kind.STATE):
                return f"{name} must be a constant, it is computed at run time"
        return None

    def misfit(self, node: Node) -> str | None:
        """Why the kernel cannot run this node, None where it can."""
        if type(node.op) is not self.op:
            return f"is for {self.op.__name__}"
        for name, value in node.operands.items():
            wanted = self.dtypes.get(name, self.dtypes.get(name.rstrip("0123456789"), "*"))
            if wanted not in ("*", value.type.dtype.name):
                return f"{name} must be {wanted}, it is {value.type.dtype.name}"
        for rule in self.requires:
            if not rule(node):
                return (rule.__doc__ or rule.__name__).strip()
        return None


@dataclass(frozen=True)
class Memory:
    """A memory that plans place buffers in. `bytes` None: as much as is asked for."""

    name: str
    bytes: int | None
    holds: str  # "const": weights and tables; "data": activations and state; "both"
    alignment: int = 16


@dataclass(frozen=True)
class Dma:
    """Transfers between the scratchpad and other memories, one after the other in each direction; cycles."""

    issue: float  # of the core that starts a transfer
    block: float  # of that core for each block of a transfer behind the first
    queue: int  # transfers of a core that may be under way until the next start waits
    latency: float
    bytes_per_cycle: float
    width: int  # bytes that go out at once; half of them come in
    burst: int  # bytes of a line, at most, that the DMA asks for at once

    def cycles(self, size: float, lines: float = 1, *, outward: bool = False) -> float:
        """How long a transfer, or a block of one, occupies it: at least a cycle a burst, on its way out one more."""
        bursts = lines * math.ceil(size / lines / self.burst)
        word = self.width if outward else self.width // 2
        moved = lines * math.ceil(size / lines / word) * word / self.bytes_per_cycle
        return moved + bursts if outward else max(moved, bursts)


@dataclass(frozen=True)
class Overhead:
    """What a program costs beside its kernels and transfers; cycles."""

    barrier: float  # from the last core's arrival until all go on, the call included
    wait: float  # of a wait for a transfer that is done
    phase: float  # around the calls of a phase: shares
    argument: float  # of a call
    turn: float  # a round of a loop, without its body

    @property
    def tile(self) -> float:
        """Of a tile whose operands arrive: its phase, with so many arguments, and barriers before and behind it."""
        return self.wait + self.phase + USUAL_ARGUMENTS * self.argument + 2 * self.barrier


@dataclass(frozen=True)
class CodeCache:
    """The cores' cache of instructions, which makes room at random; bytes of machine code that steps pass through."""

    bytes: int
    fetch: float  # cycles for a byte that is not there
    phase: int  # around the calls of a phase
    argument: float  # of a call
    kernels: Mapping[str, int]  # a call, by the kernel's symbol
    other: int  # a call of a kernel that is not among them
    added: float  # cycles of a network's call for a byte of kernels that it calls: to fetch it, and what it drives out

    def around(self, arguments: int) -> float:
        """Bytes around the calls of a phase, which have so many arguments together."""
        return self.phase + self.argument * arguments

    def call(self, kernel: Kernel) -> int:
        """Bytes that a call of the kernel passes through."""
        return self.kernels.get(kernel.symbol, self.other)


@dataclass(frozen=True)
class Described:
    """What an asynchronous engine's runtime reads of a job: addresses of a call's parameters, a table of numbers."""

    addresses: tuple[tuple[str, int], ...]  # parameter, bytes to add
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Engine:
    """Something that executes kernels. `cores` > 1: SPMD.

    What all cores do at most in a cycle: multiply-accumulates by type of the operands ("": any other), bytes.
    With a `queue` it is asynchronous: a core starts its calls, of which it takes so many at once, and waits for them
    later. Its kernels count the call's own cycles.
    """

    name: str
    cores: int
    clock_mhz: float | None = None
    macs_per_cycle: Mapping[str, float] = field(default_factory=dict)
    bytes_per_cycle: float | None = None
    queue: int = 0
    issue: float = 0.0  # cycles of the core that starts a call which the engine has been told of
    describe: float = 0.0  # of that core to tell it of a job: the next call's first one while it waits for all others
    latency: float = 0.0  # from a call's end until the core that waits goes on
    beside: float = 1.0  # how many times as long a call takes while the cores work: they share the scratchpad's banks
    rows: int = 0  # of a product that it takes at once
    inputs: int = 0  # of a product that it takes in at once: one more is as much work as so many more
    jobs: Callable[[Sequence[Mapping[str, Argument]]], Sequence[Sequence[Described]]] | None = None
    # scalars of a program's calls, in the order of their start -> the jobs of each

    @property
    def asynchronous(self) -> bool:
        return self.queue > 0


class Built(Protocol):
    """What a build left: the program, and its sizes (a dataclass) where the toolchain tells them."""

    @property
    def executable(self) -> Path: ...
    @property
    def sizes(self) -> Any: ...


class Runner(Protocol):
    """A built network that can be called: `run` for plain networks, `prefill` and `decode` for language models."""

    plan: dict[str, Any]
    built: Any

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """One run; arrays in the order of the interface."""

    def series(self, inputs: Sequence[Array], repeat: int, expected: Sequence[Array] | None) -> Iterator[list[Array]]:
        """Runs in a row from the first state on, a language model anew for each; `expected` goes into the program."""

    def measured(self) -> dict[str, Any]:
        """Fields about the latest series: cycles, energy ..., where the target tells them."""

    def rows(self, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """What people read about the latest series, as rows of a table: name, value, note. `fields` as of `--json`."""

    def reset(self) -> None:
        """State back to what it was before the first run."""

    def prefill(self, tokens: Sequence[int]) -> Array:
        """Logits after a prompt."""

    def decode(self, token: int) -> Array:
        """Logits after one more token."""


@dataclass(frozen=True)
class Story:
    """What a language model is asked to write."""

    prompt: str = ""
    tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    ignore_eos: bool = False


class Told(Protocol):
    """What a program said about the story that it wrote."""

    tokens: int

    @property
    def note(self) -> str:
        """What stands behind the speed, for people."""

    def fields(self, prompt_tokens: int, decodes: int) -> dict[str, Any]:
        """Fields of `--json` about speed and energy."""

    def rows(self, fields: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """What people read below the speed, as rows of a table: name, value, note. `fields` as returned above."""


class Storyteller(Protocol):
    """A built language model that writes one story to stdout: the command, and how to read what it says.

    `separator` stands between the text and the rest where both are on stdout; empty: the rest is on stderr.
    """

    built: Any
    command: list[str]
    separator: bytes

    def told(self, notes: str) -> Told:
        """What the program said. RuntimeError where that is no statistics."""


@dataclass(frozen=True)
class Target:
    """A place where compiled networks run."""

    name: str
    description: str
    memories: tuple[Memory, ...]
    engines: tuple[Engine, ...]
    kernels: tuple[Kernel, ...]
    kernel_folders: tuple[Path, ...]  # where kernel files and headers are; a name is in one of them
    headers: tuple[str, ...] = ()  # hand-written headers in these folders that every kernel may include
    language_quant: str = "none"  # how language models are quantised where the user does not say
    language_chunk: int = 16  # tokens of a prompt per pass, at most, where the user does not say
    scratchpad: str | None = None  # the memory that kernels work in, where others are reached by DMA
    tables: int = 0  # bytes of the scratchpad, beside what plans may use, for tables of loops and of arguments
    dma: Dma | None = None
    overhead: Overhead | None = None
    code: CodeCache | None = None
    export: Callable[[Any, Mapping[str, Any], Mapping[str, str]], dict[str, str]] | None = None
    # (compiled network, plan.json, files of every target) -> files of this target, which may replace others

    @property
    def accelerated(self) -> bool:
        """Whether an asynchronous engine computes beside the cores."""
        return any(engine.asynchronous for engine in self.engines)

    @property
    def rows(self) -> int:
        """Rows of a product that an engine beside the cores takes at once."""
        return max((engine.rows for engine in self.engines if engine.asynchronous), default=0)

    def parts(self, rows: Sym) -> bool:
        """Whether there may be more rows than that, so that they are computed in parts."""
        return 0 < self.rows < rows.max

    @property
    def inputs_at_once(self) -> int:
        """Inputs of a product that an engine beside the cores takes in at once; 0: there is none such."""
        return max((engine.inputs for engine in self.engines), default=0)

    @property
    def tokens_at_once(self) -> int:
        """Tokens of a prompt per pass: fewer where the scratchpad has less than 1 KiB for each, as they are not cut."""
        room = next((m.bytes for m in self.memories if m.name == self.scratchpad), None)
        count = self.language_chunk
        while room is not None and count > 1 and count << 10 > room:
            count //= 2
        return count

    @property
    def cores(self) -> int:
        """Cores that share the work."""
        return self.engines[0].cores

    def kernel_file(self, name: str) -> Path:
        """Where a kernel file or a header of this target is."""
        return next(folder / name for folder in self.kernel_folders if (folder / name).exists())

    def engine(self, kernel: Kernel) -> Engine:
        """What executes a kernel."""
        return next(engine for engine in self.engines if engine.name == kernel.engine)

    def scratches(self, kernel: Kernel, node: Node, cores: int) -> int:
        """How many times a kernel's scratch is needed where so many cores share a call that can be shared."""
        return cores if self.shared(kernel, node) is not None and not kernel.meets else 1

    def shared(self, kernel: Kernel, node: Node) -> Split | None:
        """How the cores share a call; None where one core, or another engine, does it alone."""
        return None if self.engine(kernel).asynchronous else kernel.split(node)

    def beside(self, node: Node) -> tuple[Kernel, ...]:
        """Kernels of asynchronous engines that can run a node, or some of it beside the cores."""
        rows = [k for k in self.kernels if k.op is type(node.op) and self.engine(k).asynchronous]
        return tuple(k for k in rows if k.misfit(node) is None and k.unpacked(node) is None)

    def candidates(self, node: Node) -> tuple[Kernel, ...]:
        """Kernels of the cores that can run a node, bound to it. UserError with every near miss where there is none."""
        rows = [k for k in self.kernels if k.op is type(node.op) and not self.engine(k).asynchronous]
        whys = [k.misfit(node) or k.unpacked(node) for k in rows]
        fitting = tuple(k.bound([node]) for k, why in zip(rows, whys, strict=True) if why is None)
        if not fitting:
            misses = "; ".join(f"{k.symbol}: {why}" for k, why in zip(rows, whys, strict=True))
            misses = misses or "no kernel for this operator"
            raise UserError(
                f"{type(node.op).__name__} does not run on {self.name}", where=node.name, origin=node.origin,
                rule=misses, hint="`tilewright targets` and docs/SUPPORT.md list what runs where",
            )  # fmt: skip
        return fitting
