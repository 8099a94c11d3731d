/* Pooling of NHWC images. Windows are clipped to the image; channels lie side by side. */
#include "tw_kernels.h"

struct span {
    int first, end;
};

/* Which of `taps` elements of a window that begins at `start` lie within 0 .. size. */
static struct span clip(int start, int taps, int dilation, int size)
{
    struct span s = {0, taps};
    while (s.first < s.end && start + s.first * dilation < 0)
        s.first++;
    while (s.end > s.first && start + (s.end - 1) * dilation >= size)
        s.end--;
    return s;
}

/* The largest element of each window; windows have at least one element inside.
 * x: [n][h][width][c], y: [n][oy][ox][c]. */
#define MAX_POOL(name, type)                                                                                           \
    void name(const type *restrict x, type *restrict y, int n, int h, int width, int c, int oy, int ox, int ky,        \
              int kx, int sy, int sx, int dy, int dx, int top, int left, type least)                                   \
    {                                                                                                                  \
        for (int p = 0; p < n * oy * ox; p++, y += c) {                                                                \
            int y0 = p / ox % oy * sy - top, x0 = p % ox * sx - left;                                                  \
            struct span rows = clip(y0, ky, dy, h), columns = clip(x0, kx, dx, width);                                 \
            const type *image = x + p / (oy * ox) * h * width * c;                                                     \
            for (int k = 0; k < c; k++)                                                                                \
                y[k] = least;                                                                                          \
            for (int i = rows.first; i < rows.end; i++)                                                                \
                for (int j = columns.first; j < columns.end; j++) {                                                    \
                    const type *at = image + ((y0 + i * dy) * width + x0 + j * dx) * c;                                \
                    for (int k = 0; k < c; k++)                                                                        \
                        y[k] = at[k] > y[k] ? at[k] : y[k];                                                            \
                }                                                                                                      \
        }                                                                                                              \
    }

MAX_POOL(tw_max_pool_f32, float)
MAX_POOL(tw_max_pool_i8, int8_t)
MAX_POOL(tw_max_pool_u8, uint8_t)

/* The mean of each window: its sum over the image, by the number of its elements that count. Those lie within
 * -margin_y .. extent_y - margin_y, likewise for x: the image, or the image and its padding. */
void tw_average_pool_f32(const float *restrict x, float *restrict y, int n, int h, int width, int c, int oy, int ox,
                         int ky, int kx, int sy, int sx, int dy, int dx, int top, int left, int margin_y, int margin_x,
                         int extent_y, int extent_x)
{
    for (int p = 0; p < n * oy * ox; p++, y += c) {
        int y0 = p / ox % oy * sy - top, x0 = p % ox * sx - left;
        struct span rows = clip(y0, ky, dy, h), columns = clip(x0, kx, dx, width);
        struct span by = clip(y0 + margin_y, ky, dy, extent_y), bx = clip(x0 + margin_x, kx, dx, extent_x);
        int count = (by.end - by.first) * (bx.end - bx.first);
        const float *image = x + p / (oy * ox) * h * width * c;
        for (int k = 0; k < c; k++)
            y[k] = 0.0f;
        for (int i = rows.first; i < rows.end; i++)
            for (int j = columns.first; j < columns.end; j++) {
                const float *at = image + ((y0 + i * dy) * width + x0 + j * dx) * c;
                for (int k = 0; k < c; k++)
                    y[k] += at[k];
            }
        for (int k = 0; k < c; k++)
            y[k] = count > 0 ? y[k] / (float)count : 0.0f;
    }
}
