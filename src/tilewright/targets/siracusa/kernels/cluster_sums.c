/* What follows the sums of a token's products in quantised llamas, where these are neither scaled nor cut. */
#include "tw_kernels.h"
#include "tw_llama.h"
#include "tw_together.h"

/* Pairs of columns of a part: where they begin in x, and in y or a state, in bytes; queries, keys or values. */
struct piece {
    int32_t pairs, x, mul, angles, to, kind, shift, half;
};

/* Of what TurnedHeads does, and how many pieces each of eight cores has at most. */
struct heads {
    int32_t pieces, n, sine, pitch, turn, half;
};

/* Pairs of columns of sums, scaled and turned. */
TW_X void turned(const int32_t *x, const uint8_t *mul, const int16_t *cosine, const int16_t *sine, int8_t *y,
                 const struct piece *piece, const struct heads *f)
{
    int32_t shift = piece->shift, rounding = piece->half, turn = f->turn, half = f->half;
#ifdef __riscv
    int32_t a, b, u, v, p;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "22") TW_LW("%[a]", "%[x]", "4") TW_LBU("%[u]", "%[mul]", "1")
        TW_LW("%[b]", "%[x]", "4") TW_LBU("%[v]", "%[mul]", "1") "mul %[a], %[a], %[u]\n" "mul %[b], %[b], %[v]\n"
        TW_LH("%[u]", "%[cosine]", "2") TW_LH("%[v]", "%[sine]", "2") TW_ADDN("%[a]", "%[rounding]", "%[shift]")
        TW_ADDN("%[b]", "%[rounding]", "%[shift]") TW_CLIP("%[a]", "%[a]", "16") TW_CLIP("%[b]", "%[b]", "16")
        "mul %[p], %[a], %[v]\n" "mul %[a], %[a], %[u]\n" TW_MAC("%[p]", "%[b]", "%[u]")
        TW_MSU("%[a]", "%[b]", "%[v]") TW_ADDN("%[p]", "%[half]", "%[turn]") TW_ADDN("%[a]", "%[half]", "%[turn]")
        TW_CLIP("%[p]", "%[p]", "8") TW_CLIP("%[a]", "%[a]", "8") TW_SB("%[a]", "%[y]", "1")
        TW_SB("%[p]", "%[y]", "1") TW_ASM_END
        : [x] "+r"(x), [mul] "+r"(mul), [cosine] "+r"(cosine), [sine] "+r"(sine), [y] "+r"(y), [a] "=&r"(a),
          [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v), [p] "=&r"(p)
        : [pairs] "r"(piece->pairs), [shift] "r"(shift), [turn] "r"(turn), [half] "r"(half), [rounding] "r"(rounding)
        : "memory");
    /* clang-format on */
#else
    for (int pairs = piece->pairs; pairs > 0; pairs--, x += 2, mul += 2) {
        int32_t a = tw_pclip(tw_pmac(rounding, x[0], mul[0]) >> shift, 16), u = *cosine++, v = *sine++;
        int32_t b = tw_pclip(tw_pmac(rounding, x[1], mul[1]) >> shift, 16);
        *y++ = (int8_t)tw_pclip(tw_pmsu(tw_pmac(half, a, u), b, v) >> turn, 8);
        *y++ = (int8_t)tw_pclip(tw_pmac(tw_pmac(half, a, v), b, u) >> turn, 8);
    }
#endif
}

/* Pairs of columns of sums, scaled and put `pitch` bytes from each other. */
TW_X void spread(const int32_t *x, const uint8_t *mul, int8_t *y, int pitch, const struct piece *piece)
{
    int32_t shift = piece->shift, rounding = piece->half;
#ifdef __riscv
    int32_t a, b, u, v;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[pairs]", "12") TW_LW("%[a]", "%[x]", "4") TW_LBU("%[u]", "%[mul]", "1")
        TW_LW("%[b]", "%[x]", "4") TW_LBU("%[v]", "%[mul]", "1") "mul %[a], %[a], %[u]\n" "mul %[b], %[b], %[v]\n"
        TW_ADDN("%[a]", "%[rounding]", "%[shift]") TW_ADDN("%[b]", "%[rounding]", "%[shift]")
        TW_CLIP("%[a]", "%[a]", "8") TW_CLIP("%[b]", "%[b]", "8") TW_SB_BY("%[a]", "%[y]", "%[pitch]")
        TW_SB_BY("%[b]", "%[y]", "%[pitch]") TW_ASM_END
        : [x] "+r"(x), [mul] "+r"(mul), [y] "+r"(y), [a] "=&r"(a), [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v)
        : [pairs] "r"(piece->pairs), [shift] "r"(shift), [pitch] "r"(pitch), [rounding] "r"(rounding)
        : "memory");
    /* clang-format on */
