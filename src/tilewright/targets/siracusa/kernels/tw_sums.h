/* What follows the sums of the cluster's integer kernels: a requantisation, a residual that joins, a store. */
#ifndef TW_SUMS_H
#define TW_SUMS_H

#include <string.h>

#include "tw_xpulp.h"

/* Words at any address: the core splits what is not aligned. */
TW_X int32_t tw_load_word(const void *p)
{
    int32_t y;
#if defined(__riscv)
    __asm__("lw %0, 0(%1)" : "=r"(y) : "r"(p), "m"(*(const char(*)[4])p));
#else
    memcpy(&y, p, sizeof y);
#endif
    return y;
}

TW_X void tw_store_word(void *p, int32_t value)
{
#if defined(__riscv)
    __asm__("sw %1, 0(%2)" : "=m"(*(char(*)[4])p) : "r"(value), "r"(p));
#else
    memcpy(p, &value, sizeof value);
#endif
}

/* How products by multipliers are held. TW_NONE: there are none, sums are stored as they are. The compiler proves
 * TW_NARROW: everything within 32 bits for any input; and TW_TOP: shifted by 32 or more, the lower 32 bits of the
 * addend are 0. TW_HIGH: shifted by 32 or more. TW_WIDE: any. TW_HALVES: TW_NARROW even if what is shifted by less than
 * 16 is shifted up so that it is 16, so that upper halves of words have all that counts. */
enum { TW_NONE, TW_NARROW, TW_TOP, TW_HIGH, TW_WIDE, TW_HALVES };

/* What follows the sums: y = clip(((sum + b) * mul + add) >> shift, low, high), or sum + b where `product` is TW_NONE.
 * mul, add: one element (step 0), or one per channel: `add_step` counts words, 2 where add has 64 bits. b may be null.
 * `quads`: y has bytes, and there is assembly for `product`. */
struct tw_finish {
    const int32_t *b, *mul, *add;
    void *y;
    int product, mul_step, add_bytes, add_step, shift, low, high, y_bytes, quads;
};

/* One requantisation; `top` is the upper half of the addend. Products wrap to 64 bits, as the definition does. */
TW_X int32_t tw_requantised(int32_t sum, int32_t mul, int32_t add, int32_t top, int shift, int low, int high)
{
    uint64_t addend = (uint64_t)(uint32_t)top << 32 | (uint32_t)add;
    int64_t scaled = (int64_t)((uint64_t)((int64_t)sum * mul) + addend) >> shift;
    return (int32_t)(scaled < low ? low : scaled > high ? high : scaled);
}

/* Any results of `count` <= 4 channels from r: sums [pixels][4], stored at y[at], y[at + stride] ... */
static __attribute__((noinline, unused)) void tw_finish_any(const struct tw_finish *f, const int32_t *sums, int pixels,
                                                            int r, int count, int at, int stride)
{
    for (int i = 0; i < count; i++) {
        int32_t bias = f->b != 0 ? f->b[r + i] : 0, mul = 0, low = 0, top = 0;
        if (f->product != TW_NONE) {
            const int32_t *add = f->add + (r + i) * f->add_step;
            mul = f->mul[(r + i) * f->mul_step];
            low = add[0];
            top = f->add_bytes == 8 ? add[1] : low >> 31;
        }
        for (int p = 0, to = at + i; p < pixels; p++, to += stride) {
            int32_t value = (int32_t)((uint32_t)sums[p * 4 + i] + (uint32_t)bias);
            if (f->product != TW_NONE)
                value = tw_requantised(value, mul, low, top, f->shift, f->low, f->high);
            if (f->y_bytes == 1)
                ((int8_t *)f->y)[to] = (int8_t)value;
            else if (f->y_bytes == 2)
                ((int16_t *)f->y)[to] = (int16_t)value;
            else
                ((int32_t *)f->y)[to] = value;
        }
    }
}

TW_X int tw_in_quads(int product, int y_bytes)
{
    return y_bytes == 1 && (product == TW_HALVES || (product >= TW_NARROW && product <= TW_HIGH));
}

/* A residual of bytes that joins: y = clip((v * mul_v + r * mul_r + add) >> shift, low, high); y may be r. */
struct tw_join {
    int product, v_signed, r_signed, mul_v, mul_r, shift, low, high; /* product: TW_NARROW or TW_WIDE */
    int64_t add;
};

#if defined(__riscv)
#define TW_JOIN_BYTE(y, word, mul, code, half)                                                                         \
    ".insn r 0x57, 7, 0x24<<1|" code ", %[t], " word ", x" half "\n" /* pv.extractu.b */                               \
    TW_MAC(y, "%[t]", mul)
