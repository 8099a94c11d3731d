/* fp32 convolutions of NHWC images on the cluster: 4 channels of 2 pixels at a time, one fused multiply-add each. */
#include "tw_kernels.h"
#include "tw_sums.h"

enum { RUN = 32 }; /* channels read at a time where a pixel may lie outside: the length of `zeros` */

static const float zeros[RUN];

/* Four sums side by side. */
struct four {
    float a, b, c, d;
};

#define TW_FMA(sum, w, x) "fmadd.s " sum ", " w ", " x ", " sum "\n"

/* s += w[i] * p[i] and z += w[i] * q[i] for i < n (at least one), each product in its sum at once; w[i] are four. */
TW_X void multiply_two(struct four *s, struct four *z, const float *w, const float *p, const float *q, int n)
{
#if defined(__riscv)
    float e, f, g, h, x, y;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "17") /* the cores share 4 units: results come late */
                     "flw %[e], 0(%[w])\nflw %[x], 0(%[p])\nflw %[f], 4(%[w])\nflw %[g], 8(%[w])\n"
                     TW_FMA("%[a]", "%[e]", "%[x]") "flw %[h], 12(%[w])\n" TW_FMA("%[b]", "%[f]", "%[x]")
                     "flw %[y], 0(%[q])\n" TW_FMA("%[c]", "%[g]", "%[x]") "addi %[w], %[w], 16\n"
                     TW_FMA("%[d]", "%[h]", "%[x]") "addi %[p], %[p], 4\n" TW_FMA("%[i]", "%[e]", "%[y]")
                     TW_FMA("%[j]", "%[f]", "%[y]") "addi %[q], %[q], 4\n" TW_FMA("%[k]", "%[g]", "%[y]")
                     TW_FMA("%[l]", "%[h]", "%[y]") TW_ASM_END
                     : [a] "+f"(s->a), [b] "+f"(s->b), [c] "+f"(s->c), [d] "+f"(s->d), [i] "+f"(z->a), [j] "+f"(z->b),
                       [k] "+f"(z->c), [l] "+f"(z->d), [w] "+r"(w), [p] "+r"(p), [q] "+r"(q), [e] "=&f"(e),
                       [f] "=&f"(f), [g] "=&f"(g), [h] "=&f"(h), [x] "=&f"(x), [y] "=&f"(y)
                     : [n] "r"(n)
                     : "memory");
#else
    for (int i = 0; i < n; i++, w += 4) {
        s->a = __builtin_fmaf(w[0], p[i], s->a);
        s->b = __builtin_fmaf(w[1], p[i], s->b);
        s->c = __builtin_fmaf(w[2], p[i], s->c);
        s->d = __builtin_fmaf(w[3], p[i], s->d);
        z->a = __builtin_fmaf(w[0], q[i], z->a);
        z->b = __builtin_fmaf(w[1], q[i], z->b);
        z->c = __builtin_fmaf(w[2], q[i], z->c);
        z->d = __builtin_fmaf(w[3], q[i], z->d);
    }
#endif
}

/* s += p * q, four side by side, `n` times; p and q move on by so many bytes. */
TW_X void multiply_each(struct four *s, const float *p, int p_step, const float *q, int q_step, int n)
{
#if defined(__riscv)
    float e, f, g, h, i, j, k, l;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "14")
                     "flw %[e], 0(%[p])\nflw %[i], 0(%[q])\nflw %[f], 4(%[p])\nflw %[j], 4(%[q])\n"
                     TW_FMA("%[a]", "%[e]", "%[i]") "flw %[g], 8(%[p])\nflw %[k], 8(%[q])\n"
                     TW_FMA("%[b]", "%[f]", "%[j]") "flw %[h], 12(%[p])\nflw %[l], 12(%[q])\n"
                     TW_FMA("%[c]", "%[g]", "%[k]") "add %[p], %[p], %[p_step]\nadd %[q], %[q], %[q_step]\n"
                     TW_FMA("%[d]", "%[h]", "%[l]") TW_ASM_END
                     : [a] "+f"(s->a), [b] "+f"(s->b), [c] "+f"(s->c), [d] "+f"(s->d), [p] "+r"(p), [q] "+r"(q),
                       [e] "=&f"(e), [f] "=&f"(f), [g] "=&f"(g), [h] "=&f"(h), [i] "=&f"(i), [j] "=&f"(j),
                       [k] "=&f"(k), [l] "=&f"(l)
                     : [n] "r"(n), [p_step] "r"(p_step), [q_step] "r"(q_step)
                     : "memory");
#else
    for (; n > 0; n--, p += p_step / 4, q += q_step / 4) {
        s->a = __builtin_fmaf(p[0], q[0], s->a);
        s->b = __builtin_fmaf(p[1], q[1], s->b);
        s->c = __builtin_fmaf(p[2], q[2], s->c);
        s->d = __builtin_fmaf(p[3], q[3], s->d);
    }
#endif
}

/* The same for less than four, nothing being read beyond them; steps in floats. */
static void multiply_some(struct four *s, const float *p, int p_step, const float *q, int q_step, int n, int lanes)
{
    float x[4] = {0}, w[4] = {0};
    for (; n > 0; n--, p += p_step, q += q_step) {
        for (int k = 0; k < lanes; k++) {
            x[k] = p[k];
            w[k] = q[k];
        }
        multiply_each(s, x, 0, w, 0, 1);
    }
}

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

static void store(const struct conv *c, struct four s, int pixel, int r)
{
    const float sum[4] = {s.a, s.b, s.c, s.d};
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
    const float *w = c->w + r * c->ky * c->kx * c->ci;
    struct four a = {0}, b = {0};
    for (int ky = 0; ky < c->ky; ky++)
        for (int kx = 0; kx < c->kx; kx++)
            for (int k = 0; k < c->ci; k += RUN) {
                int length = tw_pmin(c->ci - k, RUN);
                const float *p = element(c, at[0], ky * c->dy, kx * c->dx, k);
                const float *q = element(c, at[1], ky * c->dy, kx * c->dx, k);
                multiply_two(&a, &b, w, p, q, length);
                w += 4 * length;
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

struct span {
    int begin, end;
};

/* Which of `elements` of a window that begins at `start` lie within 0 .. size. */
static struct span within(int start, int elements, int dilation, int size)
{
    struct span s = {0, elements};
    while (s.begin < s.end && start + s.begin * dilation < 0)
        s.begin++;
    while (s.end > s.begin && start + (s.end - 1) * dilation >= size)
        s.end--;
    return s;
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
        struct span rows = within(at.row, ky, dy, h), columns = within(at.column, kx, dx, width);
        const float *image = at.image + (at.row * width + at.column) * channels;
        for (int c = 0; c < channels; c += 4) {
            struct four sum = {0};
            for (int i = rows.begin; i < rows.end && columns.begin < columns.end; i++) {
                const float *p = image + (i * dy * width + columns.begin * dx) * channels + c;
                const float *q = w + (i * kx + columns.begin) * channels + c;
                if (channels - c >= 4)
                    multiply_each(&sum, p, dx * channels * 4, q, channels * 4, columns.end - columns.begin);
                else
                    multiply_some(&sum, p, dx * channels, q, channels, columns.end - columns.begin, channels - c);
            }
            store(&d, sum, pixel, c);
        }
    }
}
