/* Attention of one row over integers, as QuantLib's decoders have it, two heads at a time.
 *
 * Twice the number of a score is a byte, and what an index of halves wants; exponentials are halves, from 2^15 on where
 * scores are greatest. Code runs once for two heads: straight code costs twice its instructions. Requantisations fit 32
 * bits: rows of the table of kernels see to that.
 */
#include "tw_kernels.h"
#include "tw_mixed.h"
#include "tw_reciprocal.h"

#define SMALL __attribute__((minsize))
/* Code for what is not so lies behind the rest. */
#define USUAL(x) __builtin_expect(x, 1)
/* What is made of x is made again, each time round a loop: registers are few, and loads cost more. */
#define AGAIN(x) TW_SAY(__asm__ volatile("" : "+r"(x)), (void)(x))

#ifdef __riscv
/* Codes of scores of two heads at two positions. 16 instructions. */
#define SCORED_FOUR                                                                                                    \
    TW_LW_BY("%[v0]", "%[k]", "%[apart]") TW_LW_BY("%[v1]", "%[k]", "%[on]") TW_LW_BY("%[v2]", "%[k]", "%[apart]")     \
    TW_LW_BY("%[v3]", "%[k]", "%[on]") TW_DOT(TW_DOTSP, "%[v0]", "%[v0]", "%[q0]")                                     \
    TW_DOT(TW_DOTSP, "%[v1]", "%[v1]", "%[q1]") TW_DOT(TW_DOTSP, "%[v2]", "%[v2]", "%[q0]")                            \
    TW_DOT(TW_DOTSP, "%[v3]", "%[v3]", "%[q1]") TW_CLIPR("%[v0]", "%[v0]", "%[by]")                                    \
    TW_CLIPR("%[v1]", "%[v1]", "%[by]") TW_CLIPR("%[v2]", "%[v2]", "%[by]") TW_CLIPR("%[v3]", "%[v3]", "%[by]")        \
    TW_ROUNDED_PRODUCT("%[v0]", "%[v0]", "%[mul]", "16") TW_ROUNDED_PRODUCT("%[v1]", "%[v1]", "%[mul]", "16")          \
    TW_ROUNDED_PRODUCT("%[v2]", "%[v2]", "%[mul]", "16") TW_ROUNDED_PRODUCT("%[v3]", "%[v3]", "%[mul]", "16")
#define SCORED_TO                                                                                                      \
    [k] "+r"(k), [a] "+r"(a), [most] "+r"(most), [v0] "=&r"(v0), [v1] "=&r"(v1), [v2] "=&r"(v2), [v3] "=&r"(v3)
#define SCORED_BY                                                                                                      \
    [apart] "r"(apart), [on] "r"(stride - apart), [q0] "r"(q0), [q1] "r"(q1), [mul] "r"(mul), [by] "r"(bound)
#endif

/* Twice the scores of two heads, bytes side by side for every position; returns the greatest of both, in its lowest
 * bytes. `apart`: bytes between the keys of the two. plain: entry c at 128 + c, and at 256 whether they are halves
 * of c, towards zero: then lanes are made of lanes. Two positions at a time, two at least; `few` are not worth their
 * code, and write to a[-1], too: numbers are stored while the next are made. */
