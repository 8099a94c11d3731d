/* Reductions over any axes, the place of the extreme, the largest elements, running sums.
 *
 * kept: a walk over the axes that stay, rows: a walk over the others; both step through x.
 */
#include "tw_kernels.h"
#include "tw_convert.h"
#include "tw_functions.h"

enum { SUM, MEAN, SQUARES, PRODUCT, MAX, MIN }; /* numbered as REDUCTIONS in ops/reduce.py */
enum { LANES = 8 };

/* acc[k] combined with v[k step] for every k; sums and products of floats in double. */
#define COMBINE(NAME, EXPRESSION)                                                                                      \
    case NAME:                                                                                                         \
        for (ptrdiff_t k = 0; k < n; k++) {                                                                            \
            double v = from[k * step], a = acc[k];                                                                     \
            acc[k] = EXPRESSION;                                                                                       \
        }                                                                                                              \
        break;

#define COMBINE_ALL                                                                                                    \
    switch (function) {                                                                                                \
        COMBINE(SQUARES, a + v * v)                                                                                    \
        COMBINE(PRODUCT, a * v)                                                                                        \
        COMBINE(MAX, v > a || v != v ? v : a)                                                                          \
        COMBINE(MIN, v < a || v != v ? v : a)                                                                          \
    default:                                                                                                           \
        COMBINE(SUM, a + v)                                                                                            \
    }

static double identity(int function)
{
    return function == MAX ? -tw_infinity() : function == MIN ? tw_infinity() : function == PRODUCT ? 1.0 : 0.0;
}

/* Lanes become one: of sums (squares are summed by now), products or extremes. */
static double joined(const double *lane, int function)
{
    double acc[1] = {lane[0]};
    const double *from = lane + 1;
    const int n = 1, step = 1;
    function = function == SQUARES ? SUM : function;
    for (int i = 1; i < LANES; i++, from++)
        COMBINE_ALL
    return acc[0];
}

/* Where the innermost reduced axis is contiguous, one result at a time in lanes; else a chunk of results together. */
#define REDUCE(T, TYPE)                                                                                                \
    static void combine_##T(double *restrict acc, const TYPE *restrict from, int step, int n, int function)            \
    {                                                                                                                  \
        if (step == 1)                                                                                                 \
            COMBINE_ALL                                                                                                \
        else                                                                                                           \
            COMBINE_ALL                                                                                                \
    }                                                                                                                  \
    static void along_##T(double *restrict lane, const TYPE *restrict from, int n, int function)                       \
    {                                                                                                                  \
        for (; n >= LANES; n -= LANES, from += LANES)                                                                  \
            combine_##T(lane, from, 1, LANES, function);                                                               \
        combine_##T(lane, from, 1, n, function);                                                                       \
    }                                                                                                                  \
    void tw_reduce_##T(const TYPE *restrict x, TYPE *restrict y, int function, int count, const int32_t *kept,         \
                       const int32_t *rows)                                                                            \
    {                                                                                                                  \
        double acc[TW_CHUNK], lane[LANES], start = identity(function), share = function == MEAN ? count : 1;           \
        struct tw_walk outer, inner;                                                                                   \
        int contiguous = tw_first_row(&inner, rows) && inner.step[0] == 1;                                             \
        TW_ROWS (outer, kept)                                                                                          \
            for (int i = 0, n; i < outer.n; i += n) {                                                                  \
                const TYPE *base = x + outer.at[0] + i * outer.step[0];                                                \
                n = contiguous ? 1 : outer.n - i < TW_CHUNK ? outer.n - i : TW_CHUNK;                                  \
                for (int k = 0; k < n; k++)                                                                            \
                    acc[k] = start;                                                                                    \
                for (int k = 0; k < LANES; k++)                                                                        \
                    lane[k] = start;                                                                                   \
                TW_ROWS (inner, rows)                                                                                  \
                    if (contiguous)                                                                                    \
                        along_##T(lane, base + inner.at[0], inner.n, function);                                        \
                    else                                                                                               \
                        for (int j = 0; j < inner.n; j++)                                                              \
                            combine_##T(acc, base + inner.at[0] + j * inner.step[0], outer.step[0], n, function);      \
                if (contiguous)                                                                                        \
                    acc[0] = joined(lane, function);                                                                   \
                for (int k = 0; k < n; k++)                                                                            \
                    *y++ = (TYPE)(acc[k] / share);                                                                     \
            }                                                                                                          \
    }

