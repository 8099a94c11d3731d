/* Arithmetic, logic and comparison of integers; bool counts as u8. */
#include "tw_kernels.h"
#include "tw_binary.h"

/* Quotients truncate to zero, remainders have the sign of the divisor (MOD) or the dividend (FMOD); by zero gives 0. */
#define SIGNED_DIVISION(T, TYPE, WIDE)                                                                                 \
    TW_GENERIC_INLINE TYPE div_##T(TYPE p, TYPE q)                                                                     \
    {                                                                                                                  \
        return q == 0 ? 0 : q == -1 ? (TYPE)(0 - (WIDE)p) : (TYPE)(p / q);                                             \
    }                                                                                                                  \
    TW_GENERIC_INLINE TYPE fmod_##T(TYPE p, TYPE q)                                                                    \
    {                                                                                                                  \
        return q == 0 || q == -1 ? 0 : (TYPE)(p % q);                                                                  \
    }                                                                                                                  \
    TW_GENERIC_INLINE TYPE mod_##T(TYPE p, TYPE q)                                                                     \
    {                                                                                                                  \
        TYPE r = fmod_##T(p, q);                                                                                       \
        return r != 0 && (r < 0) != (q < 0) ? (TYPE)(r + q) : r;                                                       \
    }                                                                                                                  \
    TW_GENERIC_INLINE TYPE shr_##T(TYPE p, TYPE q)                                                                     \
    {                                                                                                                  \
        int last = (int)(8 * sizeof p) - 1, s = (uint64_t)q > (uint64_t)last ? last : (int)q;                          \
        return (TYPE)(p < 0 ? ~(~p >> s) : p >> s);                                                                    \
    }

#define UNSIGNED_DIVISION(T, TYPE, WIDE)                                                                               \
    TW_GENERIC_INLINE TYPE div_##T(TYPE p, TYPE q)                                                                     \
    {                                                                                                                  \
        return q == 0 ? 0 : (TYPE)(p / q);                                                                             \
    }                                                                                                                  \
    TW_GENERIC_INLINE TYPE fmod_##T(TYPE p, TYPE q)                                                                    \
    {                                                                                                                  \
        return q == 0 ? 0 : (TYPE)(p % q);                                                                             \
    }                                                                                                                  \
    TW_GENERIC_INLINE TYPE mod_##T(TYPE p, TYPE q)                                                                     \
    {                                                                                                                  \
        return fmod_##T(p, q);                                                                                         \
    }                                                                                                                  \
    TW_GENERIC_INLINE TYPE shr_##T(TYPE p, TYPE q)                                                                     \
    {                                                                                                                  \
        return (uint64_t)q >= 8 * sizeof p ? 0 : (TYPE)(p >> q);                                                       \
    }

/* WIDE is an unsigned type of at least 32 bits: sums and products wrap. */
#define INTEGER(T, TYPE, WIDE)                                                                                         \
    static void arithmetic_##T(const TYPE *restrict a, const TYPE *restrict b, TYPE *restrict y, int n, int function)  \
    {                                                                                                                  \
        switch (function) {                                                                                            \
            CASE(ADD, TYPE, TYPE, (WIDE)p + (WIDE)q)                                                                   \
            CASE(SUB, TYPE, TYPE, (WIDE)p - (WIDE)q)                                                                   \
            CASE(MUL, TYPE, TYPE, (WIDE)p * (WIDE)q)                                                                   \
            CASE(DIV, TYPE, TYPE, div_##T(p, q))                                                                       \
            CASE(MOD, TYPE, TYPE, mod_##T(p, q))                                                                       \
            CASE(FMOD, TYPE, TYPE, fmod_##T(p, q))                                                                     \
            CASE(MIN, TYPE, TYPE, p < q ? p : q)                                                                       \
            CASE(MAX, TYPE, TYPE, p > q ? p : q)                                                                       \
            CASE(PRELU, TYPE, TYPE, p < (TYPE)1 && p != 0 ? (TYPE)((WIDE)p * (WIDE)q) : p)                             \
            CASE(BITAND, TYPE, TYPE, p & q)                                                                            \
            CASE(BITOR, TYPE, TYPE, p | q)                                                                             \
            CASE(BITXOR, TYPE, TYPE, p ^ q)                                                                            \
            CASE(SHL, TYPE, TYPE, (uint64_t)q >= 8 * sizeof p ? 0 : (WIDE)p << (q & 63))                               \
            CASE(SHR, TYPE, TYPE, shr_##T(p, q))                                                                       \
        }                                                                                                              \
    }                                                                                                                  \
    KERNEL(tw_binary_##T, TYPE, TYPE, arithmetic_##T)

#define ALL_OF(T, TYPE, WIDE, DIVISION)                                                                                \
    BRING(TYPE) DIVISION(T, TYPE, WIDE) INTEGER(T, TYPE, WIDE) COMPARE(T, TYPE)

ALL_OF(i8, int8_t, uint32_t, SIGNED_DIVISION)
ALL_OF(i16, int16_t, uint32_t, SIGNED_DIVISION)
ALL_OF(i32, int32_t, uint32_t, SIGNED_DIVISION)
ALL_OF(i64, int64_t, uint64_t, SIGNED_DIVISION)
ALL_OF(u8, uint8_t, uint32_t, UNSIGNED_DIVISION)
ALL_OF(u16, uint16_t, uint32_t, UNSIGNED_DIVISION)
ALL_OF(u32, uint32_t, uint32_t, UNSIGNED_DIVISION)
ALL_OF(u64, uint64_t, uint64_t, UNSIGNED_DIVISION)
