/* QuantLib's norms and softmaxes of rows of bytes, bit for bit (ops/dialect.py holds the definitions).
 *
 * Where a core computes a part of a row, it reads all of it.
 */
#include "tw_kernels.h"
#include "tw_quotients.h"

/* Of 1 <= d <= 128: floor(2^(30+l) / d) with 2^(l-1) < d <= 2^l. */
#define BITS(d) (32 - __builtin_clz(2 * (d) - 1) - 1)
#define OF(d) (int32_t)((1ull << (30 + BITS(d))) / (d))
#define OF_4(d) OF(d), OF((d) + 1), OF((d) + 2), OF((d) + 3)
#define OF_16(d) OF_4(d), OF_4((d) + 4), OF_4((d) + 8), OF_4((d) + 12)
static const int32_t reciprocals[128] = {OF_16(1),  OF_16(17), OF_16(33), OF_16(49),
                                         OF_16(65), OF_16(81), OF_16(97), OF_16(113)};

/* One row of 2^bits elements, a multiple of 16; w: [n] as 2 w, all within 2^23.
 *
 * With d the root and D = d 2^shift, the result is floor((p + (p < 0 ? d - 1 : 0)) / D) for p = x w, that is v / 2D
 * rounded down with v = 2p + 1 + (p < 0 ? 2d - 2 : 0). v is odd, so v / 2D is at least 1 / 2D away from a whole number,
 * and v M / (2^(31+l) 2^shift) differs less from it: 0 <= 2^(30+l) - M d < d <= 2^l, and |v| <= 2^30.
 */
void tw_rms_norm_row(const struct tw_rms_norm_row *given, int first, int last)
{
    const int8_t *x = given->x;
    int32_t sum = 0, bits = given->bits;
    if (first >= last)
        return;
#ifdef __riscv
    const int8_t *at = x;
    int32_t a, b, c, d;
    __asm__(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "8") TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4")
                TW_LW("%[c]", "%[x]", "4") TW_DOT(TW_SDOTSP, "%[s]", "%[a]", "%[a]") TW_LW("%[d]", "%[x]", "4")
                    TW_DOT(TW_SDOTSP, "%[s]", "%[b]", "%[b]") TW_DOT(TW_SDOTSP, "%[s]", "%[c]", "%[c]")
                        TW_DOT(TW_SDOTSP, "%[s]", "%[d]", "%[d]") TW_ASM_END
            : [x] "+r"(at), [s] "+r"(sum), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)
            : [n] "r"(1 << (bits - 4))
            : "memory");
#else
    sum = squares_of(x, 1 << bits);
#endif
    int32_t root = roots[(sum >> bits) + 1], m = reciprocals[root - 1], up = 2 * root - 2;
    int32_t down = tw_pmin(given->shift + tw_pfl1(2 * root - 1) - 1, 31);
    const int32_t *w = given->w + first;
    int8_t *y = given->y + first;
    x += first;
#ifdef __riscv
    int32_t v, t;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "11") TW_LB("%[t]", "%[x]", "1") TW_LW("%[v]", "%[w]", "4")
                         "mul %[v], %[v], %[t]\nori %[v], %[v], 1\nsrai %[t], %[v], 31\nand %[t], %[t], %[up]\n"
                         "add %[v], %[v], %[t]\nmulh %[v], %[v], %[m]\nsra %[v], %[v], %[down]\n"
                         ".insn r 0x33, 1, 0x0a, %[v], %[v], x8\n" TW_SB("%[v]", "%[y]", "1") TW_ASM_END
                     : [x] "+r"(x), [w] "+r"(w), [y] "+r"(y), [v] "=&r"(v), [t] "=&r"(t)
                     : [n] "r"(last - first), [up] "r"(up), [m] "r"(m), [down] "r"(down)
                     : "memory");
#else
    for (; first < last; first++) {
        int32_t v = *w++ * *x++ + 1;
        v += (v >> 31) & up;
        *y++ = (int8_t)tw_pclip((int32_t)((int64_t)v * m >> 32) >> down, 8);
    }
#endif
}

/* clip((x w / root) >> shift), root = floor(sqrt(sum x^2 / n + 1)). w: [n], or one (step 0). by_m, by_shift: of n. */
void tw_rms_norm_i8(const int8_t *x, const int32_t *w, int8_t *y, int n, uint32_t by_m, int by_shift, int w_step,
                    int shift, int first, int last)
{
    struct reciprocal by = {by_m, by_shift};
    FOR_ROWS (n, first, last) {
        const int8_t *row = x + r * n;
        int32_t sum = squares_of(row, n), mean = by_m ? quotient((uint32_t)sum, by) : sum;
        struct quotients q = {row + c, w + c * w_step, 0, count, w_step, 0, shift, 0, roots[mean + 1]};
        if (q.root == 1 || !clipped(&q, y + r * n + c))
            exactly(&q, y + r * n + c);
    }
}

