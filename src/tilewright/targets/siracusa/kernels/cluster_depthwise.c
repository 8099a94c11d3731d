/* 8-bit depthwise convolutions of NHWC images on the cluster.
 *
 * Dot products add up lanes, and here no two channels may be added. So 4 channels of up to 4 places along one axis of
 * the image, "across", are transposed: a word then holds 4 places of one channel. A strip is a run of such words along
 * the other axis; every element along that axis is one dot product per result. Where the kernel has fewer than 4
 * elements across, a strip serves neighbouring lines of results, with weights moved by a lane.
 * Weights are packed [channels / 4][across / 4][along][4 channels][4], zero where there is none.
 */
#include "tw_kernels.h"
#include "tw_conv.h"

/* One axis: places of the image and of the result, elements of the kernel, and bytes from place to place. */
struct axis {
    int size, results, kernel, stride, dilation, before, x_step, y_step;
};

struct depthwise {
    const int8_t *x, *w;
    int32_t *strip; /* [4][length] */
    int32_t *sums;   /* [results along][4] */
    struct axis along, across;
    int channels, pad, x_signed, length, chunks, image_x, image_y;
};

/* Transposes `count` words of four lines: line i moves on by step[i] bytes. Channels go to to[0], to[length] .. */
static void transpose(int32_t *to, int length, const int8_t *const line[4], const int step[4], int count)
{
#if defined(__riscv)
    const int8_t *p = line[0], *q = line[1], *r = line[2], *s = line[3];
    int32_t a, b, c, d, t;
    __asm__ volatile(
        TW_ASM_BEGIN
        TW_LOOP("0", "%[count]", "18")
        TW_LW_BY("%[a]", "%[p]", "%[ps]") TW_LW_BY("%[b]", "%[q]", "%[qs]")
        TW_LW_BY("%[c]", "%[r]", "%[rs]") TW_LW_BY("%[d]", "%[s]", "%[ss]")
        "mv %[t], %[a]\n"
        ".insn r 0x57, 1, 0x64, %[a], %[b], %[low]\n"  /* a0 b0 a1 b1 */
        ".insn r 0x57, 1, 0x64, %[t], %[b], %[high]\n" /* a2 b2 a3 b3 */
        "mv %[b], %[c]\n"
        ".insn r 0x57, 1, 0x64, %[c], %[d], %[low]\n"
        ".insn r 0x57, 1, 0x64, %[b], %[d], %[high]\n"
        ".insn r 0x57, 0, 0x68, %[d], %[c], %[a]\n" /* a0 b0 c0 d0 */
        ".insn r 0x57, 0, 0x64, %[a], %[c], %[half]\n"
        ".insn r 0x57, 0, 0x68, %[c], %[b], %[t]\n"
        ".insn r 0x57, 0, 0x64, %[t], %[b], %[half]\n"
        TW_SW_BY("%[d]", "%[to]", "%[next]") TW_SW_BY("%[a]", "%[to]", "%[next]")
        TW_SW_BY("%[c]", "%[to]", "%[next]") TW_SW_BY("%[t]", "%[to]", "%[back]")
        TW_ASM_END
        : [to] "+r"(to), [p] "+r"(p), [q] "+r"(q), [r] "+r"(r), [s] "+r"(s), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
          [d] "=&r"(d), [t] "=&r"(t)
        : [count] "r"(count), [ps] "r"(step[0]), [qs] "r"(step[1]), [rs] "r"(step[2]), [ss] "r"(step[3]),
          [low] "r"(0x05010400), [high] "r"(0x07030602), [half] "r"(0x00030001), [next] "r"(length * 4),
          [back] "r"(4 - length * 12)
        : "memory");
#else
    for (int i = 0; i < count; i++)
        for (int c = 0; c < 4; c++) {
            int32_t lane[4];
            for (int k = 0; k < 4; k++)
                lane[k] = line[k][i * step[k] + c];
            to[c * length + i] = tw_bytes_of(lane[0], lane[1], lane[2], lane[3]);
        }
#endif
}

