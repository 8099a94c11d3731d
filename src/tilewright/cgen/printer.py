"""Programs -> C. The only place where C is made from a program.

The arena is a union of structs, one per buffer, each padded to its address: every access is a named, typed member
(`arena.q.v`), overlap is visible in the source, and no pointer is ever cast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.program import Barrier, Buffer, Call, Column, Copy, Job, Loop, Operand, Parts, Phase, Program, Ref, Step, Wait
from ..ir.types import Expr, Kind
from ..targets.base import Argument, Scalar
from .names import Names, identifier, short

INDENT = "    "
WIDTH = 118


@dataclass(frozen=True)
class Source:
    """The parts of one network's C: declarations of memory, tables, and one function per program."""

    arena: str
    states: str
    tables: str
    functions: tuple[tuple[str, str], ...]  # (prototype, body with braces)
    constants: tuple[tuple[Buffer, str], ...]  # with their C names
    state_names: tuple[tuple[Buffer, str], ...]


def print_programs(programs: Sequence[Program], prefix: str, arena_bytes: int, shared: bool = False) -> Source:
    """C for programs that share constants, states and an arena; every external name starts with the prefix.

    `shared`: states are external, for other files of the network.
    """
    return _Printer(programs, prefix, arena_bytes, shared).source()


def expression(value: Scalar, ctype: str = "") -> str:
    """A scalar argument as C."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and ctype == "double":
        return repr(value)
    if isinstance(value, float):
        text = str(np.float32(value))
        return f"{text}f" if any(c in text for c in ".en") else f"{text}.0f"
    if isinstance(value, int):
        return str(value) if value > -(2**31) else f"({value + 1} - 1)"
    terms = [f"{'' if c == 1 else f'{c} * '}{s.name}" for s, c in Expr.of(value).terms]
    constant = Expr.of(value).const
    return (" + ".join(terms) + (f" + {constant}" if constant > 0 else f" - {-constant}" if constant else "")) or "0"


class _Printer:
    def __init__(self, programs: Sequence[Program], prefix: str, arena_bytes: int, shared: bool) -> None:
        self.external = (Kind.CONST, Kind.STATE) if shared else (Kind.CONST,)
        self.programs, self.prefix, self.arena_bytes = programs, prefix, arena_bytes
        self.names, self.table_names = Names(), Names()
        self.members = {p.name: Names() for p in programs}
        self.arena_lines: dict[str, dict[tuple[int, str], str]] = {p.name: {} for p in programs}
        self.current = programs[0]
        self.callers = {p.name: Names() for p in programs}
        self.owner = {b: p for p in programs for b in (*p.inputs, *p.outputs)}
        self.tables: dict[str, str] = {}

    def source(self) -> Source:
        functions = tuple((self.prototype(p), self.body(p)) for p in self.programs)
        buffers = list(dict.fromkeys(b for p in self.programs for b in self.all_buffers(p)))
        constants = [(b, self.name(b)) for b in buffers if b.kind is Kind.CONST]
        states = [(b, self.name(b)) for b in buffers if b.kind is Kind.STATE]
        scope = "" if Kind.STATE in self.external else "static "
        declared = "\n".join(f"{scope}{b.dtype.ctype} {name}[{b.elements}];" for b, name in states)
        return Source(
            self.arena(), declared, "\n\n".join(self.tables.values()), functions, tuple(constants), tuple(states)
        )  # fmt: skip

    def all_buffers(self, program: Program) -> list[Buffer]:
        return [b for b in program.buffers if b.kind in (Kind.CONST, Kind.STATE)]

    # Names

    def name(self, buffer: Buffer) -> str:
        prefix = f"{self.prefix}_" if buffer.kind in self.external else ""
        return self.names.of(buffer, prefix + identifier(buffer.name))

    def caller(self, program: Program, buffer: Buffer) -> str:
        """The parameter that carries memory of the caller."""
        return self.callers[program.name].of(buffer, identifier(buffer.name))

    def member(self, buffer: Buffer) -> str:
        """The arena member of a transient buffer; buffers of one role at one place share it."""
        assert buffer.offset is not None
        program = self.current.name
        key = (short(buffer.name), buffer.offset, buffer.dtype, buffer.elements)
        name = self.members[program].of(key, short(buffer.name))
        pad = f"unsigned char at[{buffer.offset}]; " if buffer.offset else ""
        text = f"struct {{ {pad}{buffer.dtype.ctype} v[{max(1, buffer.elements)}]; }} {name};"
        self.arena_lines[program][buffer.offset, name] = text
        return f"arena.{name}.v" if len(self.programs) == 1 else f"arena.{identifier(program)}.{name}.v"

    def arena(self) -> str:
        """The union of all members; with several entries, a union of their unions."""
        lines = {p: [text for _, text in sorted(members.items())] for p, members in self.arena_lines.items() if members}
        if not lines:
            return ""
        if len(self.programs) == 1:
            body = [INDENT + text for members in lines.values() for text in members]
        else:
            body = []
            for program, members in lines.items():
                body += [
                    f"{INDENT}union {{",
                    *(INDENT * 2 + text for text in members),
                    f"{INDENT}}} {identifier(program)};",
                ]
        body.append(f"{INDENT}unsigned char all[{self.arena_bytes}];")
        return "static union {\n" + "\n".join(body) + "\n} arena;"

    # Functions

    def prototype(self, program: Program) -> str:
        inputs = [f"const {b.dtype.ctype} *{self.caller(program, b)}" for b in program.inputs]
        outputs = [f"{b.dtype.ctype} *{self.caller(program, b)}" for b in program.outputs]
        parameters = [*inputs, *outputs, *(f"int32_t {s.name}" for s in program.syms)]
        return wrap(f"void {self.prefix}_{self.function(program)}({', '.join(parameters) or 'void'})", 4)

    def function(self, program: Program) -> str:
        """A network's only entry is its API; of several, a face of the network makes the API."""
        return program.name if len(self.programs) == 1 else f"forward_{program.name}"

    def body(self, program: Program) -> str:
        self.current = program
        lines = [text for step in program.steps for text in self.step(step, 1, None)]
        return "{\n" + "\n".join(lines) + "\n}"

    def step(self, step: Step, depth: int, loop: Loop | None) -> list[str]:
        pad = INDENT * depth
        match step:
            case Phase():
                return [line for call in step.calls for line in self.call(call, pad, loop)]
            case Loop():
                return self.loop(step, depth)
            case Copy():
                target, source = self.operand(step.target, loop), self.operand(step.source, loop)
                return [f"{pad}tw_copy({step.token}, {target}, {source}, {step.bytes});"]
            case Job():
                return [f"{pad}/* token {step.token} */", *self.call(step.call, pad, loop)]
            case Wait():
                return [f"{pad}tw_wait({step.token});"]
            case Barrier():
                return [f"{pad}tw_barrier();"]
            case Parts():
                raise NotImplementedError

    def loop(self, loop: Loop, depth: int) -> list[str]:
        pad = INDENT * depth
        name, local = self.table(loop, pad)
        lines = [*local, f"{pad}for (int i = 0; i < {len(loop.table.rows)}; i++) {{"]
        if loop.table.columns:
            lines.append(f"{pad}{INDENT}const struct {name} *block = &{name}s[i];")
        for step in loop.body:
            lines += self.step(step, depth + 1, loop)
        return [*lines, f"{pad}}}"]

    def table(self, loop: Loop, pad: str) -> tuple[str, list[str]]:
        """The name of the loop's table, and its lines where it is local to the call: addresses of the caller's memory
        are known only then. Other tables are constants, and loops over the same rows share one.
        """
        if not loop.table.columns:
            return "", []
        fields = []
        for index, column in enumerate(self.columns(loop)):
            first = loop.table.rows[0][index].buffer
            constant = "const " if first.kind in (Kind.CONST, Kind.INPUT) else ""
            fields.append(f"    {constant}{first.dtype.ctype} *{column};")
        caller = any(ref.buffer.kind in (Kind.INPUT, Kind.OUTPUT) for row in loop.table.rows for ref in row)
        inner = pad + INDENT if caller else INDENT
        rows = [
            wrap(f"{inner}{{" + ", ".join(self.operand(ref, None) for ref in row) + "},", len(inner) + 4)
            for row in loop.table.rows
        ]
        name = self.table_names.of((tuple(fields), tuple(rows), self.current.name if caller else ""), "block")
        kind = f"struct {name} {{\n" + "\n".join(fields) + "\n};"
        head = f"const struct {name} {name}s[{len(rows)}] = {{"
        if caller:
            self.tables[name] = kind
            return name, [pad + head, *rows, f"{pad}}};"]
        self.tables[name] = f"{kind}\n\nstatic {head}\n" + "\n".join(rows) + "\n};"
        return name, []

    def columns(self, loop: Loop) -> list[str]:
        names = Names()
        return [names.of(index, short(column)) for index, column in enumerate(loop.table.columns)]

    def call(self, call: Call, pad: str, loop: Loop | None) -> list[str]:
        operands, scalars = dict(call.operands), dict(call.scalars)
        arguments = []
        for ctype, name in call.kernel.parameters:
            if call.kernel.gathers(name):
                all_of = [self.operand(o, loop) for n, o in operands.items() if o and n.rstrip("0123456789") == name]
                arguments.append(f"({ctype.removesuffix('*').rstrip()}[]){{{', '.join(all_of)}}}")
            elif name in operands:
                operand = operands[name]
                arguments.append("0" if operand is None else self.operand(operand, loop))
            else:
                arguments.append(self.argument(scalars[name], ctype))
        return [wrap(f"{pad}{call.kernel.symbol}({', '.join(arguments)});", len(pad) + 4)]

    def argument(self, value: Argument, ctype: str) -> str:
        """A scalar, or the name of a table; equal tables are one."""
        if not isinstance(value, tuple):
            return expression(value, ctype)
        name = self.names.of(value, f"{self.prefix}_table")
        text = f"static const int32_t {name}[{len(value)}] = {{{', '.join(map(expression, value))}}};"
        self.tables[name] = wrap(text, 4)
        return name

    def operand(self, operand: Operand, loop: Loop | None) -> str:
        if isinstance(operand, Column):
            assert loop is not None
            return f"block->{self.columns(loop)[operand.index]}"
        b = operand.buffer
        base = self.member(b) if b.offset is not None else self.base(b)
        return base + _plus(operand)

    def base(self, buffer: Buffer) -> str:
        if buffer.kind in (Kind.INPUT, Kind.OUTPUT):
            return self.caller(self.owner[buffer], buffer)
        return self.name(buffer)


def _plus(ref: Ref) -> str:
    if isinstance(ref.offset, int):
        return f" + {ref.offset}" if ref.offset else ""
    return f" + ({expression(ref.offset)})"


def wrap(text: str, indent: int) -> str:
    """Break a line at commas so that no line is longer than 118 characters."""
    lines = []
    while len(text) > WIDTH:
        at = text.rfind(", ", 0, WIDTH)
        if at <= indent:
            break
        lines.append(text[: at + 1])
        text = " " * indent + text[at + 2 :]
    return "\n".join([*lines, text])
