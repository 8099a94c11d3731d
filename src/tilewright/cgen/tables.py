"""Constant tables of a network's C: numbers for kernels, operands of loops, arguments of calls. Equal ones are one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from ..targets.base import Kernel
from .layout import INDENT, wide, wrap
from .names import Names

WIDE = ("int64_t", "uint64_t", "double")  # two words each


class Tables:
    """Text by name. Those that calls read lie in the scratchpad, marked TW_NEAR, as long as `left` bytes reach."""

    def __init__(self, prefix: str, names: Names, left: int) -> None:
        self.prefix, self.names, self.left = prefix, names, left  # names: of the network's file
        self.kinds = Names()  # of structs of rows
        self.texts: dict[str, str] = {}

    def text(self) -> str:
        return "\n\n".join(self.texts.values())

    def numbers(self, values: tuple[int, ...], what: str = "table") -> str:
        """The name of a table of numbers; equal ones are one, whatever they are."""
        name = self.names.of(values, f"{self.prefix}_{what}")
        if name not in self.texts:
            head = f"static const int32_t {name}[{len(values)}]{self.where(len(values))}"
            self.texts[name] = wrap(f"{head} = {{{', '.join(map(wide, values))}}};", 4)
        return name

    def rows(self, variable: str, fields: Sequence[str], rows: Sequence[str], words: int, *, near: bool = True) -> str:
        """The name of a struct type, of whose constants the table NAMEs has one a row, of so many words each."""
        name = self.kinds.of((tuple(fields), tuple(rows), ""), variable)
        if name not in self.texts:
            where = self.where(len(rows) * words) if near else ""
            head = f"static const struct {name} {name}s[{len(rows)}]{where} = {{"
            self.texts[name] = f"{struct(name, fields)}\n\n{head}\n" + "\n".join(rows) + "\n};"
        return name

    def local(self, variable: str, fields: Sequence[str], rows: Sequence[str], owner: Hashable) -> str:
        """The name of a struct type of which a function makes a table."""
        name = self.kinds.of((tuple(fields), tuple(rows), owner), variable)
        self.texts[name] = struct(name, fields)
        return name

    def given(self, kernel: Kernel, values: Mapping[str, str]) -> str:
        """The name of the struct of a call whose arguments are constants."""
        text = designated(kernel, values)
        name = self.names.of((kernel.symbol, text), f"{self.prefix}_{kernel.symbol.removeprefix('tw_')}")
        if name not in self.texts:
            head = f"static const struct {kernel.symbol} {name}{self.where(words_of(kernel))} = {{"
            self.texts[name] = f"{head}\n{wrap(f'{INDENT}{text[1:-1]},', 4)}\n}};"
        return name

    def queue(self, name: str, kind: str, rows: Sequence[str], words: int, about: str) -> None:
        """What an asynchronous engine is asked to do in a program, one call a row; calls may change it."""
        where = self.where(words, "" if kind.startswith("const ") else "_CHANGING")
        self.texts[name] = "\n".join([about, f"static {kind} {name}[{len(rows)}]{where} = {{", *rows, "};"])

    def where(self, words: int, kind: str = "") -> str:
        """The attribute of a table: in the scratchpad, as long as there is room for tables."""
        if 4 * words > self.left:
            return ""
        self.left -= 4 * words
        return f" TW_NEAR{kind}"


def struct(name: str, fields: Iterable[str]) -> str:
    """The definition of a struct type."""
    return f"struct {name} {{\n" + "\n".join(INDENT + field for field in fields) + "\n};"


def designated(kernel: Kernel, values: Mapping[str, str]) -> str:
    """What a call is given, by the names of the fields."""
    return "{" + ", ".join(f".{name} = {values[name]}" for _, name in kernel.fields) + "}"


def words_of(kernel: Kernel) -> int:
    """Words of the scratchpad that the struct of a call takes."""
    return _laid_out((2, 2) if ctype in WIDE else (1, 1) for ctype, _ in kernel.fields)


def words_of_row(kernels: Iterable[Kernel], pointers: int) -> int:
    """Words of a row of a loop's table: structs of calls, then pointers."""
    return _laid_out([*((words_of(k), 2 if _is_wide(k) else 1) for k in kernels), *[(1, 1)] * pointers])


def _is_wide(kernel: Kernel) -> bool:
    return any(ctype in WIDE for ctype, _ in kernel.fields)


def _laid_out(parts: Iterable[tuple[int, int]]) -> int:
    """Words of a C struct of members of so many words, each aligned to so many."""
    at, widest = 0, 1
    for words, align in parts:
        at = -(-at // align) * align + words
        widest = max(widest, align)
    return -(-at // widest) * widest
