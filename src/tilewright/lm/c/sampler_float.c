#include "sampler_float.h"

void tw_logits_to_int(const float *x, int32_t *out, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        float y = x[i] * 65536.0f; /* exact, or infinite */
        if (!(y > -2147483648.0f)) {
            out[i] = INT32_MIN;
        } else if (y >= 2147483648.0f) {
            out[i] = INT32_MAX;
        } else {
            int32_t whole = (int32_t)y;
            float rest = y - (float)whole; /* exact: 0 once y has no fraction */
            out[i] = whole + (rest >= 0.5f) - (rest <= -0.5f);
        }
    }
}

void tw_sampler_set(tw_sampler *s, double scale, double temperature, double top_p, uint32_t seed)
{
    const double bins_per_nat = 23.083120654223414; /* 16 / ln 2 */
    double share = top_p * 4294967296.0 + 0.5, factor;
    s->top_p = share >= 4294967295.0 ? UINT32_MAX : share >= 1.0 ? (uint32_t)share : 0;
    s->multiplier = s->shift = 0;
    if (temperature > 0.0) {
        factor = scale / temperature * bins_per_nat;
        while (factor < 1073741824.0 && s->shift < 62) {
            factor *= 2.0;
            s->shift++;
        }
        s->multiplier = factor >= 2147483647.0 ? 2147483647u : factor < 1.0 ? 1u : (uint32_t)(factor + 0.5);
    }
    tw_sampler_seed(s, seed);
}