/* The strip of results begin .. end along, for 4 channels of an image (`valid` of them exist), from place v across. */
static void fill_strip(const struct depthwise *d, const int8_t *image, int valid, int v, int chunk, int begin, int end)
{
    const struct axis *u = &d->along, *a = &d->across;
    int start = begin * u->stride - u->before, need = (end - 1 - begin) * u->stride + (u->kernel - 1) * u->dilation + 1;
    int first = tw_pmin(tw_pmax(-start, 0), need), last = tw_pmax(tw_pmin(u->size - start, need), first);
    int32_t outside = (int32_t)((uint32_t)(uint8_t)d->pad * 0x01010101u);
    for (int c = 0; c < 4; c++) {
        int32_t *line = d->strip + c * d->length;
        for (int i = 0; i < first; i++)
            line[i] = outside;
        for (int i = last; i < need; i++)
            line[i] = outside;
    }
    const int8_t *line[4];
    int step[4];
    int8_t edge[4][4];
    for (int k = 0; k < 4; k++) {
        int at = v + (chunk * 4 + k) * a->dilation, in = at >= 0 && at < a->size;
        line[k] = in ? image + at * a->x_step + (start + first) * u->x_step : (const int8_t *)&outside;
        step[k] = in ? u->x_step : 0;
    }
    if (valid == 4 && first < last) {
        transpose(d->strip + first, d->length, line, step, last - first);
        return;
    }
    memset(edge, 0, sizeof edge);
    for (int i = first; i < last; i++) { /* nothing is read beyond the last channel */
        const int8_t *const from[4] = {edge[0], edge[1], edge[2], edge[3]};
        const int none[4] = {0, 0, 0, 0};
        for (int k = 0; k < 4; k++) {
            for (int c = 0; c < valid; c++)
                edge[k][c] = line[k][c];
            line[k] += step[k];
        }
        transpose(d->strip + i, d->length, from, none, 1);
    }
}

/* sum + the products of four bytes by four weights. */
TW_X int32_t dot(int32_t sum, int32_t x, int32_t w, int x_signed)
{
    return x_signed ? tw_vsdotsp_b(sum, x, w) : tw_vsdotusp_b(sum, x, w);
}

#if defined(__riscv)
#define TW_TRIPLE_SHIFT "sra %[c], %[c], %[shift]\n"
#define TW_TRIPLE_NARROW                                                                                               \
    "mv %[c], %[add]\n" TW_MAC("%[c]", "%[d]", "%[mul]") TW_TRIPLE_SHIFT
#define TW_TRIPLE_TOP "mulh %[c], %[d], %[mul]\n.insn r 0x5b, 2, 0x20, %[c], %[top], %[shift]\n" /* p.addN */
#define TW_TRIPLE_HIGH                                                                                                 \
    "mulh %[c], %[d], %[mul]\nmul %[d], %[d], %[mul]\nadd %[c], %[c], %[top]\nadd %[d], %[d], %[add]\n"                \
    "sltu %[d], %[d], %[add]\nadd %[c], %[c], %[d]\n" TW_TRIPLE_SHIFT
/* A loop of `size` instructions; sdot is of signed or unsigned bytes. */
#define TW_TRIPLES(sdot, size, product)                                                                               \
    __asm__ volatile(TW_ASM_BEGIN                                      \
                     TW_LOOP("0", "%[count]", size)                                     \
                     "lw %[b], 4(%[x])\nlw %[c], 8(%[x])\n" TW_LW_BY("%[a]", "%[x]", "%[x_step]")                       \
                     "mv %[d], %[bias]\n" TW_DOT(sdot, "%[d]", "%[b]", "%[w1]")                                        \
                     TW_DOT(sdot, "%[d]", "%[c]", "%[w2]") TW_DOT(sdot, "%[d]", "%[a]", "%[w0]")                       \
                     product                                                                                           \
                     TW_MAX("%[c]", "%[c]", "%[low]") TW_MIN("%[c]", "%[c]", "%[high]")         \
                     ".insn r 0x2b, 4, 0, %[y_step], %[y], %[c]\n" /* p.sb c, y_step(y!) */                            \
                     TW_ASM_END                                                                                   \
                     : [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d)              \
                     : [count] "r"(count), [x_step] "r"(x_step), [y_step] "r"(y_step), [w0] "r"(w0), [w1] "r"(w1),     \
                       [w2] "r"(w2), [mul] "r"(s->mul), [add] "r"(s->add), [top] "r"(s->top), [shift] "r"(s->shift), [bias] "r"(s->bias), \
                       [low] "r"(s->low), [high] "r"(s->high)                                                          \
                     : "memory")
