/* Attention in integers over a cache that is state: keys lie position by position, [capacity][kv_heads * hd], values
 * channel by channel, [kv_heads * hd][pitch], so that a word holds four products of either sum. */
#include "tw_attention.h"
#include "tw_kernels.h"

/* Elements first .. last of x, flat, go to row pos on of the keys: rows as they are. */
TW_HOT
void __attribute__((minsize)) tw_cluster_append_rows(int8_t *restrict state, const int8_t *restrict x, int n, int pos, int first, int last)
{
    int8_t *restrict y = state + pos * n;
    int i = first;
    for (; i + 4 <= last; i += 4)
        tw_set_word(y + i, tw_word_at(x + i));
    for (; i < last; i++)
        y[i] = x[i];
}

/* Elements first .. last of x, [tokens][n], to position pos on of the values. */
TW_HOT
void tw_cluster_append_channels(int8_t *restrict state, const int8_t *restrict x, int n, int pitch, int pos, int first,
                                int last)
{
    int t = first < n ? 0 : first / n, c = first - t * n;
    x += first;
    for (int i = first, count; i < last; i += count, c = 0, t++) {
        int8_t *y = state + c * pitch + pos + t;
        count = n - c < last - i ? n - c : last - i;
        int left = count;
#ifdef __riscv
        if (left > 1) {
            int32_t a, b;
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "4") TW_LB("%[a]", "%[x]", "1")
                                 TW_LB("%[b]", "%[x]", "1") TW_SB_BY("%[a]", "%[y]", "%[pitch]")
                                     TW_SB_BY("%[b]", "%[y]", "%[pitch]") TW_ASM_END
                             : [x] "+r"(x), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b)
                             : [pairs] "r"(left >> 1), [pitch] "r"(pitch)
                             : "memory");
            left &= 1;
        }
#endif
        for (; left > 0; left--, y += pitch)
            *y = *x++;
    }
}

/* The same of a single token. */
TW_HOT
void __attribute__((minsize)) tw_cluster_append_column(int8_t *restrict state, const int8_t *restrict x, int pitch,
                                                       int pos, int first, int last)
{
    int8_t *at = state + first * pitch + pos;
    for (; first < last; first++, at += pitch)
        *at = x[first];
}

#ifdef __riscv
/* clip((*x++ * *mul++ + half) >> shift), `bits` wide. */
#define SUM(a, bits)                                                                                                   \
    TW_LW(a, "%[x]", "4") TW_LBU("%[p]", "%[mul]", "1") "mul " a ", " a ", %[p]\nadd " a ", " a ", %[rounding]\n"       \
    "sra " a ", " a ", %[shift]\n" TW_CLIP(a, a, bits)
/* The pair a, b turned by the angles whose cosine and sine are u and v, to bytes. */
#define TURN(a, b)                                                                                                     \
    "mul %[p], " a ", %[v]\nmul " a ", " a ", %[u]\n" TW_MAC("%[p]", b, "%[u]") TW_MSU(a, b, "%[v]")                   \
    "add " a ", " a ", %[half]\nadd " b ", %[p], %[half]\nsra " a ", " a ", %[turn]\nsra " b ", " b ", %[turn]\n"      \
    TW_CLIP(a, a, "8") TW_CLIP(b, b, "8")
#endif

/* Columns of sums, scaled and turned by pairs: see below. */
static __attribute__((noinline)) void turned(const int32_t *x, const uint8_t *mul, const int16_t *cosine,
                                             const int16_t *sine, int8_t *y, int count, int shift, int turn)
{
    int32_t half = tw_half(turn), rounding = tw_half(shift);
#ifdef __riscv
    int32_t a, b, u, v, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[count]", "26") SUM("%[a]", "16") SUM("%[b]", "16")
        TW_LH("%[u]", "%[cosine]", "2") TW_LH("%[v]", "%[sine]", "2") TURN("%[a]", "%[b]")
        TW_SB("%[a]", "%[y]", "1") TW_SB("%[b]", "%[y]", "1") TW_ASM_END
        : [x] "+r"(x), [mul] "+r"(mul), [cosine] "+r"(cosine), [sine] "+r"(sine), [y] "+r"(y), [a] "=&r"(a),
          [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v), [p] "=&r"(p)
        : [count] "r"(count >> 1), [shift] "r"(shift), [turn] "r"(turn), [half] "r"(half), [rounding] "r"(rounding)
        : "memory");
    /* clang-format on */
#else
    for (; count > 0; count -= 2, x += 2, mul += 2) {
        int32_t a = tw_pclip(tw_pmac(rounding, x[0], mul[0]) >> shift, 16), u = *cosine++, v = *sine++;
        int32_t b = tw_pclip(tw_pmac(rounding, x[1], mul[1]) >> shift, 16);
        *y++ = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> turn, 8);
        *y++ = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> turn, 8);
    }
#endif
}

