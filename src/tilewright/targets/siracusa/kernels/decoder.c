/* Between the products of QuantLib's decoders: heads that turn, attention by tables, sums and products by tables.
 *
 * Requantisations fit 32 bits: rows of the table of kernels see to that. The code is kept small, since all of a token's
 * has to stay in the instruction cache that the cores share.
 */
#include "tw_kernels.h"
#include "tw_stream.h"

#define SMALL __attribute__((minsize))
enum { FEW = 40 }; /* positions below which it does not pay to look how many numbers scores are */

/* Lane `i` of four words becomes lane 0 to 3 of word i. */
TW_X void transposed(int32_t *c, const int8_t *r)
{
    int32_t r0 = tw_word_at(r), r1 = tw_word_at(r + 4), r2 = tw_word_at(r + 8), r3 = tw_word_at(r + 12);
    int32_t a = tw_vshuffle2_b(r0, r1, 0x05010400), b = tw_vshuffle2_b(r2, r3, 0x05010400);
    c[0] = tw_vpack_h(b, a), c[1] = tw_vshuffle2_h(a, b, 0x00030001);
    a = tw_vshuffle2_b(r0, r1, 0x07030602), b = tw_vshuffle2_b(r2, r3, 0x07030602);
    c[2] = tw_vpack_h(b, a), c[3] = tw_vshuffle2_h(a, b, 0x00030001);
}

/* y[t, h] = table[clip((x[t, h] . r[t] * mul + add) >> shift)]: heads first .. last, flat. x, y: [tokens][heads][4],
 * r: matrices [4][4], `step` elements from one row's to the next. y is not x. */
void SMALL tw_turn_heads(const int8_t *restrict x, const int8_t *restrict r, const int32_t *restrict mul,
                         const void *restrict add, const int8_t *restrict table, int8_t *restrict y, int heads,
                         int step, int shift, int first, int last)
{
    int32_t c[4], m = *mul, half = *(const int32_t *)add;
    int h = first;
    for (; h >= heads; h -= heads)
        r += step;
    x += 4 * first, y += 4 * first;
    for (int left = 0; first < last; first++, x += 4, y += 4) {
        if (left-- == 0) {
            transposed(c, r);
            r += step, left = heads - h - 1, h = 0;
        }
        int32_t v = tw_word_at(x);
        int32_t a = tw_scaled(tw_vdotsp_b(v, c[0]), m, half, shift);
        int32_t b = tw_scaled(tw_vdotsp_b(v, c[1]), m, half, shift);
        int32_t d = tw_scaled(tw_vdotsp_b(v, c[2]), m, half, shift);
        int32_t e = tw_scaled(tw_vdotsp_b(v, c[3]), m, half, shift);
        if (table != 0)
            a = table[a & 255], b = table[b & 255], d = table[d & 255], e = table[e & 255];
        tw_set_word(y, tw_bytes_of(a, b, d, e));
    }
}

/* The bytes t, b, d and e: v times the columns in c0 .. c3, requantised. 20 instructions. */
#define TURNED_ONE(y, column, mul, add)                                                                                \
    TW_DOT(TW_DOTSP, "%[a]", "%[v]", column) "mv " y ", " add "\n" TW_MAC(y, "%[a]", mul)                              \
    "sra " y ", " y ", %[turn]\n" TW_CLIP(y, y, "8")
#define TURNED(mul, add)                                                                                               \
    TURNED_ONE("%[t]", "%[c0]", mul, add) TURNED_ONE("%[b]", "%[c1]", mul, add)                                        \
    TURNED_ONE("%[d]", "%[c2]", mul, add) TURNED_ONE("%[e]", "%[c3]", mul, add)
#define BYTES(y) TW_PACKLO(y, "%[b]", "%[t]") TW_PACKHI(y, "%[e]", "%[d]")

/* Queries of a token, and its keys and values in the caches: heads first .. last of these, of four channels, from a row
 * of 64 inputs. w, mul: for each head rows of `group` queries, of a key and of a value; state_k: [positions][n],
 * state_v: [n][pitch]; tables: entry c at 128 + c; numbers: the product's addend, multipliers and addends of rotations;
 * y: [n / 4][group][4]; scratch: what the rows give, whole words. */
