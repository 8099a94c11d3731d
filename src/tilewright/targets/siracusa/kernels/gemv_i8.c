/* Products of one row of bytes with rows of weights, for the chip: a core computes rows first .. last. */
#include "tw_kernels.h"
#include "tw_gemm.h"
#include "tw_llama.h"
#include "tw_results.h"
#include "tw_stream.h"

enum { BLOCK = 32 }; /* sums that wait for what follows */

/* Sums of `count` rows of 64 weights. */
TW_HELPER void stream(int32_t *y, const int8_t *w, const int8_t *x, int count)
{
#ifdef __riscv
    int32_t v[17];
    __asm__ volatile(TW_STREAM("1", TW_SW("%[s]", "%[y]", "4")) : TW_REGISTERS, [y] "+r"(y) : : "memory");
#else
    for (int i = 0; i < count; i++)
        y[i] = tw_dot_row(0, w + i * TW_ROW, x, TW_ROW, 1);
#endif
}

/* The same for rows first .. last, on their own: nothing follows the sums. */
void tw_stream_sums(const struct tw_stream_sums *given, int first, int last)
{
    if (first < last)
        stream(given->y + first, given->w + first * TW_ROW, given->x, last - first);
}

#ifdef __riscv
#define PUT(s) TW_SW("%[" s "]", "%[y]", "4")
#define WORD_OF(s, w) TW_DOT(TW_SDOTSP, "%[" s "]", "%[p]", "%[" w "]")
#define NONE(s) "li %[" s "], 0\n"
#define WORDS_OF(rows, body, each)                                                                                     \
    __asm__ volatile(TW_ASM_BEGIN each(NONE) TW_LOOP("0", "%[words]", "2*" rows "+1") TW_LW("%[p]", "%[x]", "4")       \
                         TW_LW("%[q]", "%[w0]", "4") body each(PUT) TW_ASM_END                                         \
                     : [x] "+r"(x), [w0] "+r"(w), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [s] "=&r"(s),           \
                       [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v), [p] "=&r"(p), [q] "=&r"(q), [r] "=&r"(r),             \
                       [y] "+r"(y)                                                                                     \
                     : [words] "r"(words)                                                                              \
                     : "memory")
#define EACH_1(f) f("s")
#define EACH_2(f) EACH_1(f) f("t")
#define EACH_3(f) EACH_2(f) f("u")
#define EACH_4(f) EACH_3(f) f("v")
#endif
/* Rows first .. last of the same for any whole words, `pitch` bytes from each other, one to four at a time: little code,
 * and as few instructions for few rows, 2 * rows + 1 for a word. */
void __attribute__((minsize)) tw_few_sums(const struct tw_few_sums *given, int first, int last)
{
    int32_t words = given->words, pitch = given->pitch;
    const int8_t *w = given->w + first * pitch;
    int32_t *y = given->y + first;
#ifdef __riscv
    TW_ROLLED
    for (int32_t left = last - first; left > 0; left -= 4) {
        int32_t p, q, r, s, t, u, v;
        __asm__("" : "+r"(w)); /* nothing of a round is computed in front of the first: mostly, there is no other */
        const int8_t *x = given->x, *w1 = w + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch, *next = w3 + pitch;
        if (left > 3)
            WORDS_OF("4",
                     TW_LW("%[r]", "%[w1]", "4") WORD_OF("s", "q") TW_LW("%[q]", "%[w2]", "4") WORD_OF("t", "r")
                         TW_LW("%[r]", "%[w3]", "4") WORD_OF("u", "q") WORD_OF("v", "r"),
                     EACH_4);
        else if (left > 2)
            WORDS_OF("3",
                     TW_LW("%[r]", "%[w1]", "4") WORD_OF("s", "q") TW_LW("%[q]", "%[w2]", "4") WORD_OF("t", "r")
                         WORD_OF("u", "q"),
                     EACH_3);
        else if (left > 1)
            WORDS_OF("2", TW_LW("%[r]", "%[w1]", "4") WORD_OF("s", "q") WORD_OF("t", "r"), EACH_2);
        else
            WORDS_OF("1", WORD_OF("s", "q"), EACH_1);
        w = next;
    }
#else
    for (; first < last; first++, w += pitch)
        *y++ = tw_dot_row(0, w, given->x, 4 * words, 1);
#endif
}

