/* Elementwise operators. y may be a: what one group of 16 reads is read before any of it is written, which lets
 * compilers use vectors without asking whether the buffers overlap. */
#include "tw_kernels.h"
#include "tw_math.h"

void tw_add_f32(const float *a, const float *restrict b, float *y, int n)
{
    int i = 0;
    for (; i + TW_GROUP <= n; i += TW_GROUP)
        for (int v = 0; v < TW_VECS; v++)
            TW_PUT(y + i, v) = TW_AT(a + i, v) + TW_AT(b + i, v);
    for (; i < n; i++)
        y[i] = a[i] + b[i];
}

/* silu(a) * b, silu(a) = a / (1 + e^-a). */
TW_INLINE float swiglu(float a, float b)
{
    return a / (1.0f + tw_expf(-a)) * b;
}

void tw_swiglu_f32(const float *a, const float *restrict b, float *y, int n)
{
    int i = 0;
    for (; i + TW_GROUP <= n; i += TW_GROUP) {
        float lane[TW_GROUP];
        memcpy(lane, a + i, sizeof lane);
        for (int k = 0; k < TW_GROUP; k++)
            lane[k] = swiglu(lane[k], b[i + k]);
        memcpy(y + i, lane, sizeof lane);
    }
    for (; i < n; i++)
        y[i] = swiglu(a[i], b[i]);
}
