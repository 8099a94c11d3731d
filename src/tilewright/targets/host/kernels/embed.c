/* Table look-up. */
#include "tw_kernels.h"

/* y[t] = table[tokens[t]]. The table is packed as tw_linear_f32 reads it, so that a tied head shares it:
 * [vocabulary / 16][cols][16]. y: [count][cols]. */
void tw_embed_f32(const int32_t *restrict tokens, const float *restrict table, float *restrict y, int count, int cols)
{
    for (int t = 0; t < count; t++, y += cols) {
        const float *restrict column = table + tokens[t] / 16 * cols * 16 + tokens[t] % 16;
        for (int c = 0; c < cols; c++)
            y[c] = column[c * 16];
    }
}
