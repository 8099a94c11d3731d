/* Attention over integers as QuantLib's decoders have it: scores, exponentials and weights by tables.
 *
 * Requantisations fit 32 bits: rows of the table of kernels see to that. A head's loops together stay within the 512
 * bytes of a core's own instruction cache: straight code costs twice its instructions.
 */
#include "tw_kernels.h"
#include "tw_words.h"

#define SMALL __attribute__((minsize))
/* What is made of x is made again, each time round a loop: registers are few, and loads cost more. */
#define AGAIN(x) TW_SAY(__asm__ volatile("" : "+r"(x)), (void)(x))
enum { FEW = 40 }; /* positions below which it does not pay to look how many numbers scores are */

/* a[s] for every position; returns the greatest. Any mask (null: zeros), heads of any whole words. plain: entry c at
 * 128 + c. */
static __attribute__((noinline)) int32_t any_scores(const int8_t *q, const int8_t *k, const int8_t *mask, int8_t *a,
                                                    const int8_t *plain, const int8_t *scale, const int8_t *hide,
                                                    const int8_t *join, const int32_t *numbers, int hd, int seen,
                                                    int stride, int shift)
{
    int32_t most = -128, mul = numbers[0], add = numbers[1];
    for (int s = 0; s < seen; s++, k += stride) {
        int32_t sum = 0;
        for (int i = 0; i < hd; i += 4)
            sum = tw_vsdotsp_b(sum, tw_word_at(q + i), tw_word_at(k + i));
        int32_t code = tw_scaled(sum, mul, add, shift), value = plain[128 + code];
        if (mask != 0 && mask[s] != 0)
            value = join[scale[code & 255] + hide[mask[s] & 255] + 256];
        a[s] = (int8_t)value;
        most = tw_pmax(most, value);
    }
    return most;
}

/* The same for heads of four channels that nothing masks; `rounds` makes a sum v a code. Writes to a[-1], too: a number
 * is stored while the next one is made. */
