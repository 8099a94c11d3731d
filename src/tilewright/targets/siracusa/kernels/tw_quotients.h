/* Quotients of rows of bytes by a number that is one for a row: reciprocals, roots, sums, and loops over the quotients.
 *
 * They are products with a reciprocal: with 2^(l-1) < d <= 2^l and M = floor(2^(31+l) / d) + 1, M d is at most 2^l more
 * than 2^(31+l), so that floor(p M / 2^(31+l)) = floor(p / d) for every p below 2^31 (Granlund and Montgomery 1994).
 */
#ifndef TW_QUOTIENTS_H
#define TW_QUOTIENTS_H

#include "tw_flat.h"
#include "tw_words.h"

struct reciprocal {
    uint32_t m;
    int shift; /* l - 1 */
};

/* p / d for p < 2^31. */
TW_FLAT int32_t quotient(uint32_t p, struct reciprocal r)
{
    return (int32_t)(tw_upper(p, r.m) >> r.shift);
}

/* Truncated to zero. */
TW_FLAT int32_t signed_quotient(int32_t p, struct reciprocal r)
{
    int32_t sign = p >> 31;
    return (quotient((uint32_t)((p ^ sign) - sign), r) ^ sign) - sign;
}

/* Of 2 <= d < 2^16, in two digits of 16 bits. */
static struct reciprocal reciprocal_of(uint32_t d)
{
    int l = tw_pfl1((int32_t)d - 1) + 1;
    uint32_t e = d << (16 - l), upper = (1u << 31) / e, rest = (1u << 31) - upper * e;
    struct reciprocal r = {(upper << 16) + (rest << 16) / e + 1, l - 1};
    return r;
}

/* floor(sqrt(v)) for v up to 2^14 + 1, the greatest mean of squares of bytes and one more: each root d, in binary digits
 * a to h, 2 d + 1 times. */
/* clang-format off */
#define X1(d) d,
#define X2(d) X1(d) X1(d)
#define X4(d) X2(d) X2(d)
#define X8(d) X4(d) X4(d)
#define X16(d) X8(d) X8(d)
#define X32(d) X16(d) X16(d)
#define X64(d) X32(d) X32(d)
#define X128(d) X64(d) X64(d)
#define IF_0(times)
#define IF_1(times) times
#define RUN(d, a, b, c, e, f, g, h)                                                                                    \
    X1(d) IF_##h(X2(d)) IF_##g(X4(d)) IF_##f(X8(d)) IF_##e(X16(d)) IF_##c(X32(d)) IF_##b(X64(d)) IF_##a(X128(d))
#define RUNS_2(d, a, b, c, e, f, g) RUN(d, a, b, c, e, f, g, 0) RUN(d + 1, a, b, c, e, f, g, 1)
#define RUNS_4(d, a, b, c, e, f) RUNS_2(d, a, b, c, e, f, 0) RUNS_2(d + 2, a, b, c, e, f, 1)
#define RUNS_8(d, a, b, c, e) RUNS_4(d, a, b, c, e, 0) RUNS_4(d + 4, a, b, c, e, 1)
#define RUNS_16(d, a, b, c) RUNS_8(d, a, b, c, 0) RUNS_8(d + 8, a, b, c, 1)
#define RUNS_32(d, a, b) RUNS_16(d, a, b, 0) RUNS_16(d + 16, a, b, 1)
#define RUNS_64(d, a) RUNS_32(d, a, 0) RUNS_32(d + 32, a, 1)
static const uint8_t roots[(1 << 14) + 2] = {RUNS_64(0, 0) RUNS_64(64, 1) 128, 128};
/* clang-format on */

/* Sum over n bytes of x, or of x^2. */
TW_X int32_t summed(const int8_t *x, int n, const int squared)
{
    const int32_t ones = 0x01010101;
    int32_t sum = 0;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        int32_t a = tw_word(x + i), b = tw_word(x + i + 4), c = tw_word(x + i + 8), d = tw_word(x + i + 12);
        sum = tw_vsdotsp_b(sum, a, squared ? a : ones);
        sum = tw_vsdotsp_b(sum, b, squared ? b : ones);
        sum = tw_vsdotsp_b(sum, c, squared ? c : ones);
        sum = tw_vsdotsp_b(sum, d, squared ? d : ones);
    }
    for (; i < n; i++)
        sum += squared ? x[i] * x[i] : x[i];
    return sum;
}

static int32_t squares_of(const int8_t *x, int n)
{
    return summed(x, n, 1);
}

static int32_t sum_of(const int8_t *x, int n)
{
    return summed(x, n, 0);
}

/* Sum of x^2 over a multiple of eight bytes, in a loop of few words. */
TW_X int32_t squares_of_eights(const int8_t *x, int n)
{
    int32_t sum = 0;
#ifdef __riscv
    int32_t a, b;
    __asm__(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4")
                TW_DOT(TW_SDOTSP, "%[sum]", "%[a]", "%[a]") TW_DOT(TW_SDOTSP, "%[sum]", "%[b]", "%[b]") TW_ASM_END
            : [x] "+r"(x), [sum] "+r"(sum), [a] "=&r"(a), [b] "=&r"(b)
            : [n] "r"(n >> 3)
            : "memory");
#else
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
#endif
    return sum;
}

