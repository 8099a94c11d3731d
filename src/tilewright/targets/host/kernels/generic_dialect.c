/* The integer functions of QuantLib networks, bit for bit (ops/dialect.py holds the definitions). Products wrap modulo
 * 2^64, as there. */
#include "tw_kernels.h"
#include "tw_convert.h"

static int64_t product(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

/* a / b rounded down, b > 0. */
static int64_t floored(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* floor(sqrt(v)), a bit at a time. */
static int64_t root_of(int64_t v)
{
    uint64_t rest = (uint64_t)v, root = 0;
    for (uint64_t bit = (uint64_t)1 << 62; bit != 0; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (int64_t)root;
}

/* With d = x - max, z = min(-d / log2, 31), p = d + z log2: e = (a (p + b)^2 + c) >> z; y = e (levels - 1) / sum e. */
static int64_t exponential(int d, int a, int b, int c, int log2)
{
    int z = -d / log2 < 31 ? -d / log2 : 31;
    int64_t p = (int64_t)d + (int64_t)z * log2 + b;
    return tw_shifted((int64_t)((uint64_t)product(a, product(p, p)) + (uint64_t)(int64_t)c), z);
}

#define SOFTMAX(T, TYPE)                                                                                               \
    void tw_integer_softmax_##T(const TYPE *x, uint8_t *y, int rows, int n, int a, int b, int c, int log2, int levels) \
    {                                                                                                                  \
        for (int r = 0; r < rows; r++, x += n, y += n) {                                                               \
            int most = x[0];                                                                                           \
            int64_t total = 0;                                                                                         \
            for (int i = 1; i < n; i++)                                                                                \
                most = x[i] > most ? x[i] : most;                                                                      \
            for (int i = 0; i < n; i++)                                                                                \
                total += exponential(x[i] - most, a, b, c, log2);                                                      \
            total = total > 1 ? total : 1;                                                                             \
            for (int i = 0; i < n; i++)                                                                                \
                y[i] = (uint8_t)floored(exponential(x[i] - most, a, b, c, log2) * (levels - 1), total);                \
        }                                                                                                              \
    }

SOFTMAX(i8, int8_t)
SOFTMAX(u8, uint8_t)

/* ITAMax: y = (levels - 1) 256 / sum(256 >> s) >> s with s = (max - x + 16) >> 5. With groups, ITAPartialMax: the
 * maximum and the sum run from group to group, the sum shifted when the maximum grows; a last, incomplete group does
 * not count. */
void tw_shift_softmax(const int8_t *restrict x, uint8_t *restrict y, int rows, int n, int levels, int group)
{
    int size = group ? group : n;
    for (int r = 0; r < rows; r++, x += n, y += n) {
        int most = -128;
        int64_t total = 0;
        for (int first = 0; first + size <= n; first += size) {
            int peak = -128;
            for (int i = first; i < first + size; i++)
                peak = x[i] > peak ? x[i] : peak;
            if (peak > most) {
                total >>= (peak - most + 16) >> 5;
                most = peak;
            }
            for (int i = first; i < first + size; i++)
                total += 256 >> ((most - x[i] + 16) >> 5);
        }
        int inverse = (int)((group ? levels / 2 - 1 : levels - 1) * 256 / (total > 1 ? total : 1));
        for (int i = 0; i < n; i++)
            y[i] = (uint8_t)(inverse >> (most - x[i] + 16 > 0 ? (most - x[i] + 16) >> 5 : 0));
    }
}

/* clip((x w / root) >> shift), root = floor(sqrt(sum x^2 / n + 1)). w: [n], or one (step 0). y may be x. */
void tw_integer_rms_norm(const int8_t *x, const int32_t *restrict w, int8_t *y, int rows, int n, int w_step, int shift)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        int64_t sum = 0;
        for (int i = 0; i < n; i++)
            sum += x[i] * x[i];
        int64_t root = root_of(sum / n + 1);
        for (int i = 0; i < n; i++) {
            int64_t q = tw_shifted((int64_t)x[i] * w[i * w_step] / root, shift);
            y[i] = (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
        }
    }
}

/* ((x - mean) w / root + b) >> shift modulo 256, root = floor(sqrt(variance + 1)). y may be x. */
void tw_integer_layer_norm(const int8_t *x, const int32_t *restrict w, const int32_t *restrict b, int8_t *y, int rows,
                           int n, int w_step, int b_step, int shift)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        int64_t sum = 0, squares = 0;
        for (int i = 0; i < n; i++)
            sum += x[i];
        int64_t mean = sum / n;
        for (int i = 0; i < n; i++)
            squares += (x[i] - mean) * (x[i] - mean);
        int64_t root = root_of(squares / n + 1);
        for (int i = 0; i < n; i++)
            y[i] = (int8_t)tw_shifted((x[i] - mean) * w[i * w_step] / root + b[i * b_step], shift);
    }
}

