"""Reads sizes and the worst-case stack out of object files (pyelftools)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RETURN_ADDRESS = 8  # bytes that a call pushes on x86-64; on other hosts the frame holds it
SHF_WRITE, SHF_ALLOC = 1, 2
CALLS = {"EM_X86_64": {2, 4}, "EM_AARCH64": {282, 283}, "EM_RISCV": {17, 18, 19}}  # relocations of calls and tail calls
BEHIND = {"EM_X86_64": 4}  # calls are relative to the next instruction


@dataclass(frozen=True)
class Sizes:
    """Bytes: code and constants in flash, variables in RAM, the deepest stack below each entry function."""

    code: int
    constants: int
    variables: int
    stack: int
    shared: int  # the deepest stack without calls of the functions that some cores never call
    unknown: tuple[str, ...]  # functions that the bound cannot see into: of the C library, or the caller's


def measure(objects: Sequence[Path], entries: Sequence[str], without: Collection[str] = ()) -> Sizes:
    """Sizes of what a linker keeps for the entry functions: all that they reach, section by section.

    `without` are functions that only some cores call.

    The objects were compiled with -ffunction-sections -fdata-sections -fstack-size-section.
    """
    sections: dict[Section, _Facts] = {}
    globals_: dict[str, Section] = {}
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for path in objects:
        from elftools.elf.elffile import ELFFile

        with path.open("rb") as file:
            elf = ELFFile(file)
            _sections(elf, path.name, sections, globals_)
            functions = _Functions(elf, path.name)
            _frames(elf, functions, frames)
            _calls(elf, functions, calls)
    total = {"code": 0, "constants": 0, "variables": 0}
    for section in _reachable(sections, globals_, entries):
        total[sections[section].kind] += sections[section].bytes
    deepest, unknown = _deepest(frames, calls, entries)
    kept = {caller: callees.difference(without) for caller, callees in calls.items()}
    shared = _deepest(frames, kept, entries)[0] if without else deepest
    return Sizes(**total, stack=deepest, shared=shared, unknown=tuple(sorted(unknown)))


Section = tuple[str, int]  # object file, index in it


@dataclass
class _Facts:
    """One section that takes memory: what it is, its bytes, what it refers to (by section, or a global's name)."""

    kind: str
    bytes: int
    refers: set[Section | str]


def _sections(elf: Any, file: str, sections: dict[Section, _Facts], globals_: dict[str, Section]) -> None:
    for index, section in enumerate(elf.iter_sections()):
        if not (section["sh_flags"] & SHF_ALLOC and section["sh_size"]):
            continue
        if section.name.startswith(".text"):
            facts = _Facts("code", section["sh_size"], set())
        elif section["sh_flags"] & SHF_WRITE and not section.name.startswith(".data.rel.ro"):
            facts = _Facts("variables", _objects(elf, section), set())
        else:
            facts = _Facts("constants", section["sh_size"], set())
        sections[file, index] = facts
    for symbol in elf.get_section_by_name(".symtab").iter_symbols():
        if symbol["st_info"]["bind"] != "STB_LOCAL" and isinstance(symbol["st_shndx"], int):
            globals_[symbol.name] = (file, symbol["st_shndx"])
    for section in elf.iter_sections():
        target = (file, section["sh_info"])
        if section["sh_type"] not in ("SHT_RELA", "SHT_REL") or target not in sections:
            continue
        symbols = elf.get_section(section["sh_link"])
        for relocation in section.iter_relocations():
            symbol = symbols.get_symbol(relocation["r_info_sym"])
            here = symbol["st_shndx"]
            sections[target].refers.add((file, here) if isinstance(here, int) else symbol.name)


def _reachable(sections: dict[Section, _Facts], globals_: dict[str, Section], entries: Sequence[str]) -> set[Section]:
    """Sections that the entries need."""
    found: set[Section] = set()
    waiting: list[Section | str] = list(entries)
    while waiting:
        item = waiting.pop()
        section = globals_.get(item) if isinstance(item, str) else item
        if section in sections and section not in found:
            found.add(section)
            waiting += sections[section].refers
    return found


def _objects(elf: Any, section: Any) -> int:
    """Bytes of the variables in a section, without padding between them."""
    index = list(elf.iter_sections()).index(section)
    symbols = elf.get_section_by_name(".symtab").iter_symbols()
    return sum(s["st_size"] for s in symbols if s["st_shndx"] == index and s["st_info"]["type"] == "STT_OBJECT")


class _Functions:
    """The functions of an object file by where they are; names of file-local ones carry the file's.

    Sections need not have a function's name: kernels put what is hot into sections of their own.
    """

    def __init__(self, elf: Any, file: str) -> None:
        self.file = file
        self.found: dict[int, dict[int, list[str]]] = {}  # section, address in it: a function and its other names
        for symbol in elf.get_section_by_name(".symtab").iter_symbols():
            if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(symbol["st_shndx"], int):
                self.found.setdefault(symbol["st_shndx"], {}).setdefault(symbol["st_value"], []).append(
                    self.name(symbol)
                )

    def name(self, symbol: Any) -> str:
        local = symbol["st_info"]["bind"] == "STB_LOCAL"
        return f"{self.file}:{symbol.name}" if local else str(symbol.name)

    def at(self, section: int, address: int) -> list[str]:
        """All names of the function that an address is in."""
        here = self.found.get(section, {})
        begins = [start for start in here if start <= max(0, address)]
        return here[max(begins)] if begins else []

    def meant(self, symbol: Any, added: int) -> list[str]:
        """The function that a relocation names: by its symbol, or by a section or a label and what is added to it."""
        if symbol["st_info"]["type"] == "STT_SECTION" or symbol.name.startswith(".L"):
            section = symbol["st_shndx"]
            return self.at(section, symbol["st_value"] + added) if isinstance(section, int) else []
        return [self.name(symbol)] if symbol.name and symbol["st_info"]["type"] != "STT_OBJECT" else []


def _frames(elf: Any, functions: _Functions, frames: dict[str, int]) -> None:
    """Frame size of every function, from .stack_sizes (address by relocation, then ULEB128)."""
    sections = list(elf.iter_sections())
    for section in sections:
        if not section.name.startswith(".rela.stack_sizes"):
            continue
        data = sections[section["sh_info"]].data()
        symbols = sections[section["sh_link"]]
        for relocation in section.iter_relocations():
            symbol = symbols.get_symbol(relocation["r_info_sym"])
            at, size, shift = relocation["r_offset"] + elf.elfclass // 8, 0, 0
            while True:
                byte = data[at]
                size |= (byte & 127) << shift
                at, shift = at + 1, shift + 7
                if byte < 128:
                    break
            frames |= dict.fromkeys(functions.meant(symbol, relocation["r_addend"]), size)


def _calls(elf: Any, functions: _Functions, calls: dict[str, set[str]]) -> None:
    machine = elf["e_machine"]
    sections = list(elf.iter_sections())
    for section in sections:
        if not section.name.startswith(".rela.text"):
            continue
        symbols = sections[section["sh_link"]]
        for relocation in section.iter_relocations():
            if relocation["r_info_type"] not in CALLS.get(machine, ()):
                continue
            symbol = symbols.get_symbol(relocation["r_info_sym"])
            if symbol.name.startswith(".L") and symbol["st_shndx"] == section["sh_info"]:
                continue  # a jump within a function, where the linker shortens code
            callees = functions.meant(symbol, relocation["r_addend"] + BEHIND.get(machine, 0))
            for caller in functions.at(section["sh_info"], relocation["r_offset"]):
                calls.setdefault(caller, set()).update(callees[:1])


def _deepest(frames: dict[str, int], calls: dict[str, set[str]], entries: Sequence[str]) -> tuple[int, set[str]]:
    """Deepest stack below the entries; recursion is a defect (generated C has none)."""
    known: dict[str, int] = {}
    unknown: set[str] = set()

    def depth(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise AssertionError(f"recursion: {' -> '.join((*path, name))}")
        if name not in known:
            if name not in frames:
                unknown.add(name.rpartition(":")[2])
            below = max((depth(c, (*path, name)) for c in calls.get(name, ())), default=0)
            known[name] = frames.get(name, 0) + RETURN_ADDRESS + below
        return known[name]

    return max((depth(entry, ()) for entry in entries if entry in frames), default=0), unknown
