"""The instruction model: XpulpV2's memory accesses, hardware loops, and scalar arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from isa_machine import (
    F3,
    F7,
    LOADS,
    MASK32,
    STORES,
    Execute,
    Instruction,
    Loop,
    Machine,
    Word,
    lanes,
    loading,
    loading_post,
    op,
    op1,
    op3,
    signed,
    storing,
)  # fmt: skip


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
        yield Instruction(
            f"p.{name}.post", "store_post", 0x2B | funct3 << 12, F3, storing(size, lambda m, w: m.x[w.rs1], plus_s)
        )
        yield Instruction(
            f"p.{name}.reg.post",
            "store_reg",
            0x2B | (funct3 | 4) << 12,
            F7,
            storing(size, lambda m, w: m.x[w.rs1], plus_rd_field),
        )
        yield Instruction(
            f"p.{name}.reg", "store_reg", 0x23 | (funct3 | 4) << 12, F7, storing(size, plus_rd_field, None)
        )


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
        ("p.extracti", lambda _, a, width, at: extract(a, width, at, True)),
        ("p.extractui", lambda _, a, width, at: extract(a, width, at, False)),
        ("p.inserti", insert),
        ("p.bclri", lambda _, a, width, at: a & ~bit_mask(width, at)),
        ("p.bseti", lambda _, a, width, at: a | bit_mask(width, at)),
    ]
    for funct3, (name, field_function) in enumerate(bits):
        yield Instruction(name, "bits", 0xC0000033 | funct3 << 12, 0xC000707F, on_bits(field_function))


def on_bits(function: Callable[[int, int, int, int], int]) -> Execute:
    """Rd = function(old rd, rs1, width, position) with the fields in the instruction."""
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
                yield Instruction(
                    name + suffix,
                    "n",
                    match | is_rounded << 14,
                    0xC000707F,
                    shifted(is_mac, is_signed, high, is_rounded),
                )

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
