/* Products, convolutions and pooling of any element types, a chunk of a sum at a time: what no faster kernel takes. */
#include "tw_kernels.h"
#include "tw_convert.h"
#include "tw_functions.h"

/* What `how` holds: element types, the epilogue, and its numbers for a requantisation (BYTE: multipliers are u8,
 * not i32; WIDE: addends are i64, not i32). */
enum { KIND_X, KIND_W, KIND_B, KIND_Y, EPILOGUE, BYTE, WIDE, MUL_STEP, ADD_STEP, SHIFT, LOW, HIGH };
enum { NOTHING, CLAMP, REQUANTISE };

/* What `window` holds for convolutions and pooling; images are [n][h][w][c]. */
enum { N, H, W, CI, OY, OX, CO, KY, KX, SY, SX, DY, DX, TOP, LEFT, PAD, SINGLE };

/* A sum: of integers modulo 2^64, of floats in double. */
struct sum {
    uint64_t whole;
    double real;
};

/* acc + sum of x[i step_x] w[i step_w]; x outside of the image (`inside` false) is `pad`. */
static struct sum dot(struct sum acc, const void *x, int x_kind, int at_x, const void *w, int w_kind, int at_w,
                      int step_w, int n, int inside, int pad)
{
    int64_t p[TW_CHUNK], q[TW_CHUNK];
    double u[TW_CHUNK], v[TW_CHUNK];
    for (int i = 0, count; i < n; i += count) {
        count = n - i < TW_CHUNK ? n - i : TW_CHUNK;
        for (int k = 0; !inside && k < count; k++) {
            p[k] = pad;
            u[k] = pad;
        }
        if (x_kind >= TW_F32) {
            if (inside)
                tw_load_doubles(x, x_kind, at_x + i, 1, u, count);
            tw_load_doubles(w, w_kind, at_w + i * step_w, step_w, v, count);
            for (int k = 0; k < count; k++)
                acc.real += u[k] * v[k];
        } else {
            if (inside)
                tw_load_integers(x, x_kind, at_x + i, 1, p, count);
            tw_load_integers(w, w_kind, at_w + i * step_w, step_w, q, count);
            for (int k = 0; k < count; k++)
                acc.whole += (uint64_t)p[k] * (uint64_t)q[k];
        }
    }
    return acc;
}

/* The bias of channel c, or zero. */
static struct sum bias(const void *b, int kind, int c)
{
    struct sum acc = {0, 0.0};
    int64_t whole = 0;
    if (b != 0 && kind >= TW_F32)
        tw_load_doubles(b, kind, c, 1, &acc.real, 1);
    else if (b != 0)
        tw_load_integers(b, kind, c, 1, &whole, 1);
    acc.whole = (uint64_t)whole;
    return acc;
}

/* Store a sum as element `at` of y: clamped floats, wrapped integers, or integers requantised for channel c. */
static void finish(struct sum acc, void *y, int at, int c, const void *mul, const void *add, const int32_t *how,
                   double low, double high)
{
    if (how[KIND_X] >= TW_F32) {
        if (how[EPILOGUE] == CLAMP)
            acc.real = acc.real < low ? low : acc.real > high ? high : acc.real;
        tw_store_doubles(&acc.real, y, how[KIND_Y], at, 1);
        return;
    }
    int64_t result = (int64_t)acc.whole;
    if (how[EPILOGUE] == REQUANTISE) {
        int place = c * how[ADD_STEP];
        int64_t addend = how[WIDE] ? ((const int64_t *)add)[place] : ((const int32_t *)add)[place];
        int factor = c * how[MUL_STEP];
        int32_t by = how[BYTE] ? ((const uint8_t *)mul)[factor] : ((const int32_t *)mul)[factor];
        int64_t scaled = (int64_t)(int32_t)(uint32_t)acc.whole * by;
        result = tw_shifted((int64_t)((uint64_t)scaled + (uint64_t)addend), how[SHIFT]);
        result = result < how[LOW] ? how[LOW] : result > how[HIGH] ? how[HIGH] : result;
    }
    tw_store_integers(&result, y, how[KIND_Y], at, 1);
}

/* Convolution. w: [co][ky][kx][ci], or [ky][kx][c] of single channels (SINGLE). */
void tw_any_conv(const void *restrict x, const void *restrict w, const void *restrict b, const void *restrict mul,
                 const void *restrict add, void *restrict y, const int32_t *how, const int32_t *window, double low,
                 double high)
{
    const int32_t *g = window;
    int at = 0, single = g[SINGLE], depth = single ? 1 : g[CI];
    for (int n = 0; n < g[N]; n++)
        for (int oy = 0; oy < g[OY]; oy++)
            for (int ox = 0; ox < g[OX]; ox++)
                for (int c = 0; c < g[CO]; c++, at++) {
                    struct sum acc = bias(b, how[KIND_B], c);
                    for (int k = 0; k < g[KY] * g[KX]; k++) {
                        int iy = oy * g[SY] + k / g[KX] * g[DY] - g[TOP], ix = ox * g[SX] + k % g[KX] * g[DX] - g[LEFT];
                        int inside = iy >= 0 && iy < g[H] && ix >= 0 && ix < g[W];
                        int from = ((n * g[H] + iy) * g[W] + ix) * g[CI] + (single ? c : 0);
                        int filter = single ? k * g[CO] + c : (c * g[KY] * g[KX] + k) * g[CI];
                        acc = dot(acc, x, how[KIND_X], from, w, how[KIND_W], filter, 1, depth, inside, g[PAD]);
                    }
                    finish(acc, y, at, c, mul, add, how, low, high);
                }
}

