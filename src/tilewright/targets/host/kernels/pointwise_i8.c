/* Sums and products of quantised tensors with broadcasting, and functions by table. y may be a where the shapes agree.
 *
 * Both operands are brought together as 16-bit numbers, a chunk at a time; the loops over a chunk vectorise.
 */
#include "tw_kernels.h"
#include "tw_generic.h"

/* A chunk of i8 or u8, `step` elements apart. */
static void bring(const void *restrict from, int is_signed, int at, int step, int16_t *restrict to, int n)
{
    const int8_t *s = (const int8_t *)from + at;
    const uint8_t *u = (const uint8_t *)from + at;
    if (is_signed && step == 1)
        for (int i = 0; i < n; i++)
            to[i] = s[i];
    else if (step == 1)
        for (int i = 0; i < n; i++)
            to[i] = u[i];
    else
        for (int i = 0; i < n; i++)
            to[i] = is_signed ? s[i * step] : u[i * step];
}

/* Results of a chunk, clipped already, at y[at ..]. */
static void put(const int32_t *restrict from, void *restrict y, int y_bytes, int at, int n)
{
    if (y_bytes == 1)
        for (int i = 0; i < n; i++)
            ((uint8_t *)y)[at + i] = (uint8_t)from[i];
    else if (y_bytes == 2)
        for (int i = 0; i < n; i++)
            ((uint16_t *)y)[at + i] = (uint16_t)from[i];
    else
        memcpy((int32_t *)y + at, from, (size_t)n * sizeof *from);
}

#define CLIP(v, low, high) (int32_t)((v) < (low) ? (low) : (v) > (high) ? (high) : (v))

/* The kernel around an EXPRESSION of p and q, numbers of type WIDE, that is shifted and clipped. */
#define KERNEL(NAME, PARAMETERS, WIDE, EXPRESSION)                                                                     \
    void NAME(const void *a, const void *restrict b, void *y, int a_signed, int b_signed, int y_bytes, PARAMETERS,     \
              int shift, int low, int high, const int32_t *rows)                                                       \
    {                                                                                                                  \
        int16_t left[TW_CHUNK], right[TW_CHUNK];                                                                       \
        int32_t result[TW_CHUNK];                                                                                      \
        int at = 0;                                                                                                    \
        struct tw_walk w;                                                                                              \
        TW_ROWS (w, rows)                                                                                              \
            for (int i = 0, n; i < w.n; i += n, at += n) {                                                             \
                n = w.n - i < TW_CHUNK ? w.n - i : TW_CHUNK;                                                           \
                bring(a, a_signed, w.at[0] + i * w.step[0], w.step[0], left, n);                                       \
                bring(b, b_signed, w.at[1] + i * w.step[1], w.step[1], right, n);                                      \
                for (int k = 0; k < n; k++) {                                                                          \
                    WIDE p = left[k], q = right[k], v = (EXPRESSION) >> shift;                                         \
                    result[k] = CLIP(v, low, high);                                                                    \
                }                                                                                                      \
                put(result, y, y_bytes, at, n);                                                                        \
            }                                                                                                          \
    }

#define SUM int mul_a, int mul_b, int64_t add
#define PRODUCT int zero_a, int zero_b, int mul, int64_t add

/* y = clip((a mul_a + b mul_b + add) >> shift, low, high); the first where nothing on the way leaves 32 bits. */
KERNEL(tw_quantized_add_32, SUM, int32_t, p * mul_a + q * mul_b + (int32_t)add)
KERNEL(tw_quantized_add, SUM, int64_t, p * mul_a + q * mul_b + add)

/* y = clip(((a - zero_a) (b - zero_b) mul + add) >> shift, low, high). */
KERNEL(tw_quantized_mul, PRODUCT, int64_t, (p - zero_a) * (q - zero_b) * mul + add)

/* y = table[x], elements of 1, 2, 4 or 8 bytes, indexed by the bits of x. */
void tw_look_up(const uint8_t *x, const void *restrict table, void *y, int n, int size)
{
#define LOOK_UP(T)                                                                                                     \
    for (int i = 0; i < n; i++)                                                                                        \
        ((T *)y)[i] = ((const T *)table)[x[i]];
    TW_BY_SIZE(size, LOOK_UP)
#undef LOOK_UP
}
