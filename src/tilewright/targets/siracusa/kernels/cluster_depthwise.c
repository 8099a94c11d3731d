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
    int channels, x_signed, length, chunks, image_x, image_y;
    int first, last; /* places of a strip within the image */
    int32_t outside; /* what is beyond */
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
        TW_TURN_FOUR
        TW_SW_BY("%[d]", "%[to]", "%[next]") TW_SW_BY("%[a]", "%[to]", "%[next]")
        TW_SW_BY("%[c]", "%[to]", "%[next]") TW_SW_BY("%[t]", "%[to]", "%[back]")
        TW_ASM_END
        : [to] "+r"(to), [p] "+r"(p), [q] "+r"(q), [r] "+r"(r), [s] "+r"(s), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
          [d] "=&r"(d), [t] "=&r"(t)
        : [count] "r"(count), [ps] "r"(step[0]), [qs] "r"(step[1]), [rs] "r"(step[2]), [ss] "r"(step[3]),
          [even] "r"(TW_EVEN_PAIRS), [odd] "r"(TW_ODD_PAIRS), [upper] "r"(TW_UPPER_HALVES), [next] "r"(length * 4),
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

/* What lies outside of the image at the ends of the strip: it stays there. */
static void fill_ends(const struct depthwise *d)
{
    int32_t *to = d->strip;
#pragma clang loop unroll(disable) vectorize(disable)
    for (int i = 0; i < d->length; i++)
        if (i < d->first || i >= d->last)
            for (int c = 0; c < 4; c++)
                to[c * d->length + i] = d->outside;
}

