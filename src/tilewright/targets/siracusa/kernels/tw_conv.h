/* The dense inner loop of the cluster's convolutions: sums of 4 output channels by 4 pixels, and what follows them.
 *
 * One step takes 4 products of all 16 sums: 8 loads and 16 dot products. Weights are packed [co / 4][depth / 4][4][4],
 * so that one pointer walks them; pixels are a constant number of bytes apart, in the image itself or in a buffer that
 * holds a copy of each window. The loop over groups of 4 channels is one piece of assembly of less than 512 bytes, so
 * that it stays in the core's own instruction cache.
 */
#ifndef TW_CONV_H
#define TW_CONV_H

#include "tw_sums.h"

/* What a panel reads: `rows` runs of `words` words for each of 4 pixels, which are `pixel` bytes apart. `back` leads
 * from the last pixel to the next word of the first, `step` from the end of a run to the begin of the next.
 * What it writes: bytes of `groups` times 4 channels of `count` pixels, these `stride` bytes apart. w, bias, mul, add,
 * top and y move on by 4 channels after each group; mul_step, add_step, bias_step: bytes between channels. top,
 * top_shift: the upper halves of add, or add itself and 31. TW_HALVES takes multipliers and addends from `scales`,
 * [group][mul, add][4], up to scales_end, and goes on with `panels` - 1 panels more, x_next and y_next bytes on, from
 * w_first and scales_first; upper and even: TW_UPPER_HALVES, TW_EVEN_BYTES. The assembly knows the offsets of all
 * fields. */
struct tw_panel {
    const int8_t *w, *x;
    int pixel, back, rows, words, step;
    int32_t *sums; /* [pixel][channel] */
    int groups;
    const int32_t *mul;
    int mul_step;
    const int32_t *add;
    int add_step, shift, low, high;
    int8_t *y;
    int stride, count;
    const int32_t *top;
    int top_shift;
    const int32_t *bias;
    int bias_step;
    const int32_t *scales, *scales_end;
    const int8_t *w_first;
    const int32_t *scales_first;
    int panels, x_next, y_next, upper, even;
};

#if defined(__riscv)
#define TW_DOTS(code, a, b, c, d, x)                                                                                   \
    TW_DOT(code, a, x, "t0") TW_DOT(code, b, x, "t1") TW_DOT(code, c, x, "t2") TW_DOT(code, d, x, "t3")

/* a0: the panel. 16 sums in a2-a7 and s2-s11, 4 per pixel; weights in t0-t3, pixels in t4 and t5. TW_DOTTED adds the
 * products, TW_STORED leaves the sums in memory, at t0. */
#define TW_READS "lw t0, 16(a0)\nlw a1, 0(a0)\nlw s1, 4(a0)\nlw t6, 8(a0)\nlw ra, 12(a0)\nlw s0, 20(a0)\n"
#define TW_BIASES                                                                                                      \
    "lw t1, 84(a0)\nlw t2, 88(a0)\n"                                                                                   \
    TW_LW_BY("a2", "t1", "t2") TW_LW_BY("a3", "t1", "t2") TW_LW_BY("a4", "t1", "t2") TW_LW_BY("a5", "t1", "t2")        \
    "sw t1, 84(a0)\nmv a6, a2\nmv a7, a3\nmv s2, a4\nmv s3, a5\nmv s4, a2\nmv s5, a3\nmv s6, a4\nmv s7, a5\n"          \
    "mv s8, a2\nmv s9, a3\nmv s10, a4\nmv s11, a5\n"
#define TW_ZEROS                                                                                                       \
    "mv a2, x0\nmv a3, x0\nmv a4, x0\nmv a5, x0\nmv a6, x0\nmv a7, x0\nmv s2, x0\nmv s3, x0\nmv s4, x0\nmv s5, x0\n"   \
    "mv s6, x0\nmv s7, x0\nmv s8, x0\nmv s9, x0\nmv s10, x0\nmv s11, x0\n"
#define TW_DOTTED(code)                                                                                                \
    TW_LOOP("1", "t0", "27") /* the instructions of a run */                                                           \
    TW_LOOP("0", "s0", "24") /* and of a word */                                                                       \
    TW_LW("t0", "a1", "4") TW_LW("t1", "a1", "4") TW_LW("t2", "a1", "4") TW_LW("t3", "a1", "4")                        \
    TW_LW_BY("t4", "s1", "t6") TW_LW_BY("t5", "s1", "t6")                                                              \
    TW_DOTS(code, "a2", "a3", "a4", "a5", "t4") TW_LW_BY("t4", "s1", "t6")                                             \
    TW_DOTS(code, "a6", "a7", "s2", "s3", "t5") TW_LW_BY("t5", "s1", "ra")                                             \
    TW_DOTS(code, "s4", "s5", "s6", "s7", "t4")                                                                        \
    TW_DOTS(code, "s8", "s9", "s10", "s11", "t5")                                                                      \
    "lw t0, 24(a0)\nadd s1, s1, t0\n"                                                                                  \
    "sw a1, 0(a0)\n"
