#include "sampler.h"

/* 65535 * 2^(-i/16) rounded; the last bin takes every logit that is further away, and has no weight. */
static const uint16_t weights[TW_BINS] = {
    65535, 62757, 60096, 57548, 55108, 52772, 50534, 48392, 46340, 44376, 42494, 40693, 38967, 37315, 35733, 34218,
    32768, 31378, 30048, 28774, 27554, 26386, 25267, 24196, 23170, 22188, 21247, 20346, 19484, 18658, 17867, 17109,
    16384, 15689, 15024, 14387, 13777, 13193, 12634, 12098, 11585, 11094, 10624, 10173, 9742,  9329,  8933,  8555,
    8192,  7845,  7512,  7193,  6889,  6596,  6317,  6049,  5793,  5547,  5312,  5087,  4871,  4664,  4467,  4277,
    4096,  3922,  3756,  3597,  3444,  3298,  3158,  3024,  2896,  2773,  2656,  2543,  2435,  2332,  2233,  2139,
    2048,  1961,  1878,  1798,  1722,  1649,  1579,  1512,  1448,  1387,  1328,  1272,  1218,  1166,  1117,  1069,
    1024,  981,   939,   899,   861,   825,   790,   756,   724,   693,   664,   636,   609,   583,   558,   535,
    512,   490,   469,   450,   431,   412,   395,   378,   362,   347,   332,   318,   304,   292,   279,   267,
    256,   245,   235,   225,   215,   206,   197,   189,   181,   173,   166,   159,   152,   146,   140,   134,
    128,   123,   117,   112,   108,   103,   99,    95,    91,    87,    83,    79,    76,    73,    70,    67,
    64,    61,    59,    56,    54,    52,    49,    47,    45,    43,    41,    40,    38,    36,    35,    33,
    32,    31,    29,    28,    27,    26,    25,    24,    23,    22,    21,    20,    19,    18,    17,    17,
    16,    15,    15,    14,    13,    13,    12,    12,    11,    11,    10,    10,    10,    9,     9,     8,
    8,     8,     7,     7,     7,     6,     6,     6,     6,     5,     5,     5,     5,     5,     4,     4,
    4,     4,     4,     4,     3,     3,     3,     3,     3,     3,     3,     2,     2,     2,     2,     2,
    2,     2,     2,     2,     2,     2,     2,     1,     1,     1,     1,     1,     1,     1,     1,     0,
};

void tw_sampler_seed(tw_sampler *s, uint32_t seed)
{
    /* The finaliser of MurmurHash3, a bijection: xorshift32 leaves a small state small for many steps. */
    seed ^= seed >> 16;
    seed *= 0x85EBCA6Bu;
    seed ^= seed >> 13;
    seed *= 0xC2B2AE35u;
    seed ^= seed >> 16;
    s->state = seed ? seed : 0x9E3779B9u;
}

void tw_sampler_fixed(tw_sampler *s, uint64_t unit, int32_t exponent, uint32_t temperature, uint32_t top_p,
                      uint32_t seed)
{
    s->top_p = top_p < 1000 ? (uint32_t)(((uint64_t)top_p << 32) / 1000) : UINT32_MAX;
    s->multiplier = s->shift = 0;
    if (temperature > 0) {
        unit /= temperature;
        for (; unit >> 31 || exponent > 62; exponent--)
            unit >>= 1;
        s->multiplier = exponent < 0 ? 2147483647u : unit > 0 ? (uint32_t)unit : 1;
        s->shift = exponent < 0 ? 0 : (uint32_t)exponent;
    }
    tw_sampler_seed(s, seed);
}

/* Marsaglia's xorshift32. */
static uint32_t next_random(tw_sampler *s)
{
    uint32_t x = s->state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return s->state = x;
}

#define RARELY(condition) __builtin_expect(!!(condition), 0)

