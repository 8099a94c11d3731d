/* Attention of one token in integers: in parts, so that the cores share all of its work. */
#include "tw_attention.h"
#include "tw_kernels.h"

/* y = softmax(q k^T) v of the token at `pos`: elements first .. last, as in tw_cluster_attention. Three parts, with a
 * barrier between: scores, p, y. Operands as there; the scratch is that of all cores: for every channel that a core may
 * begin with the greatest score and the sum of p in its positions; then, for each head, its scores and its p,
 * [heads][pitch + pitch / 4]. `inverse` is 65536 / hd. */
TW_HOT void tw_cluster_attention_parts(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                                const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                                int8_t *restrict y, int32_t *restrict scratch, int pos, int group, int kv_width, int hd,
                                int pitch, int shift, int out_shift, int inverse, int part, int first, int last)
{
    int unit = hd & 7 ? 4 : 8, words = (pos + 4) >> 2;
    TW_ROLLED
    for (int n; first < last; first += n) {
        int c = first, m = group;
        const int8_t *keys = k, *values = v; /* of the head that channel `first` is in: its channel c */
        int32_t *from = scratch + group * kv_width;
        TW_ROLLED
        for (; c >= hd; c -= hd) {
            from += pitch + (pitch >> 2);
            mul++, out++;
            if (--m == 0)
                m = group, keys += hd, values += hd * pitch;
        }
        int begin = words * c * inverse >> 16, stop = words, sum = 0; /* this core's positions, in words of p */
        int32_t *note = scratch + first, *of_head = note - c, most = INT32_MIN;
        int32_t *p = from + pitch;
        n = hd - c;
        if (last - first < n) {
            n = last - first;
            stop = words * (c + n) * inverse >> 16;
        }
        if (part == 2) {
            TW_ROLLED
            for (int i = 0; i < hd; i += unit)
                sum += of_head[i + 1];
            int32_t reciprocal = (int32_t)((uint32_t)(*out + (sum >> 1)) / (uint32_t)sum);
            int8_t *to = y + first;
            int i = 0;
            TW_ROLLED
            for (values += c * pitch; i + 8 <= n; i += 8, values += 8 * pitch)
                tw_mix_8((const uint8_t *)p, values, to + i, words, pitch, reciprocal, out_shift);
            TW_ROLLED
            for (; i < n; i++, values += pitch)
                to[i] = tw_requantised(tw_mix_1((const uint8_t *)p, values, words), reciprocal, out_shift);
        } else if (part == 1) {
            TW_ROLLED
            for (int i = 0; i < hd; i += unit)
                most = tw_pmax(most, of_head[i]);
            if (begin < stop) {
                int rest = 4 * stop - pos - 1;
                TW_ROLLED
                for (int i = 1; i <= rest; i++)
                    from[4 * stop - i] = most;
                sum = tw_exponentials(from + 4 * begin, p + begin, table, stop - begin,
                                      most * *mul + (int32_t)((1u << shift) >> 1), *mul, shift);
                if (rest > 0) {
                    sum -= rest * table[0];
                    p[stop - 1] &= (int32_t)(0xffffffffu >> 8 * rest);
                }
            }
            TW_ROLLED
            for (int i = 0; i < n; i += unit, sum = 0)
                note[i + 1] = sum;
        } else {
            int count = (4 * stop <= pos ? 4 * stop : pos + 1) - 4 * begin;
            if (count > 0)
                most = tw_scores(q + first - c, keys + 4 * begin * kv_width, from + 4 * begin, count, kv_width, hd);
            TW_ROLLED
            for (int i = 0; i < n; i += unit)
                note[i] = most;
        }
    }
}
