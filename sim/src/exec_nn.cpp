// XpulpNN: SIMD on nibbles and crumbs, MAC-and-load, staircase quantisation. Decoded only with --xpulpnn.
#include "exec.hpp"

namespace siracusa {
namespace {

using u = std::uint32_t;
using s = std::int32_t;

// Lane `index` of `value`, `Bits` wide, sign- or zero-extended.
template <int Bits, bool Signed>
s lane(u value, u index) {
    const u raw = value >> (index * Bits) & ((1u << Bits) - 1);
    return Signed ? s32(raw << (32 - Bits)) >> (32 - Bits) : s32(raw);
}
template <int Bits>
constexpr u kLane = (1u << Bits) - 1;

template <int Bits, bool Signed, bool Scalar, typename F>
u each(Core &c, const Insn &i, F f) {
    const u a = c.x[i.rs1], b = c.x[i.rs2];
    u result = 0;
    for (u k = 0; k < 32 / Bits; k++) {
        const s value = f(lane<Bits, Signed>(a, k), lane<Bits, Signed>(b, Scalar ? 0 : k));
        result |= (u32(value) & kLane<Bits>) << (k * Bits);
    }
    c.x[i.rd] = result;
    return after(c, i);
}

struct Add { template <int, bool> static s of(s a, s b) { return a + b; } };
struct Sub { template <int, bool> static s of(s a, s b) { return a - b; } };
struct Avg {
    template <int Bits, bool Signed> static s of(s a, s b) { return lane<Bits, Signed>(u32(a + b), 0) >> 1; }
};
struct Min { template <int, bool> static s of(s a, s b) { return a < b ? a : b; } };
struct Max { template <int, bool> static s of(s a, s b) { return a > b ? a : b; } };
struct ShiftRight { template <int Bits, bool> static s of(s a, s b) { return a >> (b & (Bits - 1)); } };
struct ShiftLeft { template <int Bits, bool> static s of(s a, s b) { return s32(u32(a) << (b & (Bits - 1))); } };
struct Or { template <int, bool> static s of(s a, s b) { return a | b; } };
struct Xor { template <int, bool> static s of(s a, s b) { return a ^ b; } };
struct And { template <int, bool> static s of(s a, s b) { return a & b; } };

template <typename Operation, int Bits, bool Signed, bool Scalar>
u lanewise(Core &c, const Insn &i) {
    return each<Bits, Signed, Scalar>(c, i, [](s a, s b) { return Operation::template of<Bits, Signed>(a, b); });
}
template <int Bits>
u absolute(Core &c, const Insn &i) {
    return each<Bits, true, false>(c, i, [](s a, s) { return a < 0 ? -a : a; });
}

template <int Bits, bool SignedA, bool SignedB>
u dot_of(u a, u b, bool scalar) {
    u sum = 0;
    for (u k = 0; k < 32 / Bits; k++) sum += u32(lane<Bits, SignedA>(a, k)) * u32(lane<Bits, SignedB>(b, scalar ? 0 : k));
    return sum;
}
template <int Bits, bool SignedA, bool SignedB, bool Scalar, bool Accumulate>
u dot(Core &c, const Insn &i) {
    const u old = Accumulate ? c.x[i.rd == 32 ? 0 : i.rd] : 0;
    c.x[i.rd] = old + dot_of<Bits, SignedA, SignedB>(c.x[i.rs1], c.x[i.rs2], Scalar);
    return after(c, i);
}

// rd += dot of two special registers; then one of them may be loaded from [rs1], with rs1 += 4. imm2: bit 4 loads the
// weight register, bit 3 the activation register (wins), bits 2:1 and 0 choose them.
template <int Bits, bool SignedA, bool SignedB, bool WeightFirst>
u mac_load(Core &c, const Insn &i) {
    const u activation = c.nn[i.imm2 & 1], weight = c.nn[2 + (i.imm2 >> 1 & 3)];
    const u old = c.x[i.rd == 32 ? 0 : i.rd];
    c.x[i.rd] = old + (WeightFirst ? dot_of<Bits, SignedA, SignedB>(weight, activation, false) : dot_of<Bits, SignedA, SignedB>(activation, weight, false));
    if (i.imm2 & 0x18) {
        const u address = c.x[i.rs1], value = load<4>(c, address, 0);
        c.nn[i.imm2 & 8 ? (i.imm2 & 1) : 2 + (i.imm2 >> 1 & 3)] = value;
        if (i.rs1 != 0) c.x[i.rs1] = address + 4;
    }
    return after(c, i);
}

// Four-bit staircase quantisation of the two halves of rs1: a binary search on a tree of 16-bit thresholds at rs2, one
// tree of 32 bytes per half; four dependent loads each.
u do_qnt(Core &c, const Insn &i) {
    u result = 0;
    for (u half = 0; half < 2; half++) {
        const s value = static_cast<std::int16_t>(c.x[i.rs1] >> (16 * half));
        u node = 0, code = 0;
        for (int level = 0; level < 4; level++) {
            const s threshold = static_cast<std::int16_t>(load<2>(c, c.x[i.rs2] + 32 * half + 2 * node, 0));
            const u above = value > threshold;
            code = code << 1 | above;
            node = 2 * node + 1 + above;
            c.stall++;
        }
        result |= code << (4 * half);
    }
    c.x[i.rd] = result;
    return after(c, i);
}

}  // namespace

Execute nn_executor(Op op) {
    switch (op) {
#define LANES(name, operation, is_signed)                                            \
    case Op::pv_##name##_n: return lanewise<operation, 4, is_signed, false>;         \
    case Op::pv_##name##_sc_n: return lanewise<operation, 4, is_signed, true>;       \
    case Op::pv_##name##_c: return lanewise<operation, 2, is_signed, false>;         \
    case Op::pv_##name##_sc_c: return lanewise<operation, 2, is_signed, true>;
        LANES(add, Add, true) LANES(sub, Sub, true) LANES(avg, Avg, true) LANES(avgu, Avg, false) LANES(min, Min, true)
        LANES(minu, Min, false) LANES(max, Max, true) LANES(maxu, Max, false) LANES(srl, ShiftRight, false)
        LANES(sra, ShiftRight, true) LANES(sll, ShiftLeft, false) LANES(or, Or, true) LANES(xor, Xor, true) LANES(and, And, true)
#undef LANES
        case Op::pv_abs_n: return absolute<4>;
        case Op::pv_abs_c: return absolute<2>;
#define DOTS(name, a, b, accumulate)                                             \
    case Op::pv_##name##_n: return dot<4, a, b, false, accumulate>;              \
    case Op::pv_##name##_sc_n: return dot<4, a, b, true, accumulate>;            \
    case Op::pv_##name##_c: return dot<2, a, b, false, accumulate>;              \
    case Op::pv_##name##_sc_c: return dot<2, a, b, true, accumulate>;
        DOTS(dotup, false, false, false) DOTS(dotusp, false, true, false) DOTS(dotsp, true, true, false)
        DOTS(sdotup, false, false, true) DOTS(sdotusp, false, true, true) DOTS(sdotsp, true, true, true)
#undef DOTS
#define MAC_LOADS(name, a, b, weight_first)                                      \
    case Op::pv_##name##_h: return mac_load<16, a, b, weight_first>;             \
    case Op::pv_##name##_b: return mac_load<8, a, b, weight_first>;              \
    case Op::pv_##name##_n: return mac_load<4, a, b, weight_first>;              \
    case Op::pv_##name##_c: return mac_load<2, a, b, weight_first>;
        MAC_LOADS(mlsdotup, false, false, true) MAC_LOADS(mlsdotusp, false, true, true)
        MAC_LOADS(mlsdotsup, true, false, false) MAC_LOADS(mlsdotsp, true, true, false)
#undef MAC_LOADS
        case Op::pv_qnt_n: return do_qnt;
        default: return nullptr;
    }
}

}  // namespace siracusa
