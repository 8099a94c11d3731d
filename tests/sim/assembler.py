"""A small assembler for tests: instruction words from fields, programs with labels, ELF files. No compiler needed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

ZERO, RA, SP, GP, TP = range(5)

L1_BASE, L2_BASE = 0x10000000, 0x1C010000
CLUSTER_CONTROL, CLUSTER_ICACHE = 0x10200000, 0x10201400
STDOUT, EXIT = 0x1A10F000, 0x1A1040A0


def i_type(opcode: int, funct3: int, rd: int, rs1: int, imm: int) -> int:
    return (imm & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def s_type(opcode: int, funct3: int, rs1: int, rs2: int, imm: int) -> int:
    return (imm >> 5 & 127) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 31) << 7 | opcode


def r_type(funct7: int, funct3: int, rd: int, rs1: int, rs2: int) -> int:
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x33


def j_type(rd: int, imm: int) -> int:
    return (
        (imm >> 20 & 1) << 31
        | (imm >> 1 & 1023) << 21
        | (imm >> 11 & 1) << 20
        | (imm >> 12 & 255) << 12
        | rd << 7
        | 0x6F
    )


def b_type(funct3: int, rs1: int, imm: int, rs2: int = 0) -> int:
    top, low = (imm >> 12 & 1) << 31 | (imm >> 5 & 63) << 25, (imm >> 1 & 15) << 8 | (imm >> 11 & 1) << 7
    return top | rs2 << 20 | rs1 << 15 | funct3 << 12 | low | 0x63


@dataclass
class Program:
    """Code that grows from `base`; labels are resolved when the bytes are asked for."""

    base: int
    code: bytearray = field(default_factory=bytearray)
    labels: dict[str, int] = field(default_factory=dict)
    fixups: list[tuple[int, str, Callable[[int], list[int]]]] = field(default_factory=list)

    @property
    def here(self) -> int:
        return self.base + len(self.code)

    def word(self, *words: int) -> None:
        for word in words:
            self.code += struct.pack("<I", word)

    def half(self, half: int) -> None:
        self.code += struct.pack("<H", half)

    def label(self, name: str) -> None:
        self.labels[name] = self.here

    def li(self, rd: int, value: int) -> None:
        """Two words: lui and addi."""
        value &= 0xFFFFFFFF
        upper = (value + 0x800) >> 12 & 0xFFFFF
        self.word(upper << 12 | rd << 7 | 0x37, i_type(0x13, 0, rd, rd, value))

    def addi(self, rd: int, rs1: int, imm: int) -> None:
        self.word(i_type(0x13, 0, rd, rs1, imm))

    def lw(self, rd: int, imm: int, rs1: int) -> None:
        self.word(i_type(0x03, 2, rd, rs1, imm))

    def sw(self, rs2: int, imm: int, rs1: int) -> None:
        self.word(s_type(0x23, 2, rs1, rs2, imm))

    def sb(self, rs2: int, imm: int, rs1: int) -> None:
        self.word(s_type(0x23, 0, rs1, rs2, imm))

    def _later(self, label: str, words: int, encode: Callable[[int], list[int]]) -> None:
        """Room for `words` words, which encode(distance to the label) gives."""
        self.fixups.append((len(self.code), label, encode))
        self.code += bytes(4 * words)

    def jump(self, label: str, link: int = ZERO) -> None:
        self._later(label, 1, lambda offset: [j_type(link, offset)])

    def branch(self, funct3: int, rs1: int, rs2: int, label: str) -> None:
        self._later(label, 1, lambda offset: [b_type(funct3, rs1, offset, rs2)])

    def la(self, rd: int, label: str) -> None:
        """Two words: auipc and addi."""
        self._later(
            label, 2, lambda offset: [(offset + 0x800 & 0xFFFFF000) | rd << 7 | 0x17, i_type(0x13, 0, rd, rd, offset)]
        )

    def assembled(self) -> bytes:
        code = bytearray(self.code)
        for at, label, encode in self.fixups:
            words = encode(self.labels[label] - self.base - at)
            code[at : at + 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)
        return bytes(code)


BEQ, BNE, BLT, BGE, BLTU, BGEU = 0, 1, 4, 5, 6, 7


def start_cluster(program: Program, entry: str, cores: int = 1) -> None:
    """The fabric controller starts the cluster cores of the mask `cores` at label `entry` and stays in a loop."""
    control, value = 5, 6
    program.li(control, CLUSTER_CONTROL)
    program.la(value, entry)
    for core in range(9):
        program.sw(value, 0x40 + 4 * core, control)
    program.li(value, CLUSTER_ICACHE)
    program.addi(7, ZERO, 1)
    program.sw(7, 0, value)
    program.li(value, cores)
    program.sw(value, 8, control)
    program.label(entry + "_started")
    program.jump(entry + "_started")


def print_words(program: Program, begin: int, end: int, name: str) -> None:
    """Code that prints the words of [begin, end) as lines of eight hexadecimal digits, on cluster core 0's stdout."""
    pointer, limit, out, value, shift, digit, small = 5, 6, 7, 28, 29, 30, 31
    program.li(pointer, begin)
    program.li(limit, end)
    program.li(out, STDOUT)
    program.label(name + "_word")
    program.lw(value, 0, pointer)
    program.addi(pointer, pointer, 4)
    program.addi(shift, ZERO, 28)
    program.label(name + "_digit")
    program.word(
        r_type(0, 5, digit, value, shift), i_type(0x13, 7, digit, digit, 15), i_type(0x13, 2, small, digit, 10)
    )
    program.branch(BNE, small, ZERO, name + "_decimal")
    program.addi(digit, digit, ord("a") - ord("0") - 10)
    program.label(name + "_decimal")
    program.addi(digit, digit, ord("0"))
    program.sb(digit, 0, out)
    program.addi(shift, shift, -4)
    program.branch(BGE, shift, ZERO, name + "_digit")
    program.addi(digit, ZERO, ord("\n"))
    program.sb(digit, 0, out)
    program.branch(BLTU, pointer, limit, name + "_word")