/* The strip of 4 channels of an image (`valid` of them exist) from place v across. */
static void fill_strip(const struct depthwise *d, const int8_t *image, int valid, int v, int chunk)
{
    const struct axis *u = &d->along, *a = &d->across;
    int first = d->first, last = d->last;
    const int8_t *line[4];
    int step[4];
    int8_t edge[4][4];
    for (int k = 0; k < 4; k++) {
        int at = v + (chunk * 4 + k) * a->dilation, in = at >= 0 && at < a->size;
        line[k] = in ? image + at * a->x_step + (first - u->before) * u->x_step : (const int8_t *)&d->outside;
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

/* Channels of a strip with three elements along, requantised to bytes: `count` results each, at y and, `line` bytes on,
 * of a second line whose weights are moved up by `lane` bits more; line is 0 where there is none. `moved`: bits that
 * the first line's weights are moved up by. x, w, bias, mul, add, top and y move on by a channel. bias, mul, add and
 * top have steps in bytes; top, top_shift: the upper halves of add, or add itself and 31. shift is without the 32 bits
 * that TW_TOP and TW_HIGH drop. The assembly knows the offsets of all fields. */
struct strip {
    const int32_t *x;
    int x_next, x_step, count;
    const int32_t *w;
    int moved, lane;
    const int32_t *bias;
    int bias_step;
    const int32_t *mul;
    int mul_step;
    const int32_t *add;
    int add_step;
    const int32_t *top;
    int top_shift, shift, low, high;
    int8_t *y;
    int line, y_step, channels;
};

#if defined(__riscv)
/* a0: the strip. Words in a4-a6, weights in s2-s4 and s5-s7, sums in a7 and t0, bias to top in s8-s11. */
#define TW_CHANNEL                                                                                                     \
    "lw t5, 16(a0)\nlw t6, 20(a0)\nlw ra, 24(a0)\nlw s2, 0(t5)\nlw s3, 16(t5)\nlw s4, 32(t5)\naddi t5, t5, 4\n"        \
    "sw t5, 16(a0)\nsll s2, s2, t6\nsll s3, s3, t6\nsll s4, s4, t6\nsll s5, s2, ra\nsll s6, s3, ra\nsll s7, s4, ra\n"  \
    "lw t5, 28(a0)\nlw t6, 32(a0)\n" TW_LW_BY("s8", "t5", "t6") "sw t5, 28(a0)\n"                                      \
    "lw t5, 36(a0)\nlw t6, 40(a0)\n" TW_LW_BY("s9", "t5", "t6") "sw t5, 36(a0)\n"                                      \
    "lw t5, 44(a0)\nlw t6, 48(a0)\n" TW_LW_BY("s10", "t5", "t6") "sw t5, 44(a0)\n"                                     \
    "lw t5, 52(a0)\nlw ra, 56(a0)\n" TW_LW_BY("s11", "t5", "t6") "sw t5, 52(a0)\nsra s11, s11, ra\n"                   \
    "lw s1, 0(a0)\nlw t5, 4(a0)\nlw t1, 72(a0)\nadd t5, s1, t5\nsw t5, 0(a0)\nlw t6, 76(a0)\naddi t5, t1, 1\n"         \
    "sw t5, 72(a0)\nadd t2, t1, t6\nlw t5, 12(a0)\nlw t3, 80(a0)\nlw t4, 8(a0)\nlw a1, 60(a0)\nlw a2, 64(a0)\n"        \
    "lw a3, 68(a0)\n"
#define TW_PLACES "lw a5, 4(s1)\nlw a6, 8(s1)\n" TW_LW_BY("a4", "s1", "t4")
#define TW_TRIPLE(code, sum, w0, w1, w2)                                                                               \
    TW_DOT(code, sum, "a5", w1) TW_DOT(code, sum, "a6", w2) TW_DOT(code, sum, "a4", w0)
#define TW_TRIPLE_ALONE(code, first, sum, w0, w1, w2)                                                                  \
    TW_DOT(first, sum, "a5", w1) TW_DOT(code, sum, "a6", w2) TW_DOT(code, sum, "a4", w0)
#define TW_CLIP(z) TW_MAX(z, z, "a2") TW_MIN(z, z, "a3")
#define TW_SCALE_NARROW(y, sum) "mv " y ", s10\n" TW_MAC(y, sum, "s9") "sra " y ", " y ", a1\n" TW_CLIP(y)
#define TW_SCALE_POSITIVE(y, sum) "mv " y ", s10\n" TW_MAC(y, sum, "s9") "sra " y ", " y ", a1\n" TW_CLIPUR(y, y, "a3")
#define TW_SCALE_TOP(y, sum) "mulh " y ", " sum ", s9\n.insn r 0x5b, 2, 0x20, " y ", s11, a1\n" TW_CLIP(y) /* p.addN */
#define TW_SCALE_HIGH(y, sum)                                                                                          \
    "mulh " y ", " sum ", s9\nmul " sum ", " sum ", s9\nadd " y ", " y ", s11\nadd " sum ", " sum ", s10\n"            \
    "sltu " sum ", " sum ", s10\nadd " y ", " y ", " sum "\nsra " y ", " y ", a1\n" TW_CLIP(y)
#define TW_PUT_BYTE(y, value) ".insn r 0x2b, 4, 0, t3, " y ", " value "\n" /* p.sb value, t3(y!) */
#define TW_ONE_LINE(code, scale)                                                                                       \
    TW_PLACES "mv a7, s8\n" TW_TRIPLE(code, "a7", "s2", "s3", "s4") scale("a6", "a7") TW_PUT_BYTE("t1", "a6")
#define TW_TWO_LINES(code, scale)                                                                                      \
    TW_PLACES "mv a7, s8\nmv t0, s8\n" TW_TRIPLE(code, "a7", "s2", "s3", "s4")                                         \
    TW_TRIPLE(code, "t0", "s5", "s6", "s7")                                                                            \
    scale("a6", "a7") TW_PUT_BYTE("t1", "a6") scale("a6", "t0") TW_PUT_BYTE("t2", "a6")
/* The same with the bias in the addend, and clipped from 0 on. */
#define TW_ONE_LINE_POSITIVE(code, first)                                                                              \
    TW_PLACES TW_TRIPLE_ALONE(code, first, "a7", "s2", "s3", "s4") TW_SCALE_POSITIVE("a6", "a7") TW_PUT_BYTE("t1", "a6")
#define TW_TWO_LINES_POSITIVE(code, first)                                                                             \
    TW_PLACES TW_TRIPLE_ALONE(code, first, "a7", "s2", "s3", "s4")                                                     \
    TW_TRIPLE_ALONE(code, first, "t0", "s5", "s6", "s7")                                                               \
    TW_SCALE_POSITIVE("a6", "a7") TW_PUT_BYTE("t1", "a6") TW_SCALE_POSITIVE("a6", "t0") TW_PUT_BYTE("t2", "a6")
#define TW_CHANNELS(size, body) TW_CHANNELS_AFTER("", size, body)
#define TW_CHANNELS_AFTER(before, size, body)                                                                          \
    __asm__ volatile(TW_ASM_BEGIN "1:\n" TW_CHANNEL before TW_LOOP("0", "t5", size) body                               \
                     "lw t0, 84(a0)\naddi t0, t0, -1\nsw t0, 84(a0)\nbgtz t0, 1b\n" TW_ASM_END                         \
                     :: "r"(a0)                                                                                        \
                     : "memory", "ra", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3", "t4", "t5",   \
                       "t6", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11")
#define TW_BOTH(one, two, code, scale)                                                                                 \
    if (s->line == 0)                                                                                                  \
        TW_CHANNELS(one, TW_ONE_LINE(code, scale));                                                                    \
    else                                                                                                               \
        TW_CHANNELS(two, TW_TWO_LINES(code, scale))
#define TW_BOTH_POSITIVE(code, first)                                                                                  \
    if (s->line == 0)                                                                                                  \
        TW_CHANNELS_AFTER(TW_MAC("s10", "s8", "s9"), "11", TW_ONE_LINE_POSITIVE(code, first));                         \
    else                                                                                                               \
        TW_CHANNELS_AFTER(TW_MAC("s10", "s8", "s9"), "19", TW_TWO_LINES_POSITIVE(code, first))
#endif

/* All channels of a strip. product: TW_NARROW, TW_TOP or TW_HIGH. */
static __attribute__((noinline)) void strip_channels(struct strip *s, int product, int x_signed)
{
#if defined(__riscv)
    register struct strip *a0 __asm__("a0") = s;
    /* TW_NONE has no assembly; its numbers are for TW_NARROW clipped from 0 on */
    switch ((product == TW_NARROW && s->low == 0 ? TW_NONE : product) * 2 + x_signed) {
    case TW_NONE * 2:
        TW_BOTH_POSITIVE(TW_SDOTUSP, TW_DOTUSP);
        break;
    case TW_NONE * 2 + 1:
        TW_BOTH_POSITIVE(TW_SDOTSP, TW_DOTSP);
        break;
    case TW_NARROW * 2:
        TW_BOTH("13", "23", TW_SDOTUSP, TW_SCALE_NARROW);
        break;
    case TW_NARROW * 2 + 1:
        TW_BOTH("13", "23", TW_SDOTSP, TW_SCALE_NARROW);
        break;
    case TW_TOP * 2:
        TW_BOTH("12", "21", TW_SDOTUSP, TW_SCALE_TOP);
        break;
    case TW_TOP * 2 + 1:
        TW_BOTH("12", "21", TW_SDOTSP, TW_SCALE_TOP);
        break;
    case TW_HIGH * 2:
        TW_BOTH("17", "31", TW_SDOTUSP, TW_SCALE_HIGH);
        break;
    default:
        TW_BOTH("17", "31", TW_SDOTSP, TW_SCALE_HIGH);
    }
#else
    int shift = s->shift + (product == TW_NARROW ? 0 : 32);
    for (int c = 0; c < s->channels; c++)
        for (int line = 0; line < (s->line != 0 ? 2 : 1); line++) {
            const int32_t *x = s->x + c * s->x_next / 4;
            int bits = s->moved + line * s->lane, mul = s->mul[c * s->mul_step / 4], add = s->add[c * s->add_step / 4];
            int top = s->top[c * s->add_step / 4] >> s->top_shift;
            for (int i = 0; i < s->count; i++, x += s->x_step / 4) {
                int32_t sum = s->bias[c * s->bias_step / 4];
                for (int k = 0; k < 3; k++)
                    sum = dot(sum, x[k], moved_up(s->w[k * 4 + c], bits), x_signed);
                s->y[c + line * s->line + i * s->y_step] =
                    (int8_t)tw_requantised(sum, mul, add, top, shift, s->low, s->high);
            }
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

static const int32_t nothing = 0;

/* What is the same for all strips. */
static struct strip strip_of(const struct depthwise *d, const struct tw_finish *f)
{
    struct strip s;
    s.x_next = d->length * 4;
    s.x_step = d->along.stride * 4;
    s.count = d->along.results;
    s.lane = 8 * d->across.stride;
    s.bias_step = f->b != 0 ? 4 : 0;
    s.mul_step = f->mul_step * 4;
    s.add_step = f->add_step * 4;
    s.top_shift = f->add_bytes == 8 ? 0 : 31;
    s.shift = f->product == TW_NARROW ? f->shift : f->shift - 32;
    s.low = f->low;
    s.high = f->high;
    s.y_step = d->along.y_step;
    return s;
}

/* `lines` of results that a strip serves, for channels c .. c + valid; `at` is where the first result lies. */
TW_X void results(const struct depthwise *d, const struct tw_finish *f, struct strip *s, const int32_t *w, int c,
                  int valid, int lines, int at)
{
    int across = d->across.y_step;
#pragma clang loop unroll(disable)
    for (int line = 0; line < lines; line += 2) {
        s->x = d->strip;
        s->w = w;
        s->moved = line * s->lane;
        s->bias = f->b != 0 ? f->b + c : &nothing;
        s->mul = f->mul + c * f->mul_step;
        s->add = f->add + c * f->add_step;
        s->top = s->add + (f->add_bytes == 8);
        s->y = (int8_t *)f->y + at + line * across;
        s->line = line + 1 < lines ? across : 0;
        s->channels = valid;
        strip_channels(s, f->product, d->x_signed);
    }
}

/* Lines first .. last of the results of one image, for channels c .. c + valid. */
static void lines(const struct depthwise *d, const struct tw_finish *f, int image, int c, int valid, int first,
                  int last)
{
    const struct axis *a = &d->across;
    const int8_t *x = d->x + image * d->image_x + c;
    int apart = d->along.kernel * 4, count = d->along.results;
    const int32_t *w = (const int32_t *)(const void *)d->w + c / 4 * d->chunks * apart;
    int quick = f->quads && d->chunks == 1 && d->along.kernel == 3 && d->along.dilation == 1;
    struct strip s = strip_of(d, f);
    int shared = d->chunks == 1 && a->dilation == 1 ? (4 - a->kernel) / a->stride + 1 : 1;
    for (int v = first; v < last; v += shared) {
        int at = image * d->image_y + v * a->y_step + c;
        if (quick) {
            fill_strip(d, x, valid, v * a->stride - a->before, 0);
            results(d, f, &s, w, c, valid, tw_pmin(shared, last - v), at);
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
        x, w, (int32_t *)scratch, scratch + 4 * length, along, across, channels, x_signed, length,
        (across.kernel + 3) / 4, h * width * channels, oy * ox * channels,
        tw_pmin(along.before, length), tw_pmin(along.size + along.before, length),
        (int32_t)((uint32_t)(uint8_t)pad * 0x01010101u),
    };
    int quads = tw_in_quads(product, y_bytes);
    const struct tw_finish f = {b,        mul,   add, y,    product, mul_step, add_bytes,
                                add_step, shift, low, high, y_bytes, quads};
    if (first < last)
        fill_ends(&d);
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
