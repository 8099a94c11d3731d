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

/* The strip of 4 channels of an image (`valid` of them exist) from place v across. */
static void fill_strip(const struct depthwise *d, const int8_t *image, int valid, int v, int chunk)
{
    const struct axis *u = &d->along, *a = &d->across;
    int start = -u->before, need = d->length;
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

/* Four weights, moved up by whole lanes. */
TW_X int32_t moved_up(int32_t w, int bits)
{
    return (int32_t)((uint32_t)w << bits);
}

/* The requantisation of one channel; shift is without the 32 bits that TW_TOP and TW_HIGH drop. */
struct scale {
    int32_t bias, mul, add, top;
    int shift, low, high;
};

#if defined(__riscv)
#define TW_FINISH(z) "sra " z ", " z ", %[shift]\n"
#define TW_CLIP(z) TW_MAX(z, z, "%[low]") TW_MIN(z, z, "%[high]")
#define TW_TRIPLE(code, sum, w0, w1, w2)                                                                               \
    TW_DOT(code, sum, "%[b]", w1) TW_DOT(code, sum, "%[c]", w2) TW_DOT(code, sum, "%[a]", w0)
#define TW_SCALE_NARROW(y, sum) "mv " y ", %[add]\n" TW_MAC(y, sum, "%[mul]") TW_FINISH(y) TW_CLIP(y)
#define TW_SCALE_TOP(y, sum) "mulh " y ", " sum ", %[mul]\n.insn r 0x5b, 2, 0x20, " y ", %[top], %[shift]\n" TW_CLIP(y)
#define TW_SCALE_HIGH(y, sum)                                                                                          \
    "mulh " y ", " sum ", %[mul]\nmul " sum ", " sum ", %[mul]\nadd " y ", " y ", %[top]\n"                            \
    "add " sum ", " sum ", %[add]\nsltu " sum ", " sum ", %[add]\nadd " y ", " y ", " sum "\n" TW_FINISH(y) TW_CLIP(y)
#define TW_PLACES "lw %[b], 4(%[x])\nlw %[c], 8(%[x])\n" TW_LW_BY("%[a]", "%[x]", "%[x_step]")
#define TW_PUT_BYTE(y, value) ".insn r 0x2b, 4, 0, %[y_step], " y ", " value "\n" /* p.sb value, y_step(y!) */
#define TW_ONE_LINE(code, scale)                                                                                       \
    TW_PLACES "mv %[d], %[bias]\n" TW_TRIPLE(code, "%[d]", "%[w0]", "%[w1]", "%[w2]")                                  \
    scale("%[c]", "%[d]") TW_PUT_BYTE("%[y]", "%[c]")
#define TW_TWO_LINES(code, scale)                                                                                      \
    TW_PLACES "mv %[d], %[bias]\nmv %[e], %[bias]\n" TW_TRIPLE(code, "%[d]", "%[w0]", "%[w1]", "%[w2]")                \
    TW_TRIPLE(code, "%[e]", "%[v0]", "%[v1]", "%[v2]")                                                                 \
    scale("%[c]", "%[d]") TW_PUT_BYTE("%[y]", "%[c]") scale("%[c]", "%[e]") TW_PUT_BYTE("%[z]", "%[c]")
#define TW_LINES(size, body)                                                                                           \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[count]", size) body TW_ASM_END                                       \
                     : [x] "+r"(x), [y] "+r"(y), [z] "+r"(z), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d),  \
                       [e] "=&r"(e)                                                                                    \
                     : [count] "r"(count), [x_step] "r"(x_step), [y_step] "r"(y_step), [w0] "r"(w[0]), [w1] "r"(w[4]), \
                       [w2] "r"(w[8]), [v0] "r"(v0), [v1] "r"(v1), [v2] "r"(v2), [mul] "r"(s->mul),                    \
                       [add] "r"(s->add), [top] "r"(s->top), [shift] "r"(s->shift), [low] "r"(s->low),                 \
                       [high] "r"(s->high), [bias] "r"(s->bias)                                                        \
                     : "memory")
#endif

/* `count` results of one channel with three elements along, x_step and y_step bytes apart; a second line at z, where
 * there is one (z is not y), has the weights moved up by `moved` bits. product: TW_NARROW, TW_TOP or TW_HIGH. */
