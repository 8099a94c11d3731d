/* Attention of one token in integers: in parts, so that the cores share all of its work. */
#include "tw_attention.h"
#include "tw_kernels.h"

/* What the parts have in common: a core has some channels of a head, and as much of its positions. */
struct share {
    int head, c, n;  /* the head, its first channel and how many */
    int begin, stop; /* positions, whole words of p */
};

/* The core's share of the head that channel `first` is in. `inverse` is 65536 / hd. */
TW_X struct share share_of(int first, int last, int words, int hd, int inverse)
{
    struct share s = {0, first, 0, 0, 4 * words};
    for (; s.c >= hd; s.c -= hd)
        s.head++;
    s.n = hd - s.c;
    if (last - first < s.n) {
        s.n = last - first;
        s.stop = (words * (s.c + s.n) * inverse >> 16) << 2;
    }
    s.begin = (words * s.c * inverse >> 16) << 2;
    return s;
}

TW_X void part_scores(const int8_t *q, const int8_t *k, int32_t *score, int32_t *note, int seen, int group,
                      int kv_width, int hd, int pitch, int inverse, int unit, int first, int last)
{
    for (int n; first < last; first += n) {
        struct share s = share_of(first, last, (seen + 3) >> 2, hd, inverse);
        int count = (s.stop < seen ? s.stop : seen) - s.begin, kv = 0;
        int32_t most = INT32_MIN;
        n = s.n;
        for (int m = group; m <= s.head; m += group)
            kv += hd;
        if (count > 0)
            most = tw_scores(q + first - s.c, k + kv + s.begin * kv_width,
                             score + s.head * (pitch + (pitch >> 2)) + s.begin, count, kv_width, hd);
        for (int i = 0; i < n; i += unit)
            note[first + i] = most;
    }
}

TW_X void part_p(const int32_t *mul, const uint8_t *table, int32_t *score, int32_t *note, int seen, int hd, int pitch,
                 int shift, int inverse, int unit, int first, int last)
{
    for (int n; first < last; first += n) {
        struct share s = share_of(first, last, (seen + 3) >> 2, hd, inverse);
        int32_t most = INT32_MIN, sum = 0, *of_head = note + first - s.c;
        int32_t *from = score + s.head * (pitch + (pitch >> 2));
        uint8_t *p = (uint8_t *)(from + pitch);
        n = s.n;
        for (int i = 0; i < hd; i += unit)
            most = tw_pmax(most, of_head[i]);
        if (s.begin < s.stop) {
            int rest = s.stop - seen;
            for (int i = 1; i <= rest; i++)
                from[s.stop - i] = most;
            sum = tw_exponentials(from + s.begin, p + s.begin, table, (s.stop - s.begin) >> 2,
                                  most * mul[s.head] + (int32_t)((1u << shift) >> 1), mul[s.head], shift);
            if (rest > 0) {
                int32_t *word = (int32_t *)(void *)(p + s.stop - 4);
                sum -= rest * table[0];
                *word &= (int32_t)(0xffffffffu >> 8 * rest);
            }
        }
        for (int i = 0; i < n; i += unit, sum = 0)
            note[first + i + 1] = sum;
    }
}

TW_X void part_y(const int8_t *v, const int32_t *out, int8_t *y, const int32_t *score, const int32_t *note, int words,
                 int group, int hd, int pitch, int out_shift, int unit, int first, int last)
{
    for (int n; first < last; first += n) {
        struct share s = share_of(first, last, words, hd, 0);
        const int32_t *of_head = note + first - s.c + 1;
        const uint8_t *p = (const uint8_t *)(score + s.head * (pitch + (pitch >> 2)) + pitch);
        const int8_t *values = v + s.c * pitch;
        int8_t *to = y + first;
        int32_t sum = 0;
        n = s.n;
        for (int m = group; m <= s.head; m += group)
            values += hd * pitch;
        for (int i = 0; i < hd; i += unit)
            sum += of_head[i];
        int32_t reciprocal = (int32_t)((uint32_t)(out[s.head] + (sum >> 1)) / (uint32_t)sum);
        for (; s.n >= 8; s.n -= 8, to += 8, values += 8 * pitch)
            tw_mix_8(p, values, to, words, pitch, reciprocal, out_shift);
        for (; s.n > 0; s.n--, values += pitch)
            *to++ = tw_requantised(tw_mix_1(p, values, words), reciprocal, out_shift);
    }
}

/* y = softmax(q k^T) v of the token at `pos`: elements first .. last, as in tw_cluster_attention. Three parts, with a
 * barrier between: scores, p, y. Operands as there; the scratch is that of all cores: for every channel that a core may
 * begin with the greatest score and the sum of p in its positions; then, for each head, its scores and its p,
 * [heads][pitch + pitch / 4]. `inverse` is 65536 / hd. */
void tw_cluster_attention_parts(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                                const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                                int8_t *restrict y, int32_t *restrict scratch, int pos, int group, int kv_width, int hd,
                                int pitch, int shift, int out_shift, int inverse, int part, int first, int last)
{
    int unit = hd & 7 ? 4 : 8;
    int32_t *score = scratch + group * kv_width;
    if (part == 0)
        part_scores(q, k, score, scratch, pos + 1, group, kv_width, hd, pitch, inverse, unit, first, last);
    else if (part == 1)
        part_p(mul, table, score, scratch, pos + 1, hd, pitch, shift, inverse, unit, first, last);
    else
        part_y(v, out, y, score, scratch, (pos + 4) >> 2, group, hd, pitch, out_shift, unit, first, last);
}
