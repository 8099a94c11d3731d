/* Attention by tables for rows of their own masks: prompts of QuantLib's decoders, heads of four channels.
 *
 * Heads go through each stage together, as many as scratch has room for: every stage is one piece of assembly that
 * stays in the core's own instruction cache. Requantisations fit 32 bits, and a mask of zero gives what `join` gives
 * for it: rows of the table of kernels see to that.
 */
#include "tw_kernels.h"
#include "tw_mixed.h"

/* A head on its way: where exponentials of its scores lie, so that a score is the index; their sum; what quotients by
 * that sum need. The assembly knows the offsets. */
struct head {
    const int32_t *exp;
    uint32_t total, n, r;
};

/* What all heads of a call share. Scores and weights of a head: `fours` words behind GAP bytes. `room`: how much more
 * positions the words have than there are. */
struct rows {
    const int8_t *scale, *join, *weight;
    const int32_t *numbers, *exp;
    int seen, fours, room, stride, pitch, shift, out_shift, levels;
};
enum { GAP = 4 };

/* a[s] = join[scale[clip((q . k[s] mul + add) >> shift)] + hidden[s]]; words behind the last hold the greatest. Writes
 * to the gaps, too. */
TW_X void scores(const struct rows *f, struct head *heads, int count, const int8_t *q, const int8_t *k,
                 const int8_t *hidden, int8_t *a)
{
#ifdef __riscv
    const int8_t *at, *h;
    int32_t word, most, value, sum, v;
    a--; /* every step stores the score of the one before */
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "27")
        TW_LW("%[word]", "%[q]", "4") "mv %[at], %[k]\naddi %[k], %[k], 4\nmv %[h], %[hidden]\nli %[most], -128\n"
        "li %[value], -128\n" TW_LOOP("0", "%[seen]", "12")
        TW_LW_BY("%[v]", "%[at]", "%[stride]") "mv %[sum], %[add]\n" TW_DOT(TW_DOTSP, "%[v]", "%[v]", "%[word]")
        TW_MAC("%[sum]", "%[v]", "%[mul]") TW_LB("%[v]", "%[h]", "1") "sra %[sum], %[sum], %[shift]\n"
        TW_CLIP("%[sum]", "%[sum]", "8") TW_LB_AT("%[sum]", "%[scale]", "%[sum]")
        TW_MAX("%[most]", "%[most]", "%[value]") TW_SB("%[value]", "%[a]", "1") "add %[sum], %[sum], %[v]\n"
        TW_LB_AT("%[value]", "%[join]", "%[sum]")
        TW_MAX("%[most]", "%[most]", "%[value]") TW_SB("%[value]", "%[a]", "1")
        ".insn r 0x57, 5, 0, %[v], x0, %[most]\n" /* pv.add.sc.b */
        "slli %[sum], %[most], 2\nsw %[v], 0(%[a])\nsub %[sum], %[exp], %[sum]\n"
        TW_SW_BY("%[sum]", "%[to]", "%[next]") "add %[a], %[a], %[gap]\n" TW_ASM_END
        : [q] "+r"(q), [k] "+r"(k), [a] "+r"(a), [to] "+r"(heads), [at] "=&r"(at), [h] "=&r"(h), [word] "=&r"(word),
          [most] "=&r"(most), [value] "=&r"(value), [sum] "=&r"(sum), [v] "=&r"(v)
        : [n] "r"(count), [seen] "r"(f->seen), [stride] "r"(f->stride), [mul] "r"(f->numbers[0]),
          [add] "r"(f->numbers[1]), [shift] "r"(f->shift), [scale] "r"(f->scale + 128), [join] "r"(f->join + 256),
          [hidden] "r"(hidden),
          [exp] "r"(f->exp + 255), [next] "r"(sizeof *heads), [gap] "r"(f->room + GAP - 1)
        : "memory");
    /* clang-format on */
#else
    for (; count > 0; count--, heads++, q += 4, k += 4, a += 4 * f->fours + GAP) {
        int32_t most = -128;
        for (int s = 0; s < f->seen; s++) {
            int32_t sum = tw_vdotsp_b(tw_word_at(k + s * f->stride), tw_word_at(q));
            sum = tw_pclip(tw_pmac(f->numbers[1], sum, f->numbers[0]) >> f->shift, 8);
            a[s] = f->join[256 + f->scale[128 + sum] + hidden[s]];
            most = tw_pmax(most, a[s]);
        }
        for (int s = f->seen; s < 4 * f->fours; s++)
            a[s] = (int8_t)most;
        heads->exp = f->exp + 255 - most;
    }
#endif
}

