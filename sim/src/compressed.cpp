// RV32C and RV32FC: a compressed instruction as the 32-bit instruction that it abbreviates.
#include "isa.hpp"

namespace siracusa {
namespace {

using u32 = std::uint32_t;

constexpr u32 bit(u32 h, int from, int to) { return (h >> from & 1) << to; }
constexpr u32 field(u32 h, int from, int bits, int to) { return (h >> from & ((1u << bits) - 1)) << to; }
constexpr u32 i_type(u32 imm, u32 rs1, u32 f3, u32 rd, u32 opcode) { return (imm & 0xfff) << 20 | rs1 << 15 | f3 << 12 | rd << 7 | opcode; }
constexpr u32 s_type(u32 imm, u32 rs2, u32 rs1, u32 f3, u32 opcode) {
    return (imm >> 5 & 127) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | (imm & 31) << 7 | opcode;
}
constexpr u32 r_type(u32 f7, u32 rs2, u32 rs1, u32 f3, u32 rd) { return f7 << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | rd << 7 | 0x33; }
constexpr u32 b_type(u32 imm, u32 rs1, u32 f3) {
    return (imm >> 12 & 1) << 31 | (imm >> 5 & 63) << 25 | rs1 << 15 | f3 << 12 | (imm >> 1 & 15) << 8 | (imm >> 11 & 1) << 7 | 0x63;
}
constexpr u32 j_type(u32 imm, u32 rd) {
    return (imm >> 20 & 1) << 31 | (imm >> 1 & 1023) << 21 | (imm >> 11 & 1) << 20 | (imm >> 12 & 255) << 12 | rd << 7 | 0x6f;
}
constexpr u32 extend(u32 value, int bits) { return static_cast<u32>(static_cast<std::int32_t>(value << (32 - bits)) >> (32 - bits)); }

// Quadrant 0: register-based loads and stores on x8..x15, addi4spn.
u32 quadrant0(u32 h, bool f) {
    const u32 rd = 8 + (h >> 2 & 7), rs1 = 8 + (h >> 7 & 7);
    const u32 word = field(h, 10, 3, 3) | bit(h, 6, 2) | bit(h, 5, 6);
    switch (h >> 13) {
        case 0: {
            const u32 imm = field(h, 11, 2, 4) | field(h, 7, 4, 6) | bit(h, 6, 2) | bit(h, 5, 3);
            return imm == 0 ? 0 : i_type(imm, 2, 0, rd, 0x13);
        }
        case 2: return i_type(word, rs1, 2, rd, 0x03);
        case 3: return f ? i_type(word, rs1, 2, rd, 0x07) : 0;
        case 6: return s_type(word, rd, rs1, 2, 0x23);
        case 7: return f ? s_type(word, rd, rs1, 2, 0x27) : 0;
        default: return 0;
    }
}

u32 arithmetic(u32 h) {
    const u32 rd = 8 + (h >> 7 & 7), rs2 = 8 + (h >> 2 & 7), shamt = h >> 2 & 31;
    switch (h >> 10 & 3) {
        case 0: return (h >> 12 & 1) ? 0 : i_type(shamt, rd, 5, rd, 0x13);
        case 1: return (h >> 12 & 1) ? 0 : i_type(shamt | 0x400, rd, 5, rd, 0x13);
        case 2: return i_type(extend(bit(h, 12, 5) | shamt, 6), rd, 7, rd, 0x13);
        default: break;
    }
    if (h >> 12 & 1) return 0;
    switch (h >> 5 & 3) {
        case 0: return r_type(0x20, rs2, rd, 0, rd);
        case 1: return r_type(0, rs2, rd, 4, rd);
        case 2: return r_type(0, rs2, rd, 6, rd);
        default: return r_type(0, rs2, rd, 7, rd);
    }
}

// Quadrant 1: immediates, jumps and branches.
u32 quadrant1(u32 h) {
    const u32 rd = h >> 7 & 31, imm6 = extend(bit(h, 12, 5) | field(h, 2, 5, 0), 6);
    const u32 jump = extend(bit(h, 12, 11) | bit(h, 11, 4) | field(h, 9, 2, 8) | bit(h, 8, 10) | bit(h, 7, 6) | bit(h, 6, 7) | field(h, 3, 3, 1) | bit(h, 2, 5), 12);
    const u32 branch = extend(bit(h, 12, 8) | field(h, 10, 2, 3) | field(h, 5, 2, 6) | field(h, 3, 2, 1) | bit(h, 2, 5), 9);
    switch (h >> 13) {
        case 0: return i_type(imm6, rd, 0, rd, 0x13);
        case 1: return j_type(jump, 1);
        case 2: return i_type(imm6, 0, 0, rd, 0x13);
        case 3: {
            if (rd == 2) {
                const u32 imm = extend(bit(h, 12, 9) | bit(h, 6, 4) | bit(h, 5, 6) | field(h, 3, 2, 7) | bit(h, 2, 5), 10);
                return imm == 0 ? 0 : i_type(imm, 2, 0, 2, 0x13);
            }
            return imm6 == 0 ? 0 : imm6 << 12 | rd << 7 | 0x37;
        }
        case 4: return arithmetic(h);
        case 5: return j_type(jump, 0);
        case 6: return b_type(branch, 8 + (h >> 7 & 7), 0);
        default: return b_type(branch, 8 + (h >> 7 & 7), 1);
    }
}

// Quadrant 2: stack-based loads and stores, register moves and jumps.
u32 quadrant2(u32 h, bool f) {
    const u32 rd = h >> 7 & 31, rs2 = h >> 2 & 31;
    const u32 load = bit(h, 12, 5) | field(h, 4, 3, 2) | field(h, 2, 2, 6), store = field(h, 9, 4, 2) | field(h, 7, 2, 6);
    switch (h >> 13) {
        case 0: return (h >> 12 & 1) ? 0 : i_type(rs2, rd, 1, rd, 0x13);
        case 2: return rd == 0 ? 0 : i_type(load, 2, 2, rd, 0x03);
        case 3: return f ? i_type(load, 2, 2, rd, 0x07) : 0;
        case 4:
            if (!(h >> 12 & 1)) {
                if (rs2 != 0) return r_type(0, rs2, 0, 0, rd);
                return rd == 0 ? 0 : i_type(0, rd, 0, 0, 0x67);
            }
            if (rs2 != 0) return r_type(0, rs2, rd, 0, rd);
            return rd == 0 ? 0x00100073 : i_type(0, rd, 0, 1, 0x67);
        case 6: return s_type(store, rs2, 2, 2, 0x23);
        case 7: return f ? s_type(store, rs2, 2, 2, 0x27) : 0;
        default: return 0;
    }
}

}  // namespace

std::uint32_t expand_compressed(std::uint16_t half, bool with_f) {
    switch (half & 3) {
        case 0: return quadrant0(half, with_f);
        case 1: return quadrant1(half);
        case 2: return quadrant2(half, with_f);
        default: return 0;
    }
}

}  // namespace siracusa