/* Two at a time: a new greatest is rare after the first few. */
int32_t tw_argmax(const int32_t *logits, uint32_t count)
{
    const int32_t *at = logits + (count & 1), *end = logits + count, *best = logits;
    int32_t most = *logits;
    for (; at < end; at += 2) {
        int32_t a = at[0], b = at[1];
        if (RARELY(a > most))
            most = a, best = at;
        if (RARELY(b > most))
            most = b, best = at + 1;
    }
    return (int32_t)(best - logits);
}

/* The bins of logits first .. last, and in sums[] the weights of each group's, by 64-bit arithmetic. */
static void fill_wide(const tw_sampler *s, const int32_t *logits, uint32_t first, uint32_t last, uint32_t most,
                      uint8_t *bins, uint32_t *sums)
{
    uint64_t half = ((uint64_t)1 << s->shift) >> 1;
    for (uint32_t i = first; i < last; i++) {
        uint64_t bin = ((uint64_t)(most - (uint32_t)logits[i]) * s->multiplier + half) >> s->shift;
        bins[i] = (uint8_t)(bin < TW_BINS - 1 ? bin : TW_BINS - 1);
        sums[bins[i] / TW_GROUP] += weights[bins[i]];
    }
}

/*
 * The same for shifts of 33 .. 53 and multipliers from 2^30 on, as most are: the upper word of the product is enough.
 * What is further away than `reach` is in the last bin, without weight; the nearest such distance is less than half a
 * bin too far, so that no other is beyond the last bin.
 */
static void fill_narrow(const tw_sampler *s, const int32_t *logits, uint32_t first, uint32_t last, uint32_t most,
                        uint8_t *bins, uint32_t *sums)
{
    uint32_t down = s->shift - 32, half = (1u << down) >> 1, multiplier = s->multiplier;
    uint32_t inverse = 0xFFFFFFFFu / (multiplier >> 14) + 1; /* above 2^46 / multiplier */
    uint32_t reach = (uint32_t)((uint64_t)((uint32_t)(TW_BINS - 1) << down) * inverse >> 14);
    for (uint32_t i = first; i < last; i++) {
        uint32_t distance = most - (uint32_t)logits[i], bin;
        bins[i] = TW_BINS - 1;
        if (distance > reach)
            continue;
        bin = ((uint32_t)((uint64_t)distance * multiplier >> 32) + half) >> down;
        bins[i] = (uint8_t)bin;
        sums[bin / TW_GROUP] += weights[bin];
    }
}

/* How many of the logits first .. last each bin of a group has, in sums[]. */
static void count_group(const uint8_t *bins, uint32_t first, uint32_t last, uint32_t group, uint32_t *sums)
{
    for (uint32_t b = 0; b < TW_GROUP; b++)
        sums[b] = 0;
    for (uint32_t i = first; i < last; i++)
        if (bins[i] / TW_GROUP == group)
            sums[bins[i] % TW_GROUP]++;
}

/* The bin of the group that has been counted in which `left` ends up, which then tells how far into it. */
static uint32_t bin_of(tw_sampler_work *work, uint32_t cores)
{
    for (uint32_t bin = work->group * TW_GROUP;; bin++) {
        uint32_t count = 0;
        for (uint32_t p = 0; p < cores; p++)
            count += work->parts[p].sums[bin % TW_GROUP];
        if (work->left < count * weights[bin])
            return bin;
        work->left -= count * weights[bin];
    }
}

/* Go to the group that has the place x, with all mass laid out bin by bin and, within a bin, by index. */
static void aim(tw_sampler_work *work, uint32_t x)
{
    uint32_t group = 0;
    for (; x >= work->masses[group]; group++)
        x -= work->masses[group];
    work->recount = group != work->group;
    work->group = group, work->left = x;
}

static uint32_t random_below(tw_sampler *s, uint32_t limit)
{
    return (uint32_t)((uint64_t)next_random(s) * limit >> 32);
}

