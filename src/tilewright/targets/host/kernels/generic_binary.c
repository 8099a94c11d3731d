/* Functions of two elements with broadcasting. y may be a where a has the shape of y.
 *
 * Every function is one flat loop over two contiguous operands that cannot overlap the result, so that it vectorises;
 * what is not contiguous, or overlaps, is brought together chunk by chunk.
 */
#include "tw_kernels.h"
#include "tw_functions.h"
#include "tw_generic.h"

/* Numbered as in targets/host/generic_elementwise.py. */
enum { ADD, SUB, MUL, DIV, MOD, FMOD, MIN, MAX, PRELU, BITAND, BITOR, BITXOR, SHL, SHR, POW };
enum { EQ, LT, LE };

#define CASE(NAME, TYPE, RESULT, EXPRESSION)                                                                           \
    case NAME:                                                                                                         \
        for (int i = 0; i < n; i++) {                                                                                  \
            TYPE p = a[i], q = b[i];                                                                                   \
            y[i] = (RESULT)(EXPRESSION);                                                                               \
        }                                                                                                              \
        break;

/* The kernel around `apply(a, b, y, n, function)`; rows: of a and b. */
#define KERNEL(NAME, TYPE, RESULT, APPLY)                                                                              \
    void NAME(const TYPE *a, const TYPE *restrict b, RESULT *y, int function, const int32_t *rows)                     \
    {                                                                                                                  \
        TYPE left[TW_CHUNK], right[TW_CHUNK];                                                                          \
        int apart = (const void *)y != (const void *)a;                                                                \
        struct tw_walk w;                                                                                              \
        TW_ROWS (w, rows) {                                                                                            \
            int sa = w.step[0], sb = w.step[1], flat = apart && sa == 1 && sb == 1;                                    \
            for (int i = 0, count; i < w.n; i += count, y += count) {                                                  \
                const TYPE *p = a + w.at[0] + i * sa, *q = b + w.at[1] + i * sb;                                       \
                count = flat || w.n - i < TW_CHUNK ? w.n - i : TW_CHUNK;                                               \
                if (!flat) {                                                                                           \
                    bring_##TYPE(p, sa, left, count, i);                                                               \
                    bring_##TYPE(q, sb, right, count, i);                                                              \
                }                                                                                                      \
                APPLY(flat ? p : left, flat ? q : right, y, count, function);                                          \
            }                                                                                                          \
        }                                                                                                              \
    }

/* A chunk, `step` elements apart; a single element stays from the chunk before. */
#define BRING(TYPE)                                                                                                    \
    static void bring_##TYPE(const TYPE *restrict from, int step, TYPE *restrict to, int n, int done)                  \
    {                                                                                                                  \
        if (step == 1)                                                                                                 \
            memcpy(to, from, (size_t)n * sizeof(TYPE));                                                                \
        else if (step == 0 && done == 0)                                                                               \
            for (int i = 0; i < n; i++)                                                                                \
                to[i] = *from;                                                                                         \
        else if (step != 0)                                                                                            \
            for (ptrdiff_t i = 0; i < n; i++)                                                                          \
                to[i] = from[i * step];                                                                                \
    }

#define FLOAT(T, TYPE)                                                                                                 \
    static void arithmetic_##T(const TYPE *restrict a, const TYPE *restrict b, TYPE *restrict y, int n, int function)  \
    {                                                                                                                  \
        switch (function) {                                                                                            \
            CASE(ADD, TYPE, TYPE, p + q)                                                                               \
            CASE(SUB, TYPE, TYPE, p - q)                                                                               \
            CASE(MUL, TYPE, TYPE, p * q)                                                                               \
            CASE(DIV, TYPE, TYPE, p / q)                                                                               \
            CASE(MOD, TYPE, TYPE, tw_mod_f64(p, q))                                                                    \
            CASE(FMOD, TYPE, TYPE, tw_fmod_f64(p, q))                                                                  \
            CASE(MIN, TYPE, TYPE, p < q || p != p ? p : q)                                                             \
            CASE(MAX, TYPE, TYPE, p > q || p != p ? p : q)                                                             \
            CASE(PRELU, TYPE, TYPE, p < 0 ? p * q : p)                                                                 \
            CASE(POW, TYPE, TYPE, tw_pow_f64(p, q))                                                                    \
        }                                                                                                              \
    }                                                                                                                  \
    KERNEL(tw_binary_##T, TYPE, TYPE, arithmetic_##T)

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

#define COMPARE(T, TYPE)                                                                                               \
    static void compare_##T(const TYPE *restrict a, const TYPE *restrict b, uint8_t *restrict y, int n, int function)  \
    {                                                                                                                  \
        switch (function) {                                                                                            \
            CASE(EQ, TYPE, uint8_t, p == q)                                                                            \
            CASE(LT, TYPE, uint8_t, p < q)                                                                             \
            CASE(LE, TYPE, uint8_t, p <= q)                                                                            \
        }                                                                                                              \
    }                                                                                                                  \
    KERNEL(tw_compare_##T, TYPE, uint8_t, compare_##T)

#define ALL_OF(T, TYPE, WIDE, DIVISION)                                                                                \
    BRING(TYPE) DIVISION(T, TYPE, WIDE) INTEGER(T, TYPE, WIDE) COMPARE(T, TYPE)

BRING(float)
BRING(double)
FLOAT(f32, float)
FLOAT(f64, double)
COMPARE(f32, float)
COMPARE(f64, double)
ALL_OF(i8, int8_t, uint32_t, SIGNED_DIVISION)
ALL_OF(i16, int16_t, uint32_t, SIGNED_DIVISION)
ALL_OF(i32, int32_t, uint32_t, SIGNED_DIVISION)
ALL_OF(i64, int64_t, uint64_t, SIGNED_DIVISION)
ALL_OF(u8, uint8_t, uint32_t, UNSIGNED_DIVISION)
ALL_OF(u16, uint16_t, uint32_t, UNSIGNED_DIVISION)
ALL_OF(u32, uint32_t, uint32_t, UNSIGNED_DIVISION)
ALL_OF(u64, uint64_t, uint64_t, UNSIGNED_DIVISION)
