/* Inner products of bytes on XpulpV2: blocks of sums of rows of w times rows of x.
 *
 * w: rows of `pitch` bytes, a multiple of 4, of which the first `cols` count and those up to the next multiple of 4 are
 * zero. x: rows of `cols` bytes anywhere; what lies up to 3 bytes behind one is read, and multiplied by zero. Sums are
 * added to what is there, modulo 2^32. Rows behind the `count` that are wanted are not read: the last one is instead.
 */
#ifndef TW_GEMM_H
#define TW_GEMM_H

#include "tw_xpulp.h"

#define TW_WORDS(cols) (((cols) + 3) >> 2)

/* Bytes of a row of weights as they are packed: an odd number of words, so that rows read side by side lie in different
 * banks, but for short rows. */
TW_X int tw_pitch(int cols)
{
    int words = TW_WORDS(cols);
    return 4 * (words > 16 ? words | 1 : words);
}

/* One sum in C. */
TW_X int32_t tw_dot_row(int32_t sum, const int8_t *w, const void *x, int cols, int x_signed)
{
    uint32_t y = TW_U(sum);
    for (int i = 0; i < cols; i++)
        y += TW_U(w[i] * (x_signed ? ((const int8_t *)x)[i] : ((const uint8_t *)x)[i]));
    return (int32_t)y;
}

/* s[0..3] += w[0..count] . x, s[4..7] += w[0..count] . z; 14 instructions for 32 products. */
#define TW_DOTS_4X2(name, code, x_signed)                                                                              \
    TW_X void name(int32_t *s, const int8_t *w, int pitch, int count, const void *x, const void *z, int cols)          \
    {                                                                                                                  \
        const int8_t *w1 = w + (count > 1 ? pitch : 0);                                                                \
        const int8_t *w2 = w1 + (count > 2 ? pitch : 0);                                                               \
        const int8_t *w3 = w2 + (count > 3 ? pitch : 0);                                                               \
        TW_SAY(                                                                                                        \
            int32_t a; int32_t b; int32_t c; int32_t d; int32_t p; int32_t q;                                          \
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "14") /* the last load is not used at once */           \
                             TW_LW("%[a]", "%[w0]", "4") TW_LW("%[b]", "%[w1]", "4") TW_LW("%[c]", "%[w2]", "4")       \
                             TW_LW("%[d]", "%[w3]", "4") TW_LW("%[p]", "%[x]", "4") TW_LW("%[q]", "%[z]", "4")         \
                             TW_DOT(code, "%[s0]", "%[p]", "%[a]") TW_DOT(code, "%[s1]", "%[p]", "%[b]")               \
                             TW_DOT(code, "%[s2]", "%[p]", "%[c]") TW_DOT(code, "%[s3]", "%[p]", "%[d]")               \
                             TW_DOT(code, "%[s4]", "%[q]", "%[a]") TW_DOT(code, "%[s5]", "%[q]", "%[b]")               \
                             TW_DOT(code, "%[s6]", "%[q]", "%[c]") TW_DOT(code, "%[s7]", "%[q]", "%[d]") TW_ASM_END    \
                             : [s0] "+r"(s[0]), [s1] "+r"(s[1]), [s2] "+r"(s[2]), [s3] "+r"(s[3]), [s4] "+r"(s[4]),    \
                               [s5] "+r"(s[5]), [s6] "+r"(s[6]), [s7] "+r"(s[7]), [w0] "+r"(w), [w1] "+r"(w1),         \
                               [w2] "+r"(w2), [w3] "+r"(w3), [x] "+r"(x), [z] "+r"(z), [a] "=&r"(a), [b] "=&r"(b),     \
                               [c] "=&r"(c), [d] "=&r"(d), [p] "=&r"(p), [q] "=&r"(q)                                  \
                             : [n] "r"(TW_WORDS(cols))                                                                 \
                             : "memory"),                                                                              \
            const int8_t *rows[4] = {w TW_COMMA w1 TW_COMMA w2 TW_COMMA w3};                                           \
            for (int i = 0; i < 4; i++) {                                                                              \
                s[i] = tw_dot_row(s[i], rows[i], x, cols, x_signed);                                                   \
                s[i + 4] = tw_dot_row(s[i + 4], rows[i], z, cols, x_signed);                                           \
            });                                                                                                        \
    }
#define TW_COMMA ,
TW_DOTS_4X2(tw_dots_4x2_i8, TW_SDOTSP, 1)
TW_DOTS_4X2(tw_dots_4x2_u8, TW_SDOTUSP, 0)

