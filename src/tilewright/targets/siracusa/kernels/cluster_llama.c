/* The integer operators of a llama between its matrix products: embedding, norm, RoPE, SwiGLU. Each call computes
 * elements first .. last of its result, flat. */
#include "tw_kernels.h"
#include "tw_llama.h"

/* y[t] = row tokens[t] of the table * its multiplier. table: [vocabulary][pitch], as products read it; y:
 * [count][cols]. */
void __attribute__((minsize)) tw_cluster_embed(const int32_t *restrict tokens, const int8_t *restrict table,
                                               const uint8_t *restrict mul, int16_t *restrict y, int cols, int pitch,
                                               int shift, int first, int last)
{
    int t = first < cols ? 0 : first / cols, c = first - t * cols;
    for (y += first; first < last; c = 0, t++) {
        int32_t token = tokens[t], scale = mul[token], left = last - first, n = left < cols - c ? left : cols - c;
        const int8_t *restrict row = table + token * pitch + c;
        first += n;
#ifdef __riscv
        int32_t a;
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "5") TW_LB("%[a]", "%[row]", "1")
                         "mul %[a], %[a], %[scale]\n" TW_ADDRN("%[a]", "x0", "%[shift]") TW_CLIP("%[a]", "%[a]", "16")
                         TW_SH("%[a]", "%[y]", "2") TW_ASM_END
                         : [a] "=&r"(a), [row] "+&r"(row), [y] "+&r"(y)
                         : [n] "r"(n), [scale] "r"(scale), [shift] "r"(shift)
                         : "memory");
#else
        for (; n > 0; n--)
            *y++ = (int16_t)tw_pclip(tw_pmac(tw_half(shift), *row++, scale) >> shift, 16);
#endif
    }
}

/* Sums over `words` pairs of words at x, modulo 2^32: of the squares, and of those of all upper bytes; returns what is
 * behind them. square_pairs has the squares in the first and the second word of a pair apart. */
#ifdef __riscv
#define SQUARES(second, ...)                                                                                           \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[words]", "6") TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4")  \
                         TW_DOT_H(TW_SDOTSP, "%[sum]", "%[a]", "%[a]") TW_DOT_H(TW_SDOTSP, second, "%[b]", "%[b]")     \
                         TW_SHUFFLE2("%[b]", "%[a]", "%[lanes]") TW_DOT(TW_SDOTSP, "%[upper]", "%[b]", "%[b]")         \
                         TW_ASM_END                                                                                    \
                     : [a] "=&r"(a), [b] "=&r"(b), [x] "+&r"(x), [sum] "+&r"(sum), [upper] "+&r"(upper)__VA_ARGS__     \
                     : [words] "r"(words), [lanes] "r"(lanes)                                                          \
                     : "memory")
#else
#define SQUARES(second, ...)                                                                                           \
    for (; words > 0; words--, x += 4) {                                                                               \
        a = tw_word_at(x), b = tw_word_at(x + 2);                                                                      \
        sum = tw_vsdotsp_h(sum, a, a), other = tw_vsdotsp_h(other, b, b);                                              \
        b = tw_vshuffle2_b(b, a, lanes);                                                                               \
        upper = tw_vsdotsp_b(upper, b, b);                                                                             \
    }
#endif
#define SQUARE_WORDS(name, ...)                                                                                        \
    TW_X const int16_t *name(const int16_t *x, int words, uint32_t sums[2], int32_t *high)                             \
    {                                                                                                                  \
        int32_t sum = 0, other = 0, upper = 0, lanes = 0x03010705, a, b;                                               \
        SQUARES(__VA_ARGS__);                                                                                          \
        sums[0] = (uint32_t)sum, sums[1] = (uint32_t)other, *high = upper;                                             \
        return x;                                                                                                      \
    }
#define TW_COMMA ,
SQUARE_WORDS(square_words, "%[sum]", )
SQUARE_WORDS(square_pairs, "%[other]", TW_COMMA[other] "+&r"(other))

/* Exact sum of squares and total, over at most 16 pairs of words. With x = 256 h + l of unsigned l, 65536 times the sum
 * of h^2 is off by less than 2^31 over 64 elements, and so tells how often the sum modulo 2^32 went round. */
