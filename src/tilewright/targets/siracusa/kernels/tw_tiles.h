/* Tiles of 4 rows of weights by 2 rows of inputs, down to results: for what tiles of four rows of inputs leave, see
 * tw_tiles_4x4.h. 14 instructions per word of inputs; see tw_gemm.h for the operands. */
#ifndef TW_TILES_H
#define TW_TILES_H

#include "tw_gemm.h"

/* What tiles have in common, and where they are; the assembly below knows the offsets. Bytes: y_step from one row of
 * results to the next, r_step from results to the residuals that they join, z_step to the second row of inputs; w_step
 * from the end of a row back to its begin, x_step on to what is next, y_next to the results of the next block. */
struct tw_tile {
    int32_t mul[4], add[4], add_high[4];
    int32_t low, high, acc_low, acc_high, shift, z_step, y_step, r_step;
    struct tw_columns {
        int32_t words; /* of a row */
        char *y;
        int32_t x_step;
        const void *x;
        int32_t tiles, blocks, y_next; /* of rows of inputs, of rows of weights */
        const void *mul;
        int32_t mul_step, mul_mask;
        const void *add;
        int32_t add_step, w_step, numbers; /* whether blocks have numbers of their own */
        int32_t w_next, x_next, y_last;    /* of bytes: on to the next column, and from a tile's last row of results */
    } columns;
};

#ifdef __riscv
#define TW_T_INNER(code)                                                                                               \
    TW_LW("%[a]", "%[w0]", "4") TW_LW("%[b]", "%[w1]", "4") TW_LW("%[c]", "%[w2]", "4") TW_LW("%[d]", "%[w3]", "4")    \
    TW_LW("%[p]", "%[x]", "4") TW_LW("%[q]", "%[z]", "4")                                                              \
    TW_DOT(code, "%[s0]", "%[p]", "%[a]") TW_DOT(code, "%[s1]", "%[p]", "%[b]")                                        \
    TW_DOT(code, "%[s2]", "%[p]", "%[c]") TW_DOT(code, "%[s3]", "%[p]", "%[d]")                                        \
    TW_DOT(code, "%[s4]", "%[q]", "%[a]") TW_DOT(code, "%[s5]", "%[q]", "%[b]")                                        \
    TW_DOT(code, "%[s6]", "%[q]", "%[c]") TW_DOT(code, "%[s7]", "%[q]", "%[d]")
/* The multipliers and addends of a block, and its inputs. */
#define TW_T_TAKE(t, mul, add)                                                                                         \
    TW_LW_BY("%[p]", "%[a]", "%[b]") TW_LW_BY("%[q]", "%[s1]", "%[s2]")                                                \
    "and %[p], %[p], %[c]\nsw %[q], " add "(" t ")\nsw %[p], " mul "(" t ")\n"
#define TW_T_NUMBERS(t)                                                                                                \
    "lw %[a], 108(" t ")\nlw %[b], 112(" t ")\nlw %[c], 116(" t ")\nlw %[s1], 120(" t ")\nlw %[s2], 124(" t ")\n"      \
    TW_T_TAKE(t, "0", "16") TW_T_TAKE(t, "4", "20") TW_T_TAKE(t, "8", "24") TW_T_TAKE(t, "12", "28")                   \
    "sw %[a], 108(" t ")\nsw %[s1], 120(" t ")\n"
/* The first inputs and results of a block. */
#define TW_T_FIRST                                                                                                     \
    "lw %[x], 92(%[t])\nlw %[z], 68(%[t])\nlw %[y], 84(%[t])\nlw %[s0], 96(%[t])\nadd %[z], %[z], %[x]\n"
/* Sums to zero, the inner loop, weights back to their beginning, inputs on: 32 instructions. */
#define TW_T_SUMS(code)                                                                                                \
    "li %[s0], 0\nli %[s1], 0\nli %[s2], 0\nli %[s3], 0\nli %[s4], 0\nli %[s5], 0\nli %[s6], 0\nli %[s7], 0\n"         \
    "lw %[a], 80(%[t])\n" TW_LOOP("0", "%[a]", "14") TW_T_INNER(code)                                                  \
    "lw %[a], 128(%[t])\nlw %[b], 88(%[t])\nadd %[w0], %[w0], %[a]\nadd %[w1], %[w1], %[a]\n"                          \
    "add %[w2], %[w2], %[a]\nadd %[w3], %[w3], %[a]\nadd %[x], %[x], %[b]\nadd %[z], %[z], %[b]\n"
/* On to the next block, whose numbers are its own or not. */
#define TW_T_NEXT                                                                                                      \
    "lw %[a], 84(%[t])\nlw %[b], 104(%[t])\nlw %[c], 100(%[t])\nadd %[a], %[a], %[b]\naddi %[c], %[c], -1\n"           \
    "sw %[a], 84(%[t])\nsw %[c], 100(%[t])\nlw %[b], 132(%[t])\nslli %[a], %[pitch], 2\nadd %[w0], %[w0], %[a]\n"      \
    "add %[w1], %[w1], %[a]\nadd %[w2], %[w2], %[a]\nadd %[w3], %[w3], %[a]\nbeqz %[c], 3f\nbeqz %[b], 2b\nj 1b\n3:\n"
