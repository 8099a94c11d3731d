/* Elements of any type as int64_t (u64 modulo 2^64) or double, a chunk at a time, and back. */
#ifndef TW_CONVERT_H
#define TW_CONVERT_H

#include "tw_generic.h"

#if defined(__GNUC__)
#define TW_CONVERT static __attribute__((unused))
#else
#define TW_CONVERT static
#endif

#define TW_FOR_INTEGERS(USE)                                                                                           \
    case TW_BOOL: USE(uint8_t) break;                                                                                  \
    case TW_I8: USE(int8_t) break;                                                                                     \
    case TW_I16: USE(int16_t) break;                                                                                   \
    case TW_I32: USE(int32_t) break;                                                                                   \
    case TW_I64: USE(int64_t) break;                                                                                   \
    case TW_U8: USE(uint8_t) break;                                                                                    \
    case TW_U16: USE(uint16_t) break;                                                                                  \
    case TW_U32: USE(uint32_t) break;                                                                                  \
    case TW_U64: USE(uint64_t) break;

/* n integers from element `at` of x on, `step` elements apart. */
TW_CONVERT void tw_load_integers(const void *restrict x, int kind, int at, int step, int64_t *restrict to, int n)
{
#define TW_LOAD(TYPE)                                                                                                  \
    {                                                                                                                  \
        const TYPE *from = (const TYPE *)x + at;                                                                       \
        if (step == 1)                                                                                                 \
            for (int i = 0; i < n; i++)                                                                                \
                to[i] = (int64_t)from[i];                                                                              \
        else                                                                                                           \
            for (ptrdiff_t i = 0; i < n; i++)                                                                          \
                to[i] = (int64_t)from[i * step];                                                                       \
    }
    switch (kind) {
        TW_FOR_INTEGERS(TW_LOAD)
    }
#undef TW_LOAD
}

/* n elements of y from element `at` on: integers wrap, of bool every number but 0 is true. */
TW_CONVERT void tw_store_integers(const int64_t *restrict from, void *restrict y, int kind, int at, int n)
{
#define TW_STORE(TYPE)                                                                                                 \
    {                                                                                                                  \
        TYPE *to = (TYPE *)y + at;                                                                                     \
        for (int i = 0; i < n; i++)                                                                                    \
            to[i] = (TYPE)from[i];                                                                                     \
    }
    if (kind == TW_BOOL) {
        uint8_t *to = (uint8_t *)y + at;
        for (int i = 0; i < n; i++)
            to[i] = from[i] != 0;
        return;
    }
    switch (kind) {
        TW_FOR_INTEGERS(TW_STORE)
    }
#undef TW_STORE
}

/* n numbers of any type as double, `step` elements apart. */
TW_CONVERT void tw_load_doubles(const void *restrict x, int kind, int at, int step, double *restrict to, int n)
{
#define TW_LOAD(TYPE)                                                                                                  \
    for (ptrdiff_t i = 0; i < n; i++)                                                                                  \
        to[i] = (double)((const TYPE *)x + at)[i * step];
    switch (kind) {
        TW_FOR_INTEGERS(TW_LOAD)
    case TW_F32: TW_LOAD(float) break;
    case TW_F64: TW_LOAD(double) break;
    }
#undef TW_LOAD
}

/* n elements of y from element `at` on: to integers truncated to zero and saturated, not-a-number becomes 0. */
TW_CONVERT void tw_store_doubles(const double *restrict from, void *restrict y, int kind, int at, int n)
{
#define TW_SATURATED(TYPE, LOW, HIGH)                                                                                  \
    for (int i = 0; i < n; i++) {                                                                                      \
        double v = from[i];                                                                                            \
        ((TYPE *)y + at)[i] = v != v ? 0 : v <= (double)LOW ? LOW : v >= (double)HIGH ? HIGH : (TYPE)v;                \
    }
    switch (kind) {
    case TW_BOOL:
        for (int i = 0; i < n; i++)
            ((uint8_t *)y + at)[i] = from[i] != 0.0;
        break;
    case TW_I8: TW_SATURATED(int8_t, INT8_MIN, INT8_MAX) break;
    case TW_I16: TW_SATURATED(int16_t, INT16_MIN, INT16_MAX) break;
    case TW_I32: TW_SATURATED(int32_t, INT32_MIN, INT32_MAX) break;
    case TW_I64: TW_SATURATED(int64_t, INT64_MIN, INT64_MAX) break;
    case TW_U8: TW_SATURATED(uint8_t, 0, UINT8_MAX) break;
    case TW_U16: TW_SATURATED(uint16_t, 0, UINT16_MAX) break;
    case TW_U32: TW_SATURATED(uint32_t, 0, UINT32_MAX) break;
    case TW_U64: TW_SATURATED(uint64_t, 0, UINT64_MAX) break;
    case TW_F32:
        for (int i = 0; i < n; i++)
            ((float *)y + at)[i] = (float)from[i];
        break;
    case TW_F64: memcpy((double *)y + at, from, (size_t)n * sizeof(double)); break;
    }
#undef TW_SATURATED
}

#endif
