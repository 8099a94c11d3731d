/* Batched matrix products of two activations. */
#include "tw_kernels.h"
#include "tw_dense.h"

struct product {
    const float *a, *b;
    float *y;
    int k, n;
    float low, high;
};

/* Columns c .. c + 16 * groups of `rows` rows of y from row r. */
TW_INLINE void block(const struct product *p, int rows, int groups, int r, int c)
{
    tw_vec sum[TW_SUMS][TW_VECS] = {0};
    const float *a[TW_TOGETHER];
    for (int i = 0; i < rows; i++)
        a[i] = p->a + (r + i) * p->k;
    tw_outer(rows, groups, sum, a, p->b + c, TW_GROUP, p->n, p->k);
    for (int g = 0; g < groups; g++)
        for (int i = 0; i < rows; i++)
            tw_store(p->y + (r + i) * p->n + c + g * TW_GROUP, sum[g * rows + i], 0, TW_GROUP, p->low, p->high);
}

/* Columns c .. c + n of one row, fewer than 16 of them. */
static void narrow(const struct product *p, int r, int c, int n)
{
    tw_vec sum[TW_VECS];
    float lane[TW_GROUP] = {0};
    for (int k = 0; k < p->k; k++)
        for (int i = 0; i < n; i++)
            lane[i] += p->b[k * p->n + c + i] * p->a[r * p->k + k];
    memcpy(sum, lane, sizeof sum);
    tw_store(p->y + r * p->n + c, sum, 0, n, p->low, p->high);
}

/* y = clip(a b, low, high) for every matrix of a batch. a: [m][k], b: [k][n], y: [m][n]; from one to the next a and
 * b go on by a_step and b_step, 0 where they stay. */
void tw_matmul_f32(const float *restrict a, const float *restrict b, float *restrict y, int batch, int m, int k, int n,
                   int a_step, int b_step, float low, float high)
{
    int whole = n - n % TW_GROUP, several = n - n % (TW_PANELS * TW_GROUP), many = m - m % TW_TOGETHER;
    for (; batch > 0; batch--, a += a_step, b += b_step, y += m * n) {
        const struct product p = {a, b, y, k, n, low, high};
        for (int c = 0; c < whole; c += TW_GROUP)
            for (int r = 0; r < many; r += TW_TOGETHER)
                block(&p, TW_TOGETHER, 1, r, c);
        for (int r = many; r < m; r++) {
            for (int c = 0; c < several; c += TW_PANELS * TW_GROUP)
                block(&p, 1, TW_PANELS, r, c);
            for (int c = several; c < whole; c += TW_GROUP)
                block(&p, 1, 1, r, c);
        }
        for (int r = 0; r < m && whole < n; r++)
            narrow(&p, r, whole, n - whole);
    }
}

/* Dot products of one row with four rows of b, or fewer: 16 running sums each, then a tree, then what is left. */
TW_INLINE void dots(const struct product *p, int count, int r, int c)
{
    tw_vec sum[4][TW_VECS] = {0};
    const float *restrict a = p->a + r * p->k, *restrict b = p->b + c * p->k;
    int whole = p->k - p->k % TW_GROUP;
    for (int k = 0; k < whole; k += TW_GROUP)
        for (int i = 0; i < count; i++)
            for (int v = 0; v < TW_VECS; v++)
                sum[i][v] += TW_AT(a + k, v) * TW_AT(b + i * p->k + k, v);
    for (int i = 0; i < count; i++) {
        float total = tw_sum16(sum[i]);
        for (int k = whole; k < p->k; k++)
            total += a[k] * b[i * p->k + k];
        p->y[r * p->n + c + i] = tw_clip(total, p->low, p->high);
    }
}

/* The same with b: [n][k]. */
void tw_matmul_transposed_f32(const float *restrict a, const float *restrict b, float *restrict y, int batch, int m,
                              int k, int n, int a_step, int b_step, float low, float high)
{
    for (; batch > 0; batch--, a += a_step, b += b_step, y += m * n) {
        const struct product p = {a, b, y, k, n, low, high};
        for (int r = 0; r < m; r++) {
            int c = 0;
            for (; c + 4 <= n; c += 4)
                dots(&p, 4, r, c);
            for (; c < n; c++)
                dots(&p, 1, r, c);
        }
    }
}
