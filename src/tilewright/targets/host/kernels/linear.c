/* Matrix products with weights packed in panels of 16 rows: w[rows / 16][cols][16], the last padded with zeros. */
#include "tw_kernels.h"
#include "tw_dense.h"

struct linear {
    const float *x, *w, *b;
    float *y;
    int rows, cols;
    float low, high;
};

/* Rows r .. r + 16 * panels of y for `tokens` rows of x from row t. */
TW_INLINE void block(const struct linear *l, int tokens, int panels, int t, int r)
{
    tw_vec sum[TW_SUMS][TW_VECS] = {0};
    const float *x[TW_TOGETHER];
    for (int i = 0; i < tokens; i++)
        x[i] = l->x + (t + i) * l->cols;
    tw_outer(tokens, panels, sum, x, l->w + r * l->cols, TW_GROUP * l->cols, TW_GROUP, l->cols);
    for (int p = 0; p < panels; p++, r += TW_GROUP)
        for (int i = 0; i < tokens; i++)
            tw_store(l->y + (t + i) * l->rows + r, sum[p * tokens + i], l->b != 0 ? l->b + r : 0,
                     tw_in_panel(l->rows, r), l->low, l->high);
}

/* One token: several panels at a time. */
static void one_token(const struct linear *l, int t)
{
    int r = 0;
    for (; l->rows - r > 3 * TW_GROUP; r += 4 * TW_GROUP)
        block(l, 1, 4, t, r);
    if (l->rows - r > 2 * TW_GROUP)
        block(l, 1, 3, t, r);
    else if (l->rows - r > TW_GROUP)
        block(l, 1, 2, t, r);
    else if (l->rows - r > 0)
        block(l, 1, 1, t, r);
}

/* y = clip(x w^T + b, low, high). x: [tokens][cols], w: packed [rows][cols], b: [rows] or null, y: [tokens][rows]. */
void tw_linear_f32(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                   int tokens, int rows, int cols, float low, float high)
{
    const struct linear l = {x, w, b, y, rows, cols, low, high};
    int many = tokens - tokens % TW_TOGETHER, several = tokens - tokens % 4;
    for (int r = 0; r < rows && several > 0; r += TW_GROUP) {
        for (int t = 0; t < many; t += TW_TOGETHER)
            block(&l, TW_TOGETHER, 1, t, r);
        for (int t = many; t < several; t += 4)
            block(&l, 4, 1, t, r);
    }
    for (int t = several; t < tokens; t++)
        one_token(&l, t);
}
