/* Attention in integers of many rows over a cache that is state, where an even number of heads share keys and values:
 * two heads of a row see the same positions, and take them together. Layouts as in cluster_attention.c. */
#include "tw_attention.h"
#include "tw_kernels.h"

#define GROUP 8 /* heads that share one of the cache, at most, in the quicker form */

/* Where the table has what is so far from the greatest. */
TW_X uint32_t place_of(uint32_t away, int32_t mul, int shift)
{
    return (away * (uint32_t)mul + ((1u << shift) >> 1)) >> shift;
}

/* Scores of two heads become probabilities, in place; their sums go to sums[2]. Distances from the greatest score are
 * cut first, so that a product of lower halves, rounded and shifted by one instruction, gives a place in the table, see
 * quick_limits. */
TW_X void two_exponentials(int32_t *one, int32_t *two, const uint8_t *table, int words, const int32_t *most,
                           const int32_t *far, const int32_t *mul, int32_t *sums)
{
#ifdef __riscv
    int32_t s0, s1, s2, s3, w, sum0 = 0, sum1 = 0, *p = one, *r = two;
#define PLACES(most, far, mul)                                                                                         \
    "sub %[s0], " most ", %[s0]\nsub %[s1], " most ", %[s1]\n"                                                         \
    "sub %[s2], " most ", %[s2]\nsub %[s3], " most ", %[s3]\n"                                                         \
    TW_MINU("%[s0]", "%[s0]", far) TW_MINU("%[s1]", "%[s1]", far) TW_MINU("%[s2]", "%[s2]", far)                       \
    TW_MINU("%[s3]", "%[s3]", far) TW_UNSIGNED_PRODUCT("%[s0]", "%[s0]", mul, "16")                                    \
    TW_UNSIGNED_PRODUCT("%[s1]", "%[s1]", mul, "16") TW_UNSIGNED_PRODUCT("%[s2]", "%[s2]", mul, "16")                  \
    TW_UNSIGNED_PRODUCT("%[s3]", "%[s3]", mul, "16")
#define EXPONENTIALS(from, to, most, far, mul, sum)                                                                    \
    TW_LW("%[s0]", from, "4") TW_LW("%[s1]", from, "4") TW_LW("%[s2]", from, "4") TW_LW("%[s3]", from, "4")            \
    PLACES(most, far, mul) TW_LBU_AT("%[s0]", "%[table]", "%[s0]") TW_LBU_AT("%[s1]", "%[table]", "%[s1]")             \
    TW_LBU_AT("%[s2]", "%[table]", "%[s2]") TW_LBU_AT("%[s3]", "%[table]", "%[s3]")                                    \
    TW_PACKLO("%[w]", "%[s1]", "%[s0]") TW_PACKHI("%[w]", "%[s3]", "%[s2]")                                            \
    TW_DOT(TW_SDOTUP, sum, "%[w]", "%[ones]") TW_SW("%[w]", to, "4")
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[words]", "48")
                         EXPONENTIALS("%[one]", "%[p]", "%[most0]", "%[far0]", "%[mul0]", "%[sum0]")
                             EXPONENTIALS("%[two]", "%[r]", "%[most1]", "%[far1]", "%[mul1]", "%[sum1]") TW_ASM_END
                     : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [w] "=&r"(w),
                       [sum0] "+&r"(sum0), [sum1] "+&r"(sum1), [one] "+&r"(one), [p] "+&r"(p), [two] "+&r"(two),
                       [r] "+&r"(r)
                     : [most0] "r"(most[0]), [most1] "r"(most[1]), [far0] "r"(far[0]), [far1] "r"(far[1]),
                       [mul0] "r"(mul[0]), [mul1] "r"(mul[1]), [table] "r"(table), [ones] "r"(0x01010101),
                       [words] "r"(words)
                     : "memory");
    sums[0] = sum0, sums[1] = sum1;
#else
    for (int m = 0; m < 2; m++) {
        int32_t *score = m ? two : one, sum = 0;
        uint8_t *p = (uint8_t *)score;
        for (int s = 0; s < 4 * words; s++) {
            uint32_t away = (uint32_t)(most[m] - score[s]), cut = away < (uint32_t)far[m] ? away : (uint32_t)far[m];
            sum += p[s] = table[place_of(cut, mul[m], 16)];
        }
        sums[m] = sum;
    }
#endif
}

/* For each head its multiplier for a shift of 16, and the distance of a score from the greatest at which places in the
 * table are at `limit` or a little over: those further on hold the same. Returns whether all are of 16 bits, and within
 * the table. */
static __attribute__((noinline)) int quick_limits(const int32_t *mul, int group, int shift, int32_t limit,
                                                  int32_t *wide, int32_t *far)
{
    if (group > GROUP || shift < 12 || shift > 16)
        return 0;
    for (int m = 0; m < group; m++) {
        if (mul[m] <= 0 || mul[m] > 65535 >> (16 - shift))
            return 0;
        wide[m] = mul[m] << (16 - shift);
        far[m] = (int32_t)(((uint32_t)limit << 16) / (uint32_t)wide[m]) + 1;
        if (far[m] > 65535 || place_of((uint32_t)far[m], wide[m], 16) > 255 + 56)
            return 0;
    }
    return 1;
}

/* What sums of values are multiplied by. */
TW_X int32_t quotient(int32_t sum, int32_t out)
{
    return (int32_t)((uint32_t)(out + (sum >> 1)) / (uint32_t)sum);
}