#endif

/* The requantisation of one channel; shift is without the 32 bits that TW_TOP and TW_HIGH drop. */
struct scale {
    int32_t bias, mul, add, top;
    int shift, low, high;
};

/* `count` results of one channel with three elements along, x_step and y_step bytes apart. */
static void triples(const int32_t *x, int x_step, int8_t *y, int y_step, int32_t w0, int32_t w1, int32_t w2,
                    const struct scale *s, int product, int x_signed, int count)
{
#if defined(__riscv)
    int32_t a, b, c, d;
    switch (product * 2 + x_signed) {
    case TW_NARROW * 2:
        TW_TRIPLES(TW_SDOTUSP, "13", TW_TRIPLE_NARROW);
        break;
    case TW_NARROW * 2 + 1:
        TW_TRIPLES(TW_SDOTSP, "13", TW_TRIPLE_NARROW);
        break;
    case TW_TOP * 2:
        TW_TRIPLES(TW_SDOTUSP, "12", TW_TRIPLE_TOP);
        break;
    case TW_TOP * 2 + 1:
        TW_TRIPLES(TW_SDOTSP, "12", TW_TRIPLE_TOP);
        break;
    case TW_HIGH * 2:
        TW_TRIPLES(TW_SDOTUSP, "17", TW_TRIPLE_HIGH);
        break;
    default:
        TW_TRIPLES(TW_SDOTSP, "17", TW_TRIPLE_HIGH);
    }
#else
    int shift = s->shift + (product == TW_NARROW ? 0 : 32);
    for (int i = 0; i < count; i++, x += x_step / 4, y += y_step) {
        int32_t sum = dot(s->bias, x[0], w0, x_signed);
        sum = dot(dot(sum, x[1], w1, x_signed), x[2], w2, x_signed);
        *y = (int8_t)tw_requantised(sum, s->mul, s->add, s->top, shift, s->low, s->high);
    }
#endif
}

/* Four weights, moved up by whole lanes. */
TW_X int32_t moved_up(int32_t w, int bits)
{
    return (int32_t)((uint32_t)w << bits);
}

/* Sums of a strip, added to those of the chunks before; weights moved up by `moved` bits. */
static void add_sums(const struct depthwise *d, const int32_t *w, int valid, int moved, int count)
{
    for (int c = 0; c < valid; c++) {
        const int32_t *line = d->strip + c * d->length;
        for (int i = 0; i < count; i++, line += d->along.stride) {
            int32_t sum = d->sums[i * 4 + c];
            for (int k = 0; k < d->along.kernel; k++)
                sum = dot(sum, line[k * d->along.dilation], moved_up(w[k * 4 + c], moved), d->x_signed);
            d->sums[i * 4 + c] = sum;
        }
    }
}

/* Line `moved` / 8 lanes from the strip's first of channels c .. c + valid; `at` is where its first result lies. */
static void results(const struct depthwise *d, const struct tw_finish *f, const int32_t *w, int c, int valid,
                    int moved, int count, int at)
{
    for (int i = 0; i < valid; i++, w++) {
        const int32_t *add = f->add + (c + i) * f->add_step;
        struct scale s = {
            f->b != 0 ? f->b[c + i] : 0, f->mul[(c + i) * f->mul_step], add[0],
            f->add_bytes == 8 ? add[1] : add[0] >> 31, f->product == TW_NARROW ? f->shift : f->shift - 32, f->low,
            f->high,
        };
        triples(d->strip + i * d->length, d->along.stride * 4, (int8_t *)f->y + at + i, d->along.y_step,
                moved_up(w[0], moved), moved_up(w[4], moved), moved_up(w[8], moved), &s, f->product, d->x_signed, count);
    }
}

