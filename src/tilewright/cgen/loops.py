"""Loops over blocks: their operands and arguments in C, one row of a table per round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..ir.program import Buffer, Call, Column, Loop, Phase, Ref, Step
from ..ir.types import Kind
from ..targets.base import Kernel
from .addresses import Addresses
from .layout import INDENT, expression, wrap
from .names import Names, role
from .parts import anchors, used_columns
from .tables import Tables, designated, words_of_row

Row = tuple[Ref | None, ...]


def refs(loop: Loop, column: int) -> list[Ref]:
    """What a column has in the rounds that use it."""
    return [ref for row in loop.table.rows if (ref := row[column]) is not None]


def struct_calls(steps: Sequence[Step]) -> Iterator[Call]:
    """Calls whose arguments lie in a struct."""
    for step in steps:
        if isinstance(step, Phase):
            yield from (call for call in step.calls if call.kernel.by_struct)


def fixed(call: Call, places: Addresses, tables: Tables, row: Row = ()) -> dict[str, str] | None:
    """The fields of a call's struct, by name; None where an address or a size is known at run time only."""
    operands, scalars, values = dict(call.operands), dict(call.scalars), {}
    for ctype, name in call.kernel.fields:
        if name not in operands:
            value = scalars[name]
            if not isinstance(value, int | float | tuple):
                return None
            values[name] = tables.numbers(value) if isinstance(value, tuple) else expression(value, ctype)
            continue
        operand = operands[name]
        ref = row[operand.index] if isinstance(operand, Column) else operand
        if ref is None:
            values[name] = "0"
        elif isinstance(ref.offset, int) and ref.buffer.kind not in (Kind.INPUT, Kind.OUTPUT):
            values[name] = places.address(ref)[1]
        else:
            return None
    return values


