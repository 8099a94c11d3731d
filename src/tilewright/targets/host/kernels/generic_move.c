/* Moving data: copies, strided copies, joins, borders, choices. Elements of 1, 2, 4 or 8 bytes, whatever they mean. */
#include "tw_kernels.h"
#include "tw_generic.h"

/* y may be x. */
void tw_copy_bytes(const void *x, void *y, int bytes)
{
    memmove(y, x, (size_t)bytes);
}

/* The n elements of x from `start` on. */
void tw_rows_at(const void *restrict x, void *restrict y, int size, int start, int n)
{
    memcpy(y, (const unsigned char *)x + (size_t)start * (size_t)size, (size_t)n * (size_t)size);
}

/* y, contiguous, from the elements of x that the rows name, starting at element `first`. */
void tw_strided_copy(const void *restrict x, void *restrict y, int size, int first, const int32_t *rows)
{
    unsigned char *to = (unsigned char *)y;
    struct tw_walk w;
    TW_ROWS (w, rows) {
        tw_move(tw_element(x, first + w.at[0], size), w.step[0], to, 1, w.n, size);
        to += (ptrdiff_t)w.n * size;
    }
}

/* `outer` times, one piece of every operand after another; bytes: the sizes of the pieces. */
void tw_concat(const void *const *x, void *restrict y, int count, int outer, const int32_t *bytes)
{
    unsigned char *to = (unsigned char *)y;
    for (ptrdiff_t i = 0; i < outer; i++)
        for (int k = 0; k < count; k++) {
            memcpy(to, (const unsigned char *)x[k] + i * bytes[k], (size_t)bytes[k]);
            to += bytes[k];
        }
}

/* `count` elements of one value, over which x is laid: rows of x, contiguous, go where the rows name places in y.
 * value: the low and the high half of the element's bits. */
void tw_pad(const void *restrict x, void *restrict y, int size, int count, int first, const int32_t *value,
            const int32_t *rows)
{
    const unsigned char *from = (const unsigned char *)x;
    uint32_t low = (uint32_t)value[0];
    uint8_t bits8 = (uint8_t)low;
    uint16_t bits16 = (uint16_t)low;
    uint64_t bits64 = (uint64_t)(uint32_t)value[1] << 32 | low;
    const void *bits = size == 1 ? (const void *)&bits8 : size == 2 ? (const void *)&bits16
                     : size == 4 ? (const void *)&low : (const void *)&bits64;
    struct tw_walk w;
    tw_fill(bits, y, count, size);
    TW_ROWS (w, rows) {
        unsigned char *to = (unsigned char *)y + (ptrdiff_t)(first + w.at[0]) * size;
        tw_move(from, 1, to, w.step[0], w.n, size);
        from += (ptrdiff_t)w.n * size;
    }
}

/* A row of y = c ? a : b. */
#define SELECT(T)                                                                                                      \
    for (ptrdiff_t i = 0; i < n; i++) {                                                                                \
        T p, q;                                                                                                        \
        memcpy(&p, a + i * sa * (ptrdiff_t)sizeof p, sizeof p);                                                        \
        memcpy(&q, b + i * sb * (ptrdiff_t)sizeof q, sizeof q);                                                        \
        p = c[i * sc] ? p : q;                                                                                         \
        memcpy(y + i * (ptrdiff_t)sizeof p, &p, sizeof p);                                                             \
    }

TW_GENERIC_INLINE void select_row(const uint8_t *restrict c, const unsigned char *restrict a,
                                  const unsigned char *restrict b, unsigned char *restrict y, int sc, int sa, int sb,
                                  int n, int size)
{
    TW_BY_SIZE(size, SELECT)
}

/* y = c ? a : b with broadcasting; rows: of c, a and b. */
void tw_select(const uint8_t *restrict c, const void *restrict a, const void *restrict b, void *restrict y, int size,
               const int32_t *rows)
{
    unsigned char *to = (unsigned char *)y;
    struct tw_walk w;
    TW_ROWS (w, rows) {
        const unsigned char *p = tw_element(a, w.at[1], size), *q = tw_element(b, w.at[2], size);
        if (w.step[0] == 1 && w.step[1] == 1 && w.step[2] == 1)
            select_row(c + w.at[0], p, q, to, 1, 1, 1, w.n, size);
        else
            select_row(c + w.at[0], p, q, to, w.step[0], w.step[1], w.step[2], w.n, size);
        to += (ptrdiff_t)w.n * size;
    }
}