TW_X int32_t scores_of_two(int32_t q0, int32_t q1, const int8_t *k, const int8_t *plain, int8_t *a, int32_t mul,
                           int32_t bound, int seen, int stride, int apart, int few)
{
    int32_t most = (int32_t)0x80808080;
#ifdef __riscv
    int32_t v0, v1, v2, v3;
    /* clang-format off */
    if (few) {
        int32_t both = most;
        a -= 2;
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "13") TW_LW_BY("%[v0]", "%[k]", "%[apart]")
            TW_LW_BY("%[v1]", "%[k]", "%[on]") TW_DOT(TW_DOTSP, "%[v0]", "%[v0]", "%[q0]")
            TW_DOT(TW_DOTSP, "%[v1]", "%[v1]", "%[q1]") TW_CLIPR("%[v0]", "%[v0]", "%[by]")
            TW_CLIPR("%[v1]", "%[v1]", "%[by]") TW_ROUNDED_PRODUCT("%[v0]", "%[v0]", "%[mul]", "16")
            TW_ROUNDED_PRODUCT("%[v1]", "%[v1]", "%[mul]", "16") TW_LB_AT("%[v0]", "%[plain]", "%[v0]")
            TW_SH("%[both]", "%[a]", "2") TW_LB_AT("%[v1]", "%[plain]", "%[v1]")
            TW_MAX_B("%[most]", "%[most]", "%[both]") TW_PACKLO("%[both]", "%[v1]", "%[v0]")
            TW_SH("%[both]", "%[a]", "2") TW_MAX_B("%[most]", "%[most]", "%[both]") TW_ASM_END
            : [k] "+r"(k), [a] "+r"(a), [most] "+r"(most), [both] "+r"(both), [v0] "=&r"(v0), [v1] "=&r"(v1)
            : SCORED_BY, [n] "r"(seen), [plain] "r"(plain + 128) : "memory");
        return most;
    }
    if (USUAL(plain[256]))
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "23") SCORED_FOUR TW_PACKLO("%[v0]", "%[v1]", "%[v0]")
            TW_PACKHI("%[v0]", "%[v3]", "%[v2]") TW_SIGNS_B("%[v1]", "%[v0]") TW_SUB_B("%[v0]", "%[v0]", "%[v1]")
            "and %[v0], %[v0], %[even]\n" TW_MAX_B("%[most]", "%[most]", "%[v0]") TW_SW("%[v0]", "%[a]", "4") TW_ASM_END
            : SCORED_TO : SCORED_BY, [n] "r"(seen >> 1), [even] "r"(0xfefefefe) : "memory");
    else
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", "24") SCORED_FOUR TW_LB_AT("%[v0]", "%[plain]", "%[v0]")
            TW_LB_AT("%[v1]", "%[plain]", "%[v1]") TW_LB_AT("%[v2]", "%[plain]", "%[v2]")
            TW_LB_AT("%[v3]", "%[plain]", "%[v3]") TW_PACKLO("%[v0]", "%[v1]", "%[v0]")
            TW_PACKHI("%[v0]", "%[v3]", "%[v2]") TW_MAX_B("%[most]", "%[most]", "%[v0]") TW_SW("%[v0]", "%[a]", "4")
            TW_ASM_END
            : SCORED_TO : SCORED_BY, [n] "r"(seen >> 1), [plain] "r"(plain + 128) : "memory");
    /* clang-format on */
#else
    (void)few;
    for (int s = 0; s + 2 <= seen; s += 2, k += 2 * stride, a += 4) {
        for (int h = 0; h < 4; h++)
            a[h] = plain[128 + tw_pmulsrn(tw_pclipr(tw_vdotsp_b(tw_word_at(k + (h >> 1) * stride + (h & 1) * apart),
                                                          h & 1 ? q1 : q0), bound), mul, 16)];
        most = tw_vmax_b(most, tw_word_at(a));
    }
#endif
    most = tw_vmax_b(most, most >> 16);
    if (seen & 1) {
        a[0] = plain[128 + tw_pmulsrn(tw_pclipr(tw_vdotsp_b(tw_word_at(k), q0), bound), mul, 16)];
        a[1] = plain[128 + tw_pmulsrn(tw_pclipr(tw_vdotsp_b(tw_word_at(k + apart), q1), bound), mul, 16)];
        most = tw_vmax_b(most, (a[1] & 255) << 8 | (a[0] & 255));
    }
    return most;
}

