"""A model of every instruction of Siracusa's cores: RV32IMFC, Zicsr's registers excepted, and XpulpV2.

Written from the published encodings and the architecture manuals, independent of the simulator: the tests compare both.
It is an interpreter of machine words, slow and plain: one row per encoding, one small function per meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import compressed
import float32 as fp

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
    next_pc: int = 0

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
        """Execute the instruction at pc. After the last one of a hardware loop: go back while iterations are left, loop 0 first."""
        word = self.fetch()
        self.next_pc = self.pc + word.size
        decode(word.word).execute(self, word)
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


def rows() -> Iterator[Instruction]:
    """Every instruction; where two match, the first holds."""
    yield from base()
    yield from multiply()
    yield from single_float()
    yield from pulp_memory()
    yield from pulp_control()
    yield from pulp_scalar()
    yield from pulp_products()
    yield from pulp_simd()


def op(name: str, match: int, function: Callable[[int, int], int], mask: int = F7) -> Instruction:
    """rd = function(rs1, rs2) on unsigned values."""
    return Instruction(name, "r", match, mask, lambda m, w: m.set(w.rd, function(m.x[w.rs1], m.x[w.rs2])))


def op1(name: str, match: int, function: Callable[[int], int], mask: int = 0xFFF0707F) -> Instruction:
    """rd = function(rs1)."""
    return Instruction(name, "r1", match, mask, lambda m, w: m.set(w.rd, function(m.x[w.rs1])))


def op3(name: str, match: int, function: Callable[[int, int, int], int], mask: int = F7) -> Instruction:
    """rd = function(old rd, rs1, rs2)."""
    return Instruction(name, "r", match, mask, lambda m, w: m.set(w.rd, function(m.x[w.rd], m.x[w.rs1], m.x[w.rs2])))


def base() -> Iterator[Instruction]:
    """RV32I without system instructions."""

    def jump(m: Machine, w: Word, target: int) -> None:
        m.set(w.rd, m.pc + w.size)
        m.next_pc = target & MASK32

    yield Instruction("lui", "u", 0x37, 0x7F, lambda m, w: m.set(w.rd, w.word & 0xFFFFF000))
    yield Instruction("auipc", "u", 0x17, 0x7F, lambda m, w: m.set(w.rd, m.pc + (w.word & 0xFFFFF000)))
    yield Instruction("jal", "jal", 0x6F, 0x7F, lambda m, w: jump(m, w, m.pc + w.imm_j))
    yield Instruction("jalr", "jalr", 0x67, F3, lambda m, w: jump(m, w, (m.x[w.rs1] + w.imm_i) & ~1))
    comparisons: dict[str, tuple[int, Callable[[int, int], bool]]] = {
        "beq": (0, lambda a, b: a == b),
        "bne": (1, lambda a, b: a != b),
        "blt": (4, lambda a, b: signed(a) < signed(b)),
        "bge": (5, lambda a, b: signed(a) >= signed(b)),
        "bltu": (6, lambda a, b: a < b),
        "bgeu": (7, lambda a, b: a >= b),
    }
    for name, (funct3, taken) in comparisons.items():
        yield Instruction(name, "branch", 0x63 | funct3 << 12, F3, branch_on(taken))
    for name, funct3, size, is_signed in LOADS:
        yield Instruction(name, "load", 0x03 | funct3 << 12, F3, loading(size, is_signed, lambda m, w: m.x[w.rs1] + w.imm_i))
    for name, funct3, size in STORES:
        yield Instruction(name, "store", 0x23 | funct3 << 12, F3, storing(size, lambda m, w: m.x[w.rs1] + w.imm_s, None))
    arithmetic: dict[str, tuple[int, int, Callable[[int, int], int]]] = {
        "add": (0, 0x00, lambda a, b: a + b),
        "sub": (0, 0x20, lambda a, b: a - b),
        "sll": (1, 0x00, lambda a, b: a << (b & 31)),
        "slt": (2, 0x00, lambda a, b: int(signed(a) < signed(b))),
        "sltu": (3, 0x00, lambda a, b: int(a < b)),
        "xor": (4, 0x00, lambda a, b: a ^ b),
        "srl": (5, 0x00, lambda a, b: a >> (b & 31)),
        "sra": (5, 0x20, lambda a, b: signed(a) >> (b & 31)),
        "or": (6, 0x00, lambda a, b: a | b),
        "and": (7, 0x00, lambda a, b: a & b),
    }
    for name, (funct3, funct7, function) in arithmetic.items():
        yield op(name, 0x33 | funct3 << 12 | funct7 << 25, function)
        if name == "sub":
            continue
        shift = name in ("sll", "srl", "sra")
        yield Instruction(
            "sltiu" if name == "sltu" else name + "i",
            "shift" if shift else "i",
            0x13 | funct3 << 12 | (funct7 << 25 if shift else 0),
            F7 if shift else F3,
            immediate(function, shift),
        )


def immediate(function: Callable[[int, int], int], shift: bool) -> Execute:
    """rd = function(rs1, immediate)."""
    return lambda m, w: m.set(w.rd, function(m.x[w.rs1], w.rs2 if shift else w.imm_i & MASK32))


def branch_on(taken: Callable[[int, int], bool]) -> Execute:
    """Jump by imm_b when taken(rs1, rs2)."""

    def execute(m: Machine, w: Word) -> None:
        if taken(m.x[w.rs1], m.x[w.rs2]):
            m.next_pc = m.pc + w.imm_b

    return execute


LOADS = (("lb", 0, 1, True), ("lh", 1, 2, True), ("lw", 2, 4, False), ("lbu", 4, 1, False), ("lhu", 5, 2, False))
STORES = (("sb", 0, 1), ("sh", 1, 2), ("sw", 2, 4))
Address = Callable[[Machine, Word], int]


def loading(size: int, is_signed: bool, address: Address) -> Execute:
    """rd = memory at `address`."""
    return lambda m, w: m.set(w.rd, m.load(address(m, w), size, is_signed))


def loading_post(size: int, is_signed: bool, by_register: bool) -> Execute:
    """rd = memory at rs1, then rs1 is incremented.

    With rd = rs1 the reference simulator adds an immediate to what was loaded, but a register to what rs1 was before.
    """

    def execute(m: Machine, w: Word) -> None:
        following = m.x[w.rs1] + m.x[w.rs2]
        m.set(w.rd, m.load(m.x[w.rs1], size, is_signed))
        m.set(w.rs1, following if by_register else m.x[w.rs1] + w.imm_i)

    return execute


def storing(size: int, address: Address, post: Address | None) -> Execute:
    """memory = rs2, then with `post` rs1 = post."""

    def execute(m: Machine, w: Word) -> None:
        following = post(m, w) if post else None
        m.store(address(m, w), size, m.x[w.rs2])
        if following is not None:
            m.set(w.rs1, following)

    return execute


def multiply() -> Iterator[Instruction]:
    """RV32M."""

    def divide(a: int, b: int) -> int:
        if b == 0:
            return -1
        quotient = abs(signed(a)) // abs(signed(b))
        return quotient if (signed(a) < 0) == (signed(b) < 0) else -quotient

    def remainder(a: int, b: int) -> int:
        if b == 0:
            return a
        rest = abs(signed(a)) % abs(signed(b))
        return -rest if signed(a) < 0 else rest

    functions: list[tuple[str, Callable[[int, int], int]]] = [
        ("mul", lambda a, b: a * b),
        ("mulh", lambda a, b: signed(a) * signed(b) >> 32),
        ("mulhsu", lambda a, b: signed(a) * b >> 32),
        ("mulhu", lambda a, b: a * b >> 32),
        ("div", divide),
        ("divu", lambda a, b: a // b if b else -1),
        ("rem", remainder),
        ("remu", lambda a, b: a % b if b else a),
    ]
    for funct3, (name, function) in enumerate(functions):
        yield op(name, 0x02000033 | funct3 << 12, function)


def single_float() -> Iterator[Instruction]:
    """RV32F, values only: exception flags are not modelled. Rounding to nearest even, but for conversions to integer."""

    def arithmetic(function: Callable[[int, int], int]) -> Execute:
        def execute(m: Machine, w: Word) -> None:
            m.f[w.rd] = function(m.f[w.rs1], m.f[w.rs2])

        return execute

    def fused(negate_product: bool, negate_addend: bool) -> Execute:
        def execute(m: Machine, w: Word) -> None:
            a = m.f[w.rs1] ^ (fp.SIGN if negate_product else 0)
            c = m.f[w.rs3] ^ (fp.SIGN if negate_addend else 0)
            m.f[w.rd] = fp.fma(a, m.f[w.rs2], c)

        return execute

    def load(m: Machine, w: Word) -> None:
        m.f[w.rd] = m.load(m.x[w.rs1] + w.imm_i, 4)

    def from_integer(is_signed: bool) -> Execute:
        def execute(m: Machine, w: Word) -> None:
            value = m.x[w.rs1]
            m.f[w.rd] = fp.from_int(signed(value) if is_signed else value)

        return execute

    def move_in(m: Machine, w: Word) -> None:
        m.f[w.rd] = m.x[w.rs1]

    def root(m: Machine, w: Word) -> None:
        m.f[w.rd] = fp.sqrt(m.f[w.rs1])

    yield Instruction("flw", "f_load", 0x2007, F3, load)
    yield Instruction("fsw", "f_store", 0x2027, F3, lambda m, w: m.store(m.x[w.rs1] + w.imm_s, 4, m.f[w.rs2]))
    for name, code, product, addend in (("fmadd", 0x43, 0, 0), ("fmsub", 0x47, 0, 1), ("fnmsub", 0x4B, 1, 0), ("fnmadd", 0x4F, 1, 1)):
        yield Instruction(name, "fr4", code, 0x0600007F, fused(bool(product), bool(addend)))
    two: list[tuple[str, int, Callable[[int, int], int]]] = [
        ("fadd", 0x00, fp.add), ("fsub", 0x04, lambda a, b: fp.add(a, b ^ fp.SIGN)), ("fmul", 0x08, fp.mul), ("fdiv", 0x0C, fp.div),
    ]  # fmt: skip
    for name, funct7, function in two:
        yield Instruction(name, "fr", 0x53 | funct7 << 25, 0xFE00007F, arithmetic(function))
    yield Instruction("fsqrt", "fr1", 0x58000053, 0xFFF0007F, root)
    exact: list[tuple[str, int, Callable[[int, int], int]]] = [
        ("fsgnj", 0x20000053, lambda a, b: a & ~fp.SIGN | b & fp.SIGN),
        ("fsgnjn", 0x20001053, lambda a, b: a & ~fp.SIGN | ~b & fp.SIGN),
        ("fsgnjx", 0x20002053, lambda a, b: a ^ b & fp.SIGN),
        ("fmin", 0x28000053, fp.minimum), ("fmax", 0x28001053, fp.maximum),
    ]  # fmt: skip
    for name, match, function in exact:
        yield Instruction(name, "fr_exact", match, F7, arithmetic(function))
    for name, match, comparison in (("feq", 0xA0002053, fp.equal), ("flt", 0xA0001053, fp.less), ("fle", 0xA0000053, fp.less_equal)):
        yield Instruction(name, "f_cmp", match, F7, comparing(comparison))
    for name, match, is_signed in (("fcvt.w", 0xC0000053, True), ("fcvt.wu", 0xC0100053, False)):
        yield Instruction(name, "f_to_int", match, 0xFFF0007F, to_integer(is_signed))
    for name, match, is_signed in (("fcvt.s.w", 0xD0000053, True), ("fcvt.s.wu", 0xD0100053, False)):
        yield Instruction(name, "int_to_f", match, 0xFFF0007F, from_integer(is_signed))
    yield Instruction("fmv.x.w", "f_to_x", 0xE0000053, 0xFFF0707F, lambda m, w: m.set(w.rd, m.f[w.rs1]))
    yield Instruction("fclass", "f_to_x", 0xE0001053, 0xFFF0707F, lambda m, w: m.set(w.rd, fp.classify(m.f[w.rs1])))
    yield Instruction("fmv.w.x", "x_to_f", 0xF0000053, 0xFFF0707F, move_in)


def comparing(function: Callable[[int, int], bool]) -> Execute:
    """rd = comparison of two floats."""
    return lambda m, w: m.set(w.rd, int(function(m.f[w.rs1], m.f[w.rs2])))


def to_integer(is_signed: bool) -> Execute:
    """rd = float rounded by the instruction's rounding mode, saturated."""
    return lambda m, w: m.set(w.rd, fp.to_int(m.f[w.rs1], is_signed, w.word >> 12 & 7))


