/* The norms of quantised llamas. Each call computes elements first .. last of its result, flat. */
#include "tw_kernels.h"
#include "tw_llama.h"

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
static uint64_t __attribute__((noinline, minsize)) sum_of_squares(const int16_t *x, int n, uint64_t total,
                                                                  uint32_t sums[2])
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

/* For i = 64 .. 255, about sqrt(2^24 (i + 1/2)) and, in the upper half, 2^30 by that. */
static const uint32_t roots[192] = {
    0x7f81807f, 0x7e87817d, 0x7d938279, 0x7ca38374, 0x7bba846c, 0x7ad68562, 0x79f68657, 0x791b874a, 0x7843883c,
    0x7772892b, 0x76a48a19, 0x75da8b06, 0x75148bf1, 0x74528cda, 0x73948dc2, 0x72d98ea9, 0x72218f8e, 0x716e9071,
    0x70be9153, 0x70109234, 0x6f669314, 0x6ebe93f2, 0x6e1a94cf, 0x6d7995aa, 0x6cda9684, 0x6c3e975d, 0x6ba59835,
    0x6b0d990c, 0x6a7899e2, 0x69e79ab6, 0x69579b89, 0x68c99c5b, 0x683e9d2c, 0x67b59dfc, 0x672e9ecb, 0x66a89f99,
    0x6625a066, 0x65a4a132, 0x6525a1fc, 0x64a8a2c6, 0x642ca38f, 0x63b2a457, 0x633aa51e, 0x62c4a5e4, 0x624fa6a9,
    0x61dca76d, 0x616aa830, 0x60faa8f3, 0x608ca9b4, 0x601eaa75, 0x5fb2ab35, 0x5f48abf4, 0x5edfacb2, 0x5e78ad6f,
    0x5e11ae2c, 0x5dadaee7, 0x5d49afa2, 0x5ce7b05c, 0x5c85b116, 0x5c25b1cf, 0x5bc6b286, 0x5b68b33e, 0x5b0cb3f4,
    0x5ab0b4aa, 0x5a56b55f, 0x59fcb613, 0x59a4b6c7, 0x594cb77a, 0x58f6b82c, 0x58a0b8de, 0x584cb98f, 0x57f8ba3f,
    0x57a6baee, 0x5754bb9d, 0x5703bc4c, 0x56b3bcf9, 0x5664bda6, 0x5616be53, 0x55c8beff, 0x557cbfaa, 0x5530c055,
    0x54e5c0ff, 0x549bc1a8, 0x5451c251, 0x5408c2fa, 0x53c0c3a1, 0x5378c449, 0x5332c4ef, 0x52ecc595, 0x52a7c63b,
    0x5262c6e0, 0x521ec784, 0x51dbc828, 0x5198c8cc, 0x5156c96f, 0x5115ca11, 0x50d4cab3, 0x5094cb55, 0x5055cbf5,
    0x5015cc96, 0x4fd7cd36, 0x4f99cdd5, 0x4f5cce74, 0x4f1fcf13, 0x4ee3cfb1, 0x4ea7d04e, 0x4e6cd0eb, 0x4e32d188,
    0x4df8d224, 0x4dbed2c0, 0x4d85d35b, 0x4d4cd3f6, 0x4d14d490, 0x4cdcd52a, 0x4ca5d5c4, 0x4c6ed65d, 0x4c38d6f5,
    0x4c02d78e, 0x4bcdd825, 0x4b98d8bd, 0x4b63d954, 0x4b30d9ea, 0x4afcda81, 0x4ac9db16, 0x4a95dbac, 0x4a63dc41,
    0x4a31dcd5, 0x4a00dd69, 0x49ceddfd, 0x499dde91, 0x496ddf24, 0x493ddfb6, 0x490de049, 0x48dde0db, 0x48aee16c,
    0x4880e1fd, 0x4851e28e, 0x4823e31f, 0x47f6e3af, 0x47c9e43e, 0x479be4ce, 0x476fe55d, 0x4743e5eb, 0x4716e67a,
    0x46ebe708, 0x46c0e795, 0x4694e823, 0x4669e8b0, 0x463fe93c, 0x4615e9c9, 0x45ebea55, 0x45c2eae0, 0x4598eb6c,
    0x456febf7, 0x4546ec82, 0x451eed0c, 0x44f6ed96, 0x44ceee20, 0x44a6eea9, 0x447fef32, 0x4458efbb, 0x4431f044,
    0x440af0cc, 0x43e4f154, 0x43bef1dc, 0x4398f263, 0x4373f2ea, 0x434df371, 0x4328f3f7, 0x4303f47d, 0x42dff503,
    0x42baf589, 0x4296f60e, 0x4272f693, 0x424ff718, 0x422bf79c, 0x4208f821, 0x41e5f8a4, 0x41c2f928, 0x41a0f9ab,
    0x417dfa2f, 0x415bfab1, 0x4139fb34, 0x4117fbb6, 0x40f6fc38, 0x40d4fcba, 0x40b3fd3c, 0x4092fdbd, 0x4071fe3e,
    0x4051febf, 0x4030ff3f, 0x4010ffbf,
};

