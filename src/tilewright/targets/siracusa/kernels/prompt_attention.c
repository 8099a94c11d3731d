/* Attention in integers of many rows over a cache that is state, where an even number of heads share keys and values:
 * two heads of a row see the same positions, and take them together. Layouts as in cluster_attention.c. */
#include "tw_attention.h"
#include "tw_kernels.h"

/* Scores of two heads over the same keys of 16 channels; the greatest of each to most[2]. */
TW_X void two_scores_16(const int8_t *q, const int8_t *k, int32_t *one, int32_t *two, int seen, int stride,
                        int32_t *most)
{
#ifdef __riscv
    int32_t q0 = tw_word_at(q), q1 = tw_word_at(q + 4), q2 = tw_word_at(q + 8), q3 = tw_word_at(q + 12);
    int32_t p0 = tw_word_at(q + 16), p1 = tw_word_at(q + 20), p2 = tw_word_at(q + 24), p3 = tw_word_at(q + 28);
    int32_t k0, k1, k2, k3, a, b, most_a = INT32_MIN, most_b = INT32_MIN, step = stride - 12;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[seen]", "16") TW_LW("%[k0]", "%[k]", "4") TW_LW("%[k1]", "%[k]", "4")
        TW_LW("%[k2]", "%[k]", "4") TW_LW_BY("%[k3]", "%[k]", "%[step]")
        TW_DOT(TW_DOTSP, "%[a]", "%[k0]", "%[q0]") TW_DOT(TW_DOTSP, "%[b]", "%[k0]", "%[p0]")
        TW_DOT(TW_SDOTSP, "%[a]", "%[k1]", "%[q1]") TW_DOT(TW_SDOTSP, "%[b]", "%[k1]", "%[p1]")
        TW_DOT(TW_SDOTSP, "%[a]", "%[k2]", "%[q2]") TW_DOT(TW_SDOTSP, "%[b]", "%[k2]", "%[p2]")
        TW_DOT(TW_SDOTSP, "%[a]", "%[k3]", "%[q3]") TW_DOT(TW_SDOTSP, "%[b]", "%[k3]", "%[p3]")
        TW_MAX("%[ma]", "%[ma]", "%[a]") TW_MAX("%[mb]", "%[mb]", "%[b]")
        TW_SW("%[a]", "%[one]", "4") TW_SW("%[b]", "%[two]", "4") TW_ASM_END
        : [k0] "=&r"(k0), [k1] "=&r"(k1), [k2] "=&r"(k2), [k3] "=&r"(k3), [a] "=&r"(a), [b] "=&r"(b),
          [ma] "+&r"(most_a), [mb] "+&r"(most_b), [k] "+&r"(k), [one] "+&r"(one), [two] "+&r"(two)
        : [q0] "r"(q0), [q1] "r"(q1), [q2] "r"(q2), [q3] "r"(q3), [p0] "r"(p0), [p1] "r"(p1), [p2] "r"(p2),
          [p3] "r"(p3), [step] "r"(step), [seen] "r"(seen)
        : "memory");
    /* clang-format on */
    most[0] = most_a, most[1] = most_b;
#else
    most[0] = tw_scores_16(q, k, one, seen, stride);
    most[1] = tw_scores_16(q + 16, k, two, seen, stride);
#endif
}

/* Sums of p[s] v[c][s] for two heads and four channels, over `words` words of positions: of the first, then the second. */
TW_X void two_mixes_4(const int32_t *one, const int32_t *two, const int8_t *v, int words, int pitch, int32_t *sums)
{
#ifdef __riscv
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0, p, r, c, d, back = 4 - 3 * pitch;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "14") TW_LW("%[p]", "%[one]", "4") TW_LW("%[r]", "%[two]", "4")
        TW_LW_BY("%[c]", "%[v]", "%[pitch]") TW_LW_BY("%[d]", "%[v]", "%[pitch]")
        TW_DOT(TW_SDOTUSP, "%[a0]", "%[p]", "%[c]") TW_DOT(TW_SDOTUSP, "%[b0]", "%[r]", "%[c]")
        TW_LW_BY("%[c]", "%[v]", "%[pitch]")
        TW_DOT(TW_SDOTUSP, "%[a1]", "%[p]", "%[d]") TW_DOT(TW_SDOTUSP, "%[b1]", "%[r]", "%[d]")
        TW_LW_BY("%[d]", "%[v]", "%[back]")
        TW_DOT(TW_SDOTUSP, "%[a2]", "%[p]", "%[c]") TW_DOT(TW_SDOTUSP, "%[b2]", "%[r]", "%[c]")
        TW_DOT(TW_SDOTUSP, "%[a3]", "%[p]", "%[d]") TW_DOT(TW_SDOTUSP, "%[b3]", "%[r]", "%[d]") TW_ASM_END
        : [a0] "+&r"(a0), [a1] "+&r"(a1), [a2] "+&r"(a2), [a3] "+&r"(a3), [b0] "+&r"(b0), [b1] "+&r"(b1),
          [b2] "+&r"(b2), [b3] "+&r"(b3), [p] "=&r"(p), [r] "=&r"(r), [c] "=&r"(c), [d] "=&r"(d),
          [one] "+&r"(one), [two] "+&r"(two), [v] "+&r"(v)
        : [words] "r"(words), [pitch] "r"(pitch), [back] "r"(back)
        : "memory");
    /* clang-format on */
    sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
    sums[4] = b0, sums[5] = b1, sums[6] = b2, sums[7] = b3;
#else
    for (int c = 0; c < 4; c++) {
        sums[c] = tw_mix_1((const uint8_t *)one, v + c * pitch, words);
        sums[4 + c] = tw_mix_1((const uint8_t *)two, v + c * pitch, words);
    }
#endif
}

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
                two_scores_16(q + at, k + kv * hd, one, two, seen, kv_width, most);
            else {
                most[0] = tw_scores(q + at, k + kv * hd, one, seen, kv_width, hd);
                most[1] = tw_scores(q + at + hd, k + kv * hd, two, seen, kv_width, hd);
            }
            for (int m = 0; m < 2; m++)
                by[m] = probabilities(m ? two : one, seen, most[m], table, mul[h + m], out[h + m], shift, limit);
            for (int c = 0; c < hd; c += 4) {
                two_mixes_4(one, two, v + (kv * hd + c) * pitch, words, pitch, sums);
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
