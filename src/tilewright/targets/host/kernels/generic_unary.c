/* Functions of one element. y may be x.
 *
 * Every function is one loop over elements that cannot overlap its result, so that it vectorises: where the kernel runs
 * in place, the elements of a chunk are copied first.
 */
#include "tw_kernels.h"
#include "tw_functions.h"
#include "tw_generic.h"

/* Numbered as in targets/host/generic_elementwise.py. */
enum { NEG, ABS, SIGN, RELU, RECIP, FLOOR, CEIL, ROUND, SQRT, LEAKY, HARDSIGMOID, HARDSWISH };
enum { EXP, SIGMOID, SILU, TANH, ERF, GELU, GELU_TANH, ELU, SOFTPLUS, LOG };
enum { SIN, COS, TAN, ASIN, ACOS, ATAN, SINH, COSH, ASINH, ACOSH, ATANH };
enum { INT_NEG, INT_ABS, INT_SIGN, INT_RELU, INT_NOT };

#define CASE(NAME, TYPE, EXPRESSION)                                                                                   \
    case NAME:                                                                                                         \
        for (int i = 0; i < n; i++) {                                                                                  \
            TYPE v = x[i];                                                                                             \
            y[i] = (TYPE)(EXPRESSION);                                                                                 \
        }                                                                                                              \
        break;

/* The kernel around `apply(x, y, n, function, alpha, beta)`, for elements first .. last. */
#define IN_CHUNKS(TYPE, APPLY)                                                                                         \
    TYPE copy[TW_CHUNK];                                                                                               \
    int n = last - first;                                                                                              \
    x += first, y += first;                                                                                            \
    if (y != x) {                                                                                                      \
        APPLY(x, y, n, function, alpha, beta);                                                                         \
        return;                                                                                                        \
    }                                                                                                                  \
    for (int i = 0; i < n; i += TW_CHUNK) {                                                                            \
        int count = n - i < TW_CHUNK ? n - i : TW_CHUNK;                                                               \
        memcpy(copy, x + i, (size_t)count * sizeof(TYPE));                                                             \
        APPLY(copy, y + i, count, function, alpha, beta);                                                              \
    }

#define CLIPPED(v) ((v) < 0 ? 0 : (v) > 1 ? 1 : (v))

