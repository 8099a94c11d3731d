/* The integer operators of a llama between its matrix products: embedding, RoPE, SwiGLU. Each call computes
 * elements first .. last of its result, flat. */
#include "tw_kernels.h"
#include "tw_llama.h"

#ifdef __riscv
/* y = row * scale, shifted, of `fours` times four bytes, at least once. A byte times one without sign fits 16 bits. */
TW_X void scaled_bytes(const int8_t *row, int16_t *y, int fours, int32_t scale, int shift)
{
    int32_t a, b, c, d;
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "13") TW_LW("%[d]", "%[row]", "4")
        TW_DOT(TW_DOTUSP, "%[a]", "%[s0]", "%[d]") TW_DOT(TW_DOTUSP, "%[b]", "%[s1]", "%[d]")
        TW_DOT(TW_DOTUSP, "%[c]", "%[s2]", "%[d]") TW_DOT(TW_DOTUSP, "%[d]", "%[s3]", "%[d]")
        TW_ADDRN("%[a]", "x0", "%[shift]") TW_ADDRN("%[b]", "x0", "%[shift]")
        TW_ADDRN("%[c]", "x0", "%[shift]") TW_ADDRN("%[d]", "x0", "%[shift]")
        TW_PACK_H("%[a]", "%[b]", "%[a]") TW_PACK_H("%[c]", "%[d]", "%[c]")
        TW_SW("%[a]", "%[y]", "4") TW_SW("%[c]", "%[y]", "4") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [row] "+&r"(row), [y] "+&r"(y)
        : [fours] "r"(fours), [s0] "r"(scale), [s1] "r"(scale << 8), [s2] "r"(scale << 16),
          [s3] "r"((uint32_t)scale << 24), [shift] "r"(shift)
        : "memory");
}
#endif

/* Rows of a table, each times a multiplier of its own; of `several`, by more code. */
TW_X void embedded(const int32_t *restrict tokens, const int8_t *restrict table, const uint8_t *restrict mul,
                   int16_t *restrict y, int cols, int pitch, int shift, int first, int last, const int several)
{
    int t = first < cols ? 0 : first / cols, c = first - t * cols;
    for (y += first; first < last; c = 0, t++) {
        int32_t token = tokens[t], scale = mul[token], left = last - first, n = left < cols - c ? left : cols - c;
        const int8_t *restrict row = table + token * pitch + c;
        first += n;
#ifdef __riscv
        if (!several) {
            int32_t a;
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "5") TW_LB("%[a]", "%[row]", "1")
                             "mul %[a], %[a], %[scale]\n" TW_ADDRN("%[a]", "x0", "%[shift]")
                             TW_CLIP("%[a]", "%[a]", "16") TW_SH("%[a]", "%[y]", "2") TW_ASM_END
                             : [a] "=&r"(a), [row] "+&r"(row), [y] "+&r"(y)
                             : [n] "r"(n), [scale] "r"(scale), [shift] "r"(shift)
                             : "memory");
            continue;
        }
        if (n >= 4) {
            scaled_bytes(row, y, n >> 2, scale, shift);
            row += n & ~3, y += n & ~3, n &= 3;
        }
#else
        (void)several;
#endif
        for (; n > 0; n--) /* a byte times one without sign fits 16 bits */
            *y++ = (int16_t)(tw_pmac(tw_half(shift), *row++, scale) >> shift);
    }
}

/* y[t] = row tokens[t] of the table * its multiplier. table: [vocabulary][pitch], as products read it; y:
 * [count][cols]. */
void __attribute__((minsize)) tw_cluster_embed(const int32_t *restrict tokens, const int8_t *restrict table,
                                               const uint8_t *restrict mul, int16_t *restrict y, int cols, int pitch,
                                               int shift, int first, int last)
{
    embedded(tokens, table, mul, y, cols, pitch, shift, first, last, 0);
}

/* The same of several rows. */
void __attribute__((minsize)) tw_cluster_embed_rows(const int32_t *restrict tokens, const int8_t *restrict table,
                                                    const uint8_t *restrict mul, int16_t *restrict y, int cols,
                                                    int pitch, int shift, int first, int last)
{
    embedded(tokens, table, mul, y, cols, pitch, shift, first, last, 1);
}

