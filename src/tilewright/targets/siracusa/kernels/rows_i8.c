/* QuantLib's norms and softmaxes of rows of bytes, bit for bit (ops/dialect.py holds the definitions).
 *
 * Where a core computes a part of a row, it reads all of it. Quotients by a number that is one for a row are products
 * with its reciprocal: with 2^(l-1) < d <= 2^l and M = floor(2^(31+l) / d) + 1, M d is at most 2^l more than 2^(31+l),
 * so that floor(p M / 2^(31+l)) = floor(p / d) for every p below 2^31 (Granlund and Montgomery 1994).
 */
#include "tw_kernels.h"
#include "tw_flat.h"

/* n times, four at a time, so that no load is used by the next instruction: TAKE(k, i) into v_k, MAKE(k), PUT(k, i). */
#define FOURS(n, TAKE, MAKE, PUT)                                                                                      \
    do {                                                                                                               \
        int i = 0;                                                                                                     \
        int32_t v0, v1, v2, v3;                                                                                        \
        for (; i + 4 <= (n); i += 4) {                                                                                 \
            TAKE(0, i) TAKE(1, i + 1) TAKE(2, i + 2) TAKE(3, i + 3)                                                    \
            MAKE(0) MAKE(1) MAKE(2) MAKE(3)                                                                            \
            PUT(0, i) PUT(1, i + 1) PUT(2, i + 2) PUT(3, i + 3)                                                        \
        }                                                                                                              \
        for (; i < (n); i++) {                                                                                         \
            TAKE(0, i) MAKE(0) PUT(0, i)                                                                               \
        }                                                                                                              \
    } while (0)

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

/* floor(sqrt(v)) for v < 2^16. */
static uint32_t root_of(uint32_t v)
{
    uint32_t root = 0;
    for (uint32_t bit = 128; bit != 0; bit >>= 1) {
        uint32_t next = root + bit;
        root = next * next <= v ? next : root;
    }
    return root;
}

/* Sum of x^2 over n bytes. */
static int32_t squares_of(const int8_t *x, int n)
{
    int32_t sum = 0;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        int32_t a = tw_word(x + i), b = tw_word(x + i + 4), c = tw_word(x + i + 8), d = tw_word(x + i + 12);
        sum = tw_vsdotsp_b(sum, a, a);
        sum = tw_vsdotsp_b(sum, b, b);
        sum = tw_vsdotsp_b(sum, c, c);
        sum = tw_vsdotsp_b(sum, d, d);
    }
    for (; i < n; i++)
        sum += x[i] * x[i];
    return sum;
}

/* Sum of n bytes. */
static int32_t sum_of(const int8_t *x, int n)
{
    const int32_t ones = 0x01010101;
    int32_t sum = 0;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        int32_t a = tw_word(x + i), b = tw_word(x + i + 4), c = tw_word(x + i + 8), d = tw_word(x + i + 12);
        sum = tw_vsdotsp_b(sum, a, ones);
        sum = tw_vsdotsp_b(sum, b, ones);
        sum = tw_vsdotsp_b(sum, c, ones);
        sum = tw_vsdotsp_b(sum, d, ones);
    }
    for (; i < n; i++)
        sum += x[i];
    return sum;
}

/* What is left of rows of n elements: row `r`, elements c to c + count of it. */
#define FOR_ROWS(n, first, last)                                                                                       \
    for (int r = (first) / (n), c = (first)-r * (n), left = (last) - (first), count;                                   \
         count = left < (n)-c ? left : (n)-c, left > 0; left -= count, r++, c = 0)

/* Whether w is within 2^22 either way, so that its product with 9 bits is within 2^30. */
TW_FLAT int small(int32_t w)
{
    return ((uint32_t)w + (1u << 22)) >> 23 == 0;
}

/* v / 2^s rounded down, s up to 63. */
TW_FLAT int64_t shifted(int64_t v, int s)
{
    return v >> (s < 63 ? s : 63);
}

/* clip((x w / root) >> shift), root = floor(sqrt(sum x^2 / n + 1)). w: [n], or one (step 0). by_m, by_shift: of n. */
void tw_rms_norm_i8(const int8_t *x, const int32_t *w, int8_t *y, int n, uint32_t by_m, int by_shift, int w_step,
                    int shift, int first, int last)
{
    struct reciprocal by = {by_m, by_shift};
    FOR_ROWS (n, first, last) {
        const int8_t *row = x + r * n;
        const int32_t *scale = w + c * w_step;
        int8_t *to = y + r * n + c;
        int32_t sum = squares_of(row, n);
        uint32_t mean = by_m ? (uint32_t)quotient((uint32_t)sum, by) : (uint32_t)sum, root = root_of(mean + 1);
        struct reciprocal inverse = reciprocal_of(root > 1 ? root : 2);
        row += c;
        for (int i = 0; i < count; i++) {
            int32_t v = row[i], s = scale[i * w_step];
            if (root > 1 && small(s) && shift < 32)
                to[i] = (int8_t)tw_pclipr(signed_quotient(v * s, inverse) >> shift, 127);
            else
                to[i] = (int8_t)tw_wide_limited((int64_t)v * s / (int32_t)root, shift, -128, 127);
        }
    }
}