/* clip((x w / root) >> shift) of two elements `pairs` times, at least once. A factor has M and in its upper half U, of
 * which the lower five bits are k: (x M - (x < 0 ? U : 0)) >> k, clipped, is the result for every x. The upper half of
 * an x is its sign.
 */
TW_X void multiplied(const int8_t *x, int8_t *y, int pairs, int32_t factor)
{
#ifdef __riscv
    int32_t u, v, s, t, k;
    __asm__ volatile(TW_ASM_BEGIN "srai %[k], %[factor], 16\n" TW_LOOP("0", "%[n]", "10") TW_LB("%[u]", "%[x]", "1")
                         TW_LB("%[v]", "%[x]", "1") TW_DOT_H(TW_DOTSP, "%[s]", "%[u]", "%[factor]")
                             TW_DOT_H(TW_DOTSP, "%[t]", "%[v]", "%[factor]") "sra %[s], %[s], %[k]\n"
                         "sra %[t], %[t], %[k]\n" TW_CLIP("%[s]", "%[s]", "8") TW_CLIP("%[t]", "%[t]", "8")
                             TW_SB("%[s]", "%[y]", "1") TW_SB("%[t]", "%[y]", "1") TW_ASM_END
                     : [x] "+r"(x), [y] "+r"(y), [u] "=&r"(u), [v] "=&r"(v), [s] "=&r"(s), [t] "=&r"(t), [k] "=&r"(k)
                     : [n] "r"(pairs), [factor] "r"(factor)
                     : "memory");
#else
    for (; pairs > 0; pairs--)
        for (int i = 0; i < 2; i++)
            *y++ = (int8_t)tw_pclip(tw_vdotsp_h(*x++, factor) >> (factor >> 16 & 31), 8);
#endif
}

/* One row of 2^bits elements with one weight: factors by root are behind it. */
void tw_rms_norm_one(const struct tw_rms_norm_one *given, int first, int last)
{
    const int8_t *x = given->x;
    int bits = given->bits;
    if (first >= last)
        return;
    int32_t root = roots[(squares_of_eights(x, 1 << bits) >> bits) + 1];
    multiplied(x + first, given->y + first, (last - first) >> 1, given->w[root]);
}

/* The same of four elements `fours` times: words, as cores whose rows begin in one bank wait for each other's bytes. */
TW_X void multiplied_fours(const int8_t *x, int8_t *y, int fours, int32_t factor)
{
#ifdef __riscv
    int32_t a, b, c, d, e, k = factor >> 16;
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "20") TW_LW("%[d]", "%[x]", "4") TW_BYTE("%[a]", "%[d]", "0")
        TW_BYTE("%[b]", "%[d]", "8") TW_BYTE("%[c]", "%[d]", "16") TW_BYTE("%[d]", "%[d]", "24")
        TW_DOT_H(TW_DOTSP, "%[a]", "%[a]", "%[factor]") TW_DOT_H(TW_DOTSP, "%[b]", "%[b]", "%[factor]")
        TW_DOT_H(TW_DOTSP, "%[c]", "%[c]", "%[factor]") TW_DOT_H(TW_DOTSP, "%[d]", "%[d]", "%[factor]")
        "sra %[a], %[a], %[k]\nsra %[b], %[b], %[k]\nsra %[c], %[c], %[k]\nsra %[d], %[d], %[k]\n"
        TW_CLIP("%[a]", "%[a]", "8") TW_CLIP("%[b]", "%[b]", "8") TW_CLIP("%[c]", "%[c]", "8")
        TW_CLIP("%[d]", "%[d]", "8") TW_PACKLO("%[e]", "%[b]", "%[a]") TW_PACKHI("%[e]", "%[d]", "%[c]")
        TW_SW("%[e]", "%[y]", "4") TW_ASM_END
        : [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [e] "=&r"(e)
        : [n] "r"(fours), [factor] "r"(factor), [k] "r"(k)
        : "memory");
#else
    multiplied(x, y, 2 * fours, factor);
#endif
}

/* The same for any rows; n: 2^bits times a number that floor(2^32 / odd) + 1 divides by, 0 for 1. */
void tw_rms_norm_rows(const struct tw_rms_norm_rows *given, int first, int last)
{
    int n = given->n, bits = given->bits, c = first < n ? first : first % n;
    uint32_t odd = given->odd;
    for (int count; first < last; first += count, c = 0) {
        const int8_t *x = given->x + first;
        int32_t mean = squares_of_eights(x - c, n) >> bits;
        if (odd)
            mean = (int32_t)tw_upper((uint32_t)mean, odd);
        count = n - c < last - first ? n - c : last - first;
        multiplied_fours(x, given->y + first, count >> 2, given->w[roots[mean + 1]]);
    }
}

