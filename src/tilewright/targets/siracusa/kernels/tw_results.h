/* How 32-bit sums of products become results: y = clip(((sum + b) * mul + add) >> shift, low, high), or sum + b. */
#ifndef TW_RESULTS_H
#define TW_RESULTS_H

#include "tw_xpulp.h"

/* TW_SUMS: no multiplier. TW_WIDE: 64 bits. TW_NARROW: (sum + b) * mul + add is known to fit 32 bits. TW_BOUNDED: it
 * does once sum + b is clipped to acc_low .. acc_high, and what that cuts off has a clipped result anyway. */
enum { TW_SUMS, TW_WIDE, TW_NARROW, TW_BOUNDED };
/* Bits of `form`: how the operands are. The rest is the mode, from bit TW_MODE on, and 1, 2 or 4 bytes of a result. */
enum { TW_X_SIGNED = 1, TW_MUL_U8 = 2, TW_MUL_ROWS = 4, TW_ADD_ROWS = 8, TW_ADD_I64 = 16, TW_BYTES = 5, TW_MODE = 8 };
enum { TW_BY_TOKENS = 1 << 10, TW_TRANSPOSED = 1 << 11 };

struct tw_results {
    const int32_t *b; /* per channel, or null */
    const void *mul, *add; /* per channel or one for all: i32 or u8, i32 or i64 */
    const int16_t *r; /* a residual stream that results join, saturating; or null */
    void *y;
    int form, shift;
    int32_t low, high, acc_low, acc_high;
};

TW_X int tw_mode_of(const struct tw_results *f)
{
    return f->form >> TW_MODE & 3;
}

TW_X int tw_bytes_per_result(const struct tw_results *f)
{
    return f->form >> TW_BYTES & 7;
}

/* Bytes from one channel's multiplier or addend to the next. */
TW_X int tw_mul_step(const struct tw_results *f)
{
    return f->form & TW_MUL_ROWS ? (f->form & TW_MUL_U8 ? 1 : 4) : 0;
}

TW_X int tw_add_step(const struct tw_results *f)
{
    return f->form & TW_ADD_ROWS ? (f->form & TW_ADD_I64 ? 8 : 4) : 0;
}

TW_X int32_t tw_mul_of(const struct tw_results *f, int channel)
{
    const char *at = (const char *)f->mul + channel * tw_mul_step(f);
    return f->form & TW_MUL_U8 ? *(const uint8_t *)at : *(const int32_t *)(const void *)at;
}

TW_X int64_t tw_add_of(const struct tw_results *f, int channel)
{
    const char *at = (const char *)f->add + channel * tw_add_step(f);
    return f->form & TW_ADD_I64 ? *(const int64_t *)(const void *)at : *(const int32_t *)(const void *)at;
}

TW_X int32_t tw_between(int32_t value, int32_t low, int32_t high)
{
    return tw_pmin(tw_pmax(value, low), high);
}

/* (sum * mul + add) >> shift in 64 bits, cut to 32; `low` and `high` are the addend's halves. */
TW_X int32_t tw_scaled_wide(int32_t sum, int32_t mul, uint32_t low, int32_t high, int shift)
{
    uint64_t product = (uint64_t)((int64_t)sum * mul);
    uint32_t lower = (uint32_t)product + low;
    int32_t upper = (int32_t)((uint32_t)(product >> 32) + (uint32_t)high + (lower < low));
    if (shift >= 32)
        return upper >> (shift - 32);
    int32_t value = (int32_t)(shift > 0 ? lower >> shift | (uint32_t)upper << (32 - shift) : lower);
    return upper >> shift == value >> 31 ? value : upper < 0 ? INT32_MIN : INT32_MAX;
}

TW_X void tw_store_results(const struct tw_results *f, const int32_t *s, int at, int count)
{
    int bytes = tw_bytes_per_result(f);
    if (bytes == 1)
        for (int i = 0; i < count; i++)
            ((int8_t *)f->y)[at + i] = (int8_t)s[i];
    else if (bytes == 2)
        for (int i = 0; i < count; i++)
            ((int16_t *)f->y)[at + i] = (int16_t)s[i];
    else
        for (int i = 0; i < count; i++)
            ((int32_t *)f->y)[at + i] = s[i];
}

/* `count` results of TW_NARROW sums: 9 cycles each. */
#define TW_NARROW_ROW(name, take_mul, put, mul_type, y_type)                                                           \
    TW_X void name(const struct tw_results *f, const int32_t *s, int channel, int at, int count)                       \
    {                                                                                                                  \
        int mul_step = tw_mul_step(f), add_step = tw_add_step(f), shift = f->shift;                                    \
        const char *mul = (const char *)f->mul + channel * mul_step;                                                   \
        const char *add = (const char *)f->add + channel * add_step;                                                   \
        y_type *y = (y_type *)f->y + at;                                                                               \
        TW_SAY(                                                                                                        \
            int32_t v; int32_t m; int32_t a;                                                                           \
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "8") take_mul("%[m]", "%[mul]", "%[mul_step]")          \
                             TW_LW("%[v]", "%[s]", "4") TW_LW_BY("%[a]", "%[add]", "%[add_step]")                      \
                             TW_MAC("%[a]", "%[v]", "%[m]") "sra %[a], %[a], %[shift]\n"                               \
                             TW_MAX("%[a]", "%[a]", "%[low]") TW_MIN("%[a]", "%[a]", "%[high]") put TW_ASM_END         \
                             : [v] "=&r"(v), [m] "=&r"(m), [a] "=&r"(a), [s] "+r"(s), [mul] "+r"(mul),                 \
                               [add] "+r"(add), [y] "+r"(y)                                                            \
                             : [n] "r"(count), [mul_step] "r"(mul_step), [add_step] "r"(add_step), [shift] "r"(shift), \
                               [low] "r"(f->low), [high] "r"(f->high)                                                  \
                             : "memory"),                                                                              \
            for (int i = 0; i < count; i++, mul += mul_step, add += add_step) y[i] = (y_type)tw_between(               \
                tw_pmac(*(const int32_t *)(const void *)add, s[i], (int32_t) * (const mul_type *)(const void *)mul) >> \
                    shift,                                                                                             \
                f->low, f->high));                                                                                     \
    }
