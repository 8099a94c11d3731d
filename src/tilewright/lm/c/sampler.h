/*
 * Choose the next token from integer logits, in integers: the same logits, settings and seed give the same token on
 * every machine. A float model turns its logits into integers first (sampler_float.h).
 */
#ifndef TW_SAMPLER_H
#define TW_SAMPLER_H

#include <stdint.h>

#define TW_BINS 256
#define TW_MAX_TOKENS 65536u

typedef struct {
    uint32_t multiplier; /* scale / temperature * 16 / ln 2 * 2^shift, below 2^31; 0: greedy */
    uint32_t shift;      /* at most 62 */
    uint32_t top_p;      /* kept share of the probability * 2^32 */
    uint32_t state;      /* xorshift32, never 0 */
} tw_sampler;

/* Scratch of tw_sample: bins[] has one byte for each logit. */
typedef struct {
    uint32_t counts[TW_BINS];
    uint8_t *bins;
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

/* A token drawn from logits[count]; -1 unless 1 <= count <= TW_MAX_TOKENS. */
int32_t tw_sample(tw_sampler *s, const int32_t *logits, uint32_t count, tw_sampler_work *work);

#endif