#ifdef __riscv
#define SCORES(name, size, down, rounds, plain_rounds)                                                                 \
    TW_X int32_t name(const int8_t *q, const int8_t *k, const int8_t *plain, int8_t *a, int32_t mul, int32_t by,       \
                      int seen, int stride, int shift)                                                                 \
    {                                                                                                                  \
        int32_t most = -128, value = -128, v, t;                                                                       \
        (void)shift, a--;                                                                                              \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", size) TW_LW_BY("%[v]", "%[k]", "%[step]")                   \
                             TW_MAX("%[most]", "%[most]", "%[value]") TW_DOT(TW_DOTSP, "%[v]", "%[v]", "%[q]")         \
                                 rounds TW_SB("%[value]", "%[a]", "1")                                                 \
                                     TW_LB_AT("%[value]", "%[plain]", "%[v]") TW_ASM_END                               \
                         : [k] "+r"(k), [a] "+r"(a), [most] "+r"(most), [value] "+r"(value), [v] "=&r"(v),             \
                           [t] "=&r"(t)                                                                                \
                         : [n] "r"(seen), [step] "r"(stride), [q] "r"(tw_word_at(q)), [mul] "r"(mul), [by] "r"(by),    \
                           [right] "r"(down), [plain] "r"(plain + 128)                                                 \
                         : "memory");                                                                                  \
        *a = (int8_t)value;                                                                                            \
        return tw_pmax(most, value);                                                                                   \
    }
#else
#define SCORES(name, size, down, rounds, plain_rounds)                                                                 \
    TW_X int32_t name(const int8_t *q, const int8_t *k, const int8_t *plain, int8_t *a, int32_t mul, int32_t by,       \
                      int seen, int stride, int shift)                                                                 \
    {                                                                                                                  \
        int32_t most = -128;                                                                                           \
        for (int s = 0; s < seen; s++, k += stride) {                                                                  \
            int32_t v = tw_vdotsp_b(tw_word_at(q), tw_word_at(k));                                                     \
            a[s] = plain[128 + plain_rounds];                                                                          \
            most = tw_pmax(most, a[s]);                                                                                \
        }                                                                                                              \
        (void)(down), (void)shift;                                                                                     \
        return most;                                                                                                   \
    }
#endif
SCORES(scores, "9", shift,
       "mv %[t], %[by]\n" TW_MAC("%[t]", "%[v]", "%[mul]") "sra %[v], %[t], %[right]\n" TW_CLIP("%[v]", "%[v]", "8"),
       tw_scaled(v, mul, by, shift))
SCORES(clipped_scores, "7", by,
       TW_CLIPR("%[v]", "%[v]", "%[by]") TW_ROUNDED_PRODUCT("%[v]", "%[v]", "%[mul]", "16"),
       tw_pmulsrn(tw_pclipr(v, by), mul, 16))

/* Sum of exp[most - a[s]] over `pairs` times two positions; `keep` stores them. */
#ifdef __riscv
#define SUM(name, size, keep, plain_keep)                                                                              \
    TW_X uint32_t name(const int32_t *exp, const int8_t *a, uint32_t *e, int pairs, int32_t most)                      \
    {                                                                                                                  \
        uint32_t sum = 0;                                                                                              \
        int32_t e0, e1;                                                                                                \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", size) TW_LB("%[e0]", "%[a]", "1")                           \
                             TW_LB("%[e1]", "%[a]", "1") "slli %[e0], %[e0], 2\nslli %[e1], %[e1], 2\n" TW_LW_AT(      \
                                 "%[e0]", "%[base]", "%[e0]") TW_LW_AT("%[e1]", "%[base]", "%[e1]")                    \
                                 keep "add %[sum], %[sum], %[e0]\nadd %[sum], %[sum], %[e1]\n" TW_ASM_END              \
                         : [a] "+r"(a), [e] "+r"(e), [sum] "+r"(sum), [e0] "=&r"(e0), [e1] "=&r"(e1)                   \
                         : [n] "r"(pairs), [base] "r"(exp + 255 - most)                                                \
                         : "memory");                                                                                  \
        return sum;                                                                                                    \
    }
#else
#define SUM(name, size, keep, plain_keep)                                                                              \
    TW_X uint32_t name(const int32_t *exp, const int8_t *a, uint32_t *e, int pairs, int32_t most)                      \
    {                                                                                                                  \
        uint32_t sum = 0;                                                                                              \
        for (int s = 0; s < 2 * pairs; s++) {                                                                          \
            uint32_t one = (uint32_t)exp[255 - most + a[s]];                                                           \
            plain_keep;                                                                                                \
            sum += one;                                                                                                \
        }                                                                                                              \
        return sum;                                                                                                    \
    }
#endif
SUM(exponentials, "10", TW_SW("%[e0]", "%[e]", "4") TW_SW("%[e1]", "%[e]", "4"), e[s] = one)
SUM(summed, "8", "", (void)e)

/* p[s] = weight[e[s] (levels - 1) / total] for `pairs` times two positions, e[s] <= total where p is wanted.
 *
 * With total = T 2^-n, 2^31 <= T < 2^32, h the upper half of T and g that of e[s] 2^n, the quotient is
 * (g R) >> 22 or one more, R = (levels - 1) 2^22 / (h + 1): what is cut off amounts to less than 1/16.
 */
TW_X void weights(const int8_t *weight, const uint32_t *e, int8_t *p, int pairs, uint32_t total, int levels)
{
    uint32_t most = (uint32_t)levels - 1;
    int n = 31 - tw_pfl1((int32_t)total);
    uint32_t r = (most << 22) / ((total << n >> 16) + 1) << 16;
    weight++;
#ifdef __riscv
    int32_t x0, x1, q0, q1;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "18") TW_LW("%[x0]", "%[e]", "4") TW_LW("%[x1]", "%[e]", "4")
        "sll %[q0], %[x0], %[n]\n" "sll %[q1], %[x1], %[n]\n" TW_UPPER_WORD("%[q0]", "%[q0]", "%[r]")
        TW_UPPER_WORD("%[q1]", "%[q1]", "%[r]") "mul %[x0], %[x0], %[most]\n" "mul %[x1], %[x1], %[most]\n"
        TW_MSU("%[x0]", "%[q0]", "%[total]") TW_MSU("%[x1]", "%[q1]", "%[total]") "sltu %[x0], %[x0], %[total]\n"
        "sltu %[x1], %[x1], %[total]\n" "sub %[q0], %[q0], %[x0]\n" "sub %[q1], %[q1], %[x1]\n"
        TW_LB_AT("%[q0]", "%[weight]", "%[q0]") TW_LB_AT("%[q1]", "%[weight]", "%[q1]") TW_SB("%[q0]", "%[p]", "1")
        TW_SB("%[q1]", "%[p]", "1") TW_ASM_END
        : [e] "+r"(e), [p] "+r"(p), [x0] "=&r"(x0), [x1] "=&r"(x1), [q0] "=&r"(q0), [q1] "=&r"(q1)
        : [pairs] "r"(pairs), [n] "r"(n), [r] "r"(r), [most] "r"(most), [total] "r"(total), [weight] "r"(weight)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < 2 * pairs; s++) {
        int32_t q = (int32_t)((e[s] << n >> 16) * (r >> 16) >> 22);
        p[s] = weight[q - (e[s] * most - (uint32_t)q * total < total)];
    }
#endif
}

