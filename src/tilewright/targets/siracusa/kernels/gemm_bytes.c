/* Products of rows of bytes (tokens) with rows of weights, to bytes, and what follows them in networks of QuantLib's.
 *
 * What most of their time goes into: the tiles of tw_tiles_4x4.h on a short way. Rows, tokens and what a core has of
 * either are multiples of four, a row has more than four columns; requantisations fit 32 bits.
 */
#include "tw_kernels.h"
#include "tw_heads.h"
#include "tw_tiles_4x4.h"

#define SMALL __attribute__((minsize))

/* Rows of weights have an odd number of words: those of a tile lie in different banks. */
TW_X int pitch_of(int cols)
{
    return 4 * (TW_WORDS(cols) | 1);
}

enum { USUAL = -1 }; /* shift: by 16, add is 2^15, mul >= 0 has 15 bits */

/* y[t][r] = clip((x[t] . w[r] * mul[r] + add) >> shift). x: [tokens][cols], y: rows of y_step; mul_step: elements from
 * one row's multiplier to the next. `own`: whether every four rows have multipliers of their own, else all have the
 * first four, and tiles go along the rows of weights where these are more. */
TW_HELPER SMALL void bytes_of(const int8_t *x, const int8_t *w, const int32_t *mul,
                                                            int mul_step, int own, int32_t add, int shift, int8_t *y,
                                                            int y_step, int tokens, int rows, int cols)
{
    int pitch = pitch_of(cols);
#ifdef __riscv
    int across = !own && rows > tokens, words = 4 * TW_WORDS(cols);
    struct tw_tile t;
    struct tw_columns *c = &t.columns;
    t.add[0] = add, t.shift = shift, t.y_step = y_step;
    c->words = TW_WORDS(cols), c->y = (char *)y, c->x = x, c->mul = mul, c->mul_step = 4 * mul_step, c->numbers = own;
    c->x_step = -words, c->w_step = -words;
    if (across) {
        c->tiles = rows >> 2, c->blocks = tokens >> 2, c->x_next = 4 * cols, c->w_step += 4 * pitch;
        c->w_next = -rows * pitch, c->y_last = 4 - 3 * y_step, c->y_next = 4 * y_step - rows;
    } else {
        c->tiles = tokens >> 2, c->blocks = rows >> 2, c->x_next = 0, c->x_step += 4 * cols;
        c->w_next = 4 * pitch, c->y_last = y_step, c->y_next = 4 - tokens * y_step;
    }
    if (shift == USUAL)
        tw_fours_rounded(&t, w, pitch, cols);
    else
        tw_fours_bytes(&t, w, pitch, cols);
#else
    shift = shift == USUAL ? 16 : shift;
    for (int i = 0; i < tokens; i++)
        for (int r = 0; r < rows; r++) {
            int32_t sum = tw_dot_row(0, w + r * pitch, x + i * cols, cols, 1);
            y[i * y_step + r] = (int8_t)tw_pclip(tw_pmac(add, sum, mul[(own ? r : r % 4) * mul_step]) >> shift, 8);
        }
#endif
}

/* A core computes some rows of weights for all tokens, or all of them for some tokens. */
void SMALL tw_gemm_bytes(const struct tw_gemm_bytes *given, int first, int last)
{
    int token = 0, tokens = given->tokens, rows = given->rows, cols = given->cols, count = last - first;
    int mul_step = given->mul_step;
    if (count <= 0)
        return;
    if (given->by_tokens)
        token = first, tokens = count, first = 0, count = rows;
    bytes_of(given->x + token * cols, given->w + first * pitch_of(cols), given->mul + first * mul_step, mul_step,
             mul_step, *given->add, given->shift, given->y + token * rows + first, rows, tokens, count, cols);
}

#ifdef __riscv
#define FOUR(f) f("%[a0]", "%[b0]", "0") f("%[a1]", "%[b1]", "1") f("%[a2]", "%[b2]", "2") f("%[a3]", "%[b3]", "3")
#define TAKEN(a, b, i) TW_LBU(a, "%[r]", "1")
#define READ(a, b, i) TW_LB_AT(a, "%[table]", a)
#define JOINED(a, b, i) TW_DOT(TW_SDOTSP, a, "%[t]", "%[e" i "]")
#define SCALED(a, b, i) TW_ROUNDED_PRODUCT(b, a, "%[part]", "16")
#define ADDED(a, b, i) TW_MAC(b, a, "%[whole]")
#define CLIPPED(a, b, i) TW_CLIP(b, b, "8")
#define STORED TW_PACKLO("%[b0]", "%[b1]", "%[b0]") TW_PACKHI("%[b0]", "%[b3]", "%[b2]") TW_SW("%[b0]", "%[y]", "4")
#endif

