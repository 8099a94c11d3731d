"""What the memory of programs is called in C: names, types and addresses of their buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir.program import Buffer, Program, Ref
from ..ir.types import Kind
from . import constants
from .arena import Arenas
from .layout import expression
from .names import Names, identifier, short

LOCALS = ("core", "first", "last", "part", "given", "queue")


class Addresses:
    """Buffers of programs that share constants, states and arenas. `current` is the program that is being printed."""

    def __init__(
        self, programs: Sequence[Program], prefix: str, capacity: Mapping[str, int], cores: int,
        external: tuple[Kind, ...],
    ) -> None:  # fmt: skip
        self.external = external
        self.prefix, self.current = prefix, programs[0]
        self.attribute = " TW_ALIGNED" if cores > 1 else ""
        self.arenas = Arenas(programs, capacity, self.attribute)
        self.names, self.tags = Names(), Names()
        taken = (*LOCALS, *self.arenas.names()) if cores > 1 else ()
        self.callers = {p.name: Names(taken) for p in programs}
        self.owner = {b: p for p in programs for b in (*p.inputs, *p.outputs)}
        self.parents = {m: b for p in programs for b in p.buffers for m in b.members}
        self.structs: dict[str, str] = {}

    def name(self, buffer: Buffer) -> str:
        prefix = f"{self.prefix}_" if buffer.kind in self.external else ""
        return self.names.of(buffer, prefix + identifier(buffer.name))

    def declaration(self, buffer: Buffer) -> str:
        """`const float name[4096]`, without initialiser."""
        if buffer.members:
            return f"const struct {self.tag(buffer)} {self.name(buffer)}{self.attribute}"
        return f"const {buffer.dtype.ctype} {self.name(buffer)}[{max(1, buffer.elements)}]{self.attribute}"

    def tag(self, buffer: Buffer) -> str:
        """The struct type of constants that travel together."""
        tag = self.tags.of(constants.layout(buffer), f"{self.prefix}_{short(buffer.name)}")
        self.structs[tag] = constants.definition(tag, buffer)
        return tag

    def caller(self, program: Program, buffer: Buffer) -> str:
        """The parameter that carries memory of the caller."""
        return self.callers[program.name].of(buffer, identifier(buffer.name))

    def address(self, ref: Ref) -> tuple[str, str]:
        """Element type and address of an operand."""
        b = ref.buffer
        constant = "const " if b.kind in (Kind.CONST, Kind.INPUT) else ""
        if b.members and ref.offset == 0:
            return f"const struct {self.tag(b)}", f"&{self.name(b)}"
        if b.members:
            assert isinstance(ref.offset, int), f"{b.name} is used at an address that run-time sizes change"
            for m in b.members:
                at, size = ref.offset - (m.offset or 0), m.dtype.numpy.itemsize
                if 0 <= at < m.elements * size and at % size == 0:
                    return self.address(Ref(m, at // size))
            raise AssertionError(f"no member of {b.name} has an element at {ref.offset}")
        if b in self.parents:
            parent = self.parents[b]
            field = next(f.name for f in constants.fields(parent) if f.buffer is b)
            return f"const {b.dtype.ctype}", f"{self.name(parent)}.{field}{_plus(ref)}"
        base = self.arenas.member(self.current.name, b) if b.offset is not None else self.base(b)
        return f"{constant}{b.dtype.ctype}", base + _plus(ref)

    def base(self, buffer: Buffer) -> str:
        if buffer.kind in (Kind.INPUT, Kind.OUTPUT):
            return self.caller(self.owner[buffer], buffer)
        return self.name(buffer)


def _plus(ref: Ref) -> str:
    if isinstance(ref.offset, int):
        return f" + {ref.offset}" if ref.offset else ""
    return f" + ({expression(ref.offset)})"
