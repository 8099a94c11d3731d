/* Four rows of weights, or fewer, times many rows of inputs (tokens), with what follows the sums. */
#ifndef TW_BLOCKS_H
#define TW_BLOCKS_H

#include "tw_results.h"
#include "tw_tiles_4x4.h"

/* x: rows of `cols` bytes; weights: rows of `pitch` bytes; results: rows of `rows` elements, see tw_results.h. */
struct tw_product {
    int rows, cols, pitch;
    struct tw_results to;
};

/* What all tiles have in common. */
TW_X void tw_tile_begin(struct tw_tile *c, const struct tw_product *p)
{
    const struct tw_results *f = &p->to;
    c->low = f->low, c->high = f->high, c->acc_low = f->acc_low, c->acc_high = f->acc_high, c->shift = f->shift & 31;
    c->x_step = 2 * p->cols - 4 * TW_WORDS(p->cols), c->y_step = p->rows * tw_bytes_per_result(f);
}

/* The numbers of channels channel .. channel + count; the last one again up to four. */
TW_X void tw_tile_channels(struct tw_tile *c, const struct tw_product *p, int channel, int count)
{
    const struct tw_results *f = &p->to;
    int mul_step = tw_mul_step(f), add_step = tw_add_step(f), mode = tw_mode_of(f);
    const char *mul = (const char *)f->mul + channel * mul_step, *add = (const char *)f->add + channel * add_step;
    if (mode == TW_SUMS)
        return;
    int is_u8 = f->form & TW_MUL_U8, is_i64 = f->form & TW_ADD_I64;
    if (count == 4 && !is_u8 && mode != TW_WIDE) {
        const int32_t *m = (const int32_t *)(const void *)mul, *a = (const int32_t *)(const void *)add;
        int m_step = mul_step >> 2, a_step = add_step >> 2;
        c->mul[0] = m[0], c->mul[1] = m[m_step], c->mul[2] = m[2 * m_step], c->mul[3] = m[3 * m_step];
        c->add[0] = a[0], c->add[1] = a[a_step], c->add[2] = a[2 * a_step], c->add[3] = a[3 * a_step];
        return;
    }
#pragma clang loop unroll(disable)
    for (int i = 0; i < 4; i++) {
        const int32_t *halves = (const int32_t *)(const void *)add;
        c->mul[i] = is_u8 ? *(const uint8_t *)mul : *(const int32_t *)(const void *)mul;
        c->add[i] = halves[0];
        if (mode == TW_WIDE)
            c->add_high[i] = is_i64 ? halves[1] : halves[0] >> 31;
        if (i + 1 < count)
            mul += mul_step, add += add_step;
    }
}

/* What the tiles of channels channel .. channel + count have in common; the last one again up to four. */
TW_X void tw_tile_of(struct tw_tile *c, const struct tw_product *p, int channel, int count)
{
    tw_tile_begin(c, p);
    tw_tile_channels(c, p, channel, count);
}

/* Four narrow sums to `count` results. */
TW_X void tw_finish_four(const struct tw_results *f, const struct tw_tile *c, int32_t *s, int at, int count)
{
    if (tw_mode_of(f) == TW_BOUNDED)
        for (int i = 0; i < 4; i++)
            s[i] = tw_between(s[i], c->acc_low, c->acc_high);
    for (int i = 0; i < 4; i++)
        s[i] = tw_between(tw_pmac(c->add[i], s[i], c->mul[i]) >> c->shift, c->low, c->high);
    for (int i = 0; i < count && f->r != 0; i++)
        s[i] = tw_pclip(s[i] + f->r[at + i], 16);
    tw_store_results(f, s, at, count);
}

/* Sums in registers, then through memory: for all that tiles cannot finish. */
static void tw_block_by_sums(const struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int channel,
                             int at, int count)
{
    const struct tw_results *f = &p->to;
    int mode = tw_mode_of(f), direct = f->b == 0 && mode != TW_WIDE;
    struct tw_tile c;
    if (mode != TW_SUMS)
        tw_tile_of(&c, p, channel, count);
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
                tw_finish_four(f, &c, s + 4 * i, at + i * p->rows, count);
    }
}

#ifdef __riscv
typedef void tw_fours(struct tw_tile *t, const int8_t *w, int pitch, int cols);
typedef void tw_pairs(const struct tw_tile *t, const int8_t *w, int pitch, const void *x, const void *z, int cols,
                      void *y, int pairs);
struct tw_tiles {
    tw_fours *fours; /* of rows of inputs; null where no tiles finish so */
    tw_pairs *pairs;
};

