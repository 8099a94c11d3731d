/* Moving data: each core its part of the result. Elements of 1, 2, 4 or 8 bytes, whatever they mean. */
#include "tw_kernels.h"
#include "tw_generic.h"
#include "tw_flat.h"

enum { SHORT = 16 }; /* elements of a row below which rows are copied side by side */

/* Elements are fetched and stored by instructions that add a register to the address; n of them, n > 0. */
#define LOADS(code, rd) ".insn r 0x0b, 7, " code ", %[" rd "], %[from], %[step]\n"
#define STORES(f3, value) ".insn r 0x2b, " f3 ", 0, %[stride], %[to], %[" value "]\n"
#ifdef __riscv
#define TWO_BY_TWO(TYPE, code, f3)                                                                                     \
    {                                                                                                                  \
        int32_t v, w;                                                                                                  \
        if (n & 1) {                                                                                                   \
            *(TYPE *)(void *)to = *(const TYPE *)(const void *)from;                                                   \
            from += step, to += stride;                                                                                \
        }                                                                                                              \
        if (n > 1)                                                                                                     \
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") LOADS(code, "v") LOADS(code, "w") STORES(f3, "v")  \
                                 STORES(f3, "w") TW_ASM_END                                                            \
                             : [from] "+r"(from), [to] "+r"(to), [v] "=&r"(v), [w] "=&r"(w)                            \
                             : [n] "r"(n >> 1), [step] "r"(step), [stride] "r"(stride)                                 \
                             : "memory");                                                                              \
    }
#else
#define TWO_BY_TWO(TYPE, code, f3)                                                                                     \
    for (; n > 0; n--, from += step, to += stride)                                                                     \
        memcpy(to, from, sizeof(TYPE));
#endif

/* n words, `step` bytes apart, to places `stride` bytes apart; elements of other sizes. */
static __attribute__((noinline)) void scatter_words(unsigned char *to, const unsigned char *from, int n, int step,
                                                    int stride)
{
    TWO_BY_TWO(uint32_t, "0x10", "6")
}

static __attribute__((noinline)) void scatter(unsigned char *to, const unsigned char *from, int n, int step, int stride,
                                              int size)
{
    if (size == 1)
        TWO_BY_TWO(uint8_t, "0x20", "4")
    else if (size == 2)
        TWO_BY_TWO(uint16_t, "0x28", "5")
    else
        for (int word = 0; word < size; word += 4)
            scatter_words(to + word, from + word, n, step, stride);
}

/* n > 0 words that follow each other, from any address to an aligned one. */
TW_FLAT void copy_words(unsigned char *to, const unsigned char *from, int n)
{
    const int step = 4, stride = 4;
    if (n & 1) {
        *(int32_t *)(void *)to = tw_word(from);
        from += step, to += stride, n--;
    }
    if (n > 0)
        TWO_BY_TWO(uint32_t, "0x10", "6")
}

/* n bytes that follow each other. */
static __attribute__((noinline)) void copy(unsigned char *to, const unsigned char *from, int n)
{
    for (; n > 0 && ((uintptr_t)to & 3) != 0; n--)
        *to++ = *from++;
    int words = n >> 2;
    if (words > 0) {
        copy_words(to, from, words);
        to += 4 * words, from += 4 * words, n &= 3;
    }
    for (; n > 0; n--)
        *to++ = *from++;
}

/* Rows of n > 0 words that follow each other, to places `gap` bytes behind another; words are aligned. */
static __attribute__((noinline)) void copy_rows(unsigned char *to, const unsigned char *from, int rows, int n, int gap)
{
#ifdef __riscv
    int32_t v, w;
    if (rows <= 0)
        return;
    if (n & 1)
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("1", "%[rows]", "6") TW_LOOP("0", "%[n]", "3") TW_LW("%[v]", "%[from]", "4")
                         "nop\n" TW_SW("%[v]", "%[to]", "4") "add %[to], %[to], %[gap]\nnop\n" TW_ASM_END
                         : [from] "+r"(from), [to] "+r"(to), [v] "=&r"(v)
                         : [rows] "r"(rows), [n] "r"(n), [gap] "r"(gap)
                         : "memory");
    else
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("1", "%[rows]", "7") TW_LOOP("0", "%[n]", "4") TW_LW("%[v]", "%[from]", "4")
                         TW_LW("%[w]", "%[from]", "4") TW_SW("%[v]", "%[to]", "4") TW_SW("%[w]", "%[to]", "4")
                         "add %[to], %[to], %[gap]\nnop\n" TW_ASM_END
                         : [from] "+r"(from), [to] "+r"(to), [v] "=&r"(v), [w] "=&r"(w)
                         : [rows] "r"(rows), [n] "r"(n >> 1), [gap] "r"(gap)
                         : "memory");
