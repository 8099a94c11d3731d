/* Products of QuantLib networks with the sum or product through tables that follows them; portable. */
#include "tw_kernels.h"
#include "tw_quantised.h"

/* clip((value * numbers[0] + numbers[1]) >> shift) */
static int8_t requantised(int32_t value, const int32_t *restrict numbers, int shift)
{
    int64_t scaled = ((int64_t)value * numbers[0] + numbers[1]) >> shift;
    return (int8_t)(scaled < -128 ? -128 : scaled > 127 ? 127 : scaled);
}

static int8_t row(const int8_t *restrict x, const int8_t *restrict w, int cols, const int32_t *restrict numbers,
                  int shift)
{
    int32_t sum = 0;
    for (int i = 0; i < cols; i++)
        sum += x[i] * w[i];
    return requantised(sum, numbers, shift);
}

/* y = r and products by tables. x: [tokens][cols], w: [rows][cols], r, y: [tokens][rows]; y and r may be the same. */
void tw_linear_join(const int8_t *restrict x, const int8_t *restrict w, const void *r, const int8_t *restrict table_r,
                    const int8_t *restrict table, const int32_t *restrict numbers, int8_t *y, int tokens, int rows,
                    int cols, int shift, int out_shift)
{
    const uint8_t *residual = r;
    for (int t = 0; t < tokens; t++, x += cols)
        for (int o = 0; o < rows; o++, residual++) {
            int8_t v = row(x, w + o * cols, cols, numbers, shift);
            *y++ = requantised(table_r[*residual] + table[(uint8_t)v], numbers + 2, out_shift);
        }
}

/* y = the product of two products by tables. w: [rows][2][cols], y: [tokens][rows]. */
void tw_linear_gate(const int8_t *restrict x, const int8_t *restrict w, const int8_t *restrict table_a,
                    const int8_t *restrict table_b, const int32_t *restrict numbers, int8_t *restrict y, int tokens,
                    int rows, int cols, int a_shift, int b_shift, int shift)
{
    for (int t = 0; t < tokens; t++, x += cols)
        for (int o = 0; o < rows; o++) {
            int8_t a = row(x, w + 2 * o * cols, cols, numbers, a_shift);
            int8_t b = row(x, w + (2 * o + 1) * cols, cols, numbers + 2, b_shift);
            *y++ = requantised(table_a[(uint8_t)a] * table_b[(uint8_t)b], numbers + 4, shift);
        }
}

/* Sums of the first `cols` inputs of rows of `inputs`. x: [tokens][inputs], w: [rows][cols], y: [tokens][rows]. */
void tw_first_sums(const int8_t *restrict x, const int8_t *restrict w, int32_t *restrict y, int tokens, int rows,
                   int inputs, int cols)
{
    for (int t = 0; t < tokens; t++, x += inputs)
        for (int o = 0; o < rows; o++) {
            int32_t sum = 0;
            for (int i = 0; i < cols; i++)
                sum += x[i] * w[o * cols + i];
            *y++ = sum;
        }
}

/* tw_linear_join, of which s has the sums of all inputs but the last `cols`. w: [rows][cols]. */
void tw_rest_join_tables(const int32_t *restrict s, const int8_t *restrict x, const int8_t *restrict w, const void *r,
                         const int8_t *restrict table_r, const int8_t *restrict table, const int32_t *restrict numbers,
                         int8_t *y, int tokens, int rows, int inputs, int cols, int shift, int out_shift)
{
    const uint8_t *residual = r;
    x += inputs - cols;
    for (int t = 0; t < tokens; t++, x += inputs)
        for (int o = 0; o < rows; o++, residual++) {
            int32_t sum = *s++;
            for (int i = 0; i < cols; i++)
                sum += x[i] * w[o * cols + i];
            int8_t v = requantised(sum, numbers, shift);
            *y++ = requantised(table_r[*residual] + table[(uint8_t)v], numbers + 2, out_shift);
        }
}