TW_NARROW_ROW(tw_narrow_u8_i8, TW_LBU_BY, TW_SB("%[a]", "%[y]", "1"), uint8_t, int8_t)
TW_NARROW_ROW(tw_narrow_u8_i16, TW_LBU_BY, TW_SH("%[a]", "%[y]", "2"), uint8_t, int16_t)
TW_NARROW_ROW(tw_narrow_u8_i32, TW_LBU_BY, TW_SW("%[a]", "%[y]", "4"), uint8_t, int32_t)
TW_NARROW_ROW(tw_narrow_i32_i8, TW_LW_BY, TW_SB("%[a]", "%[y]", "1"), int32_t, int8_t)
TW_NARROW_ROW(tw_narrow_i32_i16, TW_LW_BY, TW_SH("%[a]", "%[y]", "2"), int32_t, int16_t)
TW_NARROW_ROW(tw_narrow_i32_i32, TW_LW_BY, TW_SW("%[a]", "%[y]", "4"), int32_t, int32_t)

TW_X void tw_narrow_row(const struct tw_results *f, const int32_t *s, int channel, int at, int count)
{
    int bytes = tw_bytes_per_result(f);
    if (f->form & TW_MUL_U8) {
        if (bytes == 1)
            tw_narrow_u8_i8(f, s, channel, at, count);
        else if (bytes == 2)
            tw_narrow_u8_i16(f, s, channel, at, count);
        else
            tw_narrow_u8_i32(f, s, channel, at, count);
    } else if (bytes == 1)
        tw_narrow_i32_i8(f, s, channel, at, count);
    else if (bytes == 2)
        tw_narrow_i32_i16(f, s, channel, at, count);
    else
        tw_narrow_i32_i32(f, s, channel, at, count);
}

/* `count` sums scaled in 64 bits, in place. */
TW_X void tw_wide_row(const struct tw_results *f, int32_t *s, int channel, int count)
{
    int mul_step = tw_mul_step(f), add_step = tw_add_step(f), is_u8 = f->form & TW_MUL_U8;
    const char *mul = (const char *)f->mul + channel * mul_step, *add = (const char *)f->add + channel * add_step;
    for (; count > 0; count--, s++, mul += mul_step, add += add_step) {
        const int32_t *halves = (const int32_t *)(const void *)add;
        int32_t by = is_u8 ? *(const uint8_t *)mul : *(const int32_t *)(const void *)mul;
        int32_t high = f->form & TW_ADD_I64 ? halves[1] : halves[0] >> 31;
        *s = tw_between(tw_scaled_wide(*s, by, (uint32_t)halves[0], high, f->shift), f->low, f->high);
    }
}

/* Sums scaled by 8 bits per channel that join a residual stream. */
TW_X void tw_join_row(const struct tw_results *f, int32_t *s, int channel, int at, int count)
{
    const uint8_t *mul = (const uint8_t *)f->mul + channel;
    const int16_t *r = f->r + at;
    int16_t *y = (int16_t *)f->y + at;
    int32_t half = (int32_t)tw_add_of(f, 0), shift = f->shift, low = f->low, high = f->high;
    if (tw_mode_of(f) == TW_WIDE) {
        tw_wide_row(f, s, channel, count);
        for (; count > 0; count--)
            *y++ = (int16_t)tw_pclip(*s++ + *r++, 16);
    }
    for (; count > 0; count--)
        *y++ = (int16_t)tw_pclip(tw_between(tw_pmac(half, *s++, *mul++) >> shift, low, high) + *r++, 16);
}

/* Sums s of channels channel .. channel + count (at least one) become the results from y[at] on. s is written to. */
static __attribute__((noinline, unused)) void tw_finish_row(const struct tw_results *f, int32_t *s, int channel, int at,
                                                            int count)
{
    int mode = tw_mode_of(f);
    if (f->b != 0)
        for (int i = 0; i < count; i++)
            s[i] = (int32_t)(TW_U(s[i]) + TW_U(f->b[channel + i]));
    if (mode == TW_BOUNDED)
        for (int i = 0; i < count; i++)
            s[i] = tw_between(s[i], f->acc_low, f->acc_high);
    if (f->r != 0)
        tw_join_row(f, s, channel, at, count);
    else if (mode == TW_SUMS)
        tw_store_results(f, s, at, count);
    else if (mode == TW_WIDE) {
        tw_wide_row(f, s, channel, count);
        tw_store_results(f, s, at, count);
    } else
        tw_narrow_row(f, s, channel, at, count);
}

#endif