#define TW_STORED                                                                                                      \
    "lw t0, 28(a0)\n"                                                                                                  \
    "sw a2, 0(t0)\nsw a3, 4(t0)\nsw a4, 8(t0)\nsw a5, 12(t0)\nsw a6, 16(t0)\nsw a7, 20(t0)\n"                          \
    "sw s2, 24(t0)\nsw s3, 28(t0)\nsw s4, 32(t0)\nsw s5, 36(t0)\nsw s6, 40(t0)\nsw s7, 44(t0)\n"                       \
    "sw s8, 48(t0)\nsw s9, 52(t0)\nsw s10, 56(t0)\nsw s11, 60(t0)\n"
#define TW_SUM(code) TW_READS TW_BIASES TW_DOTTED(code) TW_STORED

/* Multipliers of 4 channels in s2-s5, addends in s6-s9; then what the loop over pixels needs. */
#define TW_SCALES                                                                                                      \
    "lw a1, 36(a0)\nlw a2, 40(a0)\nlw a3, 44(a0)\nlw a4, 48(a0)\n"                                                     \
    TW_LW_BY("s2", "a1", "a2") TW_LW_BY("s3", "a1", "a2") TW_LW_BY("s4", "a1", "a2") TW_LW_BY("s5", "a1", "a2")        \
    TW_LW_BY("s6", "a3", "a4") TW_LW_BY("s7", "a3", "a4") TW_LW_BY("s8", "a3", "a4") TW_LW_BY("s9", "a3", "a4")        \
    "sw a1, 36(a0)\nsw a3, 44(a0)\n"                                                                                   \
    "lw t1, 64(a0)\nlw a5, 52(a0)\nlw a6, 56(a0)\nlw a7, 60(a0)\nlw t2, 68(a0)\nlw t3, 72(a0)\n"                       \
    "addi s10, t1, 4\nsw s10, 64(a0)\n"
/* Their upper halves in a1-a4. */
#define TW_TOPS                                                                                                        \
    "lw s10, 76(a0)\nlw s11, 80(a0)\n"                                                                                 \
    TW_LW_BY("a1", "s10", "a4") TW_LW_BY("a2", "s10", "a4") TW_LW_BY("a3", "s10", "a4") TW_LW_BY("a4", "s10", "a4")    \
    "sw s10, 76(a0)\nsra a1, a1, s11\nsra a2, a2, s11\nsra a3, a3, s11\nsra a4, a4, s11\n"

#define TW_EACH(op) op("s10", "t4", "s2", "s6", "a1") op("s11", "t5", "s3", "s7", "a2")                                \
    op("s1", "t6", "s4", "s8", "a3") op("t3", "ra", "s5", "s9", "a4")
#define TW_EACH_MV(y, sum, mul, add, top) "mv " y ", " add "\n"
#define TW_EACH_MAC(y, sum, mul, add, top) TW_MAC(y, sum, mul)
#define TW_EACH_HIGH(y, sum, mul, add, top)                                                                            \
    "mulh " y ", " sum ", " mul "\nmul " sum ", " sum ", " mul "\nadd " y ", " y ", " top "\nadd " sum ", " sum ", "   \
    add "\nsltu " sum ", " sum ", " add "\nadd " y ", " y ", " sum "\n"
#define TW_EACH_TOP(y, sum, mul, add, top)                                                                             \
    "mulh " y ", " sum ", " mul "\n.insn r 0x5b, 2, 0x20, " y ", " top ", a5\n" /* p.addN: y = (y + top) >> a5 */
#define TW_EACH_SRA(y, sum, mul, add, top) "sra " y ", " y ", a5\n"
#define TW_EACH_MAX(y, sum, mul, add, top) TW_MAX(y, y, "a6")
#define TW_EACH_MIN(y, sum, mul, add, top) TW_MIN(y, y, "a7")
/* Clip 4 numbers and store their bytes. */
#define TW_BYTES                                                                                                       \
    TW_EACH(TW_EACH_MAX) TW_EACH(TW_EACH_MIN)                                                                          \
    ".insn r 0x57, 1, 0x70, t4, s11, s10\n" /* pv.packlo.b */                                                          \
    ".insn r 0x57, 1, 0x6c, t4, t3, s1\n"   /* pv.packhi.b */                                                          \
    TW_SW_BY("t4", "t1", "t2")
