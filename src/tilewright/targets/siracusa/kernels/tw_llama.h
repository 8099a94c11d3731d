/* What products of quantised llamas are followed by: rotation, SwiGLU. */
#ifndef TW_LLAMA_H
#define TW_LLAMA_H

#include "tw_quantised.h"
#include "tw_words.h"

#define TW_APART static __attribute__((noinline, unused))

/* Turn the pairs (2i, 2i + 1) of every head of row t by the angles of position pos + t. x, y: [tokens][heads][hd],
 * width: heads * hd; table: [positions][hd], hd / 2 cosines and then hd / 2 sines, times 2^14. */
TW_APART void tw_turn(const int16_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int width, int hd,
                     int pos, int shift, int first, int last)
{
    int c = first, pairs = hd >> 1;
    int32_t half = tw_half(shift);
    if (c >= width) {
        int t = c / width;
        pos += t, c -= t * width;
    }
    const int16_t *row = table + pos * hd;
    for (int left = width - c; first < last;) {
        while (c >= hd)
            c -= hd;
        int n = hd - c < last - first ? hd - c : last - first;
        const int16_t *cosine = row + (c >> 1), *sine = cosine + pairs;
        for (int i = 0; i < n; i += 2, first += 2) {
            int32_t a = x[first], b = x[first + 1], u = *cosine++, v = *sine++;
            y[first] = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> shift, 8);
            y[first + 1] = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> shift, 8);
        }
        c += n, left -= n;
        if (left == 0)
            left = width, c = 0, row += hd;
    }
}

/* y = clip((table[a + 128] * b + half) >> shift); y may be a. */
TW_APART void tw_swiglu(const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int shift,
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
