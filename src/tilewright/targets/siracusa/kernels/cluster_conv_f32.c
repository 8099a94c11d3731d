/* fp32 convolutions of NHWC images on the cluster: 4 channels of 2 pixels at a time, one fused multiply-add each. */
#include "tw_kernels.h"
#include "tw_sums.h"

enum { RUN = 32 }; /* channels read at a time where a pixel may lie outside: the length of `zeros` */

static const float zeros[RUN];

struct conv {
    const float *x, *w, *b, *r;
    float *y;
    int h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left;
    float low, high;
};

/* Where the window of a pixel begins: its image, row and column. */
struct corner {
    const float *image;
    int row, column;
};

static struct corner corner(const struct conv *c, int pixel)
{
    int row = pixel / c->ox, image = row / c->oy;
    struct corner at = {c->x + image * c->h * c->width * c->ci, (row - image * c->oy) * c->sy - c->top,
                        (pixel - row * c->ox) * c->sx - c->left};
    return at;
}

/* `length` channels from k of the element (row, column), zeros outside of the image. */
TW_X const float *element(const struct conv *c, struct corner at, int row, int column, int k)
{
    int y = at.row + row, x = at.column + column;
    return y >= 0 && y < c->h && x >= 0 && x < c->width ? at.image + (y * c->width + x) * c->ci + k : zeros;
}

static void store(const struct conv *c, const float sum[4], int pixel, int r)
{
    for (int i = 0; i < 4 && r + i < c->co; i++) {
        int at = pixel * c->co + r + i;
        float value = sum[i] + (c->b != 0 ? c->b[r + i] : 0.0f) + (c->r != 0 ? c->r[at] : 0.0f);
        value = value < c->low ? c->low : value;
        c->y[at] = value > c->high ? c->high : value;
    }
}

/* Channels r .. r + 4 of two pixels, which may be the same. */
static void block(const struct conv *c, const struct corner at[2], int pixel, int count, int r)
{
    const float *restrict w = c->w + r * c->ky * c->kx * c->ci;
    float a[4] = {0}, b[4] = {0};
    for (int ky = 0; ky < c->ky; ky++)
        for (int kx = 0; kx < c->kx; kx++)
            for (int k = 0; k < c->ci; k += RUN) {
                int length = tw_pmin(c->ci - k, RUN);
                const float *restrict p = element(c, at[0], ky * c->dy, kx * c->dx, k);
                const float *restrict q = element(c, at[1], ky * c->dy, kx * c->dx, k);
                for (int i = 0; i < length; i++, w += 4)
                    for (int lane = 0; lane < 4; lane++) {
                        a[lane] = __builtin_fmaf(w[lane], p[i], a[lane]);
                        b[lane] = __builtin_fmaf(w[lane], q[i], b[lane]);
                    }
            }
    store(c, a, pixel, r);
    if (count == 2)
        store(c, b, pixel + 1, r);
}

static void all(const struct conv *c, int first, int last)
{
    for (int pixel = first; pixel < last; pixel += 2) {
        int count = tw_pmin(last - pixel, 2);
        struct corner at[2] = {corner(c, pixel), corner(c, pixel + count - 1)};
        for (int r = 0; r < c->co; r += 4)
            block(c, at, pixel, count, r);
    }
}

/* y = clip(conv(x, w) + b, low, high). x: [n][h][width][ci], w: packed [co / 4][ky][kx][ci][4], b: [co] or null,
 * y: [n][oy][ox][co], of which a core computes the pixels first .. last. */
void tw_cluster_conv2d_f32(const float *restrict x, const float *restrict w, const float *restrict b,
                           float *restrict y, int n, int h, int width, int ci, int oy, int ox, int co, int ky, int kx,
                           int sy, int sx, int dy, int dx, int top, int left, float low, float high, int first,
                           int last)
{
    const struct conv c = {x, w, b, 0, y, h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, low, high};
    (void)n;
    all(&c, first, last);
}

/* The same with r added before the clip; r: [n][oy][ox][co], y may be r. */
void tw_cluster_conv2d_residual_f32(const float *restrict x, const float *restrict w, const float *restrict b,
                                    const float *r, float *y, int n, int h, int width, int ci, int oy, int ox, int co,
                                    int ky, int kx, int sy, int sx, int dy, int dx, int top, int left, float low,
                                    float high, int first, int last)
{
    const struct conv c = {x, w, b, r, y, h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, low, high};
    (void)n;
    all(&c, first, last);
}

/* Every channel on its own: w: [ky][kx][channels]. */
void tw_cluster_depthwise_f32(const float *restrict x, const float *restrict w, const float *restrict b,
                              float *restrict y, int n, int h, int width, int channels, int oy, int ox, int ky, int kx,
                              int sy, int sx, int dy, int dx, int top, int left, float low, float high, int first,
                              int last)
{
    const struct conv d = {x,  w,  b,  0,  y,  h,  width, channels, oy,  ox,  channels,
                           ky, kx, sy, sx, dy, dx, top,   left,     low, high};
    (void)n;
    for (int pixel = first; pixel < last; pixel++) {
        struct corner at = corner(&d, pixel);
        for (int c = 0; c < channels; c += 4) {
            int lanes = tw_pmin(channels - c, 4);
            float sum[4] = {0};
            for (int i = 0; i < ky; i++)
                for (int j = 0; j < kx; j++) {
                    int row = at.row + i * dy, column = at.column + j * dx;
                    if (row < 0 || row >= h || column < 0 || column >= width)
                        continue;
                    const float *restrict p = at.image + (row * width + column) * channels + c;
                    const float *restrict q = w + (i * kx + j) * channels + c;
                    if (lanes == 4)
                        for (int k = 0; k < 4; k++)
                            sum[k] = __builtin_fmaf(p[k], q[k], sum[k]);
                    else
                        for (int k = 0; k < lanes; k++)
                            sum[k] = __builtin_fmaf(p[k], q[k], sum[k]);
                }
            store(&d, sum, pixel, c);
        }
    }
}
