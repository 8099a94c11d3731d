/* Heads of four channels that turn, and what enters the caches of an attention: for one token and for several. */
#ifndef TW_HEADS_H
#define TW_HEADS_H

#include "tw_words.h"

/* Lane `i` of four words becomes lane 0 to 3 of word i. */
TW_X void transposed(int32_t *c, const int8_t *r)
{
    int32_t r0 = tw_word_at(r), r1 = tw_word_at(r + 4), r2 = tw_word_at(r + 8), r3 = tw_word_at(r + 12);
    int32_t a = tw_vshuffle2_b(r0, r1, 0x05010400), b = tw_vshuffle2_b(r2, r3, 0x05010400);
    c[0] = tw_vpack_h(b, a), c[1] = tw_vshuffle2_h(a, b, 0x00030001);
    a = tw_vshuffle2_b(r0, r1, 0x07030602), b = tw_vshuffle2_b(r2, r3, 0x07030602);
    c[2] = tw_vpack_h(b, a), c[3] = tw_vshuffle2_h(a, b, 0x00030001);
}

/* The bytes t, b, d and v: v times the columns in c0 .. c3, times mul, rounded, >> 16. 16 instructions. */
#define CLIPPED_FOUR(bits)                                                                                             \
    TW_CLIP("%[t]", "%[t]", bits) TW_CLIP("%[b]", "%[b]", bits) TW_CLIP("%[d]", "%[d]", bits)                          \
    TW_CLIP("%[v]", "%[v]", bits)
#define TURNED(mul)                                                                                                    \
    TW_DOT(TW_DOTSP, "%[t]", "%[v]", "%[c0]") TW_DOT(TW_DOTSP, "%[b]", "%[v]", "%[c1]")                                \
    TW_DOT(TW_DOTSP, "%[d]", "%[v]", "%[c2]") TW_DOT(TW_DOTSP, "%[v]", "%[v]", "%[c3]") CLIPPED_FOUR("16")             \
    TW_ROUNDED_PRODUCT("%[t]", "%[t]", mul, "16") TW_ROUNDED_PRODUCT("%[b]", "%[b]", mul, "16")                        \
    TW_ROUNDED_PRODUCT("%[d]", "%[d]", mul, "16") TW_ROUNDED_PRODUCT("%[v]", "%[v]", mul, "16") CLIPPED_FOUR("8")
#define BYTES(y) TW_PACKLO(y, "%[b]", "%[t]") TW_PACKHI(y, "%[v]", "%[d]")
#define LOOKED_UP(table)                                                                                               \
    TW_LB_AT("%[t]", table, "%[t]") TW_LB_AT("%[b]", table, "%[b]") TW_LB_AT("%[d]", table, "%[d]")                    \
    TW_LB_AT("%[v]", table, "%[v]")
/* 20, 24 and 12 instructions. */
#define ENTERED_QUERY(q) TW_LW("%[v]", q, "4") TURNED("%[mul_q]") BYTES("%[t]") TW_SW("%[t]", "%[y]", "4")
#define ENTERED_KEY(k)                                                                                                 \
    TW_LW("%[v]", k, "4") TURNED("%[mul_k]") LOOKED_UP("%[table_k]") BYTES("%[t]")                          \
    TW_SW("%[t]", "%[state_k]", "4")
#define ENTERED_VALUE(x)                                                                                               \
    TW_LB("%[t]", x, "1") TW_LB("%[b]", x, "1") TW_LB("%[d]", x, "1") TW_LB("%[v]", x, "1") LOOKED_UP("%[table_v]")    \
    TW_SB_BY("%[t]", "%[state_v]", "%[pitch]") TW_SB_BY("%[b]", "%[state_v]", "%[pitch]")                              \
    TW_SB_BY("%[d]", "%[state_v]", "%[pitch]") TW_SB_BY("%[v]", "%[state_v]", "%[pitch]")

/* Heads of the caches of a token, of four channels: `group` queries each, turned, a key and a value, from where the
 * registers point to; rotations are rounded products of halves. */
#define ENTERED(q, k, v)                                                                                               \
    TW_ASM_BEGIN TW_LOOP("1", "%[heads]", "57") TW_LOOP("0", "%[group]", "20")                                         \
    ENTERED_QUERY(q) ENTERED_KEY(k) ENTERED_VALUE(v) TW_ASM_END
#define ENTERED_TO                                                                                                     \
    [y] "+r"(y), [state_k] "+r"(state_k), [state_v] "+r"(state_v), [v] "=&r"(v), [b] "=&r"(b), [d] "=&r"(d),           \
        [t] "=&r"(t)
#define ENTERED_BY                                                                                                     \
    [heads] "r"(heads), [group] "r"(group), [c0] "r"(c[0]), [c1] "r"(c[1]), [c2] "r"(c[2]), [c3] "r"(c[3]),            \
        [mul_q] "r"(numbers[0]), [mul_k] "r"(numbers[2]), [table_k] "r"(table_k), [table_v] "r"(table_v),              \
        [pitch] "r"(pitch)

/* Whether rotations are rounded products of halves: what does not fit them saturates. */
#define TURNS_IN_HALVES(numbers, turn) ((turn) == 16 && (numbers)[4] != 0)

/* The same by any numbers; `part`: bytes from one head's to the next beside what is read, of queries, keys and values. */
static __attribute__((noinline, unused)) void entered(int8_t *state_k, int8_t *state_v, const int8_t *q,
                                                      const int8_t *k, const int8_t *v, int q_part, int part,
                                                      const int32_t *c, const int8_t *table_k, const int8_t *table_v,
                                                      const int32_t *numbers, int8_t *y, int group, int pitch,
                                                      int turn, int heads)
{
    for (; heads > 0; heads--, q += q_part, k += part, v += part) {
        for (int m = 0; m < group; m++, q += 4)
            for (int i = 0; i < 4; i++)
                *y++ = (int8_t)tw_scaled(tw_vdotsp_b(tw_word_at(q), c[i]), numbers[0], numbers[1], turn);
        for (int i = 0; i < 4; i++, state_v += pitch) {
            *state_k++ = table_k[tw_scaled(tw_vdotsp_b(tw_word_at(k), c[i]), numbers[2], numbers[3], turn)];
            *state_v = table_v[v[i]];
        }
        k += 4, v += 4;
    }
}

#endif