#define TW_SUMS4 TW_LW("t4", "t0", "4") TW_LW("t5", "t0", "4") TW_LW("t6", "t0", "4") TW_LW("ra", "t0", "4")
#define TW_FINISH_NARROW                                                                                               \
    TW_SCALES TW_LOOP("0", "t3", "27") TW_SUMS4                                                                        \
    TW_EACH(TW_EACH_MV) TW_EACH(TW_EACH_MAC) TW_EACH(TW_EACH_SRA) TW_BYTES
#define TW_FINISH_HIGH                                                                                                 \
    TW_SCALES TW_TOPS TW_LOOP("0", "t3", "43") TW_SUMS4 TW_EACH(TW_EACH_HIGH) TW_EACH(TW_EACH_SRA) TW_BYTES
#define TW_FINISH_TOP TW_SCALES TW_TOPS TW_LOOP("0", "t3", "23") TW_SUMS4 TW_EACH(TW_EACH_TOP) TW_BYTES
/* All groups of all panels in halves. The next group is not more than 512 bytes of code away. */
#define TW_UPPER_PAIR(sum, other, m, n, add, next, at)                                                                 \
    "lw t4, " add "(a1)\nlw t5, " next "(a1)\n" TW_MAC("t4", sum, m) TW_MAC("t5", other, n)                            \
    TW_UPPER("t4", "t5", "ra") "sw t4, " at "(s0)\n"
#define TW_PANELS_HALVES(code)                                                                                         \
    ".p2align 4\n1:\n" TW_READS TW_ZEROS TW_DOTTED(code)                                                               \
    "lw a1, 92(a0)\nlw s0, 28(a0)\nlw ra, 120(a0)\nlw t0, 0(a1)\nlw t1, 4(a1)\nlw t2, 8(a1)\nlw t3, 12(a1)\n"          \
    TW_UPPER_PAIR("a2", "a3", "t0", "t1", "16", "20", "0") TW_UPPER_PAIR("a6", "a7", "t0", "t1", "16", "20", "8")      \
    TW_UPPER_PAIR("s4", "s5", "t0", "t1", "16", "20", "16") TW_UPPER_PAIR("s8", "s9", "t0", "t1", "16", "20", "24")    \
    TW_UPPER_PAIR("a4", "a5", "t2", "t3", "24", "28", "4") TW_UPPER_PAIR("s2", "s3", "t2", "t3", "24", "28", "12")     \
    TW_UPPER_PAIR("s6", "s7", "t2", "t3", "24", "28", "20") TW_UPPER_PAIR("s10", "s11", "t2", "t3", "24", "28", "28")  \
    "addi a1, a1, 32\nsw a1, 92(a0)\n"                                                                                 \
    "lw t1, 64(a0)\nlw t2, 68(a0)\nlw t3, 72(a0)\nlw a5, 52(a0)\nlw a6, 56(a0)\nlw a7, 60(a0)\nlw a3, 124(a0)\n"       \
    "lw a2, 96(a0)\naddi t0, t1, 4\nsw t0, 64(a0)\n"                                                                   \
    TW_LOOP("0", "t3", "10") TW_LW("t4", "s0", "4") TW_LW("t5", "s0", "4")                                             \
    TW_HALVES2("t4", "t5", "a5", "a6", "a7", "a3") TW_SW_BY("t4", "t1", "t2")                                          \
    "bne a1, a2, 1b\n"                                                                                                 \
    "lw t0, 108(a0)\nlw t1, 100(a0)\nlw t2, 104(a0)\nlw t3, 4(a0)\nlw t4, 112(a0)\nlw t5, 64(a0)\nlw t6, 116(a0)\n"    \
    "addi t0, t0, -1\nadd t3, t3, t4\nadd t5, t5, t6\n"                                                                \
    "sw t0, 108(a0)\nsw t1, 0(a0)\nsw t2, 92(a0)\nsw t3, 4(a0)\nsw t5, 64(a0)\nbgtz t0, 1b\n"
#define TW_GROUPS(what)                                                                                                \
    ".p2align 2\n1:\n" what "lw t0, 32(a0)\naddi t0, t0, -1\nsw t0, 32(a0)\nbgtz t0, 1b\n"
#define TW_PANEL(what)                                                                                                 \
    __asm__ volatile(TW_ASM_BEGIN what TW_ASM_END                                                                      \
                     :: "r"(a0)                                                                                        \
                     : "memory", "ra", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t0", "t1", "t2", "t3", "t4", "t5",   \
                       "t6", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11")