def pulp_memory() -> Iterator[Instruction]:
    """Post-increment and register-offset loads and stores."""

    def plus_s(m: Machine, w: Word) -> int:
        return m.x[w.rs1] + w.imm_s

    def plus_rs2(m: Machine, w: Word) -> int:
        return m.x[w.rs1] + m.x[w.rs2]

    def plus_rd_field(m: Machine, w: Word) -> int:
        return m.x[w.rs1] + m.x[w.rd]

    for name, funct3, size, is_signed in LOADS:
        register = {"lb": 0x00, "lh": 0x08, "lw": 0x10, "lbu": 0x20, "lhu": 0x28}[name] << 25 | 0x7000
        yield Instruction(f"p.{name}.post", "load_post", 0x0B | funct3 << 12, F3, loading_post(size, is_signed, False))
        yield Instruction(f"p.{name}.reg.post", "load_reg", 0x0B | register, F7, loading_post(size, is_signed, True))
        yield Instruction(f"p.{name}.reg", "load_reg", 0x03 | register, F7, loading(size, is_signed, plus_rs2))
    for name, funct3, size in STORES:
        yield Instruction(f"p.{name}.post", "store_post", 0x2B | funct3 << 12, F3, storing(size, lambda m, w: m.x[w.rs1], plus_s))
        yield Instruction(
            f"p.{name}.reg.post", "store_reg", 0x2B | (funct3 | 4) << 12, F7, storing(size, lambda m, w: m.x[w.rs1], plus_rd_field)
        )
        yield Instruction(f"p.{name}.reg", "store_reg", 0x23 | (funct3 | 4) << 12, F7, storing(size, plus_rd_field, None))


