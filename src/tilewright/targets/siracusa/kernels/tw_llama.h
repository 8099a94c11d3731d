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

#ifdef __riscv
/* tw_swiglu of `fours` times four elements, at least once. A product with `two` doubles a byte: its place in the table. */
TW_X void tw_swiglu_fours(const int8_t *a, const int8_t *b, const int16_t *table, int8_t *y, int shift, int32_t half,
                          int fours)
{
    int32_t p0, p1, p2, p3, q0, q1, q2, q3, two0 = 2, two1 = 2 << 8, two2 = 2 << 16, two3 = 2 << 24;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "29") TW_LW("%[p3]", "%[a]", "4") TW_LW("%[q3]", "%[b]", "4")
        TW_DOT(TW_DOTSP, "%[p0]", "%[p3]", "%[two0]") TW_DOT(TW_DOTSP, "%[p1]", "%[p3]", "%[two1]")
        TW_DOT(TW_DOTSP, "%[p2]", "%[p3]", "%[two2]") TW_DOT(TW_DOTSP, "%[p3]", "%[p3]", "%[two3]")
        TW_LH_AT("%[p0]", "%[table]", "%[p0]") TW_LH_AT("%[p1]", "%[table]", "%[p1]")
        TW_LH_AT("%[p2]", "%[table]", "%[p2]") TW_LH_AT("%[p3]", "%[table]", "%[p3]")
        TW_BYTE("%[q0]", "%[q3]", "0") TW_BYTE("%[q1]", "%[q3]", "8")
        TW_BYTE("%[q2]", "%[q3]", "16") TW_BYTE("%[q3]", "%[q3]", "24")
        "mul %[p0], %[p0], %[q0]\n" "mul %[p1], %[p1], %[q1]\n" "mul %[p2], %[p2], %[q2]\n"
        "mul %[p3], %[p3], %[q3]\n" TW_ADDN("%[p0]", "%[half]", "%[shift]") TW_ADDN("%[p1]", "%[half]", "%[shift]")
        TW_ADDN("%[p2]", "%[half]", "%[shift]") TW_ADDN("%[p3]", "%[half]", "%[shift]")
        TW_CLIP("%[p0]", "%[p0]", "8") TW_CLIP("%[p1]", "%[p1]", "8") TW_CLIP("%[p2]", "%[p2]", "8")
        TW_CLIP("%[p3]", "%[p3]", "8") TW_PACKLO("%[q0]", "%[p1]", "%[p0]") TW_PACKHI("%[q0]", "%[p3]", "%[p2]")
        TW_SW("%[q0]", "%[y]", "4") TW_ASM_END
        : [p0] "=&r"(p0), [p1] "=&r"(p1), [p2] "=&r"(p2), [p3] "=&r"(p3), [q0] "=&r"(q0), [q1] "=&r"(q1),
          [q2] "=&r"(q2), [q3] "=&r"(q3), [a] "+&r"(a), [b] "+&r"(b), [y] "+&r"(y)
        : [fours] "r"(fours), [table] "r"(table), [half] "r"(half), [shift] "r"(shift), [two0] "r"(two0),
          [two1] "r"(two1), [two2] "r"(two2), [two3] "r"(two3)
        : "memory");
    /* clang-format on */
}
#endif

/* y = clip((table[a + 128] * b + half) >> shift); y may be a. */
TW_X void tw_swiglu(const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int shift,
                       int first, int last)
{
    int32_t half = tw_half(shift);
    int i = first;
    table += 128;
#ifdef __riscv
    if (last - i >= 4) {
        int fours = (last - i) >> 2;
        tw_swiglu_fours(a + i, b + i, table, y + i, shift, half, fours);
        i += 4 * fours;
    }
#endif
    for (; i < last; i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(half, table[a[i]], b[i]) >> shift, 8);
}

#endif
