/* Kernels of functions of two elements, with broadcasting. y may be a where a has the shape of y.
 *
 * Every function is one flat loop over two contiguous operands that cannot overlap the result, so that it vectorises;
 * what is not contiguous, or overlaps, is brought together chunk by chunk.
 */
#ifndef TW_BINARY_H
#define TW_BINARY_H

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

/* The kernel around `apply(a, b, y, n, function)`, over a range of the flat index; rows: of a and b. */
#define KERNEL(NAME, TYPE, RESULT, APPLY)                                                                              \
    void NAME(const TYPE *a, const TYPE *restrict b, RESULT *y, int function, const int32_t *rows, int first,          \
              int last)                                                                                                \
    {                                                                                                                  \
        TYPE left[TW_CHUNK], right[TW_CHUNK];                                                                          \
        int apart = (const void *)y != (const void *)a;                                                                \
        struct tw_walk w;                                                                                              \
        y += first;                                                                                                    \
        TW_PARTS (w, rows, first, last) {                                                                              \
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

#endif
