/* What a product by rows does with its sums: multiplier per row, rounding, and where the results go. */
#ifndef TW_ROWS_H
#define TW_ROWS_H

#include "tw_quantised.h"

enum { TW_BLOCK = 4 }; /* panels or tokens whose sums are in flight */

typedef int32_t tw_lanes[TW_LANES];

/* One of the pointers is set. r is the residual stream that y16 continues. */
typedef struct {
    int8_t *y8;
    int16_t *y16;
    int32_t *y32;
    const int16_t *r;
    const uint8_t *mul;
    int32_t add, low, high;
    int shift, wide, rows;
} tw_sink;

/* Requantise the sums of rows first .. first + 16 of token t and store them. */
static void tw_finish(const tw_sink *to, const int32_t *restrict acc, int t, int first)
{
    int32_t value[TW_LANES];
    uint8_t mul[TW_LANES] = {0};
    int count = to->rows - first < TW_LANES ? to->rows - first : TW_LANES, at = t * to->rows + first;
    for (int i = 0; i < count; i++)
        mul[i] = to->mul[first + i];
    tw_requantise(acc, mul, to->add, to->shift, to->low, to->high, to->wide, value, TW_LANES);
    if (to->y8)
        for (int i = 0; i < count; i++)
            to->y8[at + i] = (int8_t)value[i];
    else if (to->y32)
        for (int i = 0; i < count; i++)
            to->y32[at + i] = value[i];
    else
        for (int i = 0; i < count; i++)
            to->y16[at + i] = (int16_t)tw_clip(value[i] + (to->r ? to->r[at + i] : 0), -32768, 32767);
}

#endif
