/* Products of floats for the chip: four rows of weights (or columns of b) by four rows of inputs at a time. */
#include "tw_kernels.h"

#define TW_F static inline __attribute__((always_inline))

enum { LANES = 4 }; /* rows of weights, or columns of b, that are worked on together */

/* Element (i, r) of w is at w[i * down + r * right]; of the rows of x, each `cols` long, y has rows of `rows`. */
struct product {
    float *y;
    int rows, cols, down, right;
    float low, high;
};

/* `tokens` rows of x times `count` (at most 4) rows of w: y from y[at] on. `near`: right is 1, four rows are there. */
TW_F void block(const struct product *p, int tokens, int near, const float *x, const float *w, const float *b, int at,
                int count)
{
    float sum[LANES][LANES] = {{0}};
    const float *row[LANES];
    float *y = p->y + at, low = p->low, high = p->high;
    int cols = p->cols;
    for (int r = 0; r < LANES; r++)
        row[r] = w + (near ? r : (r < count ? r : count - 1) * p->right);
#pragma clang loop unroll_count(4)
    for (int i = 0; i < cols; i++) {
        float v[LANES];
        for (int r = 0; r < LANES; r++) {
            v[r] = near ? w[r] : *row[r];
            row[r] += p->down;
        }
        w += p->down;
        for (int t = 0; t < tokens; t++)
            for (int r = 0; r < LANES; r++)
                sum[t][r] = __builtin_fmaf(x[t * cols + i], v[r], sum[t][r]);
    }
    for (int r = 0; r < LANES; r++) {
        float bias = b != 0 && r < count ? b[r] : 0.0f;
        for (int t = 0; t < tokens && r < count; t++) {
            float value = sum[t][r] + bias;
            value = value < low ? low : value;
            y[t * p->rows + r] = value > high ? high : value;
        }
    }
}

/* The same for any number of rows of x. */
TW_F void column(const struct product *p, int tokens, int near, const float *x, const float *w, const float *b, int at,
                 int count)
{
    for (; tokens >= 4; tokens -= 4, x += 4 * p->cols, at += 4 * p->rows)
        block(p, 4, near, x, w, b, at, count);
    for (; tokens > 0; tokens--, x += p->cols, at += p->rows)
        block(p, 1, near, x, w, b, at, count);
}

static void column_near(const struct product *p, int tokens, const float *x, const float *w, const float *b, int at,
                        int count)
{
    column(p, tokens, 1, x, w, b, at, count);
}

static void column_far(const struct product *p, int tokens, const float *x, const float *w, const float *b, int at,
                       int count)
{
    column(p, tokens, 0, x, w, b, at, count);
}

/* y = clip(x w^T + b, low, high). x: [tokens][cols], w: [rows / 4][cols][4], b: [rows] or null, y: [tokens][rows]. A
 * core computes some rows of weights, or some tokens, first .. last. */
void tw_gemm_f32(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                 int tokens, int rows, int cols, float low, float high, int by_tokens, int first, int last)
{
    const struct product p = {y, rows, cols, LANES, 1, low, high};
    int t = 0, end = tokens;
    if (first >= last)
        return;
    if (by_tokens)
        t = first, end = last, first = 0, last = rows;
    for (; first < last; first += LANES)
        column_near(&p, end - t, x + t * cols, w + first * cols, b != 0 ? b + first : 0, t * rows + first,
                    last - first < LANES ? last - first : LANES);
}

/* y = clip(a b, low, high) for every matrix of a batch. a: [m][k], b: [k][n] or, transposed, [n][k], y: [m][n]; from
 * one to the next a and b go on by a_step and b_step. A core computes some rows, or columns, of all of the batch. */
void tw_product_f32(const float *restrict a, const float *restrict b, float *restrict y, int m, int k, int n,
                    int a_step, int b_step, float low, float high, int by_rows, int turned, int first, int last)
{
    const struct product p = {y, n, k, turned ? 1 : n, turned ? k : 1, low, high};
    int extent = by_rows ? m : n;
    for (int item = first / extent, begin = first % extent; first < last; item++, begin = 0) {
        int end = extent - begin < last - first ? extent : begin + last - first;
        int row = by_rows ? begin : 0, rows = by_rows ? end - begin : m;
        const float *x = a + item * a_step + row * k, *columns = b + item * b_step;
        for (int c = by_rows ? 0 : begin, stop = by_rows ? n : end; c < stop; c += LANES) {
            int count = stop - c < LANES ? stop - c : LANES, at = (item * m + row) * n + c;
            (count == LANES && !turned ? column_near : column_far)(&p, rows, x, columns + c * p.right, 0, at, count);
        }
        first += end - begin;
    }
}