/* floor(2^30 / floor(sqrt(value))) of value >= 2^30. The root by a step of Newton's is right or one too large, and so is
 * the quotient: of all roots and values next to squares a test knows that.
 */
TW_X int32_t reciprocal_of_root(uint32_t value)
{
    int32_t about = (int32_t)roots[(value >> 24) - 64], inverse = about >> 16;
    int32_t off = (int32_t)(value - (uint32_t)tw_pmulun(about, about, 0)) >> 9;
    int32_t root = tw_pextractu(about, 16, 0) + tw_pmulsrn(off, inverse, 22);
    root += tw_pmsu((int32_t)value, root, root) >> 31;
    off = ((1 << 30) - tw_pmulun(root, inverse, 0)) >> 8;
    int32_t quotient = inverse + 1 + tw_pmulsn(off, inverse, 22);
    return quotient + (tw_pmsu(1 << 30, quotient, root) >> 31);
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

/* The same for `pairs` times two elements, at least once. */
TW_X void scaled_pairs(const int16_t *x, const int16_t *w, int8_t *y, int pairs, int32_t reciprocal, int down, int shift)
{
#ifdef __riscv
    int32_t a, p, q, u, v, upper = (int32_t)((uint32_t)reciprocal << 16);
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "15") TW_LW("%[a]", "%[x]", "4") TW_LH("%[u]", "%[w]", "2")
        TW_DOT_H(TW_DOTUSP, "%[p]", "%[reciprocal]", "%[a]") TW_DOT_H(TW_DOTUSP, "%[q]", "%[upper]", "%[a]")
        TW_LH("%[v]", "%[w]", "2") "sra %[p], %[p], %[down]\nsra %[q], %[q], %[down]\n"
        "mul %[p], %[p], %[u]\nmul %[q], %[q], %[v]\n"
        TW_ADDRN("%[p]", "x0", "%[shift]") TW_ADDRN("%[q]", "x0", "%[shift]")
        TW_CLIP("%[p]", "%[p]", "8") TW_CLIP("%[q]", "%[q]", "8")
        TW_SB("%[p]", "%[y]", "1") TW_SB("%[q]", "%[y]", "1") TW_ASM_END
        : [a] "=&r"(a), [p] "=&r"(p), [q] "=&r"(q), [u] "=&r"(u), [v] "=&r"(v), [x] "+&r"(x), [w] "+&r"(w),
          [y] "+&r"(y)
        : [pairs] "r"(pairs), [reciprocal] "r"(reciprocal), [upper] "r"(upper), [down] "r"(down), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    scaled(x, w, y, 2 * pairs, reciprocal, down, shift);
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
    return reciprocal_of_root(low);
}

/* Whether two parts of the squares, which their sums modulo 2^32 tell, have more than one in 2^13 of the total each. */
TW_X int spread(uint64_t total, const uint32_t sums[2])
{
    uint32_t least = (uint32_t)total >> 13;
    return total >> 32 == 0 && sums[0] > least && sums[1] > least;
}

#ifdef __riscv
/* scaled() of four elements `fours` times, at least once, with a shift that is part of the instructions, where what is
 * shifted down fits 16 bits: that of the second of two elements is left in the upper half. by: the reciprocal in both
 * halves. */
#define SCALED_BY(shift)                                                                                               \
    static __attribute__((noinline)) void scaled_by_##shift(const int16_t *x, const int16_t *w, int8_t *y, int fours,  \
                                                            int32_t by, int down)                                      \
    {                                                                                                                  \
        int32_t p, q, v, u, a, b, c, d;                                                                                \
        __asm__ volatile(                                                                                              \
            TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "23") TW_LW("%[p]", "%[x]", "4") TW_LW("%[q]", "%[x]", "4")          \
            TW_LW("%[v]", "%[w]", "4") TW_LW("%[u]", "%[w]", "4")                                                      \
            TW_MULS("%[a]", "%[p]", "%[by]") TW_MULHHS("%[b]", "%[p]", "%[by]")                                        \
            TW_MULS("%[c]", "%[q]", "%[by]") TW_MULHHS("%[d]", "%[q]", "%[by]")                                        \
            "sra %[a], %[a], %[down]\n" "sll %[b], %[b], %[up]\n"                                                      \
            "sra %[c], %[c], %[down]\n" "sll %[d], %[d], %[up]\n"                                                      \
            TW_ROUNDED_PRODUCT("%[a]", "%[a]", "%[v]", #shift) TW_ROUNDED_PRODUCT_HH("%[b]", "%[b]", "%[v]", #shift)   \
            TW_ROUNDED_PRODUCT("%[c]", "%[c]", "%[u]", #shift) TW_ROUNDED_PRODUCT_HH("%[d]", "%[d]", "%[u]", #shift)   \
            TW_CLIP("%[a]", "%[a]", "8") TW_CLIP("%[b]", "%[b]", "8") TW_CLIP("%[c]", "%[c]", "8")                     \
            TW_CLIP("%[d]", "%[d]", "8") TW_PACKLO("%[p]", "%[b]", "%[a]") TW_PACKHI("%[p]", "%[d]", "%[c]")           \
            TW_SW("%[p]", "%[y]", "4") TW_ASM_END                                                                      \
            : [p] "=&r"(p), [q] "=&r"(q), [v] "=&r"(v), [u] "=&r"(u), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),        \
              [d] "=&r"(d), [x] "+&r"(x), [w] "+&r"(w), [y] "+&r"(y)                                                   \
            : [fours] "r"(fours), [by] "r"(by), [down] "r"(down), [up] "r"(16 - down)                                  \
            : "memory");                                                                                               \
    }