/* e[s]: halves base0[a[2 s]] and base1[a[2 s + 1]], indices in bytes; sums of both. */
TW_X void exponentials_of_two(const char *base0, const char *base1, const int8_t *a, uint32_t *e, int seen,
                              uint32_t *sum0, uint32_t *sum1)
{
    uint32_t s0 = 0, s1 = 0;
#ifdef __riscv
    int32_t e0, e1;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "8") TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1")
                         TW_LHU_AT("%[e0]", "%[base0]", "%[e0]") TW_LHU_AT("%[e1]", "%[base1]", "%[e1]")
                             "add %[s0], %[s0], %[e0]\nadd %[s1], %[s1], %[e1]\n" TW_PACK_H("%[e0]", "%[e1]", "%[e0]")
                                 TW_SW("%[e0]", "%[e]", "4") TW_ASM_END
                     : [a] "+r"(a), [e] "+r"(e), [s0] "+r"(s0), [s1] "+r"(s1), [e0] "=&r"(e0), [e1] "=&r"(e1)
                     : [n] "r"(seen), [base0] "r"(base0), [base1] "r"(base1)
                     : "memory");
#else
    for (int s = 0; s < seen; s++, a += 2) {
        uint32_t e0 = *(const uint16_t *)(const void *)(base0 + a[0]);
        uint32_t e1 = *(const uint16_t *)(const void *)(base1 + a[1]);
        s0 += e0, s1 += e1, e[s] = e1 << 16 | e0;
    }
#endif
    *sum0 = s0, *sum1 = s1;
}

/* p0[s], p1[s] = weight[255 e / sum] with the reciprocals of both sums. */
TW_X void weights_of_two(const int8_t *weight, const uint32_t *e, int8_t *p0, int8_t *p1, int seen, uint32_t r0,
                         uint32_t r1)
{
#ifdef __riscv
    int32_t w, t0, t1;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LW("%[w]", "%[e]", "4") TW_LOOP("0", "%[n]", "9") TW_LOWER_UN("%[t0]", "%[w]", "%[r0]", "16")
        TW_UPPER_UN("%[t1]", "%[w]", "%[l1]", "16") TW_LOWER_MACUN("%[t0]", "%[w]", "%[h0]", "21")
        TW_UPPER_MACUN("%[t1]", "%[w]", "%[r1]", "21") TW_LW("%[w]", "%[e]", "4")
        TW_LB_AT("%[t0]", "%[weight]", "%[t0]") TW_LB_AT("%[t1]", "%[weight]", "%[t1]") TW_SB("%[t0]", "%[p0]", "1")
        TW_SB("%[t1]", "%[p1]", "1") TW_ASM_END
        : [e] "+r"(e), [p0] "+r"(p0), [p1] "+r"(p1), [w] "=&r"(w), [t0] "=&r"(t0), [t1] "=&r"(t1)
        : [n] "r"(seen), [r0] "r"(r0), [h0] "r"(r0 >> 16), [r1] "r"(r1), [l1] "r"(r1 << 16), [weight] "r"(weight)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < seen; s++) {
        p0[s] = weight[(uint64_t)(e[s] & 65535) * r0 >> 37];
        p1[s] = weight[(uint64_t)(e[s] >> 16) * r1 >> 37];
    }
#endif
}

/* Four channels of each of `heads`, requantised, from sums of p[s] v[c][s] over `words` words of positions. `apart`:
 * bytes from the values of one to those of the next. */