/* ((x - mean) w / root + b) >> shift modulo 256, root = floor(sqrt(variance + 1)). */
void tw_layer_norm_i8(const int8_t *x, const int32_t *w, const int32_t *b, int8_t *y, int n, uint32_t by_m,
                      int by_shift, int w_step, int b_step, int shift, int first, int last)
{
    struct reciprocal by = {by_m, by_shift};
    FOR_ROWS (n, first, last) {
        const int8_t *row = x + r * n;
        const int32_t *scale = w + c * w_step, *bias = b + c * b_step;
        int8_t *to = y + r * n + c;
        int32_t sum = sum_of(row, n), mean = by_m ? signed_quotient(sum, by) : sum;
        int32_t squares = squares_of(row, n) - 2 * mean * sum + n * mean * mean;
        uint32_t root = root_of((uint32_t)(by_m ? quotient((uint32_t)squares, by) : squares) + 1);
        struct reciprocal inverse = reciprocal_of(root > 1 ? root : 2);
        row += c;
        for (int i = 0; i < count; i++) {
            int32_t v = row[i] - mean, s = scale[i * w_step];
            if (root > 1 && small(s) && shift <= 24) { /* eight bits above the shift are left of 32 */
                uint32_t total = (uint32_t)signed_quotient(v * s, inverse) + (uint32_t)bias[i * b_step];
                to[i] = (int8_t)((int32_t)total >> shift);
            } else {
                to[i] = (int8_t)shifted((int64_t)v * s / (int32_t)root + bias[i * b_step], shift);
            }
        }
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
                most = tw_pmax(most, (TYPE)((uint32_t)p >> k));                                                     \
        }                                                                                                              \
        for (; i < n; i++)                                                                                             \
            most = tw_pmax(most, x[i]);                                                                             \
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
 * bits; with 11 and exponentials below 2^11 the product has no more.
 */
#define SOFTMAX(T, TYPE)                                                                                               \
    void tw_softmax_rows_##T(const TYPE *x, uint8_t *y, int32_t *scratch, int n, int a, int b, int c, int log2,        \
                             int inverse, int levels, int wide, int first, int last)                                   \
    {                                                                                                                  \
        const struct exponential shape = {a, b, c, log2, inverse};                                                     \
        for (int i = first, count; i < last; i += count) {                                                             \
            int r = i / n, from = i - r * n;                                                                           \
            const TYPE *row = x + r * n;                                                                               \
            int32_t most = greatest_##T(row, n);                                                                       \
            uint32_t total = 0;                                                                                        \
            FOURS(n, LOAD_DISTANCE, EXPONENTIAL, KEEP);                                                   \
            int bits = tw_pfl1((int32_t)total) + 1;                                                                    \
            uint32_t m = digits((uint32_t)(levels - 1) << (wide ? 23 : 11), total << (32 - bits)) + 1;                 \
            const int32_t *e = scratch + from;                                                                         \
            uint8_t *to = y + i;                                                                                       \
            int t = wide ? bits - 9 : bits + 11;                                                                       \
            count = last - i < n - from ? last - i : n - from;                                                         \
            if (wide)                                                                                                  \
                FOURS(count, LOAD_KEPT, SHARE_WIDE, STORE_SHARE);                                         \
            else                                                                                                       \
                FOURS(count, LOAD_KEPT, SHARE, STORE_SHARE);                                              \
        }                                                                                                              \
    }

#define LOAD_DISTANCE(k, i) v##k = row[i];
#define EXPONENTIAL(k) v##k = exponential_of(most - v##k, &shape);
#define KEEP(k, i) total += (uint32_t)v##k, scratch[i] = v##k;
#define LOAD_KEPT(k, i) v##k = e[i];
#define SHARE(k) v##k = (int32_t)((uint32_t)v##k * m >> t);
#define SHARE_WIDE(k) v##k = (int32_t)(tw_upper((uint32_t)v##k, m) >> t);
#define STORE_SHARE(k, i) to[i] = (uint8_t)v##k;

SOFTMAX(i8, int8_t)
SOFTMAX(u8, uint8_t)
