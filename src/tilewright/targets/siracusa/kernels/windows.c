/* Windows of images of bytes, side by side: what a convolution of few channels reads, as the channels of single
 * pixels. */
#include "tw_kernels.h"
#include "tw_words.h"

/* A window is `rows` runs of `run` bytes, `down` bytes apart in the image, one behind the other in the result. Each is
 * copied by an inner loop of `times` rounds and by words behind it, the last of which begins `rest` bytes behind where
 * the one before ends: it may have bytes again. `skip`: from there to the next run. */
struct runs {
    int32_t rows, run, down, times, rest, skip;
};

TW_X struct runs runs_of(int rows, int run, int down)
{
    int left = run & 7, bytes = run < 4, whole = bytes || left == 0;
    return (struct runs){rows, run, down, bytes ? run : run >> 3, run > 7 && left <= 4 ? left - 4 : left - 8,
                         whole ? down - run : down - run + 4};
}

#ifdef __riscv
#define BYTES TW_LOOP("0", "%[times]", "3") TW_LB("%[v]", "%[from]", "1") "nop\n" TW_SB("%[v]", "%[to]", "1")
#define EIGHTS                                                                                                         \
    TW_LOOP("0", "%[times]", "4")                                                                                      \
    TW_LW("%[v]", "%[from]", "4") TW_LW("%[w]", "%[from]", "4") TW_SW("%[v]", "%[to]", "4") TW_SW("%[w]", "%[to]", "4")
#define NO_WORD "add %[from], %[from], %[skip]\nnop\n"
#define WORD                                                                                                           \
    "add %[from], %[from], %[rest]\n" TW_LW_BY("%[w]", "%[from]", "%[skip]")                                           \
    "add %[to], %[to], %[rest]\n" TW_SW("%[w]", "%[to]", "4")
#define TWO_WORDS                                                                                                      \
    TW_LW("%[v]", "%[from]", "4") "add %[from], %[from], %[rest]\n" TW_LW_BY("%[w]", "%[from]", "%[skip]")             \
        TW_SW("%[v]", "%[to]", "4") "add %[to], %[to], %[rest]\n" TW_SW("%[w]", "%[to]", "4")
/* All runs of each window by so many instructions. */
#define WINDOWS(size, ...)                                                                                             \
    for (; count > 0; count--, x += aside) {                                                                           \
        const uint8_t *from = x;                                                                                       \
        int32_t v, w;                                                                                                  \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("1", "%[rows]", size) __VA_ARGS__ TW_ASM_END                             \
                         : [from] "+r"(from), [to] "+r"(y), [v] "=&r"(v), [w] "=&r"(w)                                 \
                         : [rows] "r"(r->rows), [times] "r"(r->times), [rest] "r"(r->rest), [skip] "r"(r->skip)        \
                         : "memory");                                                                                  \
    }
#endif

/* `count` windows, `aside` bytes apart. */
TW_X void windows(uint8_t *y, const uint8_t *x, int count, int aside, const struct runs *r)
{
#ifdef __riscv
    if (r->run < 4)
        WINDOWS("6", BYTES NO_WORD)
    else if (r->run < 8)
        WINDOWS("6", TWO_WORDS)
    else if ((r->run & 7) == 0)
        WINDOWS("7", EIGHTS NO_WORD)
    else if ((r->run & 7) <= 4)
        WINDOWS("9", EIGHTS WORD)
    else
        WINDOWS("11", EIGHTS TWO_WORDS)
#else
    for (; count > 0; count--, x += aside)
        for (int row = 0; row < r->rows; row++)
            for (int i = 0; i < r->run; i++)
                *y++ = x[row * r->down + i];
#endif
}

/* Elements first .. last of y, whole windows. y: [images][high][wide] windows; x: images of `image` bytes, in which
 * windows are `below` bytes apart from one row to the next and `aside` from one column to the next. */
void __attribute__((minsize)) tw_windows_of_bytes(const uint8_t *restrict x, uint8_t *restrict y, int rows, int run,
                                                  int down, int aside, int below, int wide, int high, int image,
                                                  int first, int last)
{
    const struct runs r = runs_of(rows, run, down);
    int size = rows * run, at = first / size, left = (last - first) / size;
    int line = at / wide, ox = at - line * wide, n = line / high, oy = line - n * high;
    for (y += first; left > 0; ox = 0, oy++) {
        if (oy == high)
            oy = 0, n++;
        int count = wide - ox < left ? wide - ox : left;
        windows(y, x + n * image + oy * below + ox * aside, count, aside, &r);
        left -= count, y += count * size;
    }
}
