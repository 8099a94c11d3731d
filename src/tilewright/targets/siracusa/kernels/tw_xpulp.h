/* XpulpV2 for C: a function per instruction, and the instructions as text for blocks of assembly.
 *
 * Compilers do not know these instructions: each is spelled by opcode, funct3 and funct7. Elsewhere than on RISC-V the
 * functions compute the same in plain C. Scalar instructions are named tw_p..., as p.clip is; SIMD ones tw_v..._b for
 * four bytes, tw_v..._h for two halves, ..._sc_... with lane 0 of the second operand for all lanes. Shifts `n`, widths
 * and lanes are part of the instruction: constants.
 */
#ifndef TW_XPULP_H
#define TW_XPULP_H

#include <stdint.h>

#define TW_X static inline __attribute__((always_inline, unused))
#ifdef __riscv
#define TW_SAY(instruction, plain) instruction
/* What kernels call that layers call: the linker puts it beside these, so that a small instruction cache holds all of
 * it. Each function has a section of its own, by its line: what a program does not call is not between them. */
#define TW_LINE(line) #line
#define TW_SECTION(line) __attribute__((section(".text.tw_hot." TW_LINE(line)), noinline))
#define TW_HELPER static TW_SECTION(__LINE__)
#else
#define TW_SAY(instruction, plain) plain
#define TW_HELPER static __attribute__((noinline))
#endif

/* Lane `i` of a word, and lane 0 for every lane. */
#define TW_I8(word, i) ((int32_t)(int8_t)((uint32_t)(word) >> 8 * (i)))
#define TW_U8(word, i) ((int32_t)(uint8_t)((uint32_t)(word) >> 8 * (i)))
#define TW_I16(word, i) ((int32_t)(int16_t)((uint32_t)(word) >> 16 * (i)))
#define TW_U16(word, i) ((int32_t)(uint16_t)((uint32_t)(word) >> 16 * (i)))
#define TW_I8_0(word, i) TW_I8(word, 0)
#define TW_U8_0(word, i) TW_U8(word, 0)
#define TW_I16_0(word, i) TW_I16(word, 0)
#define TW_U16_0(word, i) TW_U16(word, 0)
#define TW_U(value) ((uint32_t)(value))