/* Turn `pairs` pairs by an angle each; at least one. */
TW_X void turned(const int16_t *x, const int16_t *cosine, const int16_t *sine, int8_t *y, int pairs, int32_t half,
                 int shift)
{
#ifdef __riscv
    int32_t a, b, u, v, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "14") TW_LH("%[a]", "%[x]", "2") TW_LH("%[u]", "%[cosine]", "2")
        TW_LH("%[b]", "%[x]", "2") TW_LH("%[v]", "%[sine]", "2") TW_MULS("%[p]", "%[a]", "%[u]")
        TW_MULS("%[u]", "%[b]", "%[u]") TW_MSU("%[p]", "%[b]", "%[v]") TW_MAC("%[u]", "%[a]", "%[v]")
        TW_ADDN("%[p]", "%[half]", "%[shift]") TW_ADDN("%[u]", "%[half]", "%[shift]")
        TW_CLIP("%[p]", "%[p]", "8") TW_CLIP("%[u]", "%[u]", "8")
        TW_SB("%[p]", "%[y]", "1") TW_SB("%[u]", "%[y]", "1") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v), [p] "=&r"(p), [x] "+&r"(x),
          [cosine] "+&r"(cosine), [sine] "+&r"(sine), [y] "+&r"(y)
        : [pairs] "r"(pairs), [half] "r"(half), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (; pairs > 0; pairs--, x += 2, y += 2) {
        int32_t a = x[0], b = x[1], u = *cosine++, v = *sine++;
        y[0] = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> shift, 8);
        y[1] = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> shift, 8);
    }
#endif
}

/* Turn the pairs (2i, 2i + 1) of every head of row t by the angles of position pos + t. x, y: [tokens][heads][hd],
 * width: heads * hd; table: [positions][hd], hd / 2 cosines and then hd / 2 sines, times 2^14. */
void tw_cluster_rope(const int16_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int width, int hd,
                     int pos, int shift, int first, int last)
{
    int c = first, pairs = hd >> 1;
    int32_t half = tw_half(shift);
    if (c >= width) {
        int t = c / width;
        pos += t, c -= t * width;
    }
    const int16_t *row = table + pos * hd;
    for (int left = width - c; first < last;) {
        while (c >= hd)
            c -= hd;
        int n = hd - c < last - first ? hd - c : last - first;
        const int16_t *cosine = row + (c >> 1), *sine = cosine + pairs;
        turned(x + first, cosine, sine, y + first, n >> 1, half, shift);
        c += n, left -= n, first += n;
        if (left == 0)
            left = width, c = 0, row += hd;
    }
}

/* Turn the pairs of `left` sums, cut to 16 bits, by the angles of their rows; the first row has n of them. */
static void __attribute__((noinline, minsize)) turned_sums(const int32_t *x, const int16_t *angles, int8_t *y, int n,
                                                           int width, int hd, int left, int shift)
{
    int pairs = hd >> 1;
    int32_t half = tw_half(shift);
    for (int i = 0; left > 0; left -= 2, x += 2, y += 2) {
        int32_t a = tw_pclip(x[0], 16), b = tw_pclip(x[1], 16), u = angles[i], v = angles[pairs + i];
        y[0] = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> shift, 8);
        y[1] = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> shift, 8);
        i = i + 1 < pairs ? i + 1 : 0, n -= 2;
        if (n == 0)
            n = width, angles += hd;
    }
}

#ifdef __riscv
/* Turn `heads` heads by the same angles, with a shift of 20: `fours` times two pairs of all of them; at least one of
 * each. back: elements of the heads, but four. */
