/* The sampler's inputs from floating point; integer models compiled for chips without an FPU leave this out. */
#ifndef TW_SAMPLER_FLOAT_H
#define TW_SAMPLER_FLOAT_H

#include "sampler.h"

/* The scale of what tw_logits_to_int writes. */
#define TW_LOGIT_SCALE (1.0 / 65536)

/* out[i] = x[i] * 2^16, halves away from zero, clamped to int32; NaN becomes the least. */
void tw_logits_to_int(const float *x, int32_t *out, uint32_t count);

/* Settings for logits of the given scale. temperature 0 is greedy; top_p is clamped to 0..1. */
void tw_sampler_set(tw_sampler *s, double scale, double temperature, double top_p, uint32_t seed);

#endif
