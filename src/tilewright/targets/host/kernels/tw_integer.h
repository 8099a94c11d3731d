/* The inner loop of 8-bit matrix products and convolutions, and the one requantisation.
 *
 * Inputs are widened to 16 bits in columns of their own; weights are packed in pairs, [rows / 16][depth / 2][16][2], so
 * that one step adds two products to each of 16 sums. x86 has an instruction for that, which compilers do not find by
 * themselves; elsewhere it is written out. Integers are exact, so every way gives the same bits.
 */
#ifndef TW_INTEGER_H
#define TW_INTEGER_H

#include "tw_dense.h"

#if TW_WIDE > 1
#if defined(__SSE2__)
#include <immintrin.h>
#endif
typedef int32_t tw_ivec __attribute__((vector_size(4 * TW_WIDE), aligned(4), may_alias));
typedef int16_t tw_pairs __attribute__((vector_size(4 * TW_WIDE)));
typedef int8_t tw_bytes __attribute__((vector_size(2 * TW_WIDE), aligned(1), may_alias));
typedef int8_t tw_lane_i8 __attribute__((vector_size(TW_WIDE), aligned(1), may_alias));
typedef uint8_t tw_lane_u8 __attribute__((vector_size(TW_WIDE), aligned(1), may_alias));
typedef int16_t tw_lane_i16 __attribute__((vector_size(2 * TW_WIDE)));
/* Bytes as 32-bit numbers, by way of 16 bits: gcc takes apart what does not double. */
#define TW_WIDEN(type, p) __builtin_convertvector(__builtin_convertvector(*(const type *)(p), tw_lane_i16), tw_ivec)
#else
typedef int32_t tw_ivec;
typedef int8_t tw_lane_i8;
typedef uint8_t tw_lane_u8;
#define TW_WIDEN(type, p) ((tw_ivec) * (const type *)(p))
#endif

/* sum + w[0] * x[0] + w[1] * x[1] in every lane; w: a pair per lane, x: one pair. */
TW_INLINE void tw_add_products(tw_ivec *sum, const int8_t *restrict w, const int16_t *restrict x)
{
#if TW_WIDE == 1
    *sum += w[0] * x[0] + w[1] * x[1];
#else
    int32_t pair;
    memcpy(&pair, x, sizeof pair);
    tw_pairs weights = __builtin_convertvector(*(const tw_bytes *)w, tw_pairs);
    tw_pairs inputs = (tw_pairs)((tw_ivec){0} + pair);
#if defined(__AVX512VNNI__)
    *sum = (tw_ivec)_mm512_dpwssd_epi32((__m512i)*sum, (__m512i)weights, (__m512i)inputs);
#elif defined(__AVX512BW__)
    *sum += (tw_ivec)_mm512_madd_epi16((__m512i)weights, (__m512i)inputs);
#elif defined(__AVX2__) && TW_WIDE == 8
    *sum += (tw_ivec)_mm256_madd_epi16((__m256i)weights, (__m256i)inputs);
#elif defined(__SSE2__) && TW_WIDE == 4
    *sum += (tw_ivec)_mm_madd_epi16((__m128i)weights, (__m128i)inputs);
#else
    for (int i = 0; i < TW_WIDE; i++)
        (*sum)[i] += weights[2 * i] * x[0] + weights[2 * i + 1] * x[1];
#endif
#endif
}

/* sum[p * count + i] += w[p] . column[i], columns and panels of `depth` (even) elements one after another. */
TW_INLINE void tw_dot(int count, int panels, tw_ivec sum[TW_SUMS][TW_VECS], const int16_t *restrict columns,
                      const int8_t *restrict w, int depth)
{
    for (int k = 0; k < depth; k += 2)
        for (int p = 0; p < panels; p++)
            for (int i = 0; i < count; i++)
                for (int v = 0; v < TW_VECS; v++)
                    tw_add_products(&sum[p * count + i][v], w + (p * depth + k) * TW_GROUP + v * 2 * TW_WIDE,
                                    columns + i * depth + k);
}

/* `n` bytes at x as 16-bit numbers. */
TW_INLINE void tw_to_16(int16_t *restrict y, const void *restrict x, int n, int is_signed)
{
    const int8_t *s = x;
    const uint8_t *u = x;
    if (is_signed)
        for (int i = 0; i < n; i++)
            y[i] = s[i];
    else
        for (int i = 0; i < n; i++)
            y[i] = u[i];
}

/* What follows the sums: y = clip(((sum + b) * mul + add) >> shift, low, high), or sum + b where mul is null.
 * mul, add: one element (step 0) or one per channel (step 1); add has 4 or 8 bytes, y 1, 2 or 4. b may be null. */
struct tw_finish {
    const int32_t *b, *mul;
    const void *add;
    void *y;
    int mul_step, add_bytes, add_step, shift, low, high, y_bytes;
};

