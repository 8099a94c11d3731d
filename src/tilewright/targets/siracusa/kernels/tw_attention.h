/* Scores, probabilities and sums of one head of attention over integers, for as many positions as the caller likes.
 * Keys lie position by position, values channel by channel, so that a word holds four products of either sum. */
#ifndef TW_ATTENTION_H
#define TW_ATTENTION_H

#include "tw_llama.h"
#include "tw_mixed.h"

/* Scores of `seen` positions over 16, 8 or 4 channels of a head, added to what `score` holds where `onto`. Returns the
 * greatest. k: the first position's, `stride` bytes from one to the next. */
#ifdef __riscv
#define TW_SCORES(name, words, size, start, loads, products)                                                           \
    TW_X int32_t name(const int8_t *q, const int8_t *k, int32_t *score, int seen, int stride)                          \
    {                                                                                                                  \
        uint32_t q0 = tw_word_at(q), q1 = words > 1 ? tw_word_at(q + 4) : 0;                                           \
        uint32_t q2 = words > 2 ? tw_word_at(q + 8) : 0, q3 = words > 2 ? tw_word_at(q + 12) : 0;                      \
        uint32_t k0, k1, k2, k3;                                                                                       \
        int32_t most = INT32_MIN, sum, step = stride - 4 * (words - 1);                                                \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[seen]", size)                                                    \
                             start loads products TW_MAX("%[most]", "%[most]", "%[sum]")                               \
                                 TW_SW("%[sum]", "%[score]", "4") TW_ASM_END                                           \
                         : [k0] "=&r"(k0), [k1] "=&r"(k1), [k2] "=&r"(k2), [k3] "=&r"(k3), [sum] "=&r"(sum),           \
                           [most] "+&r"(most), [k] "+&r"(k), [score] "+&r"(score)                                      \
                         : [q0] "r"(q0), [q1] "r"(q1), [q2] "r"(q2), [q3] "r"(q3), [step] "r"(step), [seen] "r"(seen)  \
                         : "memory");                                                                                  \
        return most;                                                                                                   \
    }
#define TW_LOAD_4                                                                                                      \
    TW_LW("%[k0]", "%[k]", "4")                                                                                        \
    TW_LW("%[k1]", "%[k]", "4") TW_LW("%[k2]", "%[k]", "4") TW_LW_BY("%[k3]", "%[k]", "%[step]")
#define TW_LOAD_1 TW_LW_BY("%[k0]", "%[k]", "%[step]")
#define TW_LOAD_2 TW_LW("%[k0]", "%[k]", "4") TW_LW_BY("%[k1]", "%[k]", "%[step]")
#define TW_REST_4                                                                                                      \
    TW_DOT(TW_SDOTSP, "%[sum]", "%[k1]", "%[q1]")                                                                      \
    TW_DOT(TW_SDOTSP, "%[sum]", "%[k2]", "%[q2]") TW_DOT(TW_SDOTSP, "%[sum]", "%[k3]", "%[q3]")
#define TW_REST_2 TW_DOT(TW_SDOTSP, "%[sum]", "%[k1]", "%[q1]")
#define TW_FIRST TW_DOT(TW_DOTSP, "%[sum]", "%[k0]", "%[q0]")
#define TW_ONTO TW_DOT(TW_SDOTSP, "%[sum]", "%[k0]", "%[q0]")
#define TW_OLD "lw %[sum], 0(%[score])\n"
TW_SCORES(tw_scores_16, 4, "10", "", TW_LOAD_4, TW_FIRST TW_REST_4)
TW_SCORES(tw_scores_onto_16, 4, "11", TW_OLD, TW_LOAD_4, TW_ONTO TW_REST_4)
TW_SCORES(tw_scores_8, 2, "6", "", TW_LOAD_2, TW_FIRST TW_REST_2)
TW_SCORES(tw_scores_onto_8, 2, "7", TW_OLD, TW_LOAD_2, TW_ONTO TW_REST_2)
TW_SCORES(tw_scores_4, 1, "4", "", TW_LOAD_1, TW_FIRST)
TW_SCORES(tw_scores_onto_4, 1, "5", TW_OLD, TW_LOAD_1, TW_ONTO)
#else
#define TW_SCORES(name, words, onto)                                                                                   \
    TW_X int32_t name(const int8_t *q, const int8_t *k, int32_t *score, int seen, int stride)                          \
    {                                                                                                                  \
        int32_t most = INT32_MIN;                                                                                      \
        for (int s = 0; s < seen; s++, k += stride) {                                                                  \
            int32_t sum = onto ? score[s] : 0;                                                                         \
            for (int i = 0; i < words; i++)                                                                            \
                sum = tw_vsdotsp_b(sum, tw_word_at(k + 4 * i), tw_word_at(q + 4 * i));                                 \
            score[s] = sum;                                                                                            \
            most = most > sum ? most : sum;                                                                            \
        }                                                                                                              \
        return most;                                                                                                   \
    }
TW_SCORES(tw_scores_16, 4, 0)
TW_SCORES(tw_scores_onto_16, 4, 1)
TW_SCORES(tw_scores_8, 2, 0)
TW_SCORES(tw_scores_onto_8, 2, 1)
TW_SCORES(tw_scores_4, 1, 0)
TW_SCORES(tw_scores_onto_4, 1, 1)
#endif

/* The same over any number of channels. */
TW_X int32_t tw_scores_rest(const int8_t *q, const int8_t *k, int32_t *score, int seen, int stride, int hd, int onto)
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

/* score[s] = q . k[s] over hd channels. Returns the greatest. */
static __attribute__((noinline, unused)) int32_t tw_scores_any(const int8_t *q, const int8_t *k, int32_t *score,
                                                               int seen, int stride, int hd)
{
    int32_t most = 0;
    int d = 0;
    for (; d + 16 <= hd; d += 16)
        most = d == 0 ? tw_scores_16(q, k, score, seen, stride) : tw_scores_onto_16(q + d, k + d, score, seen, stride);
    if (d + 8 <= hd) {
        most = d == 0 ? tw_scores_8(q, k, score, seen, stride) : tw_scores_onto_8(q + d, k + d, score, seen, stride);
        d += 8;
    }
    if (d + 4 <= hd) {
        most = d == 0 ? tw_scores_4(q, k, score, seen, stride) : tw_scores_onto_4(q + d, k + d, score, seen, stride);
        d += 4;
    }
    return d < hd ? tw_scores_rest(q + d, k + d, score, seen, stride, hd - d, d > 0) : most;
}

TW_X int32_t tw_scores(const int8_t *q, const int8_t *k, int32_t *score, int seen, int stride, int hd)
{
    return hd == 16  ? tw_scores_16(q, k, score, seen, stride)
           : hd == 8 ? tw_scores_8(q, k, score, seen, stride)
                     : tw_scores_any(q, k, score, seen, stride, hd);
}

/* Scores of two heads over the same keys of 16 or 8 channels, as above; the greatest of each to most[2]. */
#ifdef __riscv
#define TW_TWO_SCORES(name, words, size, queries, loads, products)                                                     \
    TW_X void name(const int8_t *q, const int8_t *k, int32_t *one, int32_t *two, int seen, int stride, int32_t *most)  \
    {                                                                                                                  \
        int32_t q0, q1, q2 = 0, q3 = 0, p0, p1, p2 = 0, p3 = 0, k0, k1, k2, k3, a, b, step = stride - 4 * (words - 1); \
        int32_t most_a = INT32_MIN, most_b = INT32_MIN;                                                                \
        __asm__ volatile(TW_ASM_BEGIN queries TW_LOOP("0", "%[seen]", size) loads products                             \
                             TW_MAX("%[ma]", "%[ma]", "%[a]") TW_MAX("%[mb]", "%[mb]", "%[b]")                         \
                                 TW_SW("%[a]", "%[one]", "4") TW_SW("%[b]", "%[two]", "4") TW_ASM_END                  \
                         : [k0] "=&r"(k0), [k1] "=&r"(k1), [k2] "=&r"(k2), [k3] "=&r"(k3), [a] "=&r"(a),               \
                           [b] "=&r"(b), [ma] "+&r"(most_a), [mb] "+&r"(most_b), [k] "+&r"(k), [one] "+&r"(one),       \
                           [two] "+&r"(two), [q0] "=&r"(q0), [q1] "=&r"(q1), [q2] "=&r"(q2), [q3] "=&r"(q3),           \
                           [p0] "=&r"(p0), [p1] "=&r"(p1), [p2] "=&r"(p2), [p3] "=&r"(p3)                              \
                         : [q] "r"(q), [step] "r"(step), [seen] "r"(seen)                                              \
                         : "memory");                                                                                  \
        most[0] = most_a, most[1] = most_b;                                                                            \
    }
#define TW_QUERY(n, at) "lw %[" n "], " at "(%[q])\n"
#define TW_QUERIES_4                                                                                                   \
    TW_QUERY("q0", "0")                                                                                                \
    TW_QUERY("q1", "4") TW_QUERY("q2", "8") TW_QUERY("q3", "12") TW_QUERY("p0", "16") TW_QUERY("p1", "20")             \
        TW_QUERY("p2", "24") TW_QUERY("p3", "28")
#define TW_QUERIES_2 TW_QUERY("q0", "0") TW_QUERY("q1", "4") TW_QUERY("p0", "8") TW_QUERY("p1", "12")
#define TW_BOTH(code, n)                                                                                               \
    TW_DOT(code, "%[a]", "%[k" n "]", "%[q" n "]") TW_DOT(code, "%[b]", "%[k" n "]", "%[p" n "]")
#define TW_BOTH_2 TW_BOTH(TW_DOTSP, "0") TW_BOTH(TW_SDOTSP, "1")
TW_TWO_SCORES(tw_two_scores_16, 4, "16", TW_QUERIES_4, TW_LOAD_4,
              TW_BOTH_2 TW_BOTH(TW_SDOTSP, "2") TW_BOTH(TW_SDOTSP, "3"))
TW_TWO_SCORES(tw_two_scores_8, 2, "10", TW_QUERIES_2, TW_LOAD_2, TW_BOTH_2)
#else
#define TW_TWO_SCORES(name, scores, hd)                                                                                \
    TW_X void name(const int8_t *q, const int8_t *k, int32_t *one, int32_t *two, int seen, int stride, int32_t *most)  \
    {                                                                                                                  \
        most[0] = scores(q, k, one, seen, stride);                                                                     \
        most[1] = scores(q + hd, k, two, seen, stride);                                                                \
    }
TW_TWO_SCORES(tw_two_scores_16, tw_scores_16, 16)
TW_TWO_SCORES(tw_two_scores_8, tw_scores_8, 8)
#endif

TW_X void tw_two_scores(const int8_t *q, const int8_t *k, int32_t *one, int32_t *two, int seen, int stride, int hd,
                         int32_t *most)
{
    if (hd == 16)
        tw_two_scores_16(q, k, one, two, seen, stride, most);
    else if (hd == 8)
        tw_two_scores_8(q, k, one, two, seen, stride, most);
    else {
        most[0] = tw_scores_any(q, k, one, seen, stride, hd);
        most[1] = tw_scores_any(q + hd, k, two, seen, stride, hd);
    }
}

/* p[s] = table[(base - score[s] * mul) >> shift, at most limit], `words` words of bytes; returns the sum. p may begin
 * where the scores do: a word is written after the four scores that lie there or further on have been read. Scores are
 * `step` bytes from each other. */
#ifdef __riscv
#define TW_EXPONENTIALS(name, step)                                                                                    \
    TW_X int32_t name(const int32_t *score, void *to, const uint8_t *table, int words, int32_t base, int32_t mul,      \
                      int shift, int32_t limit)                                                                        \
    {                                                                                                                  \
        uint32_t ones = 0x01010101u, w;                                                                                \
        int32_t sum = 0, s0, s1, s2, s3, less = ~mul;                                                                  \
        int32_t *p = to;                                                                                               \
        __asm__ volatile(                                                                                              \
            TW_ASM_BEGIN TW_LOOP("0", "%[words]", "24") TW_LW("%[s0]", "%[score]", #step)                              \
            TW_LW("%[s1]", "%[score]", #step) TW_LW("%[s2]", "%[score]", #step) TW_LW("%[s3]", "%[score]", #step)      \
            TW_TIMES("%[s0]", "%[less]") TW_TIMES("%[s1]", "%[less]") TW_TIMES("%[s2]", "%[less]")                     \
            TW_TIMES("%[s3]", "%[less]") TW_ADDN("%[s0]", "%[base]", "%[shift]")                                       \
            TW_ADDN("%[s1]", "%[base]", "%[shift]") TW_ADDN("%[s2]", "%[base]", "%[shift]")                            \
            TW_ADDN("%[s3]", "%[base]", "%[shift]") TW_MINU("%[s0]", "%[s0]", "%[limit]")                              \
            TW_MINU("%[s1]", "%[s1]", "%[limit]") TW_MINU("%[s2]", "%[s2]", "%[limit]")                                \
            TW_MINU("%[s3]", "%[s3]", "%[limit]") TW_LBU_AT("%[s0]", "%[table]", "%[s0]")                              \
            TW_LBU_AT("%[s1]", "%[table]", "%[s1]") TW_LBU_AT("%[s2]", "%[table]", "%[s2]")                            \
            TW_LBU_AT("%[s3]", "%[table]", "%[s3]") TW_PACKLO("%[w]", "%[s1]", "%[s0]")                                \
            TW_PACKHI("%[w]", "%[s3]", "%[s2]") TW_DOT(TW_SDOTUP, "%[sum]", "%[w]", "%[ones]")                         \
            TW_SW("%[w]", "%[p]", "4") TW_ASM_END                                                                      \
            : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [w] "=&r"(w), [sum] "+&r"(sum),          \
              [score] "+&r"(score), [p] "+&r"(p)                                                                       \
            : [less] "r"(less), [base] "r"(base), [shift] "r"(shift), [limit] "r"(limit), [table] "r"(table),          \
              [ones] "r"(ones), [words] "r"(words)                                                                     \
            : "memory");                                                                                               \
        return sum;                                                                                                    \
    }
#else
#define TW_EXPONENTIALS(name, step)                                                                                    \
    TW_X int32_t name(const int32_t *score, void *to, const uint8_t *table, int words, int32_t base, int32_t mul,      \
                      int shift, int32_t limit)                                                                        \
    {                                                                                                                  \
        int32_t sum = 0;                                                                                               \
        uint8_t *p = to;                                                                                               \
        for (int s = 0; s < 4 * words; s++) {                                                                          \
            int32_t index = (base - score[step / 4 * s] * mul) >> shift;                                               \
            int32_t value = table[index < limit ? index : limit];                                                      \
            sum += value;                                                                                              \
            p[s] = (uint8_t)value;                                                                                     \
        }                                                                                                              \
        return sum;                                                                                                    \
    }
#endif
TW_EXPONENTIALS(tw_exponentials, 4)
TW_EXPONENTIALS(tw_exponentials_of_two, 8)

/* y = clip((sum * reciprocal + half) >> shift). */
TW_X int8_t tw_requantised(int32_t sum, int32_t reciprocal, int shift)
{
    return (int8_t)tw_pclip(tw_pmac((1 << shift) >> 1, sum, reciprocal) >> shift, 8);
}

/* Sum of p[s] v[s] over `words` words of positions. */
TW_X int32_t tw_mix_1(const uint8_t *p, const int8_t *v, int words)
{
    int32_t sum = 0;
    for (int i = 0; i < words; i++)
        sum = tw_vsdotusp_b(sum, tw_word_at(p + 4 * i), tw_word_at(v + 4 * i));
    return sum;
}

/* Sums of p[s] v[c][s] for two heads and four channels, over `words` words of positions: of one, then of the other. */
TW_X void tw_two_mixes_4(const void *one, const void *two, const int8_t *v, int words, int pitch, int32_t *sums)
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
        sums[c] = tw_mix_1(one, v + c * pitch, words);
        sums[4 + c] = tw_mix_1(two, v + c * pitch, words);
    }
#endif
}

/* The same for one head. */
TW_X void tw_mix_4(const void *p, const int8_t *v, int words, int pitch, int32_t *sums)
{
#ifdef __riscv
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, w, a, b, back = 4 - 3 * pitch;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "9") TW_MIX_FOUR(TW_SDOTUSP) TW_ASM_END
        : [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2), [s3] "+&r"(s3), [w] "=&r"(w), [a] "=&r"(a), [b] "=&r"(b),
          [p] "+&r"(p), [v] "+&r"(v)
        : [words] "r"(words), [pitch] "r"(pitch), [back] "r"(back)
        : "memory");
    /* clang-format on */
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
#else
    for (int c = 0; c < 4; c++)
        sums[c] = tw_mix_1(p, v + c * pitch, words);
