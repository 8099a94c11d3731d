/* Elementwise operators. y may be a. */
#include "tw_kernels.h"
#include "tw_math.h"

void tw_add_f32(const float *a, const float *restrict b, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

/* y = silu(a) * b, silu(a) = a / (1 + e^-a). */
void tw_swiglu_f32(const float *a, const float *restrict b, float *y, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = a[i] / (1.0f + tw_expf(-a[i])) * b[i];
}