TW_X void turned_heads(const int32_t *x, const int16_t *cosine, const int16_t *sine, int8_t *y, int fours, int heads,
                       int hd, int back)
{
    int32_t a, b, c, d, p, q, u0, u1, v0, v1, w0, w1;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[fours]", "32") TW_LH("%[u0]", "%[cosine]", "2") TW_LH("%[u1]", "%[cosine]", "2")
        TW_LH("%[v0]", "%[sine]", "2") TW_LH("%[v1]", "%[sine]", "2") "neg %[w0], %[v0]\n" "neg %[w1], %[v1]\n"
        TW_LOOP("0", "%[heads]", "23") TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4")
        TW_LW("%[c]", "%[x]", "4") TW_LW_BY("%[d]", "%[x]", "%[next]")
        TW_CLIP("%[a]", "%[a]", "16") TW_CLIP("%[b]", "%[b]", "16")
        TW_CLIP("%[c]", "%[c]", "16") TW_CLIP("%[d]", "%[d]", "16")
        TW_MULS("%[p]", "%[a]", "%[u0]") TW_MULS("%[a]", "%[a]", "%[v0]")
        TW_MULS("%[q]", "%[c]", "%[u1]") TW_MULS("%[c]", "%[c]", "%[v1]")
        TW_ROUNDED_MAC("%[p]", "%[b]", "%[w0]", "20") TW_ROUNDED_MAC("%[a]", "%[b]", "%[u0]", "20")
        TW_ROUNDED_MAC("%[q]", "%[d]", "%[w1]", "20") TW_ROUNDED_MAC("%[c]", "%[d]", "%[u1]", "20")
        TW_CLIP("%[p]", "%[p]", "8") TW_CLIP("%[a]", "%[a]", "8") TW_CLIP("%[q]", "%[q]", "8")
        TW_CLIP("%[c]", "%[c]", "8") TW_PACKLO("%[b]", "%[a]", "%[p]") TW_PACKHI("%[b]", "%[c]", "%[q]")
        TW_SW_BY("%[b]", "%[y]", "%[hd]") "sub %[x], %[x], %[back4]\n" "sub %[y], %[y], %[back]\n" TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [p] "=&r"(p), [q] "=&r"(q), [u0] "=&r"(u0),
          [u1] "=&r"(u1), [v0] "=&r"(v0), [v1] "=&r"(v1), [w0] "=&r"(w0), [w1] "=&r"(w1), [x] "+&r"(x),
          [cosine] "+&r"(cosine), [sine] "+&r"(sine), [y] "+&r"(y)
        : [fours] "r"(fours), [heads] "r"(heads), [hd] "r"(hd), [next] "r"(4 * hd - 12), [back] "r"(back),
          [back4] "r"(4 * back)
        : "memory");
    /* clang-format on */
}

/* turned_sums() of whole heads of a multiple of four, with that shift. */
static void __attribute__((noinline, minsize)) turned_by_20(const int32_t *x, const int16_t *angles, int8_t *y, int n,
                                                            int width, int hd, int left)
{
    for (int heads = 0, counted = 0; left > 0; left -= n, x += n, y += n, n = width, angles += hd) {
        n = n < left ? n : left;
        for (; counted < n; counted += hd)
            heads++;
        for (; counted > n; counted -= hd)
            heads--;
        turned_heads(x, angles, angles + (hd >> 1), y, hd >> 2, heads, hd, n - 4);
    }
}
#endif

/* The same from sums, which are cut to 16 bits: elements first .. last, multiples of hd. */
void __attribute__((minsize)) tw_cluster_rope_sums(const int32_t *restrict x, const int16_t *restrict table,
                                                   int8_t *restrict y, int width, int hd, int pos, int shift, int first,
                                                   int last)
{
    int t = first / width, n = width - (first - t * width), left = last - first;
    x += first, y += first, table += (pos + t) * hd;
#ifdef __riscv
    if (shift == 20 && (hd & 3) == 0)
        return turned_by_20(x, table, y, n, width, hd, left);
#endif
    turned_sums(x, table, y, n, width, hd, left, shift);
}

#ifdef __riscv
/* tw_cluster_swiglu of four elements `fours` times, at least once, with a shift that is part of the instructions;
 * `more` is 8 more. A product with `four` makes a byte of a its place in the table. Bytes 1 and 3 of b are numbers in
 * halves of one word, 0 and 2 those times 256 in another: products of 2 and 3 take the upper halves of entries. */