/* y = clip((table[r] + x) mul >> 16), rounded, of whole words. Rows of r and y are `pitch` apart, x has one behind the
 * other. y may be r. */
TW_X void joined(const uint8_t *r, const int8_t *x, const int8_t *table, int32_t mul, int8_t *y, int pitch, int tokens,
                 int n)
{
    int32_t part = (int16_t)mul, whole = (mul - part) >> 16;
#ifdef __riscv
    int32_t t, a0, a1, a2, a3, b0, b1, b2, b3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[tokens]", "31") TW_LOOP("0", "%[n]", "28")
        FOUR(TAKEN) TW_LW("%[t]", "%[x]", "4") FOUR(READ) FOUR(JOINED) FOUR(SCALED) FOUR(ADDED) FOUR(CLIPPED)
        STORED "add %[r], %[r], %[rest]\nadd %[y], %[y], %[rest]\n" TW_ASM_END
        : [r] "+r"(r), [x] "+r"(x), [y] "+r"(y), [t] "=&r"(t), [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2),
          [a3] "=&r"(a3), [b0] "=&r"(b0), [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3)
        : [tokens] "r"(tokens), [n] "r"(n >> 2), [rest] "r"(pitch - n), [e0] "r"(1), [e1] "r"(1 << 8),
          [e2] "r"(1 << 16), [e3] "r"(1 << 24), [whole] "r"(whole), [part] "r"(part), [table] "r"(table)
        : "memory");
    /* clang-format on */
#else
    for (; tokens > 0; tokens--, r += pitch, y += pitch)
        for (int i = 0; i < n; i++) {
            int32_t v = table[r[i]] + *x++;
            y[i] = (int8_t)tw_pclip(tw_pmac(tw_pmulsrn(v, part, 16), v, whole), 8);
        }
#endif
}

/* A residual r that products join by a table: rows first .. last of the weights, multiples of four, of all tokens.
 * numbers: [4]; table gives every byte itself; scratch: what `most` rows give for all tokens. y may be r. */
void SMALL tw_gemm_join(const struct tw_gemm_join *given, int8_t *restrict scratch, int first, int last)
{
    for (int count; first < last; first += count) {
        int tokens = given->tokens, cols = given->cols;
        const int32_t *numbers = given->numbers;
        count = last - first < given->most ? last - first : given->most;
        bytes_of(given->x, given->w + first * pitch_of(cols), numbers, 0, 0, 1 << 15, USUAL, scratch, count, tokens,
                 count, cols);
        joined((const uint8_t *)given->r + first, scratch, given->table_r, numbers[2], given->y + first, given->rows,
               tokens, count);
    }
}

/* Heads of tokens, turned, to q and the caches, from what products gave in x. */
TW_X void enter(int8_t *state_k, int8_t *state_v, const int8_t *x, const int8_t *r, const int8_t *table_k,
                const int8_t *table_v, const int32_t *numbers, int8_t *y, int tokens, int heads, int n, int group,
                int pitch, int step, int turn)
{
    int32_t c[4], rest = n - 4 * heads;
    for (; tokens > 0; tokens--, r += step, y += group * rest, state_k += rest, state_v -= 4 * heads * pitch - 1) {
        transposed(c, r);
#ifdef __riscv
        if (TURNS_IN_HALVES(numbers, turn)) {
            int32_t v, b, t, d;
            __asm__ volatile(ENTERED("%[x]", "%[x]", "%[x]") : [x] "+r"(x), ENTERED_TO : ENTERED_BY : "memory");
            continue;
        }
#endif
        const int8_t *k = x + 4 * group;
        entered(state_k, state_v, x, k, k + 4, 8, 4 * group + 4, c, table_k, table_v, numbers, y, group, pitch, turn,
                heads);
        x += (4 * group + 8) * heads, y += 4 * group * heads, state_k += 4 * heads, state_v += 4 * heads * pitch;
    }
}

