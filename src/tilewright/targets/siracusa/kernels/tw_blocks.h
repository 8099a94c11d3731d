/* Rows of weights, four at a time, times many rows of inputs (tokens), with what follows the sums. */
#ifndef TW_BLOCKS_H
#define TW_BLOCKS_H

#include "tw_results.h"
#include "tw_tiles_4x4.h"

typedef void tw_tiles(struct tw_tile *t, const int8_t *w, int pitch, int cols);

/* x: rows of `cols` bytes; weights: rows of `pitch` bytes; results: rows of `rows` elements, see tw_results.h.
 * tw_product_begin sets what all tiles have in common, and the tiles of four and of two rows of inputs: null where none
 * finish so. */
struct tw_product {
    int rows, cols, pitch;
    struct tw_results to;
    struct tw_tile *tile;
    tw_tiles *fours, *pairs;
};

/* The numbers of channels channel .. channel + count; the last one again up to four. */
TW_X void tw_tile_channels(struct tw_product *p, int channel, int count)
{
    const struct tw_results *f = &p->to;
    int mul_step = tw_mul_step(f), add_step = tw_add_step(f), mode = tw_mode_of(f);
    const char *mul = (const char *)f->mul + channel * mul_step, *add = (const char *)f->add + channel * add_step;
    if (mode == TW_SUMS)
        return;
#pragma clang loop unroll(disable)
    for (int i = 0; i < 4; i++) {
        const int32_t *halves = (const int32_t *)(const void *)add;
        p->tile->mul[i] = f->form & TW_MUL_U8 ? *(const uint8_t *)mul : *(const int32_t *)(const void *)mul;
        p->tile->add[i] = halves[0];
        if (mode == TW_WIDE)
            p->tile->add_high[i] = f->form & TW_ADD_I64 ? halves[1] : halves[0] >> 31;
        if (i + 1 < count)
            mul += mul_step, add += add_step;
    }
}

/* Four narrow sums to `count` results. */
TW_X void tw_finish_four(const struct tw_product *p, int32_t *s, int at, int count)
{
    const struct tw_results *f = &p->to;
    const struct tw_tile *c = p->tile;
    if (tw_mode_of(f) == TW_BOUNDED)
        for (int i = 0; i < 4; i++)
            s[i] = tw_between(s[i], f->acc_low, f->acc_high);
    for (int i = 0; i < 4; i++)
        s[i] = tw_between(tw_pmac(c->add[i], s[i], c->mul[i]) >> (f->shift & 31), f->low, f->high);
    for (int i = 0; i < count && f->r != 0; i++)
        s[i] = tw_pclip(s[i] + f->r[at + i], 16);
    tw_store_results(f, s, at, count);
}

/* Sums in registers, then through memory: for all that tiles cannot finish. */
static void tw_block_by_sums(struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int channel, int at,
                             int count)
{
    const struct tw_results *f = &p->to;
    int mode = tw_mode_of(f), direct = f->b == 0 && mode != TW_WIDE;
    tw_tile_channels(p, channel, count);
    for (; tokens > 0; tokens -= 2, x += 2 * p->cols, at += 2 * p->rows) {
        const int8_t *z = tokens > 1 ? x + p->cols : x;
        int32_t s[8] = {0};
        if (f->form & TW_X_SIGNED)
            tw_dots_4x2_i8(s, w, p->pitch, count, x, z, p->cols);
        else
            tw_dots_4x2_u8(s, w, p->pitch, count, x, z, p->cols);
        for (int i = 0; i < (tokens > 1 ? 2 : 1); i++)
            if (!direct)
                tw_finish_row(f, s + 4 * i, channel, at + i * p->rows, count);
            else if (mode == TW_SUMS)
                tw_store_results(f, s + 4 * i, at + i * p->rows, count);
            else
                tw_finish_four(p, s + 4 * i, at + i * p->rows, count);
    }
}