/* The parameters of one panel: `count` channels. */
struct tw_scales {
    int64_t add[TW_GROUP];
    int32_t mul[TW_GROUP], b[TW_GROUP];
    int count;
};

/* Look up channels r .. r + count, once for all pixels or tokens that share them. */
TW_INLINE struct tw_scales tw_scales(const struct tw_finish *f, int r, int count)
{
    struct tw_scales s = {{0}, {0}, {0}, count};
    const int32_t *narrow = f->add;
    const int64_t *wide = f->add;
    for (int i = 0; i < count && f->b != 0; i++)
        s.b[i] = f->b[r + i];
    for (int i = 0; i < count && f->mul != 0; i++) {
        s.mul[i] = f->mul[(r + i) * f->mul_step];
        s.add[i] = f->add_bytes == 8 ? wide[(r + i) * f->add_step] : narrow[(r + i) * f->add_step];
    }
    return s;
}

/* One result. Sums wrap to 32 bits and products to 64, as the definition does. */
TW_INLINE int32_t tw_requantised(int32_t sum, int32_t b, int32_t mul, int64_t add, int shift, int low, int high)
{
    int64_t product = (int64_t)(int32_t)((uint32_t)sum + (uint32_t)b) * mul;
    int64_t scaled = (int64_t)((uint64_t)product + (uint64_t)add) >> shift;
    int64_t above = scaled > low ? scaled : low;
    return (int32_t)(above < high ? above : high);
}

/* The first `count` of 16 numbers as `type`. */
#define TW_STORE(name, type)                                                                                           \
    TW_INLINE void name(type *restrict y, const int32_t *restrict x, int count)                                        \
    {                                                                                                                  \
        if (count == TW_GROUP)                                                                                         \
            for (int i = 0; i < TW_GROUP; i++)                                                                         \
                y[i] = (type)x[i];                                                                                     \
        else                                                                                                           \
            for (int i = 0; i < count; i++)                                                                            \
                y[i] = (type)x[i];                                                                                     \
    }

TW_STORE(tw_store_i8, int8_t)
TW_STORE(tw_store_i16, int16_t)
TW_STORE(tw_store_i32, int32_t)

/* Sums of `results` panels scaled in place. */
TW_INLINE void tw_scale(const struct tw_finish *f, const struct tw_scales *s, int32_t lane[][TW_GROUP], int results)
{
    if (f->mul != 0)
        for (int k = 0; k < results; k++)
            for (int i = 0; i < TW_GROUP; i++)
                lane[k][i] = tw_requantised(lane[k][i], s->b[i], s->mul[i], s->add[i], f->shift, f->low, f->high);
    else
        for (int k = 0; k < results; k++)
            for (int i = 0; i < TW_GROUP; i++)
                lane[k][i] = (int32_t)((uint32_t)lane[k][i] + (uint32_t)s->b[i]);
}

/* Store `results` panels, `stride` apart from y[at]. All are scaled before any is narrowed: a vector written in
 * halves cannot be read at once before it has left the store queue. */
TW_INLINE void tw_finish(const struct tw_finish *f, const struct tw_scales *s, const void *sums, int results, int at,
                         int stride)
{
    int32_t lane[TW_SUMS][TW_GROUP];
    memcpy(lane, sums, (size_t)results * sizeof lane[0]);
    tw_scale(f, s, lane, results);
    for (int k = 0; k < results; k++, at += stride)
        if (f->y_bytes == 1)
            tw_store_i8((int8_t *)f->y + at, lane[k], s->count);
        else if (f->y_bytes == 2)
            tw_store_i16((int16_t *)f->y + at, lane[k], s->count);
        else
            tw_store_i32((int32_t *)f->y + at, lane[k], s->count);
}

/* A residual of bytes that joins: y = clip((scaled * mul_y + r * mul_r + add) >> shift, low, high); y may be r. */
struct tw_join {
    const void *r;
    int64_t add;
    int r_signed, mul_y, mul_r, shift, low, high;
};

/* As tw_finish for results of bytes, with the residual. */
TW_INLINE void tw_finish_onto(const struct tw_finish *f, const struct tw_scales *s, const struct tw_join *j,
                              const void *sums, int results, int at, int stride)
{
    int32_t lane[TW_SUMS][TW_GROUP];
    memcpy(lane, sums, (size_t)results * sizeof lane[0]);
    tw_scale(f, s, lane, results);
    for (int k = 0; k < results; k++, at += stride) {
        for (int i = 0; i < s->count; i++) {
            int64_t r = j->r_signed ? ((const int8_t *)j->r)[at + i] : ((const uint8_t *)j->r)[at + i];
            int64_t sum = ((int64_t)lane[k][i] * j->mul_y + r * j->mul_r + j->add) >> j->shift;
            int64_t above = sum > j->low ? sum : j->low;
            lane[k][i] = (int32_t)(above < j->high ? above : j->high);
        }
        tw_store_i8((int8_t *)f->y + at, lane[k], s->count);
    }
}

#endif
