/* Attention of one token in integers: in parts, so that the cores share all of its work. */
#include "tw_attention.h"
#include "tw_kernels.h"

/* Where the positions begin that belong to channel c (a multiple of 4) of `block` and the channels after it. */
TW_X int share(unsigned words, int c, int block, int inverse)
{
    return (int)(c == block ? words : words * (unsigned)c * (unsigned)inverse >> 16) << 2;
}

/* y = softmax(q k^T) v of the token at `pos`: elements first .. last, as in tw_cluster_attention. Three parts, with a
 * barrier between: scores, p, y. The channels of the `group` heads that share one of the cache are a block; a core that
 * has some of them has as much of its positions. The scratch is that of all cores: scores [heads][pitch]; p in bytes,
 * [heads][pitch]; for every four channels the greatest score and the sum of p in that core's positions,
 * [heads / group][block / 4][2][group]. `inverse` is 65536 / block. */
void tw_cluster_attention_parts(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                                const int32_t *restrict mul, const int32_t *restrict out,
                                const uint8_t *restrict table, int8_t *restrict y, int32_t *restrict scratch, int pos,
                                int group, int kv_width, int hd, int pitch, int shift, int out_shift, int inverse,
                                int probabilities, int notes, int part, int first, int last)
{
    int block = group * hd, c = first, seen = pos + 1, slots = 2 * group * (block >> 2);
    unsigned words = (unsigned)(seen + 3) >> 2;
    int32_t *score = scratch, *note = scratch + notes;
    uint8_t *p = (uint8_t *)(scratch + probabilities);
    for (; first < last; c = 0) {
        for (; c >= block; c -= block) {
            mul += group, out += group, k += hd, q += block, v += hd * pitch;
            score += group * pitch, p += group * pitch, note += slots;
        }
        int end = block - c < last - first ? block : c + last - first;
        int begin = share(words, c, block, inverse), stop = share(words, end, block, inverse);
        int32_t *mine = note + 2 * group * (c >> 2), *beyond = note + 2 * group * (end >> 2);
        if (part == 0) {
            int count = (stop < seen ? stop : seen) - begin;
            for (int m = 0; m < group; m++) {
                int32_t most = INT32_MIN;
                if (count > 0)
                    most = tw_scores(q + m * hd, k + begin * kv_width, score + m * pitch + begin, count, kv_width, hd);
                for (int32_t *at = mine + m; at < beyond; at += 2 * group)
                    *at = most;
            }
        } else if (part == 1) {
            for (int m = 0; m < group; m++) {
                int32_t most = note[m], sum = 0, *from = score + m * pitch + begin;
                uint8_t *to = p + m * pitch + begin;
                for (int32_t *at = note + m; at < note + slots; at += 2 * group)
                    most = most > *at ? most : *at;
                if (begin < stop) {
                    int rest = stop > seen ? stop - seen : 0;
                    for (int i = 0; i < rest; i++)
                        from[seen - begin + i] = most;
                    sum = tw_exponentials(from, to, table, (stop - begin) >> 2,
                                          most * mul[m] + (int32_t)((1u << shift) >> 1), mul[m], shift);
                    sum -= rest * table[0];
                    to += stop - begin - 4;
                    tw_set_word(to, tw_word_at(to) & (int32_t)(0xffffffffu >> 8 * rest));
                }
                for (int32_t *at = mine + group + m; at < beyond; at += 2 * group, sum = 0)
                    *at = sum;
            }
        } else
            for (int at = c, m = 0; at < end;) {
                for (; at >= (m + 1) * hd; m++)
                    ;
                int n = (m + 1) * hd < end ? (m + 1) * hd - at : end - at;
                int32_t sum = 0;
                for (int32_t *from = note + group + m; from < note + slots; from += 2 * group)
                    sum += *from;
                int32_t reciprocal = (int32_t)((uint32_t)(out[m] + (sum >> 1)) / (uint32_t)sum);
                const uint8_t *weights = p + m * pitch;
                const int8_t *values = v + (at - m * hd) * pitch;
                int8_t *to = y + first + at - c;
                at += n;
                for (; n >= 8; n -= 8, to += 8, values += 8 * pitch)
                    tw_mix_8(weights, values, to, (int)words, pitch, reciprocal, out_shift);
                for (; n > 0; n--, values += pitch)
                    *to++ = tw_requantised(tw_mix_1(weights, values, (int)words), reciprocal, out_shift);
            }
        first += end - c;
        mul += group, out += group, k += hd, q += block, v += hd * pitch;
        score += group * pitch, p += group * pitch, note += slots;
    }
}
