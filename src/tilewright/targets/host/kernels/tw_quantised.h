/* What the integer kernels share. Everything is exact; the order of sums does not matter. */
#ifndef TW_QUANTISED_H
#define TW_QUANTISED_H

#include <stdint.h>

#define TW_LANES 16 /* rows or positions that are worked on at a time */

#if defined(__GNUC__)
#define TW_INLINE_Q static inline __attribute__((always_inline, unused))
#else
#define TW_INLINE_Q static inline
#endif

TW_INLINE_Q int32_t tw_clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

TW_INLINE_Q int32_t tw_half(int shift)
{
    return shift > 0 ? (int32_t)1 << (shift - 1) : 0;
}

/* y = clip((acc * mul + add) >> shift, low, high) for `count` rows. `wide`: the product may leave 32 bits. */
TW_INLINE_Q void tw_requantise(const int32_t *restrict acc, const uint8_t *restrict mul, int32_t add, int shift,
                               int32_t low, int32_t high, int wide, int32_t *restrict y, int count)
{
    if (wide)
        for (int i = 0; i < count; i++) {
            int64_t value = ((int64_t)acc[i] * mul[i] + add) >> shift;
            y[i] = (int32_t)(value < low ? low : value > high ? high : value);
        }
    else
        for (int i = 0; i < count; i++)
            y[i] = tw_clip((acc[i] * mul[i] + add) >> shift, low, high);
}

#endif