/* ((x - mean) w / root + b) >> shift modulo 256, root = floor(sqrt(variance + 1)). */
void tw_layer_norm_i8(const int8_t *x, const int32_t *w, const int32_t *b, int8_t *y, int n, uint32_t by_m,
                      int by_shift, int w_step, int b_step, int shift, int first, int last)
{
    struct reciprocal by = {by_m, by_shift};
    FOR_ROWS (n, first, last) {
        const int8_t *row = x + r * n;
        int32_t sum = sum_of(row, n), mean = by_m ? signed_quotient(sum, by) : sum;
        int32_t squares = squares_of(row, n) - 2 * mean * sum + n * mean * mean;
        int32_t root = roots[(by_m ? quotient((uint32_t)squares, by) : squares) + 1];
        struct quotients q = {row + c, w + c * w_step, b + c * b_step, count, w_step, b_step, shift, mean, root};
        if (root == 1 || shift > 24 || !shifted(&q, y + r * n + c))
            exactly(&q, y + r * n + c);
    }
}

/* The greatest of n bytes. */
#define GREATEST(T, TYPE, OF_WORDS)                                                                                    \
    static int32_t greatest_##T(const TYPE *x, int n)                                                                  \
    {                                                                                                                  \
        int32_t most = x[0];                                                                                           \
        int i = 0;                                                                                                     \
        if (n >= 16) {                                                                                                 \
            int32_t p = tw_word(x), q = p;                                                                             \
            for (; i + 16 <= n; i += 16) {                                                                             \
                int32_t a = tw_word(x + i), b = tw_word(x + i + 4), d = tw_word(x + i + 8), e = tw_word(x + i + 12);   \
                p = OF_WORDS(p, a), q = OF_WORDS(q, b), p = OF_WORDS(p, d), q = OF_WORDS(q, e);                        \
            }                                                                                                          \
            p = OF_WORDS(p, q);                                                                                        \
            for (int k = 0; k < 32; k += 8)                                                                            \
                most = tw_pmax(most, (TYPE)((uint32_t)p >> k));                                                        \
        }                                                                                                              \
        for (; i < n; i++)                                                                                             \
            most = tw_pmax(most, x[i]);                                                                                \
        return most;                                                                                                   \
    }

GREATEST(i8, int8_t, tw_vmax_b)
GREATEST(u8, uint8_t, tw_vmaxu_b)

/* e(d) of a distance d = max - x: with z = min(d / log2, 31) and p = z log2 - d, (a (p + b)^2 + c) >> z.
 * d / log2 is d * inverse >> 16, exactly for d < 256 (inverse: 2^16 / log2, rounded up). */
struct exponential {
    int32_t a, b, c, log2, inverse;
};

TW_FLAT int32_t exponential_of(int32_t d, const struct exponential *s)
{
    int32_t z = tw_pmin(tw_pmulun(d, s->inverse, 16), 31), p = tw_pmac(s->b - d, z, s->log2);
    return tw_pmac(s->c, tw_pmulsn(p, p, 0), s->a) >> z;
}

/* floor(h 2^32 / d) for h < d, d >= 2^31, in two digits of 16 bits. */
static uint32_t digits(uint32_t h, uint32_t d)
{
    uint32_t upper = d >> 16, lower = d & 0xffff, q[2];
    for (int i = 0; i < 2; i++) {
        uint32_t digit = h / upper, rest = h - digit * upper;
        while (rest >> 16 == 0 && (digit >> 16 != 0 || digit * lower > rest << 16)) {
            digit--;
            rest += upper;
        }
        h = (h << 16) - digit * d;
        q[i] = digit;
    }
    return (q[0] << 16) + q[1];
}

/* y = e levels / sum e, levels here without the 0. scratch: an exponential per element of a row.
 *
 * e levels / total is e M >> t with M = floor(2^t levels / total) + 1, exactly where e total < 2^t: what is too much in
 * M makes less than e / 2^t, which is then less than 1 / total. With t = 23 + the bits of the total (`wide`) M has 32
 * bits; with 11 and exponentials below 2^11 the product has no more. Loops store the result of the element before.
 */