def leave(program: Program, code: int = 0) -> None:
    """End the simulation with an exit code."""
    program.li(5, EXIT)
    program.li(6, 0x80000000 | code)
    program.sw(6, 0, 5)
    program.label("after_exit")
    program.jump("after_exit")


def write_elf(
    path: Path, entry: int, segments: Iterable[tuple[int, bytes]], symbols: dict[str, int] | None = None
) -> None:
    """A 32-bit RISC-V executable with one PT_LOAD per (address, bytes), and a symbol table."""
    parts = list(segments)
    names = sorted((symbols or {}).items())
    strings, table = bytearray(b"\0"), bytearray(16)
    for name, address in names:
        table += struct.pack("<IIIBBH", len(strings), address, 0, 0x12, 0, 0xFFF1)
        strings += name.encode() + b"\0"
    shstrings = b"\0.symtab\0.strtab\0.shstrtab\0"
    at = 52 + 32 * len(parts)
    headers, body = bytearray(), bytearray()
    for address, data in parts:
        headers += struct.pack("<8I", 1, at + len(body), address, address, len(data), len(data), 7, 4)
        body += data + bytes(-len(data) % 4)
    places = []
    for data in (bytes(table), bytes(strings), shstrings):
        places.append((at + len(body), len(data)))
        body += data + bytes(-len(data) % 4)
    sections = bytearray(40)
    for (name_at, kind, link, size), (offset, length) in zip(
        ((1, 2, 2, 16), (9, 3, 0, 0), (17, 3, 0, 0)), places, strict=True
    ):
        sections += struct.pack("<10I", name_at, kind, 0, 0, offset, length, link, 1 if kind == 2 else 0, 4, size)
    ident = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIIIIIHHHHHH", 2, 243, 1, entry, 52, at + len(body), 0, 52, 32, len(parts), 40, 4, 3
    )
    path.write_bytes(bytes(header + headers + body + sections))
