/* Attention in integers over a cache that is state; the cache lies as for floats: [kv_heads * hd][pitch]. */
#include "tw_kernels.h"
#include "tw_quantised.h"

/* Row t of x becomes position pos + t of the state. x: [tokens][n], state: [n][pitch]. */
void tw_append_i8(int8_t *restrict state, const int8_t *restrict x, int tokens, int n, int pitch, int pos)
{
    for (int t = 0; t < tokens; t++, x += n)
        for (int c = 0; c < n; c++)
            state[c * pitch + pos + t] = x[c];
}

/* score[s] = q . k[s] to the end of the last group. Returns the greatest with s < seen. */
static int32_t scores(const int8_t *restrict q, const int8_t *restrict k, int32_t *restrict score, int seen, int hd,
                      int pitch)
{
    int32_t most = INT32_MIN;
    for (int s = 0; s < seen; s += TW_LANES) {
        int32_t sum[TW_LANES] = {0};
        for (int d = 0; d < hd; d++)
            for (int i = 0; i < TW_LANES; i++)
                sum[i] += q[d] * k[d * pitch + s + i];
        for (int i = 0; i < TW_LANES; i++)
            score[s + i] = sum[i];
    }
    for (int s = 0; s < seen; s++)
        most = most > score[s] ? most : score[s];
    return most;
}

/* score[s] = table[distance of score[s] from the greatest], 0 beyond `seen`. Returns the sum. */
static int32_t exponentials(int32_t *restrict score, const uint8_t *restrict table, int seen, int32_t most, int32_t mul,
                            int shift)
{
    int32_t sum = 0, half = tw_half(shift);
    for (int s = 0; s < seen; s++) {
        int32_t index = ((most - score[s]) * mul + half) >> shift;
        score[s] = index < 255 ? index : 255;
    }
    for (int s = 0; s < seen; s++)
        sum += score[s] = table[score[s]];
    for (int s = seen; s % TW_LANES != 0; s++)
        score[s] = 0;
    return sum;
}

/* y = softmax(q k^T) v for every head, causal: row t stands at pos + t and sees positions 0 .. pos + t.
 * q, y: [tokens][heads * hd]; k, v: [kv_heads * hd][pitch]; mul, out: [heads]; table: [256]; scratch: [pitch]. */
void tw_attention_i8(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                     const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                     int8_t *restrict y, int32_t *restrict scratch, int tokens, int pos, int heads, int kv_heads,
                     int hd, int pitch, int shift, int out_shift)
{
    int group = heads / kv_heads;
    int32_t half = tw_half(out_shift);
    for (int t = 0; t < tokens; t++)
        for (int h = 0; h < heads; h++, q += hd, y += hd) {
            const int8_t *keys = k + h / group * hd * pitch, *values = v + h / group * hd * pitch;
            int seen = pos + t + 1;
            int32_t most = scores(q, keys, scratch, seen, hd, pitch);
            int32_t sum = exponentials(scratch, table, seen, most, mul[h], shift);
            int32_t reciprocal = (out[h] + sum / 2) / sum;
            for (int c = 0; c < hd; c++) {
                int32_t mixed = 0;
                for (int s = 0; s < seen; s += TW_LANES)
                    for (int i = 0; i < TW_LANES; i++)
                        mixed += scratch[s + i] * values[c * pitch + s + i];
                y[c] = (int8_t)tw_clip((mixed * reciprocal + half) >> out_shift, -128, 127);
            }
        }
}
