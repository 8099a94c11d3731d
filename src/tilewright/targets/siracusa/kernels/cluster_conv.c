/* 8-bit convolutions of NHWC images on the cluster, weights packed as tw_conv.h says. */
#include "tw_kernels.h"
#include "tw_conv.h"

struct conv {
    const int8_t *x, *w;
    int8_t *window;
    int32_t *scales; /* for TW_HALVES, 8 words per 4 channels */
    int h, width, ci, oy, ox, co, ky, kx, sy, sx, dy, dx, top, left, pad, x_signed;
    int windows;          /* how many there is room for: 4 or 1 */
    int depth, direct;    /* bytes of a window; whether 4 pixels can be read where they are */
    int near, far;        /* windows of columns near <= ox < far have no padding at the sides */
};

/* Where a result lies: image, row, column. */
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

/* `n` pixels on, at most to the next row. */
TW_X void advance(const struct conv *c, struct place *p, int n)
{
    p->ox += n;
    if (p->ox == c->ox) {
        p->ox = 0;
        if (++p->oy == c->oy) {
            p->oy = 0;
            p->image++;
        }
    }
}

/* Elements begin .. end of a window that starts at `start` and lie within 0 .. size. */
struct span {
    int begin, end;
};

static struct span within(int start, int elements, int dilation, int size)
{
    struct span s = {0, elements};
    while (s.begin < s.end && start + s.begin * dilation < 0)
        s.begin++;
    while (s.end > s.begin && start + (s.end - 1) * dilation >= size)
        s.end--;
    return s;
}

/* The windows of `run` pixels side by side, of which `rows` and `columns` are in the image. */
static void copy_windows(const struct conv *c, int8_t *to, struct place at, int run, struct span rows,
                         struct span columns)
{
    const int ci = c->ci, span = c->kx * ci, step = c->dy * c->width * ci, next = c->sx * ci, depth = c->depth;
    const int count = rows.end - rows.begin, many = columns.end - columns.begin, n = c->dx == 1 ? many * ci : ci;
    const int y = at.oy * c->sy - c->top + rows.begin * c->dy, x = at.ox * c->sx - c->left + columns.begin * c->dx;
    const int8_t *from = c->x + ((at.image * c->h + y) * c->width + x) * ci;
    to += rows.begin * span + columns.begin * ci;
    if (count <= 0 || many <= 0)
        return;
    for (int k = c->dx == 1 ? many : 1; k <= many; k++, to += ci, from += c->dx * ci)
        for (int i = 0; i < run; i++)
            tw_copy_rows(to + i * depth, span, from + i * next, step, n, count);
}

/* The windows of `count` pixels from a place, which moves on. What lies outside is filled in first. */
static void gather(const struct conv *c, struct place *at, int count)
{
    int8_t *to = c->window;
    while (count > 0) {
        struct span rows = within(at->oy * c->sy - c->top, c->ky, c->dy, c->h), columns = {0, c->kx};
        int run = tw_pmin(count, c->far - at->ox);
        if (at->ox < c->near || run <= 0) {
            run = 1;
            columns = within(at->ox * c->sx - c->left, c->kx, c->dx, c->width);
        }
        if (rows.end - rows.begin < c->ky || columns.end - columns.begin < c->kx)
            tw_fill(to, c->pad, run * c->depth);
        copy_windows(c, to, *at, run, rows, columns);
        to += run * c->depth;
        count -= run;
        advance(c, at, run);
    }
}

/* How many times 4 pixels from a place can be read where they are: in one row, their windows inside of the image. */
TW_X int inside(const struct conv *c, struct place p, int left)
{
    int y0 = p.oy * c->sy - c->top;
    int in = c->direct && p.ox >= c->near && y0 >= 0 && y0 + (c->ky - 1) * c->dy < c->h;
    return in ? tw_pmin(c->far - p.ox, left) / 4 : 0;
}

static const int32_t nothing = 0;

/* Channels first .. last of `runs` times `count` pixels that p has the windows of, to f->y[at] and on. Only TW_HALVES
 * without channels that remain takes several runs. */