#define TW_JOIN_WORD(word, mul)                                                                                        \
    TW_JOIN_BYTE("%[a]", word, mul, "0", "0") TW_JOIN_BYTE("%[b]", word, mul, "1", "0")                                \
    TW_JOIN_BYTE("%[c]", word, mul, "0", "1") TW_JOIN_BYTE("%[d]", word, mul, "1", "1")
#endif

/* 4 * `words` joined bytes, all unsigned once what is in `flip` is flipped: within 32 bits, shifted by 16 or more. */
TW_X void tw_join_words(const struct tw_join *j, int32_t add, int32_t flip_v, int32_t flip_r, const int8_t *v,
                        const int8_t *r, int8_t *y, int words)
{
#if defined(__riscv)
    int32_t p, q, a, b, c, d, t;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[words]", "34")
                     TW_LW("%[p]", "%[v]", "4") TW_LW("%[q]", "%[r]", "4")
                     "mv %[a], %[add]\nmv %[b], %[add]\nmv %[c], %[add]\nmv %[d], %[add]\n"
                     "xor %[p], %[p], %[flip_v]\nxor %[q], %[q], %[flip_r]\n"
                     TW_JOIN_WORD("%[p]", "%[mul_v]") TW_JOIN_WORD("%[q]", "%[mul_r]")
                     TW_UPPER("%[a]", "%[b]", "%[upper]") TW_UPPER("%[c]", "%[d]", "%[upper]")
                     TW_HALVES2("%[a]", "%[c]", "%[shift]", "%[low]", "%[high]", "%[even]")
                     TW_SW("%[a]", "%[y]", "4") TW_ASM_END
                     : [v] "+r"(v), [r] "+r"(r), [y] "+r"(y), [p] "=&r"(p), [q] "=&r"(q), [a] "=&r"(a), [b] "=&r"(b),
                       [c] "=&r"(c), [d] "=&r"(d), [t] "=&r"(t)
                     : [words] "r"(words), [add] "r"(add), [flip_v] "r"(flip_v), [flip_r] "r"(flip_r),
                       [mul_v] "r"(j->mul_v), [mul_r] "r"(j->mul_r), [shift] "r"(j->shift - 16), [low] "r"(j->low),
                       [high] "r"(j->high), [upper] "r"(TW_UPPER_HALVES), [even] "r"(TW_EVEN_BYTES)
                     : "memory");
#else
    for (int i = 0; i < words; i++, v += 4, r += 4, y += 4) {
        int32_t vs = tw_load_word(v) ^ flip_v, rs = tw_load_word(r) ^ flip_r;
        for (int k = 0; k < 4; k++) {
            int32_t sum = tw_pmac(tw_pmac(add, tw_vextractu_b(vs, k), j->mul_v), tw_vextractu_b(rs, k), j->mul_r);
            y[k] = (int8_t)tw_pmin(tw_pmax(sum >> j->shift, j->low), j->high);
        }
    }
#endif
}

/* `n` joined bytes. Where 32 bits suffice, signed bytes are read as unsigned ones that are 128 greater. */
static __attribute__((noinline, unused)) void tw_join_bytes(const struct tw_join *j, const int8_t *v, const int8_t *r,
                                                            int8_t *y, int n)
{
    const int shift = j->shift, low = j->low, high = j->high, mul_v = j->mul_v, mul_r = j->mul_r;
    const int32_t all = (int32_t)0x80808080u, flip_v = j->v_signed ? all : 0, flip_r = j->r_signed ? all : 0;
    int i = 0;
    if (j->product == TW_NARROW) {
        int32_t add = (int32_t)j->add - (j->v_signed ? mul_v * 128 : 0) - (j->r_signed ? mul_r * 128 : 0);
        if (shift >= 16 && n >= 4) {
            i = n / 4 * 4;
            tw_join_words(j, add, flip_v, flip_r, v, r, y, n / 4);
        }
#pragma clang loop unroll(disable)
        for (; i + 4 <= n; i += 4) {
            int32_t vs = tw_load_word(v + i) ^ flip_v, rs = tw_load_word(r + i) ^ flip_r;
            int32_t sum[4];
            for (int k = 0; k < 4; k++) {
                sum[k] = tw_pmac(tw_pmac(add, tw_vextractu_b(vs, k), mul_v), tw_vextractu_b(rs, k), mul_r) >> shift;
                sum[k] = tw_pmin(tw_pmax(sum[k], low), high);
            }
            tw_store_word(y + i, tw_bytes_of(sum[0], sum[1], sum[2], sum[3]));
        }
    }
    for (; i < n; i++) {
        int32_t a = j->v_signed ? v[i] : (uint8_t)v[i], b = j->r_signed ? r[i] : (uint8_t)r[i];
        int64_t sum = ((int64_t)a * mul_v + (int64_t)b * mul_r + j->add) >> shift;
        y[i] = (int8_t)(sum < low ? low : sum > high ? high : sum);
    }
}

#endif
