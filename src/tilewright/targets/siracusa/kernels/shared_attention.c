/* Attention in integers of one token, all cores together: each head, or two that share keys and values, is taken by
 * several, which meet between scores, weights and sums of values. Layouts as in cluster_attention.c. */
#include "tw_kernels.h"
#include "tw_together.h"
#include "tw_weights.h"

/* What all units have. `rounds` of TW_CORES; 4 * parts positions, and the shift by which that divides; parts of scores
 * and of weights, the latter `wide` times twice as long, in `runs` heads; bytes of a row of weights or values. */
struct form {
    int32_t rounds, four, log, parts, fewer, wide, runs, hd, kv_width, row, shift, half, out_shift;
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

/* Scores of a unit's positions, and the greatest. */
TW_X void scores_of(const struct form *f, const struct unit *u, const int8_t *q, const int8_t *k, int32_t *scratch,
                    int seen, int chunk, const int twos)
{
    int at = u->part * chunk, count = tw_pmin(seen - at, chunk), row = f->row;
    int32_t *scores = words_at(scratch, u->scores) + at, *own = words_at(scratch, u->own);
    int32_t found[2] = {INT32_MIN, INT32_MIN};
    const int8_t *keys = k + at * f->kv_width + u->keys, *query = q + u->query;
    if (count > 0) {
        if (twos)
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
                          int32_t *scratch, int seen, int chunk, const int heads)
{
    int wide = chunk << f->wide, at = u->run * wide, count = tw_pmin(seen - at, wide), runs = f->runs;
    int32_t *greatest = words_at(scratch, u->greatest), *total = words_at(scratch, u->total);
    const int32_t *by = words_at((int32_t *)(uintptr_t)mul, u->mul), *scores = words_at(scratch, u->one) + at;
    uint8_t *p = (uint8_t *)scratch + u->weights + at;
    TW_ROLLED
    do {
        int32_t sum = 0, one = *by++;
        if (count > 0)
            sum = tw_weights_of(scores, p, table, count, greatest_of(greatest, f->parts, heads) * one + f->half, one,
                             f->shift, 255 + (u->part << 3 & 56), 1);
        *total++ = sum;
        greatest++, scores += f->row, p += f->row;
    } while (--runs > 0);
}

/* A unit's channels of the values of all positions, mixed. */
TW_X void mixed_of(const struct form *f, const struct unit *u, const int8_t *v, const int32_t *out, int8_t *y,
                   int32_t *scratch, int words, const int twos)
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
    while (left > 0) {
        if (twos)
            tw_two_mixes_4(p, p + row, values, words, row, sums);
        else
            tw_mix_4(p, values, words, row, sums);
        tw_four_of(to, sums, by[0], f->out_shift);
        if (twos)
            tw_four_of(to + f->hd, sums + 4, by[1], f->out_shift);
        values += 4 * row, to += 4, left -= 4;
    }
}

#define EACH_UNIT(type, step)                                                                                          \
    for (int i = 0; i < 8 / TW_CORES; i++) {                                                                           \
        const type *u = first + i;                                                                                     \
        step;                                                                                                          \
    }

/* A function of a row. Each round is of whole heads: cores meet twice in it. */
#define ATTENTION(symbol, twos)                                                                                        \
    void __attribute__((minsize)) symbol(const struct symbol *given, int32_t *restrict scratch, int pos)               \
    {                                                                                                                  \
        const struct form *f = (const struct form *)(const void *)given->sizes;                                        \
        const struct unit *first = (const struct unit *)(const void *)(f + 1) + tw_core();                             \
        int left = f->rounds, chunk = ((pos + f->four) >> f->log) << 2; /* positions of a part */                      \
        TW_ROLLED                                                                                                      \
        do {                                                                                                           \
            EACH_UNIT(struct unit, scores_of(f, u, given->q, given->k, scratch, pos + 1, chunk, twos))                 \
            tw_barrier();                                                                                              \
            EACH_UNIT(struct unit,                                                                                     \
                      exponentials_of(f, u, given->mul, given->table, scratch, pos + 1, chunk, 1 << (twos)))           \
            tw_barrier();                                                                                              \
            EACH_UNIT(struct unit, mixed_of(f, u, given->v, given->out, given->y, scratch, (pos + 4) >> 2, twos))      \
            first += 8;                                                                                                \
        } while (--left > 0);                                                                                          \
    }

/* y = softmax(q k^T) v of a token that stands at pos and sees positions 0 .. pos. Of an even number of heads that share
 * keys; of an odd one. q, y: [heads][hd]; k: [capacity][kv_width]; v: [kv_width][row]; mul, out: [heads]; table: as for
 * tw_cluster_attention; sizes: a form, and its units. */
ATTENTION(tw_shared_attention_two, 1)
ATTENTION(tw_shared_attention_one, 0)

/* What a core has of four heads of 16 channels, of which two or four share keys: a quarter of the positions of two
 * heads for scores, half of those of one of them for weights, all of both for four channels of values. All numbers of a
 * core lie together: in banks of its own. As in a unit; `row`: bytes of a row of weights or values; own, greatest and
 * scores: of both heads in turns; totals: two of each head; up: by how much dividend and divisor may be shifted, for a
 * division takes as long as the divisor has leading zeros. */
struct quarter {
    int32_t part, query, keys, kv_width, scores, own;
    int32_t run, head, greatest, one, weights, total, shift, half, limit;
    int32_t both, totals, mixed, values, row, result, out_shift, up;
};

/* Scores of a quarter of the positions, and the greatest. */
TW_X void quarter_of_scores(const struct tw_shared_attention_16 *given, const struct quarter *u, int32_t *scratch,
                            int pos)
{
    int32_t part = (pos + 4) >> 2, at = u->part * part, count = tw_pmin(pos + 1 - at, part);
    int32_t *own = words_at(scratch, u->own), found[2] = {INT32_MIN, INT32_MIN};
    if (count > 0)
        tw_scores_in_turns(given->q + u->query, given->k + u->keys + at * u->kv_width,
                        words_at(scratch, u->scores) + 2 * at, count, u->kv_width, found);
    own[0] = found[0], own[1] = found[1];
}

/* Weights of half of the positions, and their sum. */
TW_X void half_of_weights(const int32_t *muls, const uint8_t *table, const struct quarter *u, int32_t *scratch, int pos)
{
    int32_t run = (pos + 8) >> 3 << 2, at = u->run * run, count = tw_pmin(pos + 1 - at, run), sum = 0;
    if (count > 0) {
        const int32_t *most = words_at(scratch, u->greatest);
        int32_t mul = muls[u->head], top = tw_pmax(tw_pmax(most[0], most[2]), tw_pmax(most[4], most[6]));
        sum = tw_weights_of(words_at(scratch, u->one) + 2 * at, (uint8_t *)scratch + u->weights + at, table, count,
                         top * mul + u->half, mul, u->shift, u->limit, 2);
    }
    *words_at(scratch, u->total) = sum;
}

/* Four channels of two heads. */
TW_X void channels_of_both(const int8_t *v, const int32_t *outs, int8_t *y, const struct quarter *u,
                           const int32_t *scratch, int pos)
{
    const uint8_t *p = (const uint8_t *)scratch + u->mixed;
    const int32_t *totals = (const int32_t *)(const void *)((const char *)scratch + u->totals);
    const int32_t *out = outs + u->both;
    y += u->result;
    int32_t sums[8];
    tw_two_mixes_4(p, p + u->row, v + u->values, (pos + 4) >> 2, u->row, sums);
    for (int m = 0; m < 2; m++) {
        uint32_t sum = (uint32_t)(totals[2 * m] + totals[2 * m + 1]) << u->up;
        tw_four_of(y + 16 * m, sums + 4 * m, (int32_t)((((uint32_t)out[m] << u->up) + (sum >> 1)) / sum), u->out_shift);
    }
}

/* The same of four heads of 16 channels, an even number of which share keys. sizes: eight quarters. */
void tw_shared_attention_16(const struct tw_shared_attention_16 *given, int32_t *restrict scratch, int pos)
{
    const struct quarter *first = (const struct quarter *)(const void *)given->sizes + tw_core();
    EACH_UNIT(struct quarter, quarter_of_scores(given, u, scratch, pos))
    const int32_t *mul = given->mul; /* behind a barrier, all cores would read them in the same cycle */
    const uint8_t *table = given->table;
    tw_barrier();
    EACH_UNIT(struct quarter, half_of_weights(mul, table, u, scratch, pos))
    const int8_t *v = given->v;
    const int32_t *out = given->out;
    int8_t *y = given->y;
    tw_barrier();
    EACH_UNIT(struct quarter, channels_of_both(v, out, y, u, scratch, pos))
}
