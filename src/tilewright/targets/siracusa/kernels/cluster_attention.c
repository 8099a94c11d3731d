/* Attention in integers over a cache that is state: keys lie position by position, [capacity][kv_heads * hd], values
 * channel by channel, [kv_heads * hd][pitch], so that a word holds four products of either sum. */
#include "tw_attention.h"
#include "tw_kernels.h"

/* Elements first .. last of x, flat, go to row pos on of the keys: rows as they are. */
void __attribute__((minsize)) tw_cluster_append_rows(int8_t *restrict state, const int8_t *restrict x, int n,
                                                           int pos, int first, int last)
{
    int8_t *restrict y = state + pos * n;
    int i = first;
    for (; i + 4 <= last; i += 4)
        tw_set_word(y + i, tw_word_at(x + i));
    for (; i < last; i++)
        y[i] = x[i];
}

/* Elements first .. last of x, [tokens][n], to position pos on of the values. */
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
void __attribute__((minsize)) tw_cluster_append_column(int8_t *restrict state, const int8_t *restrict x, int pitch,
                                                       int pos, int first, int last)
{
    int8_t *at = state + first * pitch + pos;
    for (; first < last; first++, at += pitch)
        *at = x[first];
}

/* y = softmax(q k^T) v, causal: elements first .. last of y, [tokens][heads * hd]. Row t stands at pos + t and sees
 * positions 0 .. pos + t; `group` heads share one of the cache. Cores that share a head each compute its scores.
 * k: [capacity][kv_width]; v: [kv_width][pitch]; mul, out: [heads]; table: [256], and 56
 * times the last entry, for what is far away: cores take one each, as they would wait for each other at its bank;
 * scratch: [pitch]. */
void __attribute__((minsize)) tw_cluster_attention(
    const struct tw_cluster_attention *given, int32_t *restrict scratch, int pos, int first, int last)
{
    const int8_t *q = given->q, *k = given->k, *v = given->v;
    const int32_t *mul = given->mul, *out = given->out;
    const uint8_t *table = given->table;
    int8_t *y = given->y;
    int group = given->group, kv_width = given->kv_width, hd = given->hd, pitch = given->pitch;
    int shift = given->shift, out_shift = given->out_shift;
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