#ifdef __riscv
#define EXPONENTIALS(TAKE)                                                                                             \
    if (n > 1)                                                                                                         \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "12") TAKE("%[p]", "%[x]", "1") TW_SW("%[v]", "%[to]", "4") \
                         "sub %[p], %[most], %[p]\n.insn r 0x5b, 0, 16, %[z], %[p], %[inverse]\n"                      \
                         TW_MIN("%[z]", "%[z]", "%[end]") "sub %[p], %[b], %[p]\n" TW_MAC("%[p]", "%[z]", "%[log2]")   \
                         ".insn r 0x5b, 0, 0x40, %[p], %[p], %[p]\nmv %[v], %[c]\n" TW_MAC("%[v]", "%[p]", "%[a]")     \
                         "srl %[v], %[v], %[z]\nadd %[total], %[total], %[v]\n" TW_ASM_END                             \
                         : [x] "+r"(at), [to] "+r"(to), [v] "+r"(v), [total] "+r"(total), [p] "=&r"(p), [z] "=&r"(z)   \
                         : [n] "r"(n - 1), [most] "r"(most), [inverse] "r"(inverse), [end] "r"(31), [b] "r"(b),        \
                           [log2] "r"(log2), [c] "r"(c), [a] "r"(a)                                                    \
                         : "memory");                                                                                  \
    *to = v;
#define SHARES(PRODUCT)                                                                                                \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") TW_LW("%[v]", "%[e]", "4") TW_SB("%[q]", "%[to]", "1")     \
                         PRODUCT " %[q], %[v], %[m]\nsrl %[q], %[q], %[t]\n" TW_ASM_END                                \
                     : [e] "+r"(e), [to] "+r"(to), [q] "+r"(q), [v] "=&r"(v)                                           \
                     : [n] "r"(n - 1), [m] "r"(m), [t] "r"(t)                                                          \
                     : "memory")
#else
#define EXPONENTIALS(TAKE)                                                                                             \
    (void)z, (void)p;                                                                                                  \
    for (*to = v; n > 1; n--, total += (uint32_t)v, *++to = v)                                                         \
        v = exponential_of(most - *at++, &shape);
#endif

static void shares(const int32_t *e, uint8_t *to, int n, uint32_t m, int t, int wide)
{
#ifdef __riscv
    int32_t v, q = (int32_t)((wide ? tw_upper((uint32_t)*e, m) : (uint32_t)*e * m) >> t);
    e++;
    if (n > 1 && wide)
        SHARES("mulhu");
    else if (n > 1)
        SHARES("mul");
    *to = (uint8_t)q;
#else
    for (int i = 0; i < n; i++)
        to[i] = (uint8_t)((wide ? tw_upper((uint32_t)e[i], m) : (uint32_t)e[i] * m) >> t);
#endif
}

#define SOFTMAX(T, TYPE, TAKE)                                                                                         \
    static uint32_t exponentials_##T(const TYPE *at, int32_t *to, int n, int32_t most, int32_t a, int32_t b,           \
                                     int32_t c, int32_t log2, int32_t inverse)                                         \
    {                                                                                                                  \
        const struct exponential shape = {a, b, c, log2, inverse};                                                     \
        int32_t v = exponential_of(most - *at++, &shape), p, z;                                                        \
        uint32_t total = (uint32_t)v;                                                                                  \
        EXPONENTIALS(TAKE)                                                                                             \
        return total;                                                                                                  \
    }                                                                                                                  \
    void tw_softmax_rows_##T(const TYPE *x, uint8_t *y, int32_t *scratch, int n, int a, int b, int c, int log2,        \
                             int inverse, int levels, int wide, int first, int last)                                   \
    {                                                                                                                  \
        for (int i = first, count; i < last; i += count) {                                                             \
            int r = i / n, from = i - r * n;                                                                           \
            const TYPE *row = x + r * n;                                                                               \
            uint32_t total = exponentials_##T(row, scratch, n, greatest_##T(row, n), a, b, c, log2, inverse);          \
            int bits = tw_pfl1((int32_t)total) + 1;                                                                    \
            uint32_t m = digits((uint32_t)(levels - 1) << (wide ? 23 : 11), total << (32 - bits)) + 1;                 \
            count = last - i < n - from ? last - i : n - from;                                                         \
            shares(scratch + from, y + i, count, m, wide ? bits - 9 : bits + 11, wide);                                \
        }                                                                                                              \
    }

SOFTMAX(i8, int8_t, TW_LB)
SOFTMAX(u8, uint8_t, TW_LBU)

/* ITAMax: y = (levels - 1) 256 / sum(256 >> s) >> s with s = (max - x + 16) >> 5, for rows at once. */
void tw_shift_softmax_rows(const int8_t *x, uint8_t *y, int n, int levels, int first, int last)
{
    for (int i = first, count; i < last; i += count) {
        int r = i / n, c = i - r * n;
        const int8_t *row = x + r * n;
        int32_t most = greatest_i8(row, n) + 16, total = 0;
        for (int k = 0; k < n; k++)
            total += 256 >> ((most - row[k]) >> 5);
        int32_t inverse = (levels - 1) * 256 / total;
        count = last - i < n - c ? last - i : n - c;
        for (int k = 0; k < count; k++)
            y[i + k] = (uint8_t)(inverse >> ((most - row[c + k]) >> 5));
    }
}
