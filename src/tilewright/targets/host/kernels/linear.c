/* Matrix products with weights packed in panels of 16 rows: w[rows / 16][cols][16], the last panel padded with zeros.
 *
 * Every y[t][r] is one sum over k in ascending order, whatever the blocking: one token or many give the same bits.
 */
#include "tw_kernels.h"
#include "tw_math.h"

enum { BLOCK = 4 }; /* sums in flight: enough to hide the latency of an addition */

/* One panel's worth of results: y[0 .. count) = sum + b. */
TW_INLINE void store(float *restrict y, const tw_vec sum[TW_VECS], const float *restrict b, int count)
{
    float lane[TW_GROUP];
    memcpy(lane, sum, sizeof lane);
    if (b != 0)
        for (int i = 0; i < count; i++)
            y[i] = lane[i] + b[i];
    else if (count == TW_GROUP)
        memcpy(y, lane, sizeof lane);
    else
        for (int i = 0; i < count; i++)
            y[i] = lane[i];
}

/* y for `tokens` rows of x and `panels` panels of w, tokens * panels <= BLOCK; `rows` are left from the first panel. */
TW_INLINE void block(int tokens, int panels, const float *restrict x, const float *restrict w, const float *restrict b,
                     float *restrict y, int rows, int cols, int stride)
{
    tw_vec sum[BLOCK][TW_VECS] = {0};
    for (int k = 0; k < cols; k++)
        for (int p = 0; p < panels; p++)
            for (int t = 0; t < tokens; t++)
                for (int v = 0; v < TW_VECS; v++)
                    sum[p * tokens + t][v] += TW_AT(w + (p * cols + k) * TW_GROUP, v) * x[t * cols + k];
    for (int p = 0; p < panels; p++)
        for (int t = 0; t < tokens; t++) {
            int first = p * TW_GROUP, count = rows - first < TW_GROUP ? rows - first : TW_GROUP;
            store(y + t * stride + first, sum[p * tokens + t], b != 0 ? b + first : 0, count);
        }
}

/* One token: several panels at a time. */
static void one_token(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                      int rows, int cols)
{
    for (int r = 0; r < rows; r += BLOCK * TW_GROUP) {
        const float *panel = w + r * cols, *bias = b != 0 ? b + r : 0;
        int left = rows - r;
        if (left > 3 * TW_GROUP)
            block(1, 4, x, panel, bias, y + r, left, cols, rows);
        else if (left > 2 * TW_GROUP)
            block(1, 3, x, panel, bias, y + r, left, cols, rows);
        else if (left > TW_GROUP)
            block(1, 2, x, panel, bias, y + r, left, cols, rows);
        else
            block(1, 1, x, panel, bias, y + r, left, cols, rows);
    }
}

/* x: [tokens][cols], w: packed [rows][cols], b: [rows] or null, y: [tokens][rows]. */
void tw_linear_f32(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                   int tokens, int rows, int cols)
{
    int together = tokens - tokens % BLOCK;
    for (int r = 0; r < rows && together > 0; r += TW_GROUP)
        for (int t = 0; t < together; t += BLOCK)
            block(BLOCK, 1, x + t * cols, w + r * cols, b != 0 ? b + r : 0, y + t * rows + r, rows - r, cols, rows);
    for (int t = together; t < tokens; t++)
        one_token(x + t * cols, w, b, y + t * rows, rows, cols);
}
