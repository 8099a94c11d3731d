/* One row of 64 signed bytes times rows of weights that follow each other. */
#ifndef TW_STREAM_H
#define TW_STREAM_H

#include "tw_gemm.h"
#include "tw_words.h"

enum { TW_ROW = 64 }; /* inputs that fit into registers */

/* A row of 64 inputs stays in registers, weights stream by: 32 instructions for 64 products, and what `tail` adds. The
 * register that points to x holds weights afterwards. */
#define TW_LOAD_8(a, b, c, d, e, f, g, h)                                                                              \
    TW_LW(a, "%[b]", "4") TW_LW(b, "%[b]", "4") TW_LW(c, "%[b]", "4") TW_LW(d, "%[b]", "4")                            \
    TW_LW(e, "%[b]", "4") TW_LW(f, "%[b]", "4") TW_LW(g, "%[b]", "4") TW_LW(h, "%[b]", "4")
#define TW_NEXT_A(x) TW_LW("%[a]", "%[w]", "4") TW_DOT(TW_SDOTSP, "%[s]", x, "%[b]")
#define TW_NEXT_B(x) TW_LW("%[b]", "%[w]", "4") TW_DOT(TW_SDOTSP, "%[s]", x, "%[a]")
#define TW_LOAD_ROW                                                                                                    \
    TW_LOAD_8("%[x0]", "%[x1]", "%[x2]", "%[x3]", "%[x4]", "%[x5]", "%[x6]", "%[x7]")                                  \
    TW_LOAD_8("%[x8]", "%[x9]", "%[x10]", "%[x11]", "%[x12]", "%[x13]", "%[x14]", "%[x15]")
#define TW_SUM_ROW                                                                                                     \
    TW_LW("%[a]", "%[w]", "4") TW_LW("%[b]", "%[w]", "4") TW_DOT(TW_DOTSP, "%[s]", "%[x0]", "%[a]")                    \
    TW_NEXT_A("%[x1]") TW_NEXT_B("%[x2]") TW_NEXT_A("%[x3]") TW_NEXT_B("%[x4]") TW_NEXT_A("%[x5]")                     \
    TW_NEXT_B("%[x6]") TW_NEXT_A("%[x7]") TW_NEXT_B("%[x8]") TW_NEXT_A("%[x9]") TW_NEXT_B("%[x10]")                    \
    TW_NEXT_A("%[x11]") TW_NEXT_B("%[x12]") TW_NEXT_A("%[x13]") TW_NEXT_B("%[x14]")                                    \
    TW_DOT(TW_SDOTSP, "%[s]", "%[x15]", "%[b]")
#define TW_STREAM(size, tail) TW_ASM_BEGIN TW_LOAD_ROW TW_LOOP("0", "%[s]", "32+" size) TW_SUM_ROW tail TW_ASM_END
#define TW_REGISTERS                                                                                                   \
    [x0] "=&r"(v[0]), [x1] "=&r"(v[1]), [x2] "=&r"(v[2]), [x3] "=&r"(v[3]), [x4] "=&r"(v[4]), [x5] "=&r"(v[5]),        \
        [x6] "=&r"(v[6]), [x7] "=&r"(v[7]), [x8] "=&r"(v[8]), [x9] "=&r"(v[9]), [x10] "=&r"(v[10]),                    \
        [x11] "=&r"(v[11]), [x12] "=&r"(v[12]), [x13] "=&r"(v[13]), [x14] "=&r"(v[14]), [x15] "=&r"(v[15]),            \
        [a] "=&r"(v[16]), [b] "+r"(x), [s] "+r"(count), [w] "+r"(w)

/* y = clip((x w^T * mul + add) >> shift), bytes of `count` rows; mul: `step` bytes from one row's to the next. */
#ifdef __riscv
#define TW_BYTES_OF_ROWS(name, less, size, scaled, result)                                                             \
    TW_X void name(const int8_t *x, const int8_t *w, const int32_t *mul, int32_t add, int8_t *y, int step, int shift,  \
                   int32_t count)                                                                                      \
    {                                                                                                                  \
        int32_t v[17];                                                                                                 \
        __asm__ volatile(TW_STREAM(size, TW_LW_BY("%[a]", "%[mul]", "%[step]") scaled TW_CLIP(result, result, "8")     \
                                             TW_SB(result, "%[y]", "1"))                                               \
                         : TW_REGISTERS, [y] "+r"(y), [mul] "+r"(mul)                                                  \
                         : [add] "r"(add), [shift] "r"(shift), [step] "r"(step)                                        \
                         : "memory");                                                                                  \
    }
#else
#define TW_BYTES_OF_ROWS(name, less, size, scaled, result)                                                             \
    TW_X void name(const int8_t *x, const int8_t *w, const int32_t *mul, int32_t add, int8_t *y, int step, int shift,  \
                   int32_t count)                                                                                      \
    {                                                                                                                  \
        for (int i = 0; i < count; i++, mul += step / 4) {                                                             \
            int32_t by = (int32_t)((uint32_t)*mul + (less));                                                           \
            y[i] = (int8_t)tw_scaled(tw_dot_row(0, w + i * TW_ROW, x, TW_ROW, 1), by, add, shift);                     \
        }                                                                                                              \
    }
#endif
TW_BYTES_OF_ROWS(tw_bytes_of_rows, 0, "6", "mv %[b], %[add]\n" TW_MAC("%[b]", "%[s]", "%[a]") "sra %[b], %[b], %[shift]\n",
                 "%[b]")
/* The same with multipliers less one. */
TW_BYTES_OF_ROWS(tw_bytes_of_rows_less, 1, "5", TW_TIMES("%[s]", "%[a]") TW_ADDN("%[s]", "%[add]", "%[shift]"), "%[s]")

#endif