#endif
}

/* Eight channels of y from the sums of p[s] v[c][s] over `words` words of positions. */
#ifdef __riscv
TW_X void tw_mix_8(const uint8_t *p, const int8_t *v, int8_t *y, int words, int pitch, int32_t reciprocal, int shift)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0, back = 4 - 7 * pitch;
    uint32_t w, a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "17") TW_LW("%[w]", "%[p]", "4") TW_LW_BY("%[a]", "%[v]", "%[pitch]")
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
    /* clang-format on */
    int32_t half = (1 << shift) >> 1;
    tw_set_word(y, tw_bytes_of(tw_scaled(s0, reciprocal, half, shift), tw_scaled(s1, reciprocal, half, shift),
                               tw_scaled(s2, reciprocal, half, shift), tw_scaled(s3, reciprocal, half, shift)));
    tw_set_word(y + 4, tw_bytes_of(tw_scaled(s4, reciprocal, half, shift), tw_scaled(s5, reciprocal, half, shift),
                                   tw_scaled(s6, reciprocal, half, shift), tw_scaled(s7, reciprocal, half, shift)));
}
#else
TW_X void tw_mix_8(const uint8_t *p, const int8_t *v, int8_t *y, int words, int pitch, int32_t reciprocal, int shift)
{
    for (int c = 0; c < 8; c++)
        y[c] = tw_requantised(tw_mix_1(p, v + c * pitch, words), reciprocal, shift);
}
#endif

#endif
