/* Depthwise convolutions of NHWC images: every channel on its own, 16 side by side. */
#include "tw_kernels.h"
#include "tw_dense.h"

static const float zeros[TW_GROUP];

struct depthwise {
    const float *x, *w, *b;
    float *y;
    int h, width, channels, oy, ox, ky, kx, sy, sx, dy, dx, top, left;
    float low, high;
};

/* Where the window of a pixel begins: row and column, which may lie outside of the image. */
struct corner {
    int row, column;
};

TW_INLINE struct corner corner(const struct depthwise *d, int pixel)
{
    struct corner at = {pixel / d->ox * d->sy - d->top, pixel % d->ox * d->sx - d->left};
    return at;
}

/* Element (ky, kx) of a window, null outside of the image. */
TW_INLINE const float *element(const struct depthwise *d, const float *image, struct corner at, int ky, int kx)
{
    int row = at.row + ky * d->dy, column = at.column + kx * d->dx;
    int in = row >= 0 && row < d->h && column >= 0 && column < d->width;
    return in ? image + (row * d->width + column) * d->channels : 0;
}

/* Channels c .. c + 16 of `count` pixels. */
TW_INLINE void block(const struct depthwise *d, int count, const float *image, float *y, int pixel, int c)
{
    tw_vec sum[TW_TOGETHER][TW_VECS] = {0};
    struct corner at[TW_TOGETHER];
    const float *w = d->w + c;
    for (int i = 0; i < count; i++)
        at[i] = corner(d, pixel + i);
    for (int ky = 0; ky < d->ky; ky++)
        for (int kx = 0; kx < d->kx; kx++, w += d->channels)
            for (int i = 0; i < count; i++) {
                const float *tap = element(d, image, at[i], ky, kx), *x = tap != 0 ? tap + c : zeros;
                for (int v = 0; v < TW_VECS; v++)
                    sum[i][v] += TW_AT(w, v) * TW_AT(x, v);
            }
    for (int i = 0; i < count; i++)
        tw_store(y + (pixel + i) * d->channels + c, sum[i], d->b != 0 ? d->b + c : 0, TW_GROUP, d->low, d->high);
}

/* One channel of one pixel, for what is left of the channels. */
static void single(const struct depthwise *d, const float *image, float *y, int pixel, int c)
{
    struct corner at = corner(d, pixel);
    float sum = 0.0f;
    for (int ky = 0; ky < d->ky; ky++)
        for (int kx = 0; kx < d->kx; kx++) {
            const float *tap = element(d, image, at, ky, kx);
            if (tap != 0)
                sum += tap[c] * d->w[(ky * d->kx + kx) * d->channels + c];
        }
    sum += d->b != 0 ? d->b[c] : 0.0f;
    y[pixel * d->channels + c] = tw_clip(sum, d->low, d->high);
}

/* y = clip(conv(x, w) + b, low, high). x: [n][h][width][channels], w: [ky][kx][channels], y: [n][oy][ox][channels]. */
void tw_depthwise_f32(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                      int n, int h, int width, int channels, int oy, int ox, int ky, int kx, int sy, int sx, int dy,
                      int dx, int top, int left, float low, float high)
{
    const struct depthwise d = {x, w, b, y, h, width, channels, oy, ox, ky, kx, sy, sx, dy, dx, top, left, low, high};
    int pixels = oy * ox, whole = channels - channels % TW_GROUP;
    for (int i = 0; i < n; i++, x += h * width * channels, y += pixels * channels) {
        for (int c = 0; c < whole; c += TW_GROUP) {
            int at = 0;
            for (; at + 4 <= pixels; at += 4)
                block(&d, 4, x, y, at, c);
            for (; at < pixels; at++)
                block(&d, 1, x, y, at, c);
        }
        for (int at = 0; at < pixels && whole < channels; at++)
            for (int c = whole; c < channels; c++)
                single(&d, x, y, at, c);
    }
}