#define SIMPLE(T, TYPE)                                                                                                \
    static void simple_##T(const TYPE *restrict x, TYPE *restrict y, int n, int function, TYPE alpha, TYPE beta)       \
    {                                                                                                                  \
        switch (function) {                                                                                            \
            CASE(NEG, TYPE, -v)                                                                                        \
            CASE(ABS, TYPE, v <= 0 ? 0 - v : v)                                                                        \
            CASE(SIGN, TYPE, v > 0 ? 1 : v < 0 ? -1 : v)                                                               \
            CASE(RELU, TYPE, v < 0 ? 0 : v)                                                                            \
            CASE(RECIP, TYPE, 1 / v)                                                                                   \
            CASE(FLOOR, TYPE, tw_floor_##T(v))                                                                         \
            CASE(CEIL, TYPE, tw_ceil_##T(v))                                                                           \
            CASE(ROUND, TYPE, tw_round_##T(v))                                                                         \
            CASE(SQRT, TYPE, tw_sqrt_##T(v))                                                                           \
            CASE(LEAKY, TYPE, v < 0 ? alpha * v : v)                                                                   \
            CASE(HARDSIGMOID, TYPE, CLIPPED(alpha * v + beta))                                                         \
            CASE(HARDSWISH, TYPE, v * CLIPPED(v * (TYPE)(1.0 / 6.0) + (TYPE)0.5))                                      \
        }                                                                                                              \
    }                                                                                                                  \
    void tw_unary_simple_##T(const TYPE *x, TYPE *y, int first, int last, int function, TYPE alpha, TYPE beta)         \
    {                                                                                                                  \
        IN_CHUNKS(TYPE, simple_##T)                                                                                    \
    }

/* Softplus is max(v, 0) + ln(1 + e^-|v|). */
#define EXPONENTIAL(T, TYPE)                                                                                           \
    static void exponential_##T(const TYPE *restrict x, TYPE *restrict y, int n, int function, TYPE alpha, TYPE beta)  \
    {                                                                                                                  \
        (void)beta;                                                                                                    \
        switch (function) {                                                                                            \
            CASE(EXP, TYPE, tw_exp_##T(v))                                                                             \
            CASE(SIGMOID, TYPE, tw_sigmoid_##T(v))                                                                     \
            CASE(SILU, TYPE, v * tw_sigmoid_##T(v))                                                                    \
            CASE(TANH, TYPE, tw_tanh_##T(v))                                                                           \
            CASE(ERF, TYPE, tw_erf_##T(v))                                                                             \
            CASE(GELU, TYPE, (TYPE)0.5 * v * (1 + tw_erf_##T(v * (TYPE)0.7071067811865476)))                           \
            CASE(GELU_TANH, TYPE,                                                                                      \
                 (TYPE)0.5 * v * (1 + tw_tanh_##T((TYPE)0.7978845608028654 * (v + (TYPE)0.044715 * v * v * v))))       \
            CASE(ELU, TYPE, v < 0 ? alpha * tw_expm1_##T(v) : v)                                                       \
            CASE(SOFTPLUS, TYPE, (v < 0 ? 0 : v) + (TYPE)tw_log1p_f64(tw_exp_##T(v < 0 ? v : -v)))                     \
            CASE(LOG, TYPE, tw_log_f64(v))                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
    void tw_unary_exponential_##T(const TYPE *x, TYPE *y, int first, int last, int function, TYPE alpha, TYPE beta)    \
    {                                                                                                                  \
        IN_CHUNKS(TYPE, exponential_##T)                                                                               \
    }

#define CIRCULAR(T, TYPE)                                                                                              \
    void tw_unary_circular_##T(const TYPE *x, TYPE *y, int first, int last, int function)                              \
    {                                                                                                                  \
        int n = last - first;                                                                                          \
        x += first, y += first;                                                                                        \
        switch (function) {                                                                                            \
            CASE(SIN, TYPE, tw_sin_f64(v))                                                                             \
            CASE(COS, TYPE, tw_cos_f64(v))                                                                             \
            CASE(TAN, TYPE, tw_tan_f64(v))                                                                             \
            CASE(ASIN, TYPE, tw_asin_f64(v))                                                                           \
            CASE(ACOS, TYPE, tw_acos_f64(v))                                                                           \
            CASE(ATAN, TYPE, tw_atan_f64(v))                                                                           \
            CASE(SINH, TYPE, tw_sinh_f64(v))                                                                           \
            CASE(COSH, TYPE, tw_cosh_f64(v))                                                                           \
            CASE(ASINH, TYPE, tw_asinh_f64(v))                                                                         \
            CASE(ACOSH, TYPE, tw_acosh_f64(v))                                                                         \
            CASE(ATANH, TYPE, tw_atanh_f64(v))                                                                         \
        }                                                                                                              \
    }

/* kind 0: not a number; 1: infinite, of the signs that count. */
#define CLASSIFY(T, TYPE)                                                                                              \
    void tw_classify_##T(const TYPE *restrict x, uint8_t *restrict y, int first, int last, int kind,                   \
                         int negative, int positive)                                                                   \
    {                                                                                                                  \
        TYPE end = (TYPE)tw_infinity();                                                                                \
        for (int i = first; i < last; i++) {                                                                           \
            TYPE v = x[i];                                                                                             \
            y[i] = (uint8_t)(kind == 0 ? v != v : (v == end && positive) || (v == -end && negative));                  \
        }                                                                                                              \
    }

/* WIDE is an unsigned type of at least 32 bits: negation wraps. */
#define SIGNED_INTEGER(T, TYPE, WIDE)                                                                                  \
    static void integer_##T(const TYPE *restrict x, TYPE *restrict y, int n, int function, int alpha, int beta)        \
    {                                                                                                                  \
        (void)alpha, (void)beta;                                                                                       \
        switch (function) {                                                                                            \
            CASE(INT_NEG, TYPE, 0 - (WIDE)v)                                                                           \
            CASE(INT_ABS, TYPE, v < 0 ? 0 - (WIDE)v : (WIDE)v)                                                         \
            CASE(INT_SIGN, TYPE, (v > 0) - (v < 0))                                                                    \
            CASE(INT_RELU, TYPE, v < 0 ? 0 : v)                                                                        \
            CASE(INT_NOT, TYPE, ~(WIDE)v)                                                                              \
        }                                                                                                              \
    }                                                                                                                  \
    INTEGER_KERNEL(T, TYPE)

#define UNSIGNED_INTEGER(T, TYPE, WIDE)                                                                                \
    static void integer_##T(const TYPE *restrict x, TYPE *restrict y, int n, int function, int alpha, int beta)        \
    {                                                                                                                  \
        (void)alpha, (void)beta;                                                                                       \
        switch (function) {                                                                                            \
            CASE(INT_ABS, TYPE, v)                                                                                     \
            CASE(INT_SIGN, TYPE, v > 0)                                                                                \
            CASE(INT_NOT, TYPE, ~(WIDE)v)                                                                              \
        }                                                                                                              \
    }                                                                                                                  \
    INTEGER_KERNEL(T, TYPE)

#define INTEGER_KERNEL(T, TYPE)                                                                                        \
    void tw_unary_##T(const TYPE *x, TYPE *y, int first, int last, int function)                                       \
    {                                                                                                                  \
        int alpha = 0, beta = 0;                                                                                       \
        IN_CHUNKS(TYPE, integer_##T)                                                                                   \
    }

SIMPLE(f32, float)
SIMPLE(f64, double)
EXPONENTIAL(f32, float)
EXPONENTIAL(f64, double)
CIRCULAR(f32, float)
CIRCULAR(f64, double)
CLASSIFY(f32, float)
CLASSIFY(f64, double)
SIGNED_INTEGER(i8, int8_t, uint32_t)
SIGNED_INTEGER(i16, int16_t, uint32_t)
SIGNED_INTEGER(i32, int32_t, uint32_t)
SIGNED_INTEGER(i64, int64_t, uint64_t)
UNSIGNED_INTEGER(u8, uint8_t, uint32_t)
UNSIGNED_INTEGER(u16, uint16_t, uint32_t)
UNSIGNED_INTEGER(u32, uint32_t, uint32_t)
UNSIGNED_INTEGER(u64, uint64_t, uint64_t)

void tw_not(const uint8_t *x, uint8_t *y, int first, int last)
{
    for (int i = first; i < last; i++)
        y[i] = !x[i];
}
