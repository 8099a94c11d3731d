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

/* Where a pixel of the results is; only of the first one are indices divided. */
struct place {
    int image, line, column;
};

static struct place place_of(const struct pool *p, int pixel)
{
    int row = pixel / p->ox, image = row / p->oy;
    return (struct place){image, row - image * p->oy, pixel - row * p->ox};
}

TW_X void go_on(const struct pool *p, struct place *at)
{
    if (++at->column == p->ox) {
        at->column = 0;
        if (++at->line == p->oy)
            at->line = 0, at->image++;
    }
}

/* The part of a pixel's window that lies inside: where it begins in x, counted in elements, and its extents. */
struct window {
    int at, rows, columns, y0, x0;
};

static struct window window(const struct pool *p, struct place at)
{
    struct window w = {0, 0, 0, at.line * p->sy - p->top, at.column * p->sx - p->left};
    struct span rows = clip(w.y0, p->ky, p->dy, p->h), columns = clip(w.x0, p->kx, p->dx, p->width);
    w.rows = rows.end - rows.begin;
    w.columns = columns.end - columns.begin;
    w.at = ((at.image * p->h + w.y0 + rows.begin * p->dy) * p->width + w.x0 + columns.begin * p->dx) * p->c;
    return w;
}

/* The largest bytes of four channels of a window. */
TW_X int32_t largest(const struct pool *p, const uint8_t *x, struct window w, int32_t m, const int is_signed)
{
    int column = p->dx * p->c, skip = p->dy * p->width * p->c - w.columns * column;
#ifdef __riscv
    int32_t v;
#define GREATEST(code)                                                                                                 \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("1", "%[rows]", "6") TW_LOOP("0", "%[columns]", "3")                         \
                         TW_LW_BY("%[v]", "%[x]", "%[column]") "nop\n.insn r 0x57, 1, " code ", %[m], %[m], %[v]\n"    \
                                                               "add %[x], %[x], %[skip]\nnop\n" TW_ASM_END             \
                     : [v] "=&r"(v), [m] "+r"(m), [x] "+r"(x)                                                          \
                     : [rows] "r"(w.rows), [columns] "r"(w.columns), [column] "r"(column), [skip] "r"(skip)            \
                     : "memory")
    if (is_signed)
        GREATEST("0x0c<<1"); /* pv.max.b */
    else
        GREATEST("0x0e<<1"); /* pv.maxu.b */
#else
    for (; w.rows > 0; w.rows--, x += skip)
        for (int i = 0; i < w.columns; i++, x += column)
            m = is_signed ? tw_vmax_b(m, tw_load_word(x)) : tw_vmaxu_b(m, tw_load_word(x));
#endif
    return m;
}

/* The same of the `count` channels that are left, byte by byte. */
static __attribute__((noinline)) void largest_of_few(const struct pool *p, const uint8_t *x, struct window w,
                                                     uint8_t *y, int count, int is_signed)
{
    int flip = is_signed ? 0x80 : 0; /* as if without a sign */
    for (int k = 0; k < count; k++) {
        int m = 0;
        for (int i = 0; i < w.rows; i++)
            for (int j = 0; j < w.columns; j++)
                m = tw_pmax(m, x[k + (i * p->dy * p->width + j * p->dx) * p->c] ^ flip);
        y[k] = (uint8_t)(m ^ flip);
    }
}

TW_X void max_bytes(const struct pool *p, const uint8_t *x, uint8_t *y, int pixels, int by_channel, int first,
                    int last, int32_t least, const int is_signed)
{
    int begin = by_channel ? first : 0, end = by_channel ? last : p->c;
    int pixel = by_channel ? 0 : first, stop = by_channel ? pixels : last;
    for (struct place at = place_of(p, pixel); pixel < stop; pixel++, go_on(p, &at)) {
        struct window w = window(p, at);
        const uint8_t *from = x + w.at;
        uint8_t *to = y + pixel * p->c;
        int c = begin;
        for (; c + 4 <= end; c += 4)
            tw_store_word(to + c, largest(p, from + c, w, least, is_signed));
        if (c < end)
            largest_of_few(p, from + c, w, to + c, end - c, is_signed);
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
    int pixel = by_channel ? 0 : first;
    for (struct place at = place_of(&p, pixel); pixel < pixels && first < last; pixel++, go_on(&p, &at)) {
        struct window w = window(&p, at);
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
    int pixel = by_channel ? 0 : first;
    for (struct place at = place_of(&p, pixel); pixel < pixels && first < last; pixel++, go_on(&p, &at)) {
        struct window w = window(&p, at);
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
