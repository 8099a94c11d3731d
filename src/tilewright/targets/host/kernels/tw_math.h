/* Vectors and elementary functions of the host kernels: plain C, no libm, the same bits from every compiler.
 *
 * Kernels work on groups of 16 floats. A group is TW_VECS vectors of the widest kind that the machine has; lanes never
 * mix except in tw_sum16, so the width changes the speed but not one bit of the result. -DTW_PLAIN takes single
 * floats, which is ISO C99 and what a core without vector unit wants. Build with -ffp-contract=off.
 */
#ifndef TW_MATH_H
#define TW_MATH_H

#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__) || defined(TW_PLAIN)
#define TW_WIDE 1
#elif defined(__AVX512F__)
#define TW_WIDE 16
#elif defined(__AVX__)
#define TW_WIDE 8
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__ALTIVEC__) || defined(__wasm_simd128__)
#define TW_WIDE 4
#else
#define TW_WIDE 1
#endif

#define TW_GROUP 16
#define TW_VECS (TW_GROUP / TW_WIDE)

#if TW_WIDE > 1
/* may_alias and aligned(4): a vector may be read from any float pointer. */
typedef float tw_vec __attribute__((vector_size(4 * TW_WIDE), aligned(4), may_alias));
#else
typedef float tw_vec;
#endif

/* Blocks whose sizes are constants only after inlining. */
#if defined(__GNUC__)
#define TW_INLINE static inline __attribute__((always_inline, unused))
#else
#define TW_INLINE static inline
#endif

/* A copy of known size, also for builds without a C library, where memcpy would be a call. */
#if defined(__GNUC__)
#define TW_COPY __builtin_memcpy
#else
#define TW_COPY memcpy
#endif

/* Vector number v of the group at p. */
#define TW_AT(p, v) (((const tw_vec *)(p))[v])
#define TW_PUT(p, v) (((tw_vec *)(p))[v])

/* Sum of a group, as a balanced tree: lane i and lane i + 8, then + 4, + 2, + 1. */
TW_INLINE float tw_sum16(const tw_vec group[TW_VECS])
{
    float lane[TW_GROUP];
    memcpy(lane, group, sizeof lane);
    for (int half = TW_GROUP / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

TW_INLINE float tw_float_of_bits(uint32_t bits)
{
    float value;
    TW_COPY(&value, &bits, sizeof value);
    return value;
}

TW_INLINE uint32_t tw_bits_of_float(float value)
{
    uint32_t bits;
    TW_COPY(&bits, &value, sizeof bits);
    return bits;
}

/* e^x within 2 ulp for -87 <= x <= 88; 0 below, e^88 above. Branches become selects, so that loops over it vectorise.
 *
 * x = n ln 2 + r with |r| <= ln 2 / 2: n comes from adding and subtracting 1.5 * 2^23, which rounds to an integer and
 * leaves it in the low bits; ln 2 is split in two so that n ln 2 is exact (Cody and Waite 1980); e^r - 1 - r is a
 * polynomial in r^2 times r^2, least maximal error on the interval.
 */
TW_INLINE float tw_expf(float x)
{
    const float magic = 12582912.0f;
    float top = x < 88.0f ? x : 88.0f;
    float in = top > -87.0f ? top : -87.0f;
    float shifted = in * 1.44269504f + magic;
    float n = shifted - magic;
    float r = (in - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    float scale = tw_float_of_bits((tw_bits_of_float(shifted) + 127u) << 23);
    return x < -87.0f ? 0.0f : p * scale;
}

/* 1 / sqrt(x) within 2 ulp for normal x > 0: a first guess from the exponent, then Newton's method thrice. */
TW_INLINE float tw_rsqrtf(float x)
{
    float y = tw_float_of_bits(0x5f375a86u - (tw_bits_of_float(x) >> 1));
    float half = 0.5f * x;
    for (int i = 0; i < 3; i++)
        y += y * (0.5f - half * y * y);
    return y;
}

#endif
