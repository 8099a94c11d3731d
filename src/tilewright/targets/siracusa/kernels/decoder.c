/* Between the products of QuantLib's decoders: heads that turn, sums and products by tables.
 *
 * Requantisations fit 32 bits: rows of the table of kernels see to that. The code is kept small, since all of a token's
 * has to stay in the instruction cache that the cores share.
 */
#include "tw_kernels.h"
#include "tw_words.h"

#define SMALL __attribute__((minsize))

/* Lane `i` of four words becomes lane 0 to 3 of word i. */
TW_X void transposed(int32_t *c, const int8_t *r)
{
    int32_t r0 = tw_word_at(r), r1 = tw_word_at(r + 4), r2 = tw_word_at(r + 8), r3 = tw_word_at(r + 12);
    int32_t a = tw_vshuffle2_b(r0, r1, 0x05010400), b = tw_vshuffle2_b(r2, r3, 0x05010400);
    c[0] = tw_vpack_h(b, a), c[1] = tw_vshuffle2_h(a, b, 0x00030001);
    a = tw_vshuffle2_b(r0, r1, 0x07030602), b = tw_vshuffle2_b(r2, r3, 0x07030602);
    c[2] = tw_vpack_h(b, a), c[3] = tw_vshuffle2_h(a, b, 0x00030001);
}

/* y[t, h] = table[clip((x[t, h] . r[t] * mul + add) >> shift)]: heads first .. last, flat. x, y: [tokens][heads][4],
 * r: matrices [4][4], `step` elements from one row's to the next. y is not x. */
void SMALL tw_turn_heads(const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul,
                         const void *restrict add, const int8_t *restrict table, int8_t *restrict y, int heads,
                         int step, int shift, int first, int last)
{
    int32_t c[4], m = *mul, half = *(const int32_t *)add;
    int h = first;
    for (; h >= heads; h -= heads)
        r += step;
    x += 4 * first, y += 4 * first;
    for (int left = 0; first < last; first++, x += 4, y += 4) {
        if (left-- == 0) {
            transposed(c, r);
            r += step, left = heads - h - 1, h = 0;
        }
        int32_t v = tw_word_at(x);
        int32_t a = tw_scaled(tw_vdotsp_b(v, c[0]), m, half, shift), b = tw_scaled(tw_vdotsp_b(v, c[1]), m, half, shift);
        int32_t d = tw_scaled(tw_vdotsp_b(v, c[2]), m, half, shift), e = tw_scaled(tw_vdotsp_b(v, c[3]), m, half, shift);
        if (table != 0)
            a = table[a & 255], b = table[b & 255], d = table[d & 255], e = table[e & 255];
        tw_set_word(y, tw_bytes_of(a, b, d, e));
    }
}

/* y = clip((f(table_a[a], table_b[b]) * mul + add) >> shift), f the sum or the product: elements first .. last. */
#define JOINED(f)                                                                                                      \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "10") TW_LBU("%[p]", "%[a]", "1") TW_LBU("%[q]", "%[b]", "1")   \
                         TW_LB_AT("%[p]", "%[ta]", "%[p]") TW_LB_AT("%[q]", "%[tb]", "%[q]") "mv %[v], %[add]\n" f     \
                             TW_MAC("%[v]", "%[p]", "%[mul]") "sra %[v], %[v], %[shift]\n" TW_CLIP("%[v]", "%[v]",     \
                                 "8") TW_SB("%[v]", "%[y]", "1") TW_ASM_END                                            \
                     : [a] "+r"(a), [b] "+r"(b), [y] "+r"(y), [p] "=&r"(p), [q] "=&r"(q), [v] "=&r"(v)                 \
                     : [n] "r"(last - first), [ta] "r"(table_a), [tb] "r"(table_b), [mul] "r"(*mul),                   \
                       [add] "r"(*(const int32_t *)add), [shift] "r"(shift)                                            \
                     : "memory")
void SMALL tw_join_tables(const void *bytes_a, const void *bytes_b, const int8_t *restrict table_a,
                          const int8_t *restrict table_b, const int32_t *restrict mul, const void *restrict add,
                          int8_t *y, int product, int shift, int first, int last)
{
    if (first >= last)
        return;
    const uint8_t *a = (const uint8_t *)bytes_a + first, *b = (const uint8_t *)bytes_b + first;
    y += first;
#ifdef __riscv
    int32_t p, q, v;
    if (product)
        JOINED(TW_MULS("%[p]", "%[p]", "%[q]"));
    else
        JOINED("add %[p], %[p], %[q]\n");
#else
    for (; first < last; first++, a++, b++) {
        int32_t p = table_a[*a], q = table_b[*b];
        *y++ = (int8_t)tw_scaled(product ? p * q : p + q, *mul, *(const int32_t *)add, shift);
    }
#endif
}