TW_X void mixed_heads(int8_t *y, const int8_t *p, const int8_t *v, int heads, int words, int pitch, int apart,
                      int32_t mul, int32_t add, int shift)
{
#ifdef __riscv
    int32_t s0, s1, s2, s3, w, a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[heads]", "30")
        "mv %[s0], zero\nmv %[s1], zero\nmv %[s2], zero\nmv %[s3], zero\n"
        TW_LOOP("0", "%[words]", "9") TW_MIX_FOUR(TW_SDOTSP)
        TW_SCALE_FOUR
        TW_BYTES_FOUR
        TW_SW("%[s0]", "%[y]", "4") "add %[v], %[v], %[next]\n" TW_ASM_END
        : [w] "=&r"(w), [a] "=&r"(a), [b] "=&r"(b), [p] "+r"(p), [v] "+r"(v), [y] "+r"(y), [s0] "=&r"(s0),
          [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3)
        : [heads] "r"(heads), [words] "r"(words), [pitch] "r"(pitch), [back] "r"(4 - 3 * pitch),
          [next] "r"(apart - 4 * words), [mul] "r"(mul), [add] "r"(add), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (; heads > 0; heads--, v += apart - 4 * words, y += 4) {
        int32_t s[4] = {0};
        for (int i = 0; i < words; i++, p += 4, v += 4)
            for (int c = 0; c < 4; c++)
                s[c] = tw_vsdotsp_b(s[c], tw_word_at(p), tw_word_at(v + c * pitch));
        for (int c = 0; c < 4; c++)
            y[c] = (int8_t)tw_scaled(s[c], mul, add, shift);
    }
#endif
}

/* Sums of halves base0[a[2 s]] and base1[a[2 s + 1]], indices in bytes. */
TW_X void sums_of_two(const char *base0, const char *base1, const int8_t *a, int seen, uint32_t *sums)
{
    uint32_t s0 = 0, s1 = 0;
#ifdef __riscv
    int32_t e0, e1;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "6") TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1")
                         TW_LHU_AT("%[e0]", "%[base0]", "%[e0]") TW_LHU_AT("%[e1]", "%[base1]", "%[e1]")
                             "add %[s0], %[s0], %[e0]\nadd %[s1], %[s1], %[e1]\n" TW_ASM_END
                     : [a] "+r"(a), [s0] "+r"(s0), [s1] "+r"(s1), [e0] "=&r"(e0), [e1] "=&r"(e1)
                     : [n] "r"(seen), [base0] "r"(base0), [base1] "r"(base1)
                     : "memory");
#else
    for (int s = 0; s < seen; s++, a += 2) {
        s0 += *(const uint16_t *)(const void *)(base0 + a[0]);
        s1 += *(const uint16_t *)(const void *)(base1 + a[1]);
    }
#endif
    sums[0] = s0, sums[1] = s1;
}

/* table[-2 d] = weight[255 exp[-d] / sum] for two times `pairs` d, r the sum's reciprocal; weight: entries fourfold. */
TW_X void weights_by_distance(const int8_t *weight, const uint16_t *exp, int8_t *table, int pairs, uint32_t r)
{
#ifdef __riscv
    int32_t e0, e1, t0, t1;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "10") TW_LHU("%[e0]", "%[e]", "-2") TW_LHU("%[e1]", "%[e]", "-2")
        TW_LOWER_UN("%[t0]", "%[e0]", "%[r]", "16") TW_LOWER_UN("%[t1]", "%[e1]", "%[r]", "16")
        TW_LOWER_MACUN("%[t0]", "%[e0]", "%[h]", "21") TW_LOWER_MACUN("%[t1]", "%[e1]", "%[h]", "21")
        TW_LB_AT("%[t0]", "%[weight]", "%[t0]") TW_LB_AT("%[t1]", "%[weight]", "%[t1]") TW_SB("%[t0]", "%[table]", "-2")
        TW_SB("%[t1]", "%[table]", "-2") TW_ASM_END
        : [e] "+r"(exp), [table] "+r"(table), [e0] "=&r"(e0), [e1] "=&r"(e1), [t0] "=&r"(t0), [t1] "=&r"(t1)
        : [n] "r"(pairs), [r] "r"(r), [h] "r"(r >> 16), [weight] "r"(weight)
        : "memory");
    /* clang-format on */
#else
    for (int d = 0; d < 2 * pairs; d++)
        table[-2 * d] = weight[(uint64_t)exp[-d] * r >> 37];
#endif
}

