/* Elementwise kernels whose operands may differ in type. */
#include "tw_kernels.h"
#include "tw_convert.h"
#include "tw_functions.h"

/* y = x in another type: floats to integers truncate and saturate, integers wrap, to bool is x != 0. */
void tw_cast(const void *restrict x, void *restrict y, int from, int to, int first, int last)
{
    int64_t whole[TW_CHUNK];
    double real[TW_CHUNK];
    for (int i = first; i < last; i += TW_CHUNK) {
        int count = last - i < TW_CHUNK ? last - i : TW_CHUNK;
        if (from >= TW_F32 || to == TW_F64) {
            tw_load_doubles(x, from, i, 1, real, count);
            tw_store_doubles(real, y, to, i, count);
            continue;
        }
        tw_load_integers(x, from, i, 1, whole, count);
        if (to != TW_F32)
            tw_store_integers(whole, y, to, i, count);
        else if (from == TW_U64)
            for (int k = 0; k < count; k++)
                ((float *)y)[i + k] = (float)(uint64_t)whole[k];
        else
            for (int k = 0; k < count; k++)
                ((float *)y)[i + k] = (float)whole[k];
    }
}

/* y = a + b, a - b or a b (function 0, 1, 2) of integers, modulo 2^bits of the result; rows: of a and b. */
void tw_binary_wide(const void *restrict a, const void *restrict b, void *restrict y, int kind_a, int kind_b,
                    int kind_y, int function, const int32_t *rows, int first, int last)
{
    int64_t p[TW_CHUNK], q[TW_CHUNK];
    int done = first;
    struct tw_walk w;
    TW_PARTS (w, rows, first, last) {
        for (int i = 0, count; i < w.n; i += count, done += count) {
            count = w.n - i < TW_CHUNK ? w.n - i : TW_CHUNK;
            tw_load_integers(a, kind_a, w.at[0] + i * w.step[0], w.step[0], p, count);
            tw_load_integers(b, kind_b, w.at[1] + i * w.step[1], w.step[1], q, count);
            if (function == 0)
                for (int k = 0; k < count; k++)
                    p[k] = (int64_t)((uint64_t)p[k] + (uint64_t)q[k]);
            else if (function == 1)
                for (int k = 0; k < count; k++)
                    p[k] = (int64_t)((uint64_t)p[k] - (uint64_t)q[k]);
            else
                for (int k = 0; k < count; k++)
                    p[k] = (int64_t)((uint64_t)p[k] * (uint64_t)q[k]);
            tw_store_integers(p, y, kind_y, done, count);
        }
    }
}

/* The greatest magnitude that a negative or another number of a type has. */
static uint64_t greatest(int kind, int negative)
{
    int bits = kind == TW_I8 || kind == TW_U8 ? 8 : kind == TW_I16 || kind == TW_U16 ? 16
             : kind == TW_I32 || kind == TW_U32 ? 32 : 64;
    if (kind >= TW_U8)
        return negative ? 0 : ~(uint64_t)0 >> (64 - bits);
    return ((uint64_t)1 << (bits - 1)) - !negative;
}

/* a^b of integers, exact and saturated to the type of a; a negative power rounds to 0, of 0 it saturates. */
static int64_t whole_power(int64_t a, int64_t b, int kind_a, int kind_b)
{
    int negative = a < 0 && kind_a != TW_U64, below = b < 0 && kind_b != TW_U64;
    uint64_t base = negative ? 0 - (uint64_t)a : (uint64_t)a, n = (uint64_t)b, y = 1;
    negative = negative && (n & 1);
    if (below)
        y = base == 0 ? ~(uint64_t)0 : base == 1;
    else if (base < 2)
        y = n == 0 ? 1 : base;
    else
        for (; n > 0; n--) {
            if (y > ~(uint64_t)0 / base) {
                y = ~(uint64_t)0;
                break;
            }
            y *= base;
        }
    y = y < greatest(kind_a, negative) ? y : greatest(kind_a, negative);
    return (int64_t)(negative ? 0 - y : y);
}

/* y = a^b; with b an integer and a another exactly, saturated; else in double, for an integer a rounded to even and
 * saturated. rows: of a and b. */
void tw_power(const void *restrict a, const void *restrict b, void *restrict y, int kind_a, int kind_b,
              const int32_t *rows, int first, int last)
{
    double p[TW_CHUNK], q[TW_CHUNK];
    int64_t base[TW_CHUNK], n[TW_CHUNK];
    int done = first;
    struct tw_walk w;
    TW_PARTS (w, rows, first, last) {
        for (int i = 0, count; i < w.n; i += count, done += count) {
            int at_a = w.at[0] + i * w.step[0], at_b = w.at[1] + i * w.step[1];
            count = w.n - i < TW_CHUNK ? w.n - i : TW_CHUNK;
            if (kind_a < TW_F32 && kind_b < TW_F32) {
                tw_load_integers(a, kind_a, at_a, w.step[0], base, count);
                tw_load_integers(b, kind_b, at_b, w.step[1], n, count);
                for (int k = 0; k < count; k++)
                    base[k] = whole_power(base[k], n[k], kind_a, kind_b);
                tw_store_integers(base, y, kind_a, done, count);
                continue;
            }
            tw_load_doubles(a, kind_a, at_a, w.step[0], p, count);
            tw_load_doubles(b, kind_b, at_b, w.step[1], q, count);
            for (int k = 0; k < count; k++) {
                double v = tw_pow_f64(p[k], q[k]);
                p[k] = kind_a >= TW_F32 ? v : tw_round_f64(v);
            }
            tw_store_doubles(p, y, kind_a, done, count);
        }
    }
}
