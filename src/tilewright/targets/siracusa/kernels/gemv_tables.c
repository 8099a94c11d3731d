/* Products of one row of bytes with what follows them in QuantLib's decoders: a residual that joins by tables, a gate.
 *
 * All requantisations round half up, by one shift of at least 1, within 32 bits: rows of the table of kernels see to
 * that. The entry of a byte with sign c is at 128 + c in tables, but in those of residuals.
 */
#include "tw_gemm.h"
#include "tw_kernels.h"
#include "tw_stream.h"

/* y = rounded(value * mul), y 0 before; `mul` of the cores takes longer than this with a move. */
#define ROUNDED(y, value, mul) TW_MAC(y, value, mul) TW_ADDRN(y, "x0", "%[shift]") TW_CLIP(y, y, "8")

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
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "14") TW_LW("%[v]", "%[sum]", "4") TW_LBU("%[a]", "%[r]", "1")
            "mv %[b], x0\n" ROUNDED("%[b]", "%[v]", "%[mul]") TW_LB_AT("%[a]", "%[table_r]", "%[a]")
            TW_LB_AT("%[b]", "%[table]", "%[b]") "mv %[v], x0\n" "add %[a], %[a], %[b]\n"
            ROUNDED("%[v]", "%[a]", "%[out]") TW_SB("%[v]", "%[y]", "1") TW_ASM_END
            : [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b), [sum] "+r"(sum), [y] "+r"(y), [r] "+r"(r)
            : [n] "r"(8), [mul] "r"(numbers[0]), [out] "r"(numbers[2]), [table_r] "r"(table_r), [table] "r"(table),
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
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "23") "mv %[at], %[x]\n" "mv %[s], x0\n" TW_LOOP("0", "%[pairs]", "6")
        TW_LW("%[a]", "%[at]", "4") TW_LW("%[b]", "%[w]", "4") TW_LW("%[c]", "%[at]", "4") TW_LW("%[d]", "%[w]", "4")
        TW_DOT(TW_SDOTSP, "%[s]", "%[a]", "%[b]") TW_DOT(TW_SDOTSP, "%[s]", "%[c]", "%[d]") "addi %[w], %[w], 4\n"
        TW_LBU("%[a]", "%[r]", "1") "mv %[b], x0\n" ROUNDED("%[b]", "%[s]", "%[mul]")
        TW_LB_AT("%[b]", "%[table]", "%[b]") TW_LB_AT("%[a]", "%[table_r]", "%[a]") "mv %[s], x0\n"
        "add %[a], %[a], %[b]\n" ROUNDED("%[s]", "%[a]", "%[out]") TW_SB("%[s]", "%[y]", "1") TW_ASM_END
        : [at] "=&r"(at), [s] "=&r"(s), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [w] "+r"(w),
          [y] "+r"(y), [r] "+r"(r)
        : [x] "r"(x), [n] "r"(last - first), [pairs] "r"(cols >> 3), [mul] "r"(numbers[0]), [out] "r"(numbers[2]),
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

/* tw_rows_join, of which s has the sums of all inputs but the last `words` words, which begin at x + skip. */
void __attribute__((minsize)) tw_rest_join(const struct tw_rest_join *given, int first, int last)
{
    int words = given->words, shift = given->shift;
    const int8_t *x = given->x + given->skip, *w = given->w + 4 * first * words;
    const int8_t *table_r = given->table_r, *table = given->table + 128;
    const int32_t *sum = given->s + first, *numbers = given->numbers;
    const uint8_t *r = (const uint8_t *)given->r + first;
    int8_t *y = given->y + first;
    if (first >= last)
        return;
#ifdef __riscv
    const int8_t *at;
    int32_t s, a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "19") TW_LW("%[s]", "%[sum]", "4") "mv %[at], %[x]\n"
        TW_LOOP("0", "%[words]", "3") TW_LW("%[a]", "%[at]", "4") TW_LW("%[b]", "%[w]", "4")
        TW_DOT(TW_SDOTSP, "%[s]", "%[a]", "%[b]")
        TW_LBU("%[a]", "%[r]", "1") "mv %[b], x0\n" ROUNDED("%[b]", "%[s]", "%[mul]")
        TW_LB_AT("%[b]", "%[table]", "%[b]") TW_LB_AT("%[a]", "%[table_r]", "%[a]") "mv %[s], x0\n"
        "add %[a], %[a], %[b]\n" ROUNDED("%[s]", "%[a]", "%[out]") TW_SB("%[s]", "%[y]", "1") TW_ASM_END
        : [at] "=&r"(at), [s] "=&r"(s), [a] "=&r"(a), [b] "=&r"(b), [w] "+r"(w), [y] "+r"(y), [r] "+r"(r),
          [sum] "+r"(sum)
        : [x] "r"(x), [n] "r"(last - first), [words] "r"(words), [mul] "r"(numbers[0]), [out] "r"(numbers[2]),
          [table_r] "r"(table_r), [table] "r"(table), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++, w += 4 * words) {
        int32_t v = table[rounded(tw_dot_row(*sum++, w, x, 4 * words, 1) * numbers[0], shift)];
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
        TW_STREAM("48", "mv %[p], x0\n" ROUNDED("%[p]", "%[s]", "%[mul_a]") TW_LB_AT("%[p]", "%[table_a]", "%[p]")
        TW_SUM_ROW "mv %[a], x0\n" ROUNDED("%[a]", "%[s]", "%[mul_b]") TW_LB_AT("%[a]", "%[table_b]", "%[a]")
        "mv %[s], x0\n" TW_MULS("%[p]", "%[p]", "%[a]") ROUNDED("%[s]", "%[p]", "%[out]") TW_SB("%[s]", "%[y]", "1"))
        : TW_REGISTERS, [y] "+r"(y), [p] "=&r"(p)
        : [mul_a] "r"(numbers[0]), [mul_b] "r"(numbers[2]), [out] "r"(numbers[4]), [table_a] "r"(table_a),
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

/* y = table_a[a] * table_b[b], rounded, of pairs a, b of bytes that lie side by side. */
void __attribute__((minsize)) tw_join_pairs(const struct tw_join_pairs *given, int first, int last)
{
    const int8_t *x = given->x + 2 * first, *table_a = given->table_a + 128, *table_b = given->table_b + 128;
    int32_t mul = *given->mul, shift = given->shift;
    int8_t *y = given->y + first;
    if (first >= last)
        return;
#ifdef __riscv
    int32_t a, b, v;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "10") TW_LB("%[a]", "%[x]", "1") TW_LB("%[b]", "%[x]", "1")
        TW_LB_AT("%[a]", "%[table_a]", "%[a]") TW_LB_AT("%[b]", "%[table_b]", "%[b]") "mv %[v], x0\n"
        TW_MULS("%[a]", "%[a]", "%[b]") ROUNDED("%[v]", "%[a]", "%[mul]") TW_SB("%[v]", "%[y]", "1") TW_ASM_END
        : [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [v] "=&r"(v)
        : [n] "r"(last - first), [table_a] "r"(table_a), [table_b] "r"(table_b), [mul] "r"(mul), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++, x += 2)
        *y++ = (int8_t)rounded(table_a[x[0]] * table_b[x[1]] * mul, shift);
#endif
}

