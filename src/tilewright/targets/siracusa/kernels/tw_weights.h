/* Steps of attention over integers whose scores lie apart from their weights. */
#ifndef TW_WEIGHTS_H
#define TW_WEIGHTS_H

#include "tw_attention.h"

/* Scores of two heads over the same keys, in turns, and the greatest of each. */
TW_X void tw_scores_in_turns(const int8_t *q, const int8_t *k, int32_t *scores, int count, int kv_width, int32_t *most)
{
#ifdef __riscv
    int32_t q0, q1, q2, q3, p0, p1, p2, p3, v, w, a, b, most_a = INT32_MIN, most_b = INT32_MIN, step = kv_width - 12;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_QUERIES_4 TW_LOOP("0", "%[count]", "16") TW_LW("%[v]", "%[k]", "4") TW_LW("%[w]", "%[k]", "4")
        TW_DOT(TW_DOTSP, "%[a]", "%[v]", "%[q0]") TW_DOT(TW_DOTSP, "%[b]", "%[v]", "%[p0]") TW_LW("%[v]", "%[k]", "4")
        TW_DOT(TW_SDOTSP, "%[a]", "%[w]", "%[q1]") TW_DOT(TW_SDOTSP, "%[b]", "%[w]", "%[p1]")
        TW_LW_BY("%[w]", "%[k]", "%[step]") TW_DOT(TW_SDOTSP, "%[a]", "%[v]", "%[q2]")
        TW_DOT(TW_SDOTSP, "%[b]", "%[v]", "%[p2]") TW_DOT(TW_SDOTSP, "%[a]", "%[w]", "%[q3]")
        TW_DOT(TW_SDOTSP, "%[b]", "%[w]", "%[p3]") TW_SW("%[a]", "%[scores]", "4")
        TW_MAX("%[ma]", "%[ma]", "%[a]") TW_SW("%[b]", "%[scores]", "4") TW_MAX("%[mb]", "%[mb]", "%[b]") TW_ASM_END
        : [v] "=&r"(v), [w] "=&r"(w), [a] "=&r"(a), [b] "=&r"(b), [ma] "+&r"(most_a), [mb] "+&r"(most_b), [k] "+&r"(k),
          [scores] "+&r"(scores), [q0] "=&r"(q0), [q1] "=&r"(q1), [q2] "=&r"(q2), [q3] "=&r"(q3), [p0] "=&r"(p0),
          [p1] "=&r"(p1), [p2] "=&r"(p2), [p3] "=&r"(p3)
        : [q] "r"(q), [step] "r"(step), [count] "r"(count)
        : "memory");
    /* clang-format on */
    most[0] = most_a, most[1] = most_b;
#else
    most[0] = most[1] = INT32_MIN;
    for (; count > 0; count--, k += kv_width)
        for (int m = 0; m < 2; m++) {
            *scores = 0;
            for (int c = 0; c < 16; c++)
                *scores += q[16 * m + c] * k[c];
            most[m] = most[m] > *scores ? most[m] : *scores;
            scores++;
        }
#endif
}

/* p of `count` positions, whose scores are `step` words from each other, and their sum. What lies behind the scores is
 * read up to the end of a word: it counts not. */
TW_X int32_t tw_weights_of(const int32_t *score, uint8_t *p, const uint8_t *table, int count, int32_t base, int32_t mul,
                        int shift, int32_t limit, const int step)
{
    int32_t sum = 0;
#ifdef __riscv
    int rest = -count & 3, words = (count + 3) >> 2;
    sum = step == 1 ? tw_exponentials(score, p, table, words, base, mul, shift, limit)
                    : tw_exponentials_of_two(score, p, table, words, base, mul, shift, limit);
    if (rest > 0) {
        int32_t *end = (int32_t *)(void *)(p + (count & ~3)), word = *end;
        *end = word & (int32_t)(0xffffffffu >> 8 * rest);
        sum -= tw_vdotup_b(word ^ *end, 0x01010101);
    }
#else
    for (int s = 0; s < count; s++) {
        int32_t index = (base - score[step * s] * mul) >> shift;
        sum += p[s] = table[index < limit ? index : limit];
    }
    for (; count & 3; count++)
        p[count] = 0;
#endif
    return sum;
}

/* Four results of sums, rounded. */
TW_X void tw_four_of(int8_t *y, const int32_t *sums, int32_t by, int shift)
{
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
#ifdef __riscv
    int32_t less = (int32_t)((uint32_t)by - 1);
    __asm__(TW_TIMES("%[a]", "%[less]") TW_TIMES("%[b]", "%[less]") TW_TIMES("%[c]", "%[less]")
            TW_TIMES("%[d]", "%[less]") TW_ADDRN("%[a]", "x0", "%[shift]") TW_ADDRN("%[b]", "x0", "%[shift]")
            TW_ADDRN("%[c]", "x0", "%[shift]") TW_ADDRN("%[d]", "x0", "%[shift]")
            : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d)
            : [less] "r"(less), [shift] "r"(shift));
    tw_set_word(y, tw_bytes_of(tw_pclip(a, 8), tw_pclip(b, 8), tw_pclip(c, 8), tw_pclip(d, 8)));
#else
    int32_t half = tw_half(shift);
    tw_set_word(y, tw_bytes_of(tw_scaled(a, by, half, shift), tw_scaled(b, by, half, shift),
                               tw_scaled(c, by, half, shift), tw_scaled(d, by, half, shift)));
#endif
}

#endif
