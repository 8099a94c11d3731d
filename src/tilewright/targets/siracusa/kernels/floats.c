/* Floats between the products, in single precision throughout: arithmetic with broadcasting, rows, reductions, and the
 * way to integers and back. The division and the root are one unit for all cores: there are few of them.
 */
#include "tw_kernels.h"
#include "tw_flat.h"
#include "tw_functions.h"
#include "tw_generic.h"
#include "tw_math.h"

/* a b + c in one instruction, which compilers take for a call. */
static inline float fused(float a, float b, float c)
{
#ifdef __riscv
    float sum;
    __asm__("fmadd.s %0, %1, %2, %3" : "=f"(sum) : "f"(a), "f"(b), "f"(c));
    return sum;
#else
    return a * b + c;
#endif
}

enum { ADD, SUB, MUL, DIV, MIN, MAX }; /* numbered as ARITHMETIC in targets/siracusa/floats.py */

#define CASE(NAME, EXPRESSION)                                                                                         \
    case NAME:                                                                                                         \
        for (int i = 0; i < n; i++, p += sp, q += sq) {                                                                \
            float v = *p, u = *q;                                                                                      \
            y[i] = EXPRESSION;                                                                                         \
        }                                                                                                              \
        break;

/* rows: of a and b. y may be a where the shapes agree. */
void tw_float_pair(const float *a, const float *b, float *y, int function, const int32_t *rows, int first, int last)
{
    struct tw_walk w;
    y += first;
    TW_PARTS (w, rows, first, last) {
        const float *p = a + w.at[0], *q = b + w.at[1];
        int sp = w.step[0], sq = w.step[1], n = w.n;
        float one = *q;
        if (sq == 0) /* not from memory: all cores would wait for one another */
            q = &one;
        switch (function) {
            CASE(ADD, v + u)
            CASE(SUB, v - u)
            CASE(MUL, v *u)
            CASE(DIV, v / u)
            CASE(MIN, v < u || v != v ? v : u)
            CASE(MAX, v > u || v != v ? v : u)
        }
        y += n;
    }
}

/* Apart, so that its calls do not take registers from the loops around. */
static __attribute__((noinline)) float logarithm(float x)
{
    return (float)tw_log_f64(x);
}

/* e^(x - max) / sum, or its logarithm, of rows first .. last of n elements. */
void tw_softmax_rows_f32(const float *x, float *y, int n, int log, int first, int last)
{
    for (int r = first; r < last; r++) {
        const float *row = x + r * n;
        float *to = y + r * n, most = row[0], total = 0.0f;
        for (int i = 1; i < n; i++)
            most = row[i] > most || row[i] != row[i] ? row[i] : most;
        for (int i = 0; i < n; i++) {
            float v = row[i] - most;
            to[i] = tw_expf(v);
            total += v == v ? to[i] : v;
        }
        float scale = log ? logarithm(total) : 1.0f / total;
        for (int i = 0; i < n; i++)
            to[i] = log ? row[i] - most - scale : to[i] * scale;
    }
}

/* (x - mean) / sqrt(variance + eps) w + b of rows first .. last of n elements. y may be x. */
void tw_layer_norm_rows_f32(const float *x, const float *w, const float *b, float *y, int n, float share, float eps,
                            int first, int last)
{
    for (int r = first; r < last; r++) {
        const float *row = x + r * n;
        float *to = y + r * n, mean = 0.0f, spread = 0.0f;
        for (int i = 0; i < n; i++)
            mean += row[i];
        mean *= share;
        for (int i = 0; i < n; i++)
            spread = fused(row[i] - mean, row[i] - mean, spread);
        float scale = tw_rsqrtf(spread * share + eps);
        for (int i = 0; i < n; i++)
            to[i] = fused((row[i] - mean) * scale, w[i], b[i]);
    }
}