REDUCE(f32, float)
REDUCE(f64, double)

/* The mean of `count` integers: rounded half up where the count is a power of two, else half away from zero. */
static int64_t integer_mean(uint64_t sum, int count)
{
    int half = count >> 1, log2 = 0;
    if (count & (count - 1))
        return ((int64_t)sum < 0 ? (int64_t)(sum - (uint64_t)half) : (int64_t)(sum + (uint64_t)half)) / count;
    while (count >> log2 > 1)
        log2++;
    return tw_shifted((int64_t)(sum + (uint64_t)half), log2);
}

/* Integers modulo 2^64, whatever their type; the result wraps in its own. */
void tw_reduce_integers(const void *restrict x, void *restrict y, int from, int to, int function, int count,
                        const int32_t *kept, const int32_t *rows)
{
    const uint64_t flip = from == TW_U64 ? 0 : (uint64_t)1 << 63; /* orders signed numbers as unsigned ones */
    int64_t v[TW_CHUNK], result;
    int done = 0;
    struct tw_walk outer, inner;
    TW_ROWS (outer, kept)
        for (int i = 0; i < outer.n; i++) {
            uint64_t acc = function == MIN ? ~(uint64_t)0 : function == PRODUCT ? 1 : 0;
            TW_ROWS (inner, rows)
                for (int j = 0, n; j < inner.n; j += n) {
                    n = inner.n - j < TW_CHUNK ? inner.n - j : TW_CHUNK;
                    tw_load_integers(x, from, outer.at[0] + i * outer.step[0] + inner.at[0] + j * inner.step[0],
                                     inner.step[0], v, n);
                    for (int k = 0; k < n; k++) {
                        uint64_t u = (uint64_t)v[k], o = u ^ flip;
                        acc = function == SQUARES ? acc + u * u : function == PRODUCT ? acc * u
                            : function == MAX ? (o > acc ? o : acc) : function == MIN ? (o < acc ? o : acc) : acc + u;
                    }
                }
            result = function == MEAN ? integer_mean(acc, count)
                                      : (int64_t)(function == MAX || function == MIN ? acc ^ flip : acc);
            tw_store_integers(&result, y, to, done++, 1);
        }
}

#define NUMBER(v) 0
#define REAL(v) ((v) != (v))

#define FOR_NUMBERS(kind, USE)                                                                                         \
    switch (kind) {                                                                                                    \
    case TW_I16: USE(int16_t, NUMBER) break;                                                                           \
    case TW_I32: USE(int32_t, NUMBER) break;                                                                           \
    case TW_I64: USE(int64_t, NUMBER) break;                                                                           \
    case TW_I8: USE(int8_t, NUMBER) break;                                                                             \
    case TW_U16: USE(uint16_t, NUMBER) break;                                                                          \
    case TW_U32: USE(uint32_t, NUMBER) break;                                                                          \
    case TW_U64: USE(uint64_t, NUMBER) break;                                                                          \
    case TW_F32: USE(float, REAL) break;                                                                               \
    case TW_F64: USE(double, REAL) break;                                                                              \
    default: USE(uint8_t, NUMBER) break;                                                                               \
    }

/* Where the greatest (or least) of n elements is, the first of equals or the last; not-a-number beats all.
 * x: [outer][n][inner], y: [outer][inner]. */
void tw_arg(const void *restrict x, int64_t *restrict y, int kind, int outer, int n, int inner, int greatest, int last)
{
#define ARG(TYPE, NAN_OF)                                                                                              \
    for (int o = 0; o < outer; o++)                                                                                    \
        for (int j = 0; j < inner; j++) {                                                                              \
            const TYPE *from = (const TYPE *)x + (ptrdiff_t)o * n * inner + j;                                         \
            int best = last ? n - 1 : 0;                                                                               \
            TYPE most = from[(ptrdiff_t)best * inner];                                                                 \
            for (int i = 1; i < n; i++) {                                                                              \
                int at = last ? n - 1 - i : i;                                                                         \
                TYPE v = from[(ptrdiff_t)at * inner];                                                                  \
                if ((greatest ? v > most : v < most) || (NAN_OF(v) && !NAN_OF(most))) {                                \
                    best = at;                                                                                         \
                    most = v;                                                                                          \
                }                                                                                                      \
            }                                                                                                          \
            *y++ = best;                                                                                               \
        }
    FOR_NUMBERS(kind, ARG)
#undef ARG
}

