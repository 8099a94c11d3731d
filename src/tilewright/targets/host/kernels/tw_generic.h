/* What the generic kernels share: element types by number, walks over broadcast operands, moves of any element size.
 *
 * Elements of an unknown type are moved by memcpy of a constant size, which compilers turn into loads and stores.
 */
#ifndef TW_GENERIC_H
#define TW_GENERIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TW_GENERIC_INLINE static inline __attribute__((always_inline, unused))
#else
#define TW_GENERIC_INLINE static inline
#endif

/* Element types, numbered as KINDS in targets/host/generic.py. */
enum { TW_BOOL, TW_I8, TW_I16, TW_I32, TW_I64, TW_U8, TW_U16, TW_U32, TW_U64, TW_F32, TW_F64 };

enum { TW_AXES = 8, TW_OPERANDS = 3 };

/* Elements that are brought together at a time: a small core has no vectors and little stack. A multiple of 16. */
#if defined(__riscv)
enum { TW_CHUNK = 16 };
#else
enum { TW_CHUNK = 64 };
#endif

/* Switch on an element size with an unsigned type of that size. */
#define TW_BY_SIZE(size, USE)                                                                                          \
    switch (size) {                                                                                                    \
    case 1: USE(uint8_t) break;                                                                                        \
    case 2: USE(uint16_t) break;                                                                                       \
    case 4: USE(uint32_t) break;                                                                                       \
    default: USE(uint64_t) break;                                                                                      \
    }

/* An iteration space, row by row. The table holds the number of axes, the number of operands, and for each axis from
 * the outermost in its extent and the step of each operand, in elements. */
struct tw_walk {
    const int32_t *table, *step; /* steps along a row */
    int32_t index[TW_AXES];
    int32_t at[TW_OPERANDS]; /* first element of the row */
    int n;                   /* elements of a row, or of a part */
    int left, skipped;       /* of parts: elements that are to come, elements of the row before the part */
};

/* Go to the first row; false where the space is empty. */
TW_GENERIC_INLINE int tw_first_row(struct tw_walk *w, const int32_t *table)
{
    int axes = table[0], width = 1 + table[1];
    memset(w->index, 0, sizeof w->index);
    memset(w->at, 0, sizeof w->at);
    w->table = table;
    w->n = table[2 + (axes - 1) * width];
    w->step = table + 2 + (axes - 1) * width + 1;
    return w->n > 0;
}

/* Go to the next row; false after the last. */
TW_GENERIC_INLINE int tw_next_row(struct tw_walk *w)
{
    int operands = w->table[1], width = 1 + operands;
    for (int axis = w->table[0] - 2; axis >= 0; axis--) {
        const int32_t *entry = w->table + 2 + axis * width;
        w->index[axis]++;
        for (int k = 0; k < operands; k++)
            w->at[k] += entry[1 + k];
        if (w->index[axis] < entry[0])
            return 1;
        w->index[axis] = 0;
        for (int k = 0; k < operands; k++)
            w->at[k] -= entry[0] * entry[1 + k];
    }
    return 0;
}

/* Go to the first part of the range [first, last) of the flat index; parts lie within rows. False where it is empty. */
TW_GENERIC_INLINE int tw_first_part(struct tw_walk *w, const int32_t *table, int first, int last)
{
    int axes = table[0], operands = table[1], width = 1 + operands;
    w->table = table;
    w->step = table + 2 + (axes - 1) * width + 1;
    w->left = last - first;
    w->n = w->step[-1];
    for (int k = 0; k < operands; k++)
        w->at[k] = 0;
    if (w->left <= 0 || w->n <= 0)
        return 0;
    if (axes > 1) {
        int rest = first / w->n;
        first -= rest * w->n;
        for (int axis = axes - 2; axis >= 0; axis--) {
            const int32_t *entry = table + 2 + axis * width;
            w->index[axis] = rest % entry[0];
            rest /= entry[0];
            for (int k = 0; k < operands; k++)
                w->at[k] += w->index[axis] * entry[1 + k];
        }
    }
    w->skipped = first;
    for (int k = 0; k < operands; k++)
        w->at[k] += first * w->step[k];
    w->n = w->n - first < w->left ? w->n - first : w->left;
    return 1;
}

/* Go to the next part; false after the last. */
TW_GENERIC_INLINE int tw_next_part(struct tw_walk *w)
{
    w->left -= w->n;
    if (w->left <= 0)
        return 0;
    for (int k = 0; k < w->table[1]; k++)
        w->at[k] -= w->skipped * w->step[k];
    w->skipped = 0;
    w->n = w->step[-1] < w->left ? w->step[-1] : w->left;
    return tw_next_row(w);
}

#define TW_PARTS(w, table, first, last)                                                                                \
    for (int more = tw_first_part(&(w), table, first, last); more; more = tw_next_part(&(w)))

#define TW_ROWS(w, table) for (int more = tw_first_row(&(w), table); more; more = tw_next_row(&(w)))

/* Element `at` of an array of elements of `size` bytes. */
TW_GENERIC_INLINE const unsigned char *tw_element(const void *x, int at, int size)
{
    return (const unsigned char *)x + (ptrdiff_t)at * size;
}

/* n elements from x, `step` elements apart, to y, `stride` elements apart. */
TW_GENERIC_INLINE void tw_move(const void *x, int step, void *y, int stride, int n, int size)
{
    const unsigned char *from = (const unsigned char *)x;
    unsigned char *to = (unsigned char *)y;
    if (step == 1 && stride == 1) {
        memcpy(to, from, (size_t)n * (size_t)size);
        return;
    }
#define TW_MOVE(T)                                                                                                     \
    for (ptrdiff_t i = 0; i < n; i++)                                                                                  \
        memcpy(to + i * stride * (ptrdiff_t)sizeof(T), from + i * step * (ptrdiff_t)sizeof(T), sizeof(T));
    TW_BY_SIZE(size, TW_MOVE)
#undef TW_MOVE
}

/* n times the element at `value`. */
TW_GENERIC_INLINE void tw_fill(const void *value, void *y, int n, int size)
{
    unsigned char *to = (unsigned char *)y;
#define TW_FILL(T)                                                                                                     \
    {                                                                                                                  \
        T v;                                                                                                           \
        memcpy(&v, value, sizeof v);                                                                                   \
        for (ptrdiff_t i = 0; i < n; i++)                                                                              \
            memcpy(to + i * (ptrdiff_t)sizeof v, &v, sizeof v);                                                        \
    }
    TW_BY_SIZE(size, TW_FILL)
#undef TW_FILL
}

/* Index i of an i32 (or, `wide`, i64) array: negative ones count from the end, what is outside is clamped. */
TW_GENERIC_INLINE int tw_index(const void *indices, int wide, int i, int extent)
{
    int64_t index;
    if (wide) {
        memcpy(&index, tw_element(indices, i, 8), 8);
    } else {
        int32_t narrow;
        memcpy(&narrow, tw_element(indices, i, 4), 4);
        index = narrow;
    }
    if (index < 0)
        index += extent;
    return index < 0 ? 0 : index >= extent ? extent - 1 : (int)index;
}

/* v / 2^s rounded down; C leaves it to the compiler for negative v. */
TW_GENERIC_INLINE int64_t tw_shifted(int64_t v, int s)
{
    return v < 0 ? ~(~v >> s) : v >> s;
}

#endif