/* x / sqrt(mean(x^2) + eps) w. Where a core computes a part of a row, it reads all of it. */
void tw_rms_norm_rows_f32(const float *x, const float *w, float *y, int n, float share, float eps, int first, int last)
{
    for (int i = first, count; i < last; i += count) {
        int r = i / n, c = i - r * n;
        const float *row = x + r * n;
        float sum = 0.0f;
        count = n - c < last - i ? n - c : last - i;
        for (int k = 0; k < n; k++)
            sum = fused(row[k], row[k], sum);
        float scale = tw_rsqrtf(sum * share + eps);
        for (int k = 0; k < count; k++)
            y[i + k] = row[c + k] * scale * w[c + k];
    }
}

enum { SUM, MEAN, SQUARES, PRODUCT, GREATEST, LEAST }; /* numbered as REDUCTIONS in ops/reduce.py */

/* Sums or extremes; kept: a walk over the axes that stay, rows: over the others; both step through x. Rows are summed
 * by themselves, which keeps the rounding small. */
void tw_reduce_part_f32(const float *x, float *y, int function, float share, const int32_t *kept, const int32_t *rows,
                        int first, int last)
{
    struct tw_walk outer, inner;
    y += first;
    TW_PARTS (outer, kept, first, last)
        for (int i = 0; i < outer.n; i++) {
            const float *from = x + outer.at[0] + i * outer.step[0];
            float total = function < GREATEST ? 0.0f : *from;
            TW_ROWS (inner, rows) {
                const float *v = from + inner.at[0];
                int step = inner.step[0], n = inner.n;
                float part = function < GREATEST ? 0.0f : *v;
                if (function == GREATEST)
                    for (int k = 0; k < n; k++, v += step)
                        part = *v > part || *v != *v ? *v : part;
                else if (function == LEAST)
                    for (int k = 0; k < n; k++, v += step)
                        part = *v < part || *v != *v ? *v : part;
                else if (function == SQUARES)
                    for (int k = 0; k < n; k++, v += step)
                        part = fused(*v, *v, part);
                else
                    for (int k = 0; k < n; k++, v += step)
                        part += *v;
                if (function < GREATEST)
                    total += part;
                else if ((function == GREATEST ? part > total : part < total) || part != part)
                    total = part;
            }
            *y++ = function == MEAN ? total * share : total;
        }
}

/* The same of bytes: sums modulo 2^32, and means, which round half up where the count is a power of two, else half away
 * from zero. y is i8 or i32 (`wide`). */
#define REDUCE(T, TYPE)                                                                                                \
    void tw_reduce_part_##T(const TYPE *x, void *y, int wide, int mean, int count, const int32_t *kept,                \
                            const int32_t *rows, int first, int last)                                                  \
    {                                                                                                                  \
        struct tw_walk outer, inner;                                                                                   \
        int done = first, half = count >> 1;                                                                           \
        TW_PARTS (outer, kept, first, last)                                                                            \
            for (int i = 0; i < outer.n; i++, done++) {                                                                \
                const TYPE *from = x + outer.at[0] + i * outer.step[0];                                                \
                int32_t total = 0;                                                                                     \
                TW_ROWS (inner, rows) {                                                                                \
                    const TYPE *v = from + inner.at[0];                                                                \
                    for (int k = inner.n, step = inner.step[0]; k > 0; k--, v += step)                                 \
                        total += *v;                                                                                   \
                }                                                                                                      \
                if (mean && (count & (count - 1)) == 0)                                                                \
                    total = (total + half) >> (31 - __builtin_clz((unsigned)count));                                   \
                else if (mean)                                                                                         \
                    total = (total < 0 ? total - half : total + half) / count;                                         \
                if (wide)                                                                                              \
                    ((int32_t *)y)[done] = total;                                                                      \
                else                                                                                                   \
                    ((int8_t *)y)[done] = (int8_t)total;                                                               \
            }                                                                                                          \
    }

REDUCE(i8, int8_t)
REDUCE(u8, uint8_t)