/* e[s] = exp[most - a[s]] of all words, and their sum. */
TW_X void exponentials(const struct rows *f, struct head *heads, int count, const int8_t *a, int32_t *e)
{
#ifdef __riscv
    int32_t base, sum, e0, e1, e2, e3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "26") "lw %[base], 0(%[at])\nli %[sum], 0\n" TW_LOOP("0", "%[fours]", "20")
        TW_LB("%[e0]", "%[a]", "1") TW_LB("%[e1]", "%[a]", "1") TW_LB("%[e2]", "%[a]", "1") TW_LB("%[e3]", "%[a]", "1")
        "slli %[e0], %[e0], 2\nslli %[e1], %[e1], 2\nslli %[e2], %[e2], 2\nslli %[e3], %[e3], 2\n"
        TW_LW_AT("%[e0]", "%[base]", "%[e0]") TW_LW_AT("%[e1]", "%[base]", "%[e1]")
        TW_LW_AT("%[e2]", "%[base]", "%[e2]") TW_LW_AT("%[e3]", "%[base]", "%[e3]")
        TW_SW("%[e0]", "%[e]", "4") TW_SW("%[e1]", "%[e]", "4") TW_SW("%[e2]", "%[e]", "4") TW_SW("%[e3]", "%[e]", "4")
        "add %[sum], %[sum], %[e0]\nadd %[sum], %[sum], %[e1]\nadd %[sum], %[sum], %[e2]\nadd %[sum], %[sum], %[e3]\n"
        "sw %[sum], 4(%[at])\naddi %[at], %[at], %[next]\naddi %[a], %[a], %[gap]\n" TW_ASM_END
        : [at] "+r"(heads), [a] "+r"(a), [e] "+r"(e), [base] "=&r"(base), [sum] "=&r"(sum), [e0] "=&r"(e0),
          [e1] "=&r"(e1), [e2] "=&r"(e2), [e3] "=&r"(e3)
        : [n] "r"(count), [fours] "r"(f->fours), [next] "i"(sizeof *heads), [gap] "i"(GAP)
        : "memory");
    /* clang-format on */
#else
    for (; count > 0; count--, heads++, a += 4 * f->fours + GAP, e += 4 * f->fours) {
        heads->total = 0;
        for (int s = 0; s < 4 * f->fours; s++)
            heads->total += (uint32_t)(e[s] = heads->exp[a[s]]);
    }
#endif
}

/* p[s] = weight[e[s] (levels - 1) / total], zeros behind the last position.
 *
 * With total = T 2^-n, 2^31 <= T < 2^32, h the upper half of T and g that of e[s] 2^n, the quotient is
 * (g R) >> 22 or one more, R = (levels - 1) 2^22 / (h + 1): what is cut off amounts to less than 1/16.
 */
TW_X void weights(const struct rows *f, const struct head *heads, int count, const int32_t *e, int8_t *p)
{
#ifdef __riscv
    int32_t x0, x1, q0, q1, n, r, total;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[count]", "26")
        "lw %[total], 4(%[at])\nlw %[n], 8(%[at])\nlw %[r], 12(%[at])\naddi %[at], %[at], %[next]\n"
        TW_LOOP("0", "%[pairs]", "18") TW_LW("%[x0]", "%[e]", "4") TW_LW("%[x1]", "%[e]", "4")
        "sll %[q0], %[x0], %[n]\nsll %[q1], %[x1], %[n]\n" TW_UPPER_WORD("%[q0]", "%[q0]", "%[r]")
        TW_UPPER_WORD("%[q1]", "%[q1]", "%[r]") "mul %[x0], %[x0], %[most]\nmul %[x1], %[x1], %[most]\n"
        TW_MSU("%[x0]", "%[q0]", "%[total]") TW_MSU("%[x1]", "%[q1]", "%[total]")
        "sltu %[x0], %[x0], %[total]\nsltu %[x1], %[x1], %[total]\nsub %[q0], %[q0], %[x0]\nsub %[q1], %[q1], %[x1]\n"
        TW_LB_AT("%[q0]", "%[weight]", "%[q0]") TW_LB_AT("%[q1]", "%[weight]", "%[q1]")
        TW_SB("%[q0]", "%[p]", "1") TW_SB("%[q1]", "%[p]", "1")
        "sub %[x0], %[p], %[room]\nsw x0, 0(%[x0])\naddi %[p], %[p], %[gap]\n" TW_ASM_END
        : [at] "+r"(heads), [e] "+r"(e), [p] "+r"(p), [x0] "=&r"(x0), [x1] "=&r"(x1), [q0] "=&r"(q0), [q1] "=&r"(q1),
          [n] "=&r"(n), [r] "=&r"(r), [total] "=&r"(total)
        : [count] "r"(count), [pairs] "r"(2 * f->fours), [most] "r"(f->levels - 1), [weight] "r"(f->weight + 1),
          [room] "r"(f->room), [next] "i"(sizeof *heads), [gap] "i"(GAP)
        : "memory");
    /* clang-format on */