TW_HOT void SMALL tw_new_heads(int8_t *restrict state_k, int8_t *restrict state_v, const int8_t *restrict x,
                        const int8_t *restrict w, const int32_t *restrict mul, const int8_t *restrict r,
                        const int8_t *restrict table_k, const int8_t *restrict table_v,
                        const int32_t *restrict numbers, int8_t *restrict y, int8_t *restrict scratch, int n, int group,
                        int pitch, int pos, int shift, int turn, int first, int last)
{
    int rows = 4 * group + 8, at = first * rows;
    int32_t c[4];
    if (first >= last)
        return;
    tw_bytes_of_rows(x, w + at * TW_ROW, mul + at, *numbers, scratch, 4, shift, last * rows - at);
    transposed(c, r);
    y += 4 * group * first, state_k += pos * n + 4 * first, state_v += 4 * first * pitch + pos;
    table_k += 128, table_v += 128;
#ifdef __riscv
    int32_t v, a, b, e, t, d;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[heads]", "65") TW_LOOP("0", "%[group]", "24")
        TW_LW("%[v]", "%[s]", "4") TURNED("%[mul_q]", "%[add_q]") BYTES("%[t]") TW_SW("%[t]", "%[y]", "4")
        TW_LW("%[v]", "%[s]", "4") TURNED("%[mul_k]", "%[add_k]")
        TW_LB_AT("%[t]", "%[table_k]", "%[t]") TW_LB_AT("%[b]", "%[table_k]", "%[b]")
        TW_LB_AT("%[d]", "%[table_k]", "%[d]") TW_LB_AT("%[e]", "%[table_k]", "%[e]")
        BYTES("%[t]") TW_SW("%[t]", "%[state_k]", "4")
        TW_LB("%[t]", "%[s]", "1") TW_LB("%[b]", "%[s]", "1") TW_LB("%[d]", "%[s]", "1") TW_LB("%[e]", "%[s]", "1")
        TW_LB_AT("%[t]", "%[table_v]", "%[t]") TW_LB_AT("%[b]", "%[table_v]", "%[b]")
        TW_LB_AT("%[d]", "%[table_v]", "%[d]") TW_LB_AT("%[e]", "%[table_v]", "%[e]")
        TW_SB_BY("%[t]", "%[state_v]", "%[pitch]") TW_SB_BY("%[b]", "%[state_v]", "%[pitch]")
        TW_SB_BY("%[d]", "%[state_v]", "%[pitch]") TW_SB_BY("%[e]", "%[state_v]", "%[pitch]") TW_ASM_END
        : [s] "+r"(scratch), [y] "+r"(y), [state_k] "+r"(state_k), [state_v] "+r"(state_v), [v] "=&r"(v), [a] "=&r"(a),
          [b] "=&r"(b), [d] "=&r"(d), [e] "=&r"(e), [t] "=&r"(t)
        : [heads] "r"(last - first), [group] "r"(group), [c0] "r"(c[0]), [c1] "r"(c[1]), [c2] "r"(c[2]), [c3] "r"(c[3]),
          [mul_q] "r"(numbers[1]), [add_q] "r"(numbers[2]), [mul_k] "r"(numbers[3]), [add_k] "r"(numbers[4]),
          [turn] "r"(turn), [table_k] "r"(table_k), [table_v] "r"(table_v), [pitch] "r"(pitch)
        : "memory");
    /* clang-format on */
#else
    for (; first < last; first++) {
        for (int m = 0; m <= group; m++, scratch += 4)
            for (int i = 0; i < 4; i++) {
                const int32_t *by = numbers + (m < group ? 1 : 3);
                int32_t value = tw_scaled(tw_vdotsp_b(tw_word_at(scratch), c[i]), by[0], by[1], turn);
                if (m < group)
                    *y++ = (int8_t)value;
                else
                    *state_k++ = table_k[value];
            }
        for (int i = 0; i < 4; i++, scratch++, state_v += pitch)
            *state_v = table_v[*scratch];
    }
#endif
}

/* y = clip((f(table_a[a], table_b[b]) * mul + add) >> shift), f the sum or the product: elements first .. last. */
#define JOINED(f)                                                                                                      \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "10") TW_LBU("%[p]", "%[a]", "1") TW_LBU("%[q]", "%[b]", "1")   \
                         TW_LB_AT("%[p]", "%[ta]", "%[p]") TW_LB_AT("%[q]", "%[tb]", "%[q]") "mv %[v], %[add]\n" f     \
                             TW_MAC("%[v]", "%[p]", "%[mul]") "sra %[v], %[v], %[shift]\n" TW_CLIP("%[v]", "%[v]",     \
                                 "8") TW_SB("%[v]", "%[y]", "1") TW_ASM_END                                            \
                     : [a] "+r"(a), [b] "+r"(b), [y] "+r"(y), [p] "=&r"(p), [q] "=&r"(q), [v] "=&r"(v)                 \
                     : [n] "r"(last - first), [ta] "r"(table_a), [tb] "r"(table_b), [mul] "r"(*mul),                   \
                       [add] "r"(*(const int32_t *)add), [shift] "r"(shift)                                            \
                     : "memory")