/* The same for 256 levels and exponentials 255 times as large, whose `sum` fits 32 bits and is not 0: p[s] is
 * weight[255 e[s] / sum]. total = sum / 255, exactly: -0x01010101 is what gives 1 with 255. */
TW_X void weights_of_256(const int8_t *weight, const uint32_t *e, int8_t *p, int pairs, uint32_t sum)
{
    uint32_t total = sum * 0xfefefeffu;
    int n = 31 - tw_pfl1((int32_t)sum);
    uint32_t r = (255u << 22) / ((sum << n >> 16) + 1) << 16;
    weight++;
#ifdef __riscv
    int32_t x0, x1, q0, q1;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "16") TW_LW("%[x0]", "%[e]", "4") TW_LW("%[x1]", "%[e]", "4")
        "sll %[q0], %[x0], %[n]\n" "sll %[q1], %[x1], %[n]\n" TW_UPPER_WORD("%[q0]", "%[q0]", "%[r]")
        TW_UPPER_WORD("%[q1]", "%[q1]", "%[r]") TW_MSU("%[x0]", "%[q0]", "%[total]")
        TW_MSU("%[x1]", "%[q1]", "%[total]") "sltu %[x0], %[x0], %[total]\n" "sltu %[x1], %[x1], %[total]\n"
        "sub %[q0], %[q0], %[x0]\n"
        "sub %[q1], %[q1], %[x1]\n" TW_LB_AT("%[q0]", "%[weight]", "%[q0]") TW_LB_AT("%[q1]", "%[weight]", "%[q1]")
        TW_SB("%[q0]", "%[p]", "1") TW_SB("%[q1]", "%[p]", "1") TW_ASM_END
        : [e] "+r"(e), [p] "+r"(p), [x0] "=&r"(x0), [x1] "=&r"(x1), [q0] "=&r"(q0), [q1] "=&r"(q1)
        : [pairs] "r"(pairs), [n] "r"(n), [r] "r"(r), [total] "r"(total), [weight] "r"(weight)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < 2 * pairs; s++) {
        int32_t q = (int32_t)((e[s] << n >> 16) * (r >> 16) >> 22);
        p[s] = weight[q - (e[s] - (uint32_t)q * total < total)];
    }
#endif
}

/* Clipped scores of `words` times four positions; *least and *most go on to be those of each lane. */
TW_X void scores_of_fours(const int8_t *q, const int8_t *k, const int8_t *plain, int8_t *a, int32_t mul,
                          int32_t bound, int words, int stride, int32_t *least, int32_t *most)
{
    int32_t low = *least, high = *most;
#ifdef __riscv
    int32_t v0, v1, v2, v3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "25") TW_LW_BY("%[v0]", "%[k]", "%[step]")
        TW_LW_BY("%[v1]", "%[k]", "%[step]") TW_LW_BY("%[v2]", "%[k]", "%[step]")
        TW_LW_BY("%[v3]", "%[k]", "%[step]") TW_DOT(TW_DOTSP, "%[v0]", "%[v0]", "%[q]")
        TW_DOT(TW_DOTSP, "%[v1]", "%[v1]", "%[q]") TW_DOT(TW_DOTSP, "%[v2]", "%[v2]", "%[q]")
        TW_DOT(TW_DOTSP, "%[v3]", "%[v3]", "%[q]") TW_CLIPR("%[v0]", "%[v0]", "%[by]")
        TW_CLIPR("%[v1]", "%[v1]", "%[by]") TW_CLIPR("%[v2]", "%[v2]", "%[by]") TW_CLIPR("%[v3]", "%[v3]", "%[by]")
        TW_ROUNDED_PRODUCT("%[v0]", "%[v0]", "%[mul]", "16") TW_ROUNDED_PRODUCT("%[v1]", "%[v1]", "%[mul]", "16")
        TW_ROUNDED_PRODUCT("%[v2]", "%[v2]", "%[mul]", "16") TW_ROUNDED_PRODUCT("%[v3]", "%[v3]", "%[mul]", "16")
        TW_LB_AT("%[v0]", "%[plain]", "%[v0]") TW_LB_AT("%[v1]", "%[plain]", "%[v1]")
        TW_LB_AT("%[v2]", "%[plain]", "%[v2]") TW_LB_AT("%[v3]", "%[plain]", "%[v3]")
        TW_PACKLO("%[v0]", "%[v1]", "%[v0]") TW_PACKHI("%[v0]", "%[v3]", "%[v2]") TW_MIN_B("%[low]", "%[low]", "%[v0]")
        TW_MAX_B("%[high]", "%[high]", "%[v0]") TW_SW("%[v0]", "%[a]", "4") TW_ASM_END
        : [k] "+r"(k), [a] "+r"(a), [low] "+r"(low), [high] "+r"(high), [v0] "=&r"(v0), [v1] "=&r"(v1), [v2] "=&r"(v2),
          [v3] "=&r"(v3)
        : [n] "r"(words), [step] "r"(stride), [q] "r"(tw_word_at(q)), [mul] "r"(mul), [by] "r"(bound),
          [plain] "r"(plain + 128)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < words; i++, a += 4) {
        for (int s = 0; s < 4; s++, k += stride)
            a[s] = plain[128 + tw_pmulsrn(tw_pclipr(tw_vdotsp_b(tw_word_at(q), tw_word_at(k)), bound), mul, 16)];
        low = tw_vmin_b(low, tw_word_at(a)), high = tw_vmax_b(high, tw_word_at(a));
    }
