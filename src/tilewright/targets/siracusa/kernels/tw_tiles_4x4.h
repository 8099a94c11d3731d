/* Tiles of 4 rows of weights by 4 rows of inputs, down to results: columns of tiles in two hardware loops.
 *
 * 24 instructions for 64 products: 16 sums stay in registers, and rows are walked by one pointer that steps down and
 * back. That takes all registers that there are, so the tile's numbers, results' address among them, are in memory. See
 * tw_gemm.h for the operands and tw_tiles.h for tiles of two rows of inputs, which take what is left. */
#ifndef TW_TILES_4X4_H
#define TW_TILES_4X4_H

#include "tw_tiles.h"

#ifdef __riscv
#define TW_Q_ROW(code, x, s, z, u, v)                                                                                  \
    TW_DOT(code, s, x, "%[a]") TW_DOT(code, z, x, "%[b]") TW_DOT(code, u, x, "%[c]") TW_DOT(code, v, x, "%[d]")
/* Loads stand apart: rows of inputs often lie in the same bank, and all cores read the same ones. */
#define TW_Q_INNER(code, more)                                                                                         \
    TW_LW_BY("%[a]", "%[w]", "%[pitch]") TW_LW_BY("%[b]", "%[w]", "%[pitch]") TW_LW_BY("%[p]", "%[x]", "%[cols]")      \
    TW_LW_BY("%[c]", "%[w]", "%[pitch]") TW_LW_BY("%[d]", "%[w]", "%[back]") TW_DOT(code, "%[s0]", "%[p]", "%[a]")     \
    TW_LW_BY("%[q]", "%[x]", "%[cols]") TW_DOT(code, "%[s1]", "%[p]", "%[b]") TW_DOT(code, "%[s2]", "%[p]", "%[c]")    \
    TW_DOT(code, "%[s3]", "%[p]", "%[d]") TW_LW_BY("%[p]", "%[x]", "%[cols]")                                          \
    TW_Q_ROW(code, "%[q]", "%[s4]", "%[s5]", "%[s6]", "%[s7]") TW_LW_BY("%[q]", "%[x]", "%[across]")                   \
    TW_Q_ROW(code, "%[p]", "%[s8]", "%[s9]", "%[s10]", "%[s11]") more                                                  \
    TW_Q_ROW(code, "%[q]", "%[s12]", "%[s13]", "%[s14]", "%[s15]")
#define TW_Q_ALL(f) /* f of every sum */                                                                               \
    f("%[s0]") f("%[s1]") f("%[s2]") f("%[s3]") f("%[s4]") f("%[s5]") f("%[s6]") f("%[s7]")                            \
    f("%[s8]") f("%[s9]") f("%[s10]") f("%[s11]") f("%[s12]") f("%[s13]") f("%[s14]") f("%[s15]")
#define TW_Q_ROWS(f) /* f of the four sums of every row of inputs */                                                   \
    f("%[s0]", "%[s1]", "%[s2]", "%[s3]") f("%[s4]", "%[s5]", "%[s6]", "%[s7]")                                        \
    f("%[s8]", "%[s9]", "%[s10]", "%[s11]") f("%[s12]", "%[s13]", "%[s14]", "%[s15]")
#define TW_Q_CHANNELS(f) /* f of where a channel's multiplier, addend and its upper half are, and its four sums */     \
    f("0", "16", "32", "%[s0]", "%[s4]", "%[s8]", "%[s12]") f("4", "20", "36", "%[s1]", "%[s5]", "%[s9]", "%[s13]")    \
    f("8", "24", "40", "%[s2]", "%[s6]", "%[s10]", "%[s14]") f("12", "28", "44", "%[s3]", "%[s7]", "%[s11]", "%[s15]")
