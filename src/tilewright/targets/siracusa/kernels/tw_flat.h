/* What the kernels between the products share: loops that are unrolled by four, so that no load is used by the next
 * instruction, words at any address, clamps and wide products. */
#ifndef TW_FLAT_H
#define TW_FLAT_H

#include "tw_xpulp.h"

#define TW_FLAT static inline __attribute__((always_inline, unused))

TW_FLAT int32_t tw_limited(int32_t v, int32_t low, int32_t high)
{
    return tw_pmin(tw_pmax(v, low), high);
}

/* Four bytes from any address; the core does what is not aligned in two accesses. */
struct tw_any_word {
    int32_t v;
} __attribute__((packed, may_alias));

TW_FLAT int32_t tw_word(const void *p)
{
#if defined(__riscv)
    int32_t v;
    __asm__("lw %0, %1" : "=r"(v) : "m"(*(const struct tw_any_word *)p));
    return v;
#else
    return ((const struct tw_any_word *)p)->v;
#endif
}

/* The upper half of an unsigned product. */
TW_FLAT uint32_t tw_upper(uint32_t a, uint32_t b)
{
    return (uint32_t)((uint64_t)a * b >> 32);
}

/* n times, four at a time: LOAD(k, i) into variables number k, then MAKE(k), then STORE(k, i). */
#define TW_FOURS(n, DECLARE, LOAD, MAKE, STORE)                                                                        \
    do {                                                                                                               \
        int i = 0;                                                                                                     \
        for (; i + 4 <= (n); i += 4) {                                                                                 \
            DECLARE(0) DECLARE(1) DECLARE(2) DECLARE(3)                                                                \
            LOAD(0, i) LOAD(1, i + 1) LOAD(2, i + 2) LOAD(3, i + 3)                                                    \
            MAKE(0) MAKE(1) MAKE(2) MAKE(3)                                                                            \
            STORE(0, i) STORE(1, i + 1) STORE(2, i + 2) STORE(3, i + 3)                                                \
        }                                                                                                              \
        for (; i < (n); i++) {                                                                                         \
            DECLARE(0) LOAD(0, i) MAKE(0) STORE(0, i)                                                                  \
        }                                                                                                              \
    } while (0)

/* v / 2^s rounded down, without a clamp to 32 bits before the one that follows. */
TW_FLAT int32_t tw_wide_limited(int64_t v, int shift, int32_t low, int32_t high)
{
    if (shift >= 32)
        return tw_limited((int32_t)(v >> 32) >> (shift - 32), low, high);
    int64_t q = v >> shift, above = q > low ? q : low;
    return (int32_t)(above < high ? above : high);
}

#endif
