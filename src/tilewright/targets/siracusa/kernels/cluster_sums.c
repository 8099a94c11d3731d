/* What follows the sums of a token's products in quantised llamas, where these are neither scaled nor cut. */
#include "tw_kernels.h"
#include "tw_llama.h"
#include "tw_together.h"

/* Pairs of columns of a part: where they begin in x and in mul, and their cosines and sines in angles; where they go,
 * and how much further for each position: queries 0. Values, of which `turn` is negative, are put `step` from each
 * other. */
struct piece {
    int32_t pairs, x, mul, cosine, sine, to, position, step, shift, turn;
};

/* Pairs of columns of sums, scaled and turned. */
TW_X void turned(const int32_t *x, const uint8_t *less, const int16_t *angles, int8_t *y, const struct piece *piece)
{
    int32_t shift = piece->shift, turn = piece->turn;
    const int16_t *cosine = angles + piece->cosine, *sine = angles + piece->sine;
#ifdef __riscv
    int32_t a = piece->pairs, b, u, v, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[a]", "22") TW_LW("%[a]", "%[x]", "4") TW_LBU("%[u]", "%[less]", "1")
        TW_LW("%[b]", "%[x]", "4") TW_LBU("%[v]", "%[less]", "1") TW_TIMES("%[a]", "%[u]") TW_TIMES("%[b]", "%[v]")
        TW_LH("%[u]", "%[cosine]", "2") TW_LH("%[v]", "%[sine]", "2") TW_ADDRN("%[a]", "x0", "%[shift]")
        TW_ADDRN("%[b]", "x0", "%[shift]") TW_CLIP("%[a]", "%[a]", "16") TW_CLIP("%[b]", "%[b]", "16")
        TW_MULS("%[p]", "%[a]", "%[v]") TW_MULS("%[a]", "%[a]", "%[u]") TW_MAC("%[p]", "%[b]", "%[u]")
        TW_MSU("%[a]", "%[b]", "%[v]") TW_ADDRN("%[p]", "x0", "%[turn]") TW_ADDRN("%[a]", "x0", "%[turn]")
        TW_CLIP("%[p]", "%[p]", "8") TW_CLIP("%[a]", "%[a]", "8") TW_SB("%[a]", "%[y]", "1")
        TW_SB("%[p]", "%[y]", "1") TW_ASM_END
        : [x] "+r"(x), [less] "+r"(less), [cosine] "+r"(cosine), [sine] "+r"(sine), [y] "+r"(y), [a] "+r"(a),
          [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v), [p] "=&r"(p)
        : [shift] "r"(shift), [turn] "r"(turn)
        : "memory");
    /* clang-format on */
#else
    int32_t rounding = tw_half(shift), half = tw_half(turn);
    for (int pairs = piece->pairs; pairs > 0; pairs--, x += 2, less += 2) {
        int32_t a = tw_pclip(tw_pmac(rounding, x[0], less[0] + 1) >> shift, 16), u = *cosine++, v = *sine++;
        int32_t b = tw_pclip(tw_pmac(rounding, x[1], less[1] + 1) >> shift, 16);
        *y++ = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> turn, 8);
        *y++ = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> turn, 8);
    }
#endif
}

/* Pairs of columns of sums, scaled and put apart. */
TW_X void spread(const int32_t *x, const uint8_t *less, int8_t *y, const struct piece *piece)
{
    int32_t shift = piece->shift, step = piece->step;
#ifdef __riscv
    int32_t a = piece->pairs, b, u, v;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[a]", "12") TW_LW("%[a]", "%[x]", "4") TW_LBU("%[u]", "%[less]", "1")
        TW_LW("%[b]", "%[x]", "4") TW_LBU("%[v]", "%[less]", "1") TW_TIMES("%[a]", "%[u]") TW_TIMES("%[b]", "%[v]")
        TW_ADDRN("%[a]", "x0", "%[shift]") TW_ADDRN("%[b]", "x0", "%[shift]")
        TW_CLIP("%[a]", "%[a]", "8") TW_CLIP("%[b]", "%[b]", "8") TW_SB_BY("%[a]", "%[y]", "%[step]")
        TW_SB_BY("%[b]", "%[y]", "%[step]") TW_ASM_END
        : [x] "+r"(x), [less] "+r"(less), [y] "+r"(y), [a] "+r"(a), [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v)
        : [shift] "r"(shift), [step] "r"(step)
        : "memory");
    /* clang-format on */
#else
    int32_t rounding = tw_half(shift);
    for (int count = 2 * piece->pairs; count > 0; count--, y += step)
        *y = (int8_t)tw_pclip(tw_pmac(rounding, *x++, *less++ + 1) >> shift, 8);
#endif
}

/* A token's sums x, for each head of the caches `group` queries, a key and a value: scaled, the first two turned by
 * pairs, keys and values to position pos. mul: multipliers, less one. sizes: how many pieces each of eight cores has at
 * most, and what they are. See TurnedHeads. */
