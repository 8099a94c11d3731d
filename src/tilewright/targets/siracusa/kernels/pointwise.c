/* Functions of one or two integers, with broadcasting: sums and products of quantised tensors, wide arithmetic, tables,
 * QuantLib's activations. y may be an operand of the same size and shape.
 */
#include "tw_kernels.h"
#include "tw_generic.h"
#include "tw_flat.h"

#define ONE(k) int32_t v##k;
#define TWO(k) int32_t v##k, w##k;
#define LOAD_ONE(k, i) v##k = p[i];
#define LOAD_TWO(k, i) v##k = p[i], w##k = q[i];
#define LOAD_STEPS(k, i) v##k = p[(i) * sp], w##k = q[(i) * sq];
#define LIMIT(k) v##k = tw_limited(v##k, low, high);
#define STORE(k, i) y[i] = (uint8_t)v##k;

#define ADD_TWO(k) v##k = tw_pmac(tw_pmac(add, v##k, mul_a), w##k, mul_b) >> shift; LIMIT(k)
#define ADD_ONE(k) v##k = tw_pmac(fixed, v##k, mul_a) >> shift; LIMIT(k)
#define ADD_WIDE(k)                                                                                                    \
    v##k = tw_wide_limited((int64_t)v##k * mul_a + (int64_t)w##k * mul_b + add, shift, low, high);
#define MUL_TWO(k) v##k = tw_pmac(add, (v##k - zero_a) * (w##k - zero_b), mul) >> shift; LIMIT(k)
#define MUL_WIDE(k)                                                                                                    \
    v##k = tw_wide_limited((int64_t)((v##k - zero_a) * (w##k - zero_b)) * mul + add, shift, low, high);

/* Sums of two quantised tensors: y = clip((a mul_a + b mul_b + add) >> shift, low, high). The sum of products stays
 * within 32 bits in the first. */
#define SUM(NAME, TA, TB)                                                                                              \
    void tw_sum_##NAME(const TA *a, const TB *b, uint8_t *y, int mul_a, int mul_b, int add, int shift, int low,        \
                       int high, const int32_t *rows, int first, int last)                                             \
    {                                                                                                                  \
        struct tw_walk walk;                                                                                           \
        y += first;                                                                                                    \
        TW_PARTS (walk, rows, first, last) {                                                                           \
            const TA *p = a + walk.at[0];                                                                              \
            const TB *q = b + walk.at[1];                                                                              \
            int sp = walk.step[0], sq = walk.step[1];                                                                  \
            if (sp == 1 && sq == 1) {                                                                                  \
                TW_FOURS(walk.n, TWO, LOAD_TWO, ADD_TWO, STORE);                                                       \
            } else if (sp == 1 && sq == 0) {                                                                           \
                int32_t fixed = tw_pmac(add, *q, mul_b);                                                       \
                TW_FOURS(walk.n, ONE, LOAD_ONE, ADD_ONE, STORE);                                                       \
            } else {                                                                                                   \
                TW_FOURS(walk.n, TWO, LOAD_STEPS, ADD_TWO, STORE);                                                     \
            }                                                                                                          \
            y += walk.n;                                                                                               \
        }                                                                                                              \
    }                                                                                                                  \
    void tw_sum_wide_##NAME(const TA *a, const TB *b, uint8_t *y, int mul_a, int mul_b, int64_t add, int shift,        \
                            int low, int high, const int32_t *rows, int first, int last)                               \
    {                                                                                                                  \
        struct tw_walk walk;                                                                                           \
        y += first;                                                                                                    \
        TW_PARTS (walk, rows, first, last) {                                                                           \
            const TA *p = a + walk.at[0];                                                                              \
            const TB *q = b + walk.at[1];                                                                              \
            int sp = walk.step[0], sq = walk.step[1];                                                                  \
            TW_FOURS(walk.n, TWO, LOAD_STEPS, ADD_WIDE, STORE);                                                        \
            y += walk.n;                                                                                               \
        }                                                                                                              \
    }                                                                                                                  \
    /* y = clip(((a - zero_a) (b - zero_b) mul + add) >> shift, low, high); in 32 bits where `narrow`. */              \
    void tw_product_##NAME(const TA *a, const TB *b, uint8_t *y, int zero_a, int zero_b, int mul, int64_t addend,      \
                           int shift, int low, int high, int narrow, const int32_t *rows, int first, int last)         \
    {                                                                                                                  \
        struct tw_walk walk;                                                                                           \
        y += first;                                                                                                    \
        TW_PARTS (walk, rows, first, last) {                                                                           \
            const TA *p = a + walk.at[0];                                                                              \
            const TB *q = b + walk.at[1];                                                                              \
            int sp = walk.step[0], sq = walk.step[1];                                                                  \
            if (narrow) {                                                                                              \
                int32_t add = (int32_t)addend;                                                                         \
                TW_FOURS(walk.n, TWO, LOAD_STEPS, MUL_TWO, STORE);                                                     \
            } else {                                                                                                   \
                int64_t add = addend;                                                                                  \
                TW_FOURS(walk.n, TWO, LOAD_STEPS, MUL_WIDE, STORE);                                                    \
            }                                                                                                          \
            y += walk.n;                                                                                               \
        }                                                                                                              \
    }