/* y = op(a); y = op(a, b); y = op(y, a, b). `plain` says it in C. */
#define TW_X1(name, opcode, f3, f7, plain)                                                                             \
    TW_X int32_t name(int32_t a)                                                                                       \
    {                                                                                                                  \
        int32_t y;                                                                                                     \
        TW_SAY(__asm__(".insn r " #opcode ", " #f3 ", " #f7 ", %0, %1, x0" : "=r"(y) : "r"(a)), y = (int32_t)(plain)); \
        return y;                                                                                                      \
    }
#define TW_X2(name, opcode, f3, f7, plain)                                                                             \
    TW_X int32_t name(int32_t a, int32_t b)                                                                            \
    {                                                                                                                  \
        int32_t y;                                                                                                     \
        TW_SAY(__asm__(".insn r " #opcode ", " #f3 ", " #f7 ", %0, %1, %2" : "=r"(y) : "r"(a), "r"(b)),                \
               y = (int32_t)(plain));                                                                                  \
        return y;                                                                                                      \
    }
#define TW_X3(name, opcode, f3, f7, plain)                                                                             \
    TW_X int32_t name(int32_t y, int32_t a, int32_t b)                                                                 \
    {                                                                                                                  \
        TW_SAY(__asm__(".insn r " #opcode ", " #f3 ", " #f7 ", %0, %1, %2" : "+r"(y) : "r"(a), "r"(b)),                \
               y = (int32_t)(plain));                                                                                  \
        return y;                                                                                                      \
    }
/* With a shift of 0 .. 31; `top` are bits 31 and 30 of the instruction. */
#define TW_XN(name, f3, top, plain)                                                                                    \
    TW_X int32_t name(int32_t a, int32_t b, int n)                                                                     \
    {                                                                                                                  \
        int32_t y;                                                                                                     \
        TW_SAY(__asm__(".insn r 0x5b, " #f3 ", " #top "<<5|%3, %0, %1, %2" : "=r"(y) : "r"(a), "r"(b), "i"(n)),        \
               y = (int32_t)(plain));                                                                                  \
        return y;                                                                                                      \
    }
#define TW_XM(name, f3, top, plain)                                                                                    \
    TW_X int32_t name(int32_t y, int32_t a, int32_t b, int n)                                                          \
    {                                                                                                                  \
        TW_SAY(__asm__(".insn r 0x5b, " #f3 ", " #top "<<5|%3, %0, %1, %2" : "+r"(y) : "r"(a), "r"(b), "i"(n)),        \
               y = (int32_t)(plain));                                                                                  \
        return y;                                                                                                      \
    }
/* Lane by lane: `plain` of p and q, which are lanes of a and b. */
#define TW_XLANES(name, count, code, f3, p_of, q_of, plain)                                                            \
    TW_X int32_t name(int32_t a, int32_t b)                                                                            \
    {                                                                                                                  \
        int32_t y = 0;                                                                                                 \
        TW_SAY(                                                                                                        \
            __asm__(".insn r 0x57, " #f3 ", " #code "<<1, %0, %1, %2" : "=r"(y) : "r"(a), "r"(b)),                     \
            for (int i = 0; i < count; i++) {                                                                          \
                int32_t p = p_of(a, i);                                                                                \
                int32_t q = q_of(b, i);                                                                                \
                y = (int32_t)(TW_U(y) | (TW_U(plain) & (count == 4 ? 255u : 65535u)) << (32 / count * i));             \
            });                                                                                                        \
        return y;                                                                                                      \
    }
/* Dot products, modulo 2^32: of a and b, and added to y. */
#define TW_XDOT(name, count, code, f3, p_of, q_of)                                                                     \
    TW_X int32_t tw_vdot##name(int32_t a, int32_t b)                                                                   \
    {                                                                                                                  \
        int32_t y = 0;                                                                                                 \
        TW_SAY(                                                                                                        \
            __asm__(".insn r 0x57, " #f3 ", " #code "<<1, %0, %1, %2" : "=r"(y) : "r"(a), "r"(b)),                     \
            for (int i = 0; i < count; i++) y = (int32_t)(TW_U(y) + TW_U(p_of(a, i)) * TW_U(q_of(b, i))));             \
        return y;                                                                                                      \
    }                                                                                                                  \
    TW_X int32_t tw_vsdot##name(int32_t y, int32_t a, int32_t b)                                                       \
    {                                                                                                                  \
        TW_SAY(                                                                                                        \
            __asm__(".insn r 0x57, " #f3 ", (" #code "+8)<<1, %0, %1, %2" : "+r"(y) : "r"(a), "r"(b)),                 \
            for (int i = 0; i < count; i++) y = (int32_t)(TW_U(y) + TW_U(p_of(a, i)) * TW_U(q_of(b, i))));             \
        return y;                                                                                                      \
    }

/* Scalars. clipr: -high - 1 .. high; clipur: 0 .. high; clip: `bits` wide, signed; clipu: 0 .. 2^(bits - 1) - 1. */
TW_X1(tw_pabs, 0x33, 0, 0x02, a < 0 ? 0u - TW_U(a) : TW_U(a))
TW_X2(tw_pmin, 0x33, 4, 0x02, a < b ? a : b)
TW_X2(tw_pminu, 0x33, 5, 0x02, TW_U(a) < TW_U(b) ? a : b)
TW_X2(tw_pmax, 0x33, 6, 0x02, a > b ? a : b)
TW_X2(tw_pmaxu, 0x33, 7, 0x02, TW_U(a) > TW_U(b) ? a : b)
TW_X2(tw_pslet, 0x33, 2, 0x02, a <= b)
TW_X1(tw_pff1, 0x33, 0, 0x08, a == 0 ? 32 : __builtin_ctz(TW_U(a)))
TW_X1(tw_pfl1, 0x33, 1, 0x08, a == 0 ? 32 : 31 - __builtin_clz(TW_U(a)))
TW_X1(tw_pclb, 0x33, 2, 0x08, a == 0 ? 0 : a == -1 ? 31 : __builtin_clz(TW_U(a < 0 ? ~a : a)) - 1)
TW_X1(tw_pcnt, 0x33, 3, 0x08, __builtin_popcount(TW_U(a)))
TW_X1(tw_pexths, 0x33, 4, 0x08, TW_I16(a, 0))
TW_X1(tw_pexthz, 0x33, 5, 0x08, TW_U16(a, 0))
TW_X1(tw_pextbs, 0x33, 6, 0x08, TW_I8(a, 0))
TW_X1(tw_pextbz, 0x33, 7, 0x08, TW_U8(a, 0))
TW_X2(tw_pclipr, 0x33, 5, 0x0a, a < -b - 1 ? -b - 1 : a > b ? b : a)
TW_X2(tw_pclipur, 0x33, 6, 0x0a, a < 0 ? 0 : a > b ? b : a)
TW_X3(tw_pmac, 0x33, 0, 0x21, TW_U(y) + TW_U(a) * TW_U(b))
TW_X3(tw_pmsu, 0x33, 1, 0x21, TW_U(y) - TW_U(a) * TW_U(b))

#define TW_PCLIP(name, f3, low, high)                                                                                  \
    TW_X int32_t name(int32_t a, int bits)                                                                             \
    {                                                                                                                  \
        int32_t y;                                                                                                     \
        TW_SAY(__asm__(".insn r 0x33, " #f3 ", 0x0a, %0, %1, x%2" : "=r"(y) : "r"(a), "i"(bits)),                      \
               y = a < (low) ? (low) : a > (high) ? (high) : a);                                                       \
        return y;                                                                                                      \
    }
TW_PCLIP(tw_pclip, 1, -((int32_t)1 << (bits - 1)), ((int32_t)1 << (bits - 1)) - 1)
TW_PCLIP(tw_pclipu, 2, 0, ((int32_t)1 << (bits - 1)) - 1)

/* `width` bits of a from bit `at`, signed or not; y with these bits from a's lowest. width + at <= 32, width < 32. */
#define TW_PFIELD(name, f3, plain)                                                                                     \
    TW_X int32_t name(int32_t a, int width, int at)                                                                    \
    {                                                                                                                  \
        int32_t y;                                                                                                     \
        TW_SAY(__asm__(".insn r 0x33, " #f3 ", 0x60|%2, %0, %1, x%3" : "=r"(y) : "r"(a), "i"(width - 1), "i"(at)),     \
               y = (int32_t)(plain));                                                                                  \
        return y;                                                                                                      \
    }
TW_PFIELD(tw_pextract, 0, (int32_t)(TW_U(a) << (32 - width - at)) >> (32 - width))
TW_PFIELD(tw_pextractu, 1, TW_U(a) << (32 - width - at) >> (32 - width))
TW_X int32_t tw_pinsert(int32_t y, int32_t a, int width, int at)
{
    TW_SAY(__asm__(".insn r 0x33, 2, 0x60|%2, %0, %1, x%3" : "+r"(y) : "r"(a), "i"(width - 1), "i"(at)),
           y = (int32_t)((TW_U(y) & ~(((1u << width) - 1) << at)) | (TW_U(a) & ((1u << width) - 1)) << at));
    return y;
}

/* Sums and differences, and products of halves (lower ones; hh: upper ones), shifted right; r: rounded (n >= 1). */
#define TW_ROUND(value, n) (TW_U(value) + ((n) > 0 ? 1u << ((n) > 0 ? (n) - 1 : 0) : 0u))
#define TW_SRA(value, n) ((int32_t)(value) >> (n))
TW_XN(tw_paddn, 2, 0, TW_SRA(TW_U(a) + TW_U(b), n))
TW_XN(tw_paddrn, 6, 0, TW_SRA(TW_ROUND(TW_U(a) + TW_U(b), n), n))
TW_XN(tw_psubn, 3, 0, TW_SRA(TW_U(a) - TW_U(b), n))
TW_XN(tw_psubrn, 7, 0, TW_SRA(TW_ROUND(TW_U(a) - TW_U(b), n), n))
TW_XN(tw_paddun, 2, 2, (TW_U(a) + TW_U(b)) >> n)
TW_XN(tw_paddurn, 6, 2, TW_ROUND(TW_U(a) + TW_U(b), n) >> n)
TW_XN(tw_pmulsn, 0, 2, TW_SRA(TW_I16(a, 0) * TW_I16(b, 0), n))
TW_XN(tw_pmulsrn, 4, 2, TW_SRA(TW_ROUND(TW_I16(a, 0) * TW_I16(b, 0), n), n))
TW_XN(tw_pmulhhsn, 0, 3, TW_SRA(TW_I16(a, 1) * TW_I16(b, 1), n))
TW_XN(tw_pmulhhsrn, 4, 3, TW_SRA(TW_ROUND(TW_I16(a, 1) * TW_I16(b, 1), n), n))
TW_XN(tw_pmulun, 0, 0, TW_U(TW_U16(a, 0)) * TW_U(TW_U16(b, 0)) >> n)
TW_XN(tw_pmulurn, 4, 0, TW_ROUND(TW_U(TW_U16(a, 0)) * TW_U(TW_U16(b, 0)), n) >> n)
TW_XM(tw_pmacsn, 1, 2, TW_SRA(TW_U(y) + TW_U(TW_I16(a, 0) * TW_I16(b, 0)), n))
TW_XM(tw_pmacsrn, 5, 2, TW_SRA(TW_ROUND(TW_U(y) + TW_U(TW_I16(a, 0) * TW_I16(b, 0)), n), n))
TW_XM(tw_pmachhsn, 1, 3, TW_SRA(TW_U(y) + TW_U(TW_I16(a, 1) * TW_I16(b, 1)), n))
TW_XM(tw_pmacun, 1, 0, (TW_U(y) + TW_U(TW_U16(a, 0)) * TW_U(TW_U16(b, 0))) >> n)

/* SIMD. dotsp: signed times signed, dotusp: unsigned times signed, dotup: unsigned times unsigned. */
TW_XDOT(up_b, 4, 0x20, 1, TW_U8, TW_U8)
TW_XDOT(usp_b, 4, 0x22, 1, TW_U8, TW_I8)
TW_XDOT(sp_b, 4, 0x26, 1, TW_I8, TW_I8)
TW_XDOT(up_h, 2, 0x20, 0, TW_U16, TW_U16)
TW_XDOT(usp_h, 2, 0x22, 0, TW_U16, TW_I16)
TW_XDOT(sp_h, 2, 0x26, 0, TW_I16, TW_I16)
TW_XDOT(up_sc_b, 4, 0x20, 5, TW_U8, TW_U8_0)
TW_XDOT(sp_sc_b, 4, 0x26, 5, TW_I8, TW_I8_0)
TW_XDOT(sp_sc_h, 2, 0x26, 4, TW_I16, TW_I16_0)

#define TW_XS(name, code, plain)                                                                                       \
    TW_XLANES(name##_b, 4, code, 1, TW_I8, TW_I8, plain)                                                               \
    TW_XLANES(name##_h, 2, code, 0, TW_I16, TW_I16, plain)                                                             \
    TW_XLANES(name##_sc_b, 4, code, 5, TW_I8, TW_I8_0, plain)                                                          \
    TW_XLANES(name##_sc_h, 2, code, 4, TW_I16, TW_I16_0, plain)
#define TW_XU(name, code, plain_b, plain_h)                                                                            \
    TW_XLANES(name##_b, 4, code, 1, TW_U8, TW_U8, plain_b)                                                             \
    TW_XLANES(name##_h, 2, code, 0, TW_U16, TW_U16, plain_h)                                                           \
    TW_XLANES(name##_sc_b, 4, code, 5, TW_U8, TW_U8_0, plain_b)                                                        \
    TW_XLANES(name##_sc_h, 2, code, 4, TW_U16, TW_U16_0, plain_h)
TW_XS(tw_vadd, 0x00, p + q)
TW_XS(tw_vsub, 0x02, p - q)
TW_XS(tw_vmin, 0x08, p < q ? p : q)
TW_XS(tw_vmax, 0x0c, p > q ? p : q)
TW_XS(tw_vcmpeq, 0x01, -(p == q))
TW_XS(tw_vcmpgt, 0x05, -(p > q))
TW_XS(tw_vcmplt, 0x09, -(p < q))
TW_XU(tw_vminu, 0x0a, p < q ? p : q, p < q ? p : q)
TW_XU(tw_vmaxu, 0x0e, p > q ? p : q, p > q ? p : q)
TW_XU(tw_vsrl, 0x10, p >> (q & 7), p >> (q & 15))
TW_XU(tw_vsra, 0x12, (int8_t)p >> (q & 7), (int16_t)p >> (q & 15))
TW_XU(tw_vsll, 0x14, TW_U(p) << (q & 7), TW_U(p) << (q & 15))

#define TW_VABS(name, count, f3, p_of)                                                                                 \
    TW_X int32_t name(int32_t a)                                                                                       \
    {                                                                                                                  \
        int32_t y = 0;                                                                                                 \
        TW_SAY(                                                                                                        \
            __asm__(".insn r 0x57, " #f3 ", 0x38, %0, %1, x0" : "=r"(y) : "r"(a)),                                     \
            for (int i = 0; i < count; i++) {                                                                          \
                int32_t p = p_of(a, i);                                                                                \
                y = (int32_t)(TW_U(y) | (TW_U(p < 0 ? -p : p) & (count == 4 ? 255u : 65535u)) << (32 / count * i));    \
            });                                                                                                        \
        return y;                                                                                                      \
    }
TW_VABS(tw_vabs_b, 4, 1, TW_I8)
TW_VABS(tw_vabs_h, 2, 0, TW_I16)

/* Lane `i` as a number; y with lane `i` from a's lowest. */
#define TW_VLANE(name, code, f3, p_of)                                                                                 \
    TW_X int32_t name(int32_t a, int i)                                                                                \
    {                                                                                                                  \
        int32_t y;                                                                                                     \
        TW_SAY(__asm__(".insn r 0x57, " #f3 ", " #code "<<1|%2, %0, %1, x%3" : "=r"(y) : "r"(a), "i"(i & 1),           \
                       "i"(i >> 1)),                                                                                   \
               y = p_of(a, i));                                                                                        \
        return y;                                                                                                      \
    }
#define TW_VPUT(name, f3, bits)                                                                                        \
    TW_X int32_t name(int32_t y, int32_t a, int i)                                                                     \
    {                                                                                                                  \
        TW_SAY(__asm__(".insn r 0x57, " #f3 ", 0x2c<<1|%2, %0, %1, x%3" : "+r"(y) : "r"(a), "i"(i & 1), "i"(i >> 1)),  \
               y = (int32_t)((TW_U(y) & ~(((1u << bits) - 1) << bits * i)) |                                           \
                             (TW_U(a) & ((1u << bits) - 1)) << bits * i));                                             \
        return y;                                                                                                      \
    }
TW_VLANE(tw_vextract_b, 0x1e, 7, TW_I8)
TW_VLANE(tw_vextract_h, 0x1e, 6, TW_I16)
TW_VLANE(tw_vextractu_b, 0x24, 7, TW_U8)
TW_VLANE(tw_vextractu_h, 0x24, 6, TW_U16)
TW_VPUT(tw_vinsert_b, 7, 8)
TW_VPUT(tw_vinsert_h, 6, 16)

/* {high.h0, low.h0}; y with {high.b0, low.b0} as its upper or its lower half. */
TW_X2(tw_vpack_h, 0x57, 0, 0x68, TW_U(a) << 16 | (TW_U(b) & 65535u))
TW_X3(tw_vpackhi_b, 0x57, 1, 0x6c, (TW_U(y) & 65535u) | (TW_U(a) & 255u) << 24 | (TW_U(b) & 255u) << 16)
TW_X3(tw_vpacklo_b, 0x57, 1, 0x70, (TW_U(y) & ~65535u) | (TW_U(a) & 255u) << 8 | (TW_U(b) & 255u))

/* Four numbers as bytes of a word, the first one lowest. */
TW_X int32_t tw_bytes_of(int32_t b0, int32_t b1, int32_t b2, int32_t b3)
{
    return tw_vpackhi_b(tw_vpacklo_b(b0, b1, b0), b3, b2);
}

/* Lane i is the lane that b's lane i names: 0 .. 3 of y, 4 .. 7 of a (halves: 0, 1 of y, 2, 3 of a). */
TW_X int32_t tw_vshuffle2_b(int32_t y, int32_t a, int32_t b)
{
    TW_SAY(
        __asm__(".insn r 0x57, 1, 0x64, %0, %1, %2" : "+r"(y) : "r"(a), "r"(b)), uint32_t z = 0;
        for (int i = 0; i < 4; i++) z |= TW_U(TW_U8(TW_U8(b, i) & 4 ? a : y, TW_U8(b, i) & 3)) << 8 * i;
        y = (int32_t)z);
    return y;
}
TW_X int32_t tw_vshuffle2_h(int32_t y, int32_t a, int32_t b)
{
    TW_SAY(
        __asm__(".insn r 0x57, 0, 0x64, %0, %1, %2" : "+r"(y) : "r"(a), "r"(b)), uint32_t z = 0;
        for (int i = 0; i < 2; i++) z |= TW_U(TW_U16(TW_U16(b, i) & 2 ? a : y, TW_U16(b, i) & 1)) << 16 * i;
        y = (int32_t)z);
    return y;
}

/* The number at *at, which then moves on by `step` bytes (a constant, -2048 .. 2047); and the other way round. */
#define TW_TAKE(name, f3, type)                                                                                        \
    TW_X int32_t name(const type **at, int step)                                                                       \
    {                                                                                                                  \
        int32_t y;                                                                                                     \
        TW_SAY(__asm__ volatile(".insn i 0x0b, " #f3 ", %0, %1, %2" : "=r"(y), "+r"(*at) : "i"(step) : "memory"),      \
               y = (int32_t)**at;                                                                                      \
               *at = (const type *)(const void *)((const char *)*at + step));                                          \
        return y;                                                                                                      \
    }
#define TW_PUT(name, f3, type)                                                                                         \
    TW_X void name(type **at, int32_t value, int step)                                                                 \
    {                                                                                                                  \
        TW_SAY(__asm__ volatile(".insn s 0x2b, " #f3 ", %1, %2(%0)" : "+r"(*at) : "r"(value), "i"(step) : "memory"),   \
               **at = (type)value;                                                                                     \
               *at = (type *)(void *)((char *)*at + step));                                                            \
    }
TW_TAKE(tw_take_i8, 0, int8_t)
TW_TAKE(tw_take_i16, 1, int16_t)
TW_TAKE(tw_take_i32, 2, int32_t)
TW_TAKE(tw_take_u8, 4, uint8_t)
TW_TAKE(tw_take_u16, 5, uint16_t)
TW_PUT(tw_put_i8, 0, int8_t)
TW_PUT(tw_put_i16, 1, int16_t)
TW_PUT(tw_put_i32, 2, int32_t)

/* Text for blocks of assembly; registers, numbers and steps are text too. A block starts with TW_ASM_BEGIN and ends
 * with TW_ASM_END: instructions of four bytes, aligned, as hardware loops need them. */
#define TW_ASM_BEGIN ".p2align 2\n.option push\n.option norvc\n.option norelax\n"
#define TW_ASM_END ".option pop\n"
/* The next `size` instructions (three at least, no branch, a constant expression), `count` (a register) times; loop "0"
 * is the inner one of two, and an outer one goes on for two instructions more. */
#define TW_LOOP(loop, count, size) ".insn i 0x7b, 4, x" loop ", " count ", 2*(" size ")\n"
#define TW_LW(rd, at, step) ".insn i 0x0b, 2, " rd ", " at ", " step "\n" /* rd = *at, at += step */
#define TW_LB(rd, at, step) ".insn i 0x0b, 0, " rd ", " at ", " step "\n"
#define TW_LH(rd, at, step) ".insn i 0x0b, 1, " rd ", " at ", " step "\n"
#define TW_LBU(rd, at, step) ".insn i 0x0b, 4, " rd ", " at ", " step "\n"
#define TW_LW_BY(rd, at, step) ".insn r 0x0b, 7, 0x10, " rd ", " at ", " step "\n" /* `step` is a register */
#define TW_LBU_BY(rd, at, step) ".insn r 0x0b, 7, 0x20, " rd ", " at ", " step "\n"
#define TW_SW(value, at, step) ".insn s 0x2b, 2, " value ", " step "(" at ")\n"
#define TW_SW_BY(value, at, step) ".insn r 0x2b, 6, 0, " step ", " at ", " value "\n"
#define TW_SB_BY(value, at, step) ".insn r 0x2b, 4, 0, " step ", " at ", " value "\n"
#define TW_SH(value, at, step) ".insn s 0x2b, 1, " value ", " step "(" at ")\n"
#define TW_SB(value, at, step) ".insn s 0x2b, 0, " value ", " step "(" at ")\n"
#define TW_SB_BY(value, at, step) ".insn r 0x2b, 4, 0, " step ", " at ", " value "\n"
#define TW_MAC(rd, a, b) ".insn r 0x33, 0, 0x21, " rd ", " a ", " b "\n"
/* rd *= less + 1: `mul` takes a cycle more. */
#define TW_TIMES(rd, less) TW_MAC(rd, rd, less)
#define TW_ADD_SRA(rd, a, n) ".insn r 0x5b, 2, 0x20, " rd ", " a ", " n "\n" /* rd = (rd + a) >> n */
#define TW_CLIPR(rd, a, high) ".insn r 0x33, 5, 0x0a, " rd ", " a ", " high "\n"
#define TW_CLIPUR(rd, a, high) ".insn r 0x33, 6, 0x0a, " rd ", " a ", " high "\n"
#define TW_MIN(rd, a, b) ".insn r 0x33, 4, 0x02, " rd ", " a ", " b "\n"
#define TW_MAX(rd, a, b) ".insn r 0x33, 6, 0x02, " rd ", " a ", " b "\n"
#define TW_SHUFFLE2_B(rd, a, b) ".insn r 0x57, 1, 0x64, " rd ", " a ", " b "\n"
#define TW_SHUFFLE2_H(rd, a, b) ".insn r 0x57, 0, 0x64, " rd ", " a ", " b "\n"
/* Four words as the rows of a matrix of bytes, turned: columns 0 to 3 are in d, a, c and t. 10 instructions; the names
 * are those of operands, of which even, odd and upper have the constants. */
#define TW_TURN_FOUR                                                                                                   \
    "mv %[t], %[a]\n" TW_SHUFFLE2_B("%[a]", "%[b]", "%[even]") TW_SHUFFLE2_B("%[t]", "%[b]", "%[odd]")                 \
    "mv %[b], %[c]\n" TW_SHUFFLE2_B("%[c]", "%[d]", "%[even]") TW_SHUFFLE2_B("%[b]", "%[d]", "%[odd]")                 \
    ".insn r 0x57, 0, 0x68, %[d], %[c], %[a]\n" TW_SHUFFLE2_H("%[a]", "%[c]", "%[upper]") /* pv.pack.h */              \
    ".insn r 0x57, 0, 0x68, %[c], %[b], %[t]\n" TW_SHUFFLE2_H("%[t]", "%[b]", "%[upper]")
#define TW_EVEN_PAIRS 0x05010400
#define TW_ODD_PAIRS 0x07030602
#define TW_SRA_SC_H(rd, a, b) ".insn r 0x57, 4, 0x24, " rd ", " a ", " b "\n"
#define TW_MAX_SC_H(rd, a, b) ".insn r 0x57, 4, 0x18, " rd ", " a ", " b "\n"
#define TW_MIN_SC_H(rd, a, b) ".insn r 0x57, 4, 0x10, " rd ", " a ", " b "\n"
#define TW_DOTSP "0x26<<1" /* codes of dot products for TW_DOT; signs of rs1 and rs2 */
#define TW_DOTUSP "0x22<<1"
#define TW_SDOTSP "0x2e<<1"
#define TW_SDOTUSP "0x2a<<1"
#define TW_DOT(code, rd, a, b) ".insn r 0x57, 1, " code ", " rd ", " a ", " b "\n"

/* Requantisation in halves. a = {b.h1, a.h1}; `upper` has TW_UPPER_HALVES. Then the bytes of four halves in a and b,
 * shifted and clipped, in a; `even` has TW_EVEN_BYTES. */
#define TW_UPPER_HALVES 0x00030001
#define TW_EVEN_BYTES 0x06040200
#define TW_UPPER(a, b, upper) TW_SHUFFLE2_H(a, b, upper)
#define TW_HALVES2(a, b, shift, low, high, even)                                                                       \
    TW_SRA_SC_H(a, a, shift) TW_SRA_SC_H(b, b, shift) TW_MAX_SC_H(a, a, low) TW_MAX_SC_H(b, b, low)                    \
    TW_MIN_SC_H(a, a, high) TW_MIN_SC_H(b, b, high) TW_SHUFFLE2_B(a, b, even)

#endif