/* Results of such rows: multipliers of 8 bits per row, one addend, 32 bits enough. 7 instructions more. */
#define SCALED(put)                                                                                                    \
    TW_STREAM("7", TW_LBU("%[a]", "%[mul]", "1") "mv %[b], %[add]\n" TW_MAC("%[b]", "%[s]", "%[a]")                    \
                "sra %[b], %[b], %[shift]\n" TW_MAX("%[b]", "%[b]", "%[low]") TW_MIN("%[b]", "%[b]", "%[high]") put)
/* x: [64], w: [rows][64], mul: [rows], add: [1], y: [rows]. */
#define STREAM_SCALED(name, type, put)                                                                                 \
    __attribute__((noinline)) void name(const int8_t *restrict x, const int8_t *restrict w,                            \
                                               const uint8_t *restrict mul, const int32_t *restrict add,               \
                                               type *restrict y, int shift, int32_t low, int32_t high, int first,      \
                                               int last)                                                               \
    {                                                                                                                  \
        int32_t count = last - first, half = *add;                                                                     \
        if (count <= 0)                                                                                                \
            return;                                                                                                    \
        w += first * TW_ROW, mul += first, y += first;                                                                 \
        TW_SAY(                                                                                                        \
            int32_t v[17];                                                                                             \
            __asm__ volatile(SCALED(put)                                                                               \
                             : TW_REGISTERS, [y] "+r"(y), [mul] "+r"(mul)                                              \
                             : [add] "r"(half), [shift] "r"(shift), [low] "r"(low), [high] "r"(high)                   \
                             : "memory"),                                                                              \
            for (int i = 0; i < count; i++) y[i] = (type)tw_between(                                                   \
                tw_pmac(half, tw_dot_row(0, w + i * TW_ROW, x, TW_ROW, 1), mul[i]) >> shift, low, high));              \
    }
STREAM_SCALED(tw_stream_i8, int8_t, TW_SB("%[b]", "%[y]", "1"))
STREAM_SCALED(tw_stream_i16, int16_t, TW_SH("%[b]", "%[y]", "2"))

/* Multiples of such sums, of 32 bits. It is called once for a token, when the instruction cache has none of it: little
 * code. */
void __attribute__((minsize)) tw_stream_multiples(const struct tw_stream_multiples *given, int first, int last)
{
    const uint8_t *mul = given->mul + first;
    int32_t *y = given->y + first, n = last - first;
    if (n <= 0)
        return;
    stream(y, given->w + first * TW_ROW, given->x, n);
#ifdef __riscv
    int32_t a, b, p;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "5") TW_LBU("%[p]", "%[mul]", "1") "lw %[a], 0(%[y])\n"
                     "li %[b], 0\n" TW_MAC("%[b]", "%[a]", "%[p]") TW_SW("%[b]", "%[y]", "4") TW_ASM_END
                     : [a] "=&r"(a), [b] "=&r"(b), [p] "=&r"(p), [mul] "+&r"(mul), [y] "+&r"(y)
                     : [n] "r"(n)
                     : "memory");
#else
    for (int i = 0; i < n; i++)
        y[i] = tw_pmac(0, y[i], mul[i]);
#endif
}

/* The same for bytes with multipliers of 32 bits, less one, one for each row or (`mul_step` 0) for all. */
void tw_stream_bytes(const struct tw_stream_bytes *given, int first, int last)
{
    int step = given->mul_step;
    if (first < last)
        tw_bytes_of_rows(given->x, given->w + first * TW_ROW, given->mul + first * step, *given->add, given->y + first,
                         4 * step, given->shift, last - first);
}

/* y = SwiGLU of two such products, rounded. scratch: [last - first]. */
void tw_gated_i8(const struct tw_gated_i8 *given, int8_t *restrict scratch, int first, int last)
{
    const int8_t *x = given->x, *w_up = given->w_up + first * TW_ROW;
    int8_t *y = given->y;
    int32_t shift = given->gate_shift, half = tw_half(shift);
    tw_stream_i8(x, given->w_gate, given->mul_gate, &half, y, shift, -128, 127, first, last);
    shift = given->up_shift, half = tw_half(shift);
    tw_stream_i8(x, w_up, given->mul_up + first, &half, scratch, shift, -128, 127, 0, last - first);
    tw_swiglu(y + first, scratch, given->table, y + first, given->shift, 0, last - first);
}