static void triples(const int32_t *x, int x_step, int8_t *y, int8_t *z, int y_step, const int32_t w[12], int moved,
                    const struct scale *s, int product, int x_signed, int count)
{
    int32_t v0 = moved_up(w[0], moved), v1 = moved_up(w[4], moved), v2 = moved_up(w[8], moved);
#if defined(__riscv)
    int32_t a, b, c, d, e;
    switch ((product * 2 + x_signed) * 2 + (z != y)) {
    case TW_NARROW * 4:
        TW_LINES("13", TW_ONE_LINE(TW_SDOTUSP, TW_SCALE_NARROW));
        break;
    case TW_NARROW * 4 + 1:
        TW_LINES("23", TW_TWO_LINES(TW_SDOTUSP, TW_SCALE_NARROW));
        break;
    case TW_NARROW * 4 + 2:
        TW_LINES("13", TW_ONE_LINE(TW_SDOTSP, TW_SCALE_NARROW));
        break;
    case TW_NARROW * 4 + 3:
        TW_LINES("23", TW_TWO_LINES(TW_SDOTSP, TW_SCALE_NARROW));
        break;
    case TW_TOP * 4:
        TW_LINES("12", TW_ONE_LINE(TW_SDOTUSP, TW_SCALE_TOP));
        break;
    case TW_TOP * 4 + 1:
        TW_LINES("21", TW_TWO_LINES(TW_SDOTUSP, TW_SCALE_TOP));
        break;
    case TW_TOP * 4 + 2:
        TW_LINES("12", TW_ONE_LINE(TW_SDOTSP, TW_SCALE_TOP));
        break;
    case TW_TOP * 4 + 3:
        TW_LINES("21", TW_TWO_LINES(TW_SDOTSP, TW_SCALE_TOP));
        break;
    case TW_HIGH * 4:
        TW_LINES("17", TW_ONE_LINE(TW_SDOTUSP, TW_SCALE_HIGH));
        break;
    case TW_HIGH * 4 + 1:
        TW_LINES("31", TW_TWO_LINES(TW_SDOTUSP, TW_SCALE_HIGH));
        break;
    case TW_HIGH * 4 + 2:
        TW_LINES("17", TW_ONE_LINE(TW_SDOTSP, TW_SCALE_HIGH));
        break;
    default:
        TW_LINES("31", TW_TWO_LINES(TW_SDOTSP, TW_SCALE_HIGH));
    }
#else
    int shift = s->shift + (product == TW_NARROW ? 0 : 32);
    for (int i = 0; i < count; i++, x += x_step / 4, y += y_step, z += y_step) {
        int32_t first = dot(dot(s->bias, x[0], w[0], x_signed), x[1], w[4], x_signed);
        int32_t second = dot(dot(s->bias, x[0], v0, x_signed), x[1], v1, x_signed);
        first = dot(first, x[2], w[8], x_signed);
        second = dot(second, x[2], v2, x_signed);
        if (z != y)
            *z = (int8_t)tw_requantised(second, s->mul, s->add, s->top, shift, s->low, s->high);
        *y = (int8_t)tw_requantised(first, s->mul, s->add, s->top, shift, s->low, s->high);
    }
#endif
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

/* `lines` of results that a strip serves, for channels c .. c + valid; `at` is where the first result lies. */
static void results(const struct depthwise *d, const struct tw_finish *f, const int32_t *w, int c, int valid, int lines,
                    int count, int at)
{
    const int across = d->across.y_step, along = d->along.y_step, lane = 8 * d->across.stride;
    const int32_t *add = f->add + c * f->add_step;
    struct scale s = {0, 0, 0, 0, f->product == TW_NARROW ? f->shift : f->shift - 32, f->low, f->high};
    for (int i = 0; i < valid; i++, w++, add += f->add_step) {
        const int32_t *x = d->strip + i * d->length;
        int8_t *y = (int8_t *)f->y + at + i;
        s.bias = f->b != 0 ? f->b[c + i] : 0;
        s.mul = f->mul[(c + i) * f->mul_step];
        s.add = add[0];
        s.top = f->add_bytes == 8 ? add[1] : add[0] >> 31;
        for (int line = 0; line < lines; line += 2, y += 2 * across) {
            int32_t moved[12];
            for (int k = 0; k < 12; k += 4)
                moved[k] = moved_up(w[k], line * lane);
            triples(x, d->along.stride * 4, y, line + 1 < lines ? y + across : y, along, moved, lane, &s, f->product,
                    d->x_signed, count);
        }
    }
}

/* Lines first .. last of the results of one image, for channels c .. c + valid. */
static void lines(const struct depthwise *d, const struct tw_finish *f, int image, int c, int valid, int first, int last)
{
    const struct axis *a = &d->across;
    const int8_t *x = d->x + image * d->image_x + c;
    int apart = d->along.kernel * 4, count = d->along.results;
    const int32_t *w = (const int32_t *)(const void *)d->w + c / 4 * d->chunks * apart;
    int quick = f->quads && d->chunks == 1 && d->along.kernel == 3 && d->along.dilation == 1;
    int shared = d->chunks == 1 && a->dilation == 1 ? (4 - a->kernel) / a->stride + 1 : 1;
    for (int v = first; v < last; v += shared) {
        int at = image * d->image_y + v * a->y_step + c;
        if (quick) {
            fill_strip(d, x, valid, v * a->stride - a->before, 0);
            results(d, f, w, c, valid, tw_pmin(shared, last - v), count, at);
            continue;
        }
        for (int i = 0; i < tw_pmin(shared, last - v); i++) {
            memset(d->sums, 0, (size_t)count * 4 * sizeof *d->sums);
            for (int chunk = 0; chunk < d->chunks; chunk++) {
                if (i == 0)
                    fill_strip(d, x, valid, v * a->stride - a->before, chunk);
                add_sums(d, w + chunk * apart, valid, 8 * i * a->stride, count);
            }
            tw_finish_any(f, d->sums, count, c, valid, at + i * a->y_step, d->along.y_step);
        }
    }
}

/* y = finish(conv(x, w)). x: [n][h][width][channels] of i8 or u8, `pad` outside; y: [n][oy][ox][channels]; see struct
 * tw_finish for the rest. A core computes the channels first .. last (`by_channel`), the strips along y or along x, or
 * else those rows, the strips along x. scratch: the strip, then sums of `most` results. */
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
                lines(&d, &f, image, c, tw_pmin(last - c, 4), 0, across.results);
        return;
    }
    for (int row = first, end; row < last; row = end) {
        int image = row / oy, line = row - image * oy;
        end = tw_pmin(last, row + oy - line);
        for (int c = 0; c < channels; c += 4)
            lines(&d, &f, image, c, tw_pmin(channels - c, 4), line, line + end - row);
    }
}
