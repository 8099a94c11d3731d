/* Functions of one or two integers, with broadcasting: sums and products of quantised tensors, wide arithmetic, tables,
 * QuantLib's activations. y may be an operand of the same size and shape.
 *
 * Code is short rather than unrolled: on small tensors its way into the instruction cache costs more than its loops.
 * Loads add any step to their address, so that one loop serves every way to broadcast. Where a loop could only wait for
 * a load, it stores the result of the element before.
 */
#include "tw_kernels.h"
#include "tw_generic.h"
#include "tw_flat.h"

/* A walk over the parts of rows that a core computes; steps of both operands along a row. */
struct part {
    struct tw_walk w;
    int step_a, step_b;
    int32_t table[2 + 3 * TW_AXES]; /* near: the one that is given is not */
};

/* Where everything is one row, a_step and b_step are given and the table is not looked at; else a_step is -1. */
static __attribute__((noinline)) int begin(struct part *p, const int32_t *rows, int a_step, int b_step, int first,
                                           int last)
{
    int more = first < last;
    if (a_step < 0) {
        for (int i = 0, n = 2 + 3 * rows[0]; i < n; i++)
            p->table[i] = rows[i];
        more = tw_first_part(&p->w, p->table, first, last);
        p->step_a = p->w.step[0], p->step_b = p->w.step[1];
        return more;
    }
    p->step_a = a_step, p->step_b = b_step;
    p->w.at[0] = first * a_step, p->w.at[1] = first * b_step;
    p->w.n = p->w.left = last - first;
    return more;
}

static __attribute__((noinline)) int next(struct part *p)
{
    return p->w.left > p->w.n && tw_next_part(&p->w);
}

#define FOR_PARTS(part)                                                                                                \
    for (int more = begin(&(part), rows, a_step, b_step, first, last); more; y += (part).w.n, more = next(&(part)))

/* Loads that add a register to the address. */
#define BY_i8(rd, at, step) ".insn r 0x0b, 7, 0x00, " rd ", " at ", " step "\n"
#define BY_u8(rd, at, step) ".insn r 0x0b, 7, 0x20, " rd ", " at ", " step "\n"
#define BY_i32(rd, at, step) TW_LW_BY(rd, at, step)
#define SYMMETRIC TW_CLIPR("%[t]", "%[t]", "%[high]")
#define LIMITED TW_MAX("%[t]", "%[t]", "%[low]") TW_MIN("%[t]", "%[t]", "%[high]")
#define PAIR BY_A("%[v]", "%[p]", "%[sp]") BY_B("%[w]", "%[q]", "%[sq]")

/* n > 0 results of two operands: MAKE, of COUNT instructions, leaves in t what is clamped (CLAMPS instructions). */
#define LOOP(A, B, MAKE, COUNT, CLAMP, CLAMPS, ...)                                                                    \
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", #COUNT "+" #CLAMPS "+3") BY_##A("%[v]", "%[p]", "%[sp]")        \
                         BY_##B("%[w]", "%[q]", "%[sq]") MAKE CLAMP TW_SB("%[t]", "%[to]", "1") TW_ASM_END             \
                     : [p] "+r"(p), [q] "+r"(q), [to] "+r"(to), [v] "=&r"(v), [w] "=&r"(w), [t] "=&r"(t)               \
                     : [n] "r"(part.w.n), [sp] "r"(sp), [sq] "r"(sq), [add] "r"((int32_t)add),                         \
                       [shift] "r"(shift), [low] "r"(low), [high] "r"(high), __VA_ARGS__                               \
                     : "memory")
#define EITHER(A, B, MAKE, COUNT, ...)                                                                                 \
    if (low == -high - 1)                                                                                              \
        LOOP(A, B, MAKE, COUNT, SYMMETRIC, 1, __VA_ARGS__);                                                            \
    else                                                                                                               \
        LOOP(A, B, MAKE, COUNT, LIMITED, 2, __VA_ARGS__);
#define MAKE_SUM                                                                                                       \
    "mv %[t], %[add]\n" TW_MAC("%[t]", "%[v]", "%[mul_a]") TW_MAC("%[t]", "%[w]", "%[mul_b]") "sra %[t], %[t], "       \
                                                                                              "%[shift]\n"
