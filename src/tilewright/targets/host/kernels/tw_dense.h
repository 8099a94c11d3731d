/* The inner loop of fp32 matrix products and convolutions: outer products of a few inputs and panels of 16 weights.
 *
 * Every result is one sum over its weights in ascending order, whatever the blocking, so that it does not depend on how
 * many tokens or pixels are computed together.
 */
#ifndef TW_DENSE_H
#define TW_DENSE_H

#include "tw_math.h"

/* Inputs that share a panel's weights: as many sums as fit the vector registers. */
#if TW_WIDE >= 16
#define TW_TOGETHER 8
#else
#define TW_TOGETHER 4
#endif
#define TW_PANELS 4 /* panels of one input: enough sums in flight to hide the latency of an addition */
#define TW_SUMS (TW_TOGETHER > TW_PANELS ? TW_TOGETHER : TW_PANELS)

/* sum[p * count + i] += w[p][k] * x[i][k] for k < n, i < count, p < panels. Panels are `apart` floats apart, the weights
 * of one k after those of the last by `step`. */
TW_INLINE void tw_outer(int count, int panels, tw_vec sum[TW_SUMS][TW_VECS], const float *const x[],
                        const float *restrict w, int apart, int step, int n)
{
    for (int k = 0; k < n; k++)
        for (int p = 0; p < panels; p++)
            for (int v = 0; v < TW_VECS; v++) {
                tw_vec weights = TW_AT(w + p * apart + k * step, v);
                for (int i = 0; i < count; i++)
                    sum[p * count + i][v] += weights * x[i][k];
            }
}

TW_INLINE float tw_clip(float x, float low, float high)
{
    float above = x < low ? low : x;
    return above > high ? high : above;
}

/* y[i] = clip(sum[i] + b[i], low, high) for i < count <= 16; b may be null. What is not a number stays so. */
TW_INLINE void tw_store(float *restrict y, const tw_vec sum[TW_VECS], const float *restrict b, int count, float low,
                        float high)
{
    static const float nothing[TW_GROUP];
    const float *restrict bias = b != 0 ? b : nothing;
    float lane[TW_GROUP];
    memcpy(lane, sum, sizeof lane);
    if (count == TW_GROUP)
        for (int i = 0; i < TW_GROUP; i++)
            y[i] = tw_clip(lane[i] + bias[i], low, high);
    else
        for (int i = 0; i < count; i++)
            y[i] = tw_clip(lane[i] + bias[i], low, high);
}

/* The same with r[i] added; y may be r. */
TW_INLINE void tw_store_onto(float *y, const float *r, const tw_vec sum[TW_VECS], const float *restrict b, int count,
                             float low, float high)
{
    float lane[TW_GROUP];
    memcpy(lane, sum, sizeof lane);
    for (int i = 0; i < count; i++)
        y[i] = tw_clip(lane[i] + (b != 0 ? b[i] : 0.0f) + r[i], low, high);
}

/* How many of `rows` output channels belong to the panel that begins at channel r. */
TW_INLINE int tw_in_panel(int rows, int r)
{
    return rows - r < TW_GROUP ? rows - r : TW_GROUP;
}

#endif
