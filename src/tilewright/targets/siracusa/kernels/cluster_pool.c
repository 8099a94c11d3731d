/* Pooling of NHWC images on the cluster. Windows are clipped to the image. A core computes the pixels first .. last, or
 * those channels (`by_channel`). */
#include "tw_kernels.h"
#include "tw_sums.h"

struct pool {
    int h, width, c, oy, ox, ky, kx, sy, sx, dy, dx, top, left;
};

struct span {
    int begin, end;
};

/* Which of `taps` elements of a window that begins at `start` lie within 0 .. size. */
static struct span clip(int start, int taps, int dilation, int size)
{
    struct span s = {0, taps};
    while (s.begin < s.end && start + s.begin * dilation < 0)
        s.begin++;
    while (s.end > s.begin && start + (s.end - 1) * dilation >= size)
        s.end--;
    return s;
}

/* The part of a pixel's window that lies inside: where it begins in x, counted in elements, and its extents. */
struct window {
    int at, rows, columns, y0, x0;
};

static struct window window(const struct pool *p, int pixel)
{
    int row = pixel / p->ox, column = pixel - row * p->ox, image = row / p->oy;
    struct window w = {0, 0, 0, (row - image * p->oy) * p->sy - p->top, column * p->sx - p->left};
    struct span rows = clip(w.y0, p->ky, p->dy, p->h), columns = clip(w.x0, p->kx, p->dx, p->width);
    w.rows = rows.end - rows.begin;
    w.columns = columns.end - columns.begin;
    w.at = ((image * p->h + w.y0 + rows.begin * p->dy) * p->width + w.x0 + columns.begin * p->dx) * p->c;
    return w;
}

/* Four channels, or the `count` that are left, which are gathered byte by byte. */
TW_X void largest(const struct pool *p, const uint8_t *x, struct window w, uint8_t *y, int32_t least, int count,
                       int is_signed)
{
    int32_t m = least;
    int row = p->dy * p->width * p->c, column = p->dx * p->c;
    for (int i = 0; i < w.rows; i++, x += row) {
        const uint8_t *at = x;
        for (int j = 0; j < w.columns; j++, at += column) {
            int32_t v = least;
            if (count == 4)
                v = tw_load_word(at);
            else
                memcpy(&v, at, (size_t)count);
            m = is_signed ? tw_vmax_b(m, v) : tw_vmaxu_b(m, v);
        }
    }
    if (count == 4)
        tw_store_word(y, m);
    else
        memcpy(y, &m, (size_t)count);
}

TW_X void max_bytes(const struct pool *p, const uint8_t *x, uint8_t *y, int pixels, int by_channel, int first,
                         int last, int32_t least, int is_signed)
{
    int begin = by_channel ? first : 0, end = by_channel ? last : p->c;
    for (int pixel = by_channel ? 0 : first; pixel < (by_channel ? pixels : last); pixel++) {
        struct window w = window(p, pixel);
        int c = begin;
        for (; c + 4 <= end; c += 4)
            largest(p, x + w.at + c, w, y + pixel * p->c + c, least, 4, is_signed);
        if (c < end)
            largest(p, x + w.at + c, w, y + pixel * p->c + c, least, end - c, is_signed);
    }
}

/* The largest element of each window; windows have at least one element inside. x: [n][h][width][c],
 * y: [n][oy][ox][c]. */
void tw_cluster_max_pool_i8(const int8_t *restrict x, int8_t *restrict y, int n, int h, int width, int c, int oy,
                            int ox, int ky, int kx, int sy, int sx, int dy, int dx, int top, int left, int by_channel,
                            int first, int last)
{
    const struct pool p = {h, width, c, oy, ox, ky, kx, sy, sx, dy, dx, top, left};
    if (first < last)
        max_bytes(&p, (const uint8_t *)x, (uint8_t *)y, n * oy * ox, by_channel, first, last, (int32_t)0x80808080u, 1);
}

void tw_cluster_max_pool_u8(const uint8_t *restrict x, uint8_t *restrict y, int n, int h, int width, int c, int oy,
                            int ox, int ky, int kx, int sy, int sx, int dy, int dx, int top, int left, int by_channel,
                            int first, int last)
{
    const struct pool p = {h, width, c, oy, ox, ky, kx, sy, sx, dy, dx, top, left};
    if (first < last)
        max_bytes(&p, x, y, n * oy * ox, by_channel, first, last, 0, 0);
}

void tw_cluster_max_pool_f32(const float *restrict x, float *restrict y, int n, int h, int width, int c, int oy,
                             int ox, int ky, int kx, int sy, int sx, int dy, int dx, int top, int left, float least,
                             int by_channel, int first, int last)
{
    const struct pool p = {h, width, c, oy, ox, ky, kx, sy, sx, dy, dx, top, left};
    int begin = by_channel ? first : 0, end = by_channel ? last : c, pixels = by_channel ? n * oy * ox : last;
    for (int pixel = by_channel ? 0 : first; pixel < pixels && first < last; pixel++) {
        struct window w = window(&p, pixel);
        for (int k = begin; k < end; k++) {
            float m = least;
            for (int i = 0; i < w.rows; i++)
                for (int j = 0; j < w.columns; j++) {
                    float v = x[w.at + k + (i * dy * width + j * dx) * c];
                    m = v > m ? v : m;
                }
            y[pixel * c + k] = m;
        }
    }
}

/* The mean of each window: its sum over the image, by the number of its elements that count. Those lie within
 * -margin_y .. extent_y - margin_y, likewise for x: the image, or the image and its padding. */
void tw_cluster_average_pool_f32(const float *restrict x, float *restrict y, int n, int h, int width, int c, int oy,
                                 int ox, int ky, int kx, int sy, int sx, int dy, int dx, int top, int left,
                                 int margin_y, int margin_x, int extent_y, int extent_x, int by_channel, int first,
                                 int last)
{
    const struct pool p = {h, width, c, oy, ox, ky, kx, sy, sx, dy, dx, top, left};
    int begin = by_channel ? first : 0, end = by_channel ? last : c, pixels = by_channel ? n * oy * ox : last;
    int known = 1;
    float share = 1.0f;
    for (int pixel = by_channel ? 0 : first; pixel < pixels && first < last; pixel++) {
        struct window w = window(&p, pixel);
        struct span by = clip(w.y0 + margin_y, ky, dy, extent_y), bx = clip(w.x0 + margin_x, kx, dx, extent_x);
        int count = (by.end - by.begin) * (bx.end - bx.begin);
        if (count != known) { /* the cores share one divider */
            share = count > 0 ? 1.0f / (float)count : 0.0f;
            known = count;
        }
        for (int k = begin; k < end; k++) {
            float sum = 0.0f;
            for (int i = 0; i < w.rows; i++)
                for (int j = 0; j < w.columns; j++)
                    sum += x[w.at + k + (i * dy * width + j * dx) * c];
            y[pixel * c + k] = sum * share;
        }
    }
}
