/* Matrices of bytes turned, four by four: channels between pixels, and back. */
#include "tw_kernels.h"
#include "tw_xpulp.h"

/* Four columns of x from byte x on, as four rows of y: n > 0 times four rows, `step` bytes apart; rows of y are
 * `stride` bytes apart. 18 instructions for 16 bytes. */
static inline void turn_four(const uint8_t *x, uint8_t *y, int n, int step, int stride)
{
#ifdef __riscv
    int32_t a, b, c, d, t;
    uint8_t *y1 = y + stride, *y2 = y1 + stride, *y3 = y2 + stride;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "18") TW_LW_BY("%[a]", "%[x]", "%[step]") TW_LW_BY("%[b]", "%[x]", "%[step]")
        TW_LW_BY("%[c]", "%[x]", "%[step]") TW_LW_BY("%[d]", "%[x]", "%[step]") TW_TURN_FOUR
        TW_SW("%[d]", "%[y]", "4") TW_SW("%[a]", "%[y1]", "4") TW_SW("%[c]", "%[y2]", "4") TW_SW("%[t]", "%[y3]", "4")
        TW_ASM_END
        : [x] "+r"(x), [y] "+r"(y), [y1] "+r"(y1), [y2] "+r"(y2), [y3] "+r"(y3), [a] "=&r"(a), [b] "=&r"(b),
          [c] "=&r"(c), [d] "=&r"(d), [t] "=&r"(t)
        : [n] "r"(n), [step] "r"(step), [even] "r"(TW_EVEN_PAIRS), [odd] "r"(TW_ODD_PAIRS), [upper] "r"(TW_UPPER_HALVES)
        : "memory");
    /* clang-format on */
#else
    for (int row = 0; row < 4 * n; row++)
        for (int column = 0; column < 4; column++)
            y[column * stride + row] = x[row * step + column];
#endif
}

/* y[c][r] = x[r][c] of matrices that follow each other; rows and columns are multiples of 4. A core makes some whole
 * rows of y, four at a time. It begins somewhere of its own in them: where rows are multiples of 64 bytes apart, cores
 * that begin at one place would wait for one another's bank at every store. */
void tw_turn_bytes(const uint8_t *x, uint8_t *y, int rows, int columns, int first, int last)
{
    int four = 4 * rows, blocks = columns >> 2, n = rows >> 2, block = first / four, matrix = block / blocks;
    if (first >= last)
        return;
    int c = block - matrix * blocks, apart = 2 * (first / (last - first)) % n;
    for (x += matrix * rows * columns; first < last; first += four) {
        turn_four(x + 4 * apart * columns + 4 * c, y + first + 4 * apart, n - apart, columns, rows);
        if (apart > 0)
            turn_four(x + 4 * c, y + first, apart, columns, rows);
        if (++c == blocks)
            c = 0, x += rows * columns;
    }
}
