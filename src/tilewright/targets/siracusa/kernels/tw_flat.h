/* What the kernels between the products share: instructions of XpulpV2 for single numbers, loops that are unrolled by
 * four so that no load is used by the next instruction, and the requantisation of one number.
 *
 * Everywhere else than on the chip the instructions are plain C with the same results.
 */
#ifndef TW_FLAT_H
#define TW_FLAT_H

#include <stdint.h>

#define TW_FLAT static inline __attribute__((always_inline, unused))

#if defined(__riscv)
#define TW_INSTRUCTION(NAME, CODE)                                                                                     \
    TW_FLAT int32_t NAME(int32_t a, int32_t b)                                                                         \
    {                                                                                                                  \
        int32_t d;                                                                                                     \
        __asm__(".insn r " CODE ", %0, %1, %2" : "=r"(d) : "r"(a), "r"(b));                                            \
        return d;                                                                                                      \
    }
#define TW_ACCUMULATE(NAME, CODE)                                                                                      \
    TW_FLAT int32_t NAME(int32_t sum, int32_t a, int32_t b)                                                            \
    {                                                                                                                  \
        __asm__(".insn r " CODE ", %0, %1, %2" : "+r"(sum) : "r"(a), "r"(b));                                          \
        return sum;                                                                                                    \
    }
TW_INSTRUCTION(tw_lesser, "0x33, 4, 0x02")         /* p.min */
TW_INSTRUCTION(tw_greater, "0x33, 6, 0x02")        /* p.max */
TW_INSTRUCTION(tw_within, "0x33, 5, 0x0a")         /* p.clip: a within -b - 1 .. b, b >= 0 */
TW_INSTRUCTION(tw_greater_bytes, "0x57, 1, 0x18")  /* pv.max.b */
TW_INSTRUCTION(tw_greater_ubytes, "0x57, 1, 0x1c") /* pv.maxu.b */
TW_INSTRUCTION(tw_short_product, "0x5b, 0, 0x40")  /* p.muls: of the signed low halves */
TW_INSTRUCTION(tw_product_high, "0x5b, 0, 0x10")   /* p.mulu, shifted right by 16: of the unsigned low halves */
TW_ACCUMULATE(tw_plus_product, "0x33, 0, 0x21")    /* p.mac */
TW_ACCUMULATE(tw_dot_signed, "0x57, 1, 0x5c")      /* pv.sdotsp.b */

/* The place of the highest bit of a number that is not 0. */
TW_FLAT int tw_top_bit(uint32_t v)
{
    int d;
    __asm__(".insn r 0x33, 1, 0x08, %0, %1, x0" : "=r"(d) : "r"(v)); /* p.fl1 */
    return d;
}
#else
TW_FLAT int32_t tw_lesser(int32_t a, int32_t b)
{
    return a < b ? a : b;
}
TW_FLAT int32_t tw_greater(int32_t a, int32_t b)
{
    return a > b ? a : b;
}
TW_FLAT int32_t tw_within(int32_t a, int32_t b)
{
    return a < -b - 1 ? -b - 1 : a > b ? b : a;
}
#define TW_BYTES(NAME, TYPE)                                                                                           \
    TW_FLAT int32_t NAME(int32_t a, int32_t b)                                                                         \
    {                                                                                                                  \
        uint32_t d = 0;                                                                                                \
        for (int i = 0; i < 32; i += 8) {                                                                              \
            TYPE p = (TYPE)((uint32_t)a >> i), q = (TYPE)((uint32_t)b >> i);                                           \
            d |= (uint32_t)(uint8_t)(p > q ? p : q) << i;                                                              \
        }                                                                                                              \
        return (int32_t)d;                                                                                             \
    }
TW_BYTES(tw_greater_bytes, int8_t)
TW_BYTES(tw_greater_ubytes, uint8_t)
TW_FLAT int32_t tw_short_product(int32_t a, int32_t b)
{
    return (int16_t)a * (int16_t)b;
}
TW_FLAT int32_t tw_product_high(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)(uint16_t)a * (uint16_t)b >> 16);
}
TW_FLAT int32_t tw_plus_product(int32_t sum, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)sum + (uint32_t)a * (uint32_t)b);
}
TW_FLAT int32_t tw_dot_signed(int32_t sum, int32_t a, int32_t b)
{
    for (int i = 0; i < 32; i += 8)
        sum += (int8_t)((uint32_t)a >> i) * (int8_t)((uint32_t)b >> i);
    return sum;
}
TW_FLAT int tw_top_bit(uint32_t v)
{
    return 31 - __builtin_clz(v);
}
#endif

TW_FLAT int32_t tw_limited(int32_t v, int32_t low, int32_t high)
{
    return tw_lesser(tw_greater(v, low), high);
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