#else
    for (; rows > 0; rows--, from += 4 * n, to += 4 * n + gap)
        memcpy(to, from, 4 * (size_t)n);
#endif
}

/* The same, quickly where there are only words, or a single element of `size` bytes. */
TW_FLAT void copy_block(unsigned char *to, const unsigned char *from, int n, int size)
{
    if (((uintptr_t)to & 3) == 0 && (n & 3) == 0 && n > 0)
        copy_words(to, from, n >> 2);
    else if (n == 1)
        *to = *from;
    else if (n == 2 && size == 2)
        *(uint16_t *)(void *)to = *(const uint16_t *)(const void *)from;
    else
        copy(to, from, n);
}

/* The same word n times, to an aligned address; returns where they end. */
static __attribute__((noinline)) unsigned char *fill_words(unsigned char *to, uint32_t word, int n)
{
#ifdef __riscv
    int fours = n >> 2;
    if (fours > 0)
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[fours]", "4") TW_SW("%[word]", "%[to]", "4")
                             TW_SW("%[word]", "%[to]", "4") TW_SW("%[word]", "%[to]", "4") TW_SW("%[word]", "%[to]", "4")
                                 TW_ASM_END
                         : [to] "+r"(to)
                         : [fours] "r"(fours), [word] "r"(word)
                         : "memory");
    n &= 3;
#endif
    for (; n > 0; n--, to += 4)
        *(uint32_t *)(void *)to = word;
    return to;
}

/* n times the element of `size` bytes at `value`. */
static void fill(unsigned char *to, const void *value, int n, int size)
{
    uint32_t word = *(const uint32_t *)value;
    word = size == 1 ? (word & 0xff) * 0x01010101u : size == 2 ? (word & 0xffff) * 0x00010001u : word;
    if (size < 8) {
        for (; n > 0 && ((uintptr_t)to & 3) != 0; n--, to += size)
            for (int i = 0; i < size; i++)
                to[i] = ((const unsigned char *)value)[i];
        int words = n > 0 ? n * size >> 2 : 0;
        to = fill_words(to, word, words);
        n -= words * 4 / size;
    }
    for (; n > 0; n--, to += size)
        for (int i = 0; i < size; i++)
            to[i] = ((const unsigned char *)value)[i];
}

/* The table of a walk, copied to where it can be read at once. */
TW_FLAT void near_table(int32_t *table, const int32_t *rows)
{
    for (int i = 0, n = 2 + 2 * rows[0]; i < n; i++)
        table[i] = rows[i];
}

/* y may be x. */
void tw_copy_part(const void *x, void *y, int size, int first, int last)
{
    if (x != y)
        copy((unsigned char *)y + first * size, (const unsigned char *)x + first * size, (last - first) * size);
}

