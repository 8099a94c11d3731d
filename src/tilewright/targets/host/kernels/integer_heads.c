/* The heads of QuantLib networks: turned by a matrix of the caller, and attention with a mask that saturates. */
#include "tw_kernels.h"
#include "tw_quantised.h"

static int8_t requantised(int32_t sum, int32_t mul, int64_t add, int shift)
{
    int64_t value = (int64_t)((uint64_t)((int64_t)sum * mul) + (uint64_t)add) >> shift;
    return (int8_t)(value < -128 ? -128 : value > 127 ? 127 : value);
}

/* y[t, h] = table[clip((x[t, h] . r[t] * mul + add) >> shift)]. x, y: [tokens][heads][hd], r: matrices [hd][hd],
 * `step` elements from one row's to the next; add: i64 where `wide`. y is not x. */
void tw_rotate_heads(const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul,
                     const void *restrict add, const int8_t *restrict table, int8_t *restrict y, int tokens, int heads,
                     int hd, int step, int shift, int wide)
{
    int64_t addend = wide ? *(const int64_t *)add : *(const int32_t *)add;
    for (int t = 0; t < tokens; t++, r += step)
        for (int h = 0; h < heads; h++, x += hd, y += hd)
            for (int j = 0; j < hd; j++) {
                int32_t sum = 0;
                for (int i = 0; i < hd; i++)
                    sum += x[i] * r[i * hd + j];
                int8_t v = requantised(sum, *mul, addend, shift);
                y[j] = table != 0 ? table[(uint8_t)v] : v;
            }
}

/* a[s] for one head and row, in `score`; returns the greatest. */
static int32_t arguments(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict mask,
                         const int8_t *restrict plain, const int8_t *restrict scale, const int8_t *restrict hide,
                         const int8_t *restrict join, const int32_t *restrict numbers, int32_t *restrict score,
                         int seen, int hd, int row, int channel, int shift)
{
    int32_t most = -128;
    for (int s = 0; s < seen; s++) {
        int32_t sum = 0;
        for (int d = 0; d < hd; d++)
            sum += q[d] * k[d * channel + s * row];
        uint8_t code = (uint8_t)requantised(sum, numbers[0], numbers[1], shift);
        score[s] = plain[code];
        if (mask != 0 && mask[s] != 0)
            score[s] = join[scale[code] + hide[(uint8_t)mask[s]] + 256];
        most = most > score[s] ? most : score[s];
    }
    return most;
}

/* score[s] = weight of position s. */
static void weights(int32_t *restrict score, const int32_t *restrict exp, const int8_t *restrict weight, int seen,
                    int32_t most, int levels)
{
    uint32_t total = 0;
    for (int s = 0; s < seen; s++)
        total += (uint32_t)(score[s] = exp[most - score[s]]);
    total = total > 0 ? total : 1;
    for (int s = 0; s < seen; s++)
        score[s] = weight[(uint32_t)score[s] * (uint32_t)(levels - 1) / total];
}

/* Attention of every row over all `seen` positions. q, y: [tokens][heads * hd]; k, v: a position's elements are
 * `channel` apart, positions `row` apart; mask: `mask_step` elements from one row's to the next, or null; tables and
 * numbers as the operator says; scratch: [seen]. */