/* Results begin .. end along, of lines first .. last across, for channels c .. c + valid of one image. */
static void lines(const struct depthwise *d, const struct tw_finish *f, int image, int c, int valid, int first, int last,
                  int begin, int end)
{
    const struct axis *a = &d->across;
    const int8_t *x = d->x + image * d->image_x + c;
    int apart = d->along.kernel * 4, count = end - begin;
    const int32_t *w = (const int32_t *)(const void *)d->w + c / 4 * d->chunks * apart;
    int quick = f->quads && d->chunks == 1 && d->along.kernel == 3 && d->along.dilation == 1;
    int shared = d->chunks == 1 && a->dilation == 1 ? (4 - a->kernel) / a->stride + 1 : 1;
    for (int v = first; v < last; v += shared) {
        int at = image * d->image_y + v * a->y_step + begin * d->along.y_step + c;
        if (quick) {
            fill_strip(d, x, valid, v * a->stride - a->before, 0, begin, end);
            for (int i = 0; i < tw_pmin(shared, last - v); i++)
                results(d, f, w, c, valid, 8 * i * a->stride, count, at + i * a->y_step);
            continue;
        }
        for (int i = 0; i < tw_pmin(shared, last - v); i++) {
            memset(d->sums, 0, (size_t)count * 4 * sizeof *d->sums);
            for (int chunk = 0; chunk < d->chunks; chunk++) {
                if (i == 0)
                    fill_strip(d, x, valid, v * a->stride - a->before, chunk, begin, end);
                add_sums(d, w + chunk * apart, valid, 8 * i * a->stride, count);
            }
            tw_finish_any(f, d->sums, count, c, valid, at + i * a->y_step, d->along.y_step);
        }
    }
}

/* y = finish(conv(x, w)). x: [n][h][width][channels] of i8 or u8, `pad` outside; y: [n][oy][ox][channels]; see struct
 * tw_finish for the rest. A core computes the channels first .. last (`by_channel`), the strips along y or along x, or
 * else those pixels, the strips along x. scratch: the strip, then sums of `most` results. */
void tw_cluster_depthwise(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b,
                          const int32_t *restrict mul, const void *restrict add, void *restrict y,
                          int32_t *restrict scratch, int n, int h, int width, int channels, int oy, int ox, int ky,
                          int kx, int sy, int sx, int dy, int dx, int top, int left, int pad, int x_signed,
                          int product, int mul_step, int add_bytes, int add_step, int shift, int low, int high,
                          int y_bytes, int along_y, int by_channel, int first, int last)
{
    const struct axis rows = {h, oy, ky, sy, dy, top, width * channels, ox * channels};
    const struct axis columns = {width, ox, kx, sx, dx, left, channels, channels};
    const struct axis along = along_y ? rows : columns, across = along_y ? columns : rows;
    int length = (along.results - 1) * along.stride + (along.kernel - 1) * along.dilation + 1;
    const struct depthwise d = {
        x, w, (int32_t *)scratch, scratch + 4 * length, along, across, channels, pad, x_signed, length,
        (across.kernel + 3) / 4, h * width * channels, oy * ox * channels,
    };
    int quads = tw_in_quads(product, y_bytes);
    const struct tw_finish f = {b,        mul,   add, y,    product, mul_step, add_bytes,
                                add_step, shift, low, high, y_bytes, quads};
    if (by_channel) {
        for (int c = first; c < last; c += 4)
            for (int image = 0; image < n; image++)
                lines(&d, &f, image, c, tw_pmin(last - c, 4), 0, across.results, 0, along.results);
        return;
    }
    for (int pixel = first, end; pixel < last; pixel = end) {
        int row = pixel / ox, column = pixel - row * ox, image = row / oy, line = row - image * oy;
        int whole = column == 0 ? tw_pmin((last - pixel) / ox, oy - line) : 0;
        end = whole > 0 ? pixel + whole * ox : tw_pmin(last, pixel - column + ox);
        for (int c = 0; c < channels; c += 4)
            lines(&d, &f, image, c, tw_pmin(channels - c, 4), line, line + tw_pmax(whole, 1), column,
                  whole > 0 ? ox : column + end - pixel);
    }
}
