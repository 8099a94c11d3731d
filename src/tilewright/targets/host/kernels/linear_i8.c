/* 8-bit matrix products with weights packed in pairs: w[rows / 16][depth / 2][16][2], zeros where rows or cols end. */
#include "tw_kernels.h"
#include "tw_integer.h"

/* Channels r .. r + 16 * panels of `tokens` rows of y from row t; `columns` holds their inputs. */
TW_INLINE void block(const struct tw_finish *f, int tokens, int panels, const int16_t *columns, const int8_t *w,
                     int depth, int rows, int t, int r)
{
    tw_ivec sum[TW_SUMS][TW_VECS] = {0};
    tw_dot(tokens, panels, sum, columns, w + r * depth, depth);
    for (int p = 0; p < panels; p++, r += TW_GROUP) {
        struct tw_scales scales = tw_scales(f, r, tw_in_panel(rows, r));
        tw_finish(f, &scales, sum[p * tokens], tokens, t * rows + r, rows);
    }
}

/* y = finish(x w^T). x: [tokens][cols] of i8 or u8, y: [tokens][rows]; see struct tw_finish for the rest.
 * scratch: 8 columns of `cols` 16-bit numbers, one more where cols is odd. */
void tw_linear_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                  const int32_t *restrict mul, const void *restrict add, void *restrict y, int16_t *restrict scratch,
                  int tokens, int rows, int cols, int x_signed, int mul_step, int add_bytes, int add_step, int shift,
                  int low, int high, int y_bytes)
{
    const struct tw_finish f = {b, mul, add, y, mul_step, add_bytes, add_step, shift, low, high, y_bytes};
    int depth = cols + cols % 2;
    for (int t = 0, step; t < tokens; t += step) {
        step = tokens - t >= TW_TOGETHER ? TW_TOGETHER : 1;
        for (int i = 0; i < step; i++) {
            scratch[i * depth + depth - 1] = 0;
            tw_to_16(scratch + i * depth, (const int8_t *)x + (t + i) * cols, cols, x_signed);
        }
        int r = 0;
        if (step == TW_TOGETHER)
            for (; r < rows; r += TW_GROUP)
                block(&f, TW_TOGETHER, 1, scratch, w, depth, rows, t, r);
        for (; rows - r >= TW_PANELS * TW_GROUP; r += TW_PANELS * TW_GROUP)
            block(&f, 1, TW_PANELS, scratch, w, depth, rows, t, r);
        for (; r < rows; r += TW_GROUP)
            block(&f, 1, 1, scratch, w, depth, rows, t, r);
    }
}
