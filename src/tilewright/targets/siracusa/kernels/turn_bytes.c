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
