/* Convolutions of NHWC images. */
#include "tw_kernels.h"
#include "tw_dense.h"

enum { RUN = 64 }; /* channels read at a time where a pixel may lie outside: the length of `zeros` */

static const float zeros[RUN];

struct conv {
    const float *x, *w, *b, *r;
    float *y;
    int h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left;
    float low, high;
};

/* Whether the windows of `count` pixels from (oy, ox) lie in one row and inside of the image. */
TW_INLINE int inside(const struct conv *c, int count, int oy, int ox)
{
    int y0 = oy * c->sy - c->top, x0 = ox * c->sx - c->left, x1 = x0 + (count - 1) * c->sx;
    return ox + count <= c->ox && y0 >= 0 && y0 + (c->ky - 1) * c->dy < c->h && x0 >= 0 &&
           x1 + (c->kx - 1) * c->dx < c->width;
}

/* Sums of windows that lie inside: a row of the kernel is one run where it is not dilated. */
TW_INLINE void sum_inside(const struct conv *c, int count, int panels, tw_vec sum[TW_SUMS][TW_VECS],
                          const float *restrict w, const float *restrict origin)
{
    int apart = c->ky * c->kx * c->ci * TW_GROUP;
    int runs = c->dx == 1 ? 1 : c->kx, length = c->dx == 1 ? c->kx * c->ci : c->ci;
    for (int ky = 0; ky < c->ky; ky++)
        for (int run = 0; run < runs; run++, w += length * TW_GROUP) {
            const float *x[TW_TOGETHER];
            for (int i = 0; i < count; i++)
                x[i] = origin + ((ky * c->dy) * c->width + i * c->sx + run * c->dx) * c->ci;
            tw_outer(count, panels, sum, x, w, apart, TW_GROUP, length);
        }
}

/* Sums of any windows: position by position, zeros where it lies outside. */
TW_INLINE void sum_anywhere(const struct conv *c, int count, int panels, tw_vec sum[TW_SUMS][TW_VECS],
                            const float *restrict w, const float *restrict image, int pixel)
{
    int apart = c->ky * c->kx * c->ci * TW_GROUP, y0[TW_TOGETHER], x0[TW_TOGETHER];
    for (int i = 0; i < count; i++) {
        y0[i] = (pixel + i) / c->ox * c->sy - c->top;
        x0[i] = (pixel + i) % c->ox * c->sx - c->left;
    }
    for (int ky = 0; ky < c->ky; ky++)
        for (int kx = 0; kx < c->kx; kx++)
            for (int k = 0; k < c->ci; k += RUN) {
                const float *x[TW_TOGETHER];
                int length = c->ci - k < RUN ? c->ci - k : RUN;
                for (int i = 0; i < count; i++) {
                    int row = y0[i] + ky * c->dy, column = x0[i] + kx * c->dx;
                    int in = row >= 0 && row < c->h && column >= 0 && column < c->width;
                    x[i] = in ? image + (row * c->width + column) * c->ci + k : zeros;
                }
                tw_outer(count, panels, sum, x, w, apart, TW_GROUP, length);
                w += length * TW_GROUP;
            }
}

/* Channels r .. r + 16 * panels of `count` pixels of image n, from `pixel`, row by row. */
TW_INLINE void block(const struct conv *c, int count, int panels, int n, int pixel, int r)
{
    tw_vec sum[TW_SUMS][TW_VECS] = {0};
    const float *image = c->x + n * c->h * c->width * c->ci, *w = c->w + r * c->ky * c->kx * c->ci;
    int oy = pixel / c->ox, ox = pixel % c->ox;
    if (inside(c, count, oy, ox))
        sum_inside(c, count, panels, sum, w,
                   image + ((oy * c->sy - c->top) * c->width + ox * c->sx - c->left) * c->ci);
    else
        sum_anywhere(c, count, panels, sum, w, image, pixel);
    int at = (n * c->oy * c->ox + pixel) * c->co;
    float *y = c->y + at;
    for (int p = 0; p < panels; p++, r += TW_GROUP)
        for (int i = 0; i < count; i++)
            if (c->r != 0)
                tw_store_onto(y + i * c->co + r, c->r + at + i * c->co + r, sum[p * count + i],
                              c->b != 0 ? c->b + r : 0, tw_in_panel(c->co, r), c->low, c->high);
            else
                tw_store(y + i * c->co + r, sum[p * count + i], c->b != 0 ? c->b + r : 0, tw_in_panel(c->co, r), c->low,
                     c->high);
}

static void all(const struct conv *c, int n)
{
    int pixels = c->oy * c->ox;
    for (int image = 0; image < n; image++)
        for (int r = 0; r < c->co; r += TW_GROUP) {
            int at = 0;
            for (; at + TW_TOGETHER <= pixels; at += TW_TOGETHER)
                block(c, TW_TOGETHER, 1, image, at, r);
            for (; at + 4 <= pixels; at += 4)
                block(c, 4, 1, image, at, r);
            for (; at < pixels; at++)
                block(c, 1, 1, image, at, r);
        }
}

/* y = clip(conv(x, w) + b, low, high). x: [n][h][width][ci], w: packed [co / 16][ky][kx][ci][16], b: [co] or null,
 * y: [n][oy][ox][co]. */
void tw_conv2d_f32(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y, int n,
                   int h, int width, int ci, int oy, int ox, int co, int ky, int kx, int sy, int sx, int dy, int dx,
                   int top, int left, float low, float high)
{
    const struct conv c = {x, w, b, 0, y, h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, low, high};
    all(&c, n);
}

/* The same with r added before the clip; r: [n][oy][ox][co], y may be r. */
void tw_conv2d_residual_f32(const float *restrict x, const float *restrict w, const float *restrict b, const float *r,
                            float *y, int n, int h, int width, int ci, int oy, int ox, int co, int ky, int kx, int sy,
                            int sx, int dy, int dx, int top, int left, float low, float high)
{
    const struct conv c = {x, w, b, r, y, h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, low, high};
    all(&c, n);
}
