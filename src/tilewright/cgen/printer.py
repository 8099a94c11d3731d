"""Programs -> C. The only place where C is made from a program.

On a target with several cores every core calls the functions: calls have a share of their range, or a part of their
own, or stand behind `if (tw_is(core, 0))`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ..ir.program import (
    Barrier,
    Buffer,
    Call,
    Column,
    Copy,
    Job,
    Loop,
    Once,
    Operand,
    Parts,
    Phase,
    Program,
    Ref,
    Share,
    Step,
    Wait,
)  # fmt: skip
from ..ir.types import Dim, Kind, maximum
from ..targets.base import Argument, Target
from .addresses import Addresses
from .layout import INDENT, comment, expression, wrap
from .names import Names, short
from .parts import anchors, used_columns, varied, varied_number

MOST_BYTES = 0x1FFF0  # of one line of a transfer
_Member = Callable[[str, str, Sequence[str]], str]  # name, type, value per part -> the expression


@dataclass(frozen=True)
class Source:
    """The parts of one network's C: declarations of memory, tables, and one function per program."""

    arena: str
    states: str
    tables: str
    functions: tuple[tuple[str, str], ...]  # (prototype, body with braces)
    constants: tuple[tuple[str, Buffer], ...]  # with their declarations, less initialisers
    state_names: tuple[tuple[Buffer, str], ...]
    structs: tuple[str, ...]  # types of constants that travel together
    cores: int
    shared: tuple[str, ...]  # kernels that all cores call


def print_programs(
    programs: Sequence[Program], prefix: str, capacity: Mapping[str, int], target: Target, shared: bool = False
) -> Source:
    """C for programs that share constants, states and arenas; every external name starts with the prefix.

    `shared`: states are external, for other files of the network.
    """
    external = (Kind.CONST, Kind.STATE) if shared else (Kind.CONST,)
    return _Printer(programs, prefix, capacity, target, external).source()


