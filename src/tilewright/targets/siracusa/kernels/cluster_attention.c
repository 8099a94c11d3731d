/* Attention in integers over a cache that is state: keys lie position by position, [capacity][kv_heads * hd], values
 * channel by channel, [kv_heads * hd][pitch], so that a word holds four products of either sum. */
#include "tw_kernels.h"
#include "tw_quantised.h"
#include "tw_words.h"

/* Elements first .. last of x, flat, go to row pos on of the keys: rows as they are. */
void tw_cluster_append_rows(int8_t *restrict state, const int8_t *restrict x, int n, int pos, int first, int last)
{
    int8_t *restrict y = state + pos * n;
    int i = first;
    for (; i + 4 <= last; i += 4)
        tw_set_word(y + i, tw_word_at(x + i));
    for (; i < last; i++)
        y[i] = x[i];
}

/* Elements first .. last of x, [tokens][n], to position pos on of the values. */
void tw_cluster_append_channels(int8_t *restrict state, const int8_t *restrict x, int n, int pitch, int pos, int first,
                                int last)
{
    int t = first < n ? 0 : first / n, c = first - t * n;
    for (int i = first; i < last; i++) {
        state[c * pitch + pos + t] = x[i];
        if (++c == n)
            c = 0, t++;
    }
}

/* Scores of `seen` positions over 16 or 8 channels of a head, added to what `score` holds where `onto`. Returns the
 * greatest. k: the first position's, `stride` bytes from one to the next. */
