/* Products of bytes with rows of weights, for the chip. A core computes some rows of weights for all rows of x
 * (tokens), or all rows of weights for some tokens; see tw_gemm.h for the layout and tw_results.h for what follows. */
#include "tw_kernels.h"
#include "tw_gemm.h"
#include "tw_results.h"

struct product {
    const int8_t *x, *w;
    int rows, cols, pitch;
    struct tw_results to;
};

enum { ROW = 64, BLOCK = 32 }; /* inputs that fit into registers; sums of a row that wait for what follows */

/* A row of 64 inputs stays in registers, weights stream by: 32 instructions for 64 products, and what `tail` adds. */
#define LOAD_8(a, b, c, d, e, f, g, h)                                                                                 \
    TW_LW(a, "%[x]", "4") TW_LW(b, "%[x]", "4") TW_LW(c, "%[x]", "4") TW_LW(d, "%[x]", "4")                            \
    TW_LW(e, "%[x]", "4") TW_LW(f, "%[x]", "4") TW_LW(g, "%[x]", "4") TW_LW(h, "%[x]", "4")
#define NEXT_A(x) TW_LW("%[a]", "%[w]", "4") TW_DOT(TW_SDOTSP, "%[s]", x, "%[b]")
#define NEXT_B(x) TW_LW("%[b]", "%[w]", "4") TW_DOT(TW_SDOTSP, "%[s]", x, "%[a]")
#define STREAM(size, tail)                                                                                             \
    TW_ASM_BEGIN LOAD_8("%[x0]", "%[x1]", "%[x2]", "%[x3]", "%[x4]", "%[x5]", "%[x6]", "%[x7]")                        \
    LOAD_8("%[x8]", "%[x9]", "%[x10]", "%[x11]", "%[x12]", "%[x13]", "%[x14]", "%[x15]")                               \
    TW_LOOP("0", "%[s]", "32+" size) TW_LW("%[a]", "%[w]", "4") TW_LW("%[b]", "%[w]", "4")                             \
    TW_DOT(TW_DOTSP, "%[s]", "%[x0]", "%[a]") NEXT_A("%[x1]") NEXT_B("%[x2]") NEXT_A("%[x3]") NEXT_B("%[x4]")          \
    NEXT_A("%[x5]") NEXT_B("%[x6]") NEXT_A("%[x7]") NEXT_B("%[x8]") NEXT_A("%[x9]") NEXT_B("%[x10]")                   \
    NEXT_A("%[x11]") NEXT_B("%[x12]") NEXT_A("%[x13]") NEXT_B("%[x14]") TW_DOT(TW_SDOTSP, "%[s]", "%[x15]", "%[b]")    \
    tail TW_ASM_END
#define REGISTERS                                                                                                      \
    [x0] "=&r"(v[0]), [x1] "=&r"(v[1]), [x2] "=&r"(v[2]), [x3] "=&r"(v[3]), [x4] "=&r"(v[4]), [x5] "=&r"(v[5]),        \
        [x6] "=&r"(v[6]), [x7] "=&r"(v[7]), [x8] "=&r"(v[8]), [x9] "=&r"(v[9]), [x10] "=&r"(v[10]),                    \
        [x11] "=&r"(v[11]), [x12] "=&r"(v[12]), [x13] "=&r"(v[13]), [x14] "=&r"(v[14]), [x15] "=&r"(v[15]),            \
        [a] "=&r"(v[16]), [b] "=&r"(v[17]), [s] "+r"(count), [w] "+r"(w), [x] "+r"(x)

/* Sums of `count` rows of 64 weights. */
static void stream(int32_t *y, const int8_t *w, const int8_t *x, int count)
{
#ifdef __riscv
    int32_t v[18];
    __asm__ volatile(STREAM("1", TW_SW("%[s]", "%[y]", "4")) : REGISTERS, [y] "+r"(y) : : "memory");
#else
    for (int i = 0; i < count; i++)
        y[i] = tw_dot_row(0, w + i * ROW, x, ROW, 1);
#endif
}

/* Results of such rows: multipliers of 8 bits per row, one addend, 32 bits enough. 7 instructions more. */
#define SCALED(put)                                                                                                    \
    STREAM("7", TW_LBU("%[a]", "%[mul]", "1") "mv %[b], %[add]\n" TW_MAC("%[b]", "%[s]", "%[a]")                       \
                "sra %[b], %[b], %[shift]\n" TW_MAX("%[b]", "%[b]", "%[low]") TW_MIN("%[b]", "%[b]", "%[high]") put)
#define STREAM_SCALED(name, type, put)                                                                                 \
    static void name(type *y, const int8_t *w, const int8_t *x, const uint8_t *mul, int32_t add, int shift,            \
                     int32_t low, int32_t high, int count)                                                             \
    {                                                                                                                  \
        TW_SAY(                                                                                                        \
            int32_t v[18];                                                                                             \
            __asm__ volatile(SCALED(put)                                                                               \
                             : REGISTERS, [y] "+r"(y), [mul] "+r"(mul)                                                 \
                             : [add] "r"(add), [shift] "r"(shift), [low] "r"(low), [high] "r"(high)                    \
                             : "memory"),                                                                              \
            for (int i = 0; i < count; i++) y[i] = (type)tw_between(                                                   \
                tw_pmac(add, tw_dot_row(0, w + i * ROW, x, ROW, 1), mul[i]) >> shift, low, high));                     \
    }
STREAM_SCALED(stream_i8, int8_t, TW_SB("%[b]", "%[y]", "1"))
STREAM_SCALED(stream_i16, int16_t, TW_SH("%[b]", "%[y]", "2"))

