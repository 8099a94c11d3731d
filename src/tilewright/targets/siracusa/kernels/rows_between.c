/* Between the products of QuantLib's prompts: heads that turn, and sums and products of bytes without all tables. Loops
 * that a core's own instruction cache holds; requantisations fit 32 bits, rows of the table of kernels see to that. */
#include "tw_heads.h"
#include "tw_joined.h"
#include "tw_kernels.h"

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
            TW_DOT(TW_DOTSP, "%[v]", "%[w]", "%[c3]") TW_FINISHED TW_ASM_END
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
            tw_finished(y, sums, m, half, shift);
        }
#endif
    }
}

#ifdef __riscv
/* Lanes of a word with signs, and what becomes of four. */
#define SIGNED_LANE(p, code, half) ".insn r 0x57, 7, 0x1e<<1|" code ", " p ", %[t], x" half "\n"
#define MULTIPLIED_BY(p, u) ".insn r 0x5b, 0, 0x40, " p ", " p ", " u "\n"
#define ROUNDED(p) ".insn r 0x5b, 4, 2<<5|16, " p ", " p ", %[mul]\n" /* p.mulsRN */
#endif

/* y = clip(((table[a] + b) mul + add) >> shift): elements first .. last, whole words but at the end. y may be a. */
void tw_add_bytes(const struct tw_add_bytes *given, int first, int last)
{
    const uint8_t *a = (const uint8_t *)given->a + first;
    const int8_t *b = given->b + first, *table = given->table_a;
    int8_t *y = given->y + first;
    int32_t m = *given->mul, half = *(const int32_t *)given->add, shift = given->shift;
    int n = last - first, whole = n & ~3;
    if (n >= 4)
        tw_joined(a, b, table, m, half, shift, y, whole, 1, whole);
    for (n &= 3, a += whole, b += whole, y += whole; n > 0; n--)
        *y++ = (int8_t)tw_pclip(tw_pmac(half, table[*a++] + *b++, m) >> shift, 8);
}

/* y = clip((table[a] b mul + 2^15) >> 16): elements first .. last, whole words but at the end. mul has at most 15 bits.
 * y may be a. */
void tw_multiply_bytes(const void *bytes, const int8_t *b, const int8_t *restrict table, const int32_t *restrict mul,
                       int8_t *y, int first, int last)
{
    const uint8_t *a = (const uint8_t *)bytes + first;
    int32_t m = *mul, n = last - first;
    b += first, y += first;
#ifdef __riscv
    if (n >= 4) {
        int32_t s, t, p, q, u, v, b0, b1, b2, b3;
        /* clang-format off */
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "29") TW_LW("%[s]", "%[a]", "4") TW_LW("%[t]", "%[b]", "4")
            TW_LANE("%[p]", "0", "0") TW_LANE("%[q]", "1", "0") TW_LANE("%[u]", "0", "1") TW_LANE("%[v]", "1", "1")
            SIGNED_LANE("%[b0]", "0", "0") SIGNED_LANE("%[b1]", "1", "0") SIGNED_LANE("%[b2]", "0", "1")
            SIGNED_LANE("%[b3]", "1", "1") TW_FOUR(TW_LOOKED_UP)
            MULTIPLIED_BY("%[p]", "%[b0]") MULTIPLIED_BY("%[q]", "%[b1]") MULTIPLIED_BY("%[u]", "%[b2]")
            MULTIPLIED_BY("%[v]", "%[b3]") TW_FOUR(ROUNDED) TW_FOUR(TW_CLIPPED) TW_PACKLO("%[p]", "%[q]", "%[p]")
            TW_PACKHI("%[p]", "%[v]", "%[u]") TW_SW("%[p]", "%[y]", "4") TW_ASM_END
            : [a] "+r"(a), [b] "+r"(b), [y] "+r"(y), [s] "=&r"(s), [t] "=&r"(t), [p] "=&r"(p), [q] "=&r"(q),
              [u] "=&r"(u), [v] "=&r"(v), [b0] "=&r"(b0), [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3)
            : [n] "r"(n >> 2), [table] "r"(table), [mul] "r"(m)
            : "memory");
        /* clang-format on */
        n &= 3;
    }
#endif
    for (; n > 0; n--)
        *y++ = (int8_t)tw_pclip(tw_pmulsrn(table[*a++] * *b++, m, 16), 8);
}