SUM(i8_i8, int8_t, int8_t)
SUM(i8_u8, int8_t, uint8_t)
SUM(u8_i8, uint8_t, int8_t)
SUM(u8_u8, uint8_t, uint8_t)

#define STORE_WIDE(k, i) y[i] = (int32_t)v##k;
#define UNSIGNED_TWO(k) uint32_t v##k, w##k;
#define LOAD_UNSIGNED(k, i) v##k = (uint32_t)p[i], w##k = (uint32_t)q[i];
#define LOAD_UNSIGNED_STEPS(k, i) v##k = (uint32_t)p[(i) * sp], w##k = (uint32_t)q[(i) * sq];
#define UNSIGNED_ONE(k) uint32_t v##k;
#define LOAD_UNSIGNED_ONE(k, i) v##k = (uint32_t)p[i];
#define MAKE_ADD(k) v##k += w##k;
#define MAKE_SUB(k) v##k -= w##k;
#define MAKE_MUL(k) v##k *= w##k;
#define MAKE_ADD_ONE(k) v##k += fixed;
#define MAKE_SUB_ONE(k) v##k -= fixed;
#define MAKE_MUL_ONE(k) v##k *= fixed;

#define ONE_OF_THREE(n, DECLARE, LOAD, SUFFIX)                                                                         \
    if (function == 0)                                                                                                 \
        TW_FOURS(n, DECLARE, LOAD, MAKE_ADD##SUFFIX, STORE_WIDE);                                                      \
    else if (function == 1)                                                                                            \
        TW_FOURS(n, DECLARE, LOAD, MAKE_SUB##SUFFIX, STORE_WIDE);                                                      \
    else                                                                                                               \
        TW_FOURS(n, DECLARE, LOAD, MAKE_MUL##SUFFIX, STORE_WIDE);

/* y = a + b, a - b or a b (function 0, 1, 2), modulo 2^32. */
#define ARITHMETIC(NAME, TA, TB)                                                                                       \
    void tw_wide_##NAME(const TA *a, const TB *b, int32_t *y, int function, const int32_t *rows, int first, int last)  \
    {                                                                                                                  \
        struct tw_walk walk;                                                                                           \
        y += first;                                                                                                    \
        TW_PARTS (walk, rows, first, last) {                                                                           \
            const TA *p = a + walk.at[0];                                                                              \
            const TB *q = b + walk.at[1];                                                                              \
            int sp = walk.step[0], sq = walk.step[1];                                                                  \
            if (sp == 1 && sq == 1) {                                                                                  \
                ONE_OF_THREE(walk.n, UNSIGNED_TWO, LOAD_UNSIGNED, )                                                    \
            } else if (sp == 1 && sq == 0) {                                                                           \
                uint32_t fixed = (uint32_t)*q;                                                                         \
                ONE_OF_THREE(walk.n, UNSIGNED_ONE, LOAD_UNSIGNED_ONE, _ONE)                                            \
            } else {                                                                                                   \
                ONE_OF_THREE(walk.n, UNSIGNED_TWO, LOAD_UNSIGNED_STEPS, )                                              \
            }                                                                                                          \
            y += walk.n;                                                                                               \
        }                                                                                                              \
    }

ARITHMETIC(i8_i8, int8_t, int8_t)
ARITHMETIC(i8_u8, int8_t, uint8_t)
ARITHMETIC(i8_i32, int8_t, int32_t)
ARITHMETIC(u8_i8, uint8_t, int8_t)
ARITHMETIC(u8_u8, uint8_t, uint8_t)
ARITHMETIC(u8_i32, uint8_t, int32_t)
ARITHMETIC(i32_i8, int32_t, int8_t)
ARITHMETIC(i32_u8, int32_t, uint8_t)
ARITHMETIC(i32_i32, int32_t, int32_t)

#define ENTRY(k) uint32_t v##k;
#define LOOK(k) v##k = from[v##k];
#define STORE_ENTRY(k, i) to[i] = (__typeof__(*to))v##k;
#define TABLE(TYPE)                                                                                                    \
    {                                                                                                                  \
        const TYPE *from = (const TYPE *)table;                                                                        \
        TYPE *to = (TYPE *)y + first;                                                                                  \
        TW_FOURS(last - first, ENTRY, LOAD_ONE, LOOK, STORE_ENTRY);                                                    \
    }

/* y = table[x], entries of `size` bytes (1, 2 or 4), indexed by the bits of x. */
void tw_table(const uint8_t *x, const void *table, void *y, int size, int first, int last)
{
    const uint8_t *p = x + first;
    if (size == 1)
        TABLE(uint8_t)
    else if (size == 2)
        TABLE(uint16_t)
    else
        TABLE(uint32_t)
}

/* A product modulo 2^32. */
TW_FLAT int32_t times(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

#define SWISH(k) v##k = times(v##k, times(tw_limited(v##k + three, 0, six), one_over_six));
/* The bend takes the sign of v; of 0 the factor does not matter. */
#define BEND(k)                                                                                                        \
    {                                                                                                                  \
        int32_t sign = v##k >> 31, q = tw_pmin((v##k ^ sign) - sign, -b) + b, l = one - q * q;                       \
        v##k = times(v##k, (one + ((l ^ sign) - sign)) >> 1);                                                          \
    }

/* QuantLib's activations of bytes (ops/dialect.py), modulo 2^32. */
#define ACTIVATIONS(T, TYPE)                                                                                           \
    void tw_swish_##T(const TYPE *x, int32_t *y, int one_over_six, int three, int six, int first, int last)            \
    {                                                                                                                  \
        const TYPE *p = x + first;                                                                                     \
        y += first;                                                                                                    \
        TW_FOURS(last - first, ONE, LOAD_ONE, SWISH, STORE_WIDE);                                                      \
    }                                                                                                                  \
    void tw_gelu_##T(const TYPE *x, int32_t *y, int b, int one, int first, int last)                                   \
    {                                                                                                                  \
        const TYPE *p = x + first;                                                                                     \
        y += first;                                                                                                    \
        TW_FOURS(last - first, ONE, LOAD_ONE, BEND, STORE_WIDE);                                                       \
    }                                                                                                                  \
    /* ((x w + b) mul) >> shift modulo 2^32 before the shift; y is i32 (`wide`) or i8. rows: of x, w and b. */         \
    void tw_affine_##T(const TYPE *x, const int32_t *w, const int32_t *b, void *y, int wide, int mul, int shift,       \
                       const int32_t *rows, int first, int last)                                                       \
    {                                                                                                                  \
        int done = first;                                                                                              \
        struct tw_walk walk;                                                                                           \
        TW_PARTS (walk, rows, first, last)                                                                             \
            for (int i = 0; i < walk.n; i++, done++) {                                                                 \
                int32_t v = tw_pmac(b[walk.at[2] + i * walk.step[2]], x[walk.at[0] + i * walk.step[0]],        \
                                            w[walk.at[1] + i * walk.step[1]]);                                         \
                v = times(v, mul) >> shift;                                                   \
                if (wide)                                                                                              \
                    ((int32_t *)y)[done] = v;                                                                          \
                else                                                                                                   \
                    ((int8_t *)y)[done] = (int8_t)v;                                                                   \
            }                                                                                                          \
    }

ACTIVATIONS(i8, int8_t)
ACTIVATIONS(u8, uint8_t)
