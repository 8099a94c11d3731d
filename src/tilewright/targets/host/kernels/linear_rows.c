/* Products of int8 activations with int8 weights, int32 sums, multipliers of eight bits per row.
 *
 * Weights are packed in panels of 16 rows, the last panel padded with zeros: w[rows / 16][cols][16].
 * x: [tokens][cols], mul: [rows], add: [1], y: [tokens][rows].
 */
#include "tw_kernels.h"
#include "tw_rows.h"

#include <string.h>

/* Sums for `tokens` rows of x and `panels` panels of w, tokens * panels <= TW_BLOCK. */
TW_INLINE_Q void sums(int tokens, int panels, const int8_t *restrict x, const int8_t *restrict w,
                      tw_lanes *restrict out, int cols)
{
    tw_lanes sum[TW_BLOCK] = {{0}};
    for (int k = 0; k < cols; k++)
        for (int p = 0; p < panels; p++)
            for (int t = 0; t < tokens; t++)
                for (int i = 0; i < TW_LANES; i++)
                    sum[p * tokens + t][i] += x[t * cols + k] * w[(p * cols + k) * TW_LANES + i];
    memcpy(out, sum, sizeof sum);
}

static int panel_bytes(int cols)
{
    return cols * TW_LANES;
}

#include "tw_product.h"

void tw_rows_i8_i8_i8(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                      const int32_t *restrict add, int8_t *restrict y, int tokens, int rows, int cols, int shift,
                      int32_t low, int32_t high, int wide)
{
    tw_sink to = {y, 0, 0, 0, mul, add[0], low, high, shift, wide, rows};
    product(x, w, &to, tokens, cols);
}

void tw_rows_i8_i8_i16(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                       const int32_t *restrict add, int16_t *restrict y, int tokens, int rows, int cols, int shift,
                       int32_t low, int32_t high, int wide)
{
    tw_sink to = {0, y, 0, 0, mul, add[0], low, high, shift, wide, rows};
    product(x, w, &to, tokens, cols);
}

void tw_rows_i8_i8_i32(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                       const int32_t *restrict add, int32_t *restrict y, int tokens, int rows, int cols, int shift,
                       int32_t low, int32_t high, int wide)
{
    tw_sink to = {0, 0, y, 0, mul, add[0], low, high, shift, wide, rows};
    product(x, w, &to, tokens, cols);
}

/* What is added is at most 17 bits, so that r + value cannot leave 32 bits and saturates as the exact sum would. */
void tw_rows_add_i8_i8(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r,
                       const uint8_t *restrict mul, int16_t *y, int tokens, int rows, int cols, int shift, int wide)
{
    tw_sink to = {0, y, 0, r, mul, tw_half(shift), -65536, 65535, shift, wide, rows};
    product(x, w, &to, tokens, cols);
}
