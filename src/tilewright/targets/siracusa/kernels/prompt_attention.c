/* Attention in integers of many rows over a cache that is state, where an even number of heads share keys and values:
 * two heads of a row see the same positions, and take them together. Layouts as in cluster_attention.c. */
#include "tw_kernels.h"
#include "tw_weights.h"

/* `group` heads share one of the cache; `step`: bytes from one row of q and y to the next. */
struct sizes {
    int32_t group, step, kv_width, hd, pitch, shift, out_shift;
};

/* What sums of values are multiplied by. A division takes as long as the divisor has leading zeros: 8 fewer, for out is
 * at most 2^23 and sums are below 2^24. */
TW_X int32_t quotient(int32_t sum, int32_t out)
{
    uint32_t divisor = (uint32_t)sum << 8;
    return (int32_t)((((uint32_t)out << 8) + (divisor >> 1)) / divisor);
}

/* Row i of those that cores take from both ends in turn. */
TW_X int row_of(int i, int tokens)
{
    return i & 1 ? tokens - 1 - (i >> 1) : i >> 1;
}

/* Scores of two heads, in turns, become weights, words of the heads in turns, perhaps in the same place; their sums go
 * to sums[2]. base: the greatest scores times their multipliers; less: these negated, less one. What lies behind the
 * scores is read up to the end of a word. Returns the weights' end. */
TW_X int32_t *weights_in_turns(const int32_t *scores, int32_t *p, const uint8_t *table, int seen, const int32_t *base,
                               const int32_t *less, int shift, int32_t limit, int32_t *sums)
{
#ifdef __riscv
    int32_t s0, s1, s2, s3, a, b, sum0, sum1;
#define SCORE(s, at) "lw %[" s "], " at "(%[scores])\n"
#define EACH(step, x, y) step("%[s0]", x, y) step("%[s1]", x, y) step("%[s2]", x, y) step("%[s3]", x, y)
#define PRODUCT(s, less, base) TW_TIMES(s, less)
#define PLACE(s, less, base) TW_ADDRN(s, base, "%[shift]")
#define WITHIN(s, less, base) TW_MINU(s, s, "%[limit]")
#define LOOK_UP(s, less, base) TW_LBU_AT(s, "%[table]", s)
#define WEIGHTS(w, sum, less, base)                                                                                    \
    EACH(PRODUCT, less, base)                                                                                          \
    EACH(PLACE, less, base) EACH(WITHIN, less, base) EACH(LOOK_UP, less, base) TW_PACKLO(w, "%[s1]", "%[s0]")          \
        TW_PACKHI(w, "%[s3]", "%[s2]") TW_DOT(TW_SDOTUP, sum, w, "%[ones]") TW_SW(w, "%[p]", "4")
#define WITHOUT_REST(w, sum, at)                                                                                       \
    "and %[s0], " w ", %[keep]\nxor " w ", " w ", %[s0]\nsw %[s0], " at "(%[p])\n" TW_DOT(TW_DOTUP, w, w, "%[ones]")   \
    "sub " sum ", " sum ", " w "\n"
    /* clang-format off */
    __asm__ volatile(
        "li %[sum0], 0\nli %[sum1], 0\n" TW_ASM_BEGIN TW_LOOP("0", "%[words]", "48")
        TW_LW("%[s0]", "%[scores]", "32") SCORE("s1", "-24") SCORE("s2", "-16") SCORE("s3", "-8")
        WEIGHTS("%[a]", "%[sum0]", "%[less0]", "%[base0]")
        SCORE("s0", "-28") SCORE("s1", "-20") SCORE("s2", "-12") SCORE("s3", "-4")
        WEIGHTS("%[b]", "%[sum1]", "%[less1]", "%[base1]")
        TW_ASM_END WITHOUT_REST("%[a]", "%[sum0]", "-8") WITHOUT_REST("%[b]", "%[sum1]", "-4")
        : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [a] "=&r"(a), [b] "=&r"(b),
          [sum0] "=&r"(sum0), [sum1] "=&r"(sum1), [scores] "+&r"(scores), [p] "+&r"(p)
        : [less0] "r"(less[0]), [less1] "r"(less[1]), [base0] "r"(base[0]), [base1] "r"(base[1]), [shift] "r"(shift),
          [limit] "r"(limit), [table] "r"(table), [ones] "r"(0x01010101),
          [keep] "r"((int32_t)(0xffffffffu >> (-8 * seen & 31))), [words] "r"((seen + 3) >> 2)
        : "memory");
    /* clang-format on */
    sums[0] = sum0, sums[1] = sum1;
    return p;
#else
    sums[0] = sums[1] = 0;
    for (int s = 0; s < ((seen + 3) & ~3); s += 4, p += 2) {
        uint8_t four[2][4] = {{0}, {0}};
        for (int m = 0; m < 2; m++)
            for (int i = s; i < s + 4 && i < seen; i++)
                sums[m] += four[m][i - s] = table[tw_pmin(
                    (base[m] + scores[2 * i + m] * (less[m] + 1) + tw_half(shift)) >> shift, limit)];
        tw_set_word(p, tw_word_at(four[0])), tw_set_word(p + 1, tw_word_at(four[1]));
    }
    return p;
#endif
}

