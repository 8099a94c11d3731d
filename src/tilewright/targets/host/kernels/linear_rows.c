/* Products of int8 activations with int8 or 4-bit weights, int32 sums, multipliers of eight bits per row.
 *
 * Weights are packed in panels of 16 rows, the last panel padded with zeros: w[rows / 16][cols][16], or, with four bits,
 * w[rows / 16][(cols + 1) / 2][16] where a byte holds column 2k below and column 2k + 1 above.
 */
#include "tw_kernels.h"
#include "tw_quantised.h"

#include <string.h>

enum { BLOCK = 4 }; /* sums in flight */

typedef int32_t lanes[TW_LANES];

/* Sums for `tokens` rows of x and `panels` panels of w, tokens * panels <= BLOCK. */
TW_INLINE_Q void sums8(int tokens, int panels, const int8_t *restrict x, const int8_t *restrict w, lanes *restrict out,
                       int cols)
{
    lanes sum[BLOCK] = {{0}};
    for (int k = 0; k < cols; k++)
        for (int p = 0; p < panels; p++)
            for (int t = 0; t < tokens; t++)
                for (int i = 0; i < TW_LANES; i++)
                    sum[p * tokens + t][i] += x[t * cols + k] * w[(p * cols + k) * TW_LANES + i];
    memcpy(out, sum, sizeof sum);
}

TW_INLINE_Q void sums4(int tokens, int panels, const int8_t *restrict x, const int8_t *restrict w, lanes *restrict out,
                       int cols)
{
    lanes sum[BLOCK] = {{0}};
    int bytes = (cols + 1) / 2;
    for (int k = 0; k < bytes; k++)
        for (int t = 0; t < tokens; t++) {
            int32_t below = x[t * cols + 2 * k], above = 2 * k + 1 < cols ? x[t * cols + 2 * k + 1] : 0;
            for (int p = 0; p < panels; p++)
                for (int i = 0; i < TW_LANES; i++) {
                    int8_t byte = w[(p * bytes + k) * TW_LANES + i];
                    sum[p * tokens + t][i] += below * (((byte & 15) ^ 8) - 8) + above * (byte >> 4);
                }
        }
    memcpy(out, sum, sizeof sum);
}

TW_INLINE_Q void sums(int bits, int tokens, int panels, const int8_t *restrict x, const int8_t *restrict w,
                      lanes *restrict out, int cols)
{
    if (bits == 4)
        sums4(tokens, panels, x, w, out, cols);
    else
        sums8(tokens, panels, x, w, out, cols);
}

/* Where results go: one of the pointers is set. r is the residual stream that y16 continues. */
typedef struct {
    int8_t *y8;
    int16_t *y16;
    int32_t *y32;
    const int16_t *r;
    int32_t low, high;
} sink;

TW_INLINE_Q void store(const int32_t *restrict value, const sink *to, int at, int count)
{
    if (to->y8)
        for (int i = 0; i < count; i++)
            to->y8[at + i] = (int8_t)value[i];
    else if (to->r)
        for (int i = 0; i < count; i++)
            to->y16[at + i] = (int16_t)tw_clip(to->r[at + i] + value[i], -32768, 32767);
    else if (to->y16)
        for (int i = 0; i < count; i++)
            to->y16[at + i] = (int16_t)value[i];
    else
        for (int i = 0; i < count; i++)
            to->y32[at + i] = value[i];
}

/* Panel by panel: requantise the sums of one token from row `first` on and store them. */
TW_INLINE_Q void finish(lanes *restrict acc, int panels, int stride, const uint8_t *restrict mul, int32_t add,
                        int shift, int wide, const sink *to, int at, int first, int rows)
{
    for (int p = 0; p < panels && first < rows; p++, first += TW_LANES) {
        lanes value;
        int count = rows - first < TW_LANES ? rows - first : TW_LANES;
        if (count == TW_LANES) {
            tw_requantise(acc[p * stride], mul + first, add, shift, to->low, to->high, wide, value, TW_LANES);
            store(value, to, at + first, TW_LANES);
        } else {
            tw_requantise(acc[p * stride], mul + first, add, shift, to->low, to->high, wide, value, count);
            store(value, to, at + first, count);
        }
    }
}

