/* Float activations with int8 weights per row, or 4-bit weights in groups along the row.
 *
 * Packing as in linear_rows.c. Every y[t][r] is a sum over k in ascending order, so it is the same however many tokens
 * come in one call.
 */
#include "tw_kernels.h"
#include "tw_quantised.h"

/* y[t] = table[tokens[t]] * scale[tokens[t]], the table packed as the head reads it. */
void tw_embed_w8(const int32_t *restrict tokens, const int8_t *restrict table, const float *restrict scale,
                 float *restrict y, int count, int cols)
{
    for (int t = 0; t < count; t++, y += cols) {
        const int8_t *restrict column = table + tokens[t] / TW_LANES * cols * TW_LANES + tokens[t] % TW_LANES;
        for (int c = 0; c < cols; c++)
            y[c] = (float)column[c * TW_LANES] * scale[tokens[t]];
    }
}

/* x: [tokens][cols], w: packed [rows][cols] int8, scale: [rows], y: [tokens][rows]. */
void tw_linear_w8(const float *restrict x, const int8_t *restrict w, const float *restrict scale, float *restrict y,
                  int tokens, int rows, int cols)
{
    for (int t = 0; t < tokens; t++, x += cols, y += rows)
        for (int r = 0; r < rows; r += TW_LANES) {
            float sum[TW_LANES] = {0};
            int count = rows - r < TW_LANES ? rows - r : TW_LANES;
            for (int k = 0; k < cols; k++)
                for (int i = 0; i < TW_LANES; i++)
                    sum[i] += x[k] * (float)w[(r / TW_LANES * cols + k) * TW_LANES + i];
            for (int i = 0; i < count; i++)
                y[r + i] = sum[i] * scale[r + i];
        }
}

/* w: packed [rows][cols] of 4 bits; step: packed [rows][groups], a row's groups of `group` (even) columns. */
void tw_linear_w4(const float *restrict x, const int8_t *restrict w, const float *restrict scale,
                  const uint8_t *restrict step, float *restrict y, int tokens, int rows, int cols, int group)
{
    int bytes = (cols + 1) / 2, groups = (cols + group - 1) / group;
    for (int t = 0; t < tokens; t++, x += cols, y += rows)
        for (int r = 0; r < rows; r += TW_LANES) {
            const int8_t *restrict panel = w + r / TW_LANES * bytes * TW_LANES;
            const uint8_t *restrict steps = step + r / TW_LANES * groups * TW_LANES;
            float total[TW_LANES] = {0};
            int count = rows - r < TW_LANES ? rows - r : TW_LANES;
            for (int g = 0; g < groups; g++) {
                int last = (g + 1) * group < cols ? (g + 1) * group : cols;
                float sum[TW_LANES] = {0};
                for (int k = g * group; k < last; k += 2) {
                    float below = x[k], above = k + 1 < cols ? x[k + 1] : 0.0f;
                    for (int i = 0; i < TW_LANES; i++) {
                        int8_t byte = panel[k / 2 * TW_LANES + i];
                        sum[i] += below * (float)(((byte & 15) ^ 8) - 8);
                        sum[i] += above * (float)(byte >> 4);
                    }
                }
                for (int i = 0; i < TW_LANES; i++)
                    total[i] += sum[i] * (float)steps[g * TW_LANES + i];
            }
            for (int i = 0; i < count; i++)
                y[r + i] = total[i] * scale[r + i];
        }
}