/* Four channels of y, requantised, from sums of table[a[2 s]] v[c][s] over `words` words of positions. */
TW_X void mixed_by_table(int8_t *y, const int8_t *table, const int8_t *a, const int8_t *v, int words, int pitch,
                         int32_t mul, int32_t add, int shift)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#ifdef __riscv
    int32_t w, w1, w2, w3, c, d;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "18") TW_LB("%[w]", "%[a]", "2") TW_LB("%[w1]", "%[a]", "2")
        TW_LB("%[w2]", "%[a]", "2") TW_LB("%[w3]", "%[a]", "2") TW_LB_AT("%[w]", "%[t]", "%[w]")
        TW_LB_AT("%[w1]", "%[t]", "%[w1]") TW_LB_AT("%[w2]", "%[t]", "%[w2]") TW_LB_AT("%[w3]", "%[t]", "%[w3]")
        TW_LW_BY("%[c]", "%[v]", "%[pitch]") TW_PACKLO("%[w]", "%[w1]", "%[w]") TW_LW_BY("%[d]", "%[v]", "%[pitch]")
        TW_PACKHI("%[w]", "%[w3]", "%[w2]") TW_DOT(TW_SDOTSP, "%[s0]", "%[w]", "%[c]")
        TW_LW_BY("%[c]", "%[v]", "%[pitch]") TW_DOT(TW_SDOTSP, "%[s1]", "%[w]", "%[d]")
        TW_LW_BY("%[d]", "%[v]", "%[back]") TW_DOT(TW_SDOTSP, "%[s2]", "%[w]", "%[c]")
        TW_DOT(TW_SDOTSP, "%[s3]", "%[w]", "%[d]") TW_ASM_END
        : [w] "=&r"(w), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3), [c] "=&r"(c), [d] "=&r"(d), [a] "+r"(a),
          [v] "+r"(v), [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3)
        : [words] "r"(words), [pitch] "r"(pitch), [back] "r"(4 - 3 * pitch), [t] "r"(table)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < words; i++, a += 8, v += 4) {
        int32_t w = tw_bytes_of(table[a[0]], table[a[2]], table[a[4]], table[a[6]]);
        s0 = tw_vsdotsp_b(s0, w, tw_word_at(v)), s1 = tw_vsdotsp_b(s1, w, tw_word_at(v + pitch));
        s2 = tw_vsdotsp_b(s2, w, tw_word_at(v + 2 * pitch)), s3 = tw_vsdotsp_b(s3, w, tw_word_at(v + 3 * pitch));
    }
#endif
    tw_set_word(y, tw_bytes_of(tw_scaled(s0, mul, add, shift), tw_scaled(s1, mul, add, shift),
                               tw_scaled(s2, mul, add, shift), tw_scaled(s3, mul, add, shift)));
}

/* The word w, `fours` times four times. */
TW_X void filled(int8_t *at, int32_t w, int fours)
{
#ifdef __riscv
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") TW_SW("%[w]", "%[at]", "4") TW_SW("%[w]", "%[at]", "4")
                         TW_SW("%[w]", "%[at]", "4") TW_SW("%[w]", "%[at]", "4") TW_ASM_END
                     : [at] "+r"(at)
                     : [n] "r"(fours), [w] "r"(w)
                     : "memory");
#else
    for (int i = 0; i < 4 * fours; i++)
        tw_set_word(at + 4 * i, w);
#endif
}

/* Scores of a head under a mask: a[s] = join[scale[clip(q . k[s])] + hidden[s]]; returns the greatest. Writes to a[-1],
 * too. */