#define ACTIVATIONS(T, TYPE)                                                                                           \
    /* x (clip(x + three, 0, six) one_over_six). */                                                                    \
    void tw_integer_hardswish_##T(const TYPE *restrict x, int32_t *restrict y, int n, int one_over_six, int three,     \
                                  int six)                                                                             \
    {                                                                                                                  \
        for (int i = 0; i < n; i++) {                                                                                  \
            int64_t v = (int64_t)x[i] + three, low = v > 0 ? v : 0, held = low < six ? low : six;                      \
            y[i] = (int32_t)product(x[i], product(held, one_over_six));                                                \
        }                                                                                                              \
    }                                                                                                                  \
    /* q = min(|x|, -b), l = sign(x) (one - (q + b)^2): x ((one + l) >> 1). */                                         \
    void tw_integer_gelu_##T(const TYPE *restrict x, int32_t *restrict y, int n, int b, int one)                       \
    {                                                                                                                  \
        for (int i = 0; i < n; i++) {                                                                                  \
            int64_t v = x[i], size = v < 0 ? -v : v, end = -(int64_t)b, q = (size < end ? size : end) + b;             \
            int64_t bent = one - product(q, q), l = v > 0 ? bent : v < 0 ? -bent : 0;                                  \
            y[i] = (int32_t)product(v, tw_shifted(one + l, 1));                                                        \
        }                                                                                                              \
    }                                                                                                                  \
    /* ((x w + b) mul) >> shift in 32 bits; y is i32 (`wide`) or i8. rows: of x, w and b. */                           \
    void tw_integer_affine_##T(const TYPE *restrict x, const int32_t *restrict w, const int32_t *restrict b,           \
                               void *restrict y, int wide, int mul, int shift, const int32_t *rows)                    \
    {                                                                                                                  \
        int done = 0;                                                                                                  \
        struct tw_walk walk;                                                                                           \
        TW_ROWS (walk, rows)                                                                                           \
            for (int i = 0; i < walk.n; i++, done++) {                                                                 \
                uint32_t v = (uint32_t)x[walk.at[0] + i * walk.step[0]];                                               \
                v = v * (uint32_t)w[walk.at[1] + i * walk.step[1]] + (uint32_t)b[walk.at[2] + i * walk.step[2]];       \
                int64_t q = tw_shifted((int32_t)(v * (uint32_t)mul), shift);                                           \
                if (wide)                                                                                              \
                    ((int32_t *)y)[done] = (int32_t)q;                                                                 \
                else                                                                                                   \
                    ((int8_t *)y)[done] = (int8_t)q;                                                                   \
            }                                                                                                          \
    }

ACTIVATIONS(i8, int8_t)
ACTIVATIONS(u8, uint8_t)

/* delta eta a / (eta b + eps), rounded half away from zero; a divisor of 0 counts as 1. rows: of a and b. */
void tw_integer_divide(const void *restrict a, const void *restrict b, int32_t *restrict y, int kind_a, int kind_b,
                       int delta, int eta, int eps, const int32_t *rows, int first, int last)
{
    int64_t p[TW_CHUNK], q[TW_CHUNK];
    struct tw_walk w;
    y += first;
    TW_PARTS (w, rows, first, last)
        for (int i = 0, n; i < w.n; i += n) {
            n = w.n - i < TW_CHUNK ? w.n - i : TW_CHUNK;
            tw_load_integers(a, kind_a, w.at[0] + i * w.step[0], w.step[0], p, n);
            tw_load_integers(b, kind_b, w.at[1] + i * w.step[1], w.step[1], q, n);
            for (int k = 0; k < n; k++) {
                int64_t below = product(eta, q[k]) + eps, above = product(product(delta, eta), p[k]);
                below = below == 0 ? 1 : below;
                int64_t half = tw_shifted(below, 1);
                above = (int64_t)((uint64_t)above + (above >= 0 ? (uint64_t)half : 0 - (uint64_t)half));
                *y++ = (int32_t)(below == -1 ? (int64_t)(0 - (uint64_t)above) : above / below);
            }
        }
}

/* y = clip((f(table_a[a], table_b[b]) * mul + add) >> shift), f a sum or a product; add: i64 where `wide`. */
void tw_table_binary(const uint8_t *a, const uint8_t *b, const int8_t *restrict table_a, const int8_t *restrict table_b,
                     const int32_t *restrict mul, const void *restrict add, int8_t *y, int n, int product, int shift,
                     int wide)
{
    int64_t addend = wide ? *(const int64_t *)add : *(const int32_t *)add;
    for (int i = 0; i < n; i++) {
        int32_t p = table_a[a[i]], q = table_b[b[i]];
        int64_t scaled = (int64_t)(product ? p * q : p + q) * *mul;
        int64_t value = (int64_t)((uint64_t)scaled + (uint64_t)addend) >> shift;
        y[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
    }
}

/* y = clip((table_a[a] * table_b[b] * mul + add) >> shift) of n pairs a, b that lie side by side. */
void tw_table_pairs(const uint8_t *x, const int8_t *restrict table_a, const int8_t *restrict table_b,
                    const int32_t *restrict mul, const int32_t *restrict add, int8_t *restrict y, int n, int shift)
{
    for (int i = 0; i < n; i++, x += 2) {
        int64_t value = ((int64_t)(table_a[x[0]] * table_b[x[1]]) * *mul + *add) >> shift;
        y[i] = (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
    }
}