#define SWIGLU_BY(shift, more)                                                                                         \
    static __attribute__((noinline)) void swiglu_by_##shift(const int8_t *a, const int8_t *b, const int16_t *table,   \
                                                            int8_t *y, int fours)                                      \
    {                                                                                                                  \
        int32_t p0, p1, p2, p3, even, odd, four0 = 4, four1 = 4 << 8, four2 = 4 << 16, four3 = 4 << 24;                \
        __asm__ volatile(                                                                                              \
            TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "23") TW_LW("%[p3]", "%[a]", "4") TW_LW("%[even]", "%[b]", "4")      \
            TW_DOT(TW_DOTSP, "%[p0]", "%[p3]", "%[four0]") TW_DOT(TW_DOTSP, "%[p1]", "%[p3]", "%[four1]")              \
            TW_DOT(TW_DOTSP, "%[p2]", "%[p3]", "%[four2]") TW_DOT(TW_DOTSP, "%[p3]", "%[p3]", "%[four3]")              \
            TW_LW_AT("%[p0]", "%[table]", "%[p0]") TW_LW_AT("%[p1]", "%[table]", "%[p1]")                              \
            TW_LW_AT("%[p2]", "%[table]", "%[p2]") TW_LW_AT("%[p3]", "%[table]", "%[p3]")                              \
            TW_UPPER_BYTES("%[odd]", "%[even]") TW_LOWER_BYTES("%[even]", "%[even]")                                   \
            TW_ROUNDED_PRODUCT("%[p0]", "%[p0]", "%[even]", #more)                                                     \
            TW_ROUNDED_PRODUCT("%[p1]", "%[p1]", "%[odd]", #shift)                                                     \
            TW_ROUNDED_PRODUCT_HH("%[p2]", "%[p2]", "%[even]", #more)                                                  \
            TW_ROUNDED_PRODUCT_HH("%[p3]", "%[p3]", "%[odd]", #shift)                                                  \
            TW_CLIP("%[p0]", "%[p0]", "8") TW_CLIP("%[p1]", "%[p1]", "8") TW_CLIP("%[p2]", "%[p2]", "8")               \
            TW_CLIP("%[p3]", "%[p3]", "8") TW_PACKLO("%[odd]", "%[p1]", "%[p0]") TW_PACKHI("%[odd]", "%[p3]", "%[p2]") \
            TW_SW("%[odd]", "%[y]", "4") TW_ASM_END                                                                    \
            : [p0] "=&r"(p0), [p1] "=&r"(p1), [p2] "=&r"(p2), [p3] "=&r"(p3), [even] "=&r"(even), [odd] "=&r"(odd),    \
              [a] "+&r"(a), [b] "+&r"(b), [y] "+&r"(y)                                                                 \
            : [fours] "r"(fours), [table] "r"(table), [four0] "r"(four0), [four1] "r"(four1), [four2] "r"(four2),      \
              [four3] "r"(four3)                                                                                       \
            : "memory");                                                                                               \
    }
SWIGLU_BY(11, 19)
SWIGLU_BY(12, 20)
SWIGLU_BY(13, 21)
SWIGLU_BY(14, 22)
SWIGLU_BY(15, 23)
SWIGLU_BY(16, 24)

/* By shift, from LEAST_SHIFT on. */
#define LEAST_SHIFT 11
static void (*const swiglus[])(const int8_t *a, const int8_t *b, const int16_t *table, int8_t *y, int fours) = {
    swiglu_by_11, swiglu_by_12, swiglu_by_13, swiglu_by_14, swiglu_by_15, swiglu_by_16};
#endif

/* The same of any elements; the entry of 0 is at `table`. */
static void __attribute__((noinline)) swiglu(const int8_t *a, const int8_t *restrict b, const int16_t *restrict table,
                                             int8_t *y, int shift, int first, int last)
{
    int32_t half = tw_half(shift);
    TW_ROLLED for (int i = first; i < last; i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(half, table[2 * a[i]], b[i]) >> shift, 8);
}

/* y = clip((table[a + 128] * b + half) >> shift); y may be a. table: [256][2], each entry twice. */
void __attribute__((minsize)) tw_cluster_swiglu(const int8_t *a, const int8_t *restrict b,
                                                const int16_t *restrict table, int8_t *y, int shift, int first,
                                                int last)
{
#ifdef __riscv
    unsigned which = (unsigned)(shift - LEAST_SHIFT);
    int fours = (last - first) >> 2;
    if (which < sizeof swiglus / sizeof *swiglus && fours > 0) {
        swiglus[which](a + first, b + first, table + 256, y + first, fours);
        first += 4 * fours;
    }
#endif
    if (first < last)
        swiglu(a, b, table + 256, y, shift, first, last);
}

/* y = x, cut to 16 bits, for an even number of elements. */
TW_X void cut(const int32_t *x, int16_t *y, int n)
{
#ifdef __riscv
    int32_t a, b;
    if (n <= 0)
        return;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "6") TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4")
                         TW_CLIP("%[a]", "%[a]", "16") TW_CLIP("%[b]", "%[b]", "16")
                             TW_SH("%[a]", "%[y]", "2") TW_SH("%[b]", "%[y]", "2") TW_ASM_END
                     : [a] "=&r"(a), [b] "=&r"(b), [x] "+&r"(x), [y] "+&r"(y)
                     : [pairs] "r"(n >> 1)
                     : "memory");
#else
    for (int i = 0; i < n; i++)
        y[i] = (int16_t)tw_pclip(x[i], 16);
#endif
}

/* y = x + r, cut to 16 bits, for an even number of elements. What is cut to 18 bits before stays beyond them; sums of 32
 * bits need not be where they fit. */
#ifdef __riscv
#define CUT_SUMS(name, size, ...)                                                                                      \
    TW_X void name(const int32_t *x, const int16_t *r, int16_t *y, int n)                                              \
    {                                                                                                                  \
        int32_t a, b, c;                                                                                               \
        if (n <= 0)                                                                                                    \
            return;                                                                                                    \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", size) TW_LW("%[c]", "%[r]", "4")                        \
                             TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4") __VA_ARGS__                         \
                                 TW_MACS("%[a]", "%[c]", "%[ones]") TW_MACHHS("%[b]", "%[c]", "%[ones]")               \
                                     TW_CLIP("%[a]", "%[a]", "16") TW_CLIP("%[b]", "%[b]", "16")                       \
                                         TW_PACK_H("%[a]", "%[b]", "%[a]") TW_SW("%[a]", "%[y]", "4") TW_ASM_END       \
                         : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [x] "+&r"(x), [r] "+&r"(r), [y] "+&r"(y)          \
                         : [pairs] "r"(n >> 1), [ones] "r"(0x00010001)                                                 \
                         : "memory");                                                                                  \
    }
#else
#define CUT_SUMS(name, size, ...)                                                                                      \
    TW_X void name(const int32_t *x, const int16_t *r, int16_t *y, int n)                                              \
    {                                                                                                                  \
        for (int i = 0; i < n; i++)                                                                                    \
            y[i] = (int16_t)tw_pclip(tw_pclip(x[i], 18) + r[i], 16);                                                   \
    }
#endif
CUT_SUMS(cut_sums, "11", TW_CLIP("%[a]", "%[a]", "18") TW_CLIP("%[b]", "%[b]", "18"))
CUT_SUMS(cut_fitting, "9", )

/* y = x + r, cut to 16 bits; r may be y, or 0. fits: sums fit 32 bits. */
void tw_cluster_saturate(const int32_t *restrict x, const int16_t *r, int16_t *y, int fits, int first, int last)
{
    int even = (last - first) & ~1, i = first + even;
    if (r == 0)
        cut(x + first, y + first, even);
    else if (fits)
        cut_fitting(x + first, r + first, y + first, even);
    else
        cut_sums(x + first, r + first, y + first, even);
    if (i < last)
        y[i] = (int16_t)tw_pclip(tw_pclip(x[i], 18) + (r == 0 ? 0 : r[i]), 16);
}