TW_X uint64_t with_squares(uint64_t total, const uint32_t sums[2], int32_t high)
{
    uint32_t low = sums[0] + sums[1];
    high = (high - (int32_t)(low >> 16) + 32768) >> 16;
    return total + ((uint64_t)high << 32 | low);
}

/* Exact sum of the squares of n elements and total; those of each word of a pair go onto sums, modulo 2^32. */
static uint64_t sum_of_squares(const int16_t *x, int n, uint64_t total, uint32_t sums[2])
{
    for (int words; n >= 4; n -= 4 * words) {
        uint32_t found[2];
        int32_t high;
        words = n < 64 ? n >> 2 : 16;
        x = square_pairs(x, words, found, &high);
        total = with_squares(total, found, high);
        sums[0] += found[0], sums[1] += found[1];
    }
    for (int i = 0; i < n; i++)
        total += (uint32_t)(x[i] * x[i]);
    return total;
}

/* floor(sqrt(value)) of value >= 2^30: a chord of one of twelve parts, right to one part in 500, and a step of
 * Newton's. An entry has where the chord begins in its upper half, and how far it rises in its lower one. */
TW_X uint32_t root(uint32_t value)
{
#define CHORD(from, to) ((uint32_t)(from) << 16 | ((to) - (from)))
    static const uint32_t chords[16] = {
        0, 0, 0, 0, CHORD(32768, 36636), CHORD(36636, 40132), CHORD(40132, 43348), CHORD(43348, 46341),
        CHORD(46341, 49152), CHORD(49152, 51811), CHORD(51811, 54340), CHORD(54340, 56756), CHORD(56756, 59073),
        CHORD(59073, 61303), CHORD(61303, 63455), CHORD(63455, 65535),
    };
    int32_t chord = (int32_t)chords[value >> 28];
    uint32_t guess = (uint32_t)tw_pmacun(chord, chord, (int32_t)(value >> 12), 16), result;
    result = (guess + value / guess) >> 1; /* not below the root, and less than one above */
    result -= result >> 16;
    return result - (result * result > value);
}

/* y = clip(((x * reciprocal >> down) * w + half) >> shift) for n elements. */
TW_X void scaled(const int16_t *x, const int16_t *w, int8_t *y, int n, int32_t reciprocal, int down, int shift)
{
#ifdef __riscv
    int32_t a, b, c;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LH("%[a]", "%[x]", "2") TW_LH("%[b]", "%[w]", "2")
        "mul %[a], %[a], %[reciprocal]\nli %[c], 0\nsra %[a], %[a], %[down]\n" TW_MAC("%[c]", "%[a]", "%[b]")
        TW_ADDRN("%[c]", "x0", "%[shift]") TW_CLIP("%[c]", "%[c]", "8") TW_SB("%[c]", "%[y]", "1") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [x] "+&r"(x), [w] "+&r"(w), [y] "+&r"(y)
        : [n] "r"(n), [reciprocal] "r"(reciprocal), [down] "r"(down), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < n; i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(tw_half(shift), x[i] * reciprocal >> down, w[i]) >> shift, 8);
#endif
}

/* The number by which x is multiplied, then shifted `down`, to be 2^15 x / sqrt(total). */
TW_X int32_t reciprocal_root(uint64_t total, int *down)
{
    uint32_t low = (uint32_t)total, high = (uint32_t)(total >> 32);
    if (high > 0) {
        *down = (32 + tw_pfl1((int32_t)high)) >> 1;
        low = high << (62 - 2 * *down) | low >> (2 * *down - 30);
    } else {
        *down = tw_pfl1((int32_t)low) >> 1;
        low <<= 30 - 2 * *down;
    }
    return (int32_t)((1u << 30) / root(low));
}

#ifdef __riscv
/* scaled() of four elements `fours` times, at least once, with a shift that is part of the instructions, where what is
 * shifted down fits 16 bits. by: the reciprocal in both halves. */
