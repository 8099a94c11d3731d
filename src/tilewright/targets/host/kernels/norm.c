/* Normalisations. */
#include "tw_kernels.h"
#include "tw_math.h"

/* Sum of x[i]^2: 16 running sums, then a tree. */
static float sum_of_squares(const float *x, int n)
{
    tw_vec sum[TW_VECS] = {0};
    int whole = n - n % TW_GROUP;
    for (int i = 0; i < whole; i += TW_GROUP)
        for (int v = 0; v < TW_VECS; v++)
            sum[v] += TW_AT(x + i, v) * TW_AT(x + i, v);
    float total = tw_sum16(sum);
    for (int i = whole; i < n; i++)
        total += x[i] * x[i];
    return total;
}

/* y = x / sqrt(mean(x^2) + eps) * w for every row. x, y: [rows][n], w: [n]; y may be x. */
void tw_rmsnorm_f32(const float *x, const float *restrict w, float *y, int rows, int n, float eps)
{
    for (int r = 0; r < rows; r++, x += n, y += n) {
        float scale = tw_rsqrtf(sum_of_squares(x, n) / (float)n + eps);
        int i = 0;
        for (; i + TW_GROUP <= n; i += TW_GROUP)
            for (int v = 0; v < TW_VECS; v++)
                TW_PUT(y + i, v) = TW_AT(x + i, v) * scale * TW_AT(w + i, v);
        for (; i < n; i++)
            y[i] = x[i] * scale * w[i];
    }
}