/* The same for rows of any whole words, eight at a time: first and last are multiples of eight. */
void tw_eights_bytes(const int8_t *restrict x, const int8_t *restrict w, const int32_t *restrict mul,
                     const int32_t *restrict add, int8_t *restrict y, int cols, int mul_step, int shift, int first,
                     int last)
{
    int pitch = tw_pitch(cols);
    int32_t half = *add;
    w += first * pitch, mul += first * mul_step, y += first;
    for (; first < last; first += 8, w += 8 * pitch) {
        int32_t s[8] = {0};
        tw_dots_8x1_i8(s, w, pitch, x, cols);
#ifdef __riscv
        const int32_t *sum = s;
        int32_t a, b, c;
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "7") TW_LW("%[a]", "%[sum]", "4")
                             TW_LW_BY("%[b]", "%[mul]", "%[step]") "mv %[c], %[add]\n" TW_MAC("%[c]", "%[a]", "%[b]")
                                 "sra %[c], %[c], %[shift]\n.insn r 0x33, 1, 0x0a, %[c], %[c], x8\n"
                         TW_SB("%[c]", "%[y]", "1") TW_ASM_END
                         : [sum] "+r"(sum), [mul] "+r"(mul), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c)
                         : [n] "r"(8), [step] "r"(4 * mul_step), [add] "r"(half), [shift] "r"(shift)
                         : "memory");
#else
        for (int i = 0; i < 8; i++, mul += mul_step)
            *y++ = (int8_t)tw_pclip(tw_pmac(half, s[i], *mul) >> shift, 8);
#endif
    }
}

/* y = clip(r + ((x * mul + half) >> shift)), 16 bits, for n sums; r may be y. Scaled sums fit 32 bits. */
TW_HELPER void join(const int32_t *x, const int16_t *r, const uint8_t *mul, int16_t *y,
                                                  int shift, int32_t n)
{
#ifdef __riscv
    int32_t a, b, c, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LW("%[a]", "%[x]", "4") TW_LBU("%[p]", "%[mul]", "1")
        TW_LH("%[b]", "%[r]", "2") "li %[c], 0\n" TW_MAC("%[c]", "%[a]", "%[p]") TW_ADDRN("%[c]", "x0", "%[shift]")
        "add %[c], %[c], %[b]\n" TW_CLIP("%[c]", "%[c]", "16") TW_SH("%[c]", "%[y]", "2") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [p] "=&r"(p), [x] "+&r"(x), [r] "+&r"(r), [mul] "+&r"(mul),
          [y] "+&r"(y)
        : [n] "r"(n), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < n; i++)
        y[i] = (int16_t)tw_pclip((tw_pmac(tw_half(shift), x[i], mul[i]) >> shift) + r[i], 16);
#endif
}

/* The same for the sums first .. last of one row. */
void tw_cluster_scaled_add(const struct tw_cluster_scaled_add *given, int first, int last)
{
    if (first < last)
        join(given->x + first, given->r + first, given->mul + first, given->y + first, given->shift, last - first);
}

/* The same where s + x w^T are the sums, of one word of inputs. */
void __attribute__((minsize)) tw_cluster_rest_add(const struct tw_cluster_rest_add *given, int first, int last)
{
    const int32_t *s = given->s + first;
    const int8_t *w = given->w + 4 * first;
    const int16_t *r = given->r + first;
    const uint8_t *mul = given->mul + first;
    int16_t *y = given->y + first;
    int32_t n = last - first, x = tw_word_at(given->x);
    if (n <= 0)
        return;
#ifdef __riscv
    int32_t a, b, c, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "11") TW_LW("%[a]", "%[s]", "4") TW_LW("%[b]", "%[w]", "4")
        TW_LBU("%[p]", "%[mul]", "1") TW_DOT(TW_SDOTSP, "%[a]", "%[b]", "%[x]") TW_LH("%[b]", "%[r]", "2")
        "li %[c], 0\n" TW_MAC("%[c]", "%[a]", "%[p]") TW_ADDRN("%[c]", "x0", "%[shift]") "add %[c], %[c], %[b]\n"
        TW_CLIP("%[c]", "%[c]", "16") TW_SH("%[c]", "%[y]", "2") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [p] "=&r"(p), [s] "+&r"(s), [w] "+&r"(w), [r] "+&r"(r),
          [mul] "+&r"(mul), [y] "+&r"(y)
        : [n] "r"(n), [x] "r"(x), [shift] "r"(given->shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < n; i++) {
        int32_t sum = tw_vsdotsp_b(s[i], tw_word_at(w + 4 * i), x);
        join(&sum, r + i, mul + i, y + i, given->shift, 1);
    }
#endif
}

/* The same for the sums x w^T, which `scratch` holds. Scaled sums fit 30 bits. */
void __attribute__((minsize)) tw_stream_add(const struct tw_stream_add *given, int32_t *restrict scratch,
                                                   int first, int last)
{
    if (first >= last)
        return;
    stream(scratch, given->w + first * TW_ROW, given->x, last - first);
    join(scratch, given->r + first, given->mul + first, given->y + first, given->shift, last - first);
}

