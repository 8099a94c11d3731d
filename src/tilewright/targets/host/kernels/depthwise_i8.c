/* 8-bit depthwise convolutions of NHWC images: every channel on its own, 16 side by side. */
#include "tw_kernels.h"
#include "tw_integer.h"

enum { PIXELS = 4 };

struct depthwise {
    const int8_t *x, *w;
    int h, width, channels, oy, ox, ky, kx, sy, sx, dy, dx, top, left, pad;
};

/* Where the window of a pixel begins: row and column, which may lie outside of the image. */
struct corner {
    int row, column;
};

/* The first of the channels of element (ky, kx) of a window, -1 outside of the image. */
TW_INLINE int element(const struct depthwise *d, struct corner at, int ky, int kx)
{
    int row = at.row + ky * d->dy, column = at.column + kx * d->dx;
    int in = row >= 0 && row < d->h && column >= 0 && column < d->width;
    return in ? (row * d->width + column) * d->channels : -1;
}

/* sum += w * x for one tap of 16 channels. */
TW_INLINE void tap(tw_ivec sum[TW_VECS], const int8_t *restrict w, const int8_t *restrict x, int is_signed)
{
    for (int v = 0; v < TW_VECS; v++) {
        tw_ivec weights = TW_WIDEN(tw_lane_i8, w + v * TW_WIDE);
        sum[v] += weights * (is_signed ? TW_WIDEN(tw_lane_i8, x + v * TW_WIDE) : TW_WIDEN(tw_lane_u8, x + v * TW_WIDE));
    }
}

/* Channels c .. c + n of `count` pixels; fewer than 16 are copied, so that nothing is read beyond them. */
TW_INLINE void block(const struct depthwise *d, const struct tw_finish *f, const int8_t *image, int count, int n,
                     int is_signed, int first, int pixel, int c)
{
    tw_ivec sum[PIXELS][TW_VECS] = {0};
    int8_t outside[TW_GROUP], weights[TW_GROUP] = {0}, inputs[TW_GROUP] = {0};
    struct corner corner[PIXELS];
    memset(outside, d->pad, sizeof outside);
    for (int i = 0; i < count; i++) {
        corner[i].row = (pixel + i) / d->ox * d->sy - d->top;
        corner[i].column = (pixel + i) % d->ox * d->sx - d->left;
    }
    const int8_t *w = d->w + c;
    for (int ky = 0; ky < d->ky; ky++)
        for (int kx = 0; kx < d->kx; kx++, w += d->channels)
            for (int i = 0; i < count; i++) {
                int at = element(d, corner[i], ky, kx);
                const int8_t *x = at >= 0 ? image + at + c : outside;
                if (n == TW_GROUP)
                    tap(sum[i], w, x, is_signed);
                else
                    tap(sum[i], memcpy(weights, w, (size_t)n), memcpy(inputs, x, (size_t)n), is_signed);
            }
    struct tw_scales scales = tw_scales(f, c, n);
    tw_finish(f, &scales, sum, count, (first + pixel) * d->channels + c, d->channels);
}

/* All pixels of image number i. */
TW_INLINE void whole_image(const struct depthwise *d, const struct tw_finish *f, int i, int is_signed)
{
    int pixels = d->oy * d->ox, whole = d->channels - d->channels % TW_GROUP;
    const int8_t *image = d->x + i * d->h * d->width * d->channels;
    for (int c = 0; c < whole; c += TW_GROUP) {
        int at = 0;
        for (; at + PIXELS <= pixels; at += PIXELS)
            block(d, f, image, PIXELS, TW_GROUP, is_signed, i * pixels, at, c);
        for (; at < pixels; at++)
            block(d, f, image, 1, TW_GROUP, is_signed, i * pixels, at, c);
    }
    for (int at = 0; at < pixels && whole < d->channels; at++)
        block(d, f, image, 1, d->channels - whole, is_signed, i * pixels, at, whole);
}

/* y = finish(conv(x, w)). x: [n][h][width][channels] of i8 or u8, `pad` outside; w: [ky][kx][channels],
 * y: [n][oy][ox][channels]; see struct tw_finish for the rest. */
void tw_depthwise_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                     const int32_t *restrict mul, const void *restrict add, void *restrict y, int n, int h, int width,
                     int channels, int oy, int ox, int ky, int kx, int sy, int sx, int dy, int dx, int top, int left,
                     int pad, int x_signed, int mul_step, int add_bytes, int add_step, int shift, int low, int high,
                     int y_bytes)
{
    const struct depthwise d = {x, w, h, width, channels, oy, ox, ky, kx, sy, sx, dy, dx, top, left, pad};
    const struct tw_finish f = {b, mul, add, y, mul_step, add_bytes, add_step, shift, low, high, y_bytes};
    for (int i = 0; i < n; i++)
        if (x_signed)
            whole_image(&d, &f, i, 1);
        else
            whole_image(&d, &f, i, 0);
}
