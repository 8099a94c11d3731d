// XpulpV2 SIMD: two halves or four bytes per register.
#include <type_traits>

#include "exec.hpp"

namespace siracusa {
namespace {

using u = std::uint32_t;

// The second operand: a vector, lane 0 of it for all lanes, or an immediate for all lanes.
enum class Second { vector, scalar, immediate };

template <typename T>
constexpr u lanes = 4 / sizeof(T);
template <typename T>
T lane(u value, u index) {
    return static_cast<T>(value >> (index * 8 * sizeof(T)));
}
template <typename T>
u place(T value, u index) {
    return u{static_cast<std::make_unsigned_t<T>>(value)} << (index * 8 * sizeof(T));
}
template <typename T, Second K>
T second(const Core &c, const Insn &i, u index) {
    if constexpr (K == Second::immediate) return static_cast<T>(i.imm);
    else return lane<T>(c.x[i.rs2], K == Second::scalar ? 0 : index);
}

template <typename T, Second K, typename F>
u each(Core &c, const Insn &i, F f) {
    const u a = c.x[i.rs1];
    u result = 0;
    for (u k = 0; k < lanes<T>; k++) result |= place<T>(static_cast<T>(f(lane<T>(a, k), second<T, K>(c, i, k))), k);
    c.x[i.rd] = result;
    return after(c, i);
}

// Operations on two lanes of type T; avg and avgu wrap in the lane before they halve.
struct Add { template <typename T> static int of(T a, T b) { return a + b; } };
struct Sub { template <typename T> static int of(T a, T b) { return a - b; } };
struct Avg { template <typename T> static int of(T a, T b) { return static_cast<T>(a + b) >> 1; } };
struct Min { template <typename T> static int of(T a, T b) { return a < b ? a : b; } };
struct Max { template <typename T> static int of(T a, T b) { return a > b ? a : b; } };
template <typename T> constexpr int kShiftMask = 8 * sizeof(T) - 1;
struct ShiftRight { template <typename T> static int of(T a, T b) { return a >> (b & kShiftMask<T>); } };
struct ShiftLeft {
    template <typename T> static u of(T a, T b) { return static_cast<u>(a) << (b & kShiftMask<T>); }
};
struct Or { template <typename T> static int of(T a, T b) { return a | b; } };
struct Xor { template <typename T> static int of(T a, T b) { return a ^ b; } };
struct And { template <typename T> static int of(T a, T b) { return a & b; } };
struct Eq { template <typename T> static int of(T a, T b) { return a == b ? -1 : 0; } };
struct Ne { template <typename T> static int of(T a, T b) { return a != b ? -1 : 0; } };
struct Gt { template <typename T> static int of(T a, T b) { return a > b ? -1 : 0; } };
struct Ge { template <typename T> static int of(T a, T b) { return a >= b ? -1 : 0; } };
struct Lt { template <typename T> static int of(T a, T b) { return a < b ? -1 : 0; } };
struct Le { template <typename T> static int of(T a, T b) { return a <= b ? -1 : 0; } };

template <typename Operation, typename T, Second K>
u lanewise(Core &c, const Insn &i) {
    return each<T, K>(c, i, [](T a, T b) { return Operation::template of<T>(a, b); });
}

// Dot products: rs1 of type A, second operand of type B; 32 bits, wrapping.
template <typename A, typename B, Second K, bool Accumulate>
u dot(Core &c, const Insn &i) {
    const u a = c.x[i.rs1];
    u sum = Accumulate ? c.x[i.rd == 32 ? 0 : i.rd] : 0;
    for (u k = 0; k < lanes<A>; k++) sum += static_cast<u>(std::int64_t{lane<A>(a, k)} * second<B, K>(c, i, k));
    c.x[i.rd] = sum;
    return after(c, i);
}

template <typename T>
u absolute(Core &c, const Insn &i) {
    const u a = c.x[i.rs1];
    u result = 0;
    for (u k = 0; k < lanes<T>; k++) result |= place<T>(static_cast<T>(lane<T>(a, k) > 0 ? lane<T>(a, k) : -lane<T>(a, k)), k);
    c.x[i.rd] = result;
    return after(c, i);
}

template <typename T>
u extract(Core &c, const Insn &i) {
    c.x[i.rd] = static_cast<u>(lane<T>(c.x[i.rs1], u32(i.imm) & (lanes<T> - 1)));
    return after(c, i);
}
template <typename T>
u insert(Core &c, const Insn &i) {
    const u index = u32(i.imm) & (lanes<T> - 1), mask = place<T>(static_cast<T>(~T{0}), index);
    c.x[i.rd] = (c.x[i.rd == 32 ? 0 : i.rd] & ~mask) | place<T>(lane<T>(c.x[i.rs1], 0), index);
    return after(c, i);
}

template <typename T>
u shuffle(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], select = c.x[i.rs2];
    u result = 0;
    for (u k = 0; k < lanes<T>; k++) result |= place<T>(lane<T>(a, lane<T>(select, k) & (lanes<T> - 1)), k);
    c.x[i.rd] = result;
    return after(c, i);
}
// Each lane of rs2 selects from rs1 (its source bit set) or from the old rd.
template <typename T>
u shuffle2(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], select = c.x[i.rs2], old = c.x[i.rd == 32 ? 0 : i.rd];
    u result = 0;
    for (u k = 0; k < lanes<T>; k++) {
        const u from = lane<T>(select, k);
        result |= place<T>(lane<T>(from & lanes<T> ? a : old, from & (lanes<T> - 1)), k);
    }
    c.x[i.rd] = result;
    return after(c, i);
}
u shuffle_halves_imm(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], imm = u32(i.imm);
    c.x[i.rd] = place<std::uint16_t>(lane<std::uint16_t>(a, imm & 1), 0) | place<std::uint16_t>(lane<std::uint16_t>(a, imm >> 1 & 1), 1);
    return after(c, i);
}
// The top byte is lane Top, the three lower ones are selected by two bits each.
template <u Top>
u shuffle_bytes_imm(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], imm = u32(i.imm);
    u result = (a >> (8 * Top) & 0xff) << 24;
    for (u k = 0; k < 3; k++) result |= (a >> (8 * (imm >> (2 * k) & 3)) & 0xff) << (8 * k);
    c.x[i.rd] = result;
    return after(c, i);
}