def pulp_control() -> Iterator[Instruction]:
    """Hardware loops, and branches on an immediate."""

    def loop(m: Machine, w: Word) -> Loop:
        return m.loops[w.rd & 1]

    def ahead(m: Machine, halfwords: int) -> int:
        return m.pc + 2 * halfwords

    def start(m: Machine, w: Word) -> None:
        loop(m, w).start = ahead(m, w.word >> 20)

    def end(m: Machine, w: Word) -> None:
        loop(m, w).end = ahead(m, w.word >> 20)

    def count(m: Machine, w: Word) -> None:
        loop(m, w).count = m.x[w.rs1]

    def count_immediate(m: Machine, w: Word) -> None:
        loop(m, w).count = w.word >> 20

    def setup(m: Machine, w: Word) -> None:
        target = loop(m, w)
        target.start, target.end, target.count = m.pc + 4, ahead(m, w.word >> 20), m.x[w.rs1]

    def setup_immediate(m: Machine, w: Word) -> None:
        target = loop(m, w)
        target.start, target.end, target.count = m.pc + 4, ahead(m, w.rs1), w.word >> 20

    table: list[tuple[str, Execute]] = [
        ("lp.starti", start), ("lp.endi", end), ("lp.count", count), ("lp.counti", count_immediate),
        ("lp.setup", setup), ("lp.setupi", setup_immediate),
    ]  # fmt: skip
    for funct3, (name, execute) in enumerate(table):
        yield Instruction(name, "loop", 0x7B | funct3 << 12, 0x7F7F, execute)

    def branch(equal: bool) -> Execute:
        def execute(m: Machine, w: Word) -> None:
            if (signed(m.x[w.rs1]) == signed(w.rs2, 5)) == equal:
                m.next_pc = m.pc + w.imm_b

        return execute

    yield Instruction("p.beqimm", "branch_imm", 0x2063, F3, branch(True))
    yield Instruction("p.bneimm", "branch_imm", 0x3063, F3, branch(False))