TW_X int32_t masked_scores(const struct tw_attend_row *given, int32_t q, const int8_t *k, const int8_t *hidden,
                           int8_t *a)
{
    const int8_t *scale = given->scale + 128, *join = given->join + 256;
    int32_t most = -128;
#ifdef __riscv
    int32_t v, m, one = most;
    a--;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "10") TW_LW_BY("%[v]", "%[k]", "%[stride]") TW_LB("%[m]", "%[hidden]", "1")
        TW_DOT(TW_DOTSP, "%[v]", "%[v]", "%[q]") TW_CLIPR("%[v]", "%[v]", "%[by]")
        TW_ROUNDED_PRODUCT("%[v]", "%[v]", "%[mul]", "16") TW_LB_AT("%[v]", "%[scale]", "%[v]")
        TW_SB("%[one]", "%[a]", "1") TW_MAX("%[most]", "%[most]", "%[one]") "add %[v], %[v], %[m]\n"
        TW_LB_AT("%[one]", "%[join]", "%[v]")
        TW_SB("%[one]", "%[a]", "1") TW_MAX("%[most]", "%[most]", "%[one]") TW_ASM_END
        : [k] "+r"(k), [hidden] "+r"(hidden), [a] "+r"(a), [most] "+r"(most), [one] "+r"(one), [v] "=&r"(v),
          [m] "=&r"(m)
        : [n] "r"(given->seen), [stride] "r"(given->stride), [q] "r"(q), [mul] "r"(given->numbers[0]),
          [by] "r"(given->numbers[4]), [scale] "r"(scale), [join] "r"(join)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < given->seen; s++, k += given->stride) {
        int32_t sum = tw_pclipr(tw_vdotsp_b(q, tw_word_at(k)), given->numbers[4]);
        a[s] = join[scale[tw_pmulsrn(sum, given->numbers[0], 16)] + hidden[s]];
        most = tw_pmax(most, a[s]);
    }
#endif
    return most;
}

/* e[s] = exp[a[s]], and their sum. */
TW_X uint32_t exponentials_of(const uint16_t *exp, const int8_t *a, uint16_t *e, int seen)
{
    uint32_t sum = 0;
#ifdef __riscv
    int32_t v;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "5") TW_LB("%[v]", "%[a]", "1") "slli %[v], %[v], 1\n"
                     TW_LHU_AT("%[v]", "%[exp]", "%[v]") TW_SH("%[v]", "%[e]", "2")
                     "add %[sum], %[sum], %[v]\n" TW_ASM_END
                     : [a] "+r"(a), [e] "+r"(e), [sum] "+r"(sum), [v] "=&r"(v)
                     : [n] "r"(seen), [exp] "r"(exp)
                     : "memory");
#else
    for (int s = 0; s < seen; s++)
        sum += e[s] = exp[a[s]];
#endif
    return sum;
}

/* p[s] = weight[255 e / sum], r the sum's reciprocal. */
TW_X void weights_of(const int8_t *weight, const uint16_t *e, int8_t *p, int seen, uint32_t r)
{
#ifdef __riscv
    int32_t v, w;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "5") TW_LHU("%[v]", "%[e]", "2")
                         TW_LOWER_UN("%[w]", "%[v]", "%[r]", "16") TW_LOWER_MACUN("%[w]", "%[v]", "%[h]", "21")
                             TW_LB_AT("%[w]", "%[weight]", "%[w]") TW_SB("%[w]", "%[p]", "1") TW_ASM_END
                     : [e] "+r"(e), [p] "+r"(p), [v] "=&r"(v), [w] "=&r"(w)
                     : [n] "r"(seen), [r] "r"(r), [h] "r"(r >> 16), [weight] "r"(weight)
                     : "memory");
#else
    for (int s = 0; s < seen; s++)
        p[s] = weight[(uint64_t)e[s] * r >> 37];
#endif
}

/* The same as tw_attend_row under any mask, a head at a time. What masks hide lies behind exponentials and scores. */
static __attribute__((noinline)) void masked(const struct tw_attend_row *given, uint32_t *scratch, int first, int last)
{
    int seen = given->seen, pitch = given->pitch, spread = given->spread, words = (seen + 3) >> 2;
    uint16_t *e = (uint16_t *)scratch;
    int8_t *a = (int8_t *)(e + seen), *hidden = a + seen + 4;
    for (int s = 0; s < seen; s++)
        hidden[s] = given->hide[given->mask[s] & 255];
    for (int at = first << spread; at < last << spread; at += 4) {
        int cached = at >> (spread - 2) & -4;
        int32_t most = masked_scores(given, tw_word_at(given->q + at), given->k + cached, hidden, a);
        uint32_t sum = exponentials_of((const uint16_t *)given->exp + 255 - most, a, e, seen);
        weights_of(given->weight, e, a, seen, tw_close_reciprocal(sum, (uint32_t)given->exp[136]));
        tw_set_word(a + seen, 0);
        mixed_heads(given->y + at, a, given->v + cached * pitch, 1, words, pitch, 0, given->numbers[2],
                    given->numbers[3], given->out_shift);
    }
}

