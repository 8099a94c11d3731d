/* Attention in integers of one token, all cores together: each head, or two that share keys and values, is taken by
 * several, which meet between scores, weights and sums of values. Layouts as in cluster_attention.c. */
#include "tw_attention.h"
#include "tw_kernels.h"
#include "tw_together.h"

/* What all units have. `rounds` of TW_CORES; 4 * parts positions, and the shift by which that divides; parts of scores
 * and of weights, the latter `wide` times twice as long, in `runs` heads; bytes of a row of weights or values. */
struct form {
    int32_t rounds, four, log, parts, fewer, wide, runs, hd, kv_width, row, shift, half, out_shift, out_half;
};

/* A unit: for scores a part of the positions of a head, or of two that share keys; for weights a part of one head, or
 * all of them; for values all positions of some channels. In bytes: channels of queries, of keys, of values, and of the
 * result; heads of mul and of out; places in the scratch. */
struct unit {
    int32_t part, query, keys, own, scores;               /* own: the greatest of the part's scores */
    int32_t run, mul, greatest, one, weights, total;      /* greatest: of all parts; one: the head's scores */
    int32_t out, totals, mixed, values, result, channels; /* totals: of all parts; mixed: the head's weights */
};

TW_X int32_t *words_at(int32_t *scratch, int bytes)
{
    return (int32_t *)(void *)((char *)scratch + bytes);
}

/* p of `count` positions, and their sum. What lies behind the scores is read up to the end of a word: it counts not. */
TW_X int32_t weights_of(const int32_t *score, uint8_t *p, const uint8_t *table, int count, int32_t base, int32_t mul,
                        int shift, int32_t limit)
{
    int32_t sum = 0;
#ifdef __riscv
    int rest = -count & 3;
    sum = tw_exponentials(score, p, table, (count + 3) >> 2, base, mul, shift, limit);
    if (rest > 0) {
        int32_t *end = (int32_t *)(void *)(p + (count & ~3)), word = *end;
        *end = word & (int32_t)(0xffffffffu >> 8 * rest);
        sum -= tw_vdotup_b(word ^ *end, 0x01010101);
    }
#else
    for (int s = 0; s < count; s++) {
        int32_t index = (base - score[s] * mul) >> shift;
        sum += p[s] = table[index < limit ? index : limit];
    }
    for (; count & 3; count++)
        p[count] = 0;
#endif
    return sum;
}

/* The greatest of `count` words, each `heads` from the one before. */
TW_X int32_t greatest_of(const int32_t *words, int count, int heads)
{
    int32_t most = INT32_MIN;
#ifdef __riscv
    int32_t word, step = 4 * heads;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[count]", "2") TW_LW_BY("%[word]", "%[words]", "%[step]")
                         TW_MAX("%[most]", "%[most]", "%[word]") TW_ASM_END
                     : [word] "=&r"(word), [words] "+&r"(words), [most] "+&r"(most)
                     : [count] "r"(count), [step] "r"(step)
                     : "memory");
#else
    for (; count > 0; count--, words += heads)
        most = most > *words ? most : *words;
#endif
    return most;
}

/* The sum of `count` words. */
TW_X int32_t total_of(const int32_t *words, int count)
{
    int32_t sum = 0;
#ifdef __riscv
    int32_t word;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[count]", "2") TW_LW("%[word]", "%[words]", "4")
                     "add %[sum], %[sum], %[word]\n" TW_ASM_END
                     : [word] "=&r"(word), [words] "+&r"(words), [sum] "+&r"(sum)
                     : [count] "r"(count)
                     : "memory");
#else
    for (; count > 0; count--)
        sum += *words++;
#endif
    return sum;
}

TW_X void four_of(int8_t *y, const int32_t *sums, int32_t by, int32_t half, int shift)
{
    tw_set_word(y, tw_bytes_of(tw_scaled(sums[0], by, half, shift), tw_scaled(sums[1], by, half, shift),
                               tw_scaled(sums[2], by, half, shift), tw_scaled(sums[3], by, half, shift)));
}

/* Scores of a unit's positions, and the greatest. */
TW_X void scores_of(const struct form *f, const struct unit *u, const int8_t *q, const int8_t *k, int32_t *scratch,
                    int seen, int chunk, const int twos, const int sixteen)
{
    int at = u->part * chunk, count = tw_pmin(seen - at, chunk), row = f->row;
    int32_t *scores = words_at(scratch, u->scores) + at, *own = words_at(scratch, u->own);
    int32_t found[2] = {INT32_MIN, INT32_MIN};
    const int8_t *keys = k + at * f->kv_width + u->keys, *query = q + u->query;
    if (count > 0) {
        if (sixteen)
            tw_two_scores_16(query, keys, scores, scores + row, count, f->kv_width, found);
        else if (twos)
            tw_two_scores(query, keys, scores, scores + row, count, f->kv_width, f->hd, found);
        else
            found[0] = tw_scores(query, keys, scores, count, f->kv_width, f->hd);
    }
    own[0] = found[0];
    if (twos)
        own[1] = found[1];
}