/* The same where the second table changes nothing, a shift of 16 and a multiplier of 15 bits. The next pair is loaded
 * before this one is done: two bytes behind the last one are read, and not used. */
void __attribute__((minsize)) tw_multiply_pairs(const struct tw_multiply_pairs *given, int first, int last)
{
    const int8_t *x = given->x + 2 * first, *table_a = given->table_a + 128;
    int32_t mul = *given->mul;
    int8_t *y = given->y + first;
    if (first >= last)
        return;
#ifdef __riscv
    int32_t a, b, v;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LB("%[a]", "%[x]", "1") TW_LB("%[b]", "%[x]", "1") TW_LOOP("0", "%[n]", "7")
        TW_LB_AT("%[v]", "%[table_a]", "%[a]") TW_LB("%[a]", "%[x]", "1") TW_MULS("%[v]", "%[v]", "%[b]")
        TW_LB("%[b]", "%[x]", "1") TW_ROUNDED_PRODUCT("%[v]", "%[v]", "%[mul]", "16") TW_CLIP("%[v]", "%[v]", "8")
        TW_SB("%[v]", "%[y]", "1") TW_ASM_END
        : [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [v] "=&r"(v)
        : [n] "r"(last - first), [table_a] "r"(table_a), [mul] "r"(mul)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++, x += 2)
        *y++ = (int8_t)rounded(table_a[x[0]] * x[1] * mul, 16);
#endif
}

/* tw_stream_gate where table_b changes nothing, all shifts are 16 and the last multiplier has 15 bits. */
void tw_stream_product(const struct tw_stream_product *given, int first, int last)
{
    const int8_t *x = given->x, *w = given->w + 2 * first * TW_ROW, *table_a = given->table_a + 128;
    const int32_t *numbers = given->numbers;
    int8_t *y = given->y + first;
    int32_t count = last - first;
    if (count <= 0)
        return;
#ifdef __riscv
    int32_t v[17], p;
    /* clang-format off */
    __asm__ volatile(
        TW_STREAM("45", "mv %[p], x0\n" ROUNDED("%[p]", "%[s]", "%[mul_a]") TW_LB_AT("%[p]", "%[table_a]", "%[p]")
        TW_SUM_ROW "mv %[a], x0\n" ROUNDED("%[a]", "%[s]", "%[mul_b]") TW_MULS("%[p]", "%[p]", "%[a]")
        TW_ROUNDED_PRODUCT("%[p]", "%[p]", "%[out]", "16") TW_CLIP("%[p]", "%[p]", "8") TW_SB("%[p]", "%[y]", "1"))
        : TW_REGISTERS, [y] "+r"(y), [p] "=&r"(p)
        : [mul_a] "r"(numbers[0]), [mul_b] "r"(numbers[2]), [out] "r"(numbers[4]), [table_a] "r"(table_a),
          [shift] "r"(16)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < count; i++, w += 2 * TW_ROW) {
        int32_t a = table_a[rounded(tw_dot_row(0, w, x, TW_ROW, 1) * numbers[0], 16)];
        y[i] = (int8_t)rounded(a * rounded(tw_dot_row(0, w + TW_ROW, x, TW_ROW, 1) * numbers[2], 16) * numbers[4], 16);
    }
#endif
}