#define SCALED_BY(shift)                                                                                               \
    static __attribute__((noinline)) void scaled_by_##shift(const int16_t *x, const int16_t *w, int8_t *y, int fours,  \
                                                            int32_t by, int down)                                      \
    {                                                                                                                  \
        int32_t p, q, v, u, a, b, c, d;                                                                                \
        __asm__ volatile(                                                                                              \
            TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "25") TW_LW("%[p]", "%[x]", "4") TW_LW("%[q]", "%[x]", "4")          \
            TW_LW("%[v]", "%[w]", "4") TW_LW("%[u]", "%[w]", "4")                                                      \
            TW_MULS("%[a]", "%[p]", "%[by]") TW_MULHHS("%[b]", "%[p]", "%[by]")                                        \
            TW_MULS("%[c]", "%[q]", "%[by]") TW_MULHHS("%[d]", "%[q]", "%[by]")                                        \
            "sra %[a], %[a], %[down]\n" "sra %[b], %[b], %[down]\n"                                                    \
            "sra %[c], %[c], %[down]\n" "sra %[d], %[d], %[down]\n"                                                    \
            TW_PACK_H("%[p]", "%[b]", "%[a]") TW_PACK_H("%[q]", "%[d]", "%[c]")                                        \
            TW_ROUNDED_PRODUCT("%[a]", "%[p]", "%[v]", #shift) TW_ROUNDED_PRODUCT_HH("%[b]", "%[p]", "%[v]", #shift)   \
            TW_ROUNDED_PRODUCT("%[c]", "%[q]", "%[u]", #shift) TW_ROUNDED_PRODUCT_HH("%[d]", "%[q]", "%[u]", #shift)   \
            TW_CLIP("%[a]", "%[a]", "8") TW_CLIP("%[b]", "%[b]", "8") TW_CLIP("%[c]", "%[c]", "8")                     \
            TW_CLIP("%[d]", "%[d]", "8") TW_PACKLO("%[p]", "%[b]", "%[a]") TW_PACKHI("%[p]", "%[d]", "%[c]")           \
            TW_SW("%[p]", "%[y]", "4") TW_ASM_END                                                                      \
            : [p] "=&r"(p), [q] "=&r"(q), [v] "=&r"(v), [u] "=&r"(u), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),        \
              [d] "=&r"(d), [x] "+&r"(x), [w] "+&r"(w), [y] "+&r"(y)                                                   \
            : [fours] "r"(fours), [by] "r"(by), [down] "r"(down)                                                       \
            : "memory");                                                                                               \
    }
SCALED_BY(18)
SCALED_BY(19)
SCALED_BY(20)
SCALED_BY(21)
SCALED_BY(22)
SCALED_BY(23)
#define SCALED_CASE(shift)                                                                                             \
    case shift:                                                                                                        \
        return scaled_by_##shift;

typedef void scaling(const int16_t *x, const int16_t *w, int8_t *y, int fours, int32_t by, int down);

/* The loop for a shift, if there is one. No element may have as good as all of the squares, for the quotient would be
 * 2^15. */
TW_X scaling *scaling_of(int shift)
{
    switch (shift) {
        SCALED_CASE(18)
        SCALED_CASE(19)
        SCALED_CASE(20)
        SCALED_CASE(21)
        SCALED_CASE(22)
        SCALED_CASE(23)
    default:
        return 0;
    }
}

/* scaled() of a multiple of four elements by such a loop. A reciprocal of 2^15 is half of it, shifted less; where
 * nothing can be shifted less, all elements are zero. */
TW_X void scaled_by(scaling *loop, const int16_t *x, const int16_t *w, int8_t *y, int n, int32_t reciprocal, int down)
{
    if (reciprocal == 32768)
        reciprocal = 16384, down -= down > 0;
    loop(x, w, y, n >> 2, tw_vpack_h(reciprocal, reciprocal), down);
}
#endif

/* Whether two parts of the squares, which their sums modulo 2^32 tell, have more than one in 2^13 of the total each. */
TW_X int spread(uint64_t total, const uint32_t sums[2])
{
    uint32_t least = (uint32_t)total >> 13;
    return total >> 32 == 0 && sums[0] > least && sums[1] > least;
}