#ifdef __riscv
#define TW_SCORES(name, words, size, start, loads, products)                                                          \
    static int32_t name(const int8_t *q, const int8_t *k, int32_t *score, int seen, int stride)                        \
    {                                                                                                                  \
        uint32_t q0 = tw_word_at(q), q1 = tw_word_at(q + 4), q2 = words > 2 ? tw_word_at(q + 8) : 0;                            \
        uint32_t q3 = words > 2 ? tw_word_at(q + 12) : 0;                                                                 \
        uint32_t k0, k1, k2, k3;                                                                                       \
        int32_t most = INT32_MIN, sum, step = stride - 4 * (words - 1);                                                \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[seen]", size) start loads products TW_MAX("%[most]", "%[most]", "%[sum]")  \
                             TW_SW("%[sum]", "%[score]", "4") TW_ASM_END                                                     \
                         : [k0] "=&r"(k0), [k1] "=&r"(k1), [k2] "=&r"(k2), [k3] "=&r"(k3), [sum] "=&r"(sum),           \
                           [most] "+&r"(most), [k] "+&r"(k), [score] "+&r"(score)                                      \
                         : [q0] "r"(q0), [q1] "r"(q1), [q2] "r"(q2), [q3] "r"(q3), [step] "r"(step), [seen] "r"(seen)  \
                         : "memory");                                                                                  \
        return most;                                                                                                   \
    }
#define TW_LOAD_4                                                                                                      \
    TW_LW("%[k0]", "%[k]", "4") TW_LW("%[k1]", "%[k]", "4") TW_LW("%[k2]", "%[k]", "4") TW_LW_BY("%[k3]", "%[k]", "%[step]")
#define TW_LOAD_2 TW_LW("%[k0]", "%[k]", "4") TW_LW_BY("%[k1]", "%[k]", "%[step]")
#define TW_REST_4                                                                                                      \
    TW_DOT(TW_SDOTSP, "%[sum]", "%[k1]", "%[q1]") TW_DOT(TW_SDOTSP, "%[sum]", "%[k2]", "%[q2]") TW_DOT(TW_SDOTSP, "%[sum]", "%[k3]", "%[q3]")
#define TW_REST_2 TW_DOT(TW_SDOTSP, "%[sum]", "%[k1]", "%[q1]")
#define TW_FIRST TW_DOT(TW_DOTSP, "%[sum]", "%[k0]", "%[q0]")
#define TW_ONTO TW_DOT(TW_SDOTSP, "%[sum]", "%[k0]", "%[q0]")
#define TW_OLD "lw %[sum], 0(%[score])\n"
TW_SCORES(scores_16, 4, "10", "", TW_LOAD_4, TW_FIRST TW_REST_4)
TW_SCORES(scores_onto_16, 4, "11", TW_OLD, TW_LOAD_4, TW_ONTO TW_REST_4)
TW_SCORES(scores_8, 2, "6", "", TW_LOAD_2, TW_FIRST TW_REST_2)
TW_SCORES(scores_onto_8, 2, "7", TW_OLD, TW_LOAD_2, TW_ONTO TW_REST_2)
#else
#define TW_SCORES(name, words, onto)                                                                                   \
    static int32_t name(const int8_t *q, const int8_t *k, int32_t *score, int seen, int stride)                        \
    {                                                                                                                  \
        int32_t most = INT32_MIN;                                                                                      \
        for (int s = 0; s < seen; s++, k += stride) {                                                                  \
            int32_t sum = onto ? score[s] : 0;                                                                         \
            for (int i = 0; i < words; i++)                                                                            \
                sum = tw_vsdotsp_b(sum, tw_word_at(k + 4 * i), tw_word_at(q + 4 * i));                                          \
            score[s] = sum;                                                                                            \
            most = most > sum ? most : sum;                                                                            \
        }                                                                                                              \
        return most;                                                                                                   \
    }
TW_SCORES(scores_16, 4, 0)
TW_SCORES(scores_onto_16, 4, 1)
TW_SCORES(scores_8, 2, 0)
TW_SCORES(scores_onto_8, 2, 1)
#endif

/* The same over any number of channels. */
static int32_t scores_rest(const int8_t *q, const int8_t *k, int32_t *score, int seen, int stride, int hd, int onto)
{
    int32_t most = INT32_MIN;
    for (int s = 0; s < seen; s++, k += stride) {
        int32_t sum = onto ? score[s] : 0;
        for (int d = 0; d < hd; d++)
            sum += q[d] * k[d];
        score[s] = sum;
        most = most > sum ? most : sum;
    }
    return most;
}

/* score[s] = q . k[s]. Returns the greatest. */
static __attribute__((noinline)) int32_t scores_any(const int8_t *q, const int8_t *k, int32_t *score, int seen,
                                                    int stride, int hd)
{
    int32_t most = 0;
    int d = 0;
    for (; d + 16 <= hd; d += 16)
        most = d == 0 ? scores_16(q, k, score, seen, stride) : scores_onto_16(q + d, k + d, score, seen, stride);
    if (d + 8 <= hd) {
        most = d == 0 ? scores_8(q, k, score, seen, stride) : scores_onto_8(q + d, k + d, score, seen, stride);
        d += 8;
    }
    return d < hd ? scores_rest(q + d, k + d, score, seen, stride, hd - d, d > 0) : most;
}

/* Bytes p[s] = table[(base - score[s] * mul) >> shift, at most 255] in the same place, `groups` words; returns the sum.
 * A word is written after the four scores that lie there or further on have been read. */
static int32_t exponentials(int32_t *score, const uint8_t *table, int groups, int32_t base, int32_t mul, int shift)
{
    int32_t sum = 0;
#ifdef __riscv
    uint32_t ones = 0x01010101u, limit = 255, w;
    int32_t s0, s1, s2, s3, minus = -mul;
    int32_t *p = score;
    __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[groups]", "24")
            TW_LW("%[s0]", "%[score]", "4") TW_LW("%[s1]", "%[score]", "4")
            TW_LW("%[s2]", "%[score]", "4") TW_LW("%[s3]", "%[score]", "4")
            "mul %[s0], %[s0], %[minus]\nmul %[s1], %[s1], %[minus]\n"
            "mul %[s2], %[s2], %[minus]\nmul %[s3], %[s3], %[minus]\n"
            TW_ADDN("%[s0]", "%[base]", "%[shift]") TW_ADDN("%[s1]", "%[base]", "%[shift]")
            TW_ADDN("%[s2]", "%[base]", "%[shift]") TW_ADDN("%[s3]", "%[base]", "%[shift]")
            TW_MINU("%[s0]", "%[s0]", "%[limit]") TW_MINU("%[s1]", "%[s1]", "%[limit]")
            TW_MINU("%[s2]", "%[s2]", "%[limit]") TW_MINU("%[s3]", "%[s3]", "%[limit]")
            TW_LBU_AT("%[s0]", "%[table]", "%[s0]") TW_LBU_AT("%[s1]", "%[table]", "%[s1]")
            TW_LBU_AT("%[s2]", "%[table]", "%[s2]") TW_LBU_AT("%[s3]", "%[table]", "%[s3]")
            TW_PACKLO("%[w]", "%[s1]", "%[s0]") TW_PACKHI("%[w]", "%[s3]", "%[s2]")
            TW_DOT(TW_SDOTUP, "%[sum]", "%[w]", "%[ones]") TW_SW("%[w]", "%[p]", "4") TW_ASM_END
            : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [w] "=&r"(w), [sum] "+&r"(sum),
              [score] "+&r"(score), [p] "+&r"(p)
            : [minus] "r"(minus), [base] "r"(base), [shift] "r"(shift), [limit] "r"(limit), [table] "r"(table),
              [ones] "r"(ones), [groups] "r"(groups)
            : "memory");
#else
    uint8_t *p = (uint8_t *)score;
    for (int s = 0; s < 4 * groups; s++) {
        int32_t index = (base - score[s] * mul) >> shift;
        int32_t value = table[index < 255 ? index : 255];
        sum += value;
        p[s] = (uint8_t)value;
    }
#endif
    return sum;
}

