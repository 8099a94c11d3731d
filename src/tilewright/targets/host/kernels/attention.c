/* Attention over a cache that is state.
 *
 * The cache lies channel by channel, positions side by side: [kv_heads * hd][pitch], pitch a multiple of 16. Sixteen
 * positions are worked on at a time. Sums over positions run in 16 lanes, position s in lane s % 16, so that they do
 * not depend on how many tokens are computed in one call.
 */
#include "tw_kernels.h"
#include "tw_math.h"

enum { CHANNELS = 4 }; /* channels of the result in flight */

/* Row t of x becomes position pos + t of the state. x: [tokens][n], state: [n][pitch]. */
void tw_append_f32(float *restrict state, const float *restrict x, int tokens, int n, int pitch, int pos)
{
    for (int t = 0; t < tokens; t++, x += n)
        for (int c = 0; c < n; c++)
            state[c * pitch + pos + t] = x[c];
}

/* score[s] = scale * q . k[s], very negative from `seen` to the end of the last group. Returns the maximum. */
static float scores(const float *restrict q, const float *restrict k, float *restrict score, int seen, int hd,
                    int pitch, float scale)
{
    for (int s = 0; s < seen; s += TW_GROUP) {
        tw_vec sum[TW_VECS] = {0};
        for (int d = 0; d < hd; d++)
            for (int v = 0; v < TW_VECS; v++)
                sum[v] += TW_AT(k + d * pitch + s, v) * q[d];
        for (int v = 0; v < TW_VECS; v++)
            TW_PUT(score + s, v) = sum[v] * scale;
    }
    for (int s = seen; s % TW_GROUP != 0; s++)
        score[s] = -1e30f;
    float lane[TW_GROUP], most = score[0];
    memcpy(lane, score, sizeof lane);
    for (int s = TW_GROUP; s < seen; s += TW_GROUP)
        for (int i = 0; i < TW_GROUP; i++)
            lane[i] = lane[i] > score[s + i] ? lane[i] : score[s + i];
    for (int i = 0; i < TW_GROUP; i++)
        most = most > lane[i] ? most : lane[i];
    return most;
}

/* score[s] = e^(score[s] - most) to the end of the last group. Returns the sum. */
static float exponentials(float *restrict score, int seen, float most)
{
    tw_vec sum[TW_VECS] = {0};
    for (int s = 0; s < seen; s += TW_GROUP) {
        for (int i = 0; i < TW_GROUP; i++)
            score[s + i] = tw_expf(score[s + i] - most);
        for (int v = 0; v < TW_VECS; v++)
            sum[v] += TW_AT(score + s, v);
    }
    return tw_sum16(sum);
}

/* y[c] = norm * sum over s < seen of weight[s] * v[c][s]; what the cache holds further on is not looked at. */
TW_INLINE void mix(int channels, const float *restrict weight, const float *restrict v, float *restrict y, int seen,
                   int pitch, float norm)
{
    tw_vec sum[CHANNELS][TW_VECS] = {0};
    int whole = seen - seen % TW_GROUP;
    for (int s = 0; s < whole; s += TW_GROUP)
        for (int c = 0; c < channels; c++)
            for (int i = 0; i < TW_VECS; i++)
                sum[c][i] += TW_AT(weight + s, i) * TW_AT(v + c * pitch + s, i);
    if (whole < seen)
        for (int c = 0; c < channels; c++) {
            float last[TW_GROUP];
            for (int i = 0; i < TW_GROUP; i++)
                last[i] = whole + i < seen ? v[c * pitch + whole + i] : 0.0f;
            for (int i = 0; i < TW_VECS; i++)
                sum[c][i] += TW_AT(weight + whole, i) * TW_AT(last, i);
        }
    for (int c = 0; c < channels; c++)
        y[c] = tw_sum16(sum[c]) * norm;
}

/* y = softmax(scale * q k^T) v for every head, causal: row t stands at pos + t and sees positions 0 .. pos + t.
 * q, y: [tokens][heads * hd]; k, v: [kv_heads * hd][pitch]; scratch: [pitch]. */
void tw_attention_f32(const float *restrict q, const float *restrict k, const float *restrict v, float *restrict y,
                      float *restrict scratch, int tokens, int pos, int heads, int kv_heads, int hd, int pitch,
                      float scale)
{
    int group = heads / kv_heads;
    for (int t = 0; t < tokens; t++)
        for (int h = 0; h < heads; h++, q += hd, y += hd) {
            const float *keys = k + h / group * hd * pitch, *values = v + h / group * hd * pitch;
            int seen = pos + t + 1, c = 0;
            float most = scores(q, keys, scratch, seen, hd, pitch, scale);
            float norm = 1.0f / exponentials(scratch, seen, most);
            for (; c + CHANNELS <= hd; c += CHANNELS)
                mix(CHANNELS, scratch, values + c * pitch, y + c, seen, pitch, norm);
            for (; c < hd; c++)
                mix(1, scratch, values + c * pitch, y + c, seen, pitch, norm);
        }
}
