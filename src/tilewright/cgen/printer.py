"""Programs -> C. The only place where C is made from a program.

On a target with several cores every core calls the functions: calls have a share of their range, or a part of their
own, or stand behind `if (tw_is(core, 0))`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from ..ir.types import Dim, Kind, maximum, syms_of
from ..targets.base import Argument, Target
from .addresses import Addresses
from .calls import DIGITS, array_of, statement, with_struct
from .layout import INDENT, comment, expression, wrap
from .loops import LoopTable, fixed, refs
from .parts import varied, varied_number
from .queued import queue
from .tables import Tables

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


def _shares(steps: Sequence[Step]) -> Iterator[Share]:
    """How cores share the calls of steps."""
    for step in steps:
        if isinstance(step, Phase) and step.share is not None:
            yield step.share
        elif isinstance(step, Loop | Once):
            yield from _shares(step.body if isinstance(step, Loop) else step.steps)


class _Printer:
    def __init__(
        self, programs: Sequence[Program], prefix: str, capacity: Mapping[str, int], target: Target,
        external: tuple[Kind, ...],
    ) -> None:  # fmt: skip
        self.external = external
        self.programs, self.prefix = programs, prefix
        self.cores, self.scratchpad, self.engines = target.cores, target.scratchpad, target.engines
        self.places = Addresses(programs, prefix, capacity, self.cores, external)
        self.tables = Tables(prefix, self.places.names, target.tables)
        self.shared: set[str] = set()
        self.once = False  # whether something is fetched once and stays
        self._start(programs[0])

    def _start(self, program: Program) -> None:
        """What is known inside one function."""
        self.places.current = program
        self.share: Share | None = None  # that first and last hold
        self.table: LoopTable | None = None  # of the present loop
        self.token: int | None = None  # that the next transfer may follow
        self.tokens: set[int] = set()
        self.knows_core = False
        self.rarely = False  # whether these are steps of the first call only

    def source(self) -> Source:
        late = [(self.prototype(p), self.body(p)) for p in reversed(self.programs)]  # called most, its tables are near
        functions = tuple(reversed(late))
        buffers = list(dict.fromkeys(b for p in self.programs for b in p.buffers if b.kind in (Kind.CONST, Kind.STATE)))
        declared = tuple((self.places.declaration(b), b) for b in buffers if b.kind is Kind.CONST)
        states = tuple((b, self.places.name(b)) for b in buffers if b.kind is Kind.STATE)
        scope = "" if Kind.STATE in self.external else "static "
        lines = "\n".join(f"{scope}{b.dtype.ctype} {name}[{b.elements}]{self.places.attribute};" for b, name in states)
        if self.once:
            lines += "\nstatic int first_call = 1; /* what stays in the scratchpad is not there yet */"
        return Source(
            self.places.arenas.text(), lines, self.tables.text(), functions, declared, states,
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
        queue, known = self.queue(program)
        lines = [*known, *self.steps(program.steps, 1)]
        local = [*queue, *self.rest(program, lines)]
        if self.knows_core:
            local.append(f"{INDENT}const int core = tw_core();")
        if any(line.strip().startswith("tw_share") for line in lines):
            local.append(f"{INDENT}int32_t first, last;")
        if self.tokens:
            local.append(wrap(f"{INDENT}uint32_t {', '.join(f'token{t} = 0' for t in sorted(self.tokens))};", 8))
        callers = [self.places.caller(program, b) for b in (*program.inputs, *program.outputs)]
        text = " ".join(lines)
        unused = [name for name in callers if not re.search(rf"\b{name}\b", text)]  # caches that come empty
        local += [f"{INDENT}(void){name};" for name in unused]
        return "{\n" + "\n".join([*local, *([""] if local else []), *lines]) + "\n}"

    def rest(self, program: Program, lines: Sequence[str]) -> list[str]:
        """Parts of run-time numbers that lines name."""
        said = " ".join(lines)
        parts = dict.fromkeys(s for p in _shares(program.steps) for s in syms_of(p.total) if s.of)
        found = []
        for sym in parts:
            value = f"{sym.of} - {sym.first}" if sym.first else sym.of
            low = f"{sym.of} < {sym.first} ? 0 : " if sym.first else ""
            most = next(s.max for s in program.syms if s.name == sym.of) - sym.first
            high = f"{value} > {sym.max} ? {sym.max} : " if sym.max < most else ""
            if re.search(rf"\b{sym.name}\b", said):
                found.append(f"{INDENT}const int32_t {sym.name} = {low}{high}{value};")
        return found

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

    def steps(self, steps: Sequence[Step], depth: int, alone: int | None = None) -> list[str]:
        """Lines of steps, those of one core in a row behind one condition; within it, the core is `alone`."""
        lines: list[str] = []
        for core, run in groupby(steps, key=self.owner):
            if core is None or core == alone:
                lines += [line for step in run for line in self.step(step, depth, alone)]
                continue
            self.knows_core = True
            inner = [line for step in run for line in self.step(step, depth + 1, core)]
            braces = len(inner) > 1
            lines += [f"{INDENT * depth}if (tw_is(core, {core})){' {' if braces else ''}", *inner]
            lines += [f"{INDENT * depth}}}"] if braces else []
        return lines

    def step(self, step: Step, depth: int, alone: int | None) -> list[str]:
        pad = INDENT * depth
        if not isinstance(step, Copy):
            self.token = None
        match step:
            case Phase():
                return self.phase(step, depth)
            case Parts():
                return self.parts(step, depth)
            case Loop():
                return self.loop(step, depth, alone)
            case Copy():
                return self.copy(step, depth)
            case Job():
                name, engine = step.call.semantics.name, step.call.kernel.engine
                start = f"{pad}tw_{engine}_start(&queue, {step.call.kernel.jobs(step.call.semantics)});"
                return [comment([name], depth, self.table is not None), start]
            case Wait() if step.engine:
                left = "finish(&queue)" if step.tells and not step.behind else f"wait({step.behind})"
                return [f"{pad}tw_{step.engine}_{left};"]
            case Wait():
                self.tokens.add(step.token)
                return [f"{pad}tw_wait(token{step.token});"]
            case Barrier():
                return [f"{pad}tw_barrier();"]
            case Once():
                self.once = self.rarely = True
                inner = self.steps(step.steps, depth + 1)
                self.rarely = False
                return [f"{pad}if (first_call) {{", *inner, f"{pad}{INDENT}first_call = 0;", f"{pad}}}"]

    def phase(self, step: Phase, depth: int) -> list[str]:
        if self.cores == 1:
            return [line for call in step.calls for line in self.call(call, depth, step.share)]
        lines = [comment([call.semantics.name for call in step.calls], depth, self.table is not None)]
        share = replace(step.share, dims=()) if step.share else None
        asks = any(name == "first" for call in step.calls for _, name in call.kernel.parameters)
        if share is not None and asks and share != self.share:
            self.share, self.knows_core = share, True
            total = expression(share.total)
            name, late = ("tw_share_late", f", {share.late}") if share.late else ("tw_share", "")
            lines.insert(0, f"{INDENT * depth}{name}(core, {total}, {share.unit}{late}, &first, &last);")
        if share is not None:
            self.shared |= {call.kernel.symbol for call in step.calls}
        return [*lines, *(line for call in step.calls for line in self.call(call, depth, share))]

    def copy(self, step: Copy, depth: int) -> list[str]:
        """A transfer; the first one of a token takes a counter of the DMA."""
        pad, into = INDENT * depth, self.near(step.target)
        assert into != self.near(step.source), f"a transfer has to cross the border of {self.scratchpad}"
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
        operands = [self.operand(step.target), self.operand(step.source)]
        lines.append(wrap(f"{pad}{name}({', '.join([*operands, *map(expression, sizes)])});", len(pad) + 4))
        if not self.absent(step.source):
            return lines
        return [f"{pad}if ({operands[1]} != 0) {{", *(INDENT + line for line in lines), f"{pad}}}"]

    def absent(self, source: Operand) -> bool:
        """Whether a transfer is left out in some round of its loop."""
        if not isinstance(source, Column):
            return False
        assert self.table is not None
        return any(row[source.index] is None for row in self.table.loop.table.rows)

    def near(self, operand: Operand) -> bool:
        return self.buffer(operand).memory == self.scratchpad

    def buffer(self, operand: Operand) -> Buffer:
        """The buffer of an operand, in a loop that of its first round."""
        if isinstance(operand, Column):
            assert self.table is not None
            return refs(self.table.loop, operand.index)[0].buffer
        return operand.buffer

    # Calls

    def queue(self, program: Program) -> tuple[list[str], list[str]]:
        """The declaration of what a program starts on an asynchronous engine, and lines that complete its table."""
        found = queue(
            program.steps, self.engines, lambda numbers: self.tables.numbers(numbers, "registers"),
            lambda ref: self.places.address(ref)[1],
        )  # fmt: skip
        if found is None:
            return [], []
        name = self.places.names.of((program.name, "jobs"), f"{self.prefix}_{program.name}_jobs")
        constant = "" if found.later else "const "
        rows = [wrap(f"{INDENT}{{{', '.join(row)}}},", len(INDENT) + 4) for row in found.rows]
        kind = f"{constant}tw_{found.engine}_job"
        about = f"/* What {program.name} starts on {found.engine}, in this order; tw_cores.h has the fields. */"
        self.tables.queue(name, kind, rows, sum(map(len, found.rows)), about)
        lines = [f"{name}[{row}].{field} = {value};" for row, field, value in found.later]
        lines.append(f"tw_{found.engine}_describe({name});")
        local = [f"{INDENT}tw_{found.engine}_queue queue = {{{name} + 1, {name} + {len(rows)}, 1}};"]
        if self.cores == 1:
            return local, [INDENT + line for line in lines]
        self.knows_core = True
        core = self.cores - 1 if found.behind_barrier else found.core
        braces = len(lines) > 1
        begin = [f"{INDENT}if (tw_is(core, {core})){' {' if braces else ''}", *(2 * INDENT + line for line in lines)]
        return local, [*begin, *([f"{INDENT}}}"] if braces else [])]

    def call(self, call: Call, depth: int, share: Share | None = None) -> list[str]:
        kernel, given = call.kernel, self.given(call)
        texts = {name: self.parameter(call, ctype, name, share) for ctype, name in kernel.passed}
        if given is not None or not kernel.fields:
            return [statement(kernel, texts, depth, given)]
        texts |= {name: self.parameter(call, ctype, name, share) for ctype, name in kernel.fields}
        return with_struct(kernel, texts, depth)

    def parted(self, call: Call) -> bool:
        """Whether each core that shares a call has scratch of its own."""
        return self.cores > 1 and not call.kernel.meets

    def given(self, call: Call) -> str | None:
        """Where the struct of a call is, if it is a constant."""
        if self.table is not None:
            return self.table.placed.get(id(call))
        fields = fixed(call, self.places, self.tables) if call.kernel.fields else None
        return None if fields is None else f"&{self.tables.given(call.kernel, fields)}"

    def parameter(self, call: Call, ctype: str, name: str, share: Share | None) -> str:
        """What a call has for one parameter."""
        operands, scalars = dict(call.operands), dict(call.scalars)
        if call.kernel.gathers(name):
            return array_of(ctype, [self.operand(o) for n, o in operands.items() if o and n.rstrip(DIGITS) == name])
        if name in operands:
            operand = operands[name]
            text = "0" if operand is None else self.operand(operand)
            if name == "scratch" and operand is not None and share is not None and self.parted(call):
                text += f" + core * {self.buffer(operand).elements // (share.cores or self.cores)}"
            return text
        if name in ("first", "last") and name not in scalars:
            assert share is not None, f"{call.kernel.symbol} needs a share"
            whole = {"first": 0, "last": share.total}
            return name if self.cores > 1 else expression(whole[name])
        return self.argument(scalars[name], ctype)

    def parts(self, step: Parts, depth: int) -> list[str]:
        """One call; what differs is in a table with a row per core. Cores without a part skip it."""
        calls = [call for call in step.calls if call is not None]
        kernel, members, texts = calls[0].kernel, dict[str, tuple[str, tuple[str, ...]]](), dict[str, str]()
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
            found = varied(present, self.table.loop if self.table is not None else None)
            assert isinstance(found.base, Ref | Column)
            text = self.operand(found.base)
            return text if found.added is None else f"{text} + {member(name, 'int32_t', [*map(str, found.added)])}"

        for ctype, name in kernel.parameters:
            if kernel.gathers(name):
                texts[name] = array_of(ctype, [operand(n) for n, _ in calls[0].operands if n.rstrip(DIGITS) == name])
            elif name in dict(calls[0].operands):
                texts[name] = operand(name)
            else:
                values = [dict(call.scalars)[name] for call in calls]
                texts[name] = self.varied_argument(values, name, ctype, member)
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
        lines = with_struct(kernel, texts, inner) if kernel.fields else [statement(kernel, texts, inner)]
        if any(idle):
            lines = [
                f"{INDENT * inner}if ({condition})",
                *(INDENT + line.replace("\n", f"\n{INDENT}") for line in lines),
            ]
        if members:
            kinds = [f"{ctype} {name};" for name, (ctype, _) in members.items()]
            lines_of_rows = [wrap(f"{INDENT}{{{', '.join(row)}}},", len(INDENT) + 4) for row in rows]
            name = self.tables.rows("part", kinds, lines_of_rows, len(kinds))
            lines.insert(0, f"{INDENT * inner}const struct {name} *part = &{name}s[core];")
        if inner > depth:
            lines = [f"{pad}{{", *lines, f"{pad}}}"]
        return [comment([calls[0].semantics.name], depth, self.table is not None), *lines]

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
        return self.tables.numbers(value) if isinstance(value, tuple) else expression(value, ctype)

    def operand(self, operand: Operand) -> str:
        if isinstance(operand, Column):
            assert self.table is not None
            return self.table.operand(operand.index)
        return self.places.address(operand)[1]

    def loop(self, loop: Loop, depth: int, alone: int | None) -> list[str]:
        pad = INDENT * depth
        self.share, self.table = None, LoopTable(loop, self.places, self.tables, self.cores, near=not self.rarely)
        local, pointers = self.table.lines(pad)
        lines = [*local, f"{pad}for (int i = 0; i < {len(loop.table.rows)}; i++) {{", *pointers]
        lines += [*self.steps(loop.body, depth + 1, alone), f"{pad}}}"]
        self.share = self.token = self.table = None
        return lines