/* The k largest (or smallest) of n elements in order, of equals the lower index first, not-a-number above all; each
 * found by a pass over those that come after the one before. x: [outer][n][inner], y, indices: [outer][k][inner]. */
void tw_top(const void *restrict x, void *restrict y, int64_t *restrict indices, int kind, int outer, int n, int inner,
            int k, int largest)
{
#define ABOVE(NAN_OF, p, q) (NAN_OF(p) ? !NAN_OF(q) : (p) > (q))
#define FIRST(NAN_OF, p, i, q, j)                                                                                      \
    ((largest ? ABOVE(NAN_OF, p, q) : ABOVE(NAN_OF, q, p)) ||                                                          \
     ((i) < (j) && !ABOVE(NAN_OF, p, q) && !ABOVE(NAN_OF, q, p)))
#define TOP(TYPE, NAN_OF)                                                                                              \
    for (int o = 0; o < outer; o++)                                                                                    \
        for (int j = 0; j < inner; j++) {                                                                              \
            const TYPE *from = (const TYPE *)x + (ptrdiff_t)o * n * inner + j;                                         \
            TYPE before = 0;                                                                                           \
            for (int rank = 0, last = -1; rank < k; rank++) {                                                          \
                int best = -1;                                                                                         \
                TYPE most = 0;                                                                                         \
                for (int i = 0; i < n; i++) {                                                                          \
                    TYPE v = from[(ptrdiff_t)i * inner];                                                               \
                    if ((last < 0 || FIRST(NAN_OF, before, last, v, i)) &&                                             \
                        (best < 0 || FIRST(NAN_OF, v, i, most, best))) {                                               \
                        best = i;                                                                                      \
                        most = v;                                                                                      \
                    }                                                                                                  \
                }                                                                                                      \
                ptrdiff_t at = ((ptrdiff_t)o * k + rank) * inner + j;                                                  \
                ((TYPE *)y)[at] = before = most;                                                                       \
                indices[at] = last = best;                                                                             \
            }                                                                                                          \
        }
    FOR_NUMBERS(kind, TOP)
#undef TOP
}

/* Running sum (or product) along n, of floats in double, of integers modulo 2^64. x, y: [outer][n][inner]. */
#define CUMULATIVE(TYPE, WIDE)                                                                                         \
    for (int o = 0; o < outer; o++)                                                                                    \
        for (int j = 0; j < inner; j++) {                                                                              \
            WIDE acc = product ? 1 : 0;                                                                                \
            for (int i = 0; i < n; i++) {                                                                              \
                ptrdiff_t at = ((ptrdiff_t)o * n + (reverse ? n - 1 - i : i)) * inner + j;                             \
                WIDE v = (WIDE)((const TYPE *)x)[at], with = product ? acc * v : acc + v;                              \
                ((TYPE *)y)[at] = (TYPE)(exclusive ? acc : with);                                                      \
                acc = with;                                                                                            \
            }                                                                                                          \
        }
#define INTEGER_CUMULATIVE(TYPE) CUMULATIVE(TYPE, uint64_t)

void tw_cumulative_f32(const float *restrict x, float *restrict y, int outer, int n, int inner, int product,
                       int exclusive, int reverse)
{
    CUMULATIVE(float, double)
}

void tw_cumulative_f64(const double *restrict x, double *restrict y, int outer, int n, int inner, int product,
                       int exclusive, int reverse)
{
    CUMULATIVE(double, double)
}

void tw_cumulative_integers(const void *restrict x, void *restrict y, int size, int outer, int n, int inner,
                            int product, int exclusive, int reverse)
{
    TW_BY_SIZE(size, INTEGER_CUMULATIVE)
}
