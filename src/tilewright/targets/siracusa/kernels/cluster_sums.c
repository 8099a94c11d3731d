/* What follows the sums of a token's products in quantised llamas, where these are neither scaled nor cut. */
#include "tw_kernels.h"
#include "tw_llama.h"

#ifdef __riscv
/* clip((*x++ * *mul++ + half) >> shift), `bits` wide. */
#define SUM(a, bits)                                                                                                   \
    TW_LW(a, "%[x]", "4") TW_LBU("%[p]", "%[mul]", "1") "mul " a ", " a ", %[p]\nadd " a ", " a ", %[rounding]\n"       \
    "sra " a ", " a ", %[shift]\n" TW_CLIP(a, a, bits)
/* The pair a, b turned by the angles whose cosine and sine are u and v, to bytes. */
#define TURN(a, b)                                                                                                     \
    "mul %[p], " a ", %[v]\nmul " a ", " a ", %[u]\n" TW_MAC("%[p]", b, "%[u]") TW_MSU(a, b, "%[v]")                   \
    "add " a ", " a ", %[half]\nadd " b ", %[p], %[half]\nsra " a ", " a ", %[turn]\nsra " b ", " b ", %[turn]\n"      \
    TW_CLIP(a, a, "8") TW_CLIP(b, b, "8")
#endif

/* Columns of sums, scaled and turned by pairs: see below. */
static __attribute__((noinline)) void turned(const int32_t *x, const uint8_t *mul, const int16_t *cosine,
                                             const int16_t *sine, int8_t *y, int count, int shift, int turn)
{
    int32_t half = tw_half(turn), rounding = tw_half(shift);
#ifdef __riscv
    int32_t a, b, u, v, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[count]", "26") SUM("%[a]", "16") SUM("%[b]", "16")
        TW_LH("%[u]", "%[cosine]", "2") TW_LH("%[v]", "%[sine]", "2") TURN("%[a]", "%[b]")
        TW_SB("%[a]", "%[y]", "1") TW_SB("%[b]", "%[y]", "1") TW_ASM_END
        : [x] "+r"(x), [mul] "+r"(mul), [cosine] "+r"(cosine), [sine] "+r"(sine), [y] "+r"(y), [a] "=&r"(a),
          [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v), [p] "=&r"(p)
        : [count] "r"(count >> 1), [shift] "r"(shift), [turn] "r"(turn), [half] "r"(half), [rounding] "r"(rounding)
        : "memory");
    /* clang-format on */
#else
    for (; count > 0; count -= 2, x += 2, mul += 2) {
        int32_t a = tw_pclip(tw_pmac(rounding, x[0], mul[0]) >> shift, 16), u = *cosine++, v = *sine++;
        int32_t b = tw_pclip(tw_pmac(rounding, x[1], mul[1]) >> shift, 16);
        *y++ = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> turn, 8);
        *y++ = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> turn, 8);
    }
#endif
}

/* Columns of sums, scaled and put `pitch` bytes from each other. */
static __attribute__((noinline)) void spread(const int32_t *x, const uint8_t *mul, int8_t *y, int count, int pitch,
                                             int shift)
{
    int32_t rounding = tw_half(shift);
#ifdef __riscv
    int32_t a, p;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[count]", "7") SUM("%[a]", "8") TW_SB_BY("%[a]", "%[y]", "%[pitch]")
                         TW_ASM_END
                     : [x] "+r"(x), [mul] "+r"(mul), [y] "+r"(y), [a] "=&r"(a), [p] "=&r"(p)
                     : [count] "r"(count), [shift] "r"(shift), [pitch] "r"(pitch), [rounding] "r"(rounding)
                     : "memory");
#else
    for (; count > 0; count--, y += pitch)
        *y = (int8_t)tw_pclip(tw_pmac(rounding, *x++, *mul++) >> shift, 8);
#endif
}

/* Columns first .. last of a token's sums x, for each head of the caches `group` queries, a key and a value: scaled,
 * the first two turned by pairs, keys and values to position pos. n: columns of state_k. See TurnedHeads. */
