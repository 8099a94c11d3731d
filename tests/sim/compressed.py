"""RV32C with F: the 32-bit instruction that each 16-bit one stands for."""

from __future__ import annotations

from assembler import b_type, i_type, j_type, r_type, s_type


def bits(half: int, *spans: tuple[int, int, int]) -> int:
    """Gather fields: (highest bit, lowest bit, place of the lowest in the result)."""
    return sum((half >> low & ((1 << (high - low + 1)) - 1)) << place for high, low, place in spans)


def extended(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


def expand(half: int) -> int:
    """The equivalent 32-bit word. ValueError for illegal and reserved halves."""
    quadrant, funct3 = half & 3, half >> 13
    result = (_quadrant0, _quadrant1, _quadrant2)[quadrant](half, funct3)
    if result is None:
        raise ValueError(f"illegal compressed instruction {half:#06x}")
    return result


def _quadrant0(h: int, funct3: int) -> int | None:
    rd, rs1 = 8 + (h >> 2 & 7), 8 + (h >> 7 & 7)
    offset = bits(h, (12, 10, 3), (6, 6, 2), (5, 5, 6))
    if funct3 == 0:  # c.addi4spn
        imm = bits(h, (12, 11, 4), (10, 7, 6), (6, 6, 2), (5, 5, 3))
        return i_type(0x13, 0, rd, 2, imm) if imm else None
    return {
        2: i_type(0x03, 2, rd, rs1, offset),  # c.lw
        3: i_type(0x07, 2, rd, rs1, offset),  # c.flw
        6: s_type(0x23, 2, rs1, rd, offset),  # c.sw
        7: s_type(0x27, 2, rs1, rd, offset),  # c.fsw
    }.get(funct3)


def _quadrant1(h: int, funct3: int) -> int | None:
    rd = h >> 7 & 31
    imm = extended(bits(h, (12, 12, 5), (6, 2, 0)), 6)
    jump = extended(
        bits(h, (12, 12, 11), (11, 11, 4), (10, 9, 8), (8, 8, 10), (7, 7, 6), (6, 6, 7), (5, 3, 1), (2, 2, 5)), 12
    )
    branch = extended(bits(h, (12, 12, 8), (11, 10, 3), (6, 5, 6), (4, 3, 1), (2, 2, 5)), 9)
    if funct3 == 3:
        if rd == 2:  # c.addi16sp
            wide = extended(bits(h, (12, 12, 9), (6, 6, 4), (5, 5, 6), (4, 3, 7), (2, 2, 5)), 10)
            return i_type(0x13, 0, 2, 2, wide) if wide else None
        return (imm & 0xFFFFF) << 12 | rd << 7 | 0x37 if imm else None  # c.lui
    if funct3 == 4:
        return _arithmetic(h, 8 + (h >> 7 & 7), imm)
    return {
        0: i_type(0x13, 0, rd, rd, imm),  # c.addi
        1: j_type(1, jump),  # c.jal
        2: i_type(0x13, 0, rd, 0, imm),  # c.li
        5: j_type(0, jump),  # c.j
        6: b_type(0, 8 + (h >> 7 & 7), branch),  # c.beqz
        7: b_type(1, 8 + (h >> 7 & 7), branch),  # c.bnez
    }.get(funct3)


def _arithmetic(h: int, rd: int, imm: int) -> int | None:
    kind, rs2 = h >> 10 & 3, 8 + (h >> 2 & 7)
    if kind == 2:  # c.andi
        return i_type(0x13, 7, rd, rd, imm)
    if kind < 2:  # c.srli, c.srai; a shift above 31 is reserved
        return None if h >> 12 & 1 else i_type(0x13, 5, rd, rd, (imm & 31) | kind << 10)
    if h >> 12 & 1:
        return None
    funct7, funct3 = ((0x20, 0), (0, 4), (0, 6), (0, 7))[h >> 5 & 3]  # c.sub, c.xor, c.or, c.and
    return r_type(funct7, funct3, rd, rd, rs2)


def _quadrant2(h: int, funct3: int) -> int | None:
    rd, rs2, top = h >> 7 & 31, h >> 2 & 31, h >> 12 & 1
    if funct3 == 0:  # c.slli
        return None if top else i_type(0x13, 1, rd, rd, rs2)
    load = bits(h, (12, 12, 5), (6, 4, 2), (3, 2, 6))
    store = bits(h, (12, 9, 2), (8, 7, 6))
    if funct3 == 2:  # c.lwsp
        return i_type(0x03, 2, rd, 2, load) if rd else None
    if funct3 == 4:
        if rs2:  # c.mv, c.add
            return r_type(0, 0, rd, rd if top else 0, rs2)
        if rd:  # c.jr, c.jalr
            return i_type(0x67, 0, top, rd, 0)
        return 0x00100073 if top else None  # c.ebreak
    return {
        3: i_type(0x07, 2, rd, 2, load),  # c.flwsp
        6: s_type(0x23, 2, 2, rs2, store),  # c.swsp
        7: s_type(0x27, 2, 2, rs2, store),  # c.fswsp
    }.get(funct3)