static void panel(const struct conv *c, const struct tw_finish *f, struct tw_panel *p, int runs, int count, int first,
                  int last, int at)
{
    int r = first;
    const int8_t *x = p->x;
    p->w = c->w + first * c->depth;
    p->count = count;
    p->groups = f->quads ? (last - first) >> 2 : 0;
    if (p->groups > 0) {
        r += p->groups * 4;
        p->y = (int8_t *)f->y + at;
        if (f->product == TW_HALVES) {
            p->scales = p->scales_first;
            p->w_first = p->w;
            p->panels = runs;
            p->x_next = 4 * p->pixel;
            p->y_next = 4 * (p->stride - p->groups);
        } else {
            p->mul = f->mul + first * f->mul_step;
            p->add = f->add + first * f->add_step;
            p->top = p->add + (f->add_bytes >> 3);
            p->bias = f->b != 0 ? f->b + first : &nothing;
            p->bias_step = f->b != 0 ? 4 : 0;
        }
        tw_panel_bytes(p, c->x_signed, f->product);
        if (r == last)
            return;
        p->w = c->w + r * c->depth;
        p->x = x;
    }
    p->bias = &nothing;
    p->bias_step = 0;
    for (; r < last; r += 4) {
        tw_panel_sums(p, c->x_signed);
        tw_finish_any(f, p->sums, count, r, tw_pmin(last - r, 4), at + r - first, p->stride);
    }
}

/* A residual that joins, and where the result goes. */
struct onto {
    struct tw_join join;
    const int8_t *r;
    int8_t *y;
};

/* The same with the residual, if o is not null; results wait in f->y until it joins. */
static void results(const struct conv *c, const struct tw_finish *f, const struct onto *o, struct tw_panel *p,
                    int pixel, int panels, int count, int first, int last)
{
    int to = pixel * c->co + first;
    panel(c, f, p, panels, count, first, last, o ? 0 : to);
    if (o == 0)
        return;
    int whole = last - first == c->co, runs = whole ? 1 : count, length = whole ? count * c->co : last - first;
    for (int i = 0; i < runs; i++, to += c->co)
        tw_join_bytes(&o->join, (int8_t *)f->y + i * length, o->r + to, o->y + to, length);
}

/* Channels first .. last of all pixels begin .. end. */
static void all(const struct conv *c, const struct tw_finish *f, const struct onto *o, int begin, int end, int first,
                int last)
{
    struct place at = place_of(c, begin);
    int32_t sums[16];
    int halves = f->quads && f->product == TW_HALVES, groups = (last - first) >> 2;
    int dropped = halves ? tw_pmin(f->shift, 16) : f->product == TW_NARROW ? 0 : 32;
    struct tw_panel p = {
        .sums = sums, .stride = o ? last - first : c->co, .shift = f->shift - dropped, .low = f->low, .high = f->high,
        .mul_step = f->mul_step * 4, .add_step = f->add_step * 4, .top_shift = f->add_bytes == 8 ? 0 : 31,
        .bias = &nothing, .scales_first = c->scales, .scales_end = c->scales + 8 * groups, .upper = TW_UPPER_HALVES,
        .even = TW_EVEN_BYTES,
    };
    int many = halves && !o && (last - first) % 4 == 0; /* runs at a time */
    if (halves)
        tw_scales(f, c->scales, first, groups);
    for (int pixel = begin; pixel < end;) {
        int runs = inside(c, at, end - pixel), count = tw_pmin(end - pixel, 4);
        if (runs > 0) {
            int row = at.image * c->h + at.oy * c->sy - c->top;
            p.x = c->x + (row * c->width + at.ox * c->sx - c->left) * c->ci;
            p.pixel = c->sx * c->ci;
            p.rows = c->ky;
            p.words = c->kx * c->ci / 4;
            p.step = (c->dy * c->width - c->kx) * c->ci;
            advance(c, &at, runs * 4);
        } else {
            p.x = c->window;
            count = tw_pmin(count, c->windows);
            p.pixel = c->windows == 4 ? c->depth : 0;
            p.rows = 1;
            p.words = c->depth / 4;
            p.step = 0;
            gather(c, &at, count);
        }
        p.back = 4 - 3 * p.pixel;
        for (runs = tw_pmax(runs, 1); runs > 0;) {
            int now = many ? runs : 1;
            const int8_t *next = p.x + now * 4 * p.pixel;
            results(c, f, o, &p, pixel, now, count, first, last);
            pixel += now * count;
            p.x = next;
            runs -= now;
        }
    }
}