#endif

/* Sums of the next 4 channels, from their bias on; what is beyond the last is anything. */
TW_X void tw_panel_sums(struct tw_panel *p, int x_signed)
{
#if defined(__riscv)
    register struct tw_panel *a0 __asm__("a0") = p;
    if (x_signed)
        TW_PANEL(TW_SUM(TW_SDOTSP));
    else
        TW_PANEL(TW_SUM(TW_SDOTUSP));
#else
    const int8_t *x = p->x;
    for (int c = 0; c < 4; c++, p->bias += p->bias_step / 4)
        for (int i = 0; i < 4; i++)
            p->sums[i * 4 + c] = *p->bias;
    for (int row = 0; row < p->rows; row++, x += p->step)
        for (int k = 0; k < p->words; k++, p->w += 16, x += 3 * p->pixel + p->back)
            for (int i = 0; i < 64; i++) {
                int pixel = i / 16, channel = i / 4 % 4, lane = i % 4;
                int8_t value = x[pixel * p->pixel + lane];
                p->sums[pixel * 4 + channel] += p->w[channel * 4 + lane] * (x_signed ? value : (uint8_t)value);
            }
#endif
}

/* Multipliers and addends of `groups` * 4 channels for TW_HALVES: bias and the shift up to 16 are in them. */
TW_X void tw_scales(const struct tw_finish *f, int32_t *scales, int first, int groups)
{
    const int32_t *mul = f->mul + first * f->mul_step, *add = f->add + first * f->add_step;
    int up = f->shift < 16 ? 16 - f->shift : 0;
#pragma clang loop unroll(disable)
    for (int i = 0; i < groups * 4; i++, mul += f->mul_step, add += f->add_step) {
        uint32_t by = (uint32_t)*mul << up, bias = f->b != 0 ? (uint32_t)f->b[first + i] : 0;
        int32_t *to = scales + i + (i & ~3);
        to[0] = (int32_t)by;
        to[4] = (int32_t)(((uint32_t)*add << up) + bias * by);
    }
}

#if !defined(__riscv)
/* What the assembly does for TW_HALVES. */
TW_X void tw_panels_plain(struct tw_panel *p, int x_signed)
{
    for (; p->panels > 0; p->panels--, p->x += p->x_next, p->y += p->y_next) {
        for (; p->scales != p->scales_end; p->scales += 8, p->y += 4) {
            tw_panel_sums(p, x_signed);
            for (int c = 0; c < 4; c++)
                for (int i = 0; i < p->count; i++) {
                    int32_t sum = p->sums[i * 4 + c], mul = p->scales[c], add = p->scales[4 + c];
                    p->y[i * p->stride + c] =
                        (int8_t)tw_requantised(sum, mul, add, add >> 31, p->shift + 16, p->low, p->high);
                }
        }
        p->w = p->w_first;
        p->scales = p->scales_first;
    }
}
#endif

/* All groups of a panel, requantised; at least one. product: TW_NARROW, TW_TOP or TW_HIGH; TW_HALVES goes on. */
TW_X void tw_panel_bytes(struct tw_panel *p, int x_signed, int product)
{
#if defined(__riscv)
    register struct tw_panel *a0 __asm__("a0") = p;
    switch (product * 2 + x_signed) {
    case TW_HALVES * 2:
        TW_PANEL(TW_PANELS_HALVES(TW_SDOTUSP));
        break;
    case TW_HALVES * 2 + 1:
        TW_PANEL(TW_PANELS_HALVES(TW_SDOTSP));
        break;
    case TW_NARROW * 2:
        TW_PANEL(TW_GROUPS(TW_SUM(TW_SDOTUSP) TW_FINISH_NARROW));
        break;
    case TW_NARROW * 2 + 1:
        TW_PANEL(TW_GROUPS(TW_SUM(TW_SDOTSP) TW_FINISH_NARROW));
        break;
    case TW_TOP * 2:
        TW_PANEL(TW_GROUPS(TW_SUM(TW_SDOTUSP) TW_FINISH_TOP));
        break;
    case TW_TOP * 2 + 1:
        TW_PANEL(TW_GROUPS(TW_SUM(TW_SDOTSP) TW_FINISH_TOP));
        break;
    case TW_HIGH * 2:
        TW_PANEL(TW_GROUPS(TW_SUM(TW_SDOTUSP) TW_FINISH_HIGH));
        break;
    default:
        TW_PANEL(TW_GROUPS(TW_SUM(TW_SDOTSP) TW_FINISH_HIGH));
    }
#else
    int shift = product == TW_NARROW ? p->shift : p->shift + 32;
    if (product == TW_HALVES) {
        tw_panels_plain(p, x_signed);
        return;
    }
    for (; p->groups > 0; p->groups--, p->y += 4) {
        tw_panel_sums(p, x_signed);
        for (int c = 0; c < 4; c++, p->mul += p->mul_step / 4, p->add += p->add_step / 4, p->top += p->add_step / 4)
            for (int i = 0; i < p->count; i++) {
                int32_t sum = p->sums[i * 4 + c], top = *p->top >> p->top_shift;
                p->y[i * p->stride + c] = (int8_t)tw_requantised(sum, *p->mul, *p->add, top, shift, p->low, p->high);
            }
    }
#endif
}