/* Channels of `inner` elements in a row; steps are 0 where a parameter is one for all. */
#define CHANNELS(i)                                                                                                    \
    int block = (i) / inner, c = block % channels, n = inner - ((i)-block * inner) < last - (i)                        \
                                                           ? inner - ((i)-block * inner)                               \
                                                           : last - (i)

/* The nearest integer, ties to even; |t| < 2^31. */
static inline int32_t nearest(float t)
{
#ifdef __riscv
    int32_t q;
    __asm__("fcvt.w.s %0, %1, rne" : "=r"(q) : "f"(t));
    return q;
#else
    return (int32_t)tw_round_f32(t);
#endif
}

/* round(x / scale) within +-1e6, ties to even; the value that becomes 0 for what is no number. */
static __attribute__((noinline)) int32_t quotient(float x, float scale, int32_t zero)
{
    float v = tw_round_f32(x / scale), top = v < 1e6f ? v : 1e6f;
    return v == v ? (int32_t)(top > -1e6f ? top : -1e6f) : -zero;
}

/* What quotients by a scale are computed with: products by its reciprocal `by` are rounded, where what is rounded off is
 * less than `near` and the quotient cannot be rounded to another number. The cores share one unit that divides. */
struct grid {
    float scale, by, near;
    int32_t zero;
};

/* The product is at most 3 * 2^-24 of itself away from the quotient. Bytes are clipped from 2^10 on, where that is
 * 0.0002, halves from 2^17 on, where it is 0.024. */
TW_X struct grid grid_of(float scale, int32_t zero, int bytes)
{
    float by = 1.0f / scale; /* the last bits of the least ones are lost */
    return (struct grid){scale, by, by < 0x1p-100f ? 0.0f : bytes > 1 ? 0.47f : 0.4997f, zero};
}

/* A sum with MAGIC is rounded to an integer, which its lowest bits are unless it is FAR from there. */
#define MAGIC 0x1.8p23f
enum { MAGIC_BITS = 0x4b400000, FAR = 1 << 21 };

/* Four rounded quotients and their zero; 0 where the products do not tell. */
TW_X int four_quotients(const float *x, const struct grid *g, int32_t *q)
{
    int32_t most = 0, least = 0;
    uint32_t off = 0; /* twice the bits, for the sign does not count */
    for (int k = 0; k < 4; k++) {
        float sum = fused(x[k], g->by, MAGIC), rest = fused(x[k], g->by, MAGIC - sum);
        q[k] = (int32_t)tw_bits_of_float(sum) - (MAGIC_BITS - g->zero);
        off = (uint32_t)tw_pmaxu((int32_t)off, (int32_t)(tw_bits_of_float(rest) << 1));
        most = tw_pmax(most, q[k]), least = tw_pmin(least, q[k]);
    }
    return off < tw_bits_of_float(g->near) << 1 && most < FAR && least > -FAR;
}

/* clip(round(x / scale) + zero) of n elements, not-a-number becomes 0. */
#define ROUNDED(T, TYPE, LOW, HIGH)                                                                                    \
    static __attribute__((noinline)) void rounded_##T(const float *x, const struct grid *g, TYPE *y, int n)            \
    {                                                                                                                  \
        int32_t low = LOW - g->zero, high = HIGH - g->zero;                                                            \
        for (; n > 0; n--, x++) {                                                                                      \
            float t = *x * g->by;                                                                                      \
            int32_t q = nearest(t);                                                                                    \
            if (__builtin_expect(!(__builtin_fabsf(t - (float)q) < g->near), 0))                                       \
                q = quotient(*x, g->scale, g->zero);                                                                   \
            *y++ = (TYPE)(tw_limited(q, low, high) + g->zero);                                                         \
        }                                                                                                              \
    }