/* y[t][r] = x[t] . w[r]. x: [tokens][cols], w: [rows][cols]. */
void tw_any_linear(const void *restrict x, const void *restrict w, const void *restrict b, const void *restrict mul,
                   const void *restrict add, void *restrict y, int tokens, int rows, int cols, const int32_t *how,
                   double low, double high)
{
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < rows; r++) {
            struct sum acc = bias(b, how[KIND_B], r);
            acc = dot(acc, x, how[KIND_X], t * cols, w, how[KIND_W], r * cols, 1, cols, 1, 0);
            finish(acc, y, t * rows + r, r, mul, add, how, low, high);
        }
}

/* Stacks of products. a: [m][k], b: [k][n], or [n][k] where `transposed`; stacks: a walk over the leading axes, in
 * matrices' first elements. */
void tw_any_matmul(const void *restrict a, const void *restrict b, const void *restrict mul,
                   const void *restrict add, void *restrict y, int m, int k, int n, int transposed,
                   const int32_t *how, const int32_t *rows, double low, double high)
{
    int at = 0, step = transposed ? 1 : n, next = transposed ? k : 1;
    struct tw_walk walk;
    TW_ROWS (walk, rows)
        for (int s = 0; s < walk.n; s++) {
            int left = walk.at[0] + s * walk.step[0], right = walk.at[1] + s * walk.step[1];
            for (int i = 0; i < m * n; i++, at++) {
                struct sum acc = {0, 0.0};
                acc = dot(acc, a, how[KIND_X], left + i / n * k, b, how[KIND_W], right + i % n * next, step, k, 1, 0);
                finish(acc, y, at, 0, mul, add, how, low, high);
            }
        }
}

/* The largest element of each window; what lies outside is the least of its type (`least` of integers, else
 * -infinity). */
void tw_any_max_pool(const void *restrict x, void *restrict y, int kind, const int32_t *window, int64_t least)
{
    const int32_t *g = window;
    const uint64_t flip = kind == TW_U64 ? 0 : (uint64_t)1 << 63; /* orders signed numbers as unsigned ones */
    int64_t p[TW_CHUNK], most[TW_CHUNK];
    double u[TW_CHUNK], peak[TW_CHUNK];
    int pixels = g[OY] * g[OX];
    for (int o = 0; o < g[N] * pixels; o++)
        for (int c = 0, n; c < g[CI]; c += n) {
            n = g[CI] - c < TW_CHUNK ? g[CI] - c : TW_CHUNK;
            for (int i = 0; i < n; i++) {
                most[i] = least;
                peak[i] = -tw_infinity();
            }
            for (int k = 0; k < g[KY] * g[KX]; k++) {
                int iy = o % pixels / g[OX] * g[SY] + k / g[KX] * g[DY] - g[TOP];
                int ix = o % g[OX] * g[SX] + k % g[KX] * g[DX] - g[LEFT];
                int from = ((o / pixels * g[H] + iy) * g[W] + ix) * g[CI] + c;
                if (iy < 0 || iy >= g[H] || ix < 0 || ix >= g[W])
                    continue;
                if (kind >= TW_F32) {
                    tw_load_doubles(x, kind, from, 1, u, n);
                    for (int i = 0; i < n; i++)
                        peak[i] = u[i] > peak[i] || u[i] != u[i] ? u[i] : peak[i];
                } else {
                    tw_load_integers(x, kind, from, 1, p, n);
                    for (int i = 0; i < n; i++)
                        most[i] = ((uint64_t)p[i] ^ flip) > ((uint64_t)most[i] ^ flip) ? p[i] : most[i];
                }
            }
            if (kind >= TW_F32)
                tw_store_doubles(peak, y, kind, o * g[CI] + c, n);
            else
                tw_store_integers(most, y, kind, o * g[CI] + c, n);
        }
}

/* The mean of each window of doubles. Elements count within margins: of `extent` rows or columns from `-margin` on. */
void tw_average_pool_f64(const double *restrict x, double *restrict y, const int32_t *window, int margin_y,
                         int margin_x, int extent_y, int extent_x)
{
    const int32_t *g = window;
    int pixels = g[OY] * g[OX];
    for (int o = 0; o < g[N] * pixels; o++)
        for (int c = 0; c < g[CI]; c++) {
            double sum = 0.0;
            int counted = 0;
            for (int k = 0; k < g[KY] * g[KX]; k++) {
                int iy = o % pixels / g[OX] * g[SY] + k / g[KX] * g[DY] - g[TOP];
                int ix = o % g[OX] * g[SX] + k % g[KX] * g[DX] - g[LEFT];
                counted += iy >= -margin_y && iy < extent_y - margin_y && ix >= -margin_x && ix < extent_x - margin_x;
                if (iy >= 0 && iy < g[H] && ix >= 0 && ix < g[W])
                    sum += x[((o / pixels * g[H] + iy) * g[W] + ix) * g[CI] + c];
            }
            y[o * g[CI] + c] = sum / (counted > 1 ? counted : 1);
        }
}
