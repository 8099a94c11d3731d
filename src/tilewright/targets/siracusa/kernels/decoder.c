/* Between the products of QuantLib's decoders: heads that turn, sums and products by tables.
 *
 * Requantisations fit 32 bits: rows of the table of kernels see to that. The code is kept small, since all of a token's
 * has to stay in the instruction cache that the cores share.
 */
#include "tw_kernels.h"
#include "tw_stream.h"

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
        int32_t a = tw_scaled(tw_vdotsp_b(v, c[0]), m, half, shift);
        int32_t b = tw_scaled(tw_vdotsp_b(v, c[1]), m, half, shift);
        int32_t d = tw_scaled(tw_vdotsp_b(v, c[2]), m, half, shift);
        int32_t e = tw_scaled(tw_vdotsp_b(v, c[3]), m, half, shift);
        if (table != 0)
            a = table[a & 255], b = table[b & 255], d = table[d & 255], e = table[e & 255];
        tw_set_word(y, tw_bytes_of(a, b, d, e));
    }
}

/* The bytes t, b, d and e: v times the columns in c0 .. c3, requantised. 20 instructions. */
#define TURNED_ONE(y, column, mul, add)                                                                                \
    TW_DOT(TW_DOTSP, "%[a]", "%[v]", column) "mv " y ", " add "\n" TW_MAC(y, "%[a]", mul)                              \
    "sra " y ", " y ", %[turn]\n" TW_CLIP(y, y, "8")
#define TURNED(mul, add)                                                                                               \
    TURNED_ONE("%[t]", "%[c0]", mul, add) TURNED_ONE("%[b]", "%[c1]", mul, add)                                        \
    TURNED_ONE("%[d]", "%[c2]", mul, add) TURNED_ONE("%[e]", "%[c3]", mul, add)
#define BYTES(y) TW_PACKLO(y, "%[b]", "%[t]") TW_PACKHI(y, "%[e]", "%[d]")

/* Heads of the caches of a token, of four channels: `group` queries each, turned, a key and a value, from where the
 * registers point to. */
/* clang-format off */
#define ENTERED(q, k, v)                                                                                               \
    TW_ASM_BEGIN TW_LOOP("1", "%[heads]", "65") TW_LOOP("0", "%[group]", "24")                                         \
    TW_LW("%[v]", q, "4") TURNED("%[mul_q]", "%[add_q]") BYTES("%[t]") TW_SW("%[t]", "%[y]", "4")                      \
    TW_LW("%[v]", k, "4") TURNED("%[mul_k]", "%[add_k]")                                                               \
    TW_LB_AT("%[t]", "%[table_k]", "%[t]") TW_LB_AT("%[b]", "%[table_k]", "%[b]")                                      \
    TW_LB_AT("%[d]", "%[table_k]", "%[d]") TW_LB_AT("%[e]", "%[table_k]", "%[e]")                                      \
    BYTES("%[t]") TW_SW("%[t]", "%[state_k]", "4")                                                                     \
    TW_LB("%[t]", v, "1") TW_LB("%[b]", v, "1") TW_LB("%[d]", v, "1") TW_LB("%[e]", v, "1")                            \
    TW_LB_AT("%[t]", "%[table_v]", "%[t]") TW_LB_AT("%[b]", "%[table_v]", "%[b]")                                      \
    TW_LB_AT("%[d]", "%[table_v]", "%[d]") TW_LB_AT("%[e]", "%[table_v]", "%[e]")                                      \
    TW_SB_BY("%[t]", "%[state_v]", "%[pitch]") TW_SB_BY("%[b]", "%[state_v]", "%[pitch]")                              \
    TW_SB_BY("%[d]", "%[state_v]", "%[pitch]") TW_SB_BY("%[e]", "%[state_v]", "%[pitch]") TW_ASM_END
/* clang-format on */
#define ENTERED_TO                                                                                                     \
    [y] "+r"(y), [state_k] "+r"(state_k), [state_v] "+r"(state_v), [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b),           \
        [d] "=&r"(d), [e] "=&r"(e), [t] "=&r"(t)
#define ENTERED_BY                                                                                                     \
    [heads] "r"(last - first), [group] "r"(group), [c0] "r"(c[0]), [c1] "r"(c[1]), [c2] "r"(c[2]), [c3] "r"(c[3]),     \
        [mul_q] "r"(numbers[0]), [add_q] "r"(numbers[1]), [mul_k] "r"(numbers[2]), [add_k] "r"(numbers[3]),            \
        [turn] "r"(turn), [table_k] "r"(table_k), [table_v] "r"(table_v), [pitch] "r"(pitch)