#else
    for (; count > 0; count--, heads++, p += 4 * f->fours + GAP, e += 4 * f->fours)
        for (int s = 0; s < 4 * f->fours; s++) {
            uint32_t x = (uint32_t)e[s], q = (x << heads->n >> 16) * (heads->r >> 16) >> 22;
            int over = x * ((uint32_t)f->levels - 1) - q * heads->total >= heads->total;
            p[s] = s < f->seen ? f->weight[q + (uint32_t)over] : 0;
        }
#endif
}

/* y = clip((sum of p[s] v[c][s] mul + add) >> shift), four channels of every head. */
TW_X void mixed(const struct rows *f, int count, const int8_t *p, const int8_t *v, int8_t *y)
{
#ifdef __riscv
    int32_t s0, s1, s2, s3, w, a, b;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[n]", "31") "li %[s0], 0\nli %[s1], 0\nli %[s2], 0\nli %[s3], 0\n"
        TW_LOOP("0", "%[fours]", "9") TW_MIX_FOUR(TW_SDOTSP)
        TW_SCALE_FOUR
        TW_BYTES_FOUR
        TW_SW("%[s0]", "%[y]", "4") "addi %[p], %[p], %[gap]\nadd %[v], %[v], %[next]\n" TW_ASM_END
        : [p] "+r"(p), [v] "+r"(v), [y] "+r"(y), [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3),
          [w] "=&r"(w), [a] "=&r"(a), [b] "=&r"(b)
        : [n] "r"(count), [fours] "r"(f->fours), [pitch] "r"(f->pitch), [back] "r"(4 - 3 * f->pitch),
          [mul] "r"(f->numbers[2]), [add] "r"(f->numbers[3]), [shift] "r"(f->out_shift),
          [next] "r"(4 * f->pitch - 4 * f->fours), [gap] "i"(GAP)
        : "memory");
    /* clang-format on */
#else
    for (; count > 0; count--, p += 4 * f->fours + GAP)
        for (int c = 0; c < 4; c++, v += f->pitch) {
            int32_t sum = 0;
            for (int s = 0; s < 4 * f->fours; s += 4)
                sum = tw_vsdotsp_b(sum, tw_word_at(p + s), tw_word_at(v + s));
            *y++ = (int8_t)tw_pclip(tw_pmac(f->numbers[3], sum, f->numbers[2]) >> f->out_shift, 8);
        }
#endif
}

/* Attention of every row over all `seen` positions: pairs of a row and a head, first .. last of them, flat. q, y:
 * [tokens][heads * 4]; k: [seen][heads * 4]; v: [heads * 4][pitch]; mask: `mask_step` elements from one row's to the
 * next; plain, scale: entry c at 128 + c; exp: entry d at 255 - d; other tables and numbers as the operator says;
 * scratch: for `together` heads, four words, five bytes for each position, whole words, and a gap; and the mask. */
void tw_attend_rows(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                    const int8_t *restrict plain, const int32_t *restrict exp, const int8_t *restrict weight,
                    const int32_t *restrict numbers, const int8_t *restrict mask, const int8_t *restrict scale,
                    const int8_t *restrict hide, const int8_t *restrict join, int8_t *restrict y,
                    uint32_t *restrict scratch, int seen, int heads, int together, int pitch, int mask_step, int shift,
                    int out_shift, int levels, int first, int last)
{
    int fours = (seen + 3) >> 2, row = first / heads, h = first - row * heads;
    struct rows f = {scale,        join,  weight,    numbers, exp,      seen, fours, 4 * fours - seen,
                     heads * 4,    pitch, shift,     out_shift, levels};
    struct head *states = (struct head *)(void *)scratch;
    int32_t *e = (int32_t *)(void *)(states + together), unseen = f.room * exp[255];
    int8_t *a = (int8_t *)(e + 4 * fours * together), *hidden = a + together * (4 * fours + GAP) + 2 * GAP;
    (void)plain;
    mask += row * mask_step, q += 4 * first, y += 4 * first;
    for (int fresh = 1; first < last;) {
        int count = heads - h < last - first ? heads - h : last - first;
        count = count < together ? count : together;
        if (fresh)
            for (int s = 0; s < seen; s++)
                hidden[s] = hide[mask[s] & 255];
        scores(&f, states, count, q, k + 4 * h, hidden, a + GAP);
        exponentials(&f, states, count, a + GAP, e);
        for (int i = 0; i < count; i++) {
            struct head *s = states + i;
            uint32_t total = s->total - (uint32_t)unseen;
            s->total = total > 0 ? total : 1;
            s->n = 31 - (uint32_t)tw_pfl1((int32_t)s->total);
            s->r = (((uint32_t)levels - 1) << 22) / ((s->total << s->n >> 16) + 1) << 16;
        }
        weights(&f, states, count, e, a + GAP);
        mixed(&f, count, a + GAP, v + 4 * h * pitch, y);
        first += count, h += count, q += 4 * count, y += 4 * count;
        fresh = h == heads;
        if (fresh)
            h = 0, mask += mask_step;
    }
}
