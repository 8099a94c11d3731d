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

/* The bytes v, t, b and d: v times the columns in c0 .. c3, requantised. 16 instructions. */
#define TURNED(mul)                                                                                                    \
    TW_DOT(TW_DOTSP, "%[t]", "%[v]", "%[c0]") TW_DOT(TW_DOTSP, "%[b]", "%[v]", "%[c1]")                                \
    TW_DOT(TW_DOTSP, "%[d]", "%[v]", "%[c2]") TW_DOT(TW_DOTSP, "%[e]", "%[v]", "%[c3]")                                \
    TW_ROUNDED_BYTE("%[v]", "%[t]", mul) TW_ROUNDED_BYTE("%[t]", "%[b]", mul)                                          \
    TW_ROUNDED_BYTE("%[b]", "%[d]", mul) TW_ROUNDED_BYTE("%[d]", "%[e]", mul)
#define BYTES(y) TW_PACKLO(y, "%[t]", "%[v]") TW_PACKHI(y, "%[d]", "%[b]")

/* Heads of the caches of a token, of four channels: `group` queries each, turned, a key and a value, from where the
 * registers point to. Rotations shift by 16 and round; their multipliers of 15 bits stand twice in mul_q and mul_k. */
/* clang-format off */
#define ENTERED(q, k, v)                                                                                               \
    TW_ASM_BEGIN TW_LOOP("1", "%[heads]", "57") TW_LOOP("0", "%[group]", "20")                                         \
    TW_LW("%[v]", q, "4") TURNED("%[mul_q]") BYTES("%[v]") TW_SW("%[v]", "%[y]", "4")                      \
    TW_LW("%[v]", k, "4") TURNED("%[mul_k]")                                                               \
    TW_LB_AT("%[v]", "%[table_k]", "%[v]") TW_LB_AT("%[t]", "%[table_k]", "%[t]")                                      \
    TW_LB_AT("%[b]", "%[table_k]", "%[b]") TW_LB_AT("%[d]", "%[table_k]", "%[d]")                                      \
    BYTES("%[v]") TW_SW("%[v]", "%[state_k]", "4")                                                                     \
    TW_LB("%[t]", v, "1") TW_LB("%[b]", v, "1") TW_LB("%[d]", v, "1") TW_LB("%[e]", v, "1")                            \
    TW_LB_AT("%[t]", "%[table_v]", "%[t]") TW_LB_AT("%[b]", "%[table_v]", "%[b]")                                      \
    TW_LB_AT("%[d]", "%[table_v]", "%[d]") TW_LB_AT("%[e]", "%[table_v]", "%[e]")                                      \
    TW_SB_BY("%[t]", "%[state_v]", "%[pitch]") TW_SB_BY("%[b]", "%[state_v]", "%[pitch]")                              \
    TW_SB_BY("%[d]", "%[state_v]", "%[pitch]") TW_SB_BY("%[e]", "%[state_v]", "%[pitch]") TW_ASM_END
/* clang-format on */
#define ENTERED_TO                                                                                                     \
    [y] "+r"(y), [state_k] "+r"(state_k), [state_v] "+r"(state_v), [v] "=&r"(v), [b] "=&r"(b), [d] "=&r"(d),           \
        [e] "=&r"(e), [t] "=&r"(t)
#define ENTERED_BY                                                                                                     \
    [heads] "r"(heads), [group] "r"(group), [c0] "r"(c[0]), [c1] "r"(c[1]), [c2] "r"(c[2]), [c3] "r"(c[3]),     \
        [mul_q] "r"(mul_q), [mul_k] "r"(mul_k), [table_k] "r"(table_k), [table_v] "r"(table_v), [pitch] "r"(pitch)

#ifndef __riscv
/* The same; `part`: bytes from one head's to the next beside what is read, of queries, keys and values. */
TW_X void entered(int8_t *state_k, int8_t *state_v, const int8_t *q, const int8_t *k, const int8_t *v, int q_part,
                    int part, const int32_t *c, const int8_t *table_k, const int8_t *table_v, const int32_t *numbers,
                    int8_t *y, int group, int pitch, int heads)
{
    for (; heads > 0; heads--, q += q_part, k += part, v += part) {
        for (int m = 0; m < group; m++, q += 4)
            for (int i = 0; i < 4; i++)
                *y++ = (int8_t)tw_rounded(tw_vdotsp_b(tw_word_at(q), c[i]) * numbers[0]);
        for (int i = 0; i < 4; i++, state_v += pitch) {
            *state_k++ = table_k[tw_rounded(tw_vdotsp_b(tw_word_at(k), c[i]) * numbers[2])];
            *state_v = table_v[v[i]];
        }
        k += 4, v += 4;
    }
}
#endif

#endif
