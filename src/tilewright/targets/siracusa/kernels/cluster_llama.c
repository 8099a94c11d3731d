/* The integer operators of a llama between its matrix products: embedding, norm, RoPE, SwiGLU. Each call computes
 * elements first .. last of its result, flat. */
#include "tw_kernels.h"
#include "tw_quantised.h"
#include "tw_words.h"

/* y[t] = row tokens[t] of the table * its multiplier. table: [vocabulary][cols]; y: [count][cols]. */
void tw_cluster_embed(const int32_t *restrict tokens, const int8_t *restrict table, const uint8_t *restrict mul,
                      int16_t *restrict y, int cols, int shift, int first, int last)
{
    int t = first < cols ? 0 : first / cols, c = first - t * cols;
    int32_t half = tw_half(shift);
    for (; first < last; c = 0, t++) {
        int32_t token = tokens[t], scale = mul[token];
        const int8_t *restrict row = table + token * cols;
        int end = c + last - first < cols ? c + last - first : cols;
        first += end - c;
        int16_t *restrict to = y + t * cols;
        for (; c + 4 <= end; c += 4) {
            int32_t word = tw_word_at(row + c);
            for (int i = 0; i < 4; i++)
                to[c + i] = (int16_t)tw_pclip(tw_pmac(half, TW_I8(word, i), scale) >> shift, 16);
        }
        for (; c < end; c++)
            to[c] = (int16_t)tw_pclip(tw_pmac(half, row[c], scale) >> shift, 16);
    }
}

/* Sums over `words` pairs of words at x, modulo 2^32: of the squares, and of the squares of the upper bytes. */
static void square_words(const int16_t *x, int words, int32_t *low, int32_t *high)
{
    int32_t sum = 0, upper = 0, lanes = 0x03010705;
#ifdef __riscv
    int32_t a, b;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[words]", "6") TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x]", "4")
                         TW_DOT_H(TW_SDOTSP, "%[sum]", "%[a]", "%[a]") TW_DOT_H(TW_SDOTSP, "%[sum]", "%[b]", "%[b]")
                             TW_SHUFFLE2("%[b]", "%[a]", "%[lanes]") TW_DOT(TW_SDOTSP, "%[upper]", "%[b]", "%[b]")
                                 TW_ASM_END
                     : [a] "=&r"(a), [b] "=&r"(b), [x] "+&r"(x), [sum] "+&r"(sum), [upper] "+&r"(upper)
                     : [words] "r"(words), [lanes] "r"(lanes)
                     : "memory");
#else
    for (; words > 0; words--, x += 4) {
        int32_t a = tw_word_at(x), b = tw_word_at(x + 2);
        sum = tw_vsdotsp_h(tw_vsdotsp_h(sum, a, a), b, b);
        b = tw_vshuffle2_b(b, a, lanes);
        upper = tw_vsdotsp_b(upper, b, b);
    }
#endif
    *low = sum, *high = upper;
}

/* Exact sum of x[i]^2. With x = 256 h + l of unsigned l, 65536 times the sum of h^2 is off by less than 2^31 over 64
 * elements and so tells what the sum modulo 2^32 leaves out. */
static uint64_t sum_of_squares(const int16_t *x, int n)
{
    uint64_t total = 0;
    for (; n >= 4;) {
        int32_t low, high;
        int words = n < 64 ? n / 4 : 16;
        n -= 4 * words;
        square_words(x, words, &low, &high);
        x += 4 * words;
        int32_t off = (int32_t)((uint32_t)low - ((uint32_t)high << 16));
        total += (uint64_t)(((int64_t)high << 16) + off);
    }
    for (int i = 0; i < n; i++)
        total += (uint32_t)(x[i] * x[i]);
    return total;
}

/* floor(sqrt(value)) of value >= 2^30: a chord of one of twelve parts, right to one part in 500, and a step of Newton's. */
static uint32_t root(uint32_t value)
{
    static const uint32_t nodes[17] = {0,     0,     0,     0,     32768, 36636, 40132, 43348, 46341,
                                       49152, 51811, 54340, 56756, 59073, 61303, 63455, 65536};
    uint32_t part = value >> 28, low = nodes[part], guess, result;
    guess = low + ((nodes[part + 1] - low) * (value >> 12 & 65535) >> 16);
    result = (guess + value / guess) >> 1; /* not below the root, and less than one above */
    result -= result >> 16;
    return result - (result * result > value);
}

/* y = clip((t * w + half) >> shift), t = 2^15 x / sqrt(sum(x^2) + eps), for every row. x, y: [rows][n], w: [n]. */
void tw_cluster_rmsnorm(const int16_t *restrict x, const int16_t *restrict w, int8_t *restrict y, int n, int shift,
                        int64_t eps, int first, int last)
{
    int r = first < n ? 0 : first / n, i = first - r * n;
    int32_t half = tw_half(shift);
    x += r * n, y += r * n;
    for (; first < last; i = 0, x += n, y += n) {
        uint64_t total = sum_of_squares(x, n) + (uint64_t)eps;
        int high = total >> 32 ? 32 + tw_pfl1((int32_t)(total >> 32)) : tw_pfl1((int32_t)total);
        int down = high / 2, end = i + last - first < n ? i + last - first : n; /* x * reciprocal >> down is t */
        uint32_t scaled = (uint32_t)(down > 15 ? total >> 2 * (down - 15) : total << 2 * (15 - down));
        int32_t reciprocal = (int32_t)((1u << 30) / root(scaled));
        first += end - i;
        for (; i < end; i++)
            y[i] = (int8_t)tw_pclip(tw_pmac(half, x[i] * reciprocal >> down, w[i]) >> shift, 8);
    }
}

/* Turn the pairs (2i, 2i + 1) of every head of row t by the angles of position pos + t.
 * x, y: [tokens][heads][hd], table: [positions][hd], hd / 2 cosines and then hd / 2 sines, times 2^14. */
void tw_cluster_rope(const int16_t *restrict x, const int16_t *restrict table, int8_t *restrict y, int heads, int hd,
                     int pos, int shift, int first, int last)
{
    int width = heads * hd, pairs = hd / 2, t = first < width ? 0 : first / width, i = first - t * width;
    int left = width - i; /* of the row */
    const int16_t *restrict row = table + (pos + t) * hd;
    int32_t half = tw_half(shift);
    while (i >= hd)
        i -= hd;
    i /= 2;
    for (x += first, y += first; first < last; first += 2, x += 2, y += 2) {
        int32_t a = x[0], b = x[1], cosine = row[i], sine = row[pairs + i];
        y[0] = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, cosine), b, sine) >> shift, 8);
        y[1] = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, sine), b, cosine) >> shift, 8);
        left -= 2;
        if (++i == pairs)
            i = 0;
        if (left == 0)
            left = width, row += hd;
    }
}

/* y = clip((table[a + 128] * b + half) >> shift); y may be a. */
void tw_cluster_swiglu(const int8_t *a, const int8_t *restrict b, const int16_t *restrict table, int8_t *y, int shift,
                       int first, int last)
{
    int32_t half = tw_half(shift);
    int i = first;
    table += 128;
    for (; i + 4 <= last; i += 4)
        for (int k = 0; k < 4; k++)
            y[i + k] = (int8_t)tw_pclip(tw_pmac(half, tw_pick_i16(table, a[i + k]), b[i + k]) >> shift, 8);
    for (; i < last; i++)
        y[i] = (int8_t)tw_pclip(tw_pmac(half, tw_pick_i16(table, a[i]), b[i]) >> shift, 8);
}