/* Four results. */
TW_X void put(int8_t *y, const int32_t *sums, int32_t by, int32_t half, int shift)
{
    tw_set_word(y, tw_bytes_of(tw_scaled(sums[0], by, half, shift), tw_scaled(sums[1], by, half, shift),
                               tw_scaled(sums[2], by, half, shift), tw_scaled(sums[3], by, half, shift)));
}

/* Row i of those that cores take from both ends in turn. */
TW_X int row_of(int i, int tokens)
{
    return i & 1 ? tokens - 1 - (i >> 1) : i >> 1;
}

/* `count` rows from i on, see row_of, of the `group` heads of 16 channels that share one, with what quick_limits finds.
 * Parts of the scratch are four words longer than rows: the last word of a row is filled, whatever it has. */
static __attribute__((noinline)) void rows_of_16(const int8_t *q, const int8_t *k, const int8_t *v, const int32_t *mul,
                                                 const int32_t *out, const uint8_t *table, int8_t *y, int32_t *one,
                                                 int pos, int tokens, int i, int count, int group, int kv_width,
                                                 int pitch, int out_shift, const int32_t *far)
{
    int32_t *two = one + pitch + 4, half = (1 << out_shift) >> 1;
    for (int end = i + count; i < end; i++) {
        int t = row_of(i, tokens), seen = pos + t + 1, rest = -seen & 3, words = (seen + 3) >> 2;
        int32_t keep = (int32_t)(0xffffffffu >> 8 * rest), most[2], by[2];
        const int8_t *from = q + t * group * kv_width;
        int8_t *to = y + t * group * kv_width;
        TW_ROLLED
        for (int h = 0; h < group; h += 2, from += 32, to += 32) {
            tw_two_scores_16(from, k, one, two, seen, kv_width, most);
            int32_t *rest_of_one = one + seen, *rest_of_two = two + seen;
            rest_of_one[0] = rest_of_one[1] = rest_of_one[2] = most[0];
            rest_of_two[0] = rest_of_two[1] = rest_of_two[2] = most[1];
            two_exponentials(one, two, table, words, most, far + h, mul + h, by);
            one[words - 1] &= keep, two[words - 1] &= keep;
            for (int m = 0; m < 2; m++)
                by[m] = quotient(by[m] - rest * table[0], out[h + m]);
            TW_ROLLED
            for (int c = 0; c < 16; c += 4) {
                int32_t sums[8];
                tw_two_mixes_4(one, two, v + c * pitch, words, pitch, sums);
                put(to + c, sums, by[0], half, out_shift), put(to + c + 16, sums + 4, by[1], half, out_shift);
            }
        }
    }
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
    return quotient(sum, out);
}

/* y = softmax(q k^T) v, causal: row t stands at pos + t and sees positions 0 .. pos + t; `group` heads, an even
 * number, share one of the cache. Elements first .. last, multiples of group * hd, are counted along rows of the first
 * head of the cache, then of the next; rows come from both ends in turn, so that cores have equal work.
 * q, y: [tokens][heads * hd]; k: [capacity][kv_width]; v: [kv_width][pitch]; mul, out: [heads]; table: [256], and 56
 * times the last entry, as for tw_cluster_attention; scratch: [2][pitch + 4]. */
void tw_prompt_attention(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                         const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                         int8_t *restrict y, int32_t *restrict scratch, int pos, int tokens, int group, int kv_width,
                         int hd, int pitch, int shift, int out_shift, int first, int last)
{
    int32_t limit = 255 + ((int32_t)((uintptr_t)scratch >> 4 & 7) << 3), half = (1 << out_shift) >> 1;
    int32_t *one = scratch, *two = scratch + pitch + 4;
    int wide = group * hd, left = (last - first) / wide, kv = first / wide / tokens, i = first / wide - kv * tokens;
    for (int n; left > 0; left -= n, i = 0, kv++) {
        int32_t far[GROUP], wider[GROUP];
        n = tokens - i < left ? tokens - i : left;
        if (hd == 16 && quick_limits(mul + kv * group, group, shift, limit, wider, far))
            rows_of_16(q + kv * wide, k + kv * hd, v + kv * hd * pitch, wider, out + kv * group, table, y + kv * wide,
                       one, pos, tokens, i, n, group, kv_width, pitch, out_shift, far);
        else
            for (int end = i + n; i < end; i++) {
                int t = row_of(i, tokens), seen = pos + t + 1, words = (seen + 3) >> 2;
                int at = t * group * kv_width + kv * wide;
                for (int h = kv * group, stop = h + group; h < stop; h += 2, at += 2 * hd) {
                    int32_t by[2], sums[8];
                    for (int m = 0; m < 2; m++) {
                        int32_t *score = m ? two : one;
                        int32_t most = tw_scores(q + at + m * hd, k + kv * hd, score, seen, kv_width, hd);
                        by[m] = probabilities(score, seen, most, table, mul[h + m], out[h + m], shift, limit);
                    }
                    for (int c = 0; c < hd; c += 4) {
                        tw_two_mixes_4(one, two, v + (kv * hd + c) * pitch, words, pitch, sums);
                        for (int m = 0; m < 2; m++)
                            put(y + at + m * hd + c, sums + 4 * m, by[m], half, out_shift);
                    }
                }
            }
    }
}