#ifdef __riscv
/* The tiles that finish so. */
TW_X void tw_tiles_for(struct tw_product *p)
{
    const struct tw_results *f = &p->to;
    int mode = tw_mode_of(f), bytes = tw_bytes_per_result(f), is_signed = f->form & TW_X_SIGNED;
    int is_symmetric = f->low == -f->high - 1;
    p->fours = p->pairs = 0;
#define TW_SIGNED(fours_name, pairs_name)                                                                              \
    p->fours = is_signed ? tw_fours_##fours_name##i8 : tw_fours_##fours_name##u8,                                      \
    p->pairs = is_signed ? tw_tiles_##pairs_name##i8 : tw_tiles_##pairs_name##u8
    if (f->b != 0)
        return;
    if (mode == TW_SUMS)
        TW_SIGNED(sums_, sums_);
    else if (f->r != 0 && mode == TW_NARROW && f->shift > 0) /* then residuals are added within 32 bits */
        p->fours = tw_fours_join_i8, p->pairs = tw_tiles_join_i8;
    else if (f->r == 0 && bytes == 2 && mode == TW_NARROW && is_signed)
        p->fours = is_symmetric ? tw_fours_halves_i8 : tw_fours_halves_between_i8, p->pairs = tw_tiles_halves_i8;
    else if (bytes != 1 || (mode == TW_WIDE && f->shift < 32))
        return;
    else if (mode == TW_WIDE)
        TW_SIGNED(wide_, wide_);
    else if (mode == TW_BOUNDED)
        TW_SIGNED(bounded_, bounded_);
    else if (is_symmetric)
        TW_SIGNED(, );
    else
        TW_SIGNED(between_, );
#undef TW_SIGNED
}

/* `blocks` times four rows of weights by `count` times four rows of inputs, or times two, or by one (`alone`), which is
 * computed twice. */
static void tw_columns(struct tw_product *p, tw_tiles *tiles, const int8_t *x, const int8_t *w, int rows, int count,
                       int alone, int blocks, int channel, int at)
{
    const struct tw_results *f = &p->to;
    int bytes = tw_bytes_per_result(f), mul_step = tw_mul_step(f), add_step = tw_add_step(f), words = TW_WORDS(p->cols);
    int is_wide = tw_mode_of(f) == TW_WIDE, together = is_wide ? 1 : blocks; /* 64 bits are split outside of the tiles */
    p->tile->y_step = alone ? 0 : p->rows * bytes, p->tile->z_step = alone ? 0 : p->cols;
    for (int done = 0; done < blocks; done += together, channel += 4 * together, w += 4 * together * p->pitch) {
        p->tile->columns = (struct tw_columns){
            words, (char *)f->y + (at + 4 * done) * bytes, rows * p->cols - 4 * words, x, count, together,
            (4 - (rows > 2 ? rows * count * p->rows : 0)) * bytes, (const char *)f->mul + channel * mul_step, mul_step,
            f->form & TW_MUL_U8 ? 255 : -1, (const char *)f->add + channel * add_step, add_step, -4 * words,
            mul_step | add_step,
        };
        if (is_wide)
            tw_tile_channels(p, channel, 4);
        tiles(p->tile, w, p->pitch, p->cols);
    }
}
#endif

/* Once, before any blocks of a product. */
TW_X void tw_product_begin(struct tw_product *p)
{
#ifdef __riscv
    const struct tw_results *f = &p->to;
    struct tw_tile *c = p->tile;
    tw_tiles_for(p);
    c->low = f->low, c->high = f->high, c->acc_low = f->acc_low, c->acc_high = f->acc_high, c->shift = f->shift & 31;
    c->r_step = (int32_t)((const char *)f->r - (const char *)f->y);
#else
    p->fours = p->pairs = 0;
#endif
}

/* Results of channels first .. last for `tokens` rows of x; that of channel c for the first of them at y[at + c]. */
TW_X void tw_blocks(struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int first, int last, int at)
{
    w += first * p->pitch;
#ifdef __riscv
    int blocks = p->fours != 0 ? (last - first) / 4 : 0;
    if (blocks > 0) {
        int few = p->cols <= 4 || (tokens > 4 && tokens < 8 && p->cols < 300); /* pairs alone: less code */
        int fours = few ? 0 : tokens / 4, pairs = tokens / 2 - 2 * fours, done = 4 * fours;
        if (fours > 0)
            tw_columns(p, p->fours, x, w, 4, fours, 0, blocks, first, at + first);
        if (pairs > 0)
            tw_columns(p, p->pairs, x + done * p->cols, w, 2, pairs, 0, blocks, first, at + first + done * p->rows);
        done += 2 * pairs;
        if (done < tokens)
            tw_columns(p, p->pairs, x + done * p->cols, w, 2, 1, 1, blocks, first, at + first + done * p->rows);
        first += 4 * blocks, w += 4 * blocks * p->pitch;
    }
#endif
    for (; first < last; first += 4, w += 4 * p->pitch)
        tw_block_by_sums(p, x, w, tokens, first, at + first, last - first < 4 ? last - first : 4);
}

#endif
