/* Products of quantised llamas with what follows them; portable, for programs whose targets have no faster way. */
#include "tw_kernels.h"
#include "tw_quantised.h"

/* clip((sum * mul + half) >> shift) to -high - 1 .. high. */
static int32_t scaled(int64_t sum, int mul, int shift, int32_t high)
{
    sum = (sum * mul + tw_half(shift)) >> shift;
    return (int32_t)(sum > high ? high : sum < -high - 1 ? -high - 1 : sum);
}

/* The same of x . w. */
static int32_t row(const int8_t *restrict x, const int8_t *restrict w, int cols, int mul, int shift, int32_t high)
{
    int64_t sum = 0;
    for (int i = 0; i < cols; i++)
        sum += x[i] * w[i];
    return scaled(sum, mul, shift, high);
}

/* y = clip(r + (((s + x w^T) * mul + half) >> shift)), 16 bits; r and y may be the same. s: [tokens][columns], x:
 * [tokens][inputs], w: [columns][inputs]. */
void tw_rest_add_i16(const int32_t *restrict s, const int8_t *restrict x, const int8_t *restrict w, const int16_t *r,
                     const uint8_t *restrict mul, int16_t *y, int tokens, int columns, int inputs, int shift)
{
    for (int t = 0; t < tokens; t++, x += inputs)
        for (int c = 0; c < columns; c++, s++, r++, y++) {
            int32_t sum = *s;
            for (int i = 0; i < inputs; i++)
                sum += x[i] * w[c * inputs + i];
            tw_scaled_add_i16(&sum, r, &mul[c], y, 1, 1, shift);
        }
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

/* The pair a, b at c of a head, turned by the angles of its token: cosines, then sines. */
static void pair(int32_t a, int32_t b, const int16_t *restrict angles, int c, int hd, int turn, int8_t *restrict y)
{
    int32_t cosine = angles[c / 2], sine = angles[hd / 2 + c / 2], half = tw_half(turn);
    y[0] = (int8_t)tw_clip((a * cosine - b * sine + half) >> turn, -128, 127);
    y[1] = (int8_t)tw_clip((a * sine + b * cosine + half) >> turn, -128, 127);
}

/* Sums of tokens, for each head of the caches `group` queries, a key and a value of hd columns: queries go to y, keys
 * and values to row pos + t of the states, [positions][kv_heads * hd]. */
void tw_turned_heads_i8(int8_t *restrict state_k, int8_t *restrict state_v, const int32_t *restrict x,
                        const uint8_t *restrict mul, const int16_t *restrict angles, int8_t *restrict y, int tokens,
                        int kv_heads, int group, int hd, int pos, int q_shift, int k_shift, int v_shift, int turn)
{
    int at = pos * kv_heads * hd;
    state_k += at, state_v += at;
    for (int t = 0; t < tokens; t++, angles += hd)
        for (int part = 0; part < kv_heads * (group + 2); part++) {
            int kind = part % (group + 2);
            int shift = kind < group ? q_shift : kind == group ? k_shift : v_shift;
            const uint8_t *by = mul + part * hd;
            for (int c = 0; c < hd; c += 2, x += 2) {
                int32_t high = kind > group ? 127 : 32767;
                int32_t a = scaled(x[0], by[c], shift, high), b = scaled(x[1], by[c + 1], shift, high);
                if (kind > group)
                    *state_v++ = (int8_t)a, *state_v++ = (int8_t)b;
                else if (kind == group)
                    pair(a, b, angles, c, hd, turn, state_k), state_k += 2;
                else
                    pair(a, b, angles, c, hd, turn, y), y += 2;
            }
        }
}

/* y = clip(r + ((x * mul + half) >> shift)), 16 bits; r and y may be the same. x: [tokens][columns]. */
void tw_scaled_add_i16(const int32_t *restrict x, const int16_t *r, const uint8_t *restrict mul, int16_t *y, int tokens,
                       int columns, int shift)
{
    for (int t = 0; t < tokens; t++)
        for (int c = 0; c < columns; c++, x++, r++, y++) {
            int64_t sum = (((int64_t)*x * mul[c] + tw_half(shift)) >> shift) + *r;
            *y = (int16_t)(sum > 32767 ? 32767 : sum < -32768 ? -32768 : sum);
        }
}

/* y = clip((table[gate + 128] * up + half) >> shift); x: [tokens][2 * columns], gates first. */
void tw_gated_sums_i8(const int32_t *restrict x, const uint8_t *restrict mul, const int16_t *restrict table,
                      int8_t *restrict y, int tokens, int columns, int gate_shift, int up_shift, int shift)
{
    for (int t = 0; t < tokens; t++, x += 2 * columns)
        for (int c = 0; c < columns; c++) {
            int32_t gate = scaled(x[c], mul[c], gate_shift, 127);
            int32_t up = scaled(x[columns + c], mul[columns + c], up_shift, 127);
            *y++ = (int8_t)tw_clip((table[gate + 128] * up + tw_half(shift)) >> shift, -128, 127);
        }
}
