/* Depthwise convolutions whose weights are all one: the sums of windows, of which means are made. Images are NHWC. */
#include "tw_kernels.h"
#include "tw_sums.h"

struct image {
    int h, width, channels, oy, ox, ky, kx, sy, sx;
};

/* Sums of four channels: `rows` times `columns` pixels that are `step` bytes apart, with `skip` bytes from the end of a
 * row to the next. */
TW_X void sums_of_four(const uint8_t *x, int32_t *sums, int rows, int columns, int step, int skip, const int is_signed)
{
    int32_t a = 0, b = 0, c = 0, d = 0;
#ifdef __riscv
    int32_t v;
#define ADDED(dot)                                                                                                     \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("1", "%[rows]", "8") TW_LOOP("0", "%[columns]", "5")                         \
                         TW_LW_BY("%[v]", "%[x]", "%[step]") TW_DOT(dot, "%[a]", "%[v]", "%[e0]")                      \
                             TW_DOT(dot, "%[b]", "%[v]", "%[e1]") TW_DOT(dot, "%[c]", "%[v]", "%[e2]")                 \
                                 TW_DOT(dot, "%[d]", "%[v]", "%[e3]") "add %[x], %[x], %[skip]\nnop\n" TW_ASM_END      \
                     : [v] "=&r"(v), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+r"(x)                   \
                     : [rows] "r"(rows), [columns] "r"(columns), [step] "r"(step), [skip] "r"(skip), [e0] "r"(1),      \
                       [e1] "r"(1 << 8), [e2] "r"(1 << 16), [e3] "r"(1 << 24)                                          \
                     : "memory")
    if (is_signed)
        ADDED(TW_SDOTSP);
    else
        ADDED(TW_SDOTUSP);
#else
    for (; rows > 0; rows--, x += skip)
        for (int i = 0; i < columns; i++, x += step) {
            int32_t v = tw_load_word(x);
            a += is_signed ? TW_I8(v, 0) : TW_U8(v, 0), b += is_signed ? TW_I8(v, 1) : TW_U8(v, 1);
            c += is_signed ? TW_I8(v, 2) : TW_U8(v, 2), d += is_signed ? TW_I8(v, 3) : TW_U8(v, 3);
        }
#endif
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

/* The same of the `count` channels that are left. */
static __attribute__((noinline)) void sums_of_few(const uint8_t *x, int32_t *sums, int rows, int columns, int step,
                                                  int skip, int is_signed, int count)
{
    for (int k = 0; k < count; k++) {
        const uint8_t *at = x + k;
        sums[k] = 0;
        for (int row = 0; row < rows; row++, at += skip)
            for (int i = 0; i < columns; i++, at += step)
                sums[k] += is_signed ? (int8_t)*at : *at;
    }
}

/* A row of results, of channels c .. c + count. */
static void row_of_sums(const struct image *m, const struct tw_finish *f, const uint8_t *x, int32_t *sums, int row,
                        int c, int count, int is_signed)
{
    int image = row / m->oy, line = row - image * m->oy, step = m->channels, skip = (m->width - m->kx) * step;
    int at = row * m->ox * step + c, bare = f->product == TW_NONE && f->b == 0 && count == 4, apart = bare ? step : 4;
    if (bare) /* sums are results */
        sums = (int32_t *)f->y + at;
    x += (image * m->h + line * m->sy) * m->width * step + c;
    for (int i = 0; i < m->ox; i++, x += m->sx * step)
        if (count < 4)
            sums_of_few(x, sums + apart * i, m->ky, m->kx, step, skip, is_signed, count);
        else if (is_signed)
            sums_of_four(x, sums + apart * i, m->ky, m->kx, step, skip, 1);
        else
            sums_of_four(x, sums + apart * i, m->ky, m->kx, step, skip, 0);
    if (!bare)
        tw_finish_any(f, sums, m->ox, c, count, at, step);
}

/* y = finish(sums of windows). x: [n][h][width][channels] of i8 or u8; y: [n][oy][ox][channels]; see struct tw_finish.
 * A core computes the channels first .. last (`by_channel`), or those rows of results. scratch: [ox][4]. */
void tw_cluster_window_sums(const void *restrict x, const int32_t *restrict b, const int32_t *restrict mul,
                            const void *restrict add, void *restrict y, int32_t *restrict scratch, int n, int h,
                            int width, int channels, int oy, int ox, int ky, int kx, int sy, int sx, int x_signed,
                            int product, int mul_step, int add_bytes, int add_step, int shift, int low, int high,
                            int y_bytes, int by_channel, int first, int last)
{
    const struct image m = {h, width, channels, oy, ox, ky, kx, sy, sx};
    const struct tw_finish f = {b, mul, add, y, product, mul_step, add_bytes, add_step, shift, low, high, y_bytes, 0};
    int row = by_channel ? 0 : first, end = by_channel ? n * oy : last;
    int begin = by_channel ? first : 0, past = by_channel ? last : channels;
    for (; row < end; row++)
        for (int c = begin; c < past; c += 4)
            row_of_sums(&m, &f, x, scratch, row, c, tw_pmin(past - c, 4), x_signed);
}
