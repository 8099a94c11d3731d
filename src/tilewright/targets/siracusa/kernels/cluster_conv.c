/* 8-bit convolutions of NHWC images on the cluster, weights packed as tw_conv.h says; padded, [co / 4][depth / 4][4][4].
 */
#include "tw_kernels.h"
#include "tw_conv.h"

struct conv {
    const int8_t *x, *w;
    int8_t *window; /* of 4 pixels */
    int h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, pad, x_signed, depth, inside;
};

/* Where results of a core lie: image, row, column. */
struct place {
    int image, oy, ox;
};

static struct place place_of(const struct conv *c, int pixel)
{
    struct place p = {pixel / (c->oy * c->ox), 0, 0};
    pixel -= p.image * c->oy * c->ox;
    p.oy = pixel / c->ox;
    p.ox = pixel - p.oy * c->ox;
    return p;
}

TW_ALWAYS void advance(const struct conv *c, struct place *p)
{
    if (++p->ox == c->ox) {
        p->ox = 0;
        if (++p->oy == c->oy) {
            p->oy = 0;
            p->image++;
        }
    }
}

/* The window of one pixel, element by element of the kernel. */
static void gather(const struct conv *c, int8_t *to, struct place p)
{
    const int8_t *image = c->x + p.image * c->h * c->width * c->ci;
    int y0 = p.oy * c->sy - c->top, x0 = p.ox * c->sx - c->left, span = c->kx * c->ci;
    int before = x0 < 0 ? tw_min(-x0, c->kx) : 0, after = tw_max(tw_min(x0 + c->kx - c->width, c->kx - before), 0);
    for (int ky = 0, row = y0; ky < c->ky; ky++, row += c->dy, to += span) {
        const int8_t *from = image + (row * c->width + x0) * c->ci;
        if (row < 0 || row >= c->h)
            tw_fill(to, c->pad, span);
        else if (c->dx == 1) {
            if (before)
                tw_fill(to, c->pad, before * c->ci);
            tw_copy(to + before * c->ci, from + before * c->ci, span - (before + after) * c->ci);
            if (after)
                tw_fill(to + span - after * c->ci, c->pad, after * c->ci);
        } else
            for (int kx = 0, column = x0; kx < c->kx; kx++, column += c->dx)
                if (column < 0 || column >= c->width)
                    tw_fill(to + kx * c->ci, c->pad, c->ci);
                else
                    tw_copy(to + kx * c->ci, image + (row * c->width + column) * c->ci, c->ci);
    }
}

/* Whether 4 pixels from p can be read where they are: in one row, their windows inside of the image. */
TW_ALWAYS int inside(const struct conv *c, struct place p)
{
    int y0 = p.oy * c->sy - c->top, x0 = p.ox * c->sx - c->left;
    return c->inside && p.ox + 4 <= c->ox && y0 >= 0 && y0 + (c->ky - 1) * c->dy < c->h && x0 >= 0 &&
           x0 + 3 * c->sx + c->kx <= c->width;
}

/* Where the next 4 windows are: in the image, or copied into c->window. */
static void windows(const struct conv *c, struct tw_panel *p, struct place *at, int count)
{
    p->x = c->window;
    p->pixel = c->depth;
    p->rows = 1;
    p->words = c->depth / 4;
    p->step = 0;
    if (count == 4 && inside(c, *at)) {
        int y0 = at->oy * c->sy - c->top, x0 = at->ox * c->sx - c->left;
        p->x = c->x + ((at->image * c->h + y0) * c->width + x0) * c->ci;
        p->pixel = c->sx * c->ci;
        p->rows = c->ky;
        p->words = c->kx * c->ci / 4;
        p->step = (c->dy * c->width - c->kx) * c->ci;
        at->ox += 3;
        advance(c, at);
    } else
        for (int i = 0; i < count; i++) {
            gather(c, c->window + i * c->depth, *at);
            advance(c, at);
        }
    p->back = 4 - 3 * p->pixel;
}

/* Channels first .. last of `count` pixels that p has the windows of, to f->y[at] and on. */
static void panel(const struct conv *c, const struct tw_finish *f, struct tw_panel *p, int count, int first, int last,
                  int at)
{
    int r = first;
    p->w = c->w + first * c->depth;
    p->count = count;
    if (f->y_bytes == 1 && (f->product == TW_NARROW || f->product == TW_HIGH) && last - first >= 4) {
        p->groups = (last - first) / 4;
        r += p->groups * 4;
        p->mul = f->mul + first * f->mul_step;
        p->add = f->add + first * f->add_step;
        p->top = p->add + (f->add_bytes == 8);
        p->y = (int8_t *)f->y + at;
        if (c->x_signed)
            f->product == TW_NARROW ? tw_panel_bytes(p, 1, TW_NARROW) : tw_panel_bytes(p, 1, TW_HIGH);
        else
            f->product == TW_NARROW ? tw_panel_bytes(p, 0, TW_NARROW) : tw_panel_bytes(p, 0, TW_HIGH);
    }
    for (; r < last; r += 4) {
        tw_panel_sums(p, c->x_signed);
        tw_finish_any(f, p->sums, count, r, tw_min(last - r, 4), at + r - first, p->stride);
    }
}