/* The same of elements of x from `start` on. It is called once for a token, for a few bytes of a core: little code. */
void __attribute__((minsize)) tw_rows_part(const void *restrict x, void *restrict y, int size, int start, int first,
                                           int last)
{
    unsigned char *to = (unsigned char *)y + first * size;
    const unsigned char *from = (const unsigned char *)x + (start + first) * size;
    int n = (last - first) * size;
    if (n <= 0)
        return;
#ifdef __riscv
    int32_t v;
    if ((((int)(uintptr_t)to | n) & 3) == 0)
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "3") TW_LW("%[v]", "%[from]", "4") "nop\n"
                         TW_SW("%[v]", "%[to]", "4") TW_ASM_END
                         : [from] "+r"(from), [to] "+r"(to), [v] "=&r"(v)
                         : [n] "r"(n >> 2)
                         : "memory");
    else
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "3") TW_LBU("%[v]", "%[from]", "1") "nop\n"
                         TW_SB("%[v]", "%[to]", "1") TW_ASM_END
                         : [from] "+r"(from), [to] "+r"(to), [v] "=&r"(v)
                         : [n] "r"(n)
                         : "memory");
#else
    memcpy(to, from, (size_t)n);
#endif
}

/* y, contiguous, from the elements of x that the rows name, starting at element `start`. Where rows are short and the
 * range is one of whole rows, columns are copied instead. */
void tw_strided_part(const void *x, void *y, int size, int start, const int32_t *rows, int first, int last)
{
    unsigned char *to = (unsigned char *)y + first * size;
    int32_t table[2 + 2 * TW_AXES], index[TW_AXES];
    if (first >= last)
        return;
    near_table(table, rows);
    int axes = table[0], n = table[2 * axes], step = table[2 * axes + 1], columns = 1, apart = 0;
    if (axes > 1 && n < SHORT && n < table[2 * axes - 2] && first % n == 0 && last % n == 0) {
        columns = n, apart = step * size, first /= n, last /= n, axes--;
        n = table[2 * axes], step = table[2 * axes + 1];
    }
    int rest = first / n, done = first - rest * n, at = start;
    for (int axis = axes - 2; axis >= 0; axis--) {
        const int32_t *entry = table + 2 + 2 * axis;
        int outer = rest / entry[0];
        index[axis] = rest - outer * entry[0];
        at += index[axis] * entry[1];
        rest = outer;
    }
    const unsigned char *from = (const unsigned char *)x + at * size;
    for (int left = last - first, count; left > 0; left -= count, done = 0) {
        const unsigned char *row = from + done * step * size;
        count = left < n - done ? left : n - done;
        if (step == 1 && columns == 1)
            copy(to, row, count * size);
        else
            for (int c = 0; c < columns; c++)
                scatter(to + c * size, row + c * apart, count, step * size, columns * size, size);
        to += count * columns * size;
        for (int axis = axes - 2; axis >= 0; axis--) {
            const int32_t *entry = table + 2 + 2 * axis;
            from += entry[1] * size;
            if (++index[axis] < entry[0])
                break;
            index[axis] = 0;
            from -= entry[0] * entry[1] * size;
        }
    }
}

/* Rows of `bytes` of an operand, to where rows of the result are `total` bytes apart: as words, short ones element by
 * element, others row by row. */
static void place_rows(unsigned char *to, const unsigned char *from, int rows, int bytes, int total, int size)
{
    if ((((uintptr_t)to | (uintptr_t)bytes | (uintptr_t)total) & 3) == 0)
        copy_rows(to, from, rows, bytes >> 2, total - bytes);
    else if (bytes < SHORT * size)
        for (int e = 0; e < bytes; e += size)
            scatter(to + e, from + e, rows, bytes, total, size);
    else
        for (; rows > 0; rows--, to += total, from += bytes)
            copy(to, from, bytes);
}

/* Pieces of `count` operands after another along an axis; the range is over what is before it and what is behind
 * (`inner` elements). extents: of the operands along the axis, their sum is `total`. */