/* y = clip((t * w + half) >> shift), t = 2^15 x / sqrt(sum(x^2) + eps), for every row. x, y: [rows][n], w: [n]. */
void tw_cluster_rmsnorm(const int16_t *restrict x, const int16_t *restrict w, int8_t *restrict y, int n, int shift,
                        int64_t eps, int first, int last)
{
    int i = first < n ? first : first % n, once = n >= 4 && n <= 64 && (n & 3) == 0; /* squares are summed at once */
#ifdef __riscv
    scaling *loop = scaling_of(shift);
#endif
    for (x += first - i; first < last; i = 0, x += n) {
        uint32_t sums[2] = {0, 0};
        uint64_t total = (uint64_t)eps;
        if (once) {
            int32_t high;
            square_pairs(x, n >> 2, sums, &high);
            total = with_squares(total, sums, high);
        } else
            total = sum_of_squares(x, n, total, sums);
        int count = n - i < last - first ? n - i : last - first, down, done = 0;
        int32_t reciprocal = reciprocal_root(total, &down);
#ifdef __riscv
        if (loop != 0 && count >= 4 && spread(total, sums)) {
            done = count & ~3;
            scaled_by(loop, x + i, w + i, y + first, done, reciprocal, down);
        }
#endif
        if (done < count)
            scaled(x + i + done, w + i + done, y + first + done, count - done, reciprocal, down, shift);
        first += count;
    }
}

/* The same for one row of n elements, a multiple of 64. */
void __attribute__((minsize)) tw_cluster_rmsnorm_row(const struct tw_cluster_rmsnorm_row *given, int first, int last)
{
    const int16_t *x = given->x;
    uint64_t total = (uint64_t)given->eps;
    if (first >= last)
        return;
    for (const int16_t *at = x, *end = x + given->n; at < end;) {
        uint32_t sums[2];
        int32_t high;
        at = square_words(at, 16, sums, &high);
        total = with_squares(total, sums, high);
    }
    int down;
    int32_t reciprocal = reciprocal_root(total, &down);
    scaled(x + first, given->w + first, given->y + first, last - first, reciprocal, down, given->shift);
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

/* Turn `heads` heads of sums, cut to 16 bits, by the same angles; at least one of each. */
TW_X void turned_heads(const int32_t *x, const int16_t *cosine, const int16_t *sine, int8_t *y, int pairs, int heads,
                       int32_t half, int shift)
{
#ifdef __riscv
    int32_t a, b, u, v, p, back = 2 * pairs;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[heads]", "19") TW_LOOP("0", "%[pairs]", "16")
        TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4")
        TW_LH("%[u]", "%[cosine]", "2") TW_LH("%[v]", "%[sine]", "2")
        TW_CLIP("%[a]", "%[a]", "16") TW_CLIP("%[b]", "%[b]", "16") TW_MULS("%[p]", "%[a]", "%[u]")
        TW_MULS("%[u]", "%[b]", "%[u]") TW_MSU("%[p]", "%[b]", "%[v]") TW_MAC("%[u]", "%[a]", "%[v]")
        TW_ADDN("%[p]", "%[half]", "%[shift]") TW_ADDN("%[u]", "%[half]", "%[shift]")
        TW_CLIP("%[p]", "%[p]", "8") TW_CLIP("%[u]", "%[u]", "8")
        TW_SB("%[p]", "%[y]", "1") TW_SB("%[u]", "%[y]", "1")
        "sub %[cosine], %[cosine], %[back]\n" "sub %[sine], %[sine], %[back]\n" TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v), [p] "=&r"(p), [x] "+&r"(x),
          [cosine] "+&r"(cosine), [sine] "+&r"(sine), [y] "+&r"(y)
        : [pairs] "r"(pairs), [heads] "r"(heads), [back] "r"(back), [half] "r"(half), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < heads * pairs; i++, x += 2, y += 2) {
        int32_t a = tw_pclip(x[0], 16), b = tw_pclip(x[1], 16), u = cosine[i % pairs], v = sine[i % pairs];
        y[0] = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> shift, 8);
        y[1] = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> shift, 8);
    }
#endif
}

/* The same from sums, which are cut to 16 bits: elements first .. last, multiples of hd. */
void tw_cluster_rope_sums(const int32_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int width,
                          int hd, int pos, int shift, int first, int last)
{
    int t = first / width, c = first - t * width, half = tw_half(shift);
    const int16_t *row = table + (pos + t) * hd;
    for (int n; first < last; first += n, c = 0, row += hd) {
        n = width - c < last - first ? width - c : last - first;
        turned_heads(x + first, row, row + (hd >> 1), y + first, hd >> 1, n / hd, half, shift);
    }
}

