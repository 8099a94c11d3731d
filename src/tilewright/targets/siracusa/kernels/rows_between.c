/* Between the products of QuantLib's prompts: heads that turn, and sums and products of bytes without all tables. Loops
 * that a core's own instruction cache holds; requantisations fit 32 bits, rows of the table of kernels see to that. */
#include "tw_kernels.h"
#include "tw_words.h"

#ifdef __riscv
#define MULTIPLIED(s) "mul " s ", " s ", %[mul]\n"
#define SHIFTED(s) TW_ADDN(s, "%[add]", "%[shift]")
#define CLIPPED(s) TW_CLIP(s, s, "8")
#define FOUR(f) f("%[p]") f("%[q]") f("%[u]") f("%[v]")
/* Four sums to bytes of a word: 19 instructions. */
#define FINISHED                                                                                                       \
    FOUR(MULTIPLIED) FOUR(SHIFTED) FOUR(CLIPPED) TW_PACKLO("%[p]", "%[q]", "%[p]") TW_PACKHI("%[p]", "%[v]", "%[u]")   \
    TW_SW("%[p]", "%[y]", "4")
#else
static void finished(int8_t *y, const int32_t *sums, int32_t mul, int32_t add, int shift)
{
    for (int i = 0; i < 4; i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(add, sums[i], mul) >> shift, 8);
}
#endif

/* Columns of a matrix of four words as words. */
TW_X void transposed(int32_t *c, const int8_t *r)
{
    int32_t r0 = tw_word_at(r), r1 = tw_word_at(r + 4), r2 = tw_word_at(r + 8), r3 = tw_word_at(r + 12);
    int32_t a = tw_vshuffle2_b(r0, r1, 0x05010400), b = tw_vshuffle2_b(r2, r3, 0x05010400);
    c[0] = tw_vpack_h(b, a), c[1] = tw_vshuffle2_h(a, b, 0x00030001);
    a = tw_vshuffle2_b(r0, r1, 0x07030602), b = tw_vshuffle2_b(r2, r3, 0x07030602);
    c[2] = tw_vpack_h(b, a), c[3] = tw_vshuffle2_h(a, b, 0x00030001);
}

/* y[t, h] = clip((x[t, h] . r[t] * mul + add) >> shift): heads first .. last, flat. x, y: [tokens][heads][4], r:
 * matrices [4][4], `step` elements from one row's to the next. */
void tw_turn_rows(const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul,
                  const void *restrict add, int8_t *restrict y, int heads, int step, int shift, int first, int last)
{
    int row = first / heads, stop = (row + 1) * heads;
    int32_t c[4], m = *mul, half = *(const int32_t *)add;
    r += row * step, x += 4 * first, y += 4 * first;
    for (; first < last; first = stop, stop += heads, r += step) {
        int32_t n = (stop < last ? stop : last) - first;
        transposed(c, r);
#ifdef __riscv
        int32_t w, p, q, u, v;
        /* clang-format off */
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "20") TW_LW("%[w]", "%[x]", "4") TW_DOT(TW_DOTSP, "%[p]", "%[w]", "%[c0]")
            TW_DOT(TW_DOTSP, "%[q]", "%[w]", "%[c1]") TW_DOT(TW_DOTSP, "%[u]", "%[w]", "%[c2]")
            TW_DOT(TW_DOTSP, "%[v]", "%[w]", "%[c3]") FINISHED TW_ASM_END
            : [x] "+r"(x), [y] "+r"(y), [w] "=&r"(w), [p] "=&r"(p), [q] "=&r"(q), [u] "=&r"(u), [v] "=&r"(v)
            : [n] "r"(n), [c0] "r"(c[0]), [c1] "r"(c[1]), [c2] "r"(c[2]), [c3] "r"(c[3]), [mul] "r"(m), [add] "r"(half),
              [shift] "r"(shift)
            : "memory");
        /* clang-format on */
#else
        for (; n > 0; n--, x += 4, y += 4) {
            int32_t sums[4];
            for (int i = 0; i < 4; i++)
                sums[i] = tw_vdotsp_b(tw_word_at(x), c[i]);
            finished(y, sums, m, half, shift);
        }
#endif
    }
}

/* y = clip(((a + b) mul + add) >> shift): elements first .. last, whole words but at the end; what is behind it in the
 * last word is read, and written back. y may be a. */
