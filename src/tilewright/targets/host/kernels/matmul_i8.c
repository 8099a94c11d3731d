/* 8-bit batched matrix products of two activations. */
#include "tw_kernels.h"
#include "tw_integer.h"

/* 16 columns of b, or the `count` left, packed in pairs as weights are: panel[depth / 2][16][2]. Element (k, c)
 * of b lies at b[k * down + c * right]. */
static void pack(int8_t *restrict panel, const int8_t *restrict b, int depth, int k, int count, int down, int right)
{
    memset(panel, 0, (size_t)depth * TW_GROUP);
    for (int i = 0; i < k; i++)
        for (int c = 0; c < count; c++)
            panel[(i - i % 2) * TW_GROUP + c * 2 + i % 2] = b[i * down + c * right];
}

/* One panel of results for `rows` rows of a. */
TW_INLINE void block(const struct tw_finish *f, const struct tw_scales *s, int rows, const int8_t *a, int a_signed,
                     int16_t *restrict columns, const int8_t *restrict panel, int depth, int k, int at, int n)
{
    tw_ivec sum[TW_SUMS][TW_VECS] = {0};
    for (int i = 0; i < rows; i++) {
        columns[i * depth + depth - 1] = 0;
        tw_to_16(columns + i * depth, a + i * k, k, a_signed);
    }
    tw_dot(rows, 1, sum, columns, panel, depth);
    tw_finish(f, s, sum, rows, at, n);
}

/* y = finish(a b) for every matrix of a batch. a: [m][k] of i8 or u8, b: [k][n] with element (k, c) at k * down +
 * c * right, y: [m][n]; from one matrix to the next a and b go on by a_step and b_step, 0 where they stay. See struct
 * tw_finish for the rest. scratch: 16 columns of k 16-bit numbers, one more where k is odd. */
void tw_matmul_i8(const void *restrict a, const int8_t *restrict b, const int32_t *restrict mul,
                  const void *restrict add, void *restrict y, int16_t *restrict scratch, int batch, int m, int k, int n,
                  int a_step, int b_step, int down, int right, int x_signed, int mul_step, int add_bytes, int add_step,
                  int shift, int low, int high, int y_bytes)
{
    const struct tw_finish f = {0, mul, add, y, mul_step, add_bytes, add_step, shift, low, high, y_bytes};
    int depth = k + k % 2;
    int8_t *panel = (int8_t *)(scratch + TW_TOGETHER * depth);
    for (int i = 0; i < batch; i++)
        for (int c = 0; c < n; c += TW_GROUP) {
            struct tw_scales scales = tw_scales(&f, c, tw_in_panel(n, c));
            const int8_t *rows = (const int8_t *)a + i * a_step;
            int r = 0, at = i * m * n + c;
            pack(panel, b + i * b_step + c * right, depth, k, scales.count, down, right);
            for (; r + TW_TOGETHER <= m; r += TW_TOGETHER)
                block(&f, &scales, TW_TOGETHER, rows + r * k, x_signed, scratch, panel, depth, k, at + r * n, n);
            for (; r < m; r++)
                block(&f, &scales, 1, rows + r * k, x_signed, scratch, panel, depth, k, at + r * n, n);
        }
}