/* One channel's pair of sums: multiplier, addend, shift, bounds; 11 instructions. */
#define TW_T_SCALE(mul, add, s, z)                                                                                     \
    "lw %[a], " add "(%[t])\nlw %[p], " mul "(%[t])\nmv %[b], %[a]\n"                                                  \
    TW_MAC("%[a]", s, "%[p]") TW_MAC("%[b]", z, "%[p]") "sra %[a], %[a], %[c]\nsra %[b], %[b], %[c]\n"                 \
    TW_MAX("%[a]", "%[a]", "%[d]") TW_MAX("%[b]", "%[b]", "%[d]") TW_MIN(s, "%[a]", "%[q]") TW_MIN(z, "%[b]", "%[q]")
#define TW_T_SCALES                                                                                                    \
    "lw %[c], 64(%[t])\nlw %[d], 48(%[t])\nlw %[q], 52(%[t])\n"                                                        \
    TW_T_SCALE("0", "16", "%[s0]", "%[s4]") TW_T_SCALE("4", "20", "%[s1]", "%[s5]")                                    \
    TW_T_SCALE("8", "24", "%[s2]", "%[s6]") TW_T_SCALE("12", "28", "%[s3]", "%[s7]")
#define TW_T_BOUND(s) TW_MAX(s, s, "%[a]") TW_MIN(s, s, "%[b]")
#define TW_T_BOUNDS                                                                                                    \
    "lw %[a], 56(%[t])\nlw %[b], 60(%[t])\n"                                                                           \
    TW_T_BOUND("%[s0]") TW_T_BOUND("%[s1]") TW_T_BOUND("%[s2]") TW_T_BOUND("%[s3]")                                    \
    TW_T_BOUND("%[s4]") TW_T_BOUND("%[s5]") TW_T_BOUND("%[s6]") TW_T_BOUND("%[s7]")
/* The same in 64 bits, of which the upper 32 are shifted: 9 instructions for a sum, 13 cycles. */
#define TW_T_WIDE_ONE(s)                                                                                               \
    "mulh %[c], " s ", %[p]\nmul %[d], " s ", %[p]\nadd %[c], %[c], %[b]\nadd %[d], %[d], %[a]\n"                      \
    "sltu %[d], %[d], %[a]\nadd %[c], %[c], %[d]\nsra %[c], %[c], %[q]\n"                                              \
    TW_MAX("%[c]", "%[c]", "%[e]") TW_MIN(s, "%[c]", "%[f]")
#define TW_T_WIDE(mul, add, high, s, z)                                                                                \
    "lw %[p], " mul "(%[t])\nlw %[a], " add "(%[t])\nlw %[b], " high "(%[t])\n" TW_T_WIDE_ONE(s) TW_T_WIDE_ONE(z)
#define TW_T_WIDES                                                                                                     \
    "lw %[q], 64(%[t])\nlw %[e], 48(%[t])\nlw %[f], 52(%[t])\n"                                                        \
    TW_T_WIDE("0", "16", "32", "%[s0]", "%[s4]") TW_T_WIDE("4", "20", "36", "%[s1]", "%[s5]")                          \
    TW_T_WIDE("8", "24", "40", "%[s2]", "%[s6]") TW_T_WIDE("12", "28", "44", "%[s3]", "%[s7]")
/* Four bytes each for two rows of results: 7 instructions. */
#define TW_T_STORE                                                                                                     \
    "lw %[a], 72(%[t])\n"                                                                                              \
    ".insn r 0x57, 1, 0x70, %[s0], %[s1], %[s0]\n.insn r 0x57, 1, 0x70, %[s4], %[s5], %[s4]\n"                         \
    ".insn r 0x57, 1, 0x6c, %[s0], %[s3], %[s2]\n.insn r 0x57, 1, 0x6c, %[s4], %[s7], %[s6]\n"                         \
    TW_SW_BY("%[s0]", "%[y]", "%[a]") TW_SW_BY("%[s4]", "%[y]", "%[a]")

/* As 16 bits: 9 instructions, rows at multiples of 2 bytes. As 32 bits: 9 instructions. */
#define TW_T_STORE_16                                                                                                  \
    "lw %[a], 72(%[t])\n"                                                                                              \
    ".insn r 0x57, 0, 0x68, %[s0], %[s1], %[s0]\n.insn r 0x57, 0, 0x68, %[s2], %[s3], %[s2]\n"                         \
    ".insn r 0x57, 0, 0x68, %[s4], %[s5], %[s4]\n.insn r 0x57, 0, 0x68, %[s6], %[s7], %[s6]\n"                         \
    "sw %[s2], 4(%[y])\n" TW_SW_BY("%[s0]", "%[y]", "%[a]") "sw %[s6], 4(%[y])\n" TW_SW_BY("%[s4]", "%[y]", "%[a]")