#ifndef __riscv
/* The same; `part`: bytes from one head's to the next beside what is read, of queries, keys and values. */
static void entered(int8_t *state_k, int8_t *state_v, const int8_t *q, const int8_t *k, const int8_t *v, int q_part,
                    int part, const int32_t *c, const int8_t *table_k, const int8_t *table_v, const int32_t *numbers,
                    int8_t *y, int group, int pitch, int turn, int heads)
{
    for (; heads > 0; heads--, q += q_part, k += part, v += part) {
        for (int m = 0; m < group; m++, q += 4)
            for (int i = 0; i < 4; i++)
                *y++ = (int8_t)tw_scaled(tw_vdotsp_b(tw_word_at(q), c[i]), numbers[0], numbers[1], turn);
        for (int i = 0; i < 4; i++, state_v += pitch) {
            *state_k++ = table_k[tw_scaled(tw_vdotsp_b(tw_word_at(k), c[i]), numbers[2], numbers[3], turn)];
            *state_v = table_v[v[i]];
        }
        k += 4, v += 4;
    }
}
#endif

/* Queries of a token, and its keys and values in the caches: heads first .. last of these, from a row of 64 inputs.
 * w, mul: for each head rows of `group` queries, of a key and of a value; state_k: [positions][n], state_v: [n][pitch];
 * tables: entry c at 128 + c; numbers: the product's addend, multipliers and addends of rotations;
 * y: [n / 4][group][4]; scratch: what the rows give, whole words. */
TW_HOT
void SMALL tw_new_heads(int8_t *restrict state_k, int8_t *restrict state_v, const int8_t *restrict x,
                        const int8_t *restrict w, const int32_t *restrict mul, const int8_t *restrict r,
                        const int8_t *restrict table_k, const int8_t *restrict table_v,
                        const int32_t *restrict numbers, int8_t *restrict y, int8_t *restrict scratch, int n, int group,
                        int pitch, int pos, int shift, int turn, int first, int last)
{
    int rows = 4 * group + 8, at = first * rows;
    int32_t c[4];
    if (first >= last)
        return;
    tw_bytes_of_rows(x, w + at * TW_ROW, mul + at, *numbers++, scratch, 4, shift, last * rows - at);
    transposed(c, r);
    y += 4 * group * first, state_k += pos * n + 4 * first, state_v += 4 * first * pitch + pos;
    table_k += 128, table_v += 128;
#ifdef __riscv
    int32_t v, a, b, e, t, d;
    __asm__ volatile(ENTERED("%[s]", "%[s]", "%[s]") : [s] "+r"(scratch), ENTERED_TO : ENTERED_BY : "memory");
#else
    const int8_t *k = scratch + 4 * group;
    entered(state_k, state_v, scratch, k, k + 4, 8, 4 * group + 4, c, table_k, table_v, numbers, y, group, pitch, turn,
            last - first);
#endif
}

/* The same from what such products gave. x_q: [n / 4][group][4], x_k, x_v: [n]; numbers: of rotations. */
TW_HOT
void SMALL tw_enter_row(int8_t *restrict state_k, int8_t *restrict state_v, const int8_t *restrict x_q,
                        const int8_t *restrict x_k, const int8_t *restrict x_v, const int8_t *restrict r,
                        const int8_t *restrict table_k, const int8_t *restrict table_v,
                        const int32_t *restrict numbers, int8_t *restrict y, int n, int group, int pitch, int pos,
                        int turn, int first, int last)
{
    int32_t c[4];
    if (first >= last)
        return;
    transposed(c, r);
    x_q += 4 * group * first, x_k += 4 * first, x_v += 4 * first;
    y += 4 * group * first, state_k += pos * n + 4 * first, state_v += 4 * first * pitch + pos;
    table_k += 128, table_v += 128;
#ifdef __riscv
    int32_t v, a, b, e, t, d;
    __asm__ volatile(ENTERED("%[x_q]", "%[x_k]", "%[x_v]")
                     : [x_q] "+r"(x_q), [x_k] "+r"(x_k), [x_v] "+r"(x_v), ENTERED_TO
                     : ENTERED_BY
                     : "memory");
#else
    entered(state_k, state_v, x_q, x_k, x_v, 0, 0, c, table_k, table_v, numbers, y, group, pitch, turn, last - first);
#endif
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