u do_pack_h(Core &c, const Insn &i) {
    c.x[i.rd] = c.x[i.rs1] << 16 | (c.x[i.rs2] & 0xffff);
    return after(c, i);
}
u bytes_of(const Core &c, const Insn &i) { return (c.x[i.rs1] & 0xff) << 8 | (c.x[i.rs2] & 0xff); }
u do_packhi_b(Core &c, const Insn &i) {
    c.x[i.rd] = bytes_of(c, i) << 16 | (c.x[i.rd == 32 ? 0 : i.rd] & 0xffff);
    return after(c, i);
}
u do_packlo_b(Core &c, const Insn &i) {
    c.x[i.rd] = bytes_of(c, i) | (c.x[i.rd == 32 ? 0 : i.rd] & 0xffff0000u);
    return after(c, i);
}

using H = std::int16_t;
using B = std::int8_t;
using Hu = std::uint16_t;
using Bu = std::uint8_t;

}  // namespace

Execute simd_executor(Op op) {
    switch (op) {
#define LANES(name, operation, half, byte)                                                      \
    case Op::pv_##name##_h: return lanewise<operation, half, Second::vector>;                   \
    case Op::pv_##name##_sc_h: return lanewise<operation, half, Second::scalar>;                \
    case Op::pv_##name##_sci_h: return lanewise<operation, half, Second::immediate>;            \
    case Op::pv_##name##_b: return lanewise<operation, byte, Second::vector>;                   \
    case Op::pv_##name##_sc_b: return lanewise<operation, byte, Second::scalar>;                \
    case Op::pv_##name##_sci_b: return lanewise<operation, byte, Second::immediate>;
        LANES(add, Add, H, B) LANES(sub, Sub, H, B) LANES(avg, Avg, H, B) LANES(avgu, Avg, Hu, Bu)
        LANES(min, Min, H, B) LANES(minu, Min, Hu, Bu) LANES(max, Max, H, B) LANES(maxu, Max, Hu, Bu)
        LANES(srl, ShiftRight, Hu, Bu) LANES(sra, ShiftRight, H, B) LANES(sll, ShiftLeft, Hu, Bu)
        LANES(or, Or, H, B) LANES(xor, Xor, H, B) LANES(and, And, H, B)
        LANES(cmpeq, Eq, H, B) LANES(cmpne, Ne, H, B) LANES(cmpgt, Gt, H, B) LANES(cmpge, Ge, H, B)
        LANES(cmplt, Lt, H, B) LANES(cmple, Le, H, B) LANES(cmpgtu, Gt, Hu, Bu) LANES(cmpgeu, Ge, Hu, Bu)
        LANES(cmpltu, Lt, Hu, Bu) LANES(cmpleu, Le, Hu, Bu)
#undef LANES
#define DOTS(name, ha, hb, ba, bb, accumulate)                                                  \
    case Op::pv_##name##_h: return dot<ha, hb, Second::vector, accumulate>;                     \
    case Op::pv_##name##_sc_h: return dot<ha, hb, Second::scalar, accumulate>;                  \
    case Op::pv_##name##_sci_h: return dot<ha, hb, Second::immediate, accumulate>;              \
    case Op::pv_##name##_b: return dot<ba, bb, Second::vector, accumulate>;                     \
    case Op::pv_##name##_sc_b: return dot<ba, bb, Second::scalar, accumulate>;                  \
    case Op::pv_##name##_sci_b: return dot<ba, bb, Second::immediate, accumulate>;
        DOTS(dotup, Hu, Hu, Bu, Bu, false) DOTS(dotusp, Hu, H, Bu, B, false) DOTS(dotsp, H, H, B, B, false)
        DOTS(sdotup, Hu, Hu, Bu, Bu, true) DOTS(sdotusp, Hu, H, Bu, B, true) DOTS(sdotsp, H, H, B, B, true)
#undef DOTS
        case Op::pv_abs_h: return absolute<H>;
        case Op::pv_abs_b: return absolute<B>;
        case Op::pv_extract_h: return extract<H>;
        case Op::pv_extract_b: return extract<B>;
        case Op::pv_extractu_h: return extract<Hu>;
        case Op::pv_extractu_b: return extract<Bu>;
        case Op::pv_insert_h: return insert<Hu>;
        case Op::pv_insert_b: return insert<Bu>;
        case Op::pv_shuffle_h: return shuffle<Hu>;
        case Op::pv_shuffle_b: return shuffle<Bu>;
        case Op::pv_shuffle2_h: return shuffle2<Hu>;
        case Op::pv_shuffle2_b: return shuffle2<Bu>;
        case Op::pv_shuffle_sci_h: return shuffle_halves_imm;
        case Op::pv_shufflei0_b: return shuffle_bytes_imm<0>;
        case Op::pv_shufflei1_b: return shuffle_bytes_imm<1>;
        case Op::pv_shufflei2_b: return shuffle_bytes_imm<2>;
        case Op::pv_shufflei3_b: return shuffle_bytes_imm<3>;
        case Op::pv_pack_h: return do_pack_h;
        case Op::pv_packhi_b: return do_packhi_b;
        case Op::pv_packlo_b: return do_packlo_b;
        default: return nullptr;
    }
}

}  // namespace siracusa