#ifdef __riscv
/* tw_swiglu of four elements `fours` times, at least once, with a shift that is part of the instructions. */
#define SWIGLU_BY(shift)                                                                                               \
    static __attribute__((noinline)) void swiglu_by_##shift(const int8_t *a, const int8_t *b, const int16_t *table,   \
                                                            int8_t *y, int fours)                                      \
    {                                                                                                                  \
        int32_t p0, p1, p2, p3, q0, q1, q2, q3, two0 = 2, two1 = 2 << 8, two2 = 2 << 16, two3 = 2 << 24;               \
        __asm__ volatile(                                                                                              \
            TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "24") TW_LW("%[p3]", "%[a]", "4")                                    \
            TW_LB("%[q0]", "%[b]", "1") TW_LB("%[q1]", "%[b]", "1") TW_LB("%[q2]", "%[b]", "1")                        \
            TW_LB("%[q3]", "%[b]", "1")                                                                                \
            TW_DOT(TW_DOTSP, "%[p0]", "%[p3]", "%[two0]") TW_DOT(TW_DOTSP, "%[p1]", "%[p3]", "%[two1]")                \
            TW_DOT(TW_DOTSP, "%[p2]", "%[p3]", "%[two2]") TW_DOT(TW_DOTSP, "%[p3]", "%[p3]", "%[two3]")                \
            TW_LH_AT("%[p0]", "%[table]", "%[p0]") TW_LH_AT("%[p1]", "%[table]", "%[p1]")                              \
            TW_LH_AT("%[p2]", "%[table]", "%[p2]") TW_LH_AT("%[p3]", "%[table]", "%[p3]")                              \
            TW_ROUNDED_PRODUCT("%[p0]", "%[p0]", "%[q0]", #shift) TW_ROUNDED_PRODUCT("%[p1]", "%[p1]", "%[q1]", #shift)\
            TW_ROUNDED_PRODUCT("%[p2]", "%[p2]", "%[q2]", #shift) TW_ROUNDED_PRODUCT("%[p3]", "%[p3]", "%[q3]", #shift)\
            TW_CLIP("%[p0]", "%[p0]", "8") TW_CLIP("%[p1]", "%[p1]", "8") TW_CLIP("%[p2]", "%[p2]", "8")               \
            TW_CLIP("%[p3]", "%[p3]", "8") TW_PACKLO("%[q0]", "%[p1]", "%[p0]") TW_PACKHI("%[q0]", "%[p3]", "%[p2]")   \
            TW_SW("%[q0]", "%[y]", "4") TW_ASM_END                                                                     \
            : [p0] "=&r"(p0), [p1] "=&r"(p1), [p2] "=&r"(p2), [p3] "=&r"(p3), [q0] "=&r"(q0), [q1] "=&r"(q1),          \
              [q2] "=&r"(q2), [q3] "=&r"(q3), [a] "+&r"(a), [b] "+&r"(b), [y] "+&r"(y)                                 \
            : [fours] "r"(fours), [table] "r"(table), [two0] "r"(two0), [two1] "r"(two1), [two2] "r"(two2),            \
              [two3] "r"(two3)                                                                                         \
            : "memory");                                                                                               \
    }
SWIGLU_BY(11)
SWIGLU_BY(12)
SWIGLU_BY(13)
SWIGLU_BY(14)
SWIGLU_BY(15)
SWIGLU_BY(16)
#define SWIGLU_CASE(shift)                                                                                             \
    case shift:                                                                                                        \
        swiglu_by_##shift(a + first, b + first, table + 128, y + first, fours);                                        \
        break;

/* The elements from `first` on that have a loop of their own shift; returns where the others begin. */
static int swiglu_by(const int8_t *a, const int8_t *b, const int16_t *table, int8_t *y, int shift, int first, int last)
{
    int fours = (last - first) >> 2;
    if (fours <= 0)
        return first;
    switch (shift) {
        SWIGLU_CASE(11)
        SWIGLU_CASE(12)
        SWIGLU_CASE(13)
        SWIGLU_CASE(14)
        SWIGLU_CASE(15)
        SWIGLU_CASE(16)
    default:
        return first;
    }
    return first + 4 * fours;
}
#endif

/* See tw_swiglu. */
void tw_cluster_swiglu(const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int shift,
                       int first, int last)
{
    TW_SAY(first = swiglu_by(a, b, table, y, shift, first, last), );
    tw_swiglu(a, b, table, y, shift, first, last);
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