/* Rows first .. last of weights times token t, 64 signed inputs. */
static void one_short(const struct product *p, int t, int first, int last)
{
    const struct tw_results *to = &p->to;
    const int8_t *x = p->x + t * ROW, *w = p->w + first * ROW;
    int at = t * p->rows + first, plain = to->mode == TW_NARROW && to->b == 0 && to->r == 0;
    if (plain && to->mul_u8 && to->mul_step == 1 && to->add_step == 0 && to->bytes < 4) {
        const uint8_t *mul = (const uint8_t *)to->mul + first;
        int32_t add = tw_add_of(to, 0);
        if (to->bytes == 1)
            stream_i8((int8_t *)to->y + at, w, x, mul, add, to->shift, to->low, to->high, last - first);
        else
            stream_i16((int16_t *)to->y + at, w, x, mul, add, to->shift, to->low, to->high, last - first);
        return;
    }
    for (int r = first, count; r < last; r += count, w += BLOCK * ROW, at += BLOCK) {
        int32_t s[BLOCK];
        count = last - r < BLOCK ? last - r : BLOCK;
        stream(s, w, x, count);
        tw_finish_row(to, s, r, at, count);
    }
}

/* Rows first .. last of weights times token t. */
TW_X void one(const struct product *p, int t, int first, int last, int x_signed)
{
    const int8_t *x = p->x + t * p->cols, *w = p->w + first * p->pitch;
    int r = first, at = t * p->rows;
    if (x_signed && p->cols == ROW) {
        one_short(p, t, first, last);
        return;
    }
    for (int count; r < last; r += count, w += count * p->pitch) {
        int32_t s[8] = {0};
        count = last - r < 8 ? last - r : 8;
        if (count < 8) {
            count = count < 4 ? count : 4;
            if (x_signed)
                tw_dots_4x1_i8(s, w, p->pitch, count, x, p->cols);
            else
                tw_dots_4x1_u8(s, w, p->pitch, count, x, p->cols);
        } else if (x_signed)
            tw_dots_8x1_i8(s, w, p->pitch, x, p->cols);
        else
            tw_dots_8x1_u8(s, w, p->pitch, x, p->cols);
        tw_finish_row(&p->to, s, r, at + r, count);
    }
}

/* Rows first .. last of weights times tokens t .. end, in pairs. */
TW_X void pairs(const struct product *p, int t, int end, int first, int last, int x_signed)
{
    for (int r = first; r < last; r += 4) {
        int count = last - r < 4 ? last - r : 4;
        struct tw_channels c = tw_channels_of(&p->to, r, count);
        const int8_t *w = p->w + r * p->pitch, *x = p->x + t * p->cols;
        int at = t * p->rows + r;
        for (int i = t; i < end; i += 2, x += 2 * p->cols, at += 2 * p->rows) {
            int32_t s[8] = {0};
            if (x_signed)
                tw_dots_4x2_i8(s, w, p->pitch, count, x, x + p->cols, p->cols);
            else
                tw_dots_4x2_u8(s, w, p->pitch, count, x, x + p->cols, p->cols);
            tw_finish_4(&p->to, &c, s, r, at, count);
            tw_finish_4(&p->to, &c, s + 4, r, at + p->rows, count);
        }
    }
}

static void signed_part(const struct product *p, int t, int end, int first, int last)
{
    int even = end - (end - t) % 2;
    if (even > t)
        pairs(p, t, even, first, last, 1);
    if (even < end)
        one(p, even, first, last, 1);
}

static void unsigned_part(const struct product *p, int t, int end, int first, int last)
{
    int even = end - (end - t) % 2;
    if (even > t)
        pairs(p, t, even, first, last, 0);
    if (even < end)
        one(p, even, first, last, 0);
}

/* Rows (or tokens) first .. last of y = finish(x w^T). */
static void part(const struct product *p, int tokens, int form, int first, int last)
{
    int t = 0, end = tokens;
    if (first >= last)
        return;
    if (form & TW_BY_TOKENS)
        t = first, end = last, first = 0, last = p->rows;
    if (form & TW_X_SIGNED)
        signed_part(p, t, end, first, last);
    else
        unsigned_part(p, t, end, first, last);
}

TW_X int pitch_of(int cols)
{
    int words = TW_WORDS(cols);
    return 4 * (words > 16 ? words | 1 : words);
}

/* x: [tokens][cols] of i8 or u8, w: [rows] of pitch_of(cols), y: [tokens][rows]. */
void tw_dense_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const void *restrict mul,
                 const void *restrict add, void *restrict y, int tokens, int rows, int cols, int form, int shift,
                 int32_t low, int32_t high, int32_t acc_low, int32_t acc_high, int first, int last)
{
    struct product p = {x, w, rows, cols, pitch_of(cols),
                        tw_results_of(form, b, mul, add, y, shift, low, high, acc_low, acc_high)};
    part(&p, tokens, form, first, last);
}

/* y = clip(r + ((x w^T * mul + half) >> shift)), 16 bits. r and y may be the same. */
void tw_dense_add_i8(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r, const uint8_t *restrict mul,
                     int16_t *y, int tokens, int rows, int cols, int form, int shift, int64_t half, int first,
                     int last)
{
    struct product p = {x, w, rows, cols, pitch_of(cols),
                        tw_results_of(form, 0, mul, &half, y, shift, -65536, 65536, 0, 0)};
    p.to.r = r;
    part(&p, tokens, form, first, last);
}