TW_HOT
void __attribute__((minsize)) tw_cluster_turned_heads(
    const struct tw_cluster_turned_heads *given, int pos, int first, int last)
{
    const int32_t *x = given->x;
    const uint8_t *mul = given->mul;
    int8_t *state_k = given->state_k + pos * given->n, *state_v = given->state_v + pos, *y = given->y;
    int part = 0, c = first, group = given->group, hd = given->hd, pitch = given->pitch;
    for (; c >= hd; c -= hd)
        if (part < group)
            y += hd, part++;
        else if (part++ == group)
            state_k += hd;
        else
            state_v += hd * pitch, part = 0;
    for (int count; first < last; first += count, c = 0) {
        count = hd - c < last - first ? hd - c : last - first;
        if (part > group) {
            spread(x + first, mul + first, state_v + c * pitch, count, pitch, given->v_shift);
            state_v += hd * pitch, part = 0;
            continue;
        }
        const int16_t *cosine = given->angles + (c >> 1);
        int query = part++ < group;
        turned(x + first, mul + first, cosine, cosine + (hd >> 1), (query ? y : state_k) + c, count,
               query ? given->q_shift : given->k_shift, given->turn);
        if (query)
            y += hd;
        else
            state_k += hd;
    }
}

/* y = clip(r + ((x * mul + half) >> shift)), 16 bits, for one row; r may be y. Scaled sums fit 32 bits. */
TW_HOT
void tw_cluster_scaled_add(const struct tw_cluster_scaled_add *given, int first, int last)
{
    const int32_t *x = given->x + first;
    const int16_t *r = given->r + first;
    const uint8_t *mul = given->mul + first;
    int16_t *y = given->y + first;
    int32_t shift = given->shift, half = tw_half(shift), n = last - first;
    if (n <= 0)
        return;
#ifdef __riscv
    int32_t a, b, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "9") TW_LBU("%[p]", "%[mul]", "1") TW_LW("%[a]", "%[x]", "4")
        TW_LH("%[b]", "%[r]", "2") "mul %[a], %[a], %[p]\n" "add %[a], %[a], %[half]\n" "sra %[a], %[a], %[shift]\n"
        "add %[a], %[a], %[b]\n" TW_CLIP("%[a]", "%[a]", "16") TW_SH("%[a]", "%[y]", "2") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [p] "=&r"(p), [x] "+&r"(x), [r] "+&r"(r), [mul] "+&r"(mul), [y] "+&r"(y)
        : [n] "r"(n), [half] "r"(half), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < n; i++)
        y[i] = (int16_t)tw_pclip((tw_pmac(half, x[i], mul[i]) >> shift) + r[i], 16);
#endif
}

/* y = clip((table[gate + 128] * up + half) >> shift) for one row of sums x: `columns` gates, then what they gate, each
 * clip((x * mul + half) >> shift) of its own shift before. */
TW_HOT
void tw_cluster_gated_sums(const struct tw_cluster_gated_sums *given, int first, int last)
{
    const int32_t *x = given->x + first, *up = x + given->columns;
    const uint8_t *mul = given->mul + first, *by = mul + given->columns;
    const int16_t *table = given->table + 128;
    int8_t *y = given->y + first;
    int32_t gate_shift = given->gate_shift, up_shift = given->up_shift, shift = given->shift;
    int32_t half = tw_half(shift), half_a = tw_half(gate_shift), half_b = tw_half(up_shift), n = last - first;
    if (n <= 0)
        return;
#ifdef __riscv
    int32_t a, b, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "19") TW_LW("%[a]", "%[x]", "4") TW_LBU("%[p]", "%[mul]", "1")
        TW_LW("%[b]", "%[up]", "4") "mul %[a], %[a], %[p]\n" TW_LBU("%[p]", "%[by]", "1")
        "add %[a], %[a], %[half_a]\n" "sra %[a], %[a], %[gate]\n" "mul %[b], %[b], %[p]\n" TW_CLIP("%[a]", "%[a]", "8")
        "add %[b], %[b], %[half_b]\n" "slli %[a], %[a], 1\n" "sra %[b], %[b], %[upper]\n"
        TW_LH_AT("%[a]", "%[table]", "%[a]") TW_CLIP("%[b]", "%[b]", "8") "mul %[a], %[a], %[b]\n"
        "add %[a], %[a], %[half]\n" "sra %[a], %[a], %[shift]\n" TW_CLIP("%[a]", "%[a]", "8")
        TW_SB("%[a]", "%[y]", "1") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [p] "=&r"(p), [x] "+&r"(x), [up] "+&r"(up), [mul] "+&r"(mul), [by] "+&r"(by),
          [y] "+&r"(y)
        : [n] "r"(n), [table] "r"(table), [half_a] "r"(half_a), [gate] "r"(gate_shift), [half_b] "r"(half_b),
          [upper] "r"(up_shift), [half] "r"(half), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < n; i++) {
        int32_t gate = tw_pclip(tw_pmac(half_a, x[i], mul[i]) >> gate_shift, 8);
        int32_t value = tw_pclip(tw_pmac(half_b, up[i], by[i]) >> up_shift, 8);
        y[i] = (int8_t)tw_pclip(tw_pmac(half, table[gate], value) >> shift, 8);
    }
#endif
}