void tw_integer_attention(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                          const int8_t *restrict plain, const int32_t *restrict exp, const int8_t *restrict weight,
                          const int32_t *restrict numbers, const int8_t *restrict mask, const int8_t *restrict scale,
                          const int8_t *restrict hide, const int8_t *restrict join, int8_t *restrict y,
                          int32_t *restrict scratch, int tokens, int seen, int heads, int kv_heads, int hd, int row,
                          int channel, int mask_step, int shift, int out_shift, int levels)
{
    int group = heads / kv_heads;
    for (int t = 0; t < tokens; t++)
        for (int h = 0; h < heads; h++, q += hd, y += hd) {
            const int8_t *keys = k + h / group * hd * channel, *values = v + h / group * hd * channel;
            int32_t most = arguments(q, keys, mask != 0 ? mask + t * mask_step : 0, plain, scale, hide, join, numbers,
                                     scratch, seen, hd, row, channel, shift);
            weights(scratch, exp, weight, seen, most, levels);
            for (int c = 0; c < hd; c++) {
                int32_t mixed = 0;
                for (int s = 0; s < seen; s++)
                    mixed += scratch[s] * values[c * channel + s * row];
                y[c] = requantised(mixed, numbers[2], numbers[3], out_shift);
            }
        }
}

/* Queries of tokens, turned, and keys and values by tables into rows pos and on of caches of kv_heads * hd channels.
 * x: [tokens][cols]; w, mul: for each head of the caches rows of `group` queries, of a key and of a value; r: matrices
 * [hd][hd], `step` elements from one token's to the next; numbers: the product's addend, multipliers and addends of
 * rotations; y: [tokens][kv_heads][group][hd]; scratch: [hd]. */
void tw_heads_of_tokens(int8_t *restrict state_k, int8_t *restrict state_v, const int8_t *restrict x,
                        const int8_t *restrict w, const int32_t *restrict mul, const int8_t *restrict r,
                        const int8_t *restrict table_k, const int8_t *restrict table_v,
                        const int32_t *restrict numbers, int8_t *restrict y, int8_t *restrict scratch, int tokens,
                        int cols, int kv_heads, int group, int hd, int pos, int step, int shift, int q_shift,
                        int k_shift)
{
    int8_t *k = state_k + pos * kv_heads * hd, *v = state_v + pos * kv_heads * hd;
    for (int t = 0; t < tokens; t++, x += cols, r += step) {
        int row = 0;
        for (int h = 0; h < kv_heads; h++)
            for (int m = 0; m < group + 2; m++) {
                for (int j = 0; j < hd; j++, row++) {
                    int32_t sum = 0;
                    for (int i = 0; i < cols; i++)
                        sum += x[i] * w[row * cols + i];
                    scratch[j] = requantised(sum, mul[row], numbers[0], shift);
                }
                if (m < group) {
                    tw_rotate_heads(scratch, r, numbers + 1, numbers + 2, 0, y, 1, 1, hd, 0, q_shift, 0);
                    y += hd;
                } else if (m == group) {
                    tw_rotate_heads(scratch, r, numbers + 3, numbers + 4, table_k, k, 1, 1, hd, 0, k_shift, 0);
                    k += hd;
                } else
                    for (int j = 0; j < hd; j++)
                        *v++ = table_v[(uint8_t)scratch[j]];
            }
    }
}

/* What follows such a product. x_q: [tokens][kv_heads * group][hd], x_k, x_v: [tokens][kv_heads][hd]; numbers:
 * multipliers and addends of rotations. */
void tw_enter_heads(int8_t *restrict state_k, int8_t *restrict state_v, const int8_t *restrict x_q,
                    const int8_t *restrict x_k, const int8_t *restrict x_v, const int8_t *restrict r,
                    const int8_t *restrict table_k, const int8_t *restrict table_v, const int32_t *restrict numbers,
                    int8_t *restrict y, int tokens, int kv_heads, int group, int hd, int pos, int step, int q_shift,
                    int k_shift)
{
    int width = kv_heads * hd;
    state_k += pos * width, state_v += pos * width;
    tw_rotate_heads(x_q, r, numbers, numbers + 1, 0, y, tokens, kv_heads * group, hd, step, q_shift, 0);
    tw_rotate_heads(x_k, r, numbers + 2, numbers + 3, table_k, state_k, tokens, kv_heads, hd, step, k_shift, 0);
    for (int i = 0; i < tokens * width; i++)
        state_v[i] = table_v[(uint8_t)x_v[i]];
}
