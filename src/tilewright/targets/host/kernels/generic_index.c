/* Addressing by values: gather and scatter. Negative indices count from the end; what is outside is clamped. `wide`:
 * indices are i64, else i32. */
#include "tw_kernels.h"
#include "tw_generic.h"

/* Blocks of `block` bytes along an axis. x: [outer][extent], indices: [count], y: [outer][count]. */
void tw_gather(const void *restrict x, const void *restrict indices, void *restrict y, int wide, int outer, int extent,
               int count, int block)
{
    unsigned char *to = (unsigned char *)y;
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < count; i++, to += block)
            memcpy(to, tw_element(x, o * extent + tw_index(indices, wide, i, extent), block), (size_t)block);
}

/* Single elements: the index replaces the coordinate of one axis, of `extent` elements `step` apart.
 * rows: steps through x over the shape of the indices, 0 along the axis. */
void tw_gather_elements(const void *restrict x, const void *restrict indices, void *restrict y, int wide, int size,
                        int extent, int step, const int32_t *rows)
{
    int done = 0;
    struct tw_walk w;
    TW_ROWS (w, rows)
        for (int i = 0; i < w.n; i++, done++) {
            int at = w.at[0] + i * w.step[0] + tw_index(indices, wide, done, extent) * step;
            tw_move(tw_element(x, at, size), 0, (unsigned char *)y + (ptrdiff_t)done * size, 0, 1, size);
        }
}

/* The element that `depth` indices, from number `first` on, address. axes: extent and step of each. */
TW_GENERIC_INLINE int addressed(const void *indices, int wide, int first, int depth, const int32_t *axes)
{
    int at = 0;
    for (int k = 0; k < depth; k++)
        at += tw_index(indices, wide, first + k, axes[2 * k]) * axes[2 * k + 1];
    return at;
}

/* Blocks of `block` bytes at coordinates. x: [batch][inner] blocks, indices: [batch][count][depth],
 * y: [batch][count]. */
void tw_gather_nd(const void *restrict x, const void *restrict indices, void *restrict y, int wide, int batch,
                  int inner, int count, int depth, int block, const int32_t *axes)
{
    unsigned char *to = (unsigned char *)y;
    for (int i = 0; i < batch * count; i++, to += block) {
        int at = i / count * inner + addressed(indices, wide, i * depth, depth, axes);
        memcpy(to, tw_element(x, at, block), (size_t)block);
    }
}

enum { NONE, ADD, MUL, MAX, MIN }; /* numbered as SCATTER in targets/host/generic_index.py */

#define SUM(WIDE, p, q) (WIDE)(p) + (WIDE)(q)
#define PRODUCT(WIDE, p, q) (WIDE)(p) * (WIDE)(q)
#define NUMBER(p) 0
#define REAL(p) ((p) != (p))

#define COMBINE(TYPE, WIDE, NAN_OF)                                                                                    \
    {                                                                                                                  \
        TYPE *to = (TYPE *)y + at;                                                                                     \
        const TYPE *from = (const TYPE *)updates + first;                                                              \
        for (int i = 0; i < n; i++) {                                                                                  \
            TYPE p = to[i], q = from[i];                                                                               \
            to[i] = reduction == ADD   ? (TYPE)(SUM(WIDE, p, q))                                                       \
                    : reduction == MUL ? (TYPE)(PRODUCT(WIDE, p, q))                                                   \
                    : reduction == MAX ? (p > q || NAN_OF(p) ? p : q)                                                  \
                                       : (p < q || NAN_OF(p) ? p : q);                                                 \
        }                                                                                                              \
    }

/* n elements of y from `at` on, combined with updates from `first` on. */
static void combine(void *restrict y, int at, const void *restrict updates, int first, int n, int kind, int reduction)
{
    switch (kind) {
    case TW_BOOL: /* or, and */
        reduction = reduction == ADD ? MAX : reduction == MUL ? MIN : reduction;
        COMBINE(uint8_t, uint32_t, NUMBER)
        break;
    case TW_I8: COMBINE(int8_t, uint32_t, NUMBER) break;
    case TW_I16: COMBINE(int16_t, uint32_t, NUMBER) break;
    case TW_I32: COMBINE(int32_t, uint32_t, NUMBER) break;
    case TW_I64: COMBINE(int64_t, uint64_t, NUMBER) break;
    case TW_U8: COMBINE(uint8_t, uint32_t, NUMBER) break;
    case TW_U16: COMBINE(uint16_t, uint32_t, NUMBER) break;
    case TW_U32: COMBINE(uint32_t, uint32_t, NUMBER) break;
    case TW_U64: COMBINE(uint64_t, uint64_t, NUMBER) break;
    case TW_F32: COMBINE(float, float, REAL) break;
    case TW_F64: COMBINE(double, double, REAL) break;
    }
}

/* y = x, then blocks of `block` elements of the updates written where the indices say, in order. y may be x. */
void tw_scatter_nd(const void *x, const void *restrict indices, const void *restrict updates, void *y, int wide,
                   int kind, int size, int reduction, int elements, int count, int depth, int block,
                   const int32_t *axes)
{
    memmove(y, x, (size_t)elements * (size_t)size);
    for (int i = 0; i < count; i++) {
        int at = addressed(indices, wide, i * depth, depth, axes) * block;
        if (reduction == NONE)
            memcpy((unsigned char *)y + (ptrdiff_t)at * size, tw_element(updates, i * block, size),
                   (size_t)block * (size_t)size);
        else
            combine(y, at, updates, i * block, block, kind, reduction);
    }
}

/* The same for single elements, whose coordinate along one axis the index replaces; rows as of tw_gather_elements. */
void tw_scatter_elements(const void *x, const void *restrict indices, const void *restrict updates, void *y, int wide,
                         int kind, int size, int reduction, int elements, int extent, int step, const int32_t *rows)
{
    int done = 0;
    struct tw_walk w;
    memmove(y, x, (size_t)elements * (size_t)size);
    TW_ROWS (w, rows)
        for (int i = 0; i < w.n; i++, done++) {
            int at = w.at[0] + i * w.step[0] + tw_index(indices, wide, done, extent) * step;
            if (reduction == NONE)
                tw_move(tw_element(updates, done, size), 0, (unsigned char *)y + (ptrdiff_t)at * size, 0, 1, size);
            else
                combine(y, at, updates, done, 1, kind, reduction);
        }
}