/* The same of bytes, four at a time where products tell. */
#define ROUNDED_BYTES(T, TYPE, LOW, HIGH, CLIPPED)                                                                     \
    ROUNDED(one_##T, TYPE, LOW, HIGH)                                                                                  \
    static void rounded_##T(const float *x, const struct grid *g, TYPE *y, int n)                                      \
    {                                                                                                                  \
        for (int32_t q[4]; n >= 4; n -= 4, x += 4, y += 4)                                                             \
            if (__builtin_expect(four_quotients(x, g, q), 1))                                                          \
                for (int k = 0; k < 4; k++)                                                                            \
                    y[k] = (TYPE)CLIPPED(q[k]);                                                                        \
            else                                                                                                       \
                rounded_one_##T(x, g, y, 4);                                                                           \
        rounded_one_##T(x, g, y, n);                                                                                   \
    }

#define QUANTIZE(T, TYPE)                                                                                              \
    void tw_quantize_part_##T(const float *x, const float *scale, const TYPE *zero, TYPE *y, int channels, int inner,  \
                              int scale_step, int zero_step, int first, int last)                                      \
    {                                                                                                                  \
        for (int i = first; i < last;) {                                                                               \
            CHANNELS(i);                                                                                               \
            const struct grid g = grid_of(scale[c * scale_step], zero[c * zero_step], sizeof(TYPE));                   \
            rounded_##T(x + i, &g, y + i, n);                                                                          \
            i += n;                                                                                                    \
        }                                                                                                              \
    }

/* x - zero as a real; a difference that 32 bits do not hold is rare. */
static inline float difference(int32_t x, int32_t zero)
{
    int32_t d;
    return __builtin_expect(__builtin_sub_overflow(x, zero, &d), 0) ? (float)((int64_t)x - zero) : (float)d;
}

/* (x - zero) scale, channels in runs: `inner` elements of one, or one of each where they lie last. */
#define DEQUANTIZE(T, TYPE)                                                                                            \
    static inline __attribute__((always_inline)) void run_##T(const TYPE *restrict x, const float *restrict scale,     \
                                                              const TYPE *restrict zero, float *restrict y, int n,     \
                                                              int scale_step, int zero_step)                           \
    {                                                                                                                  \
        for (; n > 0; n--, scale += scale_step, zero += zero_step)                                                     \
            *y++ = difference(*x++, *zero) * *scale;                                                                   \
    }                                                                                                                  \
    void tw_dequantize_part_##T(const TYPE *x, const float *scale, const TYPE *zero, float *y, int channels,           \
                                int inner, int scale_step, int zero_step, int first, int last)                         \
    {                                                                                                                  \
        int along = inner == 1, row = along ? channels : inner;                                                        \
        for (int i = first, n; i < last; i += n) {                                                                     \
            int at = i / row, c = along ? i - at * row : at % channels, rest = row - (i - at * row);                   \
            const float *s = scale + c * scale_step;                                                                   \
            const TYPE *z = zero + c * zero_step;                                                                      \
            n = rest < last - i ? rest : last - i;                                                                     \
            if (along)                                                                                                 \
                run_##T(x + i, s, z, y + i, n, scale_step, zero_step);                                                 \
            else                                                                                                       \
                run_##T(x + i, s, z, y + i, n, 0, 0);                                                                  \
        }                                                                                                              \
    }

#define CONVERT(T, TYPE)                                                                                               \
    QUANTIZE(T, TYPE)                                                                                                  \
    DEQUANTIZE(T, TYPE)
#define CLIPPED_I8(q) tw_pclip(q, 8)
#define CLIPPED_U8(q) tw_pclipu(q, 9)

ROUNDED_BYTES(i8, int8_t, INT8_MIN, INT8_MAX, CLIPPED_I8)
ROUNDED_BYTES(u8, uint8_t, 0, UINT8_MAX, CLIPPED_U8)
ROUNDED(i16, int16_t, INT16_MIN, INT16_MAX)
ROUNDED(u16, uint16_t, 0, UINT16_MAX)
CONVERT(i8, int8_t)
CONVERT(u8, uint8_t)
CONVERT(i16, int16_t)
CONVERT(u16, uint16_t)
DEQUANTIZE(i32, int32_t)