/* Queries of tokens, and their keys and values in the caches: heads first .. last of these, of four channels. w, mul:
 * for each head rows of `group` queries, of a key and of a value; state_k: [positions][n], state_v: [n][pitch]; r:
 * matrices, `step` bytes from one token's to the next; tables: entry c at 128 + c; numbers: the product's addend,
 * multipliers and addends of rotations; y: [tokens][n / 4][group][4]; scratch: what `most` heads give for all.
 */
void SMALL tw_heads_rows(const struct tw_heads_rows *given, int8_t *restrict scratch, int pos, int first, int last)
{
    int group = given->group, part = 4 * group + 8, n = given->n, pitch = given->pitch, tokens = given->tokens;
    const int32_t *numbers = given->numbers;
    for (int heads; first < last; first += heads) {
        int cols = given->cols, at = first * part;
        heads = last - first < given->most ? last - first : given->most;
        bytes_of(given->x, given->w + at * pitch_of(cols), given->mul + at, 1, 1, *numbers, given->shift, scratch,
                 heads * part, tokens, heads * part, cols);
        enter(given->state_k + pos * n + 4 * first, given->state_v + 4 * first * pitch + pos, scratch, given->r,
              given->table_k + 128, given->table_v + 128, numbers + 1, given->y + 4 * group * first, tokens, heads, n,
              group, pitch, given->step, given->turn);
    }
}

#ifdef __riscv
#define PAIR(a, b, i) TW_LB(b, "%[x]", "1") TW_LB(a, "%[x]", "1")
#define TABLED(a, b, i) TW_LB_AT(b, "%[table]", b)
#define MULTIPLIED(a, b, i) TW_MULS(b, b, a)
#define PRODUCT(a, b, i) TW_ROUNDED_PRODUCT(b, b, "%[mul]", "16")
#endif

/* y = table[a] b, scaled by mul and rounded, of rows of bytes a and b in turns in x, `count` of either. */
TW_X void multiplied(const int8_t *x, const int8_t *table, int32_t mul, int8_t *y, int y_step, int tokens, int count)
{
#ifdef __riscv
    int32_t a0, a1, a2, a3, b0, b1, b2, b3;
    /* clang-format off */
    __asm__ volatile(
        TW_ASM_BEGIN TW_LOOP("1", "%[tokens]", "30") TW_LOOP("0", "%[n]", "27")
        FOUR(PAIR) FOUR(TABLED) FOUR(MULTIPLIED) FOUR(PRODUCT) FOUR(CLIPPED) STORED
        "add %[y], %[y], %[rest]\nnop\n" TW_ASM_END
        : [x] "+r"(x), [y] "+r"(y), [a0] "=&r"(a0), [a1] "=&r"(a1), [a2] "=&r"(a2), [a3] "=&r"(a3), [b0] "=&r"(b0),
          [b1] "=&r"(b1), [b2] "=&r"(b2), [b3] "=&r"(b3)
        : [tokens] "r"(tokens), [n] "r"(count >> 2), [rest] "r"(y_step - count), [table] "r"(table), [mul] "r"(mul)
        : "memory");
    /* clang-format on */
#else
    for (; tokens > 0; tokens--, y += y_step)
        for (int i = 0; i < count; i++, x += 2)
            y[i] = (int8_t)tw_pclip(tw_pmulsrn(table[x[0]] * x[1], mul, 16), 8);
#endif
}

/* y = table_a[a] * b, rounded, of products a and b, all shifted by 16: outputs first .. last, multiples of four, of all
 * tokens. w: rows of a and b in turns; table_a: entry c at 128 + c; table_b gives every byte itself; numbers: [6];
 * scratch: what `most` outputs need for all tokens. */
void SMALL tw_gate_rows(const struct tw_gate_rows *given, int8_t *restrict scratch, int first, int last)
{
    for (int count; first < last; first += count) {
        const int32_t *numbers = given->numbers;
        int32_t mul[4] = {numbers[0], numbers[2], numbers[0], numbers[2]};
        int tokens = given->tokens, cols = given->cols;
        count = last - first < given->most ? last - first : given->most;
        bytes_of(given->x, given->w + 2 * first * pitch_of(cols), mul, 1, 0, 1 << 15, USUAL, scratch, 2 * count, tokens,
                 2 * count, cols);
        multiplied(scratch, given->table_a + 128, numbers[4], given->y + first, given->rows, tokens, count);
    }
}
