/* What attentions share: values mixed by weights, and masks that hide nothing. */
#ifndef TW_MIXED_H
#define TW_MIXED_H

#include "tw_words.h"

/* A word of weights, which p moves over, times one of each of four rows of values, `pitch` bytes apart: onto the sums s0
 * to s3. `back`: 4 - 3 pitch. 9 instructions; the names are those of operands. */
#define TW_MIX_FOUR(dot)                                                                                               \
    TW_LW("%[w]", "%[p]", "4") TW_LW_BY("%[a]", "%[v]", "%[pitch]") TW_LW_BY("%[b]", "%[v]", "%[pitch]")               \
    TW_DOT(dot, "%[s0]", "%[w]", "%[a]") TW_LW_BY("%[a]", "%[v]", "%[pitch]") TW_DOT(dot, "%[s1]", "%[w]", "%[b]")     \
    TW_LW_BY("%[b]", "%[v]", "%[back]") TW_DOT(dot, "%[s2]", "%[w]", "%[a]") TW_DOT(dot, "%[s3]", "%[w]", "%[b]")
/* Sums times mul, add, shifted: 8 instructions; and to the bytes of s0: 6. */
#define TW_SCALE_FOUR                                                                                                  \
    "mul %[s0], %[s0], %[mul]\nmul %[s1], %[s1], %[mul]\nmul %[s2], %[s2], %[mul]\nmul %[s3], %[s3], %[mul]\n"         \
    TW_ADDN("%[s0]", "%[add]", "%[shift]") TW_ADDN("%[s1]", "%[add]", "%[shift]")                                      \
    TW_ADDN("%[s2]", "%[add]", "%[shift]") TW_ADDN("%[s3]", "%[add]", "%[shift]")
#define TW_BYTES_FOUR                                                                                                  \
    TW_CLIP("%[s0]", "%[s0]", "8") TW_CLIP("%[s1]", "%[s1]", "8") TW_CLIP("%[s2]", "%[s2]", "8")                       \
    TW_CLIP("%[s3]", "%[s3]", "8") TW_PACKLO("%[s0]", "%[s1]", "%[s0]") TW_PACKHI("%[s0]", "%[s3]", "%[s2]")

/* Whether all n bytes, eight at least, are zero. */
TW_X int tw_is_zero(const int8_t *m, int n)
{
    int32_t any = tw_word_at(m + n - 8) | tw_word_at(m + n - 4);
#ifdef __riscv
    int32_t a, b;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") TW_LW("%[a]", "%[m]", "4") TW_LW("%[b]", "%[m]", "4")
                     "or %[any], %[any], %[a]\nor %[any], %[any], %[b]\n" TW_ASM_END
                     : [m] "+r"(m), [any] "+r"(any), [a] "=&r"(a), [b] "=&r"(b)
                     : [n] "r"(n >> 3)
                     : "memory");
#else
    for (int i = 0; i + 8 <= n; i += 8)
        any |= tw_word_at(m + i) | tw_word_at(m + i + 4);
#endif
    return any == 0;
}

#endif
