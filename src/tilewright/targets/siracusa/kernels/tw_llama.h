/* What kernels of quantised llamas share. */
#ifndef TW_LLAMA_H
#define TW_LLAMA_H

#include "tw_quantised.h"
#include "tw_words.h"

/* In front of a loop: one copy of its body, the instruction cache is small. */
#ifdef __clang__
#define TW_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define TW_ROLLED
#endif

/* y = clip((table[a + 128] * b + half) >> shift); y may be a. */
TW_X void tw_swiglu(const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int shift,
                       int first, int last)
{
    int32_t half = tw_half(shift);
    int n = last - first;
    a += first, b += first, y += first, table += 128;
#ifdef __riscv
    int32_t p, q, sum;
    if (n <= 0)
        return;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LB("%[p]", "%[a]", "1") TW_LB("%[q]", "%[b]", "1")
        "slli %[p], %[p], 1\n" TW_LH_AT("%[p]", "%[table]", "%[p]") "mv %[sum], %[half]\n"
        TW_MAC("%[sum]", "%[p]", "%[q]") "sra %[sum], %[sum], %[shift]\n" TW_CLIP("%[sum]", "%[sum]", "8")
        TW_SB("%[sum]", "%[y]", "1") TW_ASM_END
        : [p] "=&r"(p), [q] "=&r"(q), [sum] "=&r"(sum), [a] "+&r"(a), [b] "+&r"(b), [y] "+&r"(y)
        : [n] "r"(n), [table] "r"(table), [half] "r"(half), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < n; i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(half, table[a[i]], b[i]) >> shift, 8);
#endif
}

#endif