/* What weights, words of two heads in turns, make of the values of 16 channels, eight after the other: y[m][c]. Behind
 * the weights lie what sums are multiplied by, less one. Returns the weights' end. */
TW_X const int32_t *mixed_16(const int32_t *p, const int8_t *v, int8_t *y, int words, int pitch, int shift)
{
#ifdef __riscv
    int32_t a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, w, r, c, d, back = 4 - 7 * pitch;
    int32_t both = shift + 32; /* instructions take the lower five bits */
#define EIGHT(step, h, x)                                                                                              \
    step("%[" h "0]", x) step("%[" h "1]", x) step("%[" h "2]", x) step("%[" h "3]", x) step("%[" h "4]", x)           \
    step("%[" h "5]", x) step("%[" h "6]", x) step("%[" h "7]", x)
#define NOTHING(s, x) "li " s ", 0\n"
#define NEXT(value) TW_LW_BY(value, "%[v]", "%[pitch]")
#define BOTH(n, value) TW_DOT(TW_SDOTUSP, "%[a" n "]", "%[w]", value) TW_DOT(TW_SDOTUSP, "%[b" n "]", "%[r]", value)
#define ROUNDED(s, x) TW_ADDRN(s, "x0", "%[shift]")
#define CLIPPED(s, x) TW_CLIP(s, s, "8")
#define PACKED(h)                                                                                                      \
    TW_PACKLO("%[" h "0]", "%[" h "1]", "%[" h "0]") TW_PACKHI("%[" h "0]", "%[" h "3]", "%[" h "2]")                  \
    TW_PACKLO("%[" h "4]", "%[" h "5]", "%[" h "4]") TW_PACKHI("%[" h "4]", "%[" h "7]", "%[" h "6]")
#define RESULTS(h, less) EIGHT(TW_TIMES, h, less) EIGHT(ROUNDED, h, "") EIGHT(CLIPPED, h, "") PACKED(h)
    /* clang-format off */
    __asm__ volatile(
        "1:" EIGHT(NOTHING, "a", "") EIGHT(NOTHING, "b", "")
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "26") TW_LW("%[w]", "%[p]", "4") TW_LW("%[r]", "%[p]", "4")
        NEXT("%[c]") NEXT("%[d]") BOTH("0", "%[c]") NEXT("%[c]") BOTH("1", "%[d]") NEXT("%[d]") BOTH("2", "%[c]")
        NEXT("%[c]") BOTH("3", "%[d]") NEXT("%[d]") BOTH("4", "%[c]") NEXT("%[c]") BOTH("5", "%[d]")
        TW_LW_BY("%[d]", "%[v]", "%[back]") BOTH("6", "%[c]") BOTH("7", "%[d]") TW_ASM_END
        "lw %[c], 0(%[p])\nlw %[d], 4(%[p])\n"
        "slli %[w], %[words], 2\nslli %[r], %[pitch], 3\nsub %[v], %[v], %[w]\nadd %[v], %[v], %[r]\n"
        "add %[w], %[w], %[w]\nsub %[p], %[p], %[w]\n"
        RESULTS("a", "%[c]") RESULTS("b", "%[d]")
        "sw %[a4], 4(%[y])\nsw %[b0], 16(%[y])\nsw %[b4], 20(%[y])\n" TW_SW("%[a0]", "%[y]", "8")
        "addi %[shift], %[shift], -32\nbgez %[shift], 1b\n"
        : [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3), [a4] "=&r"(a4), [a5] "=&r"(a5),
          [a6] "=&r"(a6), [a7] "=&r"(a7), [b0] "=&r"(b0), [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3),
          [b4] "=&r"(b4), [b5] "=&r"(b5), [b6] "=&r"(b6), [b7] "=&r"(b7), [w] "=&r"(w), [r] "=&r"(r), [c] "=&r"(c),
          [d] "=&r"(d), [p] "+&r"(p), [v] "+&r"(v), [y] "+&r"(y), [shift] "+&r"(both)
        : [words] "r"(words), [pitch] "r"(pitch), [back] "r"(back)
        : "memory");
    /* clang-format on */
    return p + 2 * words;
#else
    for (int m = 0; m < 2; m++)
        for (int c = 0; c < 16; c++) {
            int32_t sum = 0;
            for (int i = 0; i < words; i++)
                sum = tw_vsdotusp_b(sum, p[2 * i + m], tw_word_at(v + c * pitch + 4 * i));
            y[16 * m + c] = (int8_t)tw_scaled(sum, p[2 * words + m] + 1, tw_half(shift), shift);
        }
    return p + 2 * words;
#endif
}

/* Rows i .. end, see row_of, of two heads of 16 channels. As many as the scratch has room for go through a step one
 * after the other, so that its code stays in a core's instruction cache. There lie for each row where its result is,
 * its words, its scores, which become weights, and what sums of values are multiplied by, less one. */
