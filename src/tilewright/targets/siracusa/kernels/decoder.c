/* Between the products of QuantLib's decoders: heads that turn, sums and products by tables.
 *
 * Requantisations fit 32 bits: rows of the table of kernels see to that. The code is kept small, since all of a token's
 * has to stay in the instruction cache that the cores share.
 */
#include "tw_heads.h"
#include "tw_kernels.h"
#include "tw_stream.h"

#define SMALL __attribute__((minsize))

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

/* Queries of a token, and its keys and values in the caches: heads first .. last of these, from a row of 64 inputs.
 * w, mul: for each head rows of `group` queries, of a key and of a value, multipliers less one;
 * state_k: [positions][n], state_v: [n][pitch]; tables: entry c at 128 + c; numbers: the product's addend, multipliers
 * and addends of rotations; y: [n / 4][group][4]; scratch: what the rows give, whole words. */
void SMALL tw_new_heads(const struct tw_new_heads *given, int8_t *restrict scratch, int first, int last)
{
    int group = given->group, rows = 4 * group + 8, at = first * rows, heads = last - first;
    if (first >= last)
        return;
    tw_bytes_of_rows(given->x, given->w + at * TW_ROW, given->mul + at, *given->numbers, scratch, 4, given->shift,
                     heads * rows);
    int pitch = given->pitch, pos = given->pos, turn = given->turn;
    int8_t *y = given->y + 4 * group * first;
    int8_t *state_k = given->state_k + pos * given->n + 4 * first, *state_v = given->state_v + 4 * first * pitch + pos;
    const int8_t *table_k = given->table_k + 128, *table_v = given->table_v + 128;
    const int32_t *numbers = given->numbers + 1;
#ifdef __riscv
    if (TURNS_IN_HALVES(numbers, turn)) {
        int32_t c[4], v, b, t, d;
        transposed(c, given->r);
        __asm__ volatile(ENTERED("%[s]", "%[s]", "%[s]") : [s] "+r"(scratch), ENTERED_TO : ENTERED_BY : "memory");
        return;
    }
#endif
    const int8_t *k = scratch + 4 * group;
    entered(state_k, state_v, scratch, k, k + 4, 8, 4 * group + 4, given->r, table_k, table_v, numbers, y, group, pitch,
            turn, heads);
}

static __attribute__((noinline)) void SMALL entered_anyhow(const struct tw_enter_row *given, int first, int heads)
{
    int group = given->group, pitch = given->pitch;
    entered(given->state_k + given->pos * given->n + 4 * first, given->state_v + 4 * first * pitch + given->pos,
            given->x_q + 4 * group * first, given->x_k + 4 * first, given->x_v + 4 * first, 0, 0, given->r,
            given->table_k + 128, given->table_v + 128, given->numbers, given->y + 4 * group * first, group, pitch,
            given->turn, heads);
}

/* The same from what such products gave. x_q: [n / 4][group][4], x_k, x_v: [n]; numbers: of rotations. Values first,
 * then queries, then keys: so each loop's registers are among those that nobody saves. */
void SMALL tw_enter_row(const struct tw_enter_row *given, int first, int last)
{
    int32_t heads = last - first;
    if (heads <= 0)
        return;
#ifdef __riscv
    const int32_t *numbers = given->numbers;
    if (TURNS_IN_HALVES(numbers, given->turn)) {
        int32_t c[4], w, t, b, d, pitch = given->pitch, pos = given->pos;
        first *= 4;
        const int8_t *x = given->x_v + first;
        int8_t *state_v = given->state_v + first * pitch + pos;
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[heads]", "12") ENTERED_VALUE("%[x]") TW_ASM_END
                         : [x] "+r"(x), [state_v] "+r"(state_v), ENTERED_LANES
                         : [heads] "r"(heads), [pitch] "r"(pitch), [table_v] "r"(given->table_v + 128)
                         : "memory");
        transposed(c, given->r);
        int8_t *y = given->y + given->group * first;
        x = given->x_q + given->group * first;
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[rows]", "20") ENTERED_QUERY("%[x]", TURNED("%[mul_q]")) TW_ASM_END
                         : [x] "+r"(x), [y] "+r"(y), ENTERED_LANES
                         : [rows] "r"(given->group * heads), ENTERED_COLUMNS, [mul_q] "r"(numbers[0])
                         : "memory");
        int8_t *state_k = given->state_k + pos * given->n + first;
        x = given->x_k + first;
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[heads]", "24") ENTERED_KEY("%[x]", TURNED("%[mul_k]")) TW_ASM_END
                         : [x] "+r"(x), [state_k] "+r"(state_k), ENTERED_LANES
                         : [heads] "r"(heads), ENTERED_COLUMNS, [mul_k] "r"(numbers[2]),
                           [table_k] "r"(given->table_k + 128)
                         : "memory");
        return;
    }
#endif
    entered_anyhow(given, first, heads);
}

/* y = clip((f(table_a[a], table_b[b]) * mul + add) >> shift), f the sum or the product: elements first .. last. */
#define JOINED(f)                                                                                                      \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "10") TW_LBU("%[p]", "%[a]", "1") TW_LBU("%[q]", "%[b]", "1")   \
                         TW_LB_AT("%[p]", "%[ta]", "%[p]") TW_LB_AT("%[q]", "%[tb]", "%[q]") "mv %[v], %[add]\n" f     \
                             TW_MAC("%[v]", "%[p]", "%[mul]") "sra %[v], %[v], %[shift]\n" TW_CLIP("%[v]", "%[v]",     \
                                 "8") TW_SB("%[v]", "%[y]", "1") TW_ASM_END                                            \
                     : [a] "+r"(a), [b] "+r"(b), [y] "+r"(y), [p] "=&r"(p), [q] "=&r"(q), [v] "=&r"(v)                 \
                     : [n] "r"(last - first), [ta] "r"(table_a), [tb] "r"(table_b), [mul] "r"(mul),                    \
                       [add] "r"(add), [shift] "r"(shift)                                                              \
                     : "memory")
void SMALL tw_join_tables(const struct tw_join_tables *given, int first, int last)
{
    if (first >= last)
        return;
    const uint8_t *a = (const uint8_t *)given->a + first, *b = (const uint8_t *)given->b + first;
    const int8_t *table_a = given->table_a, *table_b = given->table_b;
    int32_t mul = *given->mul, add = *(const int32_t *)given->add, shift = given->shift, product = given->product;
    int8_t *y = given->y + first;
#ifdef __riscv
    int32_t p, q, v;
    if (product)
        JOINED(TW_MULS("%[p]", "%[p]", "%[q]"));
    else
        JOINED("add %[p], %[p], %[q]\n");
#else
    for (; first < last; first++, a++, b++) {
        int32_t p = table_a[*a], q = table_b[*b];
        *y++ = (int8_t)tw_scaled(product ? p * q : p + q, mul, add, shift);
    }
#endif
}