def clip(value: int, low: int, high: int) -> int:
    """Limits that cross (a negative limit register) follow this order of comparisons."""
    return low if value < low else high if value > high else value


def clip_unsigned(value: int, high: int) -> int:
    """The sign of the value is looked at first, as in the hardware."""
    return 0 if value < 0 else min(value, high)


def leading_redundant(value: int) -> int:
    """Sign bits behind the first; 0 for zero."""
    magnitude = ~signed(value) if value >> 31 else value
    return 0 if value == 0 else 31 - magnitude.bit_length()


def bit_mask(width: int, position: int) -> int:
    return ((1 << width) - 1) << position & MASK32


def extract(value: int, width: int, position: int, is_signed: bool) -> int:
    """`width` bits from `position`; what lies above bit 31 is cut off."""
    width = min(width, 32 - position)
    part = value >> position & ((1 << width) - 1)
    return signed(part, width) if is_signed else part


def insert(old: int, value: int, width: int, position: int) -> int:
    mask = bit_mask(width, position)
    return old & ~mask | value << position & mask


def pulp_scalar() -> Iterator[Instruction]:
    """Scalar arithmetic and bit manipulation."""
    yield op1("p.abs", 0x04000033, lambda a: abs(signed(a)))
    two: list[tuple[str, int, Callable[[int, int], int]]] = [
        ("p.avgu", 0x04001033, lambda a, b: (a + b & MASK32) >> 1),
        ("p.slet", 0x04002033, lambda a, b: int(signed(a) <= signed(b))),
        ("p.sletu", 0x04003033, lambda a, b: int(a <= b)),
        ("p.min", 0x04004033, lambda a, b: min(signed(a), signed(b))),
        ("p.minu", 0x04005033, min),
        ("p.max", 0x04006033, lambda a, b: max(signed(a), signed(b))),
        ("p.maxu", 0x04007033, max),
        ("p.ror", 0x08005033, lambda a, b: a >> (b & 31) | a << (32 - (b & 31))),
        ("p.clip", 0x14005033, lambda a, b: clip(signed(a), signed(-b - 1), signed(b))),
        ("p.clipu", 0x14006033, lambda a, b: clip_unsigned(signed(a), signed(b))),
        ("p.extract", 0x80000033, lambda a, b: extract(a, (b >> 5 & 31) + 1, b & 31, True)),
        ("p.extractu", 0x80001033, lambda a, b: extract(a, (b >> 5 & 31) + 1, b & 31, False)),
        ("p.bclr", 0x80003033, lambda a, b: a & ~bit_mask((b >> 5 & 31) + 1, b & 31)),
        ("p.bset", 0x80004033, lambda a, b: a | bit_mask((b >> 5 & 31) + 1, b & 31)),
    ]
    for name, match, function in two:
        yield op(name, match, function)
    yield op3("p.insert", 0x80002033, lambda d, a, b: insert(d, a, (b >> 5 & 31) + 1, b & 31))
    yield op3("p.mac", 0x42000033, lambda d, a, b: d + a * b)
    yield op3("p.msu", 0x42001033, lambda d, a, b: d - a * b)
    one: list[tuple[str, Callable[[int], int]]] = [
        ("p.ff1", lambda a: (a & -a).bit_length() - 1 if a else 32),
        ("p.fl1", lambda a: a.bit_length() - 1 if a else 32),
        ("p.clb", leading_redundant),
        ("p.cnt", lambda a: a.bit_count()),
        ("p.exths", lambda a: signed(a, 16)),
        ("p.exthz", lambda a: a & 0xFFFF),
        ("p.extbs", lambda a: signed(a, 8)),
        ("p.extbz", lambda a: a & 0xFF),
    ]
    for funct3, (name, single) in enumerate(one):
        yield op1(name, 0x10000033 | funct3 << 12, single)

    def clip_immediate(m: Machine, w: Word) -> None:
        limit = 1 << max(w.rs2 - 1, 0)
        m.set(w.rd, clip(signed(m.x[w.rs1]), -limit, limit - 1))

    def clip_immediate_unsigned(m: Machine, w: Word) -> None:
        m.set(w.rd, clip_unsigned(signed(m.x[w.rs1]), (1 << max(w.rs2 - 1, 0)) - 1))

    yield Instruction("p.clipi", "clip", 0x14001033, F7, clip_immediate)
    yield Instruction("p.clipui", "clip", 0x14002033, F7, clip_immediate_unsigned)
    bits: list[tuple[str, Callable[[int, int, int, int], int]]] = [
        ("p.extracti", lambda d, a, width, at: extract(a, width, at, True)),
        ("p.extractui", lambda d, a, width, at: extract(a, width, at, False)),
        ("p.inserti", insert),
        ("p.bclri", lambda d, a, width, at: a & ~bit_mask(width, at)),
        ("p.bseti", lambda d, a, width, at: a | bit_mask(width, at)),
    ]
    for funct3, (name, field_function) in enumerate(bits):
        yield Instruction(name, "bits", 0xC0000033 | funct3 << 12, 0xC000707F, on_bits(field_function))