TW_X void rows_of_16(const int8_t *q, const int8_t *k, const int8_t *v, const int32_t *mul, const int32_t *outs,
                     const uint8_t *table, int8_t *y, int32_t *scratch, const struct sizes *f, int pos, int tokens,
                     int32_t limit, int i, int end)
{
    int step = f->step, kv_width = f->kv_width, pitch = f->pitch, shift = f->shift, out_shift = f->out_shift;
    int t = row_of(i, tokens);
    int32_t less[2] = {~mul[0], ~mul[1]}, out[2] = {outs[0], outs[1]};
    const int32_t *last = scratch + tw_pmax(2 * (pitch - pos - tokens - 3), 0); /* where a row can begin */
    while (i < end) {
        int32_t *at = scratch;
        TW_ROLLED
        do {
            int seen = pos + t + 1, from = t * step;
            int32_t most[2], sums[2];
            tw_scores_in_turns(q + from, k, at + 2, seen, kv_width, most);
            at[0] = from, at[1] = (seen + 3) >> 2;
            for (int m = 0; m < 2; m++)
                most[m] = tw_pmsu(-most[m], most[m], less[m]);
            at = weights_in_turns(at + 2, at + 2, table, seen, most, less, shift, limit, sums);
            for (int m = 0; m < 2; m++)
                *at++ = quotient(sums[m], out[m]) - 1;
            i++, t = tokens - (i & 1) - t;
        } while (i < end && at <= last);
        const int32_t *from = scratch;
        TW_ROLLED
        do
            from = mixed_16(from + 2, v, y + from[0], from[1], pitch, out_shift) + 2;
        while (from < at);
    }
}

/* Scores become probabilities, a byte each, in place; returns what sums of values are multiplied by. */
TW_X int32_t probabilities(int32_t *score, int seen, int32_t most, const uint8_t *table, int32_t mul, int32_t out,
                           int shift, int32_t limit)
{
    int rest = -seen & 3, words = (seen + 3) >> 2;
    for (int i = 0; i < rest; i++)
        score[seen + i] = most;
    int32_t sum = tw_exponentials(score, score, table, words, most * mul + tw_half(shift), mul, shift, limit);
    sum -= rest * table[0];
    score[words - 1] &= (int32_t)(0xffffffffu >> 8 * rest);
    return quotient(sum, out);
}

/* The same of heads of any multiple of four channels. */
static __attribute__((noinline)) void rows_of_any(const int8_t *q, const int8_t *k, const int8_t *v, const int32_t *mul,
                                                  const int32_t *out, const uint8_t *table, int8_t *y, int32_t *one,
                                                  const struct sizes *f, int pos, int tokens, int32_t limit, int i,
                                                  int end)
{
    int step = f->step, kv_width = f->kv_width, hd = f->hd, pitch = f->pitch, shift = f->shift, out_shift = f->out_shift;
    int32_t *two = one + pitch;
    for (; i < end; i++) {
        int t = row_of(i, tokens), seen = pos + t + 1, at = t * step;
        int32_t by[2], sums[8];
        for (int m = 0; m < 2; m++) {
            int32_t *score = m ? two : one;
            int32_t most = tw_scores(q + at + m * hd, k, score, seen, kv_width, hd);
            by[m] = probabilities(score, seen, most, table, mul[m], out[m], shift, limit);
        }
        for (int c = 0; c < hd; c += 4) {
            tw_two_mixes_4(one, two, v + c * pitch, (seen + 3) >> 2, pitch, sums);
            for (int m = 0; m < 2; m++)
                tw_four_of(y + at + m * hd + c, sums + 4 * m, by[m], out_shift);
        }
    }
}

/* y = softmax(q k^T) v, causal: row t stands at pos + t and sees positions 0 .. pos + t; `group` heads, an even number,
 * share one of the cache. Cells first .. last are counted along rows of the first head of the cache, then of the next;
 * rows come from both ends in turn, so that cores have equal work. q, y: [tokens][heads * hd]; k: [capacity][kv_width];
 * v: [kv_width][pitch]; mul, out: [heads]; table: [256], and 56 times the last entry, as for tw_cluster_attention;
 * scratch: [2 pitch + 4]. */
void tw_prompt_attention(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                         const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                         int8_t *restrict y, int32_t *restrict scratch, const int32_t *restrict sizes, int pos,
                         int tokens, int first, int last)
{
    const struct sizes *f = (const struct sizes *)(const void *)sizes;
    int32_t limit = 255 + ((int32_t)((uintptr_t)scratch >> 4 & 7) << 3);
    int hd = f->hd;
    for (int left = f->group;; q += 2 * hd, y += 2 * hd, mul += 2, out += 2) {
        int i = tw_pmax(first, 0), end = tw_pmin(tokens, last);
        if (hd == 16)
            rows_of_16(q, k, v, mul, out, table, y, scratch, f, pos, tokens, limit, i, end);
        else
            rows_of_any(q, k, v, mul, out, table, y, scratch, f, pos, tokens, limit, i, end);
        left -= 2;
        if (left == 0) {
            first -= tokens, last -= tokens;
            if (last <= 0)
                return;
            left = f->group, k += hd, v += hd * f->pitch;
        }
    }
}
