/* Sums to bytes, and residuals that rows of bytes join by a table; requantisations fit 32 bits. */
#ifndef TW_JOINED_H
#define TW_JOINED_H

#include "tw_words.h"

#ifdef __riscv
#define TW_MULTIPLIED(s) "mul " s ", " s ", %[mul]\n"
#define TW_SHIFTED(s) TW_ADDN(s, "%[add]", "%[shift]")
#define TW_CLIPPED(s) TW_CLIP(s, s, "8")
#define TW_FOUR(f) f("%[p]") f("%[q]") f("%[u]") f("%[v]")
/* Four sums to bytes of a word: 19 instructions. */
#define TW_FINISHED                                                                                                    \
    TW_FOUR(TW_MULTIPLIED) TW_FOUR(TW_SHIFTED) TW_FOUR(TW_CLIPPED) TW_PACKLO("%[p]", "%[q]", "%[p]")                   \
    TW_PACKHI("%[p]", "%[v]", "%[u]") TW_SW("%[p]", "%[y]", "4")
/* Lanes of a word without a sign, and bytes of the table. */
#define TW_LANE(p, code, half) ".insn r 0x57, 7, 0x24<<1|" code ", " p ", %[s], x" half "\n"
#define TW_LOOKED_UP(p) TW_LB_AT(p, "%[table]", p)
#else
TW_X void tw_finished(int8_t *y, const int32_t *sums, int32_t mul, int32_t add, int shift)
{
    for (int i = 0; i < 4; i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(add, sums[i], mul) >> shift, 8);
}
#endif

/* y = clip(((table[a] + b) mul + add) >> shift) of `count` rows of n elements, whole words; rows of a and y are `pitch`
 * apart, b has one behind the other. y may be a. */
TW_X void tw_joined(const uint8_t *a, const int8_t *b, const int8_t *table, int32_t mul, int32_t add, int32_t shift,
                    int8_t *y, int pitch, int count, int n)
{
#ifdef __riscv
    int32_t s, t, p, q, u, v;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[count]", "32") TW_LOOP("0", "%[n]", "29")
        TW_LW("%[s]", "%[a]", "4") TW_LW("%[t]", "%[b]", "4")
        TW_LANE("%[p]", "0", "0") TW_LANE("%[q]", "1", "0") TW_LANE("%[u]", "0", "1") TW_LANE("%[v]", "1", "1")
        TW_FOUR(TW_LOOKED_UP) TW_DOT(TW_SDOTSP, "%[p]", "%[t]", "%[e0]") TW_DOT(TW_SDOTSP, "%[q]", "%[t]", "%[e1]")
        TW_DOT(TW_SDOTSP, "%[u]", "%[t]", "%[e2]") TW_DOT(TW_SDOTSP, "%[v]", "%[t]", "%[e3]") TW_FINISHED
        "add %[a], %[a], %[rest]\nadd %[y], %[y], %[rest]\n" TW_ASM_END
        : [a] "+r"(a), [b] "+r"(b), [y] "+r"(y), [s] "=&r"(s), [t] "=&r"(t), [p] "=&r"(p), [q] "=&r"(q),
          [u] "=&r"(u), [v] "=&r"(v)
        : [count] "r"(count), [n] "r"(n >> 2), [rest] "r"(pitch - n), [e0] "r"(1), [e1] "r"(1 << 8),
          [e2] "r"(1 << 16), [e3] "r"(1 << 24), [mul] "r"(mul), [add] "r"(add), [shift] "r"(shift), [table] "r"(table)
        : "memory");
    /* clang-format on */
#else
    for (; count > 0; count--, a += pitch, y += pitch)
        for (int i = 0; i < n; i++)
            y[i] = (int8_t)tw_pclip(tw_pmac(add, table[a[i]] + *b++, mul) >> shift, 8);
#endif
}

#endif