/* Channels first .. last of all pixels begin .. end. With a residual, results wait in `joined` until it joins. */
static void all(const struct conv *c, const struct tw_finish *f, const struct tw_join *j, const int8_t *residual,
                int8_t *y, int begin, int end, int first, int last)
{
    struct place at = place_of(c, begin);
    int32_t sums[16];
    struct tw_panel p = {
        .sums = sums, .stride = j ? last - first : c->co, .shift = f->shift - (f->product == TW_HIGH ? 32 : 0),
        .low = f->low, .high = f->high, .mul_step = f->mul_step * 4, .add_step = f->add_step * 4,
        .top_shift = f->add_bytes == 8 ? 0 : 31,
    };
    for (int pixel = begin; pixel < end; pixel += 4) {
        int count = tw_min(end - pixel, 4), to = pixel * c->co + first;
        windows(c, &p, &at, count);
        panel(c, f, &p, count, first, last, j ? 0 : to);
        if (j && last - first == c->co)
            tw_join_bytes(j, f->y, residual + to, y + to, count * c->co);
        else if (j)
            for (int i = 0; i < count; i++, to += c->co)
                tw_join_bytes(j, (int8_t *)f->y + i * p.stride, residual + to, y + to, p.stride);
    }
}

static void either(const struct conv *c, const struct tw_finish *f, const struct tw_join *j, const int8_t *r, int8_t *y,
                   int pixels, int by_channel, int first, int last)
{
    if (first < last)
        all(c, f, j, r, y, by_channel ? 0 : first, by_channel ? pixels : last, by_channel ? first : 0,
            by_channel ? last : c->co);
}

/* y = finish(conv(x, w)). x: [n][h][width][ci] of i8 or u8, `pad` outside; y: [n][oy][ox][co]; see struct tw_finish
 * for the rest. scratch: windows of 4 pixels, each a multiple of 4 bytes. A core computes the pixels first .. last, or
 * those channels (`by_channel`). */
void tw_cluster_conv2d(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                       const int32_t *restrict mul, const void *restrict add, void *restrict y,
                       int8_t *restrict scratch, int n, int h, int width, int ci, int oy, int ox, int co, int ky,
                       int kx, int sy, int sx, int dy, int dx, int top, int left, int pad, int x_signed, int product,
                       int mul_step, int add_bytes, int add_step, int shift, int low, int high, int y_bytes,
                       int by_channel, int first, int last)
{
    int depth = (ky * kx * ci + 3) / 4 * 4, direct = dx == 1 && kx * ci % 4 == 0;
    const struct conv c = {x,  w,  scratch, h,  width, ci, oy,  ox,   co,  ky,       kx,    sy,
                           sx, dy, dx,      top, left, pad, x_signed, depth, direct};
    const struct tw_finish f = {b, mul, add, y, product, mul_step, add_bytes, add_step, shift, low, high, y_bytes};
    either(&c, &f, 0, 0, y, n * oy * ox, by_channel, first, last);
}

/* The same for results of bytes, which the residual r joins as struct tw_join says; r: [n][oy][ox][co], y may be r.
 * scratch: 4 * co bytes more. */
void tw_cluster_conv2d_residual(const void *restrict x, const int8_t *restrict w, const int32_t *restrict mul,
                                const void *restrict add, const void *r, void *y, int8_t *restrict scratch, int n,
                                int h, int width, int ci, int oy, int ox, int co, int ky, int kx, int sy, int sx,
                                int dy, int dx, int top, int left, int pad, int x_signed, int product, int mul_step,
                                int add_bytes, int add_step, int shift, int low, int high, int join, int v_signed,
                                int r_signed, int mul_y, int mul_r, int64_t join_add, int join_shift, int join_low,
                                int join_high, int by_channel, int first, int last)
{
    int depth = (ky * kx * ci + 3) / 4 * 4, direct = dx == 1 && kx * ci % 4 == 0;
    const struct conv c = {x,  w,  scratch, h,  width, ci, oy,  ox,   co,  ky,       kx,    sy,
                           sx, dy, dx,      top, left, pad, x_signed, depth, direct};
    const struct tw_finish f = {0,     mul, add, scratch + 4 * depth, product, mul_step, add_bytes, add_step,
                                shift, low, high, 1};
    const struct tw_join j = {join, v_signed, r_signed, mul_y, mul_r, join_shift, join_low, join_high, join_add};
    either(&c, &f, &j, r, y, n * oy * ox, by_channel, first, last);
}