/* The tiles that finish so. */
TW_X struct tw_tiles tw_tiles_for(const struct tw_results *f)
{
    int mode = tw_mode_of(f), bytes = tw_bytes_per_result(f), is_signed = f->form & TW_X_SIGNED;
#define TW_SIGNED(name) is_signed ? (struct tw_tiles){tw_fours_##name##i8, tw_tiles_##name##i8} : (struct tw_tiles){tw_fours_##name##u8, tw_tiles_##name##u8}
    if (f->b != 0)
        return (struct tw_tiles){0, 0};
    if (mode == TW_SUMS)
        return TW_SIGNED(sums_);
    if (bytes == 2 && mode == TW_NARROW && is_signed)
        return f->r != 0 ? (struct tw_tiles){tw_fours_join_i8, tw_tiles_join_i8}
                         : (struct tw_tiles){tw_fours_halves_i8, tw_tiles_halves_i8};
    if (bytes != 1 || (mode == TW_WIDE && f->shift < 32))
        return (struct tw_tiles){0, 0};
    if (mode == TW_WIDE)
        return TW_SIGNED(wide_);
    if (mode == TW_BOUNDED)
        return TW_SIGNED(bounded_);
    if (f->low != -f->high - 1)
        return is_signed ? (struct tw_tiles){tw_fours_between_i8, tw_tiles_i8}
                         : (struct tw_tiles){tw_fours_between_u8, tw_tiles_u8};
    return TW_SIGNED();
#undef TW_SIGNED
}

/* `blocks` times four rows of weights, `fours` times four tokens. */
static void tw_columns(const struct tw_product *p, struct tw_tile *c, tw_fours *tiles, const int8_t *x, const int8_t *w,
                       int fours, int blocks, int channel, int at)
{
    const struct tw_results *f = &p->to;
    int bytes = tw_bytes_per_result(f), mul_step = tw_mul_step(f), add_step = tw_add_step(f), words = TW_WORDS(p->cols);
    int together = tw_mode_of(f) == TW_WIDE ? 1 : blocks; /* 64 bits are split outside of the tiles */
    for (int done = 0; done < blocks; done += together, channel += 4 * together, w += 4 * together * p->pitch) {
        c->columns = (struct tw_columns){
            words - 1, (char *)f->y + (at + 4 * done) * bytes, 4 * (p->cols - words), x, fours, together,
            (4 - 4 * fours * p->rows) * bytes, (const char *)f->mul + channel * mul_step, mul_step,
            f->form & TW_MUL_U8 ? 255 : -1, (const char *)f->add + channel * add_step, add_step, -4 * words,
            mul_step | add_step,
        };
        if (together < blocks || tw_mode_of(f) == TW_WIDE)
            tw_tile_channels(c, p, channel, 4);
        tiles(c, w, p->pitch, p->cols);
    }
}

/* Four rows of weights, a few tokens, in tiles. The last token of an odd number is computed twice; not in place,
 * where it would join its residual twice. */
static void tw_block_by_pairs(const struct tw_product *p, struct tw_tile *c, tw_pairs *tiles, const int8_t *x,
                              const int8_t *w, int tokens, int channel, int at)
{
    int bytes = tw_bytes_per_result(&p->to), pairs = tokens / 2;
    tw_tile_channels(c, p, channel, 4);
    if (pairs > 0)
        tiles(c, w, p->pitch, x, x + p->cols, p->cols, (char *)p->to.y + at * bytes, pairs);
    if (tokens % 2 == 0)
        return;
    x += (tokens - 1) * p->cols, at += (tokens - 1) * p->rows;
    if (p->to.r != 0) {
        tw_block_by_sums(p, x, w, 1, channel, at, 4);
        return;
    }
    int y_step = c->y_step;
    c->y_step = 0;
    tiles(c, w, p->pitch, x, x, p->cols, (char *)p->to.y + at * bytes, 1);
    c->y_step = y_step;
}
#endif

/* Results of channels first .. last for `tokens` rows of x; that of channel c for the first of them at y[at + c]. */
TW_X void tw_blocks(const struct tw_product *p, const int8_t *x, const int8_t *w, int tokens, int first, int last,
                    int at)
{
    w += first * p->pitch;
#ifdef __riscv
    struct tw_tiles tiles = tw_tiles_for(&p->to);
    if (tiles.fours != 0) {
        int fours = p->cols > 4 ? tokens / 4 : 0, blocks = (last - first) / 4, stop = first + 4 * blocks;
        struct tw_tile c;
        tw_tile_begin(&c, p);
        c.r_step = (int32_t)((const char *)p->to.r - (const char *)p->to.y);
        if (fours > 0 && blocks > 0)
            tw_columns(p, &c, tiles.fours, x, w, fours, blocks, first, at + first);
        if (tokens == 4 * fours)
            w += 4 * blocks * p->pitch, first = stop;
        for (int done = 4 * fours; first < stop; first += 4, w += 4 * p->pitch)
            tw_block_by_pairs(p, &c, tiles.pairs, x + done * p->cols, w, tokens - done, first,
                              at + first + done * p->rows);
    }
#endif
    for (; first < last; first += 4, w += 4 * p->pitch)
        tw_block_by_sums(p, x, w, tokens, first, at + first, last - first < 4 ? last - first : 4);
}

#endif
