/* Products of rows of bytes (tokens) with rows of weights, for the chip. A core computes some rows of weights for all
 * tokens, or all of them for some tokens; see tw_gemm.h for the layout and tw_results.h for what follows the sums. */
#include "tw_kernels.h"
#include "tw_blocks.h"

/* Rows (or tokens) first .. last of y = finish(x w^T). */
static void part(struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int first, int last)
{
    int t = 0, end = tokens;
    if (first >= last)
        return;
    if (p->to.form & TW_BY_TOKENS)
        t = first, end = last, first = 0, last = p->rows;
    tw_product_begin(p);
    tw_blocks(p, x + t * p->cols, w, end - t, first, last, t * p->rows);
}

/* x: [tokens][cols] of i8 or u8, w: [rows] of tw_pitch(cols), y: [tokens][rows]. */
void tw_gemm_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const void *restrict mul,
                const void *restrict add, void *restrict y, int tokens, int rows, int cols, int form, int shift,
                int32_t low, int32_t high, int32_t acc_low, int32_t acc_high, int first, int last)
{
    struct tw_tile tile;
    struct tw_product p = {.rows = rows, .cols = cols, .pitch = tw_pitch(cols),
                           .to = {b, mul, add, 0, y, form, shift, low, high, acc_low, acc_high}, .tile = &tile};
    part(&p, x, w, tokens, first, last);
}

/* y = clip(r + ((x w^T * mul + half) >> shift)), 16 bits. r and y may be the same. */
void tw_gemm_add_i8(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r, const uint8_t *restrict mul,
                    int16_t *y, int tokens, int rows, int cols, int form, int shift, int64_t half, int first, int last)
{
    struct tw_tile tile;
    struct tw_product p = {.rows = rows, .cols = cols, .pitch = tw_pitch(cols),
                           .to = {0, mul, &half, r, y, form, shift, -65536, 65536, 0, 0}, .tile = &tile};
    part(&p, x, w, tokens, first, last);
}
