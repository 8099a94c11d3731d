/* Batched products of two activations of bytes, for the chip: four columns of b at a time, as rows. */
#include "tw_kernels.h"
#include "tw_blocks.h"

/* A word at any address. */
TW_X int32_t word_at(const int8_t *at)
{
    int32_t word;
    TW_SAY(__asm__("lw %0, 0(%1)" : "=r"(word) : "r"(at), "m"(*(const int8_t(*)[4])at)),
           word = tw_bytes_of(at[0], at[1], at[2], at[3]));
    return word;
}

/* Columns 0 .. count (at most 4) of b as rows of `pitch` bytes, zeros behind. Element (i, c) is at b[i * down + c *
 * right]. Four by four where rows of b are contiguous. */
static void turn(int8_t *restrict w, const int8_t *restrict b, int k, int count, int down, int right, int pitch)
{
    int i = 0;
    if (right == 1 && count == 4)
        for (; i + 4 <= k; i += 4, b += 4 * down) {
            int32_t b0 = word_at(b), b1 = word_at(b + down), b2 = word_at(b + 2 * down), b3 = word_at(b + 3 * down);
            int32_t low = tw_vshuffle2_b(b0, b1, 0x05010400), high = tw_vshuffle2_b(b0, b1, 0x07030602);
            int32_t low2 = tw_vshuffle2_b(b2, b3, 0x05010400), high2 = tw_vshuffle2_b(b2, b3, 0x07030602);
            int32_t *to = (int32_t *)(void *)(w + i);
            to[0] = tw_vpack_h(low2, low);
            to[pitch / 4] = tw_vshuffle2_h(low, low2, 0x00030001);
            to[pitch / 2] = tw_vpack_h(high2, high);
            to[pitch / 4 * 3] = tw_vshuffle2_h(high, high2, 0x00030001);
        }
    for (; i < pitch; i++, b += down)
        for (int c = 0; c < count; c++)
            w[c * pitch + i] = i < k ? b[c * right] : 0;
}

/* y = finish(a b) for every matrix of a batch. a: [m][k] of i8 or u8, b: [k][n] or, transposed, [n][k], y: [m][n];
 * from one matrix to the next a and b go on by a_step and b_step, 0 where they stay. A core computes some rows, or
 * some columns, first .. last of all of the batch. scratch: four columns of whole words. */
void tw_product_i8(const void *restrict a, const int8_t *restrict b, const void *restrict mul, const void *restrict add,
                   void *restrict y, int8_t *restrict scratch, int m, int k, int n, int a_step, int b_step, int form,
                   int shift, int32_t low, int32_t high, int32_t acc_low, int32_t acc_high, int first, int last)
{
    int by_rows = form & TW_BY_TOKENS, turned = form & TW_TRANSPOSED, extent = by_rows ? m : n;
    int direct = turned && k % 4 == 0, down = turned ? 1 : n, right = turned ? k : 1, pitch = 4 * TW_WORDS(k);
    struct tw_tile tile;
    struct tw_product p = {.rows = n, .cols = k, .pitch = pitch,
                           .to = {0, mul, add, 0, y, form, shift, low, high, acc_low, acc_high}, .tile = &tile};
    tw_product_begin(&p);
    for (int item = first / extent, begin = first % extent; first < last; item++, begin = 0) {
        int end = extent - begin < last - first ? extent : begin + last - first;
        int row = by_rows ? begin : 0, rows = by_rows ? end - begin : m;
        const int8_t *x = (const int8_t *)a + item * a_step + row * k, *columns = b + item * b_step;
        int stop = by_rows ? n : end, together = direct ? n : 4;
        for (int c = by_rows ? 0 : begin; c < stop; c += together) {
            const int8_t *w = columns + c * right;
            int count = stop - c < together ? stop - c : together;
            if (!direct) {
                turn(scratch, w, k, count, down, right, pitch);
                w = scratch;
            }
            tw_blocks(&p, x, w, rows, 0, count, (item * m + row) * n + c);
        }
        first += end - begin;
    }
}
