/* 8-bit depthwise convolutions of NHWC images: every channel on its own, 16 side by side. */
#include "tw_kernels.h"
#include "tw_integer.h"

enum { PIXELS = 4 };

struct depthwise {
    const int8_t *x, *w;
    int h, width, channels, oy, ox, ky, kx, sy, sx, dy, dx, top, left, pad, x_signed;
};

/* The first of the channels of element (ky, kx) of a pixel's window, -1 outside of the image. */
TW_INLINE int element(const struct depthwise *d, int pixel, int ky, int kx)
{
    int row = pixel / d->ox * d->sy - d->top + ky * d->dy, column = pixel % d->ox * d->sx - d->left + kx * d->dx;
    int in = row >= 0 && row < d->h && column >= 0 && column < d->width;
    return in ? (row * d->width + column) * d->channels : -1;
}

/* sum[i] += w[i] * x[i] for one tap of 16 channels, or of the `n` channels that are left. */
TW_INLINE void tap(int32_t *restrict sum, const int8_t *restrict w, const int8_t *restrict x, int n, int is_signed)
{
    const uint8_t *u = (const uint8_t *)x;
    if (is_signed)
        for (int i = 0; i < n; i++)
            sum[i] += w[i] * x[i];
    else
        for (int i = 0; i < n; i++)
            sum[i] += w[i] * u[i];
}

/* Channels c .. c + n of `count` pixels. */
TW_INLINE void block(const struct depthwise *d, const struct tw_finish *f, const int8_t *image, int count, int n,
                     int first, int pixel, int c)
{
    int32_t sum[PIXELS][TW_GROUP] = {{0}};
    int8_t outside[TW_GROUP];
    memset(outside, d->pad, sizeof outside);
    const int8_t *w = d->w + c;
    for (int ky = 0; ky < d->ky; ky++)
        for (int kx = 0; kx < d->kx; kx++, w += d->channels)
            for (int i = 0; i < count; i++) {
                int at = element(d, pixel + i, ky, kx);
                tap(sum[i], w, at >= 0 ? image + at + c : outside, n, d->x_signed);
            }
    struct tw_scales scales = tw_scales(f, c, n);
    tw_finish(f, &scales, sum, count, (first + pixel) * d->channels + c, d->channels);
}

/* y = finish(conv(x, w)). x: [n][h][width][channels] of i8 or u8, `pad` outside; w: [ky][kx][channels],
 * y: [n][oy][ox][channels]; see struct tw_finish for the rest. */
void tw_depthwise_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                     const int32_t *restrict mul, const void *restrict add, void *restrict y, int n, int h, int width,
                     int channels, int oy, int ox, int ky, int kx, int sy, int sx, int dy, int dx, int top, int left,
                     int pad, int x_signed, int mul_step, int add_bytes, int add_step, int shift, int low, int high,
                     int y_bytes)
{
    const struct depthwise d = {x, w, h, width, channels, oy, ox, ky, kx, sy, sx, dy, dx, top, left, pad, x_signed};
    const struct tw_finish f = {b, mul, add, y, mul_step, add_bytes, add_step, shift, low, high, y_bytes};
    int pixels = oy * ox, whole = channels - channels % TW_GROUP;
    for (int i = 0; i < n; i++) {
        const int8_t *image = d.x + i * h * width * channels;
        for (int c = 0; c < whole; c += TW_GROUP) {
            int at = 0;
            for (; at + PIXELS <= pixels; at += PIXELS)
                block(&d, &f, image, PIXELS, TW_GROUP, i * pixels, at, c);
            for (; at < pixels; at++)
                block(&d, &f, image, 1, TW_GROUP, i * pixels, at, c);
        }
        for (int at = 0; at < pixels && whole < channels; at++)
            block(&d, &f, image, 1, channels - whole, i * pixels, at, whole);
    }
}