void __attribute__((minsize)) tw_cluster_turned_heads(const struct tw_cluster_turned_heads *given, int pos)
{
    int left = *given->sizes;
    const struct piece *piece = (const struct piece *)(const void *)(given->sizes + 1) + tw_core() * left;
    for (left *= 8 / TW_CORES; left > 0; left--, piece++) {
        if (piece->pairs == 0)
            continue;
        const int32_t *x = given->x + piece->x;
        const uint8_t *less = given->mul + piece->mul;
        int32_t further = piece->to + pos * piece->position;
        if (piece->turn < 0)
            spread(x, less, given->state_v + further, piece);
        else
            turned(x, less, given->angles, (piece->position == 0 ? given->y : given->state_k) + further, piece);
    }
}

/* y = clip((table[gate + 128] * up + half) >> shift) for one row of sums x: `columns` gates, then what they gate, each
 * clip((x * mul + half) >> shift) of its own shift before. mul: multipliers, less one. Or with a shift that is part of
 * the instructions. */
#ifdef __riscv
#define GATED_SUMS(symbol, size, product)                                                                              \
    void symbol(const struct symbol *given, int first, int last)                                                       \
    {                                                                                                                  \
        const int32_t *x = given->x + first, *up = x + given->columns;                                                 \
        const uint8_t *mul = given->mul + first, *by = mul + given->columns;                                           \
        const int16_t *table = given->table + 128;                                                                     \
        int8_t *y = given->y + first;                                                                                  \
        int32_t gate_shift = given->gate_shift, up_shift = given->up_shift, n = last - first, a, b, p, q;              \
        if (n <= 0)                                                                                                    \
            return;                                                                                                    \
        __asm__ volatile(                                                                                              \
            TW_ASM_BEGIN TW_LOOP("0", "%[n]", size) TW_LW("%[a]", "%[x]", "4") TW_LBU("%[p]", "%[mul]", "1")           \
            TW_LW("%[b]", "%[up]", "4") TW_LBU("%[q]", "%[by]", "1") TW_TIMES("%[a]", "%[p]") TW_TIMES("%[b]", "%[q]") \
            TW_ADDRN("%[a]", "x0", "%[gate]") TW_CLIP("%[a]", "%[a]", "8") "slli %[a], %[a], 1\n"                      \
            TW_LH_AT("%[a]", "%[table]", "%[a]") TW_ADDRN("%[b]", "x0", "%[upper]") TW_CLIP("%[b]", "%[b]", "8")       \
            product TW_CLIP("%[a]", "%[a]", "8") TW_SB("%[a]", "%[y]", "1") TW_ASM_END                                 \
            : [a] "=&r"(a), [b] "=&r"(b), [p] "=&r"(p), [q] "=&r"(q), [x] "+&r"(x), [up] "+&r"(up), [mul] "+&r"(mul),  \
              [by] "+&r"(by), [y] "+&r"(y)                                                                             \
            : [n] "r"(n), [table] "r"(table), [gate] "r"(gate_shift), [upper] "r"(up_shift), [shift] "r"(given->shift) \
            : "memory");                                                                                               \
    }
#define GATED_SUMS_BY(shift)                                                                                           \
    GATED_SUMS(tw_cluster_gated_sums_##shift, "15", TW_ROUNDED_PRODUCT("%[a]", "%[a]", "%[b]", #shift))
#else
#define GATED_SUMS(symbol, ...)                                                                                        \
    void symbol(const struct symbol *given, int first, int last)                                                       \
    {                                                                                                                  \
        int gate_shift = given->gate_shift, up_shift = given->up_shift, shift = given->shift;                          \
        for (int i = first, j = given->columns + first; i < last; i++, j++) {                                          \
            int32_t gate = tw_pmac(tw_half(gate_shift), given->x[i], given->mul[i] + 1) >> gate_shift;                 \
            int32_t value = tw_pmac(tw_half(up_shift), given->x[j], given->mul[j] + 1) >> up_shift;                    \
            value = tw_pmac(tw_half(shift), given->table[tw_pclip(gate, 8) + 128], tw_pclip(value, 8)) >> shift;       \
            given->y[i] = (int8_t)tw_pclip(value, 8);                                                                  \
        }                                                                                                              \
    }
#define GATED_SUMS_BY(shift) GATED_SUMS(tw_cluster_gated_sums_##shift, )
#endif
GATED_SUMS(tw_cluster_gated_sums, "16", TW_MULS("%[a]", "%[a]", "%[b]") TW_ADDRN("%[a]", "x0", "%[shift]"))
GATED_SUMS_BY(11)
GATED_SUMS_BY(12)
GATED_SUMS_BY(13)
GATED_SUMS_BY(14)
GATED_SUMS_BY(15)
GATED_SUMS_BY(16)
