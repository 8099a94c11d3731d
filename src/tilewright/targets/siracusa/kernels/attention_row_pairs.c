/* Attention of rows with masks of their own, as prompts of QuantLib's decoders have it: heads of four channels.
 *
 * Two heads side by side, numbers as halves: twice a score is what an index of halves wants. All pairs that scratch has
 * room for go through each stage together: every stage is one piece of assembly that stays in the core's own
 * instruction cache. Requantisations fit 32 bits, and a mask of zero gives what `join` gives for it: rows of the table
 * of kernels see to that.
 */
#include "tw_kernels.h"
#include "tw_mixed.h"
#include "tw_reciprocal.h"

typedef const struct tw_attend_row_pairs *given_t;

/* For every position, where the entries of `join` for its mask are. */
TW_X void hide(given_t given, const int8_t *mask, const int16_t **hidden)
{
    const int16_t *join = (const int16_t *)(const void *)given->join + 256;
#ifdef __riscv
    int32_t m;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[seen]", "5") TW_LBU("%[m]", "%[mask]", "1")
                         TW_LB_AT("%[m]", "%[hide]", "%[m]") "slli %[m], %[m], 1\nadd %[m], %[m], %[join]\n"
                             TW_SW("%[m]", "%[hidden]", "4") TW_ASM_END
                     : [mask] "+r"(mask), [hidden] "+r"(hidden), [m] "=&r"(m)
                     : [seen] "r"(given->seen), [hide] "r"(given->hide), [join] "r"(join)
                     : "memory");
#else
    for (int s = 0; s < given->seen; s++)
        hidden[s] = join + given->hide[mask[s] & 255];
#endif
}

/* Twice the scores of both heads of a pair, halves of a word for every position: join[scale[clip(q . k)] + hidden];
 * the greatest of both for every pair. `hidden`: for every position, where the entries of `join` for its mask are. */
TW_X void scores(given_t given, const int8_t *q, const int8_t *k, const int16_t *const *hidden, int32_t *a,
                 int32_t *most, int pairs)
{
    const int8_t *scale = given->scale + 128;
#ifdef __riscv
    const int8_t *at;
    const int16_t *const *h;
    int32_t q0, q1, both, top, v0, v1, join;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "26") TW_LW("%[q0]", "%[q]", "4") TW_LW("%[q1]", "%[q]", "4")
        "mv %[at], %[k]\naddi %[k], %[k], 8\nmv %[h], %[hidden]\nlui %[top], 0x80008\nlui %[both], 0x80008\n"
        TW_LOOP("0", "%[seen]", "16") TW_LW("%[v0]", "%[at]", "4") TW_LW_BY("%[v1]", "%[at]", "%[on]")
        TW_DOT(TW_DOTSP, "%[v0]", "%[v0]", "%[q0]") TW_DOT(TW_DOTSP, "%[v1]", "%[v1]", "%[q1]")
        TW_CLIPR("%[v0]", "%[v0]", "%[by]") TW_CLIPR("%[v1]", "%[v1]", "%[by]")
        TW_ROUNDED_PRODUCT("%[v0]", "%[v0]", "%[mul]", "16") TW_ROUNDED_PRODUCT("%[v1]", "%[v1]", "%[mul]", "16")
        TW_LW("%[join]", "%[h]", "4") TW_LB_AT("%[v0]", "%[scale]", "%[v0]") TW_LB_AT("%[v1]", "%[scale]", "%[v1]")
        TW_LH_AT("%[v0]", "%[join]", "%[v0]") TW_LH_AT("%[v1]", "%[join]", "%[v1]")
        TW_MAX_H("%[top]", "%[top]", "%[both]") TW_PACK_H("%[both]", "%[v1]", "%[v0]") TW_SW("%[both]", "%[a]", "4")
        TW_MAX_H("%[top]", "%[top]", "%[both]") TW_SW("%[top]", "%[most]", "4") TW_ASM_END
        : [q] "+r"(q), [k] "+r"(k), [a] "+r"(a), [most] "+r"(most), [at] "=&r"(at), [h] "=&r"(h), [q0] "=&r"(q0),
          [q1] "=&r"(q1), [both] "=&r"(both), [top] "=&r"(top), [v0] "=&r"(v0), [v1] "=&r"(v1), [join] "=&r"(join)
        : [n] "r"(pairs), [seen] "r"(given->seen), [on] "r"(given->stride - 4), [by] "r"(given->numbers[4]),
          [mul] "r"(given->numbers[0]), [scale] "r"(scale), [hidden] "r"(hidden)
        : "memory");
    /* clang-format on */
