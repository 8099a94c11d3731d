/* Requantisation of integers: y = clip((x mul + add) >> shift, low, high). Results of 1, 2 or 4 bytes.
 *
 * Products that stay within 32 bits are made there. A 32-bit x is clipped first, to a power of two that times mul is
 * about 2^30: where that already gives low and high, what lies beyond gives no other result. Code is short rather than
 * unrolled: on small tensors its way into the instruction cache costs more than its execution.
 */
#include "tw_kernels.h"
#include "tw_flat.h"

enum { ROOM = 1 << 30 }; /* for a product, and for what is added */

/* Whether x of `bits` bits keeps within 32 bits; for 32 bits `top` is then the bound of tw_pclipr. */
TW_FLAT int narrow(int bits, int32_t mul, int32_t add, int shift, int32_t low, int32_t high, int32_t *top)
{
    if ((uint32_t)shift > 31 || add >= ROOM || add <= -ROOM)
        return 0;
    if (bits < 32)
        return mul < ROOM >> bits && mul > -(ROOM >> bits);
    if (mul <= 0 || mul >= ROOM)
        return 0;
    int32_t beyond = ROOM / 2 >> tw_pfl1(mul), reach = beyond * mul;
    *top = beyond - 1;
    return (reach - mul + add) >> shift >= high && (add - reach) >> shift <= low;
}

/* n > 0 results: TAKE fetches an element, CLIP may bound it, COUNT instructions are before the clamp. */
#ifdef __riscv
#define LOOP(TAKE, CLIP, COUNT, CLAMP, CLAMPS)                                                                         \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", #COUNT "+" #CLAMPS "+1") TAKE "mv %[t], %[add]\n" CLIP TW_MAC(  \
                         "%[t]", "%[v]", "%[mul]") "sra %[t], %[t], %[shift]\n" CLAMP TW_SB("%[t]", "%[y]", "1")       \
                         TW_ASM_END                                                                                    \
                     : [x] "+r"(x), [y] "+r"(y), [v] "=&r"(v), [t] "=&r"(t)                                            \
                     : [n] "r"(n), [mul] "r"(mul), [add] "r"(add), [shift] "r"(shift), [low] "r"(low),                 \
                       [high] "r"(high), [top] "r"(top)                                                                \
                     : "memory")
#define FAST(T, TYPE, TAKE, CLIP, COUNT)                                                                               \
    TW_FLAT void fast_##T(const TYPE *x, uint8_t *y, int n, int32_t mul, int32_t add, int shift, int32_t low,          \
                          int32_t high, int32_t top)                                                                   \
    {                                                                                                                  \
        int32_t v, t;                                                                                                  \
        if (low == -high - 1)                                                                                          \
            LOOP(TAKE, CLIP, COUNT, TW_CLIPR("%[t]", "%[t]", "%[high]"), 1);                                           \
        else                                                                                                           \
            LOOP(TAKE, CLIP, COUNT, TW_MAX("%[t]", "%[t]", "%[low]") TW_MIN("%[t]", "%[t]", "%[high]"), 2);            \
    }
#else
#define FAST(T, TYPE, TAKE, CLIP, COUNT)                                                                               \
    TW_FLAT void fast_##T(const TYPE *x, uint8_t *y, int n, int32_t mul, int32_t add, int shift, int32_t low,          \
                          int32_t high, int32_t top)                                                                   \
    {                                                                                                                  \
        for (int i = 0; i < n; i++) {                                                                                  \
            int32_t v = COUNT == 5 ? tw_pclipr((int32_t)x[i], top) : (int32_t)x[i];                                    \
            y[i] = (uint8_t)tw_limited(tw_pmac(add, v, mul) >> shift, low, high);                                      \
        }                                                                                                              \
    }
#endif

FAST(i8, int8_t, TW_LB("%[v]", "%[x]", "1"), "", 4)
FAST(u8, uint8_t, TW_LBU("%[v]", "%[x]", "1"), "", 4)
FAST(i16, int16_t, TW_LH("%[v]", "%[x]", "2"), "", 4)
FAST(i32, int32_t, TW_LW("%[v]", "%[x]", "4"), TW_CLIPR("%[v]", "%[v]", "%[top]"), 5)

/* x mul + add modulo 2^64. */
TW_FLAT int64_t scaled(int32_t x, int32_t mul, int64_t add)
{
    return (int64_t)((uint64_t)((int64_t)x * mul) + (uint64_t)add);
}

/* One result, in 64 bits. */
TW_FLAT void put(void *y, int i, int bytes, int32_t v)
{
    if (bytes == 1)
        ((uint8_t *)y)[i] = (uint8_t)v;
    else if (bytes == 2)
        ((uint16_t *)y)[i] = (uint16_t)v;
    else
        ((int32_t *)y)[i] = v;
}

/* Parameters of results that follow each other: `mul` and the words of `add` (two of an i64), with their steps. */
struct channels {
    const int32_t *mul, *add;
    int mul_step, add_step, wide, shift;
    int32_t low, high;
};

TW_FLAT int64_t term_of(const int32_t *add, int wide)
{
    return wide ? (int64_t)((uint64_t)(uint32_t)add[1] << 32 | (uint32_t)add[0]) : add[0];
}