void SMALL tw_join_tables(const void *bytes_a, const void *bytes_b, const int8_t *restrict table_a,
                          const int8_t *restrict table_b, const int32_t *restrict mul, const void *restrict add,
                          int8_t *y, int product, int shift, int first, int last)
{
    if (first >= last)
        return;
    const uint8_t *a = (const uint8_t *)bytes_a + first, *b = (const uint8_t *)bytes_b + first;
    y += first;
#ifdef __riscv
    int32_t p, q, v;
    if (product)
        JOINED(TW_MULS("%[p]", "%[p]", "%[q]"));
    else
        JOINED("add %[p], %[p], %[q]\n");
#else
    for (; first < last; first++, a++, b++) {
        int32_t p = table_a[*a], q = table_b[*b];
        *y++ = (int8_t)tw_scaled(product ? p * q : p + q, *mul, *(const int32_t *)add, shift);
    }
#endif
}

/* What all heads of a call share. plain: entry c at 128 + c. */
struct heads {
    const int8_t *plain, *scale, *hide, *join;
    int mul, add, shift, hd, seen, stride;
};

/* a[s] for every position; returns the greatest. Any mask (null: zeros), heads of any whole words. */
static __attribute__((noinline)) int32_t any_scores(const struct heads *f, const int8_t *q, const int8_t *k,
                                                    const int8_t *mask, int8_t *a)
{
    int32_t most = -128, hd = f->hd;
    for (int s = 0; s < f->seen; s++, k += f->stride) {
        int32_t sum = 0;
        for (int i = 0; i < hd; i += 4)
            sum = tw_vsdotsp_b(sum, tw_word_at(q + i), tw_word_at(k + i));
        int32_t code = tw_scaled(sum, f->mul, f->add, f->shift), value = f->plain[128 + code];
        if (mask != 0 && mask[s] != 0)
            value = f->join[f->scale[code & 255] + f->hide[mask[s] & 255] + 256];
        a[s] = (int8_t)value;
        most = tw_pmax(most, value);
    }
    return most;
}

/* The same for heads of four channels that nothing masks. Writes to a[-1], too. */
TW_X int32_t scores(const struct heads *f, const int8_t *q, const int8_t *k, int8_t *a)
{
    int32_t word = tw_word_at(q), most = -128;
#ifdef __riscv
    int32_t value = -128, sum, v, n = f->seen, step = f->stride;
    a--;
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LW_BY("%[v]", "%[k]", "%[step]") "mv %[sum], %[add]\n" TW_DOT(
            TW_DOTSP, "%[v]", "%[v]", "%[q]") TW_MAC("%[sum]", "%[v]", "%[mul]") "sra %[sum], %[sum], %[shift]\n"
            TW_CLIP("%[sum]", "%[sum]", "8") TW_MAX("%[most]", "%[most]", "%[value]") TW_SB("%[value]", "%[a]", "1")
                TW_LB_AT("%[value]", "%[plain]", "%[sum]") TW_ASM_END
        : [k] "+r"(k), [a] "+r"(a), [most] "+r"(most), [value] "+r"(value), [sum] "=&r"(sum), [v] "=&r"(v)
        : [n] "r"(n), [step] "r"(step), [q] "r"(word), [mul] "r"(f->mul), [add] "r"(f->add),
          [shift] "r"(f->shift), [plain] "r"(f->plain + 128)
        : "memory");
    *a = (int8_t)value;
    return tw_pmax(most, value);
#else
    for (int s = 0; s < f->seen; s++, k += f->stride) {
        a[s] = f->plain[128 + tw_scaled(tw_vdotsp_b(word, tw_word_at(k)), f->mul, f->add, f->shift)];
        most = tw_pmax(most, a[s]);
    }
    return most;
#endif
}