#else
    int32_t mul = given->numbers[0], bound = given->numbers[4];
    for (; pairs > 0; pairs--, q += 8, k += 8) {
        int32_t top = (int32_t)0x80008000;
        for (int s = 0; s < given->seen; s++) {
            int32_t v[2];
            for (int h = 0; h < 2; h++) {
                int32_t sum = tw_vdotsp_b(tw_word_at(k + s * given->stride + 4 * h), tw_word_at(q + 4 * h));
                v[h] = hidden[s][scale[tw_pmulsrn(tw_pclipr(sum, bound), mul, 16)] / 2];
            }
            top = tw_vmax_h(top, *a++ = tw_vpack_h(v[1], v[0]));
        }
        *most++ = top;
    }
#endif
}

/* Exponentials, halves, in the place of scores, and their sums, two for every pair. */
TW_X void exponentials(given_t given, int32_t *e, const int32_t *most, uint32_t *sums, int pairs)
{
    const char *exp = (const char *)given->exp + 510;
#ifdef __riscv
    int32_t e0, e1, s0, s1, base0, base1;
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "17") TW_LH("%[base0]", "%[most]", "2") TW_LH("%[base1]", "%[most]", "2")
        "mv %[s0], zero\nmv %[s1], zero\nsub %[base0], %[exp], %[base0]\nsub %[base1], %[exp], %[base1]\n"
        TW_LOOP("0", "%[seen]", "8") TW_LH("%[e0]", "%[e]", "2") TW_LH("%[e1]", "%[e]", "2")
        TW_LHU_AT("%[e0]", "%[base0]", "%[e0]") TW_LHU_AT("%[e1]", "%[base1]", "%[e1]")
        "add %[s0], %[s0], %[e0]\nadd %[s1], %[s1], %[e1]\n" TW_PACK_H("%[e0]", "%[e1]", "%[e0]")
        "sw %[e0], -4(%[e])\n" TW_SW("%[s0]", "%[sums]", "4") TW_SW("%[s1]", "%[sums]", "4") TW_ASM_END
        : [e] "+r"(e), [most] "+r"(most), [sums] "+r"(sums), [e0] "=&r"(e0), [e1] "=&r"(e1), [s0] "=&r"(s0),
          [s1] "=&r"(s1), [base0] "=&r"(base0), [base1] "=&r"(base1)
        : [n] "r"(pairs), [seen] "r"(given->seen), [exp] "r"(exp)
        : "memory");
#else
    for (; pairs > 0; pairs--, most++, sums += 2) {
        sums[0] = sums[1] = 0;
        for (int s = 0; s < given->seen; s++, e++) {
            uint32_t e0 = *(const uint16_t *)(const void *)(exp - TW_I16(*most, 0) + TW_I16(*e, 0));
            uint32_t e1 = *(const uint16_t *)(const void *)(exp - TW_I16(*most, 1) + TW_I16(*e, 1));
            sums[0] += e0, sums[1] += e1, *e = (int32_t)(e1 << 16 | e0);
        }
    }
#endif
}