SCALED_BY(18)
SCALED_BY(19)
SCALED_BY(20)
SCALED_BY(21)
SCALED_BY(22)
SCALED_BY(23)

/* By shift, from LEAST_SHIFT on. */
#define LEAST_SHIFT 18
typedef void scaling(const int16_t *x, const int16_t *w, int8_t *y, int fours, int32_t by, int down);
static scaling *const scalings[] = {scaled_by_18, scaled_by_19, scaled_by_20,
                                    scaled_by_21, scaled_by_22, scaled_by_23};

/* The loop for a row, or 0. */
TW_X scaling *scaling_of(int shift, int n, int i, int left)
{
    unsigned which = (unsigned)(shift - LEAST_SHIFT);
    return which < sizeof scalings / sizeof *scalings && ((n | i | left) & 3) == 0 ? scalings[which] : 0;
}

/* What a row is multiplied by, and how far that is shifted down. */
struct factor {
    int32_t reciprocal;
    int down;
};

/* That for such a loop; a reciprocal of 0 for rows that the loops are not for: no element may have as good as all of
 * the squares, for the quotient would be 2^15, nor may the reciprocal be 2^15. */
TW_X struct factor factor_of(uint64_t total, const uint32_t sums[2])
{
    if (!spread(total, sums))
        return (struct factor){0, 0};
    int down = tw_pfl1((int32_t)total) >> 1;
    int32_t reciprocal = reciprocal_of_root((uint32_t)total << (30 - 2 * down));
    return (struct factor){reciprocal != 32768 ? reciprocal : 0, down};
}

/* That of a row of more than 64 elements, and of any. */
static struct factor __attribute__((noinline, minsize)) factor_of_long(const int16_t *x, int n, uint64_t eps)
{
    uint32_t sums[2] = {0, 0};
    uint64_t total = sum_of_squares(x, n, eps, sums);
    return factor_of(total, sums);
}

TW_X struct factor factor_of_row(const int16_t *x, int n, uint64_t eps)
{
    uint32_t sums[2];
    int32_t high;
    if (n > 64)
        return factor_of_long(x, n, eps);
    square_pairs(x, n >> 2, sums, &high);
    return factor_of(with_squares(eps, sums, high), sums);
}
#endif

/* y = clip((t * w + half) >> shift), t = 2^15 x / sqrt(sum(x^2) + eps), for elements i .. last of a row. */
static void __attribute__((noinline, minsize)) any_row(const int16_t *x, const int16_t *w, int8_t *y, int n, int shift,
                                                       uint64_t eps, int i, int last)
{
    uint32_t sums[2] = {0, 0};
    int down;
    int32_t reciprocal = reciprocal_root(sum_of_squares(x, n, eps, sums), &down);
    scaled(x + i, w + i, y + i, last - i, reciprocal, down, shift);
}

/* The same for every row. x, y: [rows][n], w: [n]. */
void tw_cluster_rmsnorm(const int16_t *restrict x, const int16_t *restrict w, int8_t *restrict y, int n, int shift,
                        int64_t eps, int first, int last)
{
    int i = first < n ? first : first % n, left = i + last - first; /* of a row at x and y */
    TW_SAY(scaling *loop = scaling_of(shift, n, i, left), );
    for (x += first - i, y += first - i; i < left; i = 0, left -= n, x += n, y += n) {
        int stop = left < n ? left : n;
#ifdef __riscv
        struct factor factor = {0, 0};
        if (loop != 0)
            factor = factor_of_row(x, n, (uint64_t)eps);
        if (factor.reciprocal != 0) {
            loop(x + i, w + i, y + i, (stop - i) >> 2, tw_vpack_h(factor.reciprocal, factor.reciprocal), factor.down);
            continue;
        }
#endif
        any_row(x, w, y, n, shift, (uint64_t)eps, i, stop);
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
    scaled_pairs(x + first, given->w + first, given->y + first, (last - first) >> 1, reciprocal, down, given->shift);
}