#endif
    *least = low, *most = high;
}

/* p[s] = table[p[s]] for `words` times four positions. */
TW_X void looked_up(const int8_t *table, int8_t *p, int words)
{
#ifdef __riscv
    const int8_t *a = p;
    int32_t e0, e1, e2, e3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "11") TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1")
        TW_LB("%[e2]", "%[a]", "1") TW_LB("%[e3]", "%[a]", "1") TW_LB_AT("%[e0]", "%[t]", "%[e0]")
        TW_LB_AT("%[e1]", "%[t]", "%[e1]") TW_LB_AT("%[e2]", "%[t]", "%[e2]") TW_LB_AT("%[e3]", "%[t]", "%[e3]")
        TW_PACKLO("%[e0]", "%[e1]", "%[e0]") TW_PACKHI("%[e0]", "%[e3]", "%[e2]") TW_SW("%[e0]", "%[p]", "4")
        TW_ASM_END
        : [a] "+r"(a), [p] "+r"(p), [e0] "=&r"(e0), [e1] "=&r"(e1), [e2] "=&r"(e2), [e3] "=&r"(e3)
        : [n] "r"(words), [t] "r"(table)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < 4 * words; s++)
        p[s] = table[p[s]];
#endif
}

/* Weights of many positions at p, for each number that scores may be where these are few, else for each position. exp
 * is 255 times as large; no entry is greater than the first, behind them are the greatest of what follows each eighth.
 */
TW_HOT static __attribute__((noinline)) void SMALL weigh_many(const int8_t *q, const int8_t *k, int8_t *p, uint32_t *scratch,
                                                       int seen, int stride, const int8_t *plain,
                                                       const int32_t *exp, const int8_t *weight,
                                                       const int32_t *numbers_of)
{
    int words = (seen + 3) >> 2, count = (seen + 1) >> 1;
    int32_t low = 0x7f7f7f7f, high = (int32_t)0x80808080;
    for (int at = 0, n = seen >> 2; n > 0; n = at == 0, at = seen - 4) /* the last four a second time, or once */
        scores_of_fours(q, k + at * stride, plain, p + at, numbers_of[0], numbers_of[4], n, stride, &low, &high);
    low = tw_vmin_b(low, low >> 16), high = tw_vmax_b(high, high >> 16);
    int32_t most = tw_pmax(tw_vextract_b(high, 0), tw_vextract_b(high, 1));
    tw_set_word(p + seen, (most & 255) * 0x01010101); /* takes part, and is taken off */
    int range = most - tw_pmin(tw_vextract_b(low, 0), tw_vextract_b(low, 1)), numbers = (range + 2) & ~1;
    uint32_t unseen = seen & 1 ? (uint32_t)exp[255] : 0;
    uint32_t sum = (2 * numbers <= seen ? summed(exp, p, 0, count, most) : exponentials(exp, p, scratch, count, most));
    uint32_t total = (sum -= unseen) * 0xfefefeffu;
    int reached = 8; /* behind the last number whose weight is not that of zero */
    for (const int32_t *later = exp + 257; reached < numbers && total <= (uint32_t)*later;)
        later++, reached += 8;
    numbers = tw_pmin(numbers, reached);
    if (2 * numbers > seen || range >= 8 * count) {
        weights_of_256(weight, scratch, p, count, sum);
        return;
    }
    int32_t far = (weight[0] & 255) * 0x01010101;
    int8_t *table = (int8_t *)scratch; /* backwards: the last entry is of distance 0 */
    for (; table <= (int8_t *)scratch + range; table += 4)
        tw_set_word(table, far);
    weights_of_256(weight, (const uint32_t *)exp + 256 - numbers, table - numbers, numbers >> 1, sum);
    looked_up(table - 1 - most, p, words);
}

