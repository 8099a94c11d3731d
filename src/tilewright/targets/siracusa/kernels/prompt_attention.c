/* Attention in integers of many rows over a cache that is state, where an even number of heads share keys and values:
 * two heads of a row see the same positions, and take them together. Layouts as in cluster_attention.c. */
#include "tw_attention.h"
#include "tw_kernels.h"

/* Scores become probabilities, a byte each, in place; returns what sums of values are multiplied by. */
TW_X int32_t probabilities(int32_t *score, int seen, int32_t most, const uint8_t *table, int32_t mul, int32_t out,
                           int shift, int32_t limit)
{
    int rest = -seen & 3, words = (seen + 3) >> 2;
    for (int i = 0; i < rest; i++)
        score[seen + i] = most;
    int32_t base = most * mul + (int32_t)((1u << shift) >> 1);
    int32_t sum = tw_exponentials(score, score, table, words, base, mul, shift, limit);
    sum -= rest * table[0];
    score[words - 1] &= (int32_t)(0xffffffffu >> 8 * rest);
    return (int32_t)((uint32_t)(out + (sum >> 1)) / (uint32_t)sum);
}

/* y = softmax(q k^T) v, causal: row t stands at pos + t and sees positions 0 .. pos + t; `group` heads, an even
 * number, share one of the cache. Elements first .. last, multiples of group * hd, are counted along rows of the first
 * head of the cache, then of the next; rows come from both ends in turn, so that cores have equal work.
 * q, y: [tokens][heads * hd]; k: [capacity][kv_width]; v: [kv_width][pitch]; mul, out: [heads]; table: [256], and 56
 * times the last entry, as for tw_cluster_attention; scratch: [2][pitch]. */
void tw_prompt_attention(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                         const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                         int8_t *restrict y, int32_t *restrict scratch, int pos, int tokens, int group, int kv_width,
                         int hd, int pitch, int shift, int out_shift, int first, int last)
{
    int32_t limit = 255 + ((int32_t)((uintptr_t)scratch >> 4 & 7) << 3), half = (1 << out_shift) >> 1;
    int32_t *one = scratch, *two = scratch + pitch;
    int wide = group * hd, left = (last - first) / wide, kv = first / wide / tokens, i = first / wide - kv * tokens;
    for (; left > 0; left--) {
        int t = i & 1 ? tokens - 1 - (i >> 1) : i >> 1, seen = pos + t + 1, words = (seen + 3) >> 2;
        int at = t * group * kv_width + kv * wide;
        for (int h = kv * group, end = h + group; h < end; h += 2, at += 2 * hd) {
            int32_t most[2], by[2], sums[8];
            if (hd == 16)
                tw_two_scores_16(q + at, k + kv * hd, one, two, seen, kv_width, most);
            else {
                most[0] = tw_scores(q + at, k + kv * hd, one, seen, kv_width, hd);
                most[1] = tw_scores(q + at + hd, k + kv * hd, two, seen, kv_width, hd);
            }
            for (int m = 0; m < 2; m++)
                by[m] = probabilities(m ? two : one, seen, most[m], table, mul[h + m], out[h + m], shift, limit);
            for (int c = 0; c < hd; c += 4) {
                tw_two_mixes_4(one, two, v + (kv * hd + c) * pitch, words, pitch, sums);
                for (int m = 0; m < 2; m++)
                    tw_set_word(y + at + m * hd + c, tw_bytes_of(tw_scaled(sums[4 * m], by[m], half, out_shift),
                                                                 tw_scaled(sums[4 * m + 1], by[m], half, out_shift),
                                                                 tw_scaled(sums[4 * m + 2], by[m], half, out_shift),
                                                                 tw_scaled(sums[4 * m + 3], by[m], half, out_shift)));
            }
        }
        if (++i == tokens)
            i = 0, kv++;
    }
}
