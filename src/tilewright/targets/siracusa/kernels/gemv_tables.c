/* Products of one row of bytes with what follows them in QuantLib's decoders: a residual that joins by tables, a gate.
 *
 * All requantisations shift by 16 and round half up, within 32 bits, and multipliers of products have 15 bits: rows of
 * the table of kernels see to that. The entry of a byte with sign c is at 128 + c in tables, but in those of residuals.
 */
#include "tw_gemm.h"
#include "tw_kernels.h"
#include "tw_stream.h"

/* y = byte of the sum v, which has 16 bits, times 2^16 whole + part. */
#define BYTE_OF_SUM(y, v) TW_ROUNDED_PRODUCT(y, v, "%[part]", "16") TW_MAC(y, v, "%[whole]") TW_CLIP(y, y, "8")
/* The product v and what it joins, in r, to y; 11 instructions. */
#define WEIGHTS(a) TW_LW_BY(a, "%[w]", "%[pitch]")
#define ADDED(s, a) TW_DOT(TW_SDOTSP, s, "%[v]", a)
#define JOINED(y, v, r)                                                                                                \
    TW_LBU(r, "%[r]", "1") TW_ROUNDED_BYTE(y, v, "%[mul]") TW_LB_AT(r, "%[table_r]", r) TW_LB_AT(v, "%[table]", y)     \
    "add " r ", " r ", " v "\n" BYTE_OF_SUM(v, r) TW_SB(v, "%[y]", "1")

/* y = r and products of rows of whole words, by tables. Rows of w have an odd number of words, so that eight lie in
 * different banks; first and last are multiples of eight. numbers: [4]. y and r may be the same. */
void tw_eights_join(const struct tw_eights_join *given, int first, int last)
{
    int cols = given->cols, pitch = cols + 4 - (cols & 4);
    const int8_t *w = given->w + first * pitch, *table_r = given->table_r, *table = given->table + 128;
    const uint8_t *r = (const uint8_t *)given->r + first;
    const int32_t *numbers = given->numbers;
    int8_t *y = given->y + first;
    for (; first < last; first += 8, w += 8 * pitch) {
        const int8_t *x = given->x;
#ifdef __riscv
        const int8_t *row = w;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0, a, b, v;
        /* clang-format off */
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "17") TW_LW("%[v]", "%[x]", "4") WEIGHTS("%[a]") WEIGHTS("%[b]")
            ADDED("%[s0]", "%[a]") WEIGHTS("%[a]") ADDED("%[s1]", "%[b]") WEIGHTS("%[b]") ADDED("%[s2]", "%[a]")
            WEIGHTS("%[a]") ADDED("%[s3]", "%[b]") WEIGHTS("%[b]") ADDED("%[s4]", "%[a]") WEIGHTS("%[a]")
            ADDED("%[s5]", "%[b]") TW_LW_BY("%[b]", "%[w]", "%[back]") ADDED("%[s6]", "%[a]") ADDED("%[s7]", "%[b]")
            TW_ASM_END
            : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [s4] "+r"(s4), [s5] "+r"(s5), [s6] "+r"(s6),
              [s7] "+r"(s7), [w] "+r"(row), [x] "+r"(x), [a] "=&r"(a), [b] "=&r"(b), [v] "=&r"(v)
            : [n] "r"(cols >> 2), [pitch] "r"(pitch), [back] "r"(4 - 7 * pitch)
            : "memory");
        int32_t part = (int16_t)numbers[2], sums[8] = {s0, s1, s2, s3, s4, s5, s6, s7};
        const int32_t *sum = sums;
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "12") TW_LW("%[v]", "%[sum]", "4") JOINED("%[b]", "%[v]", "%[a]")
            TW_ASM_END
            : [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b), [sum] "+r"(sum), [y] "+r"(y), [r] "+r"(r)
            : [n] "r"(8), [mul] "r"(tw_twice(numbers[0])), [part] "r"(part), [whole] "r"((numbers[2] - part) >> 16),
              [table_r] "r"(table_r), [table] "r"(table)
            : "memory");
        /* clang-format on */
#else
        for (int i = 0; i < 8; i++) {
            int32_t v = table[tw_rounded(tw_dot_row(0, w + i * pitch, x, cols, 1) * numbers[0])];
            *y++ = (int8_t)tw_rounded((table_r[*r++] + v) * numbers[2]);
        }
#endif
    }
}