/* s[0..3] += w[0..count] . x; 9 instructions for 16 products. */
#define TW_DOTS_4X1(name, code, x_signed)                                                                              \
    TW_X void name(int32_t *s, const int8_t *w, int pitch, int count, const void *x, int cols)                         \
    {                                                                                                                  \
        const int8_t *w1 = w + (count > 1 ? pitch : 0);                                                                \
        const int8_t *w2 = w1 + (count > 2 ? pitch : 0);                                                               \
        const int8_t *w3 = w2 + (count > 3 ? pitch : 0);                                                               \
        TW_SAY(                                                                                                        \
            int32_t a; int32_t b; int32_t p;                                                                           \
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LW("%[p]", "%[x]", "4")                         \
                             TW_LW("%[a]", "%[w0]", "4") TW_LW("%[b]", "%[w1]", "4")                                   \
                             TW_DOT(code, "%[s0]", "%[p]", "%[a]") TW_LW("%[a]", "%[w2]", "4")                         \
                             TW_DOT(code, "%[s1]", "%[p]", "%[b]") TW_LW("%[b]", "%[w3]", "4")                         \
                             TW_DOT(code, "%[s2]", "%[p]", "%[a]") TW_DOT(code, "%[s3]", "%[p]", "%[b]") TW_ASM_END    \
                             : [s0] "+r"(s[0]), [s1] "+r"(s[1]), [s2] "+r"(s[2]), [s3] "+r"(s[3]), [w0] "+r"(w),       \
                               [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [x] "+r"(x), [a] "=&r"(a), [b] "=&r"(b),   \
                               [p] "=&r"(p)                                                                            \
                             : [n] "r"(TW_WORDS(cols))                                                                 \
                             : "memory"),                                                                              \
            const int8_t *rows[4] = {w TW_COMMA w1 TW_COMMA w2 TW_COMMA w3};                                           \
            for (int i = 0; i < 4; i++) s[i] = tw_dot_row(s[i], rows[i], x, cols, x_signed));                          \
    }
TW_DOTS_4X1(tw_dots_4x1_i8, TW_SDOTSP, 1)
TW_DOTS_4X1(tw_dots_4x1_u8, TW_SDOTUSP, 0)

/* s[0..7] += w[0..8] . x; 17 instructions for 32 products. */
#define TW_DOTS_8X1(name, code, x_signed)                                                                              \
    TW_X void name(int32_t *s, const int8_t *w, int pitch, const void *x, int cols)                                    \
    {                                                                                                                  \
        TW_SAY(                                                                                                        \
            const int8_t *w1 = w + pitch; const int8_t *w2 = w1 + pitch; const int8_t *w3 = w2 + pitch;                \
            const int8_t *w4 = w3 + pitch; const int8_t *w5 = w4 + pitch; const int8_t *w6 = w5 + pitch;               \
            const int8_t *w7 = w6 + pitch; int32_t a; int32_t b; int32_t p;                                            \
            __asm__ volatile(                                                                                          \
                TW_ASM_BEGIN TW_LOOP("0", "%[n]", "17") TW_LW("%[p]", "%[x]", "4") TW_LW("%[a]", "%[w0]", "4")         \
                TW_LW("%[b]", "%[w1]", "4") TW_DOT(code, "%[s0]", "%[p]", "%[a]") TW_LW("%[a]", "%[w2]", "4")          \
                TW_DOT(code, "%[s1]", "%[p]", "%[b]") TW_LW("%[b]", "%[w3]", "4")                                      \
                TW_DOT(code, "%[s2]", "%[p]", "%[a]") TW_LW("%[a]", "%[w4]", "4")                                      \
                TW_DOT(code, "%[s3]", "%[p]", "%[b]") TW_LW("%[b]", "%[w5]", "4")                                      \
                TW_DOT(code, "%[s4]", "%[p]", "%[a]") TW_LW("%[a]", "%[w6]", "4")                                      \
                TW_DOT(code, "%[s5]", "%[p]", "%[b]") TW_LW("%[b]", "%[w7]", "4")                                      \
                TW_DOT(code, "%[s6]", "%[p]", "%[a]") TW_DOT(code, "%[s7]", "%[p]", "%[b]") TW_ASM_END                 \
                : [s0] "+r"(s[0]), [s1] "+r"(s[1]), [s2] "+r"(s[2]), [s3] "+r"(s[3]), [s4] "+r"(s[4]),                 \
                  [s5] "+r"(s[5]), [s6] "+r"(s[6]), [s7] "+r"(s[7]), [w0] "+r"(w), [w1] "+r"(w1), [w2] "+r"(w2),       \
                  [w3] "+r"(w3), [w4] "+r"(w4), [w5] "+r"(w5), [w6] "+r"(w6), [w7] "+r"(w7), [x] "+r"(x),              \
                  [a] "=&r"(a), [b] "=&r"(b), [p] "=&r"(p)                                                             \
                : [n] "r"(TW_WORDS(cols))                                                                              \
                : "memory"),                                                                                           \
            for (int i = 0; i < 8; i++) s[i] = tw_dot_row(s[i], w + i * pitch, x, cols, x_signed));                    \
    }
TW_DOTS_8X1(tw_dots_8x1_i8, TW_SDOTSP, 1)
TW_DOTS_8X1(tw_dots_8x1_u8, TW_SDOTUSP, 0)

#endif