/* Weights of a unit's run of positions, and their sum. */
TW_X void exponentials_of(const struct form *f, const struct unit *u, const int32_t *mul, const uint8_t *table,
                          int32_t *scratch, int seen, int chunk, const int heads, const int single)
{
    int wide = chunk << f->wide, at = u->run * wide, count = tw_pmin(seen - at, wide), runs = single ? 1 : f->runs;
    int32_t *greatest = words_at(scratch, u->greatest), *total = words_at(scratch, u->total);
    const int32_t *by = words_at((int32_t *)(uintptr_t)mul, u->mul), *scores = words_at(scratch, u->one) + at;
    uint8_t *p = (uint8_t *)scratch + u->weights + at;
    TW_ROLLED
    do {
        int32_t sum = 0, one = *by++;
        if (count > 0)
            sum = weights_of(scores, p, table, count, greatest_of(greatest, f->parts, heads) * one + f->half, one,
                             f->shift, 255 + (u->part << 3 & 56));
        *total++ = sum;
        greatest++, scores += f->row, p += f->row;
    } while (--runs > 0);
}

/* A unit's channels of the values of all positions, mixed. */
TW_X void mixed_of(const struct form *f, const struct unit *u, const int8_t *v, const int32_t *out, int8_t *y,
                   int32_t *scratch, int words, const int twos, const int sixteen, const int single)
{
    int32_t by[2] = {0, 0}, sums[8], row = f->row;
    const int32_t *addend = words_at((int32_t *)(uintptr_t)out, u->out), *totals = words_at(scratch, u->totals);
    TW_ROLLED
    for (int m = 0; m < 1 << twos; m++, totals += f->fewer) {
        uint32_t sum = (uint32_t)total_of(totals, f->fewer);
        by[m] = (int32_t)(((uint32_t)*addend++ + (sum >> 1)) / sum);
    }
    const uint8_t *p = (const uint8_t *)scratch + u->mixed;
    const int8_t *values = v + u->values;
    int8_t *to = y + u->result;
    int left = u->channels; /* 0 where there are fewer than parts */
    if (!single && left == 0)
        return;
    do {
        if (twos)
            tw_two_mixes_4(p, p + row, values, words, row, sums);
        else
            tw_mix_4(p, values, words, row, sums);
        four_of(to, sums, by[0], f->out_half, f->out_shift);
        if (twos)
            four_of(to + (sixteen ? 16 : f->hd), sums + 4, by[1], f->out_half, f->out_shift);
        values += 4 * row, to += 4, left -= 4;
    } while (!single && left > 0);
}

#define EACH_UNIT(step)                                                                                                \
    for (int i = 0; i < 8 / TW_CORES; i++) {                                                                           \
        const struct unit *u = first + i;                                                                              \
        step;                                                                                                          \
    }

/* A function of a row. Each round is of whole heads: cores meet twice in it. `single`: there is one round, and a unit
 * has four channels. */
#define ATTENTION(symbol, twos, sixteen, single)                                                                       \
    void __attribute__((minsize)) symbol(const struct symbol *given, int32_t *restrict scratch, int pos)               \
    {                                                                                                                  \
        const struct form *f = (const struct form *)(const void *)given->sizes;                                        \
        const struct unit *first = (const struct unit *)(const void *)(f + 1) + tw_core();                             \
        int left = f->rounds, chunk = ((pos + f->four) >> f->log) << 2; /* positions of a part */                      \
        TW_ROLLED                                                                                                      \
        do {                                                                                                           \
            EACH_UNIT(scores_of(f, u, given->q, given->k, scratch, pos + 1, chunk, twos, sixteen))                     \
            tw_barrier();                                                                                              \
            EACH_UNIT(exponentials_of(f, u, given->mul, given->table, scratch, pos + 1, chunk, 1 << (twos), single))   \
            tw_barrier();                                                                                              \
            EACH_UNIT(mixed_of(f, u, given->v, given->out, given->y, scratch, (pos + 4) >> 2, twos, sixteen, single))  \
            first += 8;                                                                                                \
        } while (!(single) && --left > 0);                                                                             \
    }

/* y = softmax(q k^T) v of a token that stands at pos and sees positions 0 .. pos. Of four heads of 16 channels, an even
 * number of which share keys; of any other even number; of an odd one. q, y: [heads][hd]; k: [capacity][kv_width];
 * v: [kv_width][row]; mul, out: [heads]; table: as for tw_cluster_attention; sizes: a form, and its units. */
ATTENTION(tw_shared_attention_16, 1, 1, 1)
ATTENTION(tw_shared_attention_two, 1, 0, 0)
ATTENTION(tw_shared_attention_one, 0, 0, 0)