/* Where to look first: for the last of the most probable tokens that together reach top_p, or, of all, for the one. */
static void begin(tw_sampler *s, tw_sampler_work *work, uint32_t cores)
{
    uint32_t total = 0;
    for (uint32_t g = 0; g < TW_GROUPS; g++) {
        work->masses[g] = 0;
        for (uint32_t p = 0; p < cores; p++)
            work->masses[g] += work->parts[p].sums[g];
        total += work->masses[g];
    }
    work->group = TW_GROUPS, work->token = -1;
    work->need = (uint32_t)((uint64_t)total * s->top_p >> 32) + 1;
    if (work->need == total)
        work->need = 0;
    aim(work, work->need > 0 ? work->need - 1 : random_below(s, total));
}

/* With a group counted: where to look for the token, or which one it is. `chunk` logits are a core's. */
static void go_on(tw_sampler *s, tw_sampler_work *work, uint32_t cores, uint32_t chunk)
{
    uint32_t bin = bin_of(work, cores), weight = weights[bin], rank = work->left / weight, p = 0, i;
    if (work->need > 0) { /* whole bins are kept, and of the last as many tokens as it takes */
        uint32_t kept = work->need - 1 - work->left + (rank + 1) * weight;
        work->need = 0;
        aim(work, random_below(s, kept));
        return;
    }
    for (; rank >= work->parts[p].sums[bin % TW_GROUP]; p++)
        rank -= work->parts[p].sums[bin % TW_GROUP];
    for (i = p * chunk; work->bins[i] != bin || rank > 0; i++)
        rank -= work->bins[i] == bin;
    work->token = (int32_t)i;
}

/* Draw one of the tokens that are not much less likely than that of the greatest logit; logits first .. last are this
 * core's. */
static __attribute__((noinline)) int32_t drawn(tw_sampler *s, const int32_t *logits, uint32_t first, uint32_t last,
                                               uint32_t most, tw_sampler_work *work, const tw_team *team)
{
    tw_sampler_part *part = &work->parts[team->core];
    for (uint32_t g = 0; g < TW_GROUPS; g++)
        part->sums[g] = 0;
    if (s->shift > 32 && s->shift <= 53 && s->multiplier >> 30)
        fill_narrow(s, logits, first, last, most, work->bins, part->sums);
    else
        fill_wide(s, logits, first, last, most, work->bins, part->sums);
    team->meet();
    if (team->core == 0)
        begin(s, work, team->cores);
    do {
        team->meet();
        if (work->recount)
            count_group(work->bins, first, last, work->group, part->sums);
        team->meet();
        if (team->core == 0)
            go_on(s, work, team->cores, team->chunk);
        team->meet();
    } while (work->token < 0);
    return work->token;
}

int32_t tw_sample_together(tw_sampler *s, const int32_t *logits, uint32_t count, tw_sampler_work *work,
                           const tw_team *team)
{
    uint32_t first = team->core * team->chunk, last = first + team->chunk < count ? first + team->chunk : count;
    tw_sampler_part *part = &work->parts[team->core], *const end = work->parts + team->cores;
    if (count == 0 || count > TW_MAX_TOKENS)
        return -1;
    part->most = INT32_MIN, part->best = UINT32_MAX;
    if (first < last) {
        part->best = first + (uint32_t)tw_argmax(logits + first, last - first);
        part->most = logits[part->best];
    }
    team->meet();
    uint32_t best = work->parts->best;
    int32_t most = work->parts->most;
    for (part = work->parts + 1; part < end; part++)
        if (RARELY(part->most > most))
            most = part->most, best = part->best;
    return s->multiplier == 0 ? (int32_t)best : drawn(s, logits, first, last, (uint32_t)most, work, team);
}

static void meet_nobody(void)
{
}

int32_t tw_sample(tw_sampler *s, const int32_t *logits, uint32_t count, uint8_t *bins)
{
    const tw_team alone = {0, 1, count, meet_nobody};
    tw_sampler_part part;
    tw_sampler_work work;
    work.bins = bins, work.parts = &part;
    return tw_sample_together(s, logits, count, &work, &alone);
}
