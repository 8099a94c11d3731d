/* Products of one row of bytes with what follows them in QuantLib's decoders: a residual that joins by tables, a gate.
 *
 * All requantisations round half up, by one shift of at least 1, within 32 bits: rows of the table of kernels see to
 * that. The entry of a byte with sign c is at 128 + c in tables, but in those of residuals.
 */
#include "tw_gemm.h"
#include "tw_kernels.h"
#include "tw_stream.h"

/* y = rounded(value * mul), y 0 before: where the move fills a cycle that a table takes to answer. */
#define ROUNDED(y, value, mul) TW_MAC(y, value, mul) TW_ADDRN(y, "x0", "%[shift]") TW_CLIP(y, y, "8")
/* y = rounded(y * (less + 1)). */
#define ROUNDED_TIMES(y, less) TW_TIMES(y, less) TW_ADDRN(y, "x0", "%[shift]") TW_CLIP(y, y, "8")
#define LESS(number) ((uint32_t)(number) - 1)

TW_X int32_t rounded(int32_t value, int32_t shift)
{
    return tw_pclip(tw_pmac(1 << (shift - 1), value, 1) >> shift, 8);
}

/* y = r and products of rows of whole words, by tables. Rows of w have an odd number of words, so that eight lie in
 * different banks; first and last are multiples of eight. numbers: [4]. y and r may be the same. */
void tw_eights_join(const struct tw_eights_join *given, int first, int last)
{
    int cols = given->cols, pitch = cols + 4 - (cols & 4), shift = given->shift;
    const int8_t *x = given->x, *w = given->w + first * pitch, *table_r = given->table_r, *table = given->table + 128;
    const uint8_t *r = (const uint8_t *)given->r + first;
    const int32_t *numbers = given->numbers;
    int8_t *y = given->y + first;
    for (; first < last; first += 8, w += 8 * pitch) {
        int32_t sums[8] = {0};
        tw_dots_8x1_i8(sums, w, pitch, x, cols);
#ifdef __riscv
        const int32_t *sum = sums;
        int32_t a, b, v;
        /* clang-format off */
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "13") TW_LW("%[b]", "%[sum]", "4") TW_LBU("%[a]", "%[r]", "1")
            ROUNDED_TIMES("%[b]", "%[mul]") TW_LB_AT("%[a]", "%[table_r]", "%[a]")
            TW_LB_AT("%[b]", "%[table]", "%[b]") "mv %[v], x0\n" "add %[a], %[a], %[b]\n"
            ROUNDED("%[v]", "%[a]", "%[out]") TW_SB("%[v]", "%[y]", "1") TW_ASM_END
            : [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b), [sum] "+r"(sum), [y] "+r"(y), [r] "+r"(r)
            : [n] "r"(8), [mul] "r"(LESS(numbers[0])), [out] "r"(numbers[2]), [table_r] "r"(table_r), [table] "r"(table),
              [shift] "r"(shift)
            : "memory");
        /* clang-format on */
#else
        for (int i = 0; i < 8; i++) {
            int32_t v = table[rounded(sums[i] * numbers[0], shift)];
            *y++ = (int8_t)rounded((table_r[*r++] + v) * numbers[2], shift);
        }
#endif
    }
}

/* The same a row at a time, for cores that have few: rows of whole pairs of words, and a word between them. */
void tw_rows_join(const struct tw_rows_join *given, int first, int last)
{
    if (first >= last)
        return;
    int cols = given->cols, shift = given->shift;
    const int8_t *x = given->x, *w = given->w + first * (cols + 4);
    const int8_t *table_r = given->table_r, *table = given->table + 128;
    const uint8_t *r = (const uint8_t *)given->r + first;
    const int32_t *numbers = given->numbers;
    int8_t *y = given->y + first;
#ifdef __riscv
    const int8_t *at;
    int32_t s, a, b, c, d;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "22") "mv %[at], %[x]\n" "mv %[s], x0\n" TW_LOOP("0", "%[pairs]", "6")
        TW_LW("%[a]", "%[at]", "4") TW_LW("%[b]", "%[w]", "4") TW_LW("%[c]", "%[at]", "4") TW_LW("%[d]", "%[w]", "4")
        TW_DOT(TW_SDOTSP, "%[s]", "%[a]", "%[b]") TW_DOT(TW_SDOTSP, "%[s]", "%[c]", "%[d]") "addi %[w], %[w], 4\n"
        TW_LBU("%[a]", "%[r]", "1") ROUNDED_TIMES("%[s]", "%[mul]")
        TW_LB_AT("%[b]", "%[table]", "%[s]") TW_LB_AT("%[a]", "%[table_r]", "%[a]") "mv %[s], x0\n"
        "add %[a], %[a], %[b]\n" ROUNDED("%[s]", "%[a]", "%[out]") TW_SB("%[s]", "%[y]", "1") TW_ASM_END
        : [at] "=&r"(at), [s] "=&r"(s), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [w] "+r"(w),
          [y] "+r"(y), [r] "+r"(r)
        : [x] "r"(x), [n] "r"(last - first), [pairs] "r"(cols >> 3), [mul] "r"(LESS(numbers[0])), [out] "r"(numbers[2]),
          [table_r] "r"(table_r), [table] "r"(table), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++, w += cols + 4) {
        int32_t v = table[rounded(tw_dot_row(0, w, x, cols, 1) * numbers[0], shift)];
        *y++ = (int8_t)rounded((table_r[*r++] + v) * numbers[2], shift);
    }
#endif
}

/* y = table_a[a] * table_b[b], rounded, of products a and b of rows of 64 inputs, in turns in w. numbers: [6]. */
void tw_stream_gate(const struct tw_stream_gate *given, int first, int last)
{
    const int8_t *x = given->x, *w = given->w + 2 * first * TW_ROW;
    const int8_t *table_a = given->table_a + 128, *table_b = given->table_b + 128;
    const int32_t *numbers = given->numbers;
    int8_t *y = given->y + first;
    int32_t count = last - first, shift = given->shift;
    if (count <= 0)
        return;
#ifdef __riscv
    int32_t v[17], p;
    /* clang-format off */
    __asm__ volatile(
        TW_STREAM("46", ROUNDED_TIMES("%[s]", "%[mul_a]") TW_LB_AT("%[p]", "%[table_a]", "%[s]")
        TW_SUM_ROW ROUNDED_TIMES("%[s]", "%[mul_b]") TW_LB_AT("%[a]", "%[table_b]", "%[s]")
        "mv %[s], x0\n" TW_MULS("%[p]", "%[p]", "%[a]") ROUNDED("%[s]", "%[p]", "%[out]") TW_SB("%[s]", "%[y]", "1"))
        : TW_REGISTERS, [y] "+r"(y), [p] "=&r"(p)
        : [mul_a] "r"(LESS(numbers[0])), [mul_b] "r"(LESS(numbers[2])), [out] "r"(numbers[4]), [table_a] "r"(table_a),
          [table_b] "r"(table_b), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < count; i++, w += 2 * TW_ROW) {
        int32_t a = table_a[rounded(tw_dot_row(0, w, x, TW_ROW, 1) * numbers[0], shift)];
        int32_t b = table_b[rounded(tw_dot_row(0, w + TW_ROW, x, TW_ROW, 1) * numbers[2], shift)];
        y[i] = (int8_t)rounded(a * b * numbers[4], shift);
    }
#endif
}
