/* Requantisation of integers: y = clip((x mul + add) >> shift, low, high). Results of 1, 2 or 4 bytes.
 *
 * Products that stay within 32 bits are made there. A 32-bit x is clipped first, to a power of two that times mul is
 * about 2^30: where that already gives low and high, what lies beyond gives no other result. Code is short rather than
 * unrolled: on small tensors its way into the instruction cache costs more than its execution.
 */
#include "tw_kernels.h"
#include "tw_flat.h"

enum { ROOM = 1 << 30 }; /* for a product, and for what is added */

struct scale {
    int32_t mul, add, shift, low, high, top;
};

/* Whether x of `bits` bits keeps within 32 bits; for 32 bits `top` is then the bound of tw_pclipr. */
TW_FLAT int narrow(struct scale *s, int bits)
{
    if (bits < 32)
        return s->mul < ROOM >> bits && s->mul > -(ROOM >> bits);
    if (s->mul <= 0 || s->mul >= ROOM)
        return 0;
    s->top = (ROOM / 2 >> tw_pfl1(s->mul)) - 1;
    return (s->top * s->mul + s->add) >> s->shift >= s->high && (s->add - (s->top + 1) * s->mul) >> s->shift <= s->low;
}

/* A loop over n > 0 elements; TAKE fetches one, CLIP may bound it, COUNT instructions are before the clamp. */
#ifdef __riscv
#define LOOP(TAKE, CLIP, COUNT, CLAMP, CLAMPS)                                                                         \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", #COUNT "+" #CLAMPS "+1") TAKE "mv %[t], %[add]\n" CLIP TW_MAC(  \
                         "%[t]", "%[v]", "%[mul]") "sra %[t], %[t], %[shift]\n" CLAMP TW_SB("%[t]", "%[y]", "1")       \
                         TW_ASM_END                                                                                    \
                     : [x] "+r"(x), [y] "+r"(y), [v] "=&r"(v), [t] "=&r"(t)                                            \
                     : [n] "r"(n), [mul] "r"(s->mul), [add] "r"(s->add), [shift] "r"(s->shift), [low] "r"(s->low),     \
                       [high] "r"(s->high), [top] "r"(s->top)                                                          \
                     : "memory")
#define FAST(T, TYPE, TAKE, CLIP, COUNT)                                                                               \
    static void fast_##T(const TYPE *x, uint8_t *y, int n, const struct scale *s)                                      \
    {                                                                                                                  \
        int32_t v, t;                                                                                                  \
        if (s->low == -s->high - 1)                                                                                    \
            LOOP(TAKE, CLIP, COUNT, TW_CLIPR("%[t]", "%[t]", "%[high]"), 1);                                           \
        else                                                                                                           \
            LOOP(TAKE, CLIP, COUNT, TW_MAX("%[t]", "%[t]", "%[low]") TW_MIN("%[t]", "%[t]", "%[high]"), 2);            \
    }
#else
#define FAST(T, TYPE, TAKE, CLIP, COUNT)                                                                               \
    static void fast_##T(const TYPE *x, uint8_t *y, int n, const struct scale *s)                                      \
    {                                                                                                                  \
        for (int i = 0; i < n; i++) {                                                                                  \
            int32_t v = COUNT == 5 ? tw_pclipr((int32_t)x[i], s->top) : (int32_t)x[i];                                 \
            y[i] = (uint8_t)tw_limited(tw_pmac(s->add, v, s->mul) >> s->shift, s->low, s->high);                       \
        }                                                                                                              \
    }
#endif

FAST(i8, int8_t, TW_LB("%[v]", "%[x]", "1"), "", 4)
FAST(u8, uint8_t, TW_LBU("%[v]", "%[x]", "1"), "", 4)
FAST(i16, int16_t, TW_LH("%[v]", "%[x]", "2"), "", 4)
FAST(i32, int32_t, TW_LW("%[v]", "%[x]", "4"), TW_CLIPR("%[v]", "%[v]", "%[top]"), 5)

/* One result in 64 bits. */
static void wide(int32_t x, const struct scale *s, int64_t add, void *y, int i, int bytes)
{
    int64_t sum = (int64_t)((uint64_t)((int64_t)x * s->mul) + (uint64_t)add);
    int32_t v = tw_wide_limited(sum, s->shift, s->low, s->high);
    if (bytes == 1)
        ((uint8_t *)y)[i] = (uint8_t)v;
    else if (bytes == 2)
        ((uint16_t *)y)[i] = (uint16_t)v;
    else
        ((int32_t *)y)[i] = v;
}

/* Channels of `inner` elements in a row, 1 where the parameters are one for all; steps are 0 then. */
#define REQUANT(T, TYPE, BITS)                                                                                         \
    void tw_requant_##T(const TYPE *x, const int32_t *restrict mul, const void *restrict add, void *y, int add_wide,   \
                        int y_bytes, int channels, int inner, int mul_step, int add_step, int shift, int low,          \
                        int high, int first, int last)                                                                 \
    {                                                                                                                  \
        int n = last - first, c = 0;                                                                                   \
        if (channels > 1) {                                                                                            \
            int at = first / inner;                                                                                    \
            n = inner - (first - at * inner), c = at % channels;                                                       \
        }                                                                                                              \
        for (int i = first; i < last; i += n, n = inner, c = c + 1 < channels ? c + 1 : 0) {                           \
            int at = c * add_step;                                                                                     \
            int64_t term = add_wide ? ((const int64_t *)add)[at] : ((const int32_t *)add)[at];                         \
            struct scale s = {mul[c * mul_step], (int32_t)term, shift, low, high, 0};                                  \
            n = n < last - i ? n : last - i;                                                                           \
            if (y_bytes == 1 && shift < 32 && term < ROOM && term > -ROOM && narrow(&s, BITS))                         \
                fast_##T(x + i, (uint8_t *)y + i, n, &s);                                                              \
            else                                                                                                       \
                for (int k = i; k < i + n; k++)                                                                        \
                    wide((int32_t)x[k], &s, term, y, k, y_bytes);                                                      \
        }                                                                                                              \
    }

REQUANT(i8, int8_t, 8)
REQUANT(u8, uint8_t, 8)
REQUANT(i16, int16_t, 15)
REQUANT(i32, int32_t, 32)