def on_bits(function: Callable[[int, int, int, int], int]) -> Execute:
    """rd = function(old rd, rs1, width, position) with the fields in the instruction."""
    return lambda m, w: m.set(w.rd, function(m.x[w.rd], m.x[w.rs1], w.is3 + 1, w.rs2))


def rounded_shift(value: int, amount: int, is_signed: bool, is_rounded: bool) -> int:
    """A 32-bit sum, plus half of the last place that survives, shifted right."""
    if is_rounded and amount:
        value += 1 << (amount - 1)
    return (signed(value) if is_signed else value & MASK32) >> amount


def pulp_products() -> Iterator[Instruction]:
    """16 x 16 products with shift and rounding; additions with shift and rounding."""

    def product(a: int, b: int, is_signed: bool, high: bool) -> int:
        left, right = lanes(a, 16, is_signed)[high], lanes(b, 16, is_signed)[high]
        return left * right

    def shifted(is_mac: bool, is_signed: bool, high: bool, is_rounded: bool) -> Execute:
        def execute(m: Machine, w: Word) -> None:
            value = product(m.x[w.rs1], m.x[w.rs2], is_signed, high) + (m.x[w.rd] if is_mac else 0)
            m.set(w.rd, rounded_shift(value, w.is3, is_signed, is_rounded))

        return execute

    for is_mac in (False, True):
        for is_signed, high in ((True, False), (True, True), (False, False), (False, True)):
            name = f"p.{'mac' if is_mac else 'mul'}{'hh' if high else ''}{'s' if is_signed else 'u'}"
            match = 0x5B | is_mac << 12 | is_signed << 31 | high << 30
            for is_rounded in (False, True):
                suffix = "NR" if is_rounded else "N"
                yield Instruction(name + suffix, "n", match | is_rounded << 14, 0xC000707F, shifted(is_mac, is_signed, high, is_rounded))

    def sums(sign: int, is_signed: bool, is_rounded: bool, by_register: bool) -> Execute:
        def execute(m: Machine, w: Word) -> None:
            if by_register:
                value, amount = m.x[w.rd] + sign * m.x[w.rs1], m.x[w.rs2] & 31
            else:
                value, amount = m.x[w.rs1] + sign * m.x[w.rs2], w.is3
            m.set(w.rd, rounded_shift(value, amount, is_signed, is_rounded))

        return execute

    for name, sign, funct3 in (("add", 1, 2), ("sub", -1, 3)):
        for is_signed in (True, False):
            for is_rounded in (False, True):
                full = f"p.{name}{'' if is_signed else 'u'}{'R' if is_rounded else ''}N"
                match = 0x5B | funct3 << 12 | is_rounded << 14 | (not is_signed) << 31
                yield Instruction(full + "i", "n", match, 0xC000707F, sums(sign, is_signed, is_rounded, False))
                yield Instruction(full, "r", match | 1 << 30, F7, sums(sign, is_signed, is_rounded, True))