/* The same for any number of inputs, eight rows at a time: little code, for programs that hardly fit the instruction
 * cache. cols is a multiple of 4, first and last of 8. */
void tw_eights_add(const struct tw_eights_add *given, int first, int last)
{
    const int8_t *x = given->x, *w = given->w;
    const uint8_t *mul = given->mul + first;
    const int16_t *r = given->r + first;
    int16_t *y = given->y + first;
    int32_t cols = given->cols, pitch = tw_pitch(cols), shift = given->shift, half = given->half;
    for (; first < last; first += 8) {
        int32_t s[8] = {0};
        tw_dots_8x1_i8(s, w + first * pitch, pitch, x, cols);
#ifdef __riscv
        const int32_t *sum = s;
        int32_t a, b;
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LW("%[b]", "%[sum]", "4")
                             TW_LBU("%[a]", "%[mul]", "1") "mul %[b], %[b], %[a]\n" TW_LH("%[a]", "%[r]", "2")
                         "add %[b], %[b], %[half]\nsra %[b], %[b], %[shift]\nadd %[b], %[b], %[a]\n"
                         ".insn r 0x33, 1, 0x0a, %[b], %[b], x16\n" TW_SH("%[b]", "%[y]", "2") TW_ASM_END
                         : [a] "=&r"(a), [b] "=&r"(b), [sum] "+r"(sum), [y] "+r"(y), [r] "+r"(r), [mul] "+r"(mul)
                         : [n] "r"(8), [half] "r"(half), [shift] "r"(shift)
                         : "memory");
#else
        for (int i = 0; i < 8; i++, mul++, r++, y++)
            *y = (int16_t)tw_pclip((tw_pmac(half, s[i], *mul) >> shift) + *r, 16);
#endif
    }
}

/* Rows first .. last of weights, eight or four at a time. */
static void rows_of_any(const struct tw_results *f, const int8_t *x, const int8_t *w, int cols, int first, int last)
{
    int pitch = tw_pitch(cols), x_signed = f->form & TW_X_SIGNED;
    w += first * pitch;
    for (int r = first, count; r < last; r += count, w += count * pitch) {
        int32_t s[8] = {0};
        count = last - r;
        if (count >= 8) {
            count = 8;
            if (x_signed)
                tw_dots_8x1_i8(s, w, pitch, x, cols);
            else
                tw_dots_8x1_u8(s, w, pitch, x, cols);
        } else {
            count = count < 4 ? count : 4;
            if (x_signed)
                tw_dots_4x1_i8(s, w, pitch, count, x, cols);
            else
                tw_dots_4x1_u8(s, w, pitch, count, x, cols);
        }
        tw_finish_row(f, s, r, r, count);
    }
}

static void rows_of_64(const struct tw_results *f, const int8_t *x, const int8_t *w, int first, int last)
{
    w += first * TW_ROW;
    for (int r = first, count; r < last; r += count, w += BLOCK * TW_ROW) {
        int32_t s[BLOCK];
        count = last - r < BLOCK ? last - r : BLOCK;
        stream(s, w, x, count);
        tw_finish_row(f, s, r, r, count);
    }
}

static void part(const struct tw_results *f, const int8_t *x, const int8_t *w, int cols, int first, int last)
{
    if (cols == TW_ROW && f->form & TW_X_SIGNED)
        rows_of_64(f, x, w, first, last);
    else
        rows_of_any(f, x, w, cols, first, last);
}

/* x: [cols] of i8 or u8, w: [rows] of tw_pitch(cols), y: [rows]. */
void tw_gemv_i8(const void *restrict x, const int8_t *restrict w, const int32_t *restrict b, const void *restrict mul,
                const void *restrict add, void *restrict y, int cols, int form, int shift, int32_t low, int32_t high,
                int32_t acc_low, int32_t acc_high, int first, int last)
{
    struct tw_results f = {b, mul, add, 0, y, form, shift, low, high, acc_low, acc_high};
    part(&f, x, w, cols, first, last);
}

/* y = clip(r + ((x w^T * mul + half) >> shift)), 16 bits. r and y may be the same. */
void tw_gemv_add_i8(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r, const uint8_t *restrict mul,
                    int16_t *y, int cols, int form, int shift, int64_t half, int first, int last)
{
    struct tw_results f = {0, mul, &half, r, y, form, shift, -65536, 65536, 0, 0};
    part(&f, x, w, cols, first, last);
}
