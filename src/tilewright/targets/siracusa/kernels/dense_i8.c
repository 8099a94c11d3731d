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

/* y = clip((x w^T * mul + add) >> shift) as bytes, all within 32 bits: what networks mostly have, on a short way.
 * tokens, rows, first and last are multiples of four, cols is more than four; mul_step: elements from one row's to the
 * next. */
TW_HOT void tw_gemm_bytes(const int8_t *restrict x, const int8_t *restrict w, const int32_t *restrict mul,
                          const int32_t *restrict add, int8_t *restrict y, int tokens, int rows, int cols, int mul_step,
                          int shift, int by_tokens, int first, int last)
{
    int pitch = tw_pitch(cols), token = 0;
    if (first >= last)
        return;
    if (by_tokens)
        token = first, tokens = last - first, first = 0, last = rows;
#ifdef __riscv
    struct tw_tile t;
    t.add[0] = *add, t.shift = shift, t.y_step = rows;
    t.columns = (struct tw_columns){
        TW_WORDS(cols), (char *)y + token * rows + first, 4 * (cols - TW_WORDS(cols)), x + token * cols, tokens / 4,
        (last - first) / 4, 4 - tokens * rows, mul + first * mul_step, 4 * mul_step, -1, add, 0, -4 * TW_WORDS(cols),
        mul_step,
    };
    tw_fours_bytes(&t, w + first * pitch, pitch, cols);
#else
    for (int i = token; i < token + tokens; i++)
        for (int c = first; c < last; c++)
            y[i * rows + c] = (int8_t)tw_pclip(
                tw_pmac(*add, tw_dot_row(0, w + c * pitch, x + i * cols, cols, 1), mul[c * mul_step]) >> shift, 8);
#endif
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
