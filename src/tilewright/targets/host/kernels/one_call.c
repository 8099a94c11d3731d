/* Products of quantised llamas with what follows them; portable, for programs whose targets have no faster way. */
#include "tw_kernels.h"
#include "tw_quantised.h"

/* clip((x . w * mul + half) >> shift). */
static int32_t row(const int8_t *restrict x, const int8_t *restrict w, int cols, int mul, int shift, int32_t high)
{
    int64_t sum = 0;
    for (int i = 0; i < cols; i++)
        sum += x[i] * w[i];
    sum = (sum * mul + tw_half(shift)) >> shift;
    return (int32_t)(sum > high ? high : sum < -high - 1 ? -high - 1 : sum);
}

/* y = clip((table[gate + 128] * up + half) >> shift). x: [tokens][cols], weights: [rows][cols], y: [tokens][rows]. */
void tw_gated_linear_i8(const int8_t *restrict x, const int8_t *restrict w_gate, const uint8_t *restrict mul_gate,
                        const int8_t *restrict w_up, const uint8_t *restrict mul_up, const int16_t *restrict table,
                        int8_t *restrict y, int tokens, int rows, int cols, int gate_shift, int up_shift, int shift)
{
    for (int t = 0; t < tokens; t++, x += cols, y += rows)
        for (int r = 0; r < rows; r++) {
            int32_t gate = row(x, w_gate + r * cols, cols, mul_gate[r], gate_shift, 127);
            int32_t up = row(x, w_up + r * cols, cols, mul_up[r], up_shift, 127);
            y[r] = (int8_t)tw_clip((table[gate + 128] * up + tw_half(shift)) >> shift, -128, 127);
        }
}

/* `rows` products of a token, pairs of them turned by the angles at `angles`: cosines, then sines. */
static void turned(const int8_t *restrict x, const int8_t *restrict w, const uint8_t *restrict mul,
                   const int16_t *restrict angles, int8_t *restrict y, int rows, int cols, int hd, int shift, int turn)
{
    for (int r = 0; r < rows; r += 2, w += 2 * cols) {
        int32_t a = row(x, w, cols, mul[r], shift, 32767), b = row(x, w + cols, cols, mul[r + 1], shift, 32767);
        int32_t cosine = angles[r % hd / 2], sine = angles[hd / 2 + r % hd / 2], half = tw_half(turn);
        y[r] = (int8_t)tw_clip((a * cosine - b * sine + half) >> turn, -128, 127);
        y[r + 1] = (int8_t)tw_clip((a * sine + b * cosine + half) >> turn, -128, 127);
    }
}

/* `q` turned queries, `kv` turned keys and as many values of each token; table: [positions][hd]. */
void tw_turned_linear_i8(const int8_t *restrict x, const int8_t *restrict w_q, const uint8_t *restrict mul_q,
                         const int8_t *restrict w_k, const uint8_t *restrict mul_k, const int8_t *restrict w_v,
                         const uint8_t *restrict mul_v, const int16_t *restrict table, int8_t *restrict y, int tokens,
                         int q, int kv, int cols, int hd, int pos, int q_shift, int k_shift, int v_shift, int turn)
{
    table += pos * hd;
    for (int t = 0; t < tokens; t++, x += cols, table += hd) {
        turned(x, w_q, mul_q, table, y, q, cols, hd, q_shift, turn);
        y += q;
        turned(x, w_k, mul_k, table, y, kv, cols, hd, k_shift, turn);
        y += kv;
        for (int r = 0; r < kv; r++)
            *y++ = (int8_t)row(x, w_v + r * cols, cols, mul_v[r], v_shift, 127);
    }
}