/* Sums: the first words, the inner loop, weights back to their beginning, inputs on; 55 instructions. */
#define TW_Q_SUMS(signs)                                                                                               \
    TW_Q_INNER(TW_DOT##signs, "lw %[p], %[more]\n") TW_LOOP("0", "%[p]", "24") TW_Q_INNER(TW_SDOT##signs, "")          \
    "lw %[d], %[t]\nlw %[a], %[w_step]\nlw %[b], 88(%[d])\nadd %[w], %[w], %[a]\nadd %[x], %[x], %[b]\n"
/* Multiplier, addend, shift: 41 instructions, 38 where the addend is the same. In 64 bits, of which the upper 32 are
 * shifted: 125. */
#define TW_Q_SCALE_ALL(m, s, z, u, v)                                                                                  \
    "mul " s ", " s ", " m "\nmul " z ", " z ", " m "\nmul " u ", " u ", " m "\nmul " v ", " v ", " m "\n"
#define TW_Q_SHIFT(s, z, u, v)                                                                                         \
    TW_ADD_SRA(s, "%[a]", "%[c]") TW_ADD_SRA(z, "%[a]", "%[c]") TW_ADD_SRA(u, "%[a]", "%[c]")                          \
    TW_ADD_SRA(v, "%[a]", "%[c]")
#define TW_Q_SCALE(mul, add, high, s, z, u, v)                                                                         \
    "lw %[p], " mul "(%[d])\nlw %[a], " add "(%[d])\n" TW_Q_SCALE_ALL("%[p]", s, z, u, v) TW_Q_SHIFT(s, z, u, v)
#define TW_Q_SCALES "lw %[c], 64(%[d])\n" TW_Q_CHANNELS(TW_Q_SCALE)
/* With one addend. */
#define TW_Q_SCALES_ONE                                                                                                \
    "lw %[p], 0(%[d])\nlw %[q], 4(%[d])\nlw %[a], 16(%[d])\nlw %[c], 64(%[d])\n"                                       \
    TW_Q_SCALE_ALL("%[p]", "%[s0]", "%[s4]", "%[s8]", "%[s12]")                                                        \
    TW_Q_SCALE_ALL("%[q]", "%[s1]", "%[s5]", "%[s9]", "%[s13]")                                                        \
    "lw %[p], 8(%[d])\nlw %[q], 12(%[d])\n"                                                                            \
    TW_Q_SHIFT("%[s0]", "%[s4]", "%[s8]", "%[s12]") TW_Q_SHIFT("%[s1]", "%[s5]", "%[s9]", "%[s13]")                    \
    TW_Q_SCALE_ALL("%[p]", "%[s2]", "%[s6]", "%[s10]", "%[s14]")                                                       \
    TW_Q_SCALE_ALL("%[q]", "%[s3]", "%[s7]", "%[s11]", "%[s15]")                                                       \
    TW_Q_SHIFT("%[s2]", "%[s6]", "%[s10]", "%[s14]") TW_Q_SHIFT("%[s3]", "%[s7]", "%[s11]", "%[s15]")
#define TW_Q_WIDE_ONE(s)                                                                                               \
    "mulh %[c], " s ", %[p]\nmul " s ", " s ", %[p]\nadd %[c], %[c], %[b]\nadd " s ", " s ", %[a]\n"                   \
    "sltu " s ", " s ", %[a]\nadd %[c], %[c], " s "\nsra " s ", %[c], %[q]\n"
#define TW_Q_WIDE(mul, add, high, s, z, u, v)                                                                          \
    "lw %[a], " add "(%[d])\nlw %[p], " mul "(%[d])\nlw %[b], " high "(%[d])\n"                                        \
    TW_Q_WIDE_ONE(s) TW_Q_WIDE_ONE(z) TW_Q_WIDE_ONE(u) TW_Q_WIDE_ONE(v)
#define TW_Q_WIDES "lw %[q], 64(%[d])\n" TW_Q_CHANNELS(TW_Q_WIDE)
/* Bounds: 16 instructions where they are those of bytes, 17 where they are -high - 1 and high, else 34. */
#define TW_Q_BYTE_ONE(s) ".insn r 0x33, 1, 0x0a, " s ", " s ", x8\n"
#define TW_Q_CLIP_ONE(s) TW_CLIPR(s, s, "%[b]")
#define TW_Q_CLIP "lw %[b], 52(%[d])\n" TW_Q_ALL(TW_Q_CLIP_ONE)
#define TW_Q_BOUND_ONE(s) TW_MAX(s, s, "%[a]") TW_MIN(s, s, "%[b]")
#define TW_Q_BOUND "lw %[a], 48(%[d])\nlw %[b], 52(%[d])\n" TW_Q_ALL(TW_Q_BOUND_ONE)
#define TW_Q_BOUND_SUMS "lw %[a], 56(%[d])\nlw %[b], 60(%[d])\n" TW_Q_ALL(TW_Q_BOUND_ONE)
/* Results as 8, 16 or 32 bits: 15, 19 and 19 instructions. */
#define TW_Q_STORES(store) "lw %[a], 72(%[d])\nlw %[b], 84(%[d])\n" TW_Q_ROWS(store) "sw %[b], 84(%[d])\n"
#define TW_Q_STORE_8(s, z, u, v)                                                                                       \
    ".insn r 0x57, 1, 0x70, " s ", " z ", " s "\n.insn r 0x57, 1, 0x6c, " s ", " v ", " u "\n"                         \
    TW_SW_BY(s, "%[b]", "%[a]")
#define TW_Q_STORE_16(s, z, u, v)                                                                                      \
    ".insn r 0x57, 0, 0x68, " s ", " z ", " s "\n.insn r 0x57, 0, 0x68, " u ", " v ", " u "\n"                         \
    "sw " u ", 4(%[b])\n" TW_SW_BY(s, "%[b]", "%[a]")
#define TW_Q_STORE_32(s, z, u, v)                                                                                      \
    "sw " z ", 4(%[b])\nsw " u ", 8(%[b])\nsw " v ", 12(%[b])\n" TW_SW_BY(s, "%[b]", "%[a]")
/* Residuals of 16 bits added, saturating: 60 instructions. */
#define TW_Q_JOIN_ROW(s, z, u, v)                                                                                      \
    "lh %[p], 0(%[a])\nlh %[q], 2(%[a])\nadd " s ", " s ", %[p]\nlh %[p], 4(%[a])\nadd " z ", " z ", %[q]\n"           \
    "lh %[q], 6(%[a])\nadd " u ", " u ", %[p]\nadd %[a], %[a], %[b]\nadd " v ", " v ", %[q]\n"                         \
    ".insn r 0x33, 1, 0x0a, " s ", " s ", x16\n.insn r 0x33, 1, 0x0a, " z ", " z ", x16\n"                             \
    ".insn r 0x33, 1, 0x0a, " u ", " u ", x16\n.insn r 0x33, 1, 0x0a, " v ", " v ", x16\n"
#define TW_Q_JOIN                                                                                                      \
    "lw %[a], 76(%[d])\nlw %[b], 84(%[d])\nadd %[a], %[a], %[b]\nlw %[b], 72(%[d])\n" TW_Q_ROWS(TW_Q_JOIN_ROW)

/* Weights and results of the next block. Numbers that are the same for all blocks are taken once. */
#define TW_Q_NEXT                                                                                                      \
    "lw %[d], %[t]\nslli %[a], %[pitch], 2\nlw %[p], 100(%[d])\nadd %[w], %[w], %[a]\nlw %[a], 84(%[d])\n"             \
    "lw %[b], 104(%[d])\naddi %[p], %[p], -1\nsw %[p], 100(%[d])\nadd %[a], %[a], %[b]\nlw %[b], 132(%[d])\n"          \
    "sw %[a], 84(%[d])\nbeqz %[p], 3f\nbeqz %[b], 2b\nj 1b\n3:\n"

/* Bytes: multipliers alone are taken, and columns of tiles go along the rows of weights or the rows of inputs. */
#define TW_Q_MULS                                                                                                      \
    "lw %[a], 108(%[d])\nlw %[b], 112(%[d])\n" TW_LW_BY("%[p]", "%[a]", "%[b]") TW_LW_BY("%[q]", "%[a]", "%[b]")       \
    "sw %[p], 0(%[d])\nsw %[q], 4(%[d])\n" TW_LW_BY("%[p]", "%[a]", "%[b]") TW_LW_BY("%[q]", "%[a]", "%[b]")           \
    "sw %[p], 8(%[d])\nsw %[q], 12(%[d])\nsw %[a], 108(%[d])\n"
/* The same twice in a word; then 52 instructions for all sums: with s = 2^16 h + l and l >= 0, (s mul + 2^15) >> 16 is
 * h mul + ((l mul + 2^15) >> 16), two products of halves. */
#define TW_Q_TWO_HALVES(first, second)                                                                                 \
    TW_LW_BY("%[p]", "%[a]", "%[b]") TW_LW_BY("%[q]", "%[a]", "%[b]") TW_TWICE("%[p]") TW_TWICE("%[q]")                \
    "sw %[p], " first "(%[d])\nsw %[q], " second "(%[d])\n"
#define TW_Q_HALVES                                                                                                    \
    "lw %[a], 108(%[d])\nlw %[b], 112(%[d])\n" TW_Q_TWO_HALVES("0", "4") TW_Q_TWO_HALVES("8", "12")                    \
    "sw %[a], 108(%[d])\n"
#define TW_TWICE(s) ".insn r 0x57, 0, 0x68, " s ", " s ", " s "\n"
#define TW_Q_ROUND_TWO(m, s, z)                                                                                        \
    ".insn r 0x5b, 4, 16, %[a], " s ", " m "\n.insn r 0x5b, 4, 16, %[b], " z ", " m "\n"                               \
    ".insn r 0x5b, 1, 3<<5, %[a], " s ", " m "\n.insn r 0x5b, 1, 3<<5, %[b], " z ", " m "\n"                           \
    ".insn r 0x33, 1, 0x0a, " s ", %[a], x8\n.insn r 0x33, 1, 0x0a, " z ", %[b], x8\n"
#define TW_Q_ROUND(mul, s, z, u, v) TW_Q_ROUND_TWO(mul, s, z) TW_Q_ROUND_TWO(mul, u, v)
#define TW_Q_ROUNDED                                                                                                   \
    "lw %[p], 0(%[d])\nlw %[q], 4(%[d])\nlw %[c], 8(%[d])\n" TW_Q_ROUND("%[p]", "%[s0]", "%[s4]", "%[s8]", "%[s12]")   \
    "lw %[p], 12(%[d])\n" TW_Q_ROUND("%[q]", "%[s1]", "%[s5]", "%[s9]", "%[s13]")                                      \
    TW_Q_ROUND("%[c]", "%[s2]", "%[s6]", "%[s10]", "%[s14]") TW_Q_ROUND("%[p]", "%[s3]", "%[s7]", "%[s11]", "%[s15]")
#define TW_Q_PACK_8(s, z, u, v)                                                                                        \
    ".insn r 0x57, 1, 0x70, " s ", " z ", " s "\n.insn r 0x57, 1, 0x6c, " s ", " v ", " u "\n"
#define TW_Q_STORES_8 /* 16 instructions */                                                                            \
    "lw %[a], 72(%[d])\nlw %[b], 84(%[d])\nlw %[c], 144(%[d])\n" TW_Q_ROWS(TW_Q_PACK_8)                                \
    TW_SW_BY("%[s0]", "%[b]", "%[a]") TW_SW_BY("%[s4]", "%[b]", "%[a]") TW_SW_BY("%[s8]", "%[b]", "%[a]")              \
    TW_SW_BY("%[s12]", "%[b]", "%[c]") "sw %[b], 84(%[d])\n"
#define TW_Q_NEXT_COLUMN                                                                                               \
    "lw %[a], 136(%[d])\nlw %[b], 140(%[d])\nlw %[c], 92(%[d])\nadd %[w], %[w], %[a]\nlw %[p], 100(%[d])\n"            \
    "add %[c], %[c], %[b]\nlw %[a], 84(%[d])\nlw %[b], 104(%[d])\nsw %[c], 92(%[d])\naddi %[p], %[p], -1\n"            \
    "add %[a], %[a], %[b]\nlw %[b], 132(%[d])\nsw %[p], 100(%[d])\nsw %[a], 84(%[d])\nbeqz %[p], 3f\n"                 \
    "beqz %[b], 2b\nj 1b\n3:\n"

/* Tiles begin with a line of the instruction cache. */
#define TW_TILES_4X4_OF(kind, name, signs, numbers, size, tail, next)                                                  \
    kind __attribute__((unused, noinline)) void name(struct tw_tile *t, const int8_t *w, int pitch, int cols)          \
    {                                                                                                                  \
        const void *x;                                                                                                 \
        int32_t more = t->columns.words - 1, w_step = t->columns.w_step;                                               \
        int32_t s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15, a, b, c, d, p, q;                \
        __asm__ volatile(TW_ASM_BEGIN "lw %[d], %[t]\n1:\n" numbers ".p2align 4\nnop\n2:\nlw %[s0], 96(%[d])\n"        \
                                      "lw %[x], 92(%[d])\n" TW_LOOP("1", "%[s0]", "55+" size)                          \
                             TW_Q_SUMS(signs) tail next TW_ASM_END                                                     \
                         : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [s4] "=&r"(s4),             \
                           [s5] "=&r"(s5), [s6] "=&r"(s6), [s7] "=&r"(s7), [s8] "=&r"(s8), [s9] "=&r"(s9),             \
                           [s10] "=&r"(s10), [s11] "=&r"(s11), [s12] "=&r"(s12), [s13] "=&r"(s13), [s14] "=&r"(s14),   \
                           [s15] "=&r"(s15), [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [p] "=&r"(p),     \
                           [q] "=&r"(q), [x] "=&r"(x), [w] "+r"(w)                                                     \
                         : [pitch] "r"(pitch), [back] "r"(4 - 3 * pitch), [cols] "r"(cols),                            \
                           [across] "r"(4 - 3 * cols), [t] "m"(t), [more] "m"(more), [w_step] "m"(w_step)              \
                         : "memory");                                                                                  \
    }
#define TW_TILES_4X4(name, signs, numbers, size, tail)                                                                 \
    TW_TILES_4X4_OF(static, name, signs, numbers, size, tail, TW_Q_NEXT)
/* The usual ones stand beside what layers call, the others do not: few networks have them. */
TW_TILES_4X4_OF(static, tw_fours_bytes, SP, TW_Q_MULS, "38+16+16",
                TW_Q_SCALES_ONE TW_Q_ALL(TW_Q_BYTE_ONE) TW_Q_STORES_8, TW_Q_NEXT_COLUMN)
TW_TILES_4X4_OF(TW_HELPER, tw_fours_rounded, SP, TW_Q_HALVES, "52+16", TW_Q_ROUNDED TW_Q_STORES_8, TW_Q_NEXT_COLUMN)
TW_TILES_4X4(tw_fours_i8, SP, TW_T_NUMBERS("%[d]"), "41+17+15", TW_Q_SCALES TW_Q_CLIP TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_u8, USP, TW_T_NUMBERS("%[d]"), "41+17+15", TW_Q_SCALES TW_Q_CLIP TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_between_i8, SP, TW_T_NUMBERS("%[d]"), "41+34+15",
             TW_Q_SCALES TW_Q_BOUND TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_between_u8, USP, TW_T_NUMBERS("%[d]"), "41+34+15",
             TW_Q_SCALES TW_Q_BOUND TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_bounded_i8, SP, TW_T_NUMBERS("%[d]"), "34+41+34+15",
             TW_Q_BOUND_SUMS TW_Q_SCALES TW_Q_BOUND TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_bounded_u8, USP, TW_T_NUMBERS("%[d]"), "34+41+34+15",
             TW_Q_BOUND_SUMS TW_Q_SCALES TW_Q_BOUND TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_wide_i8, SP, "", "125+34+15", TW_Q_WIDES TW_Q_BOUND TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_wide_u8, USP, "", "125+34+15", TW_Q_WIDES TW_Q_BOUND TW_Q_STORES(TW_Q_STORE_8))
TW_TILES_4X4(tw_fours_halves_i8, SP, TW_T_NUMBERS("%[d]"), "41+17+19", TW_Q_SCALES TW_Q_CLIP TW_Q_STORES(TW_Q_STORE_16))
TW_TILES_4X4(tw_fours_halves_between_i8, SP, TW_T_NUMBERS("%[d]"), "41+34+19",
             TW_Q_SCALES TW_Q_BOUND TW_Q_STORES(TW_Q_STORE_16))
TW_TILES_4X4(tw_fours_join_i8, SP, TW_T_NUMBERS("%[d]"), "41+56+19", TW_Q_SCALES TW_Q_JOIN TW_Q_STORES(TW_Q_STORE_16))
TW_TILES_4X4(tw_fours_sums_i8, SP, "", "19", TW_Q_STORES(TW_Q_STORE_32))
TW_TILES_4X4(tw_fours_sums_u8, USP, "", "19", TW_Q_STORES(TW_Q_STORE_32))
#endif

#endif
