// RV32F on the host's single-precision arithmetic: rounding mode and exception flags through the host's control word,
// NaN results canonical.
#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "exec.hpp"

namespace siracusa {
namespace {

using u = std::uint32_t;

constexpr u kNan = 0x7fc00000;
constexpr u kInvalid = 16, kDivZero = 8, kOverflow = 4, kUnderflow = 2, kInexact = 1;

float as_float(u bits) { return std::bit_cast<float>(bits); }
u as_bits(float value) { return std::isnan(value) ? kNan : std::bit_cast<u>(value); }
bool is_signalling(u bits) { return (bits & 0x7f800000) == 0x7f800000 && (bits & 0x007fffff) != 0 && !(bits & 0x00400000); }
bool is_nan(u bits) { return (bits & 0x7fffffff) > 0x7f800000; }

u rounding(const Core &c, const Insn &i) { return i.imm2 == 7 ? c.fcsr >> 5 & 7 : i.imm2; }

// Runs `f` under a RISC-V rounding mode and collects its flags. Mode 4 (to nearest, ties away) counts as 0.
template <typename F>
float rounded(Core &c, const Insn &i, F f) {
    const u mode = rounding(c, i);
#if defined(__SSE__)
    static constexpr u kControl[8] = {0, 3, 1, 2, 0, 0, 0, 0};
    const u saved = _mm_getcsr();
    _mm_setcsr((saved & ~(0x603fu)) | kControl[mode] << 13 | 0x1f80u);
    volatile float result = f();
    const u raised = _mm_getcsr();
    _mm_setcsr(saved);
    c.fcsr |= (raised & 1 ? kInvalid : 0) | (raised & 4 ? kDivZero : 0) | (raised & 8 ? kOverflow : 0) | (raised & 16 ? kUnderflow : 0) |
              (raised & 32 ? kInexact : 0);
#else
    static constexpr int kControl[8] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD, FE_TONEAREST, FE_TONEAREST, FE_TONEAREST, FE_TONEAREST};
    std::fenv_t saved;
    std::feholdexcept(&saved);
    std::fesetround(kControl[mode]);
    volatile float result = f();
    const int raised = std::fetestexcept(FE_ALL_EXCEPT);
    std::fesetenv(&saved);
    c.fcsr |= (raised & FE_INVALID ? kInvalid : 0) | (raised & FE_DIVBYZERO ? kDivZero : 0) | (raised & FE_OVERFLOW ? kOverflow : 0) |
              (raised & FE_UNDERFLOW ? kUnderflow : 0) | (raised & FE_INEXACT ? kInexact : 0);
#endif
    return result;
}

template <typename F>
u arithmetic(Core &c, const Insn &i, F f) {
    c.soc->fpu(c);
    volatile float a = as_float(c.f[i.rs1]), b = as_float(c.f[i.rs2]);
    c.f[i.rd] = as_bits(rounded(c, i, [&] { return f(a, b); }));
    return after(c, i);
}
u do_fadd_s(Core &c, const Insn &i) { return arithmetic(c, i, [](float a, float b) { return a + b; }); }
u do_fsub_s(Core &c, const Insn &i) { return arithmetic(c, i, [](float a, float b) { return a - b; }); }
u do_fmul_s(Core &c, const Insn &i) { return arithmetic(c, i, [](float a, float b) { return a * b; }); }
u do_fdiv_s(Core &c, const Insn &i) {
    c.soc->fpu_divide(c);
    volatile float a = as_float(c.f[i.rs1]), b = as_float(c.f[i.rs2]);
    c.f[i.rd] = as_bits(rounded(c, i, [&] { return a / b; }));
    return after(c, i);
}
u do_fsqrt_s(Core &c, const Insn &i) {
    c.soc->fpu_divide(c);
    volatile float a = as_float(c.f[i.rs1]);
    c.f[i.rd] = as_bits(rounded(c, i, [&] { return std::sqrt(a); }));
    return after(c, i);
}

u fused(Core &c, const Insn &i, u flip_product, u flip_sum) {
    c.soc->fpu(c);
    volatile float a = as_float(c.f[i.rs1] ^ flip_product), b = as_float(c.f[i.rs2]), d = as_float(c.f[i.rs3] ^ flip_sum);
    c.f[i.rd] = as_bits(rounded(c, i, [&] { return std::fma(a, b, d); }));
    return after(c, i);
}
constexpr u kSign = 0x80000000u;
u do_fmadd_s(Core &c, const Insn &i) { return fused(c, i, 0, 0); }
u do_fmsub_s(Core &c, const Insn &i) { return fused(c, i, 0, kSign); }
u do_fnmsub_s(Core &c, const Insn &i) { return fused(c, i, kSign, 0); }
u do_fnmadd_s(Core &c, const Insn &i) { return fused(c, i, kSign, kSign); }

u sign_injected(Core &c, const Insn &i, u sign) {
    c.soc->fpu(c);
    c.f[i.rd] = (c.f[i.rs1] & ~kSign) | (sign & kSign);
    return after(c, i);
}
u do_fsgnj_s(Core &c, const Insn &i) { return sign_injected(c, i, c.f[i.rs2]); }
u do_fsgnjn_s(Core &c, const Insn &i) { return sign_injected(c, i, ~c.f[i.rs2]); }
u do_fsgnjx_s(Core &c, const Insn &i) { return sign_injected(c, i, c.f[i.rs1] ^ c.f[i.rs2]); }

u extreme(Core &c, const Insn &i, bool minimum) {
    c.soc->fpu(c);
    const u a = c.f[i.rs1], b = c.f[i.rs2];
    if (is_signalling(a) || is_signalling(b)) c.fcsr |= kInvalid;
    if (is_nan(a) || is_nan(b)) {
        c.f[i.rd] = is_nan(a) ? (is_nan(b) ? kNan : b) : a;
        return after(c, i);
    }
    const bool less = as_float(a) < as_float(b) || (as_float(a) == as_float(b) && (a & kSign) > (b & kSign));
    c.f[i.rd] = less == minimum ? a : b;
    return after(c, i);
}
u do_fmin_s(Core &c, const Insn &i) { return extreme(c, i, true); }
u do_fmax_s(Core &c, const Insn &i) { return extreme(c, i, false); }

u compare(Core &c, const Insn &i, bool quiet, bool (*f)(float, float)) {
    c.soc->fpu(c);
    const u a = c.f[i.rs1], b = c.f[i.rs2];
    if (is_nan(a) || is_nan(b)) {
        if (!quiet || is_signalling(a) || is_signalling(b)) c.fcsr |= kInvalid;
        c.x[i.rd] = 0;
    } else {
        c.x[i.rd] = f(as_float(a), as_float(b));
    }
    return after(c, i);
}
u do_feq_s(Core &c, const Insn &i) { return compare(c, i, true, [](float a, float b) { return a == b; }); }
u do_flt_s(Core &c, const Insn &i) { return compare(c, i, false, [](float a, float b) { return a < b; }); }
u do_fle_s(Core &c, const Insn &i) { return compare(c, i, false, [](float a, float b) { return a <= b; }); }

double round_to_integer(double value, u mode) {
    switch (mode) {
        case 1: return std::trunc(value);
        case 2: return std::floor(value);
        case 3: return std::ceil(value);
        case 4: return std::round(value);
        default: {
            const double floor = std::floor(value), half = value - floor;
            if (half != 0.5) return half < 0.5 ? floor : floor + 1;
            return std::fmod(floor, 2) == 0 ? floor : floor + 1;
        }
    }
}
template <typename T>
u to_integer(Core &c, const Insn &i) {
    c.soc->fpu(c);
    const u bits = c.f[i.rs1];
    const double value = as_float(bits), whole = round_to_integer(value, rounding(c, i));
    constexpr double low = std::numeric_limits<T>::min(), high = std::numeric_limits<T>::max();
    if (is_nan(bits) || whole > high || whole < low) {
        c.fcsr |= kInvalid;
        c.x[i.rd] = static_cast<u>(is_nan(bits) || value > 0 ? std::numeric_limits<T>::max() : std::numeric_limits<T>::min());
    } else {
        if (whole != value) c.fcsr |= kInexact;
        c.x[i.rd] = static_cast<u>(static_cast<std::int64_t>(whole));
    }
    return after(c, i);
}
u do_fcvt_w_s(Core &c, const Insn &i) { return to_integer<std::int32_t>(c, i); }
u do_fcvt_wu_s(Core &c, const Insn &i) { return to_integer<std::uint32_t>(c, i); }

u do_fcvt_s_w(Core &c, const Insn &i) {
    c.soc->fpu(c);
    volatile std::int32_t value = s32(c.x[i.rs1]);
    c.f[i.rd] = as_bits(rounded(c, i, [&] { return static_cast<float>(value); }));
    return after(c, i);
}
u do_fcvt_s_wu(Core &c, const Insn &i) {
    c.soc->fpu(c);
    volatile std::uint32_t value = c.x[i.rs1];
    c.f[i.rd] = as_bits(rounded(c, i, [&] { return static_cast<float>(value); }));
    return after(c, i);
}
u do_fmv_x_w(Core &c, const Insn &i) {
    c.x[i.rd] = c.f[i.rs1];
    return after(c, i);
}
u do_fmv_w_x(Core &c, const Insn &i) {
    c.f[i.rd] = c.x[i.rs1];
    return after(c, i);
}
u do_fclass_s(Core &c, const Insn &i) {
    const u bits = c.f[i.rs1], exponent = bits >> 23 & 255, fraction = bits & 0x7fffff;
    const bool negative = bits & kSign;
    u kind;
    if (exponent == 255) kind = fraction == 0 ? (negative ? 0 : 7) : (fraction & 0x400000 ? 9 : 8);
    else if (exponent == 0) kind = fraction == 0 ? (negative ? 3 : 4) : (negative ? 2 : 5);
    else kind = negative ? 1 : 6;
    c.x[i.rd] = 1u << kind;
    return after(c, i);
}

}  // namespace

Execute float_executor(Op op) {
    switch (op) {
#define ROW(name) case Op::name: return do_##name;
        ROW(fadd_s) ROW(fsub_s) ROW(fmul_s) ROW(fdiv_s) ROW(fsqrt_s) ROW(fmadd_s) ROW(fmsub_s) ROW(fnmsub_s) ROW(fnmadd_s)
        ROW(fsgnj_s) ROW(fsgnjn_s) ROW(fsgnjx_s) ROW(fmin_s) ROW(fmax_s) ROW(feq_s) ROW(flt_s) ROW(fle_s)
        ROW(fcvt_w_s) ROW(fcvt_wu_s) ROW(fcvt_s_w) ROW(fcvt_s_wu) ROW(fmv_x_w) ROW(fmv_w_x) ROW(fclass_s)
#undef ROW
        default: return nullptr;
    }
}

}  // namespace siracusa
