// XpulpV2 scalar arithmetic: bit manipulation, clips, MACs, 16 x 16 products, shift-and-round additions.
#include <bit>

#include "exec.hpp"

namespace siracusa {
namespace {

using u = std::uint32_t;
using s = std::int32_t;

#define SCALAR(name, expression)                                                                       \
    u do_##name(Core &c, const Insn &i) {                                                              \
        [[maybe_unused]] const u a = c.x[i.rs1], b = c.x[i.rs2], d = c.x[i.rd == 32 ? 0 : i.rd];       \
        c.x[i.rd] = expression;                                                                        \
        return after(c, i);                                                                            \
    }

u leading_sign_bits(u a) {
    if (a == 0) return 0;
    return static_cast<u>(std::countl_zero(s32(a) < 0 ? ~a : a)) - 1;
}
u clip(s value, s low, s high) { return u32(value < low ? low : value > high ? high : value); }
u clip_unsigned(s value, s high) { return u32(value < 0 ? 0 : value > high ? high : value); }
s clip_bound(s bits) { return s32(1u << (bits > 0 ? bits - 1 : 0)); }

// Bit fields: `width` 1..32 bits from `position`.
u field_mask(u width, u position) { return static_cast<u>(((std::uint64_t{1} << width) - 1) << position); }
u extract(u value, u width, u position) {
    if (position + width > 32) width = 32 - position;
    return u32(s32(value << (32 - width - position)) >> (32 - width));
}
u extract_unsigned(u value, u width, u position) { return (value & field_mask(width, position)) >> position; }
u insert(u value, u into, u width, u position) {
    const u mask = field_mask(width, position);
    return (into & ~mask) | (value << position & mask);
}
u width_of(u b) { return (b >> 5 & 31) + 1; }

SCALAR(p_abs, s32(a) < 0 ? 0u - a : a)
SCALAR(p_avgu, (a + b) >> 1)
SCALAR(p_slet, s32(a) <= s32(b))
SCALAR(p_sletu, a <= b)
SCALAR(p_min, s32(a) < s32(b) ? a : b)
SCALAR(p_minu, a < b ? a : b)
SCALAR(p_max, s32(a) > s32(b) ? a : b)
SCALAR(p_maxu, a > b ? a : b)
SCALAR(p_ror, std::rotr(a, s32(b & 31)))
SCALAR(p_ff1, static_cast<u>(std::countr_zero(a)))
SCALAR(p_fl1, a == 0 ? 32u : 31u - static_cast<u>(std::countl_zero(a)))
SCALAR(p_clb, leading_sign_bits(a))
SCALAR(p_cnt, static_cast<u>(std::popcount(a)))
SCALAR(p_exths, u32(static_cast<std::int16_t>(a)))
SCALAR(p_exthz, a & 0xffff)
SCALAR(p_extbs, u32(static_cast<std::int8_t>(a)))
SCALAR(p_extbz, a & 0xff)
SCALAR(p_clipi, clip(s32(a), -clip_bound(i.imm), clip_bound(i.imm) - 1))
SCALAR(p_clipui, clip_unsigned(s32(a), clip_bound(i.imm) - 1))
SCALAR(p_clip, clip(s32(a), s32(~b), s32(b)))
SCALAR(p_clipu, clip_unsigned(s32(a), s32(b)))
SCALAR(p_extract, extract(a, width_of(b), b & 31))
SCALAR(p_extractu, extract_unsigned(a, width_of(b), b & 31))
SCALAR(p_insert, insert(a, d, width_of(b), b & 31))
SCALAR(p_bclr, a & ~field_mask(width_of(b), b & 31))
SCALAR(p_bset, a | field_mask(width_of(b), b & 31))
SCALAR(p_extracti, extract(a, u32(i.imm) + 1, i.imm2))
SCALAR(p_extractui, extract_unsigned(a, u32(i.imm) + 1, i.imm2))
SCALAR(p_inserti, insert(a, d, u32(i.imm) + 1, i.imm2))
SCALAR(p_bclri, a & ~field_mask(u32(i.imm) + 1, i.imm2))
SCALAR(p_bseti, a | field_mask(u32(i.imm) + 1, i.imm2))
SCALAR(p_mac, d + a * b)
SCALAR(p_msu, d - a * b)

// A product of halves: low or high, signed or unsigned; 32 bits, wrapping.
template <bool High, bool Signed>
u half_product(u a, u b) {
    const u x = High ? a >> 16 : a & 0xffff, y = High ? b >> 16 : b & 0xffff;
    return Signed ? u32(static_cast<std::int16_t>(x) * static_cast<std::int16_t>(y)) : x * y;
}
u round_up(u value, u shift) { return shift > 0 ? value + (1u << (shift - 1)) : value; }
u shift_down(u value, u shift, bool is_signed) { return is_signed ? u32(s32(value) >> shift) : value >> shift; }

template <bool High, bool Signed, bool Accumulate, bool Round>
u product(Core &c, const Insn &i) {
    u value = half_product<High, Signed>(c.x[i.rs1], c.x[i.rs2]);
    if (Accumulate) value += c.x[i.rd == 32 ? 0 : i.rd];
    if (Round) value = round_up(value, i.imm2);
    c.x[i.rd] = shift_down(value, i.imm2, Signed);
    return after(c, i);
}

// Immediate forms: (rs1 op rs2) >> imm2; register forms: (rd op rs1) >> rs2.
template <bool Subtract, bool Signed, bool Round, bool FromRegister>
u shift_round(Core &c, const Insn &i) {
    const u d = c.x[i.rd == 32 ? 0 : i.rd];
    const u a = FromRegister ? d : c.x[i.rs1], b = FromRegister ? c.x[i.rs1] : c.x[i.rs2];
    const u shift = FromRegister ? c.x[i.rs2] & 31 : i.imm2;
    u value = Subtract ? a - b : a + b;
    if (Round) value = round_up(value, shift);
    c.x[i.rd] = shift_down(value, shift, Signed);
    return after(c, i);
}

}  // namespace