/* Four channels of y, requantised, from sums of p[s] v[c][s] over `words` words of positions. */
TW_X void mixed(int8_t *y, const int8_t *p, const int8_t *v, int words, int pitch, int32_t mul, int32_t add, int shift)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#ifdef __riscv
    int32_t w, a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "9") TW_LW("%[w]", "%[p]", "4") TW_LW_BY("%[a]", "%[v]", "%[pitch]")
        TW_LW_BY("%[b]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTSP, "%[s0]", "%[w]", "%[a]")
        TW_LW_BY("%[a]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTSP, "%[s1]", "%[w]", "%[b]")
        TW_LW_BY("%[b]", "%[v]", "%[back]") TW_DOT(TW_SDOTSP, "%[s2]", "%[w]", "%[a]")
        TW_DOT(TW_SDOTSP, "%[s3]", "%[w]", "%[b]") TW_ASM_END
        : [w] "=&r"(w), [a] "=&r"(a), [b] "=&r"(b), [p] "+r"(p), [v] "+r"(v), [s0] "+r"(s0), [s1] "+r"(s1),
          [s2] "+r"(s2), [s3] "+r"(s3)
        : [words] "r"(words), [pitch] "r"(pitch), [back] "r"(4 - 3 * pitch)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < words; i++, p += 4, v += 4) {
        int32_t w = tw_word_at(p);
        s0 = tw_vsdotsp_b(s0, w, tw_word_at(v)), s1 = tw_vsdotsp_b(s1, w, tw_word_at(v + pitch));
        s2 = tw_vsdotsp_b(s2, w, tw_word_at(v + 2 * pitch)), s3 = tw_vsdotsp_b(s3, w, tw_word_at(v + 3 * pitch));
    }
#endif
    tw_set_word(y, tw_bytes_of(tw_scaled(s0, mul, add, shift), tw_scaled(s1, mul, add, shift),
                               tw_scaled(s2, mul, add, shift), tw_scaled(s3, mul, add, shift)));
}

/* Whether all n bytes are zero. */
TW_X int is_zero(const int8_t *m, int n)
{
    int32_t any = 0;
    if (n >= 8) {
        any = tw_word_at(m + n - 8) | tw_word_at(m + n - 4);
#ifdef __riscv
        int32_t a, b;
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") TW_LW("%[a]", "%[m]", "4") TW_LW("%[b]", "%[m]", "4")
                         "or %[any], %[any], %[a]\nor %[any], %[any], %[b]\n" TW_ASM_END
                         : [m] "+r"(m), [any] "+r"(any), [a] "=&r"(a), [b] "=&r"(b)
                         : [n] "r"(n >> 3)
                         : "memory");
#else
        for (int i = 0; i + 8 <= n; i += 8)
            any |= tw_word_at(m + i) | tw_word_at(m + i + 4);
#endif
    } else
        while (n > 0)
            any |= m[--n];
    return any == 0;
}

/* Attention of every row over all `seen` positions: pairs of a row and a head of the cache, first .. last of them,
 * flat. q, y: [tokens][heads * hd]; k: [seen][kv_heads * hd]; v: [kv_heads * hd][pitch]; mask: `mask_step` elements
 * from one row's to the next, or null; plain: entry c at 128 + c, exp: entry d at 255 - d, other tables and numbers as
 * the operator says; scratch: five bytes for each position, whole words, and a word. */
