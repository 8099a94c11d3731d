/* Products of int8 activations with 4-bit weights; otherwise as linear_rows.c.
 *
 * Packing: w[rows / 16][(cols + 1) / 2][16], a byte holds column 2k below and column 2k + 1 above.
 */
#include "tw_kernels.h"
#include "tw_rows.h"

#include <string.h>

/* Sums for `tokens` rows of x and `panels` panels of w, tokens * panels <= TW_BLOCK. */
TW_INLINE_Q void sums(int tokens, int panels, const int8_t *restrict x, const int8_t *restrict w,
                      tw_lanes *restrict out, int cols)
{
    tw_lanes sum[TW_BLOCK] = {{0}};
    int bytes = (cols + 1) / 2;
    for (int k = 0; k < bytes; k++)
        for (int t = 0; t < tokens; t++) {
            int32_t below = x[t * cols + 2 * k], above = 2 * k + 1 < cols ? x[t * cols + 2 * k + 1] : 0;
            for (int p = 0; p < panels; p++)
                for (int i = 0; i < TW_LANES; i++) {
                    int8_t byte = w[(p * bytes + k) * TW_LANES + i];
                    sum[p * tokens + t][i] += below * (((byte & 15) ^ 8) - 8) + above * (byte >> 4);
                }
        }
    memcpy(out, sum, sizeof sum);
}

static int panel_bytes(int cols)
{
    return ((cols + 1) / 2) * TW_LANES;
}

#include "tw_product.h"

void tw_rows_i8_i4_i8(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                      const int32_t *restrict add, int8_t *restrict y, int tokens, int rows, int cols, int shift,
                      int32_t low, int32_t high, int wide)
{
    tw_sink to = {y, 0, 0, 0, mul, add[0], low, high, shift, wide, rows};
    product(x, w, &to, tokens, cols);
}

void tw_rows_i8_i4_i16(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                       const int32_t *restrict add, int16_t *restrict y, int tokens, int rows, int cols, int shift,
                       int32_t low, int32_t high, int wide)
{
    tw_sink to = {0, y, 0, 0, mul, add[0], low, high, shift, wide, rows};
    product(x, w, &to, tokens, cols);
}

/* What is added is at most 17 bits, so that r + value cannot leave 32 bits and saturates as the exact sum would. */
void tw_rows_add_i8_i4(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r,
                       const uint8_t *restrict mul, int16_t *y, int tokens, int rows, int cols, int shift, int wide)
{
    tw_sink to = {0, y, 0, r, mul, tw_half(shift), -65536, 65535, shift, wide, rows};
    product(x, w, &to, tokens, cols);
}