/* Reciprocals in the place of sums. */
TW_X void reciprocals(given_t given, uint32_t *sums, int count)
{
    uint32_t raised = (uint32_t)given->exp[136];
    if ((uint32_t)given->seen * TW_U16(given->exp[127], 1) > (uint32_t)given->exp[137]) {
        for (int i = 0; i < count; i++)
            sums[i] = tw_reciprocal(sums[i], raised);
        return;
    }
#ifdef __riscv
    uint32_t r;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "6") "lw %[r], 0(%[sums])\nsrl %[r], %[r], %[raised]\n"
                     "divu %[r], %[most], %[r]\naddi %[r], %[r], 1\nsll %[r], %[r], %[up]\n"
                     TW_SW("%[r]", "%[sums]", "4") TW_ASM_END
                     : [sums] "+r"(sums), [r] "=&r"(r)
                     : [n] "r"(count), [raised] "r"(raised), [most] "r"(255u << 24), [up] "r"(15 - raised)
                     : "memory");
#else
    for (int i = 0; i < count; i++)
        sums[i] = tw_short_reciprocal(sums[i], raised);
#endif
}

/* p[s] = weight[255 e / sum] with reciprocals of the sums, and zeros behind: head by head, whole words. Writes a word
 * behind the last, and reads one behind e. */
TW_X void weights(given_t given, const int32_t *e, const uint32_t *r, int8_t *p, int pairs)
{
    int seen = given->seen, whole = (seen + 3) & -4;
#ifdef __riscv
    int32_t w, t0, t1, r0, r1, h0, l1;
    int8_t *p1 = p + whole;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LW("%[w]", "%[e]", "4") TW_LOOP("1", "%[n]", "20")
        TW_LW("%[r0]", "%[r]", "4") TW_LW("%[r1]", "%[r]", "4") "add %[t0], %[p], %[seen]\nadd %[t1], %[p1], %[seen]\n"
        "sw zero, 0(%[t0])\nsw zero, 0(%[t1])\nsrli %[h0], %[r0], 16\nslli %[l1], %[r1], 16\n"
        TW_LOOP("0", "%[seen]", "9") TW_LOWER_UN("%[t0]", "%[w]", "%[r0]", "16")
        TW_UPPER_UN("%[t1]", "%[w]", "%[l1]", "16") TW_LOWER_MACUN("%[t0]", "%[w]", "%[h0]", "21")
        TW_UPPER_MACUN("%[t1]", "%[w]", "%[r1]", "21") TW_LW("%[w]", "%[e]", "4")
        TW_LB_AT("%[t0]", "%[weight]", "%[t0]") TW_LB_AT("%[t1]", "%[weight]", "%[t1]") TW_SB("%[t0]", "%[p]", "1")
        TW_SB("%[t1]", "%[p1]", "1") "add %[p], %[p1], %[room]\nadd %[p1], %[p], %[whole]\n" TW_ASM_END
        : [e] "+r"(e), [r] "+r"(r), [p] "+r"(p), [p1] "+r"(p1), [w] "=&r"(w), [t0] "=&r"(t0), [t1] "=&r"(t1),
          [r0] "=&r"(r0), [r1] "=&r"(r1), [h0] "=&r"(h0), [l1] "=&r"(l1)
        : [n] "r"(pairs), [seen] "r"(seen), [room] "r"(whole - seen), [whole] "r"(whole),
          [weight] "r"(given->weight)
        : "memory");
    /* clang-format on */
#else
    for (; pairs > 0; pairs--, e += seen, r += 2)
        for (int h = 0; h < 2; h++, p += whole) {
            for (int s = 0; s < whole; s++)
                p[s] = s < seen ? given->weight[(uint64_t)(uint32_t)TW_U16(e[s], h) * r[h] >> 37] : 0;
        }
#endif
}