/* The same a row at a time, for cores that have few: rows of whole pairs of words, and a word between them. */
void tw_rows_join(const struct tw_rows_join *given, int first, int last)
{
    if (first >= last)
        return;
    int cols = given->cols;
    const int8_t *x = given->x, *w = given->w + first * (cols + 4);
    const int8_t *table_r = given->table_r, *table = given->table + 128;
    const uint8_t *r = (const uint8_t *)given->r + first;
    const int32_t *numbers = given->numbers;
    int8_t *y = given->y + first;
#ifdef __riscv
    const int8_t *at;
    int32_t s, a, b, c, d, part = (int16_t)numbers[2];
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "21") "mv %[at], %[x]\n" "mv %[s], x0\n" TW_LOOP("0", "%[pairs]", "6")
        TW_LW("%[a]", "%[at]", "4") TW_LW("%[b]", "%[w]", "4") TW_LW("%[c]", "%[at]", "4") TW_LW("%[d]", "%[w]", "4")
        TW_DOT(TW_SDOTSP, "%[s]", "%[a]", "%[b]") TW_DOT(TW_SDOTSP, "%[s]", "%[c]", "%[d]") "addi %[w], %[w], 4\n"
        JOINED("%[b]", "%[s]", "%[a]") TW_ASM_END
        : [at] "=&r"(at), [s] "=&r"(s), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [w] "+r"(w),
          [y] "+r"(y), [r] "+r"(r)
        : [x] "r"(x), [n] "r"(last - first), [pairs] "r"(cols >> 3), [mul] "r"(tw_twice(numbers[0])), [part] "r"(part),
          [whole] "r"((numbers[2] - part) >> 16), [table_r] "r"(table_r), [table] "r"(table)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++, w += cols + 4) {
        int32_t v = table[tw_rounded(tw_dot_row(0, w, x, cols, 1) * numbers[0])];
        *y++ = (int8_t)tw_rounded((table_r[*r++] + v) * numbers[2]);
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
    int32_t count = last - first;
    if (count <= 0)
        return;
#ifdef __riscv
    int32_t v[17], p;
    /* clang-format off */
    __asm__ volatile(
        TW_STREAM("44", TW_ROUNDED_BYTE("%[p]", "%[s]", "%[mul_a]") TW_LB_AT("%[p]", "%[table_a]", "%[p]")
        TW_SUM_ROW TW_ROUNDED_BYTE("%[a]", "%[s]", "%[mul_b]") TW_LB_AT("%[a]", "%[table_b]", "%[a]")
        TW_MULS("%[p]", "%[p]", "%[a]") TW_ROUNDED_PRODUCT("%[p]", "%[p]", "%[mul]", "16")
        TW_CLIP("%[p]", "%[p]", "8") TW_SB("%[p]", "%[y]", "1"))
        : TW_REGISTERS, [y] "+r"(y), [p] "=&r"(p)
        : [mul_a] "r"(tw_twice(numbers[0])), [mul_b] "r"(tw_twice(numbers[2])), [mul] "r"(numbers[4]),
          [table_a] "r"(table_a), [table_b] "r"(table_b)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < count; i++, w += 2 * TW_ROW) {
        int32_t a = table_a[tw_rounded(tw_dot_row(0, w, x, TW_ROW, 1) * numbers[0])];
        int32_t b = table_b[tw_rounded(tw_dot_row(0, w + TW_ROW, x, TW_ROW, 1) * numbers[2])];
        y[i] = (int8_t)tw_rounded(a * b * numbers[4]);
    }
#endif
}

/* tw_rows_join, of which s has the sums of all inputs but the last `words` words, which begin at x + skip. */
void __attribute__((minsize)) tw_rest_join(const struct tw_rest_join *given, int first, int last)
{
    int words = given->words;
    const int8_t *x = given->x + given->skip, *w = given->w + 4 * first * words;
    const int8_t *table_r = given->table_r, *table = given->table + 128;
    const int32_t *sum = given->s + first, *numbers = given->numbers;
    const uint8_t *r = (const uint8_t *)given->r + first;
    int8_t *y = given->y + first;
    if (first >= last)
        return;
#ifdef __riscv
    const int8_t *at;
    int32_t s, a, b, part = (int16_t)numbers[2];
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "17") TW_LW("%[s]", "%[sum]", "4") "mv %[at], %[x]\n"
        TW_LOOP("0", "%[words]", "3") TW_LW("%[a]", "%[at]", "4") TW_LW("%[b]", "%[w]", "4")
        TW_DOT(TW_SDOTSP, "%[s]", "%[a]", "%[b]") JOINED("%[b]", "%[s]", "%[a]") TW_ASM_END
        : [at] "=&r"(at), [s] "=&r"(s), [a] "=&r"(a), [b] "=&r"(b), [w] "+r"(w), [y] "+r"(y), [r] "+r"(r),
          [sum] "+r"(sum)
        : [x] "r"(x), [n] "r"(last - first), [words] "r"(words), [mul] "r"(tw_twice(numbers[0])), [part] "r"(part),
          [whole] "r"((numbers[2] - part) >> 16), [table_r] "r"(table_r), [table] "r"(table)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++, w += 4 * words) {
        int32_t v = table[tw_rounded(tw_dot_row(*sum++, w, x, 4 * words, 1) * numbers[0])];
        *y++ = (int8_t)tw_rounded((table_r[*r++] + v) * numbers[2]);
    }
#endif
}

/* y = table_a[a] * table_b[b], rounded, of pairs a, b of bytes that lie side by side. */
void __attribute__((minsize)) tw_join_pairs(const struct tw_join_pairs *given, int first, int last)
{
    const int8_t *x = given->x + 2 * first, *table_a = given->table_a + 128, *table_b = given->table_b + 128;
    int32_t mul = *given->mul;
    int8_t *y = given->y + first;
    if (first >= last)
        return;
#ifdef __riscv
    int32_t a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "8") TW_LB("%[a]", "%[x]", "1") TW_LB("%[b]", "%[x]", "1")
        TW_LB_AT("%[a]", "%[table_a]", "%[a]") TW_LB_AT("%[b]", "%[table_b]", "%[b]") TW_MULS("%[a]", "%[a]", "%[b]")
        TW_ROUNDED_PRODUCT("%[a]", "%[a]", "%[mul]", "16") TW_CLIP("%[a]", "%[a]", "8") TW_SB("%[a]", "%[y]", "1")
        TW_ASM_END
        : [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b)
        : [n] "r"(last - first), [table_a] "r"(table_a), [table_b] "r"(table_b), [mul] "r"(mul)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++, x += 2)
        *y++ = (int8_t)tw_rounded(table_a[x[0]] * table_b[x[1]] * mul);
#endif
}

/* The same where the second table changes nothing. The next pair is loaded before this one is done: two bytes behind
 * the last one are read, and not used. */
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
        *y++ = (int8_t)tw_rounded(table_a[x[0]] * x[1] * mul);
#endif
}