class _Printer:
    def __init__(
        self, programs: Sequence[Program], prefix: str, capacity: Mapping[str, int], target: Target,
        external: tuple[Kind, ...],
    ) -> None:  # fmt: skip
        self.external = external
        self.programs, self.prefix = programs, prefix
        self.cores, self.scratchpad = target.cores, target.scratchpad
        self.places = Addresses(programs, prefix, capacity, self.cores, external)
        self.table_names = Names()
        self.tables: dict[str, str] = {}
        self.near_left = target.tables
        self.shared: set[str] = set()
        self.named: tuple[Loop | None, list[str]] = None, []  # the latest loop's columns
        self.once = False  # whether something is fetched once and stays
        self._start(programs[0])

    def _start(self, program: Program) -> None:
        """What is known inside one function."""
        self.places.current = program
        self.share: Share | None = None  # that first and last hold
        self.anchors: list[tuple[int, int]] = []  # of the present loop's columns
        self.token: int | None = None  # that the next transfer may follow
        self.tokens: set[int] = set()
        self.knows_core = False

    def source(self) -> Source:
        functions = tuple((self.prototype(p), self.body(p)) for p in self.programs)
        buffers = list(dict.fromkeys(b for p in self.programs for b in p.buffers if b.kind in (Kind.CONST, Kind.STATE)))
        declared = tuple((self.places.declaration(b), b) for b in buffers if b.kind is Kind.CONST)
        states = tuple((b, self.places.name(b)) for b in buffers if b.kind is Kind.STATE)
        scope = "" if Kind.STATE in self.external else "static "
        lines = "\n".join(f"{scope}{b.dtype.ctype} {name}[{b.elements}]{self.places.attribute};" for b, name in states)
        if self.once:
            lines += "\nstatic int first_call = 1; /* what stays in the scratchpad is not there yet */"
        return Source(
            self.places.arenas.text(), lines, "\n\n".join(self.tables.values()), functions, declared, states,
            tuple(self.places.structs.values()), self.cores, tuple(sorted(self.shared)),
        )  # fmt: skip

    # Functions

    def prototype(self, program: Program) -> str:
        inputs = [f"const {b.dtype.ctype} *{self.places.caller(program, b)}" for b in program.inputs]
        outputs = [f"{b.dtype.ctype} *{self.places.caller(program, b)}" for b in program.outputs]
        parameters = [*inputs, *outputs, *(f"int32_t {s.name}" for s in program.syms)]
        return wrap(f"void {self.prefix}_{self.function(program)}({', '.join(parameters) or 'void'})", 4)

    def function(self, program: Program) -> str:
        """A network's only entry is its API; of several, a face of the network makes the API."""
        return program.name if len(self.programs) == 1 else f"forward_{program.name}"

    def body(self, program: Program) -> str:
        self._start(program)
        lines = self.steps(program.steps, 1, None)
        local = []
        if self.knows_core:
            local.append(f"{INDENT}const int core = tw_core();")
        if any(line.strip().startswith("tw_share") for line in lines):
            local.append(f"{INDENT}int32_t first, last;")
        if self.tokens:
            local.append(f"{INDENT}uint32_t {', '.join(f'token{t} = 0' for t in sorted(self.tokens))};")
        callers = [self.places.caller(program, b) for b in (*program.inputs, *program.outputs)]
        text = " ".join(lines)
        unused = [name for name in callers if not re.search(rf"\b{name}\b", text)]  # caches that come empty
        local += [f"{INDENT}(void){name};" for name in unused]
        return "{\n" + "\n".join([*local, *([""] if local else []), *lines]) + "\n}"

    def owner(self, step: Step) -> int | None:
        """The core that runs a step alone, None where it concerns all."""
        if self.cores == 1:
            return None
        match step:
            case Phase(share=None):
                return 0
            case Copy() | Job() | Wait():
                return step.core
            case Loop():
                owners = {self.owner(inner) for inner in step.body}
                return owners.pop() if len(owners) == 1 else None
        return None

    def steps(self, steps: Sequence[Step], depth: int, loop: Loop | None, alone: int | None = None) -> list[str]:
        """Lines of steps, those of one core in a row behind one condition; within it, the core is `alone`."""
        lines: list[str] = []
        for core, run in groupby(steps, key=self.owner):
            if core is None or core == alone:
                lines += [line for step in run for line in self.step(step, depth, loop, alone)]
                continue
            self.knows_core = True
            inner = [line for step in run for line in self.step(step, depth + 1, loop, core)]
            braces = len(inner) > 1
            lines += [f"{INDENT * depth}if (tw_is(core, {core})){' {' if braces else ''}", *inner]
            lines += [f"{INDENT * depth}}}"] if braces else []
        return lines

    def step(self, step: Step, depth: int, loop: Loop | None, alone: int | None) -> list[str]:
        pad = INDENT * depth
        if not isinstance(step, Copy):
            self.token = None
        match step:
            case Phase():
                return self.phase(step, depth, loop)
            case Parts():
                return self.parts(step, depth, loop)
            case Loop():
                return self.loop(step, depth, alone)
            case Copy():
                return self.copy(step, depth, loop)
            case Job():
                return [comment([step.call.semantics.name], depth, loop is not None), self.call(step.call, depth, loop)]
            case Wait() if step.engine:
                return [f"{pad}tw_{step.engine}_wait({step.behind});"]
            case Wait():
                self.tokens.add(step.token)
                return [f"{pad}tw_wait(token{step.token});"]
            case Barrier():
                return [f"{pad}tw_barrier();"]
            case Once():
                self.once = True
                inner = self.steps(step.steps, depth + 1, loop)
                return [f"{pad}if (first_call) {{", *inner, f"{pad}{INDENT}first_call = 0;", f"{pad}}}"]

    def phase(self, step: Phase, depth: int, loop: Loop | None) -> list[str]:
        if self.cores == 1:
            return [self.call(call, depth, loop, step.share) for call in step.calls]
        lines = [comment([call.semantics.name for call in step.calls], depth, loop is not None)]
        share = replace(step.share, dims=()) if step.share else None
        asks = any(name == "first" for call in step.calls for _, name in call.kernel.parameters)
        if share is not None and asks and share != self.share:
            self.share, self.knows_core = share, True
            total = expression(share.total)
            name, late = ("tw_share_late", f", {share.late}") if share.late else ("tw_share", "")
            lines.insert(0, f"{INDENT * depth}{name}(core, {total}, {share.unit}{late}, &first, &last);")
        if share is not None:
            self.shared |= {call.kernel.symbol for call in step.calls}
        return [*lines, *(self.call(call, depth, loop, share) for call in step.calls)]

    def copy(self, step: Copy, depth: int, loop: Loop | None) -> list[str]:
        """A transfer; the first one of a token takes a counter of the DMA."""
        pad, into = INDENT * depth, self.near(step.target, loop)
        assert into != self.near(step.source, loop), f"a transfer has to cross the border of {self.scratchpad}"
        assert step.lines == 1 or maximum(step.bytes) <= MOST_BYTES, f"lines of more than {MOST_BYTES:,} bytes"
        lines = [] if self.token == step.token else [f"{pad}token{step.token} = tw_token();"]
        self.token = step.token
        self.tokens.add(step.token)
        if step.bytes == 0:
            return lines
        form, sizes = "", [step.bytes, step.lines, step.stride, step.blocks, step.apart]
        if step.blocks != 1:
            form = "_blocks"
        elif step.lines != 1:
            form, sizes = "_lines", sizes[:3]
        else:
            sizes = sizes[:1]
        name = f"tw_copy{form}_{'in' if into else 'out'}"
        operands = [self.operand(step.target, loop), self.operand(step.source, loop)]
        lines.append(wrap(f"{pad}{name}({', '.join([*operands, *map(expression, sizes)])});", len(pad) + 4))
        if not self.absent(step.source, loop):
            return lines
        return [f"{pad}if ({operands[1]} != 0) {{", *(INDENT + line for line in lines), f"{pad}}}"]

    def absent(self, source: Operand, loop: Loop | None) -> bool:
        """Whether a transfer is left out in some round of its loop."""
        return isinstance(source, Column) and loop is not None and any(r[source.index] is None for r in loop.table.rows)

    def near(self, operand: Operand, loop: Loop | None) -> bool:
        return self.buffer(operand, loop).memory == self.scratchpad

    def buffer(self, operand: Operand, loop: Loop | None) -> Buffer:
        """The buffer of an operand, in a loop that of its first round."""
        if isinstance(operand, Column):
            assert loop is not None
            return next(ref.buffer for ref in self.refs(loop, operand.index))
        return operand.buffer

    def refs(self, loop: Loop, column: int) -> list[Ref]:
        """What a column has in the rounds that use it."""
        return [ref for row in loop.table.rows if (ref := row[column]) is not None]

    # Calls

    def call(self, call: Call, depth: int, loop: Loop | None, share: Share | None = None) -> str:
        operands, scalars = dict(call.operands), dict(call.scalars)
        arguments = []
        for ctype, name in call.kernel.parameters:
            if call.kernel.gathers(name):
                all_of = [self.operand(o, loop) for n, o in operands.items() if o and n.rstrip("0123456789") == name]
                arguments.append(_array_of(ctype, all_of))
            elif name in operands:
                operand = operands[name]
                text = "0" if operand is None else self.operand(operand, loop)
                parted = share is not None and self.cores > 1 and not call.kernel.meets
                if name == "scratch" and operand is not None and parted:
                    assert share is not None
                    text += f" + core * {self.buffer(operand, loop).elements // (share.cores or self.cores)}"
                arguments.append(text)
            elif name in ("first", "last") and name not in scalars:
                assert share is not None, f"{call.kernel.symbol} needs a share"
                whole = {"first": 0, "last": share.total}
                arguments.append(name if self.cores > 1 else expression(whole[name]))
            else:
                arguments.append(self.argument(scalars[name], ctype))
        pad = INDENT * depth
        return wrap(f"{pad}{call.kernel.symbol}({', '.join(arguments)});", len(pad) + 4)

    def parts(self, step: Parts, depth: int, loop: Loop | None) -> list[str]:
        """One call; what differs is in a table with a row per core. Cores without a part skip it."""
        calls = [call for call in step.calls if call is not None]
        kernel, members, arguments = calls[0].kernel, dict[str, tuple[str, tuple[str, ...]]](), list[str]()
        self.shared.add(kernel.symbol)
        self.knows_core = True

        def member(name: str, ctype: str, values: Sequence[str]) -> str:
            members[name] = ctype, tuple(values)
            return f"part->{name}"

        def operand(name: str) -> str:
            given = [dict(call.operands)[name] for call in calls]
            present = [o for o in given if o is not None]
            if len(present) < len(given):
                assert not present, f"{name} is there for some parts only"
                return "0"
            found = varied(present, loop)
            assert isinstance(found.base, Ref | Column)
            text = self.operand(found.base, loop)
            return text if found.added is None else f"{text} + {member(name, 'int32_t', [*map(str, found.added)])}"

        for ctype, name in kernel.parameters:
            if kernel.gathers(name):
                several = [operand(n) for n, _ in calls[0].operands if n.rstrip("0123456789") == name]
                arguments.append(_array_of(ctype, several))
            elif name in dict(calls[0].operands):
                arguments.append(operand(name))
            else:
                values = [dict(call.scalars)[name] for call in calls]
                arguments.append(self.varied_argument(values, name, ctype, member))
        idle = [call is None for call in step.calls]
        busy = len(calls)
        condition = f"core < {busy}"
        if any(idle[:busy]):
            condition = member("busy", "int32_t", ["1"] * busy)
        rows, given = [], iter(range(busy))
        for none in idle:
            k = None if none else next(given)
            rows.append([("0" if k is None else values[k]) for _, values in members.values()])
        pad = INDENT * depth
        inner = depth + 1 if members or any(idle) else depth
        lines = [wrap(f"{INDENT * inner}{kernel.symbol}({', '.join(arguments)});", len(INDENT) * (inner + 1))]
        if any(idle):
            lines = [
                f"{INDENT * inner}if ({condition})",
                *(INDENT + line.replace("\n", f"\n{INDENT}") for line in lines),
            ]
        if members:
            kinds = [f"{INDENT}{ctype} {name};" for name, (ctype, _) in members.items()]
            name = self.constant_table("part", kinds, [", ".join(row) for row in rows])
            lines.insert(0, f"{INDENT * inner}const struct {name} *part = &{name}s[core];")
        if inner > depth:
            lines = [f"{pad}{{", *lines, f"{pad}}}"]
        return [comment([calls[0].semantics.name], depth, loop is not None), *lines]

    def varied_argument(self, values: Sequence[Argument], name: str, ctype: str, member: _Member) -> str:
        """A scalar or table that may differ between the parts."""
        if all(value == values[0] for value in values):
            return self.argument(values[0], ctype)
        if any(isinstance(value, float) for value in values):
            return member(name, ctype, [self.argument(value, ctype) for value in values])
        if any(isinstance(value, tuple) for value in values):
            return member(name, "const int32_t *", [self.argument(value, ctype) for value in values])
        numbers: list[Dim] = [value for value in values if not isinstance(value, float | tuple)]
        found = varied_number(numbers)
        assert found.added is not None
        base = "" if found.base == 0 else f"{expression(found.base)} + "  # type: ignore[arg-type]
        return base + member(name, ctype, [*map(expression, found.added)])

    def argument(self, value: Argument, ctype: str) -> str:
        """A scalar, or the name of a table; equal tables are one."""
        if not isinstance(value, tuple):
            return expression(value, ctype)
        name = self.places.names.of(value, f"{self.prefix}_table")
        if name not in self.tables:
            where = self.where(len(value))
            text = f"static const int32_t {name}[{len(value)}]{where} = {{{', '.join(map(expression, value))}}};"
            self.tables[name] = wrap(text, 4)
        return name

    def where(self, words: int) -> str:
        """The attribute of a table: in the scratchpad, as long as there is room for tables."""
        if 4 * words > self.near_left:
            return ""
        self.near_left -= 4 * words
        return " TW_NEAR"

    # Operands

    def operand(self, operand: Operand, loop: Loop | None) -> str:
        if isinstance(operand, Column):
            assert loop is not None
            column, distance = self.anchors[operand.index]
            name, behind = self.columns(loop)[column], f" + {distance}" if distance else ""
            if (buffer := self.offsets_into(loop, column)) is not None:
                return f"{self.places.base(buffer)} + block->{name}{behind}"
            return f"{'given' if self.apart(loop, column) else 'block'}->{name}{behind}"
        return self.places.address(operand)[1]

    # Loops

    def loop(self, loop: Loop, depth: int, alone: int | None) -> list[str]:
        pad = INDENT * depth
        self.share, self.anchors = None, anchors(loop)
        lines, pointers = [], []
        for variable, outside in (("block", False), ("given", True)):
            found = self.loop_table(loop, variable, outside, pad)
            if found is not None:
                name, local = found
                lines += local
                pointers.append(f"{pad}{INDENT}const struct {name} *{variable} = &{name}s[i];")
        lines.append(f"{pad}for (int i = 0; i < {len(loop.table.rows)}; i++) {{")
        lines += [*pointers, *self.steps(loop.body, depth + 1, loop, alone), f"{pad}}}"]
        self.share = self.token = None
        return lines

    def loop_table(self, loop: Loop, variable: str, outside: bool, pad: str) -> tuple[str, list[str]] | None:
        """The name of a loop's table and, where it is local to the call, its lines; None for one without columns.

        Addresses of the caller's memory are known only in the call. With several cores, their columns have a table of
        their own, because every core makes one; a single core's are all in one.
        """
        used = {self.anchors[k][0] for k in used_columns(loop)}
        chosen = [k for k in range(len(loop.table.columns)) if k in used and outside == self.apart(loop, k)]
        if not chosen:
            return None
        addresses = [[self.entry(loop, row, k) for k in chosen] for row in loop.table.rows]
        names = self.columns(loop)
        fields = [
            f"{INDENT}{_common(ctypes)}{names[k]};"
            for k, ctypes in zip(chosen, ([row[j][0] for row in addresses] for j in range(len(chosen))), strict=True)
        ]
        rows = [", ".join(text for _, text in row) for row in addresses]
        if not any(self.outside(loop, k) for k in chosen):
            return self.constant_table(variable, fields, rows), []
        inner = pad + INDENT
        lines = [wrap(f"{inner}{{{row}}},", len(inner) + 4) for row in rows]
        name = self.table_names.of((tuple(fields), tuple(lines), self.places.current.name, id(loop)), variable)
        self.tables[name] = f"struct {name} {{\n" + "\n".join(fields) + "\n};"
        return name, [f"{pad}const struct {name} {name}s[{len(rows)}] = {{", *lines, f"{pad}}};"]

    def constant_table(self, variable: str, fields: Sequence[str], rows: Sequence[str]) -> str:
        """The name of a table that is a constant; equal ones are one."""
        lines = [wrap(f"{INDENT}{{{row}}},", len(INDENT) + 4) for row in rows]
        name = self.table_names.of((tuple(fields), tuple(lines), ""), variable)
        if name not in self.tables:
            kind = f"struct {name} {{\n" + "\n".join(fields) + "\n};"
            head = f"static const struct {name} {name}s[{len(rows)}]{self.where(len(rows) * len(fields))} = {{"
            self.tables[name] = f"{kind}\n\n{head}\n" + "\n".join(lines) + "\n};"
        return name

    def entry(self, loop: Loop, row: tuple[Ref | None, ...], column: int) -> tuple[str, str]:
        """Type (ready for the name behind it) and value of a table's entry."""
        ref = row[column]
        if ref is None:
            return f"{self.places.address(self.refs(loop, column)[0])[0]} *", "0"
        if self.offsets_into(loop, column) is not None:
            return "int32_t ", expression(ref.offset)
        ctype, text = self.places.address(ref)
        return f"{ctype} *", text

    def apart(self, loop: Loop, column: int) -> bool:
        """Whether a column is in the second, local table."""
        return self.cores > 1 and self.outside(loop, column)

    def outside(self, loop: Loop, column: int) -> bool:
        """Whether a column has addresses of the caller's memory."""
        callers = any(ref.buffer.kind in (Kind.INPUT, Kind.OUTPUT) for ref in self.refs(loop, column))
        return callers and self.offsets_into(loop, column) is None

    def offsets_into(self, loop: Loop, column: int) -> Buffer | None:
        """The caller's buffer that a column's addresses are in, if it is one: offsets are constants, addresses not."""
        refs = self.refs(loop, column)
        buffer = refs[0].buffer
        if self.cores == 1 or buffer.kind not in (Kind.INPUT, Kind.OUTPUT) or len(refs) < len(loop.table.rows):
            return None
        return buffer if all(r.buffer is buffer and isinstance(r.offset, int) for r in refs) else None

    def columns(self, loop: Loop) -> list[str]:
        """The names of a loop's columns."""
        if loop is not self.named[0]:
            names = Names()
            self.named = loop, [names.of(index, short(column)) for index, column in enumerate(loop.table.columns)]
        return self.named[1]


def _array_of(ctype: str, addresses: Sequence[str]) -> str:
    return f"({ctype.removesuffix('*').rstrip()}[]){{{', '.join(addresses)}}}"


def _common(ctypes: Sequence[str]) -> str:
    """The element type of a column; constants that travel together may have different members."""
    return ctypes[0] if len(set(ctypes)) == 1 else "const void *"