#if defined(__riscv)
/* One number per row of tw_copy_rows: `load` and `store` take a step of their own. */
#define TW_COPY_COLUMN(at, load, store)                                                                                \
    into = to + (at), out = from + (at);                                                                               \
    __asm__ volatile(TW_ASM_BEGIN                                                                                      \
                     TW_LOOP("0", "%[rows]", "3")                                                                      \
                     load "nop\n" store TW_ASM_END                                                                     \
                     : [to] "+r"(into), [from] "+r"(out), [a] "=&r"(held)                                              \
                     : [rows] "r"(rows), [to_step] "r"(to_step), [from_step] "r"(from_step)                            \
                     : "memory")
#define TW_COPY_WORDS(at)                                                                                              \
    do {                                                                                                               \
        TW_COPY_COLUMN(at, TW_LW_BY("%[a]", "%[from]", "%[from_step]"),                                                \
                       TW_SW_BY("%[a]", "%[to]", "%[to_step]"));                                                       \
    } while (0)
#endif

/* `rows` (at least one) runs of `n` bytes: pairs of words first, then what is left column by column; the last word of
 * a run may overlap the one before. */
TW_X void tw_copy_rows(int8_t *to, int to_step, const int8_t *from, int from_step, int n, int rows)
{
#if defined(__riscv)
    int pairs = n >> 3, rest = n & 7;
    int8_t *into = to;
    const int8_t *out = from;
    uint32_t held, other;
    if (pairs > 0)
        __asm__ volatile(TW_ASM_BEGIN
                         TW_LOOP("1", "%[rows]", "7")
                         TW_LOOP("0", "%[pairs]", "4")
                         TW_LW("%[a]", "%[from]", "4") TW_LW("%[b]", "%[from]", "4")
                         TW_SW("%[a]", "%[to]", "4") TW_SW("%[b]", "%[to]", "4")
                         "add %[to], %[to], %[to_step]\nadd %[from], %[from], %[from_step]\n"
                         TW_ASM_END
                         : [to] "+r"(into), [from] "+r"(out), [a] "=&r"(held), [b] "=&r"(other)
                         : [pairs] "r"(pairs), [rows] "r"(rows), [to_step] "r"(to_step - pairs * 8),
                           [from_step] "r"(from_step - pairs * 8)
                         : "memory");
    if (n >= 4) {
        if (rest > 4)
            TW_COPY_WORDS(n - rest);
        if (rest > 0)
            TW_COPY_WORDS(n - 4);
    } else {
#pragma clang loop unroll(disable)
        for (int at = 0; at < n; at++) {
            TW_COPY_COLUMN(at, ".insn r 0x0b, 7, 0, %[a], %[from], %[from_step]\n",
                           ".insn r 0x2b, 4, 0, %[to_step], %[to], %[a]\n");
        }
    }
#else
    for (int row = 0; row < rows; row++)
        memcpy(to + row * to_step, from + row * from_step, (size_t)n);
#endif
}

/* `n` bytes of one value. */
TW_X void tw_fill(int8_t *to, int value, int n)
{
#if defined(__riscv)
    uint32_t word = (uint32_t)(uint8_t)value * 0x01010101u;
    int pairs = n >> 3;
    if (pairs > 0)
        __asm__ volatile(TW_ASM_BEGIN
                         TW_LOOP("0", "%[pairs]", "3")
                         TW_SW("%[word]", "%[to]", "4") TW_SW("%[word]", "%[to]", "4") "nop\n"
                         TW_ASM_END
                         : [to] "+r"(to)
                         : [word] "r"(word), [pairs] "r"(pairs)
                         : "memory");
    if (n & 4) {
        tw_store_word(to, word);
        to += 4;
    }
#pragma clang loop unroll(disable) vectorize(disable)
    for (int i = 0; i < (n & 3); i++)
        to[i] = (int8_t)value;
#else
    memset(to, value, (size_t)n);
#endif
}

#endif
