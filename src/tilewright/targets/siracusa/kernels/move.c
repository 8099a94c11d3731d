/* Moving data: each core its part of the result. Elements of 1, 2, 4 or 8 bytes, whatever they mean. */
#include "tw_kernels.h"
#include "tw_generic.h"
#include "tw_flat.h"

enum { SHORT = 16 }; /* elements of a row below which rows are copied side by side */

/* Post-increment loads and stores by a register. */
#define LOADS(code, rd) ".insn r 0x0b, 7, " code ", %[" rd "], %[from], %[step]\n"
#define STORES(f3, value) ".insn r 0x2b, " f3 ", 0, %[stride], %[to], %[" value "]\n"
#define TWO_BY_TWO(code, f3)                                                                                           \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") LOADS(code, "v") LOADS(code, "w") STORES(f3, "v")          \
                         STORES(f3, "w") TW_ASM_END                                                                    \
                     : [from] "+r"(from), [to] "+r"(to), [v] "=&r"(v), [w] "=&r"(w)                                    \
                     : [n] "r"(n >> 1), [step] "r"(step), [stride] "r"(stride)                                         \
                     : "memory")

/* n elements, `step` bytes apart, to places `stride` bytes apart. */
static __attribute__((noinline)) void scatter(unsigned char *to, const unsigned char *from, int n, int step, int stride,
                                              int size)
{
#ifdef __riscv
    int32_t v, w;
    if (n > 1 && size < 8) {
        if (size == 1)
            TWO_BY_TWO("0x20", "4");
        else if (size == 2)
            TWO_BY_TWO("0x28", "5");
        else
            TWO_BY_TWO("0x10", "6");
        n &= 1;
    }
#endif
    for (; n > 0; n--, from += step, to += stride)
        for (int i = 0; i < size; i++)
            to[i] = from[i];
}

/* n bytes that follow each other. */
static __attribute__((noinline)) void copy(unsigned char *to, const unsigned char *from, int n)
{
    int step = 4, stride = 4;
    for (; n > 0 && ((uintptr_t)to & 3) != 0; n--)
        *to++ = *from++;
    if (n >= 8) {
        int words = n >> 3 << 1;
#ifdef __riscv
        int rest = n;
        int32_t v, w;
        n = words;
        TWO_BY_TWO("0x10", "6");
        n = rest;
#else
        scatter(to, from, words, step, stride, 4);
        to += 4 * words, from += 4 * words;
#endif
        n -= 4 * words;
    }
    for (; n > 0; n--)
        *to++ = *from++;
}

/* y may be x. */
void tw_copy_part(const void *x, void *y, int size, int first, int last)
{
    if (x != y)
        copy((unsigned char *)y + first * size, (const unsigned char *)x + first * size, (last - first) * size);
}

/* y, contiguous, from the elements of x that the rows name, starting at element `start`. Where rows are short and the
 * range is one of whole rows, columns are copied instead. */
void tw_strided_part(const void *x, void *y, int size, int start, const int32_t *rows, int first, int last)
{
    const unsigned char *from = (const unsigned char *)x + start * size;
    unsigned char *to = (unsigned char *)y + first * size;
    int32_t table[2 + 2 * TW_AXES];
    struct tw_walk w;
    int axes = rows[0];
    for (int i = 0; i < 2 + 2 * axes; i++)
        table[i] = rows[i];
    int n = table[2 * axes], step = table[2 * axes + 1] * size;
    if (axes > 1 && n < SHORT && n < table[2 * axes - 2] && first % n == 0 && last % n == 0) {
        table[0] = axes - 1;
        TW_PARTS (w, table, first / n, last / n) {
            const unsigned char *at = from + w.at[0] * size;
            for (int i = 0; i < n; i++)
                scatter(to + i * size, at + i * step, w.n, w.step[0] * size, n * size, size);
            to += w.n * n * size;
        }
        return;
    }
    TW_PARTS (w, table, first, last) {
        const unsigned char *at = from + w.at[0] * size;
        if (step == size)
            copy(to, at, w.n * size);
        else
            scatter(to, at, w.n, step, size, size);
        to += w.n * size;
    }
}

/* Pieces of `count` operands after another along an axis; the range is over what is before it and what is behind
 * (`inner` elements). extents: of the operands along the axis, their sum is `total`. */
void tw_concat_part(const void *const *x, void *y, int size, int count, int total, int inner, const int32_t *extents,
                    int first, int last)
{
    for (int i = first, n; i < last; i += n) {
        int outer = i / inner, at = i - outer * inner;
        unsigned char *to = (unsigned char *)y + (outer * total * inner + at) * size;
        n = inner - at < last - i ? inner - at : last - i;
        for (int k = 0; k < count; k++) {
            int extent = extents[k], bytes = inner * size;
            const unsigned char *from = (const unsigned char *)x[k] + (outer * extent * inner + at) * size;
            if (n == inner)
                copy(to, from, extent * bytes);
            else
                for (int a = 0; a < extent; a++)
                    copy(to + a * bytes, from + a * bytes, n * size);
            to += extent * bytes;
        }
    }
}

/* Elements of one value, over which x is laid: rows of x go where the rows name places in y, from `start` on.
 * value: the low and the high half of the element's bits. */
void tw_pad_part(const void *x, void *y, int size, int start, const int32_t *value, const int32_t *rows, int first,
                 int last)
{
    const unsigned char *from = (const unsigned char *)x;
    unsigned char *to = (unsigned char *)y;
    uint32_t bits[2] = {(uint32_t)value[0], (uint32_t)value[1]};
    struct tw_walk w;
    if (first >= last)
        return;
    if (size == 1)
        bits[0] *= 0x01010101u;
    scatter(to + first * size, (const unsigned char *)bits, last - first, 0, size, size);
    TW_ROWS (w, rows) {
        int at = start + w.at[0], step = w.step[0], skip = at < first ? (first - at + step - 1) / step : 0;
        int n = at < last ? (last - at + step - 1) / step : 0;
        n = n < w.n ? n : w.n;
        if (skip < n && step == 1)
            copy(to + (at + skip) * size, from + skip * size, (n - skip) * size);
        else if (skip < n)
            scatter(to + (at + skip * step) * size, from + skip * size, n - skip, size, step * size, size);
        from += w.n * size;
    }
}

/* Blocks of `inner` elements along an axis. x: [outer][extent], indices: [count], y: [outer][count]. Negative indices
 * count from the end, what is outside is clamped; `wide`: indices are i64, else i32. */
void tw_gather_part(const void *x, const void *indices, void *y, int wide, int size, int extent, int count, int inner,
                    int first, int last)
{
    for (int i = first, n; i < last; i += n) {
        int block = i / inner, at = i - block * inner, outer = block / count;
        int index = tw_index(indices, wide, block - outer * count, extent);
        const unsigned char *from = (const unsigned char *)x + ((outer * extent + index) * inner + at) * size;
        n = inner - at < last - i ? inner - at : last - i;
        copy((unsigned char *)y + i * size, from, n * size);
    }
}
