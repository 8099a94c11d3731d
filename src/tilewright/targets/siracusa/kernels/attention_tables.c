/* Attention over integers as QuantLib's decoders have it: scores, exponentials and weights by tables.
 *
 * Requantisations fit 32 bits: rows of the table of kernels see to that. A head's loops together stay within the 512
 * bytes of a core's own instruction cache: straight code costs twice its instructions.
 */
#include "tw_kernels.h"
#include "tw_mixed.h"

#define SMALL __attribute__((minsize))

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

/* The same for heads of four channels that nothing masks. Writes to a[-1], too: a number is stored while the next one
 * is made. */
TW_X int32_t scores(const int8_t *q, const int8_t *k, const int8_t *plain, int8_t *a, int32_t mul, int32_t add,
                    int seen, int stride, int shift)
{
    int32_t most = -128, value = -128;
#ifdef __riscv
    int32_t v, t;
    a--;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LW_BY("%[v]", "%[k]", "%[step]")
                         TW_MAX("%[most]", "%[most]", "%[value]") TW_DOT(TW_DOTSP, "%[v]", "%[v]", "%[q]")
                             "mv %[t], %[add]\n" TW_MAC("%[t]", "%[v]", "%[mul]") "sra %[v], %[t], %[shift]\n"
                             TW_CLIP("%[v]", "%[v]", "8") TW_SB("%[value]", "%[a]", "1")
                                 TW_LB_AT("%[value]", "%[plain]", "%[v]") TW_ASM_END
                     : [k] "+r"(k), [a] "+r"(a), [most] "+r"(most), [value] "+r"(value), [v] "=&r"(v), [t] "=&r"(t)
                     : [n] "r"(seen), [step] "r"(stride), [q] "r"(tw_word_at(q)), [mul] "r"(mul), [add] "r"(add),
                       [shift] "r"(shift), [plain] "r"(plain + 128)
                     : "memory");
    *a = (int8_t)value;
    return tw_pmax(most, value);
#else
    for (int s = 0; s < seen; s++, k += stride) {
        a[s] = plain[128 + tw_scaled(tw_vdotsp_b(tw_word_at(q), tw_word_at(k)), mul, add, shift)];
        most = tw_pmax(most, value = a[s]);
    }
    return most;
#endif
}

/* e[s] = exp[most - a[s]] of `pairs` times two positions; returns their sum. */
TW_X uint32_t exponentials(const int32_t *exp, const int8_t *a, uint32_t *e, int pairs, int32_t most)
{
    uint32_t sum = 0;
#ifdef __riscv
    int32_t e0, e1;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "10") TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1")
                     "slli %[e0], %[e0], 2\nslli %[e1], %[e1], 2\n" TW_LW_AT("%[e0]", "%[base]", "%[e0]")
                         TW_LW_AT("%[e1]", "%[base]", "%[e1]") TW_SW("%[e0]", "%[e]", "4") TW_SW("%[e1]", "%[e]", "4")
                     "add %[sum], %[sum], %[e0]\nadd %[sum], %[sum], %[e1]\n" TW_ASM_END
                     : [a] "+r"(a), [e] "+r"(e), [sum] "+r"(sum), [e0] "=&r"(e0), [e1] "=&r"(e1)
                     : [n] "r"(pairs), [base] "r"(exp + 255 - most)
                     : "memory");
#else
    for (int s = 0; s < 2 * pairs; s++)
        sum += e[s] = (uint32_t)exp[255 - most + a[s]];
#endif
    return sum;
}

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

/* Four channels of y, requantised, from sums of p[s] v[c][s] over `words` words of positions. */
TW_X void mixed(int8_t *y, const int8_t *p, const int8_t *v, int words, int pitch, int32_t mul, int32_t add, int shift)
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#ifdef __riscv
    int32_t w, a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[words]", "9") TW_MIX_FOUR(TW_SDOTSP) TW_ASM_END
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
    if (n >= 8)
        return tw_is_zero(m, n);
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
