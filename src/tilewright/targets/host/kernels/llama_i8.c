/* The integer operators of a llama between its matrix products: embedding, norm, RoPE, SwiGLU. */
#include "tw_kernels.h"
#include "tw_quantised.h"

/* y[t] = row tokens[t] of the table * its multiplier. The table is packed as tw_rows_* read it, so that a tied head
 * shares it: [vocabulary / 16][cols][16]. y: [count][cols]. */
void tw_embed_i8(const int32_t *restrict tokens, const int8_t *restrict table, const uint8_t *restrict mul,
                 int16_t *restrict y, int count, int cols, int shift)
{
    for (int t = 0; t < count; t++, y += cols) {
        const int8_t *restrict column = table + tokens[t] / TW_LANES * cols * TW_LANES + tokens[t] % TW_LANES;
        for (int c = 0; c < cols; c++)
            y[c] = (int16_t)tw_clip((column[c * TW_LANES] * mul[tokens[t]] + tw_half(shift)) >> shift, -32768, 32767);
    }
}

/* floor(sqrt(value)), bit by bit. */
static uint32_t root(uint32_t value)
{
    uint32_t result = 0;
    for (uint32_t bit = 1u << 15; bit > 0; bit >>= 1)
        if ((result + bit) * (result + bit) <= value)
            result += bit;
    return result;
}

/* y = clip((t * w + half) >> shift), t = 2^15 x / sqrt(sum(x^2) + eps), for every row. x, y: [rows][n], w: [n]. */
void tw_rmsnorm_i16(const int16_t *restrict x, const int16_t *restrict w, int8_t *restrict y, int rows, int n,
                    int shift, int64_t eps)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        uint64_t total = (uint64_t)eps;
        int down = 15; /* x * reciprocal >> down is t */
        for (int i = 0; i < n; i++)
            total += (uint32_t)(x[i] * x[i]);
        for (; total >> 32; total >>= 2)
            down++;
        for (; total < 1u << 30; total <<= 2)
            down--;
        int32_t reciprocal = (int32_t)((1u << 30) / root((uint32_t)total));
        for (int i = 0; i < n; i++)
            y[i] = (int8_t)tw_clip(((x[i] * reciprocal >> down) * w[i] + tw_half(shift)) >> shift, -128, 127);
    }
}

/* Turn the pairs (2i, 2i + 1) of every head of row t by the angles of position pos + t.
 * x, y: [tokens][heads][hd], x of i32 is cut to 16 bits; table: [positions][hd], hd / 2 cosines and then hd / 2 sines,
 * times 2^14. */
#define ROPE(T, TYPE, CUT)                                                                                             \
    void tw_rope_##T(const TYPE *restrict x, const int16_t *restrict table, int8_t *restrict y, int tokens, int heads, \
                     int hd, int pos, int shift)                                                                       \
    {                                                                                                                  \
        int pairs = hd / 2;                                                                                            \
        for (int t = 0; t < tokens; t++) {                                                                             \
            const int16_t *restrict cosine = table + (pos + t) * hd, *restrict sine = cosine + pairs;                  \
            for (int h = 0; h < heads; h++, x += hd, y += hd)                                                          \
                for (int i = 0; i < pairs; i++) {                                                                      \
                    int32_t a = CUT(x[2 * i]), b = CUT(x[2 * i + 1]), half = tw_half(shift);                           \
                    y[2 * i] = (int8_t)tw_clip((a * cosine[i] - b * sine[i] + half) >> shift, -128, 127);              \
                    y[2 * i + 1] = (int8_t)tw_clip((a * sine[i] + b * cosine[i] + half) >> shift, -128, 127);          \
                }                                                                                                      \
        }                                                                                                              \
    }
#define AS_IT_IS(v) (v)
#define CUT_16(v) tw_clip(v, INT16_MIN, INT16_MAX)

ROPE(i16, int16_t, AS_IT_IS)
ROPE(i32, int32_t, CUT_16)

/* y = clip((table[a + 128] * b + half) >> shift); y may be a. */
void tw_swiglu_i8(const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int n, int shift)
{
    for (int i = 0; i < n; i++)
        y[i] = (int8_t)tw_clip((table[a[i] + 128] * b[i] + tw_half(shift)) >> shift, -128, 127);
}

/* y = x + r, cut to 16 bits; r may be y, or 0. */
void tw_saturate_i16(const int32_t *restrict x, const int16_t *r, int16_t *y, int n)
{
    for (int i = 0; i < n; i++) {
        int64_t sum = (int64_t)x[i] + (r != 0 ? r[i] : 0);
        y[i] = (int16_t)(sum < INT16_MIN ? INT16_MIN : sum > INT16_MAX ? INT16_MAX : sum);
    }
}