/* e[s] = exp[most - a[s]] for `fours` times four positions; returns their sum. */
TW_X uint32_t exponentials(const int32_t *exp, const int8_t *a, uint32_t *e, int fours, int32_t most)
{
    const int32_t *base = exp + 255 - most;
    uint32_t sum = 0;
#ifdef __riscv
    int32_t e0, e1, e2, e3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "20") TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1")
        TW_LB("%[e2]", "%[a]", "1") TW_LB("%[e3]", "%[a]", "1") "slli %[e0], %[e0], 2\n" "slli %[e1], %[e1], 2\n"
        "slli %[e2], %[e2], 2\n" "slli %[e3], %[e3], 2\n" TW_LW_AT("%[e0]", "%[base]", "%[e0]")
        TW_LW_AT("%[e1]", "%[base]", "%[e1]") TW_LW_AT("%[e2]", "%[base]", "%[e2]")
        TW_LW_AT("%[e3]", "%[base]", "%[e3]") TW_SW("%[e0]", "%[e]", "4") TW_SW("%[e1]", "%[e]", "4")
        TW_SW("%[e2]", "%[e]", "4") TW_SW("%[e3]", "%[e]", "4") "add %[sum], %[sum], %[e0]\n"
        "add %[sum], %[sum], %[e1]\n" "add %[sum], %[sum], %[e2]\n" "add %[sum], %[sum], %[e3]\n" TW_ASM_END
        : [a] "+r"(a), [e] "+r"(e), [sum] "+r"(sum), [e0] "=&r"(e0), [e1] "=&r"(e1), [e2] "=&r"(e2), [e3] "=&r"(e3)
        : [n] "r"(fours), [base] "r"(base)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < 4 * fours; s++)
        sum += e[s] = (uint32_t)base[a[s]];
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

/* The least of the bytes in `words` words. */
TW_X int32_t least(const int8_t *a, int words)
{
    int32_t low = tw_word_at(a);
    for (; words > 0; words--, a += 4)
        low = tw_vmin_b(low, tw_word_at(a));
    int32_t x = tw_pmin(tw_vextract_b(low, 0), tw_vextract_b(low, 1));
    return tw_pmin(x, tw_pmin(tw_vextract_b(low, 2), tw_vextract_b(low, 3)));
}

/* Sum of exp[most - a[s]] over `fours` times four positions. */
TW_X uint32_t summed(const int32_t *exp, const int8_t *a, int fours, int32_t most)
{
    const int32_t *base = exp + 255 - most;
    uint32_t sum = 0;
#ifdef __riscv
    int32_t e0, e1, e2, e3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "16") TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1")
        TW_LB("%[e2]", "%[a]", "1") TW_LB("%[e3]", "%[a]", "1") "slli %[e0], %[e0], 2\n" "slli %[e1], %[e1], 2\n"
        "slli %[e2], %[e2], 2\n" "slli %[e3], %[e3], 2\n" TW_LW_AT("%[e0]", "%[base]", "%[e0]")
        TW_LW_AT("%[e1]", "%[base]", "%[e1]") TW_LW_AT("%[e2]", "%[base]", "%[e2]")
        TW_LW_AT("%[e3]", "%[base]", "%[e3]") "add %[sum], %[sum], %[e0]\n" "add %[sum], %[sum], %[e1]\n"
        "add %[sum], %[sum], %[e2]\n" "add %[sum], %[sum], %[e3]\n" TW_ASM_END
        : [a] "+r"(a), [sum] "+r"(sum), [e0] "=&r"(e0), [e1] "=&r"(e1), [e2] "=&r"(e2), [e3] "=&r"(e3)
        : [n] "r"(fours), [base] "r"(base)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < 4 * fours; s++)
        sum += (uint32_t)base[a[s]];
#endif
    return sum;
}

/* p[s] = table[p[s]] for `fours` times four positions. */
TW_X void looked_up(const int8_t *table, int8_t *p, int fours)
{
#ifdef __riscv
    const int8_t *a = p;
    int32_t e0, e1, e2, e3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "12") TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1")
        TW_LB("%[e2]", "%[a]", "1") TW_LB("%[e3]", "%[a]", "1") TW_LB_AT("%[e0]", "%[t]", "%[e0]")
        TW_LB_AT("%[e1]", "%[t]", "%[e1]") TW_LB_AT("%[e2]", "%[t]", "%[e2]") TW_LB_AT("%[e3]", "%[t]", "%[e3]")
        TW_SB("%[e0]", "%[p]", "1") TW_SB("%[e1]", "%[p]", "1") TW_SB("%[e2]", "%[p]", "1")
        TW_SB("%[e3]", "%[p]", "1") TW_ASM_END
        : [a] "+r"(a), [p] "+r"(p), [e0] "=&r"(e0), [e1] "=&r"(e1), [e2] "=&r"(e2), [e3] "=&r"(e3)
        : [n] "r"(fours), [t] "r"(table)
        : "memory");
    /* clang-format on */
#else
    for (int s = 0; s < 4 * fours; s++)
        p[s] = table[p[s]];
