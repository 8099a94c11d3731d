"""The instruction model: XpulpV2's SIMD on halves and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from isa_machine import F7, MASK32, SIMD_MASK, Execute, Instruction, Machine, Word, joined, lanes, op, op1, op3, signed

Lanewise = Callable[[int, int], int]


def simd(name: str, code: int, function: Lanewise | None, is_signed: bool, dot: str = "") -> Iterator[Instruction]:
    """Six encodings: halves and bytes, second operand a vector, its lane 0 for all (sc), or an immediate (sci).

    `function` works lane by lane; with `dot` ("up", "usp", "sp") the products are summed, onto old rd when the name
    begins with s.
    """
    signs = {"up": (False, False), "usp": (False, True), "sp": (True, True), "": (is_signed, is_signed)}[dot]
    for bits, letter, low in ((16, "h", 0), (8, "b", 1)):
        for kind, funct3 in (("", low), ("sc", 4 | low), ("sci", 6 | low)):
            parts = [name, letter, kind] if dot else [name, kind, letter]
            full = "pv." + ".".join(part for part in parts if part)
            match = 0x57 | funct3 << 12 | code << 26
            form = ("lane_s" if signs[1] else "lane_u") if kind == "sci" else "r"
            yield Instruction(
                full,
                form,
                match,
                SIMD_MASK,
                simd_execute(function, bits, kind, signs, dot, name.startswith("s") and bool(dot)),
            )


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
        ("or", 0x16, True, lambda a, b: a | b), ("xor", 0x18, True, lambda a, b: a ^ b),
        ("and", 0x1A, True, lambda a, b: a & b),
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
            yield from (
                row for row in simd(name, code, functions[bits], is_signed) if row.match >> 12 & 1 == (bits == 8)
            )
    for name, code, dot in (
        ("dotup", 0x20, "up"),
        ("dotusp", 0x22, "usp"),
        ("dotsp", 0x26, "sp"),
        ("sdotup", 0x28, "up"),
        ("sdotusp", 0x2A, "usp"),
        ("sdotsp", 0x2E, "sp"),
    ):
        yield from simd(name, code, None, True, dot)
    yield op1("pv.abs.h", 0x70000057, lambda a: joined([abs(v) for v in lanes(a, 16, True)], 16), F7)
    yield op1("pv.abs.b", 0x70001057, lambda a: joined([abs(v) for v in lanes(a, 8, True)], 8), F7)
    yield from pulp_lane_moves()


def pulp_lane_moves() -> Iterator[Instruction]:
    """Extract, insert, shuffle, pack."""
    for bits, letter, low in ((16, "h", 0), (8, "b", 1)):
        for name, code, is_signed in (("extract", 0x1E, True), ("extractu", 0x24, False)):
            yield Instruction(
                f"pv.{name}.{letter}",
                "lane_index",
                0x6057 | low << 12 | code << 26,
                SIMD_MASK,
                lane_out(bits, is_signed),
            )
        yield Instruction(
            f"pv.insert.{letter}", "lane_index", 0x6057 | low << 12 | 0x2C << 26, SIMD_MASK, lane_in(bits)
        )
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
    """Rd = one lane of rs1."""
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
