/* Matrices of bytes turned, four by four: channels between pixels, and back. */
#include "tw_kernels.h"
#include "tw_xpulp.h"

enum { EVEN_PAIRS = 0x05010400, ODD_PAIRS = 0x07030602, UPPER_HALVES = 0x00030001 };

/* Four columns of x from byte x on, as four rows of y: n > 0 times four rows, `step` bytes apart; rows of y are
 * `stride` bytes apart. 18 instructions for 16 bytes. */
static inline void turn_four(const uint8_t *x, uint8_t *y, int n, int step, int stride)
{
#ifdef __riscv
    int32_t r0, r1, r2, r3, a, b;
    uint8_t *y1 = y + stride, *y2 = y1 + stride, *y3 = y2 + stride;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "18") TW_LW_BY("%[r0]", "%[x]", "%[step]")
        TW_LW_BY("%[r1]", "%[x]", "%[step]") TW_LW_BY("%[r2]", "%[x]", "%[step]") TW_LW_BY("%[r3]", "%[x]", "%[step]")
        "mv %[a], %[r0]\n mv %[b], %[r2]\n" TW_SHUFFLE2_B("%[a]", "%[r1]", "%[even]")
        TW_SHUFFLE2_B("%[b]", "%[r3]", "%[even]") TW_SHUFFLE2_B("%[r0]", "%[r1]", "%[odd]")
        TW_SHUFFLE2_B("%[r2]", "%[r3]", "%[odd]") ".insn r 0x57, 0, 0x68, %[r1], %[b], %[a]\n" /* pv.pack.h */
        ".insn r 0x57, 0, 0x68, %[r3], %[r2], %[r0]\n" TW_SHUFFLE2_H("%[a]", "%[b]", "%[upper]")
        TW_SHUFFLE2_H("%[r0]", "%[r2]", "%[upper]") TW_SW("%[r1]", "%[y]", "4") TW_SW("%[a]", "%[y1]", "4")
        TW_SW("%[r3]", "%[y2]", "4") TW_SW("%[r0]", "%[y3]", "4") TW_ASM_END
        : [x] "+r"(x), [y] "+r"(y), [y1] "+r"(y1), [y2] "+r"(y2), [y3] "+r"(y3), [r0] "=&r"(r0), [r1] "=&r"(r1),
          [r2] "=&r"(r2), [r3] "=&r"(r3), [a] "=&r"(a), [b] "=&r"(b)
        : [n] "r"(n), [step] "r"(step), [even] "r"(EVEN_PAIRS), [odd] "r"(ODD_PAIRS), [upper] "r"(UPPER_HALVES)
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