/* y = clip(sum of p[s] v[c][s]), requantised, four channels of every head. */
TW_X void mixed(given_t given, const int8_t *p, const int8_t *v, int8_t *y, int heads)
{
    int fours = (given->seen + 3) >> 2, pitch = given->pitch;
#ifdef __riscv
    int32_t s0, s1, s2, s3, w, a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "30") "mv %[s0], zero\nmv %[s1], zero\nmv %[s2], zero\nmv %[s3], zero\n"
        TW_LOOP("0", "%[fours]", "9") TW_MIX_FOUR(TW_SDOTSP) TW_CLIP("%[s0]", "%[s0]", "16")
        TW_CLIP("%[s1]", "%[s1]", "16") TW_CLIP("%[s2]", "%[s2]", "16") TW_CLIP("%[s3]", "%[s3]", "16")
        TW_ROUNDED_PRODUCT("%[s0]", "%[s0]", "%[mul]", "16") TW_ROUNDED_PRODUCT("%[s1]", "%[s1]", "%[mul]", "16")
        TW_ROUNDED_PRODUCT("%[s2]", "%[s2]", "%[mul]", "16") TW_ROUNDED_PRODUCT("%[s3]", "%[s3]", "%[mul]", "16")
        TW_BYTES_FOUR
        TW_SW("%[s0]", "%[y]", "4") "add %[v], %[v], %[next]\n" TW_ASM_END
        : [p] "+r"(p), [v] "+r"(v), [y] "+r"(y), [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3),
          [w] "=&r"(w), [a] "=&r"(a), [b] "=&r"(b)
        : [n] "r"(heads), [fours] "r"(fours), [pitch] "r"(pitch), [back] "r"(4 - 3 * pitch),
          [mul] "r"(given->numbers[2]), [next] "r"(4 * pitch - 4 * fours)
        : "memory");
    /* clang-format on */
#else
    for (; heads > 0; heads--, p += 4 * fours)
        for (int c = 0; c < 4; c++, v += pitch) {
            int32_t sum = 0;
            for (int s = 0; s < 4 * fours; s += 4)
                sum = tw_vsdotsp_b(sum, tw_word_at(p + s), tw_word_at(v + s));
            *y++ = (int8_t)tw_pclip(tw_pmulsrn(tw_pclip(sum, 16), given->numbers[2], 16), 8);
        }
#endif
}

/* Attention of every row over all `seen` positions with 256 levels: pairs of a row and a head, first .. last of them,
 * flat, even both. q, y: [tokens][heads * 4]; k: [seen][stride]; v: [stride][pitch]; mask: `mask_step` elements from
 * one row's to the next; scale: twice, entry c at 128 + c; join: twice, halves; exp: halves, the last first, and how
 * many bits they are raised; weight: entries fourfold; numbers: and a bound, rounded products with scores clipped to it
 * are codes; scratch: for `pairs` of heads three
 * words and six bytes for each position, whole words; a word for each position, and one. */
void tw_attend_row_pairs(given_t given, uint32_t *restrict scratch, int first, int last)
{
    int together = given->pairs, seen = given->seen, stride = given->stride;
    int32_t *most = (int32_t *)(void *)scratch, *a = most + 3 * together;
    uint32_t *sums = scratch + together;
    const int16_t **hidden = (const int16_t **)(void *)(a + seen * together);
    int8_t *p = (int8_t *)(hidden + seen);
    int row = 4 * first / stride, at = 4 * first - row * stride;
    const int8_t *mask = given->mask + row * given->mask_step;
    for (int fresh = 1; first < last;) {
        int pairs = tw_pmin(tw_pmin(stride - at, 4 * (last - first)) >> 3, together);
        if (fresh)
            hide(given, mask, hidden);
        scores(given, given->q + 4 * first, given->k + at, hidden, a, most, pairs);
        exponentials(given, a, most, sums, pairs);
        reciprocals(given, sums, 2 * pairs);
        weights(given, a, sums, p, pairs);
        mixed(given, p, given->v + at * given->pitch, given->y + 4 * first, 2 * pairs);
        first += 2 * pairs, at += 8 * pairs;
        fresh = at == stride;
        if (fresh)
            at = 0, mask += given->mask_step;
    }
}
