/* Products of several rows of bytes (tokens) with rows of weights, for the chip. A core computes some rows of weights for
 * all tokens, or all of them for some tokens; see tw_gemm.h for the layout and tw_results.h for what follows the sums. */
#include "tw_kernels.h"
#include "tw_results.h"
#include "tw_tiles.h"

struct product {
    const int8_t *x, *w;
    int rows, cols, pitch;
    struct tw_results to;
};

/* Rows r .. r + count of weights times tokens t .. end. */
static void sums(const struct product *p, int t, int end, int r, int count)
{
    const int8_t *w = p->w + r * p->pitch;
    for (; t < end; t += 2) {
        const int8_t *x = p->x + t * p->cols, *z = t + 1 < end ? x + p->cols : x;
        int32_t s[8] = {0};
        if (p->to.form & TW_X_SIGNED)
            tw_dots_4x2_i8(s, w, p->pitch, count, x, z, p->cols);
        else
            tw_dots_4x2_u8(s, w, p->pitch, count, x, z, p->cols);
        tw_finish_row(&p->to, s, r, t * p->rows + r, count);
        if (z != x)
            tw_finish_row(&p->to, s + 4, r, (t + 1) * p->rows + r, count);
    }
}

#ifdef __riscv
/* Whether tw_tiles.h knows how to finish. */
static int tiled(const struct tw_results *f)
{
    int mode = tw_mode_of(f), plain = f->b == 0 && f->r == 0 && tw_bytes_per_result(f) == 1;
    return plain && (mode == TW_WIDE ? f->shift >= 32 : mode != TW_SUMS);
}

static void column(const struct tw_tile *c, const struct product *p, const int8_t *x, const int8_t *z, int at, int r,
                   int pairs)
{
    const int8_t *w = p->w + r * p->pitch;
    int8_t *y = (int8_t *)p->to.y + at;
    int mode = tw_mode_of(&p->to), is_signed = p->to.form & TW_X_SIGNED;
    if (mode == TW_WIDE)
        (is_signed ? tw_tiles_wide_i8 : tw_tiles_wide_u8)(c, w, p->pitch, x, z, p->cols, y, pairs);
    else if (mode == TW_BOUNDED)
        (is_signed ? tw_tiles_bounded_i8 : tw_tiles_bounded_u8)(c, w, p->pitch, x, z, p->cols, y, pairs);
    else
        (is_signed ? tw_tiles_i8 : tw_tiles_u8)(c, w, p->pitch, x, z, p->cols, y, pairs);
}

/* Rows r .. r + 4 of weights times tokens t .. end. The last of an odd number is computed twice. */
static void tiles(const struct product *p, int t, int end, int r)
{
    const struct tw_results *f = &p->to;
    const int8_t *x = p->x + t * p->cols;
    int pairs = (end - t) / 2, words = TW_WORDS(p->cols);
    struct tw_tile c = {.low = f->low, .high = f->high, .acc_low = f->acc_low, .acc_high = f->acc_high,
                        .shift = f->shift & 31, .x_step = 2 * p->cols - 4 * words, .y_step = p->rows};
    for (int i = 0; i < 4; i++) {
        int64_t add = tw_add_of(f, r + i);
        c.mul[i] = tw_mul_of(f, r + i);
        c.add[i] = (int32_t)add;
        c.add_high[i] = (int32_t)(add >> 32);
    }
    if (pairs > 0)
        column(&c, p, x, x + p->cols, t * p->rows + r, r, pairs);
    if (t + 2 * pairs < end) {
        x += 2 * pairs * p->cols;
        c.y_step = 0;
        column(&c, p, x, x, (end - 1) * p->rows + r, r, 1);
    }
}
#endif

/* Rows (or tokens) first .. last of y = finish(x w^T). */
static void part(const struct product *p, int tokens, int first, int last)
{
    int t = 0, end = tokens;
    if (first >= last)
        return;
    if (p->to.form & TW_BY_TOKENS)
        t = first, end = last, first = 0, last = p->rows;
#ifdef __riscv
    if (tiled(&p->to))
        for (; last - first >= 4; first += 4)
            tiles(p, t, end, first);
#endif
    for (; first < last; first += 4)
        sums(p, t, end, first, last - first < 4 ? last - first : 4);
}

/* x: [tokens][cols] of i8 or u8, w: [rows] of tw_pitch(cols), y: [tokens][rows]. */
void tw_gemm_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const void *restrict mul,
                const void *restrict add, void *restrict y, int tokens, int rows, int cols, int form, int shift,
                int32_t low, int32_t high, int32_t acc_low, int32_t acc_high, int first, int last)
{
    struct product p = {x, w, rows, cols, tw_pitch(cols),
                        {b, mul, add, 0, y, form, shift, low, high, acc_low, acc_high}};
    part(&p, tokens, first, last);
}

/* y = clip(r + ((x w^T * mul + half) >> shift)), 16 bits. r and y may be the same. */
void tw_gemm_add_i8(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r, const uint8_t *restrict mul,
                    int16_t *y, int tokens, int rows, int cols, int form, int shift, int64_t half, int first, int last)
{
    struct product p = {x, w, rows, cols, tw_pitch(cols), {0, mul, &half, r, y, form, shift, -65536, 65536, 0, 0}};
    part(&p, tokens, first, last);
}
