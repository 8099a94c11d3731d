/* 8-bit convolutions of NHWC images, weights packed as for tw_linear_i8 with depth ky * kx * ci. */
#include "tw_kernels.h"
#include "tw_integer.h"

struct conv {
    const int8_t *x, *w;
    int h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, pad, x_signed;
};

static void fill(int16_t *restrict y, int16_t value, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = value;
}

/* The window of one pixel as a column of ky * kx * ci 16-bit numbers. */
static void gather(const struct conv *c, int16_t *restrict column, const int8_t *restrict image, int pixel)
{
    int y0 = pixel / c->ox * c->sy - c->top, x0 = pixel % c->ox * c->sx - c->left;
    int whole = x0 >= 0 && x0 + c->kx <= c->width && c->dx == 1;
    for (int ky = 0; ky < c->ky; ky++) {
        int row = y0 + ky * c->dy, length = c->kx * c->ci;
        if (row < 0 || row >= c->h)
            fill(column, (int16_t)c->pad, length);
        else if (whole)
            tw_to_16(column, image + (row * c->width + x0) * c->ci, length, c->x_signed);
        else
            for (int kx = 0; kx < c->kx; kx++) {
                int at = x0 + kx * c->dx;
                if (at < 0 || at >= c->width)
                    fill(column + kx * c->ci, (int16_t)c->pad, c->ci);
                else
                    tw_to_16(column + kx * c->ci, image + (row * c->width + at) * c->ci, c->ci, c->x_signed);
            }
        column += length;
    }
}

/* All channels of `count` pixels of image n from `pixel`; `columns` has room for their windows. */
TW_INLINE void block(const struct conv *c, const struct tw_finish *f, const struct tw_join *j, int count,
                     int16_t *columns, int n, int pixel)
{
    int taps = c->ky * c->kx * c->ci, depth = taps + taps % 2;
    for (int i = 0; i < count; i++) {
        columns[i * depth + depth - 1] = 0;
        gather(c, columns + i * depth, c->x + n * c->h * c->width * c->ci, pixel + i);
    }
    for (int r = 0; r < c->co; r += TW_GROUP) {
        tw_ivec sum[TW_SUMS][TW_VECS] = {0};
        tw_dot(count, 1, sum, columns, c->w + r * depth, depth);
        struct tw_scales scales = tw_scales(f, r, tw_in_panel(c->co, r));
        int at = (n * c->oy * c->ox + pixel) * c->co + r;
        if (j != 0)
            tw_finish_onto(f, &scales, j, sum, count, at, c->co);
        else
            tw_finish(f, &scales, sum, count, at, c->co);
    }
}

static void all(const struct conv *c, const struct tw_finish *f, const struct tw_join *j, int16_t *scratch, int n)
{
    for (int image = 0; image < n; image++) {
        int at = 0;
        for (; at + TW_TOGETHER <= c->oy * c->ox; at += TW_TOGETHER)
            block(c, f, j, TW_TOGETHER, scratch, image, at);
        for (; at < c->oy * c->ox; at++)
            block(c, f, j, 1, scratch, image, at);
    }
}

/* y = finish(conv(x, w)). x: [n][h][width][ci] of i8 or u8, `pad` outside; y: [n][oy][ox][co]; see struct tw_finish
 * for the rest. scratch: 8 windows of 16-bit numbers, each of even length. */
void tw_conv2d_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                  const int32_t *restrict mul, const void *restrict add, void *restrict y, int16_t *restrict scratch,
                  int n, int h, int width, int ci, int oy, int ox, int co, int ky, int kx, int sy, int sx, int dy,
                  int dx, int top, int left, int pad, int x_signed, int mul_step, int add_bytes, int add_step,
                  int shift, int low, int high, int y_bytes)
{
    const struct conv c = {x, w, h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, pad, x_signed};
    const struct tw_finish f = {b, mul, add, y, mul_step, add_bytes, add_step, shift, low, high, y_bytes};
    all(&c, &f, 0, scratch, n);
}

/* The same for results of bytes, which the residual r joins as struct tw_join says; r: [n][oy][ox][co], y may be r. */
void tw_conv2d_residual_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict mul,
                           const void *restrict add, const void *r, void *y, int16_t *restrict scratch, int n, int h,
                           int width, int ci, int oy, int ox, int co, int ky, int kx, int sy, int sx, int dy, int dx,
                           int top, int left, int pad, int x_signed, int mul_step, int add_bytes, int add_step,
                           int shift, int low, int high, int r_signed, int mul_y, int mul_r, int64_t join_add,
                           int join_shift, int join_low, int join_high)
{
    const struct conv c = {x, w, h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, pad, x_signed};
    const struct tw_finish f = {0, mul, add, y, mul_step, add_bytes, add_step, shift, low, high, 1};
    const struct tw_join j = {r, join_add, r_signed, mul_y, mul_r, join_shift, join_low, join_high};
    all(&c, &f, &j, scratch, n);
}
