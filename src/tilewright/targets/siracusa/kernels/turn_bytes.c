/* Matrices of bytes turned: channels between pixels, and back. */
#include "tw_kernels.h"
#include "tw_turn.h"

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
        tw_turn_four(x + 4 * apart * columns + 4 * c, y + first + 4 * apart, n - apart, columns, rows);
        if (apart > 0)
            tw_turn_four(x + 4 * c, y + first, apart, columns, rows);
        if (++c == blocks)
            c = 0, x += rows * columns;
    }
}

/* Three rows of columns, colours of pixels, as columns of three: n columns, four at a time by 14 instructions. */
TW_X void turn_three(const uint8_t *x, uint8_t *y, int columns, int n)
{
    const uint8_t *x1 = x + columns, *x2 = x1 + columns;
#ifdef __riscv
    int32_t a, b, c, s;
    /* clang-format off */
    if (n >= 4)
        __asm__ volatile(
            TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "14")
            TW_LW("%[a]", "%[x]", "4") TW_LW("%[b]", "%[x1]", "4") TW_LW("%[c]", "%[x2]", "4") "mv %[s], %[a]\n"
            TW_SHUFFLE2_B("%[s]", "%[b]", "%[m0]") TW_SHUFFLE2_B("%[s]", "%[c]", "%[m1]") TW_SW("%[s]", "%[y]", "4")
            "mv %[s], %[b]\n" TW_SHUFFLE2_B("%[s]", "%[c]", "%[m2]") TW_SHUFFLE2_B("%[s]", "%[a]", "%[m3]")
            TW_SW("%[s]", "%[y]", "4") TW_SHUFFLE2_B("%[c]", "%[a]", "%[m4]") TW_SHUFFLE2_B("%[c]", "%[b]", "%[m5]")
            TW_SW("%[c]", "%[y]", "4") TW_ASM_END
            : [x] "+r"(x), [x1] "+r"(x1), [x2] "+r"(x2), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),
              [s] "=&r"(s)
            : [fours] "r"(n >> 2), [m0] "r"(0x01000400), [m1] "r"(0x03040100), [m2] "r"(0x02000501),
              [m3] "r"(0x03060100), [m4] "r"(0x03000702), [m5] "r"(0x03070100)
            : "memory");
    /* clang-format on */
    n &= 3;
#endif
    for (; n > 0; n--)
        *y++ = *x++, *y++ = *x1++, *y++ = *x2++;
}

/* y[c][r] = x[r][c] of matrices of three rows that follow each other; elements first .. last of y, multiples of 3. */
void tw_turn_three(const uint8_t *restrict x, uint8_t *restrict y, int columns, int first, int last)
{
    int matrix = first / (3 * columns), at = first / 3 - matrix * columns;
    x += 3 * matrix * columns;
    for (int n; first < last; first += 3 * n, at = 0, x += 3 * columns) {
        n = columns - at < (last - first) / 3 ? columns - at : (last - first) / 3;
        turn_three(x + at, y + first, columns, n);
    }
}