Lanewise = Callable[[int, int], int]


def simd(name: str, code: int, function: Lanewise | None, is_signed: bool, dot: str = "") -> Iterator[Instruction]:
    """Six encodings: halves and bytes, second operand a vector, its lane 0 for all (sc), or an immediate (sci).

    `function` works lane by lane; with `dot` ("up", "usp", "sp") the products are summed, onto old rd when name begins with s.
    """
    signs = {"up": (False, False), "usp": (False, True), "sp": (True, True), "": (is_signed, is_signed)}[dot]
    for bits, letter, low in ((16, "h", 0), (8, "b", 1)):
        for kind, funct3 in (("", low), ("sc", 4 | low), ("sci", 6 | low)):
            parts = [name, letter, kind] if dot else [name, kind, letter]
            full = "pv." + ".".join(part for part in parts if part)
            match = 0x57 | funct3 << 12 | code << 26
            form = ("lane_s" if signs[1] else "lane_u") if kind == "sci" else "r"
            yield Instruction(full, form, match, SIMD_MASK, simd_execute(function, bits, kind, signs, dot, name.startswith("s") and bool(dot)))


def simd_execute(
    function: Lanewise | None, bits: int, kind: str, signs: tuple[bool, bool], dot: str, onto: bool
) -> Execute:
    def second(m: Machine, w: Word) -> list[int]:
        if kind == "sci":
            value = signed(w.imm_lane, 6) if signs[1] else w.imm_lane
            return [lanes(value & MASK32, bits, signs[1])[0]] * (32 // bits)
        parts = lanes(m.x[w.rs2], bits, signs[1])
        return [parts[0]] * len(parts) if kind == "sc" else parts

    def execute(m: Machine, w: Word) -> None:
        pairs = list(zip(lanes(m.x[w.rs1], bits, signs[0]), second(m, w), strict=True))
        if dot:
            m.set(w.rd, sum(a * b for a, b in pairs) + (m.x[w.rd] if onto else 0))
        elif function:
            m.set(w.rd, joined([function(a, b) for a, b in pairs], bits))

    return execute


def pulp_simd() -> Iterator[Instruction]:
    """SIMD on halves and bytes."""

    def average(is_signed: bool) -> dict[int, Lanewise]:
        def of(bits: int) -> Lanewise:
            return lambda a, b: (signed(a + b, bits) if is_signed else a + b & ((1 << bits) - 1)) >> 1

        return {8: of(8), 16: of(16)}

    lanewise: list[tuple[str, int, bool, Lanewise]] = [
        ("add", 0x00, True, lambda a, b: a + b), ("sub", 0x02, True, lambda a, b: a - b),
        ("min", 0x08, True, min), ("minu", 0x0A, False, min), ("max", 0x0C, True, max), ("maxu", 0x0E, False, max),
        ("or", 0x16, True, lambda a, b: a | b), ("xor", 0x18, True, lambda a, b: a ^ b), ("and", 0x1A, True, lambda a, b: a & b),
        ("cmpeq", 0x01, True, lambda a, b: -(a == b)), ("cmpne", 0x03, True, lambda a, b: -(a != b)),
        ("cmpgt", 0x05, True, lambda a, b: -(a > b)), ("cmpge", 0x07, True, lambda a, b: -(a >= b)),
        ("cmplt", 0x09, True, lambda a, b: -(a < b)), ("cmple", 0x0B, True, lambda a, b: -(a <= b)),
        ("cmpgtu", 0x0D, False, lambda a, b: -(a > b)), ("cmpgeu", 0x0F, False, lambda a, b: -(a >= b)),
        ("cmpltu", 0x11, False, lambda a, b: -(a < b)), ("cmpleu", 0x13, False, lambda a, b: -(a <= b)),
    ]  # fmt: skip
    for name, code, is_signed, function in lanewise:
        yield from simd(name, code, function, is_signed)
    by_width: list[tuple[str, int, bool, dict[int, Lanewise]]] = [
        ("avg", 0x04, True, average(True)), ("avgu", 0x06, False, average(False)),
        ("srl", 0x10, False, {bits: (lambda mask: lambda a, b: a >> (b & mask))(bits - 1) for bits in (8, 16)}),
        ("sra", 0x12, True, {bits: (lambda mask: lambda a, b: a >> (b & mask))(bits - 1) for bits in (8, 16)}),
        ("sll", 0x14, False, {bits: (lambda mask: lambda a, b: a << (b & mask))(bits - 1) for bits in (8, 16)}),
    ]  # fmt: skip
    for name, code, is_signed, functions in by_width:
        for bits in (16, 8):
            yield from (row for row in simd(name, code, functions[bits], is_signed) if row.match >> 12 & 1 == (bits == 8))
    for name, code, dot in (("dotup", 0x20, "up"), ("dotusp", 0x22, "usp"), ("dotsp", 0x26, "sp"), ("sdotup", 0x28, "up"), ("sdotusp", 0x2A, "usp"), ("sdotsp", 0x2E, "sp")):
        yield from simd(name, code, None, True, dot)
    yield op1("pv.abs.h", 0x70000057, lambda a: joined([abs(v) for v in lanes(a, 16, True)], 16), F7)
    yield op1("pv.abs.b", 0x70001057, lambda a: joined([abs(v) for v in lanes(a, 8, True)], 8), F7)
    yield from pulp_lane_moves()


def pulp_lane_moves() -> Iterator[Instruction]:
    """Extract, insert, shuffle, pack."""
    for bits, letter, low in ((16, "h", 0), (8, "b", 1)):
        for name, code, is_signed in (("extract", 0x1E, True), ("extractu", 0x24, False)):
            yield Instruction(f"pv.{name}.{letter}", "lane_index", 0x6057 | low << 12 | code << 26, SIMD_MASK, lane_out(bits, is_signed))
        yield Instruction(f"pv.insert.{letter}", "lane_index", 0x6057 | low << 12 | 0x2C << 26, SIMD_MASK, lane_in(bits))
        yield op(f"pv.shuffle.{letter}", 0x57 | low << 12 | 0x30 << 26, shuffle(bits), SIMD_MASK)
        yield op3(f"pv.shuffle2.{letter}", 0x57 | low << 12 | 0x32 << 26, shuffle2(bits), SIMD_MASK)

    def shuffle_halves(m: Machine, w: Word) -> None:
        halves = lanes(m.x[w.rs1], 16, False)
        m.set(w.rd, joined([halves[w.imm_lane >> i & 1] for i in range(2)], 16))

    def shuffle_bytes(top: int) -> Execute:
        def execute(m: Machine, w: Word) -> None:
            parts = lanes(m.x[w.rs1], 8, False)
            m.set(w.rd, joined([parts[w.imm_lane >> (2 * i) & 3] for i in range(3)] + [parts[top]], 8))

        return execute

    yield Instruction("pv.shuffle.h.sci", "lane_u", 0xC0006057, SIMD_MASK, shuffle_halves)
    for top, code in enumerate((0x30, 0x3A, 0x3C, 0x3E)):
        yield Instruction(f"pv.shufflei{top}.b.sci", "lane_u", 0x7057 | code << 26, SIMD_MASK, shuffle_bytes(top))
    yield op("pv.pack.h", 0xD0000057, lambda a, b: a << 16 | b & 0xFFFF)
    yield op3("pv.packhi.b", 0xD8001057, lambda d, a, b: (a & 255) << 24 | (b & 255) << 16 | d & 0xFFFF, SIMD_MASK)
    yield op3("pv.packlo.b", 0xE0001057, lambda d, a, b: (a & 255) << 8 | b & 255 | d & 0xFFFF0000, SIMD_MASK)


def lane_out(bits: int, is_signed: bool) -> Execute:
    """rd = one lane of rs1."""
    return lambda m, w: m.set(w.rd, lanes(m.x[w.rs1], bits, is_signed)[w.imm_lane % (32 // bits)])


def lane_in(bits: int) -> Execute:
    """One lane of rd = lane 0 of rs1."""

    def execute(m: Machine, w: Word) -> None:
        parts = lanes(m.x[w.rd], bits, False)
        parts[w.imm_lane % len(parts)] = m.x[w.rs1]
        m.set(w.rd, joined(parts, bits))

    return execute


def shuffle(bits: int) -> Callable[[int, int], int]:
    """Lane i of the result is the lane of a that lane i of b names."""
    count = 32 // bits
    return lambda a, b: joined([lanes(a, bits, False)[index % count] for index in lanes(b, bits, False)], bits)


def shuffle2(bits: int) -> Callable[[int, int, int], int]:
    """The same, over a (source bit 1) and the old destination (source bit 0)."""
    count = 32 // bits

    def function(d: int, a: int, b: int) -> int:
        source = (lanes(d, bits, False), lanes(a, bits, False))
        return joined([source[index // count & 1][index % count] for index in lanes(b, bits, False)], bits)

    return function


TABLE = tuple(rows())
BY_KEY: dict[int, list[Instruction]] = {}
for _key in range(1 << 8):
    _word = (_key & 31) << 2 | 3 | (_key >> 5) << 12
    BY_KEY[_key] = [row for row in TABLE if (_word ^ row.match) & row.mask & 0x707F == 0]


def decode(word: int) -> Instruction:
    """The row that matches a 32-bit word."""
    for row in BY_KEY[word >> 2 & 31 | (word >> 12 & 7) << 5]:
        if word & row.mask == row.match:
            return row
    raise ValueError(f"illegal instruction {word:#010x}")