void tw_add_bytes(const int8_t *a, const int8_t *b, const int32_t *restrict mul, const void *restrict add, int8_t *y,
                  int shift, int first, int last)
{
    int32_t m = *mul, half = *(const int32_t *)add, n = (last - first) >> 2;
    a += first, b += first, y += first;
    if (n > 0) {
#ifdef __riscv
        int32_t s, t, p, q, u, v;
        /* clang-format off */
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "25") TW_LW("%[s]", "%[a]", "4") TW_LW("%[t]", "%[b]", "4")
            TW_DOT(TW_DOTSP, "%[p]", "%[s]", "%[e0]") TW_DOT(TW_DOTSP, "%[q]", "%[s]", "%[e1]")
            TW_DOT(TW_DOTSP, "%[u]", "%[s]", "%[e2]") TW_DOT(TW_DOTSP, "%[v]", "%[s]", "%[e3]")
            TW_DOT(TW_SDOTSP, "%[p]", "%[t]", "%[e0]") TW_DOT(TW_SDOTSP, "%[q]", "%[t]", "%[e1]")
            TW_DOT(TW_SDOTSP, "%[u]", "%[t]", "%[e2]") TW_DOT(TW_SDOTSP, "%[v]", "%[t]", "%[e3]") FINISHED TW_ASM_END
            : [a] "+r"(a), [b] "+r"(b), [y] "+r"(y), [s] "=&r"(s), [t] "=&r"(t), [p] "=&r"(p), [q] "=&r"(q),
              [u] "=&r"(u), [v] "=&r"(v)
            : [n] "r"(n), [e0] "r"(1), [e1] "r"(1 << 8), [e2] "r"(1 << 16), [e3] "r"(1 << 24), [mul] "r"(m),
              [add] "r"(half), [shift] "r"(shift)
            : "memory");
        /* clang-format on */
#else
        for (; n > 0; n--, a += 4, b += 4, y += 4) {
            int32_t sums[] = {a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]};
            finished(y, sums, m, half, shift);
        }
#endif
    }
    for (int i = 0; i < ((last - first) & 3); i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(half, a[i] + b[i], m) >> shift, 8);
}

/* y = clip((table[a] b mul + 2^15) >> 16): elements first .. last. mul has at most 15 bits. y may be a. */
void tw_multiply_bytes(const void *bytes, const int8_t *b, const int8_t *restrict table, const int32_t *restrict mul,
                       int8_t *y, int first, int last)
{
    const uint8_t *a = (const uint8_t *)bytes + first;
    int32_t m = *mul, n = (last - first) >> 1;
    b += first, y += first;
#ifdef __riscv
    if (n > 0) {
        int32_t p, q, u, v;
        /* clang-format off */
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "14") TW_LBU("%[p]", "%[a]", "1") TW_LBU("%[q]", "%[a]", "1")
            TW_LB_AT("%[p]", "%[table]", "%[p]") TW_LB_AT("%[q]", "%[table]", "%[q]") TW_LB("%[u]", "%[b]", "1")
            TW_LB("%[v]", "%[b]", "1") ".insn r 0x5b, 0, 0x40, %[p], %[p], %[u]\n.insn r 0x5b, 0, 0x40, %[q], %[q], %[v]\n"
            ".insn r 0x5b, 4, 2<<5|16, %[p], %[p], %[m]\n.insn r 0x5b, 4, 2<<5|16, %[q], %[q], %[m]\n" /* p.mulsRN */
            TW_CLIP("%[p]", "%[p]", "8") TW_CLIP("%[q]", "%[q]", "8") TW_SB("%[p]", "%[y]", "1")
            TW_SB("%[q]", "%[y]", "1") TW_ASM_END
            : [a] "+r"(a), [b] "+r"(b), [y] "+r"(y), [p] "=&r"(p), [q] "=&r"(q), [u] "=&r"(u), [v] "=&r"(v)
            : [n] "r"(n), [table] "r"(table), [m] "r"(m)
            : "memory");
        /* clang-format on */
    }
    n = (last - first) & 1;
#else
    n = last - first;
#endif
    for (; n > 0; n--)
        *y++ = (int8_t)tw_pclip(tw_pmulsrn(table[*a++] * *b++, m, 16), 8);
}