/* y = clip((sum * reciprocal + half) >> shift). */
TW_X int8_t requantised(int32_t sum, int32_t reciprocal, int shift)
{
    return (int8_t)tw_pclip(tw_pmac((1 << shift) >> 1, sum, reciprocal) >> shift, 8);
}

/* Sum of p[s] v[s] over `words` words of positions. */
static int32_t mix_1(const uint8_t *p, const int8_t *v, int words)
{
    int32_t sum = 0;
    for (int i = 0; i < words; i++)
        sum = tw_vsdotusp_b(sum, tw_word_at(p + 4 * i), tw_word_at(v + 4 * i));
    return sum;
}

/* Eight channels of y from the sums of p[s] v[c][s] over `words` words of positions. */
#ifdef __riscv
static void mix_8(const uint8_t *p, const int8_t *v, int8_t *y, int words, int pitch, int32_t reciprocal,
                  int shift)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0, back = 4 - 7 * pitch;
    uint32_t w, a, b;
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "17")
        TW_LW("%[w]", "%[p]", "4") TW_LW_BY("%[a]", "%[v]", "%[pitch]")
        TW_LW_BY("%[b]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTUSP, "%[s0]", "%[w]", "%[a]")
        TW_LW_BY("%[a]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTUSP, "%[s1]", "%[w]", "%[b]")
        TW_LW_BY("%[b]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTUSP, "%[s2]", "%[w]", "%[a]")
        TW_LW_BY("%[a]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTUSP, "%[s3]", "%[w]", "%[b]")
        TW_LW_BY("%[b]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTUSP, "%[s4]", "%[w]", "%[a]")
        TW_LW_BY("%[a]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTUSP, "%[s5]", "%[w]", "%[b]")
        TW_LW_BY("%[b]", "%[v]", "%[back]") TW_DOT(TW_SDOTUSP, "%[s6]", "%[w]", "%[a]")
        TW_DOT(TW_SDOTUSP, "%[s7]", "%[w]", "%[b]") TW_ASM_END
        : [w] "=&r"(w), [a] "=&r"(a), [b] "=&r"(b), [p] "+&r"(p), [v] "+&r"(v), [s0] "+&r"(s0), [s1] "+&r"(s1),
          [s2] "+&r"(s2), [s3] "+&r"(s3), [s4] "+&r"(s4), [s5] "+&r"(s5), [s6] "+&r"(s6), [s7] "+&r"(s7)
        : [words] "r"(words), [pitch] "r"(pitch), [back] "r"(back)
        : "memory");
    y[0] = requantised(s0, reciprocal, shift), y[1] = requantised(s1, reciprocal, shift);
    y[2] = requantised(s2, reciprocal, shift), y[3] = requantised(s3, reciprocal, shift);
    y[4] = requantised(s4, reciprocal, shift), y[5] = requantised(s5, reciprocal, shift);
    y[6] = requantised(s6, reciprocal, shift), y[7] = requantised(s7, reciprocal, shift);
}
#else
static void mix_8(const uint8_t *p, const int8_t *v, int8_t *y, int words, int pitch, int32_t reciprocal,
                  int shift)
{
    for (int c = 0; c < 8; c++)
        y[c] = requantised(mix_1(p, v + c * pitch, words), reciprocal, shift);
}
#endif

/* y = softmax(q k^T) v, causal: elements first .. last of y, [tokens][heads * hd]. Row t stands at pos + t and sees
 * positions 0 .. pos + t; `group` heads share one of the cache. Cores that share a head each compute its scores.
 * k: [capacity][kv_width]; v: [kv_width][pitch]; mul, out: [heads]; table: [256]; scratch: [pitch]. */
void tw_cluster_attention(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                          const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                          int8_t *restrict y, int32_t *restrict scratch, int pos, int group, int kv_width, int hd,
                          int pitch, int shift, int out_shift, int first, int last)
{
    int c = first, h = 0, m = 0, kv = 0; /* head h is head m of those that share channels kv and on of the cache */
    int seen = pos + 1, width = group * kv_width;
    if (c >= width) {
        int t = c / width;
        seen += t, c -= t * width;
    }
    for (; c >= hd; c -= hd, h++)
        if (++m == group)
            m = 0, kv += hd;
    q += first - c;
    for (y += first; first < last; q += hd, c = 0) {
        int n = hd - c < last - first ? hd - c : last - first, rest = -seen & 3;
        unsigned words = (unsigned)(seen + 3) >> 2;
        int32_t most = hd == 16  ? scores_16(q, k + kv, scratch, seen, kv_width)
                       : hd == 8 ? scores_8(q, k + kv, scratch, seen, kv_width)
                                 : scores_any(q, k + kv, scratch, seen, kv_width, hd);
        for (int i = 0; i < rest; i++)
            scratch[seen + i] = most;
        int32_t base = most * mul[h] + (int32_t)((1u << shift) >> 1);
        int32_t sum = exponentials(scratch, table, (int)words, base, mul[h], shift) - rest * table[0];
        scratch[words - 1] &= (int32_t)(0xffffffffu >> 8 * rest);
        int32_t reciprocal = (int32_t)((uint32_t)(out[h] + (sum >> 1)) / (uint32_t)sum);
        const int8_t *values = v + (kv + c) * pitch;
        first += n;
        for (; n >= 8; n -= 8, y += 8, values += 8 * pitch)
            mix_8((const uint8_t *)scratch, values, y, (int)words, pitch, reciprocal, out_shift);
        for (; n > 0; n--, values += pitch)
            *y++ = requantised(mix_1((const uint8_t *)scratch, values, (int)words), reciprocal, out_shift);
        h++;
        if (++m == group)
            m = 0, kv += hd;
        if (kv == kv_width)
            kv = h = 0, seen++;
    }
}
