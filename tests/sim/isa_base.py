"""The instruction model: RV32I without system instructions, RV32M, RV32F."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import float32 as fp
from isa_machine import F3, F7, LOADS, STORES, Execute, Instruction, Machine, Word, loading, op, signed, storing

MASK32 = 0xFFFFFFFF


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
        yield Instruction(
            name, "load", 0x03 | funct3 << 12, F3, loading(size, is_signed, lambda m, w: m.x[w.rs1] + w.imm_i)
        )
    for name, funct3, size in STORES:
        yield Instruction(
            name, "store", 0x23 | funct3 << 12, F3, storing(size, lambda m, w: m.x[w.rs1] + w.imm_s, None)
        )
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
    """Rd = function(rs1, immediate)."""
    return lambda m, w: m.set(w.rd, function(m.x[w.rs1], w.rs2 if shift else w.imm_i & MASK32))


def branch_on(taken: Callable[[int, int], bool]) -> Execute:
    """Jump by imm_b when taken(rs1, rs2)."""

    def execute(m: Machine, w: Word) -> None:
        if taken(m.x[w.rs1], m.x[w.rs2]):
            m.next_pc = m.pc + w.imm_b

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
    """RV32F, values only, no exception flags. Rounding to nearest even, but for conversions to integer."""

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
    for name, code, product, addend in (
        ("fmadd", 0x43, 0, 0),
        ("fmsub", 0x47, 0, 1),
        ("fnmsub", 0x4B, 1, 0),
        ("fnmadd", 0x4F, 1, 1),
    ):
        yield Instruction(name, "fr4", code, 0x0600007F, fused(bool(product), bool(addend)))
    two: list[tuple[str, int, Callable[[int, int], int]]] = [
        ("fadd", 0x00, fp.add), ("fsub", 0x04, lambda a, b: fp.add(a, b ^ fp.SIGN)),
        ("fmul", 0x08, fp.mul), ("fdiv", 0x0C, fp.div),
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
    for name, match, comparison in (
        ("feq", 0xA0002053, fp.equal),
        ("flt", 0xA0001053, fp.less),
        ("fle", 0xA0000053, fp.less_equal),
    ):
        yield Instruction(name, "f_cmp", match, F7, comparing(comparison))
    for name, match, is_signed in (("fcvt.w", 0xC0000053, True), ("fcvt.wu", 0xC0100053, False)):
        yield Instruction(name, "f_to_int", match, 0xFFF0007F, to_integer(is_signed))
    for name, match, is_signed in (("fcvt.s.w", 0xD0000053, True), ("fcvt.s.wu", 0xD0100053, False)):
        yield Instruction(name, "int_to_f", match, 0xFFF0007F, from_integer(is_signed))
    yield Instruction("fmv.x.w", "f_to_x", 0xE0000053, 0xFFF0707F, lambda m, w: m.set(w.rd, m.f[w.rs1]))
    yield Instruction("fclass", "f_to_x", 0xE0001053, 0xFFF0707F, lambda m, w: m.set(w.rd, fp.classify(m.f[w.rs1])))
    yield Instruction("fmv.w.x", "x_to_f", 0xF0000053, 0xFFF0707F, move_in)


def comparing(function: Callable[[int, int], bool]) -> Execute:
    """Rd = comparison of two floats."""
    return lambda m, w: m.set(w.rd, int(function(m.f[w.rs1], m.f[w.rs2])))


def to_integer(is_signed: bool) -> Execute:
    """Rd = float rounded by the instruction's rounding mode, saturated."""
    return lambda m, w: m.set(w.rd, fp.to_int(m.f[w.rs1], is_signed, w.word >> 12 & 7))