void SMALL tw_attend_tables(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                            const int8_t *restrict plain, const int32_t *restrict exp, const int8_t *restrict weight,
                            const int32_t *restrict numbers, const int8_t *restrict mask, const int8_t *restrict scale,
                            const int8_t *restrict hide, const int8_t *restrict join, int8_t *restrict y,
                            uint32_t *restrict scratch, int seen, int group, int kv_heads, int hd, int pitch,
                            int mask_step, int shift, int out_shift, int levels, int first, int last)
{
    int h = first, stride = kv_heads * hd, pairs = (seen + 1) >> 1, clear = 0, fresh = 1;
    int32_t unseen = (seen & 1) * exp[255];
    int8_t *p = (int8_t *)(scratch + 2 * pairs);
    for (; h >= kv_heads; h -= kv_heads)
        mask = mask != 0 ? mask + mask_step : 0;
    q += first * group * hd, y += first * group * hd;
    for (; first < last; first++) {
        if (fresh)
            clear = mask == 0 || is_zero(mask, seen);
        for (int m = 0; m < group; m++, q += hd) {
            const int8_t *keys = k + h * hd, *values = v + h * hd * pitch;
            int32_t most = clear && hd == 4
                               ? scores(q, keys, plain, p, numbers[0], numbers[1], seen, stride, shift)
                               : any_scores(q, keys, clear ? 0 : mask, p, plain, scale, hide, join, numbers, hd, seen,
                                            stride, shift);
            p[seen] = (int8_t)most; /* takes part where positions are odd, and is taken off */
            uint32_t total = exponentials(exp, p, scratch, pairs, most) - (uint32_t)unseen;
            weights(weight, scratch, p, pairs, total > 0 ? total : 1, levels);
            tw_set_word(p + seen, 0);
            for (int c = 0; c < hd; c += 4, values += 4 * pitch, y += 4)
                mixed(y, p, values, (seen + 3) >> 2, pitch, numbers[2], numbers[3], out_shift);
        }
        fresh = ++h == kv_heads;
        if (fresh)
            h = 0, mask = mask != 0 ? mask + mask_step : 0;
    }
}

/* The same for a single row, heads of four channels, 256 levels and scores shifted by 16. exp: 255 times as large, none
 * greater than the first, and what `weigh_many` wants; numbers: and a bound, rounded products with sums clipped
 * to it are codes. */
TW_HOT
void SMALL tw_attend_row(const struct tw_attend_row *given, uint32_t *restrict scratch, int first, int last)
{
    int seen = given->seen, group = given->group, stride = given->stride, pitch = given->pitch;
    if (given->mask != 0 && !is_zero(given->mask, seen)) {
        tw_attend_tables(given->q, given->k, given->v, given->plain, given->exp, given->weight, given->numbers,
                         given->mask, given->scale, given->hide, given->join, given->y, scratch, seen, group,
                         stride >> 2, 4, pitch, 0, 16, given->out_shift, 256, first, last);
        return;
    }
    const int8_t *plain = given->plain, *weight = given->weight;
    const int32_t *exp = given->exp, *numbers = given->numbers;
    const int8_t *q = given->q + 4 * group * first, *k = given->k + 4 * first, *v = given->v + 4 * first * pitch;
    int8_t *y = given->y + 4 * group * first;
    int out_shift = given->out_shift;
    for (int n = group * (last - first), m = group; n > 0; n--) {
        AGAIN(seen); AGAIN(exp); AGAIN(plain); AGAIN(pitch); AGAIN(weight); AGAIN(scratch);
        int pairs = (seen + 1) >> 1;
        int8_t *p = (int8_t *)(scratch + 2 * pairs);
        if (__builtin_expect(seen >= FEW, 0))
            weigh_many(q, k, p, scratch, seen, stride, plain, exp, weight, numbers);
        else {
            int32_t most = clipped_scores(q, k, plain, p, numbers[0], numbers[4], seen, stride, 16);
            p[seen] = (int8_t)most; /* takes part where positions are odd, and is taken off */
            uint32_t unseen = seen & 1 ? (uint32_t)exp[255] : 0;
            uint32_t sum = exponentials(exp, p, scratch, pairs, most) - unseen;
            weights_of_256(weight, scratch, p, pairs, sum);
        }
        tw_set_word(p + seen, 0);
        mixed(y, p, v, (seen + 3) >> 2, pitch, numbers[2], numbers[3], out_shift);
        q += 4, y += 4;
        if (--m == 0)
            m = group, k += 4, v += 4 * pitch;
    }
}
