/* What the kernels between the products share: clamps, wide products, words at any address. */
#ifndef TW_FLAT_H
#define TW_FLAT_H

#include "tw_xpulp.h"

#define TW_FLAT static inline __attribute__((always_inline, unused))
#define TW_LH(rd, at, step) ".insn i 0x0b, 1, " rd ", " at ", " step "\n"

TW_FLAT int32_t tw_limited(int32_t v, int32_t low, int32_t high)
{
    return tw_pmin(tw_pmax(v, low), high);
}

/* v / 2^s rounded down, without a clamp to 32 bits before the one that follows. */
TW_FLAT int32_t tw_wide_limited(int64_t v, int shift, int32_t low, int32_t high)
{
    if (shift >= 32)
        return tw_limited((int32_t)(v >> 32) >> (shift - 32), low, high);
    int64_t q = v >> shift, above = q > low ? q : low;
    return (int32_t)(above < high ? above : high);
}

/* Four bytes from any address; the core does what is not aligned in two accesses. */
struct tw_any_word {
    int32_t v;
} __attribute__((packed, may_alias));

TW_FLAT int32_t tw_word(const void *p)
{
#ifdef __riscv
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

#endif