/* What is left of rows of n elements: row `r`, elements c to c + count of it. */
#define FOR_ROWS(n, first, last)                                                                                       \
    for (int r = (first) < (n) ? 0 : (first) / (n), c = (first)-r * (n), left = (last) - (first), count;               \
         count = left < (n)-c ? left : (n)-c, left > 0; left -= count, r++, c = 0)

/* A part of a row of quotients: what is multiplied and added, how far that steps from element to element. */
struct quotients {
    const int8_t *x;
    const int32_t *w, *b;
    int n, w_step, b_step, shift, mean, root;
};

/* y = clip((x w / root) >> shift), or with b ((x - mean) w / root + b) >> shift modulo 256. */
static __attribute__((noinline)) void exactly(const struct quotients *q, int8_t *y)
{
    for (int i = 0; i < q->n; i++) {
        int64_t v = (int64_t)(q->x[i] - q->mean) * q->w[i * q->w_step] / q->root;
        y[i] = q->b ? (int8_t)((v + q->b[i * q->b_step]) >> q->shift)
                    : (int8_t)tw_wide_limited(v, q->shift, -128, 127);
    }
}

/* The product with w in v, by 2 <= root: truncated. Gathers in `large` what is not within 2^22 of 0.
 *
 * p m >> 32 of a negative p rounds down and is 1 below the quotient, because m is a little too large.
 */
#define REACH (1 << 22)
#define QUOTIENT                                                                                                       \
    "add %[t], %[s], %[reach]\nsrli %[t], %[t], 23\nor %[large], %[large], %[t]\nmul %[v], %[v], %[s]\n" NEXT          \
    "srli %[t], %[v], 31\nmulhsu %[v], %[v], %[m]\nsra %[v], %[v], %[l]\nadd %[v], %[v], %[t]\n"

/* The same in 32 bits; 0 where a w is not within 2^22: the results are then to be made again. */
static int clipped(const struct quotients *q, int8_t *y)
{
    struct reciprocal inverse = reciprocal_of((uint32_t)q->root);
    const int8_t *x = q->x;
    const int32_t *w = q->w;
    int32_t large = 0;
    int shift = q->shift < 31 ? q->shift : 31;
#ifdef __riscv
    int32_t v, s, t;
#define NEXT ""
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "13") TW_LB("%[v]", "%[x]", "1")
                         TW_LW_BY("%[s]", "%[w]", "%[ws]")
                         QUOTIENT "sra %[v], %[v], %[shift]\n" TW_CLIPR("%[v]", "%[v]", "%[high]")
                             TW_SB("%[v]", "%[y]", "1") TW_ASM_END
                     : [x] "+r"(x), [w] "+r"(w), [y] "+r"(y), [large] "+r"(large), [v] "=&r"(v), [s] "=&r"(s),
                       [t] "=&r"(t)
                     : [n] "r"(q->n), [ws] "r"(4 * q->w_step), [reach] "r"(REACH), [m] "r"(inverse.m),
                       [l] "r"(inverse.shift), [shift] "r"(shift), [high] "r"(127)
                     : "memory");
#undef NEXT
#else
    for (int i = 0; i < q->n; i++, w += q->w_step) {
        large |= (int32_t)(((uint32_t)*w + REACH) >> 23);
        if (large == 0)
            y[i] = (int8_t)tw_pclipr(signed_quotient(x[i] * *w, inverse) >> shift, 127);
    }
#endif
    return large == 0;
}

/* With mean and b, the shift up to 24: the eight bits that count are within 32. */
static int shifted(const struct quotients *q, int8_t *y)
{
    struct reciprocal inverse = reciprocal_of((uint32_t)q->root);
    const int8_t *x = q->x;
    const int32_t *w = q->w, *b = q->b;
    int32_t large = 0;
#ifdef __riscv
    int32_t v, s, t;
#define NEXT TW_LW_BY("%[s]", "%[b]", "%[bs]")
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "15") TW_LB("%[v]", "%[x]", "1")
                         TW_LW_BY("%[s]", "%[w]", "%[ws]")
                         "sub %[v], %[v], %[mean]\n" QUOTIENT
                         "add %[v], %[v], %[s]\nsra %[v], %[v], %[shift]\n" TW_SB("%[v]", "%[y]", "1") TW_ASM_END
                     : [x] "+r"(x), [w] "+r"(w), [b] "+r"(b), [y] "+r"(y), [large] "+r"(large), [v] "=&r"(v),
                       [s] "=&r"(s), [t] "=&r"(t)
                     : [n] "r"(q->n), [ws] "r"(4 * q->w_step), [bs] "r"(4 * q->b_step), [mean] "r"(q->mean),
                       [reach] "r"(REACH), [m] "r"(inverse.m), [l] "r"(inverse.shift), [shift] "r"(q->shift)
                     : "memory");
#undef NEXT
#else
    for (int i = 0; i < q->n; i++, w += q->w_step, b += q->b_step) {
        large |= (int32_t)(((uint32_t)*w + REACH) >> 23);
        if (large == 0)
            y[i] = (int8_t)((int32_t)((uint32_t)signed_quotient((x[i] - q->mean) * *w, inverse) + (uint32_t)*b) >>
                            q->shift);
    }
#endif
    return large == 0;
}

#endif
