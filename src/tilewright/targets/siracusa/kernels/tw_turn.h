/* Matrices of bytes turned, four by four. */
#ifndef TW_TURN_H
#define TW_TURN_H

#include "tw_xpulp.h"

/* Four columns of x from byte x on, as four rows of y: n > 0 times four rows, `step` bytes apart; rows of y are
 * `stride` bytes apart. 18 instructions for 16 bytes. */
TW_X void tw_turn_four(const void *x, void *y, int n, int step, int stride)
{
#ifdef __riscv
    int32_t a, b, c, d, t;
    char *y0 = y, *y1 = y0 + stride, *y2 = y1 + stride, *y3 = y2 + stride;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "18") TW_LW_BY("%[a]", "%[x]", "%[step]") TW_LW_BY("%[b]", "%[x]", "%[step]")
        TW_LW_BY("%[c]", "%[x]", "%[step]") TW_LW_BY("%[d]", "%[x]", "%[step]") TW_TURN_FOUR
        TW_SW("%[d]", "%[y0]", "4") TW_SW("%[a]", "%[y1]", "4") TW_SW("%[c]", "%[y2]", "4") TW_SW("%[t]", "%[y3]", "4")
        TW_ASM_END
        : [x] "+r"(x), [y0] "+r"(y0), [y1] "+r"(y1), [y2] "+r"(y2), [y3] "+r"(y3), [a] "=&r"(a), [b] "=&r"(b),
          [c] "=&r"(c), [d] "=&r"(d), [t] "=&r"(t)
        : [n] "r"(n), [step] "r"(step), [even] "r"(TW_EVEN_PAIRS), [odd] "r"(TW_ODD_PAIRS), [upper] "r"(TW_UPPER_HALVES)
        : "memory");
    /* clang-format on */
#else
    for (int row = 0; row < 4 * n; row++)
        for (int column = 0; column < 4; column++)
            ((char *)y)[column * stride + row] = ((const char *)x)[row * step + column];
#endif
}

#endif
