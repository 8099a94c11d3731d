/* Between reals and integers, and from wide integers to narrow ones.
 *
 * x, y: [outer][channels][inner]. Parameters are one per channel (step 1) or one for all (step 0).
 */
#include "tw_kernels.h"
#include "tw_convert.h"
#include "tw_functions.h"

/* One row at a time: along `inner` with one parameter, or, where that is 1, along the channels. The steps are constants
 * in the loops that matter. */
#define IN_ROWS(ROW)                                                                                                   \
    int along = inner == 1, n = along ? channels : inner, count = along ? outer : outer * channels;                    \
    for (int r = 0; r < count; r++, x += n, y += n) {                                                                  \
        int c = along ? 0 : r % channels, sa = along ? scale_step : 0, sb = along ? zero_step : 0;                     \
        if (sa == 0 && sb == 0)                                                                                        \
            ROW(x, scale + c * scale_step, zero + c * zero_step, y, n, 0, 0);                                          \
        else if (sa == 1 && sb == 1)                                                                                   \
            ROW(x, scale, zero, y, n, 1, 1);                                                                           \
        else                                                                                                           \
            ROW(x, scale, zero, y, n, sa, sb);                                                                         \
    }

/* clip(round(x / scale) + zero), ties to even; not-a-number becomes 0. */
#define QUANTIZE_NARROW(T, TYPE, LOW, HIGH)                                                                            \
    TW_GENERIC_INLINE void quantize_row_##T(const float *restrict x, const float *restrict scale,                      \
                                            const TYPE *restrict zero, TYPE *restrict y, int n, int sa, int sb)        \
    {                                                                                                                  \
        for (int i = 0; i < n; i++) {                                                                                  \
            float v = tw_round_f32(x[i] / scale[i * sa]), top = v < 1e6f ? v : 1e6f, in = top > -1e6f ? top : -1e6f;   \
            int32_t q = (int32_t)in + zero[i * sb], low = q < LOW ? LOW : q, held = low > HIGH ? HIGH : low;           \
            y[i] = (TYPE)(v == v ? held : 0);                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    QUANTIZE(T, TYPE)

#define QUANTIZE_WIDE(T, TYPE, LOW, HIGH)                                                                              \
    TW_GENERIC_INLINE void quantize_row_##T(const float *restrict x, const float *restrict scale,                      \
                                            const TYPE *restrict zero, TYPE *restrict y, int n, int sa, int sb)        \
    {                                                                                                                  \
        for (int i = 0; i < n; i++) {                                                                                  \
            double v = (double)tw_round_f32(x[i] / scale[i * sa]) + zero[i * sb];                                      \
            y[i] = v != v ? 0 : v <= (double)LOW ? LOW : v >= (double)HIGH ? HIGH : (TYPE)v;                           \
        }                                                                                                              \
    }                                                                                                                  \
    QUANTIZE(T, TYPE)

#define QUANTIZE(T, TYPE)                                                                                              \
    void tw_quantize_##T(const float *restrict x, const float *restrict scale, const TYPE *restrict zero,              \
                         TYPE *restrict y, int outer, int channels, int inner, int scale_step, int zero_step)          \
    {                                                                                                                  \
        IN_ROWS(quantize_row_##T)                                                                                      \
    }

/* (x - zero) scale. WIDE holds the difference. */
#define DEQUANTIZE(T, TYPE, WIDE)                                                                                      \
    TW_GENERIC_INLINE void dequantize_row_##T(const TYPE *restrict x, const float *restrict scale,                     \
                                              const TYPE *restrict zero, float *restrict y, int n, int sa, int sb)     \
    {                                                                                                                  \
        for (int i = 0; i < n; i++)                                                                                    \
            y[i] = (float)((WIDE)x[i] - (WIDE)zero[i * sb]) * scale[i * sa];                                           \
    }                                                                                                                  \
    void tw_dequantize_##T(const TYPE *restrict x, const float *restrict scale, const TYPE *restrict zero,             \
                           float *restrict y, int outer, int channels, int inner, int scale_step, int zero_step)       \
    {                                                                                                                  \
        IN_ROWS(dequantize_row_##T)                                                                                    \
    }

QUANTIZE_NARROW(i8, int8_t, INT8_MIN, INT8_MAX)
QUANTIZE_NARROW(u8, uint8_t, 0, UINT8_MAX)
QUANTIZE_NARROW(i16, int16_t, INT16_MIN, INT16_MAX)
QUANTIZE_NARROW(u16, uint16_t, 0, UINT16_MAX)
QUANTIZE_WIDE(i32, int32_t, INT32_MIN, INT32_MAX)
DEQUANTIZE(i8, int8_t, int32_t)
DEQUANTIZE(u8, uint8_t, int32_t)
DEQUANTIZE(i16, int16_t, int32_t)
DEQUANTIZE(u16, uint16_t, int32_t)
DEQUANTIZE(i32, int32_t, int64_t)

/* A chunk of integers of up to 32 bits; u32 modulo 2^32. */
static void load_narrow(const void *restrict x, int kind, int at, int32_t *restrict to, int n)
{
#define LOAD(TYPE)                                                                                                     \
    for (int i = 0; i < n; i++)                                                                                        \
        to[i] = (int32_t)((const TYPE *)x)[at + i];
    switch (kind) {
    case TW_I8: LOAD(int8_t) break;
    case TW_I16: LOAD(int16_t) break;
    case TW_U8: LOAD(uint8_t) break;
    case TW_U16: LOAD(uint16_t) break;
    case TW_U32: LOAD(uint32_t) break;
    default: LOAD(int32_t) break;
    }
#undef LOAD
}

/* Parameters of a chunk, from element `at` on; wide: i64. */
static void load_parameters(const void *restrict from, int wide, int at, int step, int64_t *restrict to, int n)
{
    if (wide)
        for (int i = 0; i < n; i++)
            to[i] = ((const int64_t *)from)[at + i * step];
    else
        for (int i = 0; i < n; i++)
            to[i] = ((const int32_t *)from)[at + i * step];
}

/* y = clip((x mul + add) >> shift, low, high), with a 64-bit product. */
void tw_requant(const void *restrict x, const int32_t *restrict mul, const void *restrict add, void *restrict y,
                int from, int to, int wide, int outer, int channels, int inner, int mul_step, int add_step, int shift,
                int64_t low, int64_t high)
{
    int along = inner == 1, n = along ? channels : inner, count = along ? outer : outer * channels;
    int32_t v[TW_CHUNK];
    int64_t m[TW_CHUNK], a[TW_CHUNK], result[TW_CHUNK];
    for (int r = 0; r < count; r++)
        for (int i = 0, k; i < n; i += k) {
            int c = along ? i : r % channels;
            k = n - i < TW_CHUNK ? n - i : TW_CHUNK;
            load_narrow(x, from, r * n + i, v, k);
            if (along || i == 0) {
                load_parameters(mul, 0, c * mul_step, along ? mul_step : 0, m, k);
                load_parameters(add, wide, c * add_step, along ? add_step : 0, a, k);
            }
            for (int j = 0; j < k; j++) {
                int64_t product = (int64_t)v[j] * (int32_t)m[j];
                if (from == TW_U32 && v[j] < 0)
                    product = (int64_t)(uint32_t)v[j] * m[j];
                int64_t q = tw_shifted((int64_t)((uint64_t)product + (uint64_t)a[j]), shift);
                q = q < low ? low : q;
                result[j] = q > high ? high : q;
            }
            tw_store_integers(result, y, to, r * n + i, k);
        }
}