#define MAKE_PRODUCT                                                                                                   \
    "mv %[t], %[add]\nsub %[v], %[v], %[zero_a]\nsub %[w], %[w], %[zero_b]\n" MULS("%[v]", "%[v]", "%[w]")             \
        TW_MAC("%[t]", "%[v]", "%[mul]") "sra %[t], %[t], %[shift]\n"
#define MULS(rd, a, b) ".insn r 0x5b, 0, 0x40, " rd ", " a ", " b "\n" /* of the lower halves */

#ifdef __riscv
#define SUM_LOOP(A, B)                                                                                                 \
    int32_t v, w, t;                                                                                                   \
    EITHER(A, B, MAKE_SUM, 4, [mul_a] "r"(mul_a), [mul_b] "r"(factor))
#define PRODUCT_LOOP(A, B)                                                                                             \
    int32_t v, w, t;                                                                                                   \
    EITHER(A, B, MAKE_PRODUCT, 6, [zero_a] "r"(zero_a), [zero_b] "r"(zero_b), [mul] "r"(mul))
#else
#define SUM_LOOP(A, B)                                                                                                 \
    for (int i = 0; i < part.w.n; i++, p += sp, q += sq)                                                               \
        to[i] = (uint8_t)tw_limited(tw_pmac(tw_pmac(add, *p, mul_a), *q, factor) >> shift, low, high);
#define PRODUCT_LOOP(A, B)                                                                                             \
    for (int i = 0; i < part.w.n; i++, p += sp, q += sq)                                                               \
        to[i] = (uint8_t)tw_limited(tw_pmac((int32_t)add, (*p - zero_a) * (*q - zero_b), mul) >> shift, low, high);
#endif

/* Sums of two quantised tensors: y = clip((a mul_a + b mul_b + add) >> shift, low, high), in 32 or 64 bits; products:
 * y = clip(((a - zero_a) (b - zero_b) mul + add) >> shift, low, high), in 32 bits where `narrow`. */
#define QUANTISED(A, TA, B, TB)                                                                                        \
    void tw_sum_##A##_##B(const TA *a, const TB *b, uint8_t *y, int mul_a, int mul_b, int term, int shift, int low,    \
                          int high, int a_step, int b_step, const int32_t *rows, int first, int last)                  \
    {                                                                                                                  \
        struct part part;                                                                                              \
        y += first;                                                                                                    \
        FOR_PARTS (part) {                                                                                             \
            const TA *p = a + part.w.at[0];                                                                            \
            const TB *q = b + part.w.at[1];                                                                            \
            uint8_t *to = y;                                                                                           \
            int32_t factor = mul_b, add = term;                                                                        \
            int sp = part.step_a, sq = part.step_b;                                                                    \
            if (sq == 0) /* not from memory: all cores would wait for one another */                                   \
                add = tw_pmac(term, *q, mul_b), factor = 0, q = (const TB *)p, sq = sp;                                \
            SUM_LOOP(A, B)                                                                                             \
        }                                                                                                              \
    }                                                                                                                  \
    void tw_sum_wide_##A##_##B(const TA *a, const TB *b, uint8_t *y, int mul_a, int mul_b, int64_t term, int shift,    \
                               int low, int high, int a_step, int b_step, const int32_t *rows, int first, int last)    \
    {                                                                                                                  \
        struct part part;                                                                                              \
        y += first;                                                                                                    \
        FOR_PARTS (part) {                                                                                             \
            const TA *p = a + part.w.at[0];                                                                            \
            const TB *q = b + part.w.at[1];                                                                            \
            for (int i = 0; i < part.w.n; i++, p += part.step_a, q += part.step_b)                                     \
                y[i] = (uint8_t)tw_wide_limited((int64_t)*p * mul_a + (int64_t)*q * mul_b + term, shift, low, high);   \
        }                                                                                                              \
    }                                                                                                                  \
    void tw_product_##A##_##B(const TA *a, const TB *b, uint8_t *y, int zero_a, int zero_b, int mul, int64_t add,      \
                              int shift, int low, int high, int narrow, int a_step, int b_step, const int32_t *rows,   \
                              int first, int last)                                                                     \
    {                                                                                                                  \
        struct part part;                                                                                              \
        y += first;                                                                                                    \
        FOR_PARTS (part) {                                                                                             \
            const TA *p = a + part.w.at[0];                                                                            \
            const TB *q = b + part.w.at[1];                                                                            \
            uint8_t *to = y;                                                                                           \
            int sp = part.step_a, sq = part.step_b;                                                                    \
            if (narrow) {                                                                                              \
                PRODUCT_LOOP(A, B)                                                                                     \
            } else {                                                                                                   \
                for (int i = 0; i < part.w.n; i++, p += sp, q += sq)                                                   \
                    to[i] = (uint8_t)tw_wide_limited((int64_t)((*p - zero_a) * (*q - zero_b)) * mul + add, shift,      \
                                                     low, high);                                                       \
            }                                                                                                          \
        }                                                                                                              \
    }

