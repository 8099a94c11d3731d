/* The operators of an fp32 llama between its matrix products. Each call computes elements first .. last of its result,
 * flat. Two cores share an FPU and all of them one divider, so that reciprocals are made by multiplication. */
#include "tw_kernels.h"
#include "tw_math.h"

/* y[t] = table[tokens[t]]. y: [count][cols]. */
void tw_cluster_embed_f32(const int32_t *restrict tokens, const float *restrict table, float *restrict y, int cols,
                          int first, int last)
{
    int t = first < cols ? 0 : first / cols, c = first - t * cols;
    for (; first < last; c = 0, t++)
        for (const float *row = table + tokens[t] * cols; c < cols && first < last; c++, first++)
            y[first] = row[c];
}

/* Elements first .. last of x, flat, go to row pos on of the state. */
void tw_cluster_append_f32(float *restrict state, const float *restrict x, int n, int pos, int first, int last)
{
    for (int i = first; i < last; i++)
        state[pos * n + i] = x[i];
}

/* sum + a . b over n elements, in four sums. */
static float dot(const float *a, const float *b, int n)
{
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 = __builtin_fmaf(a[i], b[i], s0);
        s1 = __builtin_fmaf(a[i + 1], b[i + 1], s1);
        s2 = __builtin_fmaf(a[i + 2], b[i + 2], s2);
        s3 = __builtin_fmaf(a[i + 3], b[i + 3], s3);
    }
    for (; i < n; i++)
        s0 = __builtin_fmaf(a[i], b[i], s0);
    return (s0 + s1) + (s2 + s3);
}

/* y = x / sqrt(mean(x^2) + eps) * w for every row. x, y: [rows][n], w: [n]; `inverse` is 1 / n. */
void tw_cluster_rmsnorm_f32(const float *restrict x, const float *restrict w, float *restrict y, int n, float inverse,
                            float eps, int first, int last)
{
    int i = first < n ? first : first % n;
    for (x += first - i; first < last; i = 0, x += n) {
        float scale = tw_rsqrtf(__builtin_fmaf(dot(x, x, n), inverse, eps));
        for (; i < n && first < last; i++, first++)
            y[first] = x[i] * scale * w[i];
    }
}

/* Turn the pairs (2i, 2i + 1) of every head of row t by the angles of position pos + t; y may be x. width: heads * hd;
 * table: [positions][hd], hd / 2 cosines and then hd / 2 sines. */
void tw_cluster_rope_f32(const float *x, const float *restrict table, float *y, int width, int hd, int pos, int first,
                         int last)
{
    int t = first < width ? 0 : first / width, left = (t + 1) * width - first, c = width - left, pairs = hd >> 1;
    const float *row = table + (pos + t) * hd;
    while (c >= hd)
        c -= hd;
    for (int i = first; i < last; i += 2) {
        float a = x[i], b = x[i + 1], u = row[c >> 1], v = row[pairs + (c >> 1)];
        y[i] = a * u - b * v;
        y[i + 1] = a * v + b * u;
        c = c + 2 < hd ? c + 2 : 0;
        left -= 2;
        if (left == 0)
            left = width, row += hd;
    }
}

/* y = silu(a) * b, silu(a) = a / (1 + e^-a); y may be a. */
void tw_cluster_swiglu_f32(const float *a, const float *restrict b, float *y, int first, int last)
{
    for (int i = first; i < last; i++) {
        float root = tw_rsqrtf(1.0f + tw_expf(-a[i]));
        y[i] = a[i] * root * root * b[i];
    }
}

/* y[c] = norm * sum of p[s] v[s][c] for up to four channels c; v: `stride` elements from one position to the next. */
static void mix(const float *p, const float *v, float *y, int n, int seen, int stride, float norm)
{
    float s[4] = {0, 0, 0, 0};
    if (n == 4)
        for (int i = 0; i < seen; i++, v += stride) {
            s[0] = __builtin_fmaf(p[i], v[0], s[0]);
            s[1] = __builtin_fmaf(p[i], v[1], s[1]);
            s[2] = __builtin_fmaf(p[i], v[2], s[2]);
            s[3] = __builtin_fmaf(p[i], v[3], s[3]);
        }
    else
        for (int i = 0; i < seen; i++, v += stride)
            for (int c = 0; c < n; c++)
                s[c] = __builtin_fmaf(p[i], v[c], s[c]);
    for (int c = 0; c < n; c++)
        y[c] = s[c] * norm;
}

/* y = softmax(scale * q k^T) v, causal: elements first .. last of y, [tokens][heads * hd]. Row t stands at pos + t and
 * sees positions 0 .. pos + t; `group` heads share one of the cache. k, v: [capacity][kv_width]; scratch: [capacity].
 */
void tw_cluster_attention_f32(const float *restrict q, const float *restrict k, const float *restrict v,
                              float *restrict y, float *restrict scratch, int pos, int group, int kv_width, int hd,
                              float scale, int first, int last)
{
    int width = group * kv_width, t = first < width ? 0 : first / width, c = first - t * width, m = 0, kv = 0;
    for (; c >= hd; c -= hd)
        if (++m == group)
            m = 0, kv += hd;
    for (q += first - c; first < last; q += hd, c = 0) {
        int n = hd - c < last - first ? hd - c : last - first, seen = pos + t + 1;
        float most = -3.4e38f, sum = 0;
        for (int s = 0; s < seen; s++) {
            scratch[s] = dot(q, k + s * kv_width + kv, hd) * scale;
            most = most > scratch[s] ? most : scratch[s];
        }
        for (int s = 0; s < seen; s++)
            sum += scratch[s] = tw_expf(scratch[s] - most);
        float root = tw_rsqrtf(sum);
        for (int step; n > 0; n -= step, c += step, first += step) {
            step = n < 4 ? n : 4;
            mix(scratch, v + kv + c, y + first, step, seen, kv_width, root * root);
        }
        if (++m == group)
            m = 0, kv += hd;
        if (kv == kv_width)
            kv = 0, t++;
    }
}
