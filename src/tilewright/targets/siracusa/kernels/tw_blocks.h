/* Four rows of weights, or fewer, times many rows of inputs (tokens), with what follows the sums. */
#ifndef TW_BLOCKS_H
#define TW_BLOCKS_H

#include "tw_results.h"
#include "tw_tiles.h"

/* x: rows of `cols` bytes; weights: rows of `pitch` bytes; results: rows of `rows` elements, see tw_results.h. */
struct tw_product {
    int rows, cols, pitch;
    struct tw_results to;
};

/* Sums in registers, then through memory: for all that tiles cannot finish. */
static void tw_block_by_sums(const struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int channel,
                             int at, int count)
{
    for (; tokens > 0; tokens -= 2, x += 2 * p->cols, at += 2 * p->rows) {
        const int8_t *z = tokens > 1 ? x + p->cols : x;
        int32_t s[8] = {0};
        if (p->to.form & TW_X_SIGNED)
            tw_dots_4x2_i8(s, w, p->pitch, count, x, z, p->cols);
        else
            tw_dots_4x2_u8(s, w, p->pitch, count, x, z, p->cols);
        tw_finish_row(&p->to, s, channel, at, count);
        if (tokens > 1)
            tw_finish_row(&p->to, s + 4, channel, at + p->rows, count);
    }
}

#ifdef __riscv
/* Whether tw_tiles.h knows how to finish. */
TW_X int tw_tiled(const struct tw_results *f)
{
    int mode = tw_mode_of(f), plain = f->b == 0 && f->r == 0 && tw_bytes_per_result(f) == 1;
    return plain && (mode == TW_WIDE ? f->shift >= 32 : mode != TW_SUMS);
}

TW_X void tw_column(const struct tw_tile *c, const struct tw_product *p, const int8_t *x, const int8_t *z,
                    const int8_t *w, int at, int pairs)
{
    int8_t *y = (int8_t *)p->to.y + at;
    int mode = tw_mode_of(&p->to), is_signed = p->to.form & TW_X_SIGNED;
    if (mode == TW_WIDE)
        (is_signed ? tw_tiles_wide_i8 : tw_tiles_wide_u8)(c, w, p->pitch, x, z, p->cols, y, pairs);
    else if (mode == TW_BOUNDED)
        (is_signed ? tw_tiles_bounded_i8 : tw_tiles_bounded_u8)(c, w, p->pitch, x, z, p->cols, y, pairs);
    else
        (is_signed ? tw_tiles_i8 : tw_tiles_u8)(c, w, p->pitch, x, z, p->cols, y, pairs);
}

/* Four rows of weights in tiles. The last token of an odd number is computed twice. */
static void tw_block_by_tiles(const struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int channel,
                              int at)
{
    const struct tw_results *f = &p->to;
    int pairs = tokens / 2;
    struct tw_tile c = {.low = f->low, .high = f->high, .acc_low = f->acc_low, .acc_high = f->acc_high,
                        .shift = f->shift & 31, .x_step = 2 * p->cols - 4 * TW_WORDS(p->cols), .y_step = p->rows};
    for (int i = 0; i < 4; i++) {
        int64_t add = tw_add_of(f, channel + i);
        c.mul[i] = tw_mul_of(f, channel + i);
        c.add[i] = (int32_t)add;
        c.add_high[i] = (int32_t)(add >> 32);
    }
    if (pairs > 0)
        tw_column(&c, p, x, x + p->cols, w, at, pairs);
    if (tokens % 2 != 0) {
        x += (tokens - 1) * p->cols;
        c.y_step = 0;
        tw_column(&c, p, x, x, w, at + (tokens - 1) * p->rows, 1);
    }
}
#endif

/* Results of channels channel .. channel + count (at most 4) for `tokens` rows of x, the first of them at y[at]. */
TW_X void tw_block(const struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int channel, int at,
                   int count)
{
#ifdef __riscv
    if (count == 4 && tw_tiled(&p->to)) {
        tw_block_by_tiles(p, x, w, tokens, channel, at);
        return;
    }
#endif
    tw_block_by_sums(p, x, w, tokens, channel, at, count);
}

#endif