/* n > 0 bytes whose channels follow each other, shifted by at least 32: the upper half of the sum decides. */
#ifdef __riscv
#define UPPER(UPPER_OF_TERM)                                                                                           \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "14") TW_LW("%[v]", "%[x]", "4")                                \
                         TW_LW_BY("%[m]", "%[mul]", "%[mul_step]") UPPER_OF_TERM "mulh %[h], %[v], %[m]\n"             \
                         "mul %[v], %[v], %[m]\n add %[v], %[v], %[a]\n sltu %[a], %[v], %[a]\n"                       \
                         "add %[h], %[h], %[s]\n add %[h], %[h], %[a]\n sra %[h], %[h], %[rest]\n"                     \
                         TW_MAX("%[h]", "%[h]", "%[low]") TW_MIN("%[h]", "%[h]", "%[high]")                            \
                         TW_SB("%[h]", "%[y]", "1") TW_ASM_END                                                         \
                     : [x] "+r"(x), [y] "+r"(y), [mul] "+r"(mul), [add] "+r"(add), [v] "=&r"(v), [m] "=&r"(m),         \
                       [a] "=&r"(a), [s] "=&r"(s), [h] "=&r"(h)                                                        \
                     : [n] "r"(n), [mul_step] "r"(4 * p->mul_step), [add_step] "r"(4 * p->add_step),                   \
                       [rest] "r"(p->shift - 32), [low] "r"(p->low), [high] "r"(p->high)                               \
                     : "memory")
#endif
TW_FLAT void upper_i32(const int32_t *x, uint8_t *y, int n, const struct channels *p)
{
    const int32_t *mul = p->mul, *add = p->add;
#ifdef __riscv
    int32_t v, m, a, s, h;
    if (p->wide)
        UPPER("lw %[s], 4(%[add])\n" TW_LW_BY("%[a]", "%[add]", "%[add_step]"));
    else
        UPPER(TW_LW_BY("%[a]", "%[add]", "%[add_step]") "srai %[s], %[a], 31\n");
#else
    for (; n > 0; n--, mul += p->mul_step, add += p->add_step) {
        int32_t upper = (int32_t)(scaled(*x++, *mul, term_of(add, p->wide)) >> 32);
        *y++ = (uint8_t)tw_limited(upper >> (p->shift - 32), p->low, p->high);
    }
#endif
}

#define ALONG(T, TYPE)                                                                                                 \
    static void along_##T(const TYPE *x, void *y, int bytes, int n, const struct channels *p)                          \
    {                                                                                                                  \
        const int32_t *mul = p->mul, *add = p->add;                                                                    \
        for (int i = 0; i < n; i++, mul += p->mul_step, add += p->add_step) {                                          \
            int64_t v = scaled((int32_t)x[i], *mul, term_of(add, p->wide));                                            \
            put(y, i, bytes, tw_wide_limited(v, p->shift, p->low, p->high));                                           \
        }                                                                                                              \
    }

/* tw_requant_*: one mul and one add for all, results of bytes. tw_requant_any_*: a parameter per channel of `inner`
 * elements (step 1) or one for all (step 0), results of y_bytes. */
#define REQUANT(T, TYPE, BITS)                                                                                         \
    ALONG(T, TYPE)                                                                                                     \
    void tw_requant_##T(const TYPE *x, const int32_t *mul, const int32_t *add, uint8_t *y, int shift, int low,         \
                        int high, int first, int last)                                                                 \
    {                                                                                                                  \
        int32_t factor = *mul, term = *add, top = 0;                                                                   \
        int n = last - first;                                                                                          \
        x += first, y += first;                                                                                        \
        if (n <= 0)                                                                                                    \
            return;                                                                                                    \
        if (narrow(BITS, factor, term, shift, low, high, &top))                                                        \
            fast_##T(x, y, n, factor, term, shift, low, high, top);                                                    \
        else if (shift >= 32)                                                                                          \
            for (int rest = shift - 32; n > 0; n--)                                                                    \
                *y++ = (uint8_t)tw_limited((int32_t)(scaled((int32_t)*x++, factor, term) >> 32) >> rest, low, high);   \
        else                                                                                                           \
            for (; n > 0; n--)                                                                                         \
                *y++ = (uint8_t)tw_wide_limited(scaled((int32_t)*x++, factor, term), shift, low, high);                \
    }                                                                                                                  \
    void tw_requant_any_##T(const TYPE *x, const int32_t *mul, const void *add, void *y, int add_wide, int y_bytes,    \
                            int channels, int inner, int mul_step, int add_step, int shift, int low, int high,         \
                            int first, int last)                                                                       \
    {                                                                                                                  \
        int at = first / inner, c = at % channels, n = inner - (first - at * inner), words = 1 + add_wide;             \
        const int32_t *terms = (const int32_t *)add;                                                                   \
        for (int i = first; i < last; i += n, n = inner, c = c + 1 < channels ? c + 1 : 0) {                           \
            struct channels p = {mul + c * mul_step, terms + c * add_step * words, 0, 0, add_wide, shift, low, high};  \
            int64_t term = term_of(p.add, add_wide);                                                                   \
            int32_t factor = *p.mul, top = 0;                                                                          \
            int held = term < ROOM && term > -ROOM && y_bytes == 1 && inner > 1;                                       \
            if (inner == 1)                                                                                            \
                p.mul_step = mul_step, p.add_step = add_step * words, n = channels - c, c = channels - 1;              \
            n = n < last - i ? n : last - i;                                                                           \
            if (held && narrow(BITS, factor, (int32_t)term, shift, low, high, &top))                                   \
                fast_##T(x + i, (uint8_t *)y + i, n, factor, (int32_t)term, shift, low, high, top);                    \
            else if (BITS == 32 && y_bytes == 1 && shift >= 32)                                                        \
                upper_i32((const int32_t *)(const void *)(x + i), (uint8_t *)y + i, n, &p);                            \
            else                                                                                                       \
                along_##T(x + i, (uint8_t *)y + i * y_bytes, y_bytes, n, &p);                                          \
        }                                                                                                              \
    }

REQUANT(i8, int8_t, 8)
REQUANT(u8, uint8_t, 8)
REQUANT(i16, int16_t, 15)
REQUANT(i32, int32_t, 32)