#endif
}

/* Weights in the place of scores, made for each number that scores may be and not for each position: where these are
 * few, else 0. No entry of exp is greater than the first. `unseen`: what positions behind the last add to the sum. */
TW_HOT static __attribute__((noinline)) int SMALL weights_by_number(const struct heads *f, const int32_t *exp,
                                                             const int8_t *weight, int8_t *p, uint32_t *scratch,
                                                             int32_t most, int32_t unseen, int levels)
{
    int words = (f->seen + 3) >> 2, numbers = (most - least(p, words) + 2) & ~1;
    if (2 * numbers > f->seen)
        return 0;
    int8_t *table = (int8_t *)scratch;
    uint32_t total = summed(exp, p, words, most) - (uint32_t)unseen;
    weights(weight, (const uint32_t *)exp + 256 - numbers, table, numbers >> 1, total > 0 ? total : 1, levels);
    looked_up(table + numbers - 1 - most, p, words);
    return 1;
}

/* Sums of p[s] v[c][s] over `words` words of positions, of four channels. */
TW_X void mixed(int32_t *sum, const int8_t *p, const int8_t *v, int words, int pitch)
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
    sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
}

/* Whether all n bytes are zero. */
TW_X int is_zero(const int8_t *m, int n)
{
    int32_t any = 0;
    for (; n >= 4; n -= 4, m += 4)
        any |= tw_word_at(m);
    for (; n > 0; n--)
        any |= *m++;
    return any == 0;
}

/* Attention of every row over all `seen` positions: pairs of a row and a head of the cache, first .. last of them,
 * flat. q, y: [tokens][heads * hd]; k: [seen][kv_heads * hd]; v: [kv_heads * hd][pitch]; mask: `mask_step` elements
 * from one row's to the next, or null; plain: entry c at 128 + c, exp: entry d at 255 - d, other tables and numbers as
 * the operator says; scratch: five bytes for each position, whole words, and a word; greatest: no entry of exp is
 * greater than the first. */
TW_HOT void SMALL tw_attend_tables(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                            const int8_t *restrict plain, const int32_t *restrict exp, const int8_t *restrict weight,
                            const int32_t *restrict numbers, const int8_t *restrict mask, const int8_t *restrict scale,
                            const int8_t *restrict hide, const int8_t *restrict join, int8_t *restrict y,
                            uint32_t *restrict scratch, int seen, int group, int kv_heads, int hd, int pitch,
                            int mask_step, int shift, int out_shift, int levels, int greatest, int first,
                            int last)
{
    int h = first, words = (seen + 3) >> 2, clear = 0, fresh = 1;
    int32_t unseen = (4 * words - seen) * exp[255], mul = numbers[2], add = numbers[3];
    int8_t *p = (int8_t *)(scratch + 4 * words);
    struct heads f = {plain, scale, hide, join, numbers[0], numbers[1], shift, hd, seen, kv_heads * hd};
    for (; h >= kv_heads; h -= kv_heads)
        mask = mask != 0 ? mask + mask_step : 0;
    q += first * group * hd, y += first * group * hd;
    for (; first < last; first++) {
        if (fresh)
            clear = mask == 0 || is_zero(mask, seen);
        for (int m = 0; m < group; m++, q += hd) {
            const int8_t *keys = k + h * hd, *values = v + h * hd * pitch;
            int32_t most = clear && hd == 4 ? scores(&f, q, keys, p) : any_scores(&f, q, keys, clear ? 0 : mask, p);
            tw_set_word(p + seen, (most & 255) * 0x01010101); /* takes part, and is taken off */
            if (!(greatest && seen >= FEW && weights_by_number(&f, exp, weight, p, scratch, most, unseen, levels))) {
                uint32_t total = exponentials(exp, p, scratch, words, most) - (uint32_t)unseen;
                weights(weight, scratch, p, 2 * words, total > 0 ? total : 1, levels);
            }
            tw_set_word(p + seen, 0);
            for (int c = 0; c < hd; c += 4, values += 4 * pitch, y += 4) {
                int32_t sum[4];
                mixed(sum, p, values, words, pitch);
                tw_set_word(y, tw_bytes_of(
                    tw_scaled(sum[0], mul, add, out_shift), tw_scaled(sum[1], mul, add, out_shift),
                    tw_scaled(sum[2], mul, add, out_shift), tw_scaled(sum[3], mul, add, out_shift)));
            }
        }
        fresh = ++h == kv_heads;
        if (fresh)
            h = 0, mask = mask != 0 ? mask + mask_step : 0;
    }
}