#define TW_T_STORE_32                                                                                                  \
    "lw %[a], 72(%[t])\nsw %[s1], 4(%[y])\nsw %[s2], 8(%[y])\nsw %[s3], 12(%[y])\n" TW_SW_BY("%[s0]", "%[y]", "%[a]")  \
    "sw %[s5], 4(%[y])\nsw %[s6], 8(%[y])\nsw %[s7], 12(%[y])\n" TW_SW_BY("%[s4]", "%[y]", "%[a]")
/* Residuals of 16 bits added, saturating: 12 instructions for a row, 28 in all. */
#define TW_T_JOIN_ROW(s, z, u, v)                                                                                      \
    "lh %[p], 0(%[e])\nlh %[q], 2(%[e])\nlh %[c], 4(%[e])\nlh %[d], 6(%[e])\n"                                         \
    "add " s ", " s ", %[p]\nadd " z ", " z ", %[q]\nadd " u ", " u ", %[c]\nadd " v ", " v ", %[d]\n"                 \
    ".insn r 0x33, 1, 0x0a, " s ", " s ", x16\n.insn r 0x33, 1, 0x0a, " z ", " z ", x16\n"                             \
    ".insn r 0x33, 1, 0x0a, " u ", " u ", x16\n.insn r 0x33, 1, 0x0a, " v ", " v ", x16\n"
#define TW_T_JOIN                                                                                                      \
    "lw %[e], 76(%[t])\nlw %[f], 72(%[t])\nadd %[e], %[e], %[y]\n"                                                     \
    TW_T_JOIN_ROW("%[s0]", "%[s1]", "%[s2]", "%[s3]") "add %[e], %[e], %[f]\n"                                         \
    TW_T_JOIN_ROW("%[s4]", "%[s5]", "%[s6]", "%[s7]")

#define TW_TILES(name, code, numbers, size, tail)                                                                      \
    static __attribute__((unused, noinline)) void name(struct tw_tile *t, const int8_t *w, int pitch, int cols)        \
    {                                                                                                                  \
        const int8_t *w1 = w + pitch, *w2 = w1 + pitch, *w3 = w2 + pitch;                                              \
        int32_t s0, s1, s2, s3, s4, s5, s6, s7, a, b, c, d, e, f, p, q, x, z, y;                                       \
        (void)cols;                                                                                                    \
        __asm__ volatile(TW_ASM_BEGIN "1:\n" numbers "2:\n" TW_T_FIRST TW_LOOP("1", "%[s0]", "32+" size)               \
                             TW_T_SUMS(code) tail TW_T_NEXT TW_ASM_END                                                 \
                         : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [s4] "=&r"(s4),             \
                           [s5] "=&r"(s5), [s6] "=&r"(s6), [s7] "=&r"(s7), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c),   \
                           [d] "=&r"(d), [e] "=&r"(e), [f] "=&r"(f), [p] "=&r"(p), [q] "=&r"(q), [x] "=&r"(x),         \
                           [z] "=&r"(z), [y] "=&r"(y), [w0] "+r"(w), [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3)       \
                         : [t] "r"(t), [pitch] "r"(pitch)                                                              \
                         : "memory");                                                                                  \
    }
TW_TILES(tw_tiles_i8, TW_SDOTSP, TW_T_NUMBERS("%[t]"), "47+7", TW_T_SCALES TW_T_STORE)
TW_TILES(tw_tiles_u8, TW_SDOTUSP, TW_T_NUMBERS("%[t]"), "47+7", TW_T_SCALES TW_T_STORE)
TW_TILES(tw_tiles_bounded_i8, TW_SDOTSP, TW_T_NUMBERS("%[t]"), "18+47+7", TW_T_BOUNDS TW_T_SCALES TW_T_STORE)
TW_TILES(tw_tiles_bounded_u8, TW_SDOTUSP, TW_T_NUMBERS("%[t]"), "18+47+7", TW_T_BOUNDS TW_T_SCALES TW_T_STORE)
TW_TILES(tw_tiles_wide_i8, TW_SDOTSP, "", "87+7", TW_T_WIDES TW_T_STORE)
TW_TILES(tw_tiles_wide_u8, TW_SDOTUSP, "", "87+7", TW_T_WIDES TW_T_STORE)
TW_TILES(tw_tiles_halves_i8, TW_SDOTSP, TW_T_NUMBERS("%[t]"), "47+9", TW_T_SCALES TW_T_STORE_16)
TW_TILES(tw_tiles_join_i8, TW_SDOTSP, TW_T_NUMBERS("%[t]"), "47+28+9", TW_T_SCALES TW_T_JOIN TW_T_STORE_16)
TW_TILES(tw_tiles_sums_i8, TW_SDOTSP, "", "9", TW_T_STORE_32)
TW_TILES(tw_tiles_sums_u8, TW_SDOTUSP, "", "9", TW_T_STORE_32)
#endif

#endif