QUANTISED(i8, int8_t, i8, int8_t)
QUANTISED(i8, int8_t, u8, uint8_t)
QUANTISED(u8, uint8_t, i8, int8_t)
QUANTISED(u8, uint8_t, u8, uint8_t)

/* The first result is made in C, then each step stores the one before. */
#ifdef __riscv
#define WIDE_LOOP(A, B, NAME)                                                                                          \
    if (part.w.n > 1) {                                                                                                \
        int32_t v, w;                                                                                                  \
        int sp = part.step_a * (int)sizeof *p, sq = part.step_b * (int)sizeof *q;                                      \
        p += part.step_a, q += part.step_b, w = (int32_t)*q;                                                           \
        if (sq == 0) /* not from memory: all cores would wait for one another */                                       \
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "3") BY_##A("%[v]", "%[p]", "%[sp]")                    \
                                 TW_SW("%[r]", "%[to]", "4") NAME                                                      \
                             " %[r], %[v], %[w]\n" TW_ASM_END                                                          \
                             : [p] "+r"(p), [to] "+r"(to), [r] "+r"(r), [v] "=&r"(v)                                   \
                             : [n] "r"(part.w.n - 1), [sp] "r"(sp), [w] "r"(w)                                         \
                             : "memory");                                                                              \
        else                                                                                                           \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", "4") BY_##A("%[v]", "%[p]", "%[sp]")                        \
                             BY_##B("%[w]", "%[q]", "%[sq]") TW_SW("%[r]", "%[to]", "4") NAME                          \
                         " %[r], %[v], %[w]\n" TW_ASM_END                                                              \
                         : [p] "+r"(p), [q] "+r"(q), [to] "+r"(to), [r] "+r"(r), [v] "=&r"(v), [w] "=&r"(w)            \
                         : [n] "r"(part.w.n - 1), [sp] "r"(sp), [sq] "r"(sq)                                           \
                         : "memory");                                                                                  \
    }                                                                                                                  \
    *to = r;
#else
#define WIDE_LOOP(A, B, NAME)                                                                                          \
    (void)r;                                                                                                           \
    for (int i = 0; i < part.w.n; i++, p += part.step_a, q += part.step_b)                                             \
        to[i] = of_two(function, (int32_t)*p, (int32_t)*q);
#endif

static int32_t of_two(int function, int32_t a, int32_t b)
{
    uint32_t p = (uint32_t)a, q = (uint32_t)b;
    return (int32_t)(function == 0 ? p + q : function == 1 ? p - q : p * q);
}