Execute scalar_executor(Op op) {
    switch (op) {
#define ROW(name) case Op::name: return do_##name;
        ROW(p_abs) ROW(p_avgu) ROW(p_slet) ROW(p_sletu) ROW(p_min) ROW(p_minu) ROW(p_max) ROW(p_maxu) ROW(p_ror)
        ROW(p_ff1) ROW(p_fl1) ROW(p_clb) ROW(p_cnt) ROW(p_exths) ROW(p_exthz) ROW(p_extbs) ROW(p_extbz)
        ROW(p_clipi) ROW(p_clipui) ROW(p_clip) ROW(p_clipu) ROW(p_extract) ROW(p_extractu) ROW(p_insert) ROW(p_bclr) ROW(p_bset)
        ROW(p_extracti) ROW(p_extractui) ROW(p_inserti) ROW(p_bclri) ROW(p_bseti) ROW(p_mac) ROW(p_msu)
#undef ROW
#define PRODUCTS(base, accumulate)                                          \
    case Op::p_##base##s: case Op::p_##base##sN: return product<false, true, accumulate, false>;       \
    case Op::p_##base##hhs: case Op::p_##base##hhsN: return product<true, true, accumulate, false>;    \
    case Op::p_##base##u: case Op::p_##base##uN: return product<false, false, accumulate, false>;      \
    case Op::p_##base##hhu: case Op::p_##base##hhuN: return product<true, false, accumulate, false>;   \
    case Op::p_##base##sNR: return product<false, true, accumulate, true>;                             \
    case Op::p_##base##hhsNR: return product<true, true, accumulate, true>;                            \
    case Op::p_##base##uNR: return product<false, false, accumulate, true>;                            \
    case Op::p_##base##hhuNR: return product<true, false, accumulate, true>;
        PRODUCTS(mul, false)
        PRODUCTS(mac, true)
#undef PRODUCTS
#define SUMS(base, subtract)                                                \
    case Op::p_##base##Ni: return shift_round<subtract, true, false, false>;   \
    case Op::p_##base##uNi: return shift_round<subtract, false, false, false>; \
    case Op::p_##base##RNi: return shift_round<subtract, true, true, false>;   \
    case Op::p_##base##uRNi: return shift_round<subtract, false, true, false>; \
    case Op::p_##base##N: return shift_round<subtract, true, false, true>;     \
    case Op::p_##base##uN: return shift_round<subtract, false, false, true>;   \
    case Op::p_##base##RN: return shift_round<subtract, true, true, true>;     \
    case Op::p_##base##uRN: return shift_round<subtract, false, true, true>;
        SUMS(add, false)
        SUMS(sub, true)
#undef SUMS
        default: return nullptr;
    }
}

}  // namespace siracusa