#else
    for (int count = 2 * piece->pairs; count > 0; count--, y += pitch)
        *y = (int8_t)tw_pclip(tw_pmac(rounding, *x++, *mul++) >> shift, 8);
#endif
}

/* A token's sums x, for each head of the caches `group` queries, a key and a value: scaled, the first two turned by
 * pairs, keys and values to position pos. sizes: heads, and each core's pieces. See TurnedHeads. */
void __attribute__((minsize)) tw_cluster_turned_heads(const struct tw_cluster_turned_heads *given, int pos)
{
    const struct heads *f = (const struct heads *)(const void *)given->sizes;
    int left = f->pieces;
    const struct piece *piece = (const struct piece *)(const void *)(f + 1) + tw_core() * left;
    for (left *= 8 / TW_CORES; left > 0; left--, piece++) {
        if (piece->pairs == 0)
            continue;
        const int32_t *x = (const int32_t *)(const void *)((const char *)given->x + piece->x);
        const uint8_t *mul = given->mul + piece->mul;
        if (piece->kind == 2)
            spread(x, mul, given->state_v + pos + piece->to, f->pitch, piece);
        else {
            const int16_t *cosine = (const int16_t *)(const void *)((const char *)given->angles + piece->angles);
            int8_t *to = piece->kind == 0 ? given->y : given->state_k + pos * f->n;
            turned(x, mul, cosine, cosine + f->sine, to + piece->to, piece, f);
        }
    }
}

/* y = clip((table[gate + 128] * up + half) >> shift) for one row of sums x: `columns` gates, then what they gate, each
 * clip((x * mul + half) >> shift) of its own shift before. */
void tw_cluster_gated_sums(const struct tw_cluster_gated_sums *given, int first, int last)
{
    const int32_t *x = given->x + first, *up = x + given->columns;
    const uint8_t *mul = given->mul + first, *by = mul + given->columns;
    const int16_t *table = given->table + 128;
    int8_t *y = given->y + first;
    int32_t gate_shift = given->gate_shift, up_shift = given->up_shift, shift = given->shift, n = last - first;
    if (n <= 0)
        return;
#ifdef __riscv
    int32_t a, b, p, q;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("0", "%[n]", "16") TW_LW("%[a]", "%[x]", "4") TW_LBU("%[p]", "%[mul]", "1")
        TW_LW("%[b]", "%[up]", "4") TW_LBU("%[q]", "%[by]", "1") "mul %[a], %[a], %[p]\nmul %[b], %[b], %[q]\n"
        TW_ADDRN("%[a]", "x0", "%[gate]") TW_CLIP("%[a]", "%[a]", "8") "slli %[a], %[a], 1\n"
        TW_LH_AT("%[a]", "%[table]", "%[a]") TW_ADDRN("%[b]", "x0", "%[upper]") TW_CLIP("%[b]", "%[b]", "8")
        TW_MULS("%[a]", "%[a]", "%[b]") TW_ADDRN("%[a]", "x0", "%[shift]") TW_CLIP("%[a]", "%[a]", "8")
        TW_SB("%[a]", "%[y]", "1") TW_ASM_END
        : [a] "=&r"(a), [b] "=&r"(b), [p] "=&r"(p), [q] "=&r"(q), [x] "+&r"(x), [up] "+&r"(up), [mul] "+&r"(mul),
          [by] "+&r"(by), [y] "+&r"(y)
        : [n] "r"(n), [table] "r"(table), [gate] "r"(gate_shift), [upper] "r"(up_shift), [shift] "r"(shift)
        : "memory");
    /* clang-format on */
#else
    for (int i = 0; i < n; i++) {
        int32_t gate = tw_pclip(tw_pmac(tw_half(gate_shift), x[i], mul[i]) >> gate_shift, 8);
        int32_t value = tw_pclip(tw_pmac(tw_half(up_shift), up[i], by[i]) >> up_shift, 8);
        y[i] = (int8_t)tw_pclip(tw_pmac(tw_half(shift), table[gate], value) >> shift, 8);
    }
#endif
}