/* y = a + b, a - b or a b (function 0, 1, 2), modulo 2^32. */
#define WIDE(A, TA, B, TB)                                                                                             \
    void tw_wide_##A##_##B(const TA *a, const TB *b, int32_t *y, int function, int a_step, int b_step,                 \
                           const int32_t *rows, int first, int last)                                                   \
    {                                                                                                                  \
        struct part part;                                                                                              \
        y += first;                                                                                                    \
        FOR_PARTS (part) {                                                                                             \
            const TA *p = a + part.w.at[0];                                                                            \
            const TB *q = b + part.w.at[1];                                                                            \
            int32_t *to = y, r = of_two(function, (int32_t)*p, (int32_t)*q);                                           \
            if (function == 0) {                                                                                       \
                WIDE_LOOP(A, B, "add")                                                                                 \
            } else if (function == 1) {                                                                                \
                WIDE_LOOP(A, B, "sub")                                                                                 \
            } else {                                                                                                   \
                WIDE_LOOP(A, B, "mul")                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }

WIDE(i8, int8_t, i8, int8_t)
WIDE(i8, int8_t, u8, uint8_t)
WIDE(i8, int8_t, i32, int32_t)
WIDE(u8, uint8_t, i8, int8_t)
WIDE(u8, uint8_t, u8, uint8_t)
WIDE(u8, uint8_t, i32, int32_t)
WIDE(i32, int32_t, i8, int8_t)
WIDE(i32, int32_t, u8, uint8_t)
WIDE(i32, int32_t, i32, int32_t)

/* Every step looks up one entry and stores the one before. */
#ifdef __riscv
#define LOOK_UP(TYPE, LOAD, STORE, SCALE, COUNT)                                                                       \
    {                                                                                                                  \
        TYPE *to = (TYPE *)y + first;                                                                                  \
        int32_t i, v = ((const TYPE *)table)[*p++];                                                                    \
        if (n > 1)                                                                                                     \
            __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", COUNT) TW_LBU("%[i]", "%[p]", "1")                      \
                                 STORE("%[v]", "%[to]", "%[size]") SCALE ".insn r 0x03, 7, " LOAD                      \
                                                                         ", %[v], %[table], %[i]\n" TW_ASM_END         \
                             : [p] "+r"(p), [to] "+r"(to), [v] "+r"(v), [i] "=&r"(i)                                   \
                             : [n] "r"(n - 1), [table] "r"(table), [size] "i"(sizeof(TYPE))                            \
                             : "memory");                                                                              \
        *to = (TYPE)v;                                                                                                 \
    }
#else
#define LOOK_UP(TYPE, LOAD, STORE, SCALE, COUNT)                                                                       \
    for (int i = 0; i < n; i++)                                                                                        \
        ((TYPE *)y)[first + i] = ((const TYPE *)table)[p[i]];
#endif

/* y = table[x], entries of `size` bytes (1, 2 or 4), indexed by the bits of x. */
void tw_table(const void *x, const void *table, void *y, int size, int first, int last)
{
    const uint8_t *p = (const uint8_t *)x + first;
    int n = last - first;
    if (n <= 0)
        return;
    if (size == 1)
        LOOK_UP(uint8_t, "0x20", TW_SB, "", "3")
    else if (size == 2)
        LOOK_UP(uint16_t, "0x28", TW_SH, "slli %[i], %[i], 1\n", "4")
    else
        LOOK_UP(int32_t, "0x10", TW_SW, "slli %[i], %[i], 2\n", "4")
}

/* A product modulo 2^32. */
TW_FLAT int32_t times(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

TW_FLAT int32_t swish(int32_t v, int32_t factor, int32_t three, int32_t six)
{
    return times(v, times(tw_limited(v + three, 0, six), factor));
}

/* The bend takes the sign of v; of 0 the factor does not matter. */
TW_FLAT int32_t gelu(int32_t v, int32_t b, int32_t one)
{
    int32_t sign = v >> 31, q = tw_pmin(tw_pabs(v), -b) + b, l = one - q * q;
    return times(v, (one + ((l ^ sign) - sign)) >> 1);
}

/* MAKE, of COUNT instructions, leaves in r the function of v; p is behind the first element, n > 0. */
#ifdef __riscv
#define ACTIVATION(TAKE, MAKE, COUNT, PLAIN, ...)                                                                      \
    if (n > 1) {                                                                                                       \
        int32_t v, t;                                                                                                  \
        __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[n]", COUNT "+2") TAKE("%[v]", "%[p]", "1")                       \
                             TW_SW("%[r]", "%[to]", "4") MAKE TW_ASM_END                                               \
                         : [p] "+r"(p), [to] "+r"(to), [r] "+r"(r), [v] "=&r"(v), [t] "=&r"(t)                         \
                         : [n] "r"(n - 1), __VA_ARGS__                                                                 \
                         : "memory");                                                                                  \
    }                                                                                                                  \
    *to = r;
#else
#define ACTIVATION(TAKE, MAKE, COUNT, PLAIN, ...)                                                                      \
    for (; n > 1; n--, r = PLAIN(*p++, __VA_ARGS__))                                                                   \
        *to++ = r;                                                                                                     \
    *to = r;
#endif
#define MAKE_SWISH                                                                                                     \
    "add %[t], %[v], %[three]\n.insn r 0x33, 6, 0x0a, %[t], %[t], %[six]\n" MULS("%[t]", "%[t]", "%[factor]")          \
        MULS("%[r]", "%[t]", "%[v]")
#define MAKE_GELU                                                                                                      \
    ".insn r 0x33, 0, 0x02, %[t], %[v], x0\n" TW_MIN("%[t]", "%[t]", "%[end]") "sub %[t], %[t], %[end]\n"              \
    MULS("%[t]", "%[t]", "%[t]") "sub %[t], %[one], %[t]\nsra %[r], %[v], 31\nxor %[t], %[t], %[r]\n"                  \
    "sub %[t], %[t], %[r]\n.insn r 0x5b, 2, 1, %[t], %[t], %[one]\nmul %[r], %[t], %[v]\n"

#ifdef __riscv
#define SWISH(TAKE) ACTIVATION(TAKE, MAKE_SWISH, "4", swish, [factor] "r"(factor), [three] "r"(three), [six] "r"(six))
#define GELU(TAKE) ACTIVATION(TAKE, MAKE_GELU, "10", gelu, [end] "r"(-b), [one] "r"(one))
#else
#define SWISH(TAKE) ACTIVATION(TAKE, , , swish, factor, three, six)
#define GELU(TAKE) ACTIVATION(TAKE, , , gelu, b, one)
#endif

/* QuantLib's activations of bytes (ops/dialect.py), modulo 2^32. `brief`: products before the last fit 16 bits. */
#define ACTIVATIONS(T, TYPE, TAKE)                                                                                     \
    void tw_swish_##T(const TYPE *x, int32_t *y, int factor, int three, int six, int brief, int first, int last)       \
    {                                                                                                                  \
        const TYPE *p = x + first;                                                                                     \
        int32_t *to = y + first;                                                                                       \
        int n = last - first;                                                                                          \
        if (n > 0 && brief) {                                                                                          \
            int32_t r = swish(*p++, factor, three, six);                                                               \
            SWISH(TAKE)                                                                                                \
            return;                                                                                                    \
        }                                                                                                              \
        for (; n > 0; n--)                                                                                             \
            *to++ = swish(*p++, factor, three, six);                                                                   \
    }                                                                                                                  \
    void tw_gelu_##T(const TYPE *x, int32_t *y, int b, int one, int first, int last)                                   \
    {                                                                                                                  \
        const TYPE *p = x + first;                                                                                     \
        int32_t *to = y + first;                                                                                       \
        int n = last - first;                                                                                          \
        if (n > 0) {                                                                                                   \
            int32_t r = gelu(*p++, b, one);                                                                            \
            GELU(TAKE)                                                                                                 \
        }                                                                                                              \
    }                                                                                                                  \
    /* ((x w + b) mul) >> shift modulo 2^32 before the shift; y is i32 (`wide`) or i8. rows: of x, w and b. */         \
    void tw_affine_##T(const TYPE *x, const int32_t *w, const int32_t *b, void *y, int wide, int mul, int shift,       \
                       const int32_t *rows, int first, int last)                                                       \
    {                                                                                                                  \
        int done = first;                                                                                              \
        struct tw_walk walk;                                                                                           \
        TW_PARTS (walk, rows, first, last) {                                                                           \
            const TYPE *p = x + walk.at[0];                                                                            \
            const int32_t *q = w + walk.at[1], *r = b + walk.at[2];                                                    \
            int sp = walk.step[0], sq = walk.step[1], sr = walk.step[2];                                               \
            for (int i = walk.n; i > 0; i--, done++, p += sp, q += sq, r += sr) {                                      \
                int32_t v = times(tw_pmac(*r, *p, *q), mul) >> shift;                                                  \
                if (wide)                                                                                              \
                    ((int32_t *)y)[done] = v;                                                                          \
                else                                                                                                   \
                    ((int8_t *)y)[done] = (int8_t)v;                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }

ACTIVATIONS(i8, int8_t, TW_LB)
ACTIVATIONS(u8, uint8_t, TW_LBU)