/* The same with what another kernel was given: fields are alike. */
#define MASKED_LIKE(name)                                                                                              \
    static __attribute__((noinline)) void SMALL masked_##name(const struct tw_attend_##name *given, uint32_t *scratch, \
                                                              int first, int last)                                     \
    {                                                                                                                  \
        struct tw_attend_row same;                                                                                     \
        for (unsigned i = 0; i < sizeof same; i += 4)                                                                  \
            tw_set_word((char *)&same + i, tw_word_at((const char *)given + i));                                       \
        masked(&same, scratch, first, last);                                                                           \
    }
MASKED_LIKE(few)
MASKED_LIKE(long)

static __attribute__((noinline)) int SMALL hides_some(const int8_t *mask, int n)
{
    int32_t any = 0;
    while (n > 0)
        any |= mask[--n];
    return any != 0;
}

/* Of a pair of heads, from the one at `at` of the row, without a mask; `few`: whether there are few positions. */
#define ATTEND_PAIR(few)                                                                                               \
    int cached = at >> (given->spread - 2) & -4, apart = given->apart;                                                 \
    const int32_t *numbers = given->numbers;                                                                           \
    const int8_t *q = given->q + at;                                                                                   \
    int8_t *p = (int8_t *)(scratch + seen);                                                                            \
    int32_t most = scores_of_two(tw_word_at(q), tw_word_at(q + 4), given->k + cached, given->plain, p, numbers[0],     \
                                 numbers[4], seen, given->stride, apart, few);                                         \
    const char *exp = (const char *)given->exp + 510;                                                                  \
    uint32_t sum0, sum1, r0, r1, raised = (uint32_t)given->exp[136];                                                   \
    exponentials_of_two(exp - tw_vextract_b(most, 0), exp - tw_vextract_b(most, 1), p, scratch, seen, &sum0, &sum1);   \
    AGAIN(given); AGAIN(seen);                                                                                         \
    int words = (seen + 3) >> 2;                                                                                       \
    tw_set_word(p + seen, 0), tw_set_word(p + 4 * words + seen, 0);                                                    \
    if (!(few) && USUAL((uint32_t)tw_pmaxu(sum0, sum1) <= (uint32_t)given->exp[137]))                                  \
        r0 = tw_short_reciprocal(sum0, raised), r1 = tw_short_reciprocal(sum1, raised);                                \
    else                                                                                                               \
        r0 = tw_reciprocal(sum0, (few) && raised > 0 ? 1 : raised),                                                    \
        r1 = tw_reciprocal(sum1, (few) && raised > 0 ? 1 : raised);                                                    \
    weights_of_two(given->weight, scratch, p, p + 4 * words, seen, r0, r1);                                            \
    AGAIN(given);                                                                                                      \
    int pitch = given->pitch;                                                                                          \
    numbers = given->numbers;                                                                                          \
    mixed_heads(given->y + at, p, given->v + cached * pitch, 2, words, pitch, apart * pitch, numbers[2], numbers[3],   \
                given->out_shift)

/* Attention of a single row over all `seen` positions with 256 levels, few: heads of the cache
 * first .. last, of four channels, 2^(spread - 2) of the row to each, two at least to a core, `apart` bytes between
 * those of two. q, y: [heads * 4]; k: [seen][stride]; v: [stride][pitch]; plain: twice, entry c at 128 + c, and whether
 * they are halves; exp: halves, the last first, and what reciprocals want of them; numbers: and a bound, rounded
 * products with sums clipped to it are codes; mask: or null; scale: entry c at 128 + c; other tables as the operator
 * says, where a mask is zero as plain; scratch: four bytes for each position and twice its bytes of whole words, and a
 * word. */