TW_INLINE_Q void linear(int bits, const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                        int32_t add, sink to, int tokens, int rows, int cols, int shift, int wide)
{
    int together = tokens - tokens % BLOCK, panel = (bits == 4 ? (cols + 1) / 2 : cols) * TW_LANES;
    lanes acc[BLOCK];
    for (int r = 0; r < rows && together > 0; r += TW_LANES)
        for (int t = 0; t < together; t += BLOCK) {
            sums(bits, BLOCK, 1, x + t * cols, w + r / TW_LANES * panel, acc, cols);
            for (int i = 0; i < BLOCK; i++)
                finish(acc + i, 1, BLOCK, mul, add, shift, wide, &to, (t + i) * rows, r, rows);
        }
    for (int t = together; t < tokens; t++)
        for (int r = 0; r < rows; r += BLOCK * TW_LANES) {
            const int8_t *token = x + t * cols, *panels = w + r / TW_LANES * panel;
            int left = (rows - r + TW_LANES - 1) / TW_LANES;
            if (left >= 4)
                sums(bits, 1, 4, token, panels, acc, cols);
            else if (left == 3)
                sums(bits, 1, 3, token, panels, acc, cols);
            else if (left == 2)
                sums(bits, 1, 2, token, panels, acc, cols);
            else
                sums(bits, 1, 1, token, panels, acc, cols);
            finish(acc, left < 4 ? left : 4, 1, mul, add, shift, wide, &to, t * rows, r, rows);
        }
}

/* x: [tokens][cols], w: packed [rows][cols], mul: [rows], add: [1]; y: [tokens][rows]. Names: x, w, y. */
void tw_rows_i8_i8_i8(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                        const int32_t *restrict add, int8_t *restrict y, int tokens, int rows, int cols, int shift,
                        int32_t low, int32_t high, int wide)
{
    sink to = {y, 0, 0, 0, low, high};
    linear(8, x, w, mul, add[0], to, tokens, rows, cols, shift, wide);
}

void tw_rows_i8_i8_i16(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                         const int32_t *restrict add, int16_t *restrict y, int tokens, int rows, int cols, int shift,
                         int32_t low, int32_t high, int wide)
{
    sink to = {0, y, 0, 0, low, high};
    linear(8, x, w, mul, add[0], to, tokens, rows, cols, shift, wide);
}

void tw_rows_i8_i8_i32(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                         const int32_t *restrict add, int32_t *restrict y, int tokens, int rows, int cols, int shift,
                         int32_t low, int32_t high, int wide)
{
    sink to = {0, 0, y, 0, low, high};
    linear(8, x, w, mul, add[0], to, tokens, rows, cols, shift, wide);
}

void tw_rows_i8_i4_i8(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                        const int32_t *restrict add, int8_t *restrict y, int tokens, int rows, int cols, int shift,
                        int32_t low, int32_t high, int wide)
{
    sink to = {y, 0, 0, 0, low, high};
    linear(4, x, w, mul, add[0], to, tokens, rows, cols, shift, wide);
}

void tw_rows_i8_i4_i16(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                         const int32_t *restrict add, int16_t *restrict y, int tokens, int rows, int cols, int shift,
                         int32_t low, int32_t high, int wide)
{
    sink to = {0, y, 0, 0, low, high};
    linear(4, x, w, mul, add[0], to, tokens, rows, cols, shift, wide);
}

/* What is added is at most 17 bits, so that r + value cannot leave 32 bits and saturates as the exact sum would. */
void tw_rows_add_i8_i8(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r,
                         const uint8_t *restrict mul, int16_t *y, int tokens, int rows, int cols, int shift, int wide)
{
    sink to = {0, y, 0, r, -65536, 65535};
    linear(8, x, w, mul, tw_half(shift), to, tokens, rows, cols, shift, wide);
}

void tw_rows_add_i8_i4(const int8_t *restrict x, const int8_t *restrict w, const int16_t *r,
                         const uint8_t *restrict mul, int16_t *y, int tokens, int rows, int cols, int shift, int wide)
{
    sink to = {0, y, 0, r, -65536, 65535};
    linear(4, x, w, mul, tw_half(shift), to, tokens, rows, cols, shift, wide);
}