/* The cores share pixels, or channels. */
static void either(struct conv *c, const struct tw_finish *f, const struct onto *o, int pixels, int by_channel,
                   int first, int last)
{
    int beyond = c->width + c->left - (c->kx - 1) * c->dx - 1;
    c->direct = c->dx == 1 && c->kx * c->ci % 4 == 0;
    c->depth = (c->ky * c->kx * c->ci + 3) / 4 * 4;
    c->scales = (int32_t *)(void *)(c->window + c->windows * c->depth + (o ? 4 * c->co : 0));
    c->near = (c->left + c->sx - 1) / c->sx;
    c->far = beyond >= 0 ? tw_pmin(beyond / c->sx + 1, c->ox) : 0;
    if (first < last && !by_channel)
        all(c, f, o, first, last, 0, c->co);
    for (int most = (c->co + 31) / 32 * 4; by_channel && first < last; first += most) /* as many as scales are for */
        all(c, f, o, 0, pixels, first, tw_pmin(last, first + most));
}

/* y = finish(conv(x, w)). x: [n][h][width][ci] of i8 or u8, `pad` outside; y: [n][oy][ox][co]; see struct tw_finish
 * for the rest. scratch: `windows` (4 or 1), each a multiple of 4 bytes; 8 words for 4 channels. A core computes the
 * pixels first .. last, or those channels (`by_channel`). */
void tw_cluster_conv2d(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                       const int32_t *restrict mul, const void *restrict add, void *restrict y,
                       int8_t *restrict scratch, int n, int h, int width, int ci, int oy, int ox, int co, int ky,
                       int kx, int sy, int sx, int dy, int dx, int top, int left, int pad, int x_signed, int product,
                       int mul_step, int add_bytes, int add_step, int shift, int low, int high, int y_bytes,
                       int windows, int by_channel, int first, int last)
{
    struct conv c = {x,  w,  scratch, 0,  h,   width, ci,  oy,       ox,      co, ky, kx, sy,
                     sx, dy, dx,      top, left, pad, x_signed, windows, 0, 0, 0, 0};
    int quads = tw_in_quads(product, y_bytes);
    const struct tw_finish f = {b,        mul,   add, y,    product, mul_step, add_bytes,
                                add_step, shift, low, high, y_bytes, quads};
    either(&c, &f, 0, n * oy * ox, by_channel, first, last);
}

/* The same for results of bytes, which the residual r joins as struct tw_join says; r: [n][oy][ox][co], y may be r.
 * scratch: 4 * co bytes more. */
void tw_cluster_conv2d_residual(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                                const int32_t *restrict mul, const void *restrict add, const void *r, void *y,
                                int8_t *restrict scratch, int n, int h, int width, int ci, int oy, int ox, int co,
                                int ky, int kx, int sy, int sx, int dy, int dx, int top, int left, int pad,
                                int x_signed, int product, int mul_step, int add_bytes, int add_step, int shift,
                                int low, int high, int join, int v_signed,
                                int r_signed, int mul_y, int mul_r, int64_t join_add, int join_shift, int join_low,
                                int join_high, int windows, int by_channel, int first, int last)
{
    struct conv c = {x,  w,  scratch, 0,  h,   width, ci,  oy,       ox,      co, ky, kx, sy,
                     sx, dy, dx,      top, left, pad, x_signed, windows, 0, 0, 0, 0};
    int quads = tw_in_quads(product, 1);
    int8_t *waiting = scratch + windows * ((ky * kx * ci + 3) / 4 * 4);
    const struct tw_finish f = {b,        mul,   add, waiting, product, mul_step, add_bytes,
                                add_step, shift, low, high,    1,       quads};
    const struct onto o = {
        {join, v_signed, r_signed, mul_y, mul_r, join_shift, join_low, join_high, join_add}, r, y,
    };
    either(&c, &f, &o, n * oy * ox, by_channel, first, last);
}