void SMALL tw_attend_few(const struct tw_attend_few *given, uint32_t *restrict scratch, int first, int last)
{
    int at = first << given->spread, end = last << given->spread;
    if (at >= end)
        return;
    const int8_t *mask = given->mask;
    int seen = given->seen;
    if (__builtin_expect(mask != 0 && (seen < 8 ? hides_some(mask, seen) : !tw_is_zero(mask, seen)), 0)) {
        masked_few(given, scratch, first, last);
        return;
    }
    do {
        seen = given->seen;
        ATTEND_PAIR(1);
    } while ((at += 8) < end);
}

/* The same over more positions. */
void SMALL tw_attend_row(const struct tw_attend_row *given, uint32_t *restrict scratch, int first, int last)
{
    int at = first << given->spread, end = last << given->spread;
    if (at >= end)
        return;
    if (__builtin_expect(given->mask != 0 && !tw_is_zero(given->mask, given->seen), 0)) {
        masked(given, scratch, first, last);
        return;
    }
    do {
        int seen = given->seen;
        ATTEND_PAIR(0);
    } while ((at += 8) < end);
}

/* The same over many positions, eight at least: weights by a table of distances from the greatest score, one for each
 * head. exp: and the greatest of what follows each eighth, halves, and how many bits all are raised; scratch: two bytes
 * for each position of whole words, two words, and 256 bytes; four bytes for each position and a word under a mask. */
void SMALL tw_attend_long(const struct tw_attend_long *given, uint32_t *restrict scratch, int first, int last)
{
    int at = first << given->spread, end = last << given->spread;
    if (at >= end)
        return;
    if (given->mask != 0 && !tw_is_zero(given->mask, given->seen)) {
        masked_long(given, scratch, first, last);
        return;
    }
    do {
        int seen = given->seen, cached = at >> (given->spread - 2) & -4, apart = given->apart;
        int words = (seen + 3) >> 2;
        const int8_t *q = given->q + at, *k = given->k + cached;
        int8_t *codes = (int8_t *)scratch, *table = codes + 8 * words + 8;
        int32_t most = scores_of_two(tw_word_at(q), tw_word_at(q + 4), k, given->plain, codes, given->numbers[0],
                                     given->numbers[4], seen, given->stride, apart, 0);
        int32_t none = (int32_t)((uint32_t)tw_vpack_h(most, most) + 0x01010101u); /* what no score is */
        tw_set_word(codes + 2 * seen, none), tw_set_word(codes + 2 * seen + 4, none);
        AGAIN(given);
        const char *exp = (const char *)given->exp + 510;
        uint32_t sums[2];
        sums_of_two(exp - tw_vextract_b(most, 0), exp - tw_vextract_b(most, 1), codes, seen, sums);
        for (int h = 0; h < 2; h++, codes++, most >>= 8) {
            AGAIN(given);
            uint32_t sum = sums[h], r = tw_quick_reciprocal(sum, (uint32_t)given->exp[136], (uint32_t)given->exp[137]);
            int left = 15; /* eighths of 128 distances whose weights are those of zero */
            const uint16_t *later = (const uint16_t *)(given->exp + 128);
            while (left > 0 && *later++ * 255u >= sum)
                left--;
            filled(table, (given->weight[0] & 255) * 0x00010001, left);
            weights_by_distance(given->weight, (const uint16_t *)given->exp + 255, table + 254, 64 - 4 * left, r);
            table[255] = 0; /* of what no score is */
            AGAIN(given);
            int pitch = given->pitch;
            mixed_by_table(given->y + at + 4 * h, table + 254 - tw_vextract_b(most, 0), codes,
                           given->v + (cached + h * apart) * pitch, words, pitch, given->numbers[2], given->numbers[3],
                           given->out_shift);
        }
    } while ((at += 8) < end);
}