/* Columns of sums, scaled and put `pitch` bytes from each other. */
static __attribute__((noinline)) void spread(const int32_t *x, const uint8_t *mul, int8_t *y, int count, int pitch,
                                             int shift)
{
    int32_t rounding = tw_half(shift);
#ifdef __riscv
    int32_t a, p;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[count]", "7") SUM("%[a]", "8") TW_SB_BY("%[a]", "%[y]", "%[pitch]")
                         TW_ASM_END
                     : [x] "+r"(x), [mul] "+r"(mul), [y] "+r"(y), [a] "=&r"(a), [p] "=&r"(p)
                     : [count] "r"(count), [shift] "r"(shift), [pitch] "r"(pitch), [rounding] "r"(rounding)
                     : "memory");
#else
    for (; count > 0; count--, y += pitch)
        *y = (int8_t)tw_pclip(tw_pmac(rounding, *x++, *mul++) >> shift, 8);
#endif
}

/* Columns first .. last of a token's sums x, for each head of the caches `group` queries, a key and a value: scaled,
 * the first two turned by pairs, keys and values to position pos. n: columns of state_k. See TurnedHeads. */
TW_HOT
void __attribute__((minsize)) tw_cluster_turned_heads(
    int8_t *restrict state_k, int8_t *restrict state_v, const int32_t *restrict x, const uint8_t *restrict mul,
    const int16_t *restrict angles, int8_t *restrict y, int n, int group, int hd, int pitch, int pos, int q_shift,
    int k_shift, int v_shift, int turn, int first, int last)
{
    int part = 0, c = first;
    state_k += pos * n, state_v += pos;
    for (; c >= hd; c -= hd)
        if (part < group)
            y += hd, part++;
        else if (part++ == group)
            state_k += hd;
        else
            state_v += hd * pitch, part = 0;
    for (int count; first < last; first += count, c = 0) {
        count = hd - c < last - first ? hd - c : last - first;
        if (part > group) {
            spread(x + first, mul + first, state_v + c * pitch, count, pitch, v_shift);
            state_v += hd * pitch, part = 0;
            continue;
        }
        const int16_t *cosine = angles + (c >> 1);
        int query = part++ < group;
        turned(x + first, mul + first, cosine, cosine + (hd >> 1), (query ? y : state_k) + c, count,
               query ? q_shift : k_shift, turn);
        if (query)
            y += hd;
        else
            state_k += hd;
    }
}

/* y = softmax(q k^T) v, causal: elements first .. last of y, [tokens][heads * hd]. Row t stands at pos + t and sees
 * positions 0 .. pos + t; `group` heads share one of the cache. Cores that share a head each compute its scores.
 * k: [capacity][kv_width]; v: [kv_width][pitch]; mul, out: [heads]; table: [256], and 56
 * times the last entry, for what is far away: cores take one each, as they would wait for each other at its bank;
 * scratch: [pitch]. */
TW_HOT
void __attribute__((minsize)) tw_cluster_attention(const int8_t *restrict q, const int8_t *restrict k, const int8_t *restrict v,
                          const int32_t *restrict mul, const int32_t *restrict out, const uint8_t *restrict table,
                          int8_t *restrict y, int32_t *restrict scratch, int pos, int group, int kv_width, int hd,
                          int pitch, int shift, int out_shift, int first, int last)
{
    int32_t limit = 255 + ((int32_t)((uintptr_t)scratch >> 4 & 7) << 3);
    int c = first, h = 0, m = 0, kv = 0; /* head h is head m of those that share channels kv and on of the cache */
    int seen = pos + 1, width = group * kv_width;
    if (c >= width) {
        int t = c / width;
        seen += t, c -= t * width;
    }
    for (; c >= hd; c -= hd, h++)
        if (++m == group)
            m = 0, kv += hd;
    q += first - c;
    if (first >= last)
        return;
    for (y += first;; q += hd, c = 0) {
        int n = hd - c < last - first ? hd - c : last - first, rest = -seen & 3;
        unsigned words = (unsigned)(seen + 3) >> 2;
        int32_t most = tw_scores(q, k + kv, scratch, seen, kv_width, hd);
        for (int i = 0; i < rest; i++)
            scratch[seen + i] = most;
        int32_t base = most * mul[h] + (int32_t)((1u << shift) >> 1);
        int32_t sum = tw_exponentials(scratch, scratch, table, (int)words, base, mul[h], shift, limit);
        sum -= rest * table[0];
        scratch[words - 1] &= (int32_t)(0xffffffffu >> 8 * rest);
        int32_t reciprocal = (int32_t)((uint32_t)(out[h] + (sum >> 1)) / (uint32_t)sum);
        const int8_t *values = v + (kv + c) * pitch;
        first += n;
        for (; n >= 8; n -= 8, y += 8, values += 8 * pitch)
            tw_mix_8((const uint8_t *)scratch, values, y, (int)words, pitch, reciprocal, out_shift);
        for (; n > 0; n--, values += pitch)
            *y++ = tw_requantised(tw_mix_1((const uint8_t *)scratch, values, (int)words), reciprocal, out_shift);
        if (first == last)
            return;
        h++;
        if (++m == group)
            m = 0, kv += hd;
        if (kv == kv_width)
            kv = h = 0, seen++;
    }
}