void tw_concat_part(const void *const *x, void *y, int size, int count, int total, int inner, const int32_t *extents,
                    int first, int last)
{
    int outer = first / inner, at = first - outer * inner, rows = (last - first) / inner;
    if (at == 0 && rows * inner == last - first) {
        unsigned char *to = (unsigned char *)y + outer * total * inner * size;
        for (int k = 0, bytes; k < count; k++, to += bytes) {
            bytes = extents[k] * inner * size;
            if (bytes > 0)
                place_rows(to, (const unsigned char *)x[k] + outer * bytes, rows, bytes, total * inner * size, size);
        }
        return;
    }
    for (int i = first, n; i < last; i += n, outer++, at = 0) {
        unsigned char *to = (unsigned char *)y + (outer * total * inner + at) * size;
        n = inner - at < last - i ? inner - at : last - i;
        for (int k = 0; k < count; k++) {
            const unsigned char *from = (const unsigned char *)x[k] + (outer * extents[k] * inner + at) * size;
            for (int a = 0; a < extents[k]; a++, to += inner * size, from += inner * size)
                copy(to, from, n * size);
        }
    }
}

/* How many elements of x lie before place `f` of the places that the rows name; these ascend. */
static int before(const int32_t *table, int f)
{
    int axes = table[0], inner = 1, count = 0;
    for (int axis = 0; axis < axes; axis++)
        inner *= table[2 + 2 * axis];
    for (int axis = 0; axis < axes && f > 0; axis++) {
        int extent = table[2 + 2 * axis], step = table[3 + 2 * axis], last = axis + 1 == axes;
        int whole = last ? (f + step - 1) / step : f / step;
        inner /= extent;
        if (whole >= extent)
            return count + extent * inner;
        count += whole * inner;
        f -= whole * step;
    }
    return count;
}

/* Elements of one value, over which x is laid: rows of x go where the rows name places in y, from `start` on.
 * value: the low and the high half of the element's bits. */
void tw_pad_part(const void *x, void *y, int size, int start, const int32_t *value, const int32_t *rows, int first,
                 int last)
{
    unsigned char *to = (unsigned char *)y;
    int32_t table[2 + 2 * TW_AXES], bits[2] = {value[0], value[1]};
    struct tw_walk w;
    near_table(table, rows);
    fill(to + first * size, bits, last - first, size);
    if (table[2 * table[0]] == 0)
        return;
    int from = before(table, first - start);
    TW_PARTS (w, table, from, before(table, last - start)) {
        unsigned char *at = to + (start + w.at[0]) * size;
        const unsigned char *source = (const unsigned char *)x + from * size;
        if (w.step[0] == 1)
            copy(at, source, w.n * size);
        else
            scatter(at, source, w.n, size, w.step[0] * size, size);
        from += w.n;
    }
}

/* tw_index of aligned indices, which it reads as words: of i32 or, `wide`, of i64, counted from the end where it is
 * negative, within the extent. */
TW_FLAT int index_of(const int32_t *indices, int wide, int at, int extent)
{
    int32_t low = indices[at << wide], high = wide ? indices[2 * at + 1] : low >> 31;
    if (high < 0)
        high += (uint32_t)low + (uint32_t)extent < (uint32_t)low, low = (int32_t)((uint32_t)low + (uint32_t)extent);
    if (high != low >> 31)
        low = high < 0 ? -1 : INT32_MAX;
    return tw_limited(low, 0, extent - 1);
}

/* Blocks of `inner` elements along an axis. x: [outer][extent], indices: [count], y: [outer][count]. Negative indices
 * count from the end, what is outside is clamped; `wide`: indices are i64, else i32. */
void tw_gather_part(const void *x, const void *indices, void *y, int wide, int size, int extent, int count, int inner,
                    int first, int last)
{
    int block = first / inner, at = first - block * inner, outer = block / count, place = block - outer * count;
    for (int i = first, n; i < last; i += n, at = 0) {
        int index = index_of((const int32_t *)indices, wide, place, extent);
        const unsigned char *from = (const unsigned char *)x + ((outer * extent + index) * inner + at) * size;
        n = inner - at < last - i ? inner - at : last - i;
        copy_block((unsigned char *)y + i * size, from, n * size, size);
        if (++place == count)
            place = 0, outer++;
    }
}
