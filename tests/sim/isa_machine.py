"""The machine that the instruction model works on: fields of a word, registers, memory, hardware loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import compressed

MASK32 = 0xFFFFFFFF
INT_MIN = -(1 << 31)


def signed(value: int, bits: int = 32) -> int:
    """The low `bits` of value as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def lanes(value: int, bits: int, is_signed: bool) -> list[int]:
    """The 32-bit value cut into lanes of `bits`, lowest first."""
    parts = [value >> at & ((1 << bits) - 1) for at in range(0, 32, bits)]
    return [signed(part, bits) for part in parts] if is_signed else parts


def joined(parts: list[int], bits: int) -> int:
    """Lanes, lowest first, as one 32-bit value; each is cut to `bits`."""
    return sum((part & ((1 << bits) - 1)) << (bits * i) for i, part in enumerate(parts))


@dataclass(frozen=True)
class Word:
    """An instruction word and its fields."""

    word: int
    size: int = 4

    @property
    def rd(self) -> int:
        return self.word >> 7 & 31

    @property
    def rs1(self) -> int:
        return self.word >> 15 & 31

    @property
    def rs2(self) -> int:
        return self.word >> 20 & 31

    @property
    def rs3(self) -> int:
        return self.word >> 27 & 31

    @property
    def imm_i(self) -> int:
        return signed(self.word >> 20, 12)

    @property
    def imm_s(self) -> int:
        return signed(self.word >> 25 << 5 | self.rd, 12)

    @property
    def imm_b(self) -> int:
        w = self.word
        return signed((w >> 31) << 12 | (w >> 7 & 1) << 11 | (w >> 25 & 63) << 5 | (w >> 8 & 15) << 1, 13)

    @property
    def imm_j(self) -> int:
        w = self.word
        return signed((w >> 31) << 20 | (w >> 12 & 255) << 12 | (w >> 20 & 1) << 11 | (w >> 21 & 1023) << 1, 21)

    @property
    def imm_lane(self) -> int:
        """SIMD immediate, unsigned: bit 0 is instruction bit 25, bits 5:1 are bits 24:20."""
        return (self.word >> 25 & 1) | self.rs2 << 1

    @property
    def is3(self) -> int:
        return self.word >> 25 & 31


@dataclass
class Loop:
    """A hardware loop: first instruction, last instruction, iterations left."""

    start: int = 0
    end: int = 0
    count: int = 0


@dataclass
class Machine:
    """Registers and memory of one core. Memory is one array of bytes that begins at `base`."""

    memory: bytearray
    base: int
    pc: int
    x: list[int] = field(default_factory=lambda: [0] * 32)
    f: list[int] = field(default_factory=lambda: [0] * 32)
    loops: tuple[Loop, Loop] = field(default_factory=lambda: (Loop(), Loop()))
    special: list[int] = field(default_factory=lambda: [0] * 6)  # XpulpNN: two activation and four weight registers
    next_pc: int = 0
    decode: Callable[[int], Instruction] = field(default=lambda word: illegal(word))

    def load(self, address: int, size: int, is_signed: bool = False) -> int:
        at = (address & MASK32) - self.base
        if not 0 <= at <= len(self.memory) - size:
            raise IndexError(f"load of {size} bytes at {address & MASK32:#x}")
        return int.from_bytes(self.memory[at : at + size], "little", signed=is_signed) & MASK32

    def store(self, address: int, size: int, value: int) -> None:
        at = (address & MASK32) - self.base
        if not 0 <= at <= len(self.memory) - size:
            raise IndexError(f"store of {size} bytes at {address & MASK32:#x}")
        self.memory[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def set(self, register: int, value: int) -> None:
        if register:
            self.x[register] = value & MASK32

    def fetch(self) -> Word:
        half = self.load(self.pc, 2)
        if half & 3 == 3:
            return Word(self.load(self.pc, 4))
        return Word(compressed.expand(half), 2)

    def step(self) -> None:
        """Execute the instruction at pc. After the last one of a loop: back while iterations are left, loop 0 first."""
        word = self.fetch()
        self.next_pc = self.pc + word.size
        self.decode(word.word).execute(self, word)
        for loop in self.loops:
            if loop.count and loop.end == self.pc:
                loop.count -= 1
                if loop.count:
                    self.next_pc = loop.start
                    break
        self.pc = self.next_pc & MASK32

    def run(self, until: int, limit: int = 2_000_000) -> None:
        """Step until pc is `until`."""
        for _ in range(limit):
            if self.pc == until:
                return
            self.step()
        raise RuntimeError(f"no end after {limit} instructions, pc {self.pc:#x}")


Execute = Callable[[Machine, Word], None]


@dataclass(frozen=True)
class Instruction:
    """One encoding. `form` names the operand layout, for generators of random words."""

    name: str
    form: str
    match: int
    mask: int
    execute: Execute


F3, F7 = 0x707F, 0xFE00707F
SIMD_MASK = 0xFC00707F


def illegal(word: int) -> Instruction:
    raise ValueError(f"illegal instruction {word:#010x}")


def op(name: str, match: int, function: Callable[[int, int], int], mask: int = F7) -> Instruction:
    """Rd = function(rs1, rs2) on unsigned values."""
    return Instruction(name, "r", match, mask, lambda m, w: m.set(w.rd, function(m.x[w.rs1], m.x[w.rs2])))


def op1(name: str, match: int, function: Callable[[int], int], mask: int = 0xFFF0707F) -> Instruction:
    """Rd = function(rs1)."""
    return Instruction(name, "r1", match, mask, lambda m, w: m.set(w.rd, function(m.x[w.rs1])))


def op3(name: str, match: int, function: Callable[[int, int, int], int], mask: int = F7) -> Instruction:
    """Rd = function(old rd, rs1, rs2)."""
    return Instruction(name, "r", match, mask, lambda m, w: m.set(w.rd, function(m.x[w.rd], m.x[w.rs1], m.x[w.rs2])))


LOADS = (("lb", 0, 1, True), ("lh", 1, 2, True), ("lw", 2, 4, False), ("lbu", 4, 1, False), ("lhu", 5, 2, False))
STORES = (("sb", 0, 1), ("sh", 1, 2), ("sw", 2, 4))
Address = Callable[[Machine, Word], int]


def loading(size: int, is_signed: bool, address: Address) -> Execute:
    """Rd = memory at `address`."""
    return lambda m, w: m.set(w.rd, m.load(address(m, w), size, is_signed))


def loading_post(size: int, is_signed: bool, by_register: bool) -> Execute:
    """Rd = memory at rs1, then rs1 is incremented.

    With rd = rs1 the reference simulator adds an immediate to what was loaded, but a register to what rs1 was before.
    """

    def execute(m: Machine, w: Word) -> None:
        following = m.x[w.rs1] + m.x[w.rs2]
        m.set(w.rd, m.load(m.x[w.rs1], size, is_signed))
        m.set(w.rs1, following if by_register else m.x[w.rs1] + w.imm_i)

    return execute


def storing(size: int, address: Address, post: Address | None) -> Execute:
    """Memory = rs2, then with `post` rs1 = post."""

    def execute(m: Machine, w: Word) -> None:
        following = post(m, w) if post else None
        m.store(address(m, w), size, m.x[w.rs2])
        if following is not None:
            m.set(w.rs1, following)

    return execute
