/*
 * Choose the next token from integer logits, in integers: the same logits, settings and seed give the same token on
 * every machine. A float model turns its logits into integers first (sampler_float.h).
 */
#ifndef TW_SAMPLER_H
#define TW_SAMPLER_H

#include <stdint.h>

#define TW_BINS 256  /* of 1/16 octave of probability below the greatest */
#define TW_GROUP 16  /* bins in a group: an octave */
#define TW_GROUPS 16 /* not fewer than bins in a group */
#define TW_MAX_TOKENS 65536u

typedef struct {
    uint32_t multiplier; /* scale / temperature * 16 / ln 2 * 2^shift, below 2^31; 0: greedy */
    uint32_t shift;      /* at most 62 */
    uint32_t top_p;      /* kept share of the probability * 2^32 */
    uint32_t state;      /* xorshift32, never 0 */
} tw_sampler;

/* A core of several that draw a token together, each of which has `chunk` logits, the last ones fewer or none; `meet`
 * returns when all of them have called it. */
typedef struct {
    uint32_t core, cores, chunk;
    void (*meet)(void);
} tw_team;

/* What a core tells the others: its greatest logit and where it is, and of each group the mass, then of each bin of one
 * the tokens. */
typedef struct {
    int32_t most;
    uint32_t best, sums[TW_GROUPS];
} tw_sampler_part;

/* Scratch: bins[] has one byte for each logit, parts[] one entry for each core. */
typedef struct {
    uint8_t *bins;
    tw_sampler_part *parts;
    uint32_t masses[TW_GROUPS], group, recount, left, need;
    int32_t token;
} tw_sampler_work;

/* Start the random numbers; similar seeds give unlike numbers. */
void tw_sampler_seed(tw_sampler *s, uint32_t seed);

/*
 * Settings without floating point: `unit` / 2^exponent is 1000 * scale * 16 / ln 2 of the logits, unit in 2^62 .. 2^63;
 * temperature and top_p in thousandths, temperature 0 is greedy, top_p is clamped to 1000.
 */
void tw_sampler_fixed(tw_sampler *s, uint64_t unit, int32_t exponent, uint32_t temperature, uint32_t top_p,
                      uint32_t seed);

/* The largest of logits[count], the lowest index among equals. */
int32_t tw_argmax(const int32_t *logits, uint32_t count);

/* A token drawn from logits[count]; -1 unless 1 <= count <= TW_MAX_TOKENS. bins: one byte for each logit. */
int32_t tw_sample(tw_sampler *s, const int32_t *logits, uint32_t count, uint8_t *bins);

/* The same token, drawn by all cores of a team, each of which calls this. They meet between two calls. */
int32_t tw_sample_together(tw_sampler *s, const int32_t *logits, uint32_t count, tw_sampler_work *work,
                           const tw_team *team);

#endif
