/* Requantisation of integers: y = clip((x mul + add) >> shift, low, high). Results of 1, 2 or 4 bytes.
 *
 * Products that stay within 32 bits are made there. A 32-bit x is clipped first, to a power of two that times mul is
 * about 2^30: where that already gives low and high, what lies beyond gives no other result.
 */
#include "tw_kernels.h"
#include "tw_flat.h"

enum { ROOM = 1 << 30 }; /* for a product, and for what is added */

struct scale {
    int64_t add;
    int32_t mul, low, high;
    int shift, y_bytes;
};

static int sum_fits(const struct scale *s)
{
    return s->y_bytes == 1 && s->shift < 32 && s->add < ROOM && s->add > -ROOM;
}

/* Whether x of `bits` bits keeps within 32 bits. */
static int narrow(const struct scale *s, int bits)
{
    return sum_fits(s) && s->mul < ROOM >> bits && s->mul > -(ROOM >> bits);
}

/* The bound for tw_pclipr of a 32-bit x, -1 where there is none. */
static int32_t bound(const struct scale *s)
{
    if (!sum_fits(s) || s->mul <= 0 || s->mul >= ROOM)
        return -1;
    int32_t top = (ROOM / 2 >> tw_pfl1(s->mul)) - 1, add = (int32_t)s->add;
    int enough = (top * s->mul + add) >> s->shift >= s->high && (add - (top + 1) * s->mul) >> s->shift <= s->low;
    return enough ? top : -1;
}

#define DECLARE(k) int32_t v##k;
#define LOAD(k, i) v##k = x[i];
#define SCALE(k) v##k = tw_pmac(add, v##k, mul) >> shift;
#define SCALE_CLIPPED(k) v##k = tw_pmac(add, tw_pclipr(v##k, top), mul) >> shift;
#define SYMMETRIC(k) v##k = tw_pclipr(v##k, high);
#define LIMITED(k) v##k = tw_limited(v##k, low, high);
#define MAKE_SYMMETRIC(k) SCALE(k) SYMMETRIC(k)
#define MAKE_LIMITED(k) SCALE(k) LIMITED(k)
#define CLIPPED_SYMMETRIC(k) SCALE_CLIPPED(k) SYMMETRIC(k)
#define CLIPPED_LIMITED(k) SCALE_CLIPPED(k) LIMITED(k)
#define STORE(k, i) y[i] = (uint8_t)v##k;

/* n results of 32-bit arithmetic. */
#define IN_32_BITS(T, TYPE, ONE, OTHER)                                                                                \
    static void fast_##T(const TYPE *x, uint8_t *y, int n, const struct scale *s, int32_t top)                         \
    {                                                                                                                  \
        int32_t mul = s->mul, add = (int32_t)s->add, low = s->low, high = s->high;                                     \
        int shift = s->shift;                                                                                          \
        (void)top;                                                                                                     \
        if (low == -high - 1)                                                                                          \
            TW_FOURS(n, DECLARE, LOAD, ONE, STORE);                                                                    \
        else                                                                                                           \
            TW_FOURS(n, DECLARE, LOAD, OTHER, STORE);                                                                  \
    }

IN_32_BITS(i8, int8_t, MAKE_SYMMETRIC, MAKE_LIMITED)
IN_32_BITS(u8, uint8_t, MAKE_SYMMETRIC, MAKE_LIMITED)
IN_32_BITS(i16, int16_t, MAKE_SYMMETRIC, MAKE_LIMITED)
IN_32_BITS(i32, int32_t, CLIPPED_SYMMETRIC, CLIPPED_LIMITED)

static void put(void *y, int i, int32_t v, int bytes)
{
    if (bytes == 1)
        ((uint8_t *)y)[i] = (uint8_t)v;
    else if (bytes == 2)
        ((uint16_t *)y)[i] = (uint16_t)v;
    else
        ((int32_t *)y)[i] = v;
}

static struct scale scale_of(const int32_t *mul, const void *add, int wide, int at_mul, int at_add)
{
    struct scale s = {0};
    s.mul = mul[at_mul];
    s.add = wide ? ((const int64_t *)add)[at_add] : ((const int32_t *)add)[at_add];
    return s;
}

/* Channels of `inner` elements in a row; steps are 0 where a parameter is one for all. */
#define REQUANT(T, TYPE, BITS)                                                                                         \
    void tw_requant_##T(const TYPE *x, const int32_t *restrict mul, const void *restrict add, void *y, int wide,       \
                        int y_bytes, int channels, int inner, int mul_step, int add_step, int shift, int low,          \
                        int high, int first, int last)                                                                 \
    {                                                                                                                  \
        int at = first / inner, c = at % channels, n = inner - (first - at * inner);                                   \
        for (int i = first; i < last; i += n, n = inner, c = c + 1 < channels ? c + 1 : 0) {                           \
            struct scale s = scale_of(mul, add, wide, c * mul_step, c * add_step);                                     \
            s.shift = shift, s.low = low, s.high = high, s.y_bytes = y_bytes;                                          \
            n = n < last - i ? n : last - i;                                                                           \
            int32_t top = BITS < 32 ? narrow(&s, BITS) - 1 : bound(&s);                                                \
            if (top >= 0)                                                                                              \
                fast_##T(x + i, (uint8_t *)y + i, n, &s, top);                                                         \
            else                                                                                                       \
                for (int k = i; k < i + n; k++)                                                                        \
                    put(y, k,                                                                                          \
                        tw_wide_limited((int64_t)((uint64_t)((int64_t)x[k] * s.mul) + (uint64_t)s.add), shift, low,    \
                                        high),                                                                         \
                        y_bytes);                                                                                      \
        }                                                                                                              \
    }

REQUANT(i8, int8_t, 8)
REQUANT(u8, uint8_t, 8)
REQUANT(i16, int16_t, 15)
REQUANT(i32, int32_t, 32)