class LoopTable:
    """What the rounds of a loop have of their own.

    A member for each column that steps use, and one for each call whose struct differs between the rounds, as long as
    the scratchpad has room for it: a struct that is read elsewhere costs more than arguments. Addresses of the caller's
    memory are known only in the call. With several cores, their columns have a table of their own, because every core
    makes one; a single core's are all in one.
    """

    def __init__(self, loop: Loop, places: Addresses, tables: Tables, cores: int, *, near: bool = True) -> None:
        self.loop, self.places, self.tables, self.cores, self.near = loop, places, tables, cores, near
        self.anchors = anchors(loop)
        self.members: list[tuple[str, Kernel, list[dict[str, str]]]] = []  # name, kernel, fields by round
        self.placed: dict[int, str] = {}  # where the struct of a call is, by identity
        names = Names()
        for call in struct_calls(loop.body):
            self._place(call, names)
        self.columns = {k: names.of(k, role(loop.table.columns[k])) for k in sorted(self._anchors())}

    def _anchors(self, *more: int) -> set[int]:
        """Columns that have members, where structs of calls do not have the addresses; of `more`, by identity, too."""
        return {self.anchors[k][0] for k in used_columns(self.loop.body, frozenset((*self.placed, *more)))}

    def _fits(self, call: Call) -> bool:
        """Whether the scratchpad has room for a struct of the call in each round."""
        kernels = [*(kernel for _, kernel, _ in self.members), call.kernel]
        words = words_of_row(kernels, len(self._anchors(id(call))))
        return self.near and 4 * words * len(self.loop.table.rows) <= self.tables.left

    def _place(self, call: Call, names: Names) -> None:
        """Decide where the struct of a call is."""
        kernel = call.kernel
        rows = [fixed(call, self.places, self.tables, row) for row in self.loop.table.rows]
        present = [row for row in rows if row is not None]
        if len(present) < len(rows):
            return
        if all(row == present[0] for row in present):
            self.placed[id(call)] = f"&{self.tables.given(kernel, present[0])}"
            return
        if self.cores == 1 or not self._fits(call):
            return
        name = names.of(id(call), kernel.symbol.removeprefix("tw_"))
        self.members.append((name, kernel, present))
        self.placed[id(call)] = f"&block->{name}"

    def operand(self, column: int) -> str:
        """The address that a step uses."""
        anchor, distance = self.anchors[column]
        name, behind = self.columns[anchor], f" + {distance}" if distance else ""
        if (buffer := self._offsets_into(anchor)) is not None:
            return f"{self.places.base(buffer)} + block->{name}{behind}"
        return f"{'given' if self._apart(anchor) else 'block'}->{name}{behind}"

    def lines(self, pad: str) -> tuple[list[str], list[str]]:
        """Tables that are local to the function, and the pointers that a round begins with."""
        local, pointers = [], []
        for variable, apart in (("block", False), ("given", True)):
            chosen = [k for k in self.columns if self._apart(k) == apart]
            if not chosen and (apart or not self.members):
                continue
            if any(self._outside(k) for k in chosen):
                name, lines = self._local(variable, chosen, pad)
                local += lines
            else:
                name = self._constant(variable, chosen)
            pointers.append(f"{pad}{INDENT}const struct {name} *{variable} = &{name}s[i];")
        return local, pointers

    def _constant(self, variable: str, chosen: Sequence[int]) -> str:
        rows = [self._row(i, chosen) for i in range(len(self.loop.table.rows))]
        fields = [f"struct {kernel.symbol} {name};" for name, kernel, _ in self.members]
        fields += [self._field(k) for k in chosen]
        words = words_of_row((kernel for _, kernel, _ in self.members), len(chosen))
        return self.tables.rows(variable, fields, rows, words, near=self.near)

    def _row(self, i: int, chosen: Sequence[int]) -> str:
        """Where structs are among it, everything has its name."""
        entries = [self._entry(self.loop.table.rows[i], k)[1] for k in chosen]
        if not self.members:
            return wrap(f"{INDENT}{{{', '.join(entries)}}},", len(INDENT) + 4)
        inner = 2 * INDENT
        lines = [f"{inner}.{name} = {designated(kernel, rows[i])}," for name, kernel, rows in self.members]
        lines = [wrap(line, len(inner) + 4) for line in lines]
        if chosen:
            named = (f".{self.columns[k]} = {text}," for k, text in zip(chosen, entries, strict=True))
            lines.append(wrap(inner + " ".join(named), len(inner)))
        return "\n".join([f"{INDENT}{{", *lines, f"{INDENT}}},"])

    def _local(self, variable: str, chosen: Sequence[int], pad: str) -> tuple[str, list[str]]:
        inner, fields = pad + INDENT, [self._field(k) for k in chosen]
        rows = [", ".join(self._entry(row, k)[1] for k in chosen) for row in self.loop.table.rows]
        lines = [wrap(f"{inner}{{{row}}},", len(inner) + 4) for row in rows]
        name = self.tables.local(variable, fields, lines, (self.places.current.name, id(self.loop)))
        return name, [f"{pad}const struct {name} {name}s[{len(rows)}] = {{", *lines, f"{pad}}};"]

    def _field(self, column: int) -> str:
        """Constants that travel together may have different members."""
        ctypes = [self._entry(row, column)[0] for row in self.loop.table.rows]
        return f"{ctypes[0] if len(set(ctypes)) == 1 else 'const void *'}{self.columns[column]};"

    def _entry(self, row: Row, column: int) -> tuple[str, str]:
        """Type (ready for the name behind it) and value of a table's entry."""
        ref = row[column]
        if ref is None:
            return f"{self.places.address(refs(self.loop, column)[0])[0]} *", "0"
        if self._offsets_into(column) is not None:
            return "int32_t ", expression(ref.offset)
        ctype, text = self.places.address(ref)
        return f"{ctype} *", text

    def _apart(self, column: int) -> bool:
        """Whether a column is in the second, local table."""
        return self.cores > 1 and self._outside(column)

    def _outside(self, column: int) -> bool:
        """Whether a column has addresses of the caller's memory."""
        callers = any(ref.buffer.kind in (Kind.INPUT, Kind.OUTPUT) for ref in refs(self.loop, column))
        return callers and self._offsets_into(column) is None

    def _offsets_into(self, column: int) -> Buffer | None:
        """The caller's buffer that a column's addresses are in, if it is one: offsets are constants, addresses not."""
        found = refs(self.loop, column)
        buffer = found[0].buffer
        if self.cores == 1 or buffer.kind not in (Kind.INPUT, Kind.OUTPUT) or len(found) < len(self.loop.table.rows):
            return None
        return buffer if all(r.buffer is buffer and isinstance(r.offset, int) for r in found) else None
