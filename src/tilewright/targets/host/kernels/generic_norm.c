/* Softmax along any axis and normalisations of rows, in float and double. y may be x: results are made chunk by chunk.
 * Sums run in lanes, so that they vectorise and do not depend on the compiler. */
#include "tw_kernels.h"
#include "tw_functions.h"
#include "tw_generic.h"

enum { LANES = 16 };

/* Lanes of a chunk, of which there are TW_CHUNK / LANES rows, added up as a tree. */
#define LANE_SUM(TYPE)                                                                                                 \
    static TYPE sum_of_##TYPE(TYPE *lane)                                                                              \
    {                                                                                                                  \
        for (int half = LANES / 2; half > 0; half /= 2)                                                                \
            for (int i = 0; i < half; i++)                                                                             \
                lane[i] += lane[i + half];                                                                             \
        return lane[0];                                                                                                \
    }

LANE_SUM(float)
LANE_SUM(double)

#define SOFTMAX(T, TYPE)                                                                                               \
    /* part[k] = e^(x[k] - most) for a chunk, 0 beyond it. */                                                          \
    static void exponentials_##T(const TYPE *restrict x, TYPE *restrict part, TYPE most, int n)                        \
    {                                                                                                                  \
        for (int k = 0; k < n; k++)                                                                                    \
            part[k] = tw_exp_##T(x[k] - most);                                                                         \
        for (int k = n; k < TW_CHUNK; k++)                                                                             \
            part[k] = 0;                                                                                               \
    }                                                                                                                  \
    static void row_##T(const TYPE *x, TYPE *y, int n, int log)                                                        \
    {                                                                                                                  \
        TYPE part[TW_CHUNK], lane[LANES] = {0}, most = x[0];                                                           \
        for (int i = 1; i < n; i++)                                                                                    \
            most = x[i] > most ? x[i] : most;                                                                          \
        for (int i = 0; i < n; i += TW_CHUNK) {                                                                        \
            int count = n - i < TW_CHUNK ? n - i : TW_CHUNK;                                                           \
            exponentials_##T(x + i, part, most, count);                                                                \
            for (int k = 0; k < TW_CHUNK; k += LANES)                                                                  \
                for (int l = 0; l < LANES; l++)                                                                        \
                    lane[l] += part[k + l];                                                                            \
            if (!log)                                                                                                  \
                memcpy(y + i, part, (size_t)count * sizeof(TYPE));                                                     \
        }                                                                                                              \
        TYPE total = sum_of_##TYPE(lane), scale = 1 / total, shift = log ? (TYPE)tw_log_f64(total) : 0;                \
        for (int i = 0; i < n; i++)                                                                                    \
            y[i] = log ? x[i] - most - shift : y[i] * scale;                                                           \
    }                                                                                                                  \
    /* Columns side by side. */                                                                                        \
    static void columns_##T(const TYPE *x, TYPE *y, int n, int inner, int columns, int log)                            \
    {                                                                                                                  \
        TYPE most[TW_CHUNK], total[TW_CHUNK], part[TW_CHUNK];                                                          \
        memcpy(most, x, (size_t)columns * sizeof(TYPE));                                                               \
        for (int i = 1; i < n; i++)                                                                                    \
            for (int k = 0; k < columns; k++)                                                                          \
                most[k] = x[(ptrdiff_t)i * inner + k] > most[k] ? x[(ptrdiff_t)i * inner + k] : most[k];               \
        memset(total, 0, sizeof total);                                                                                \
        for (int i = 0; i < n; i++)                                                                                    \
            for (int k = 0; k < columns; k++)                                                                          \
                total[k] += tw_exp_##T(x[(ptrdiff_t)i * inner + k] - most[k]);                                         \
        for (int k = 0; k < columns; k++)                                                                              \
            total[k] = log ? (TYPE)tw_log_f64(total[k]) : 1 / total[k];                                                \
        for (int i = 0; i < n; i++) {                                                                                  \
            for (int k = 0; k < columns; k++) {                                                                        \
                TYPE v = x[(ptrdiff_t)i * inner + k] - most[k];                                                        \
                part[k] = log ? v - total[k] : tw_exp_##T(v) * total[k];                                               \
            }                                                                                                          \
            memcpy(y + (ptrdiff_t)i * inner, part, (size_t)columns * sizeof(TYPE));                                    \
        }                                                                                                              \
    }                                                                                                                  \
    /* e^(x - max) / sum along n, or its logarithm. x, y: [outer][n][inner]. */                                        \
    void tw_softmax_##T(const TYPE *x, TYPE *y, int outer, int n, int inner, int log)                                  \
    {                                                                                                                  \
        for (int o = 0; o < outer; o++, x += n * inner, y += n * inner)                                                \
            if (inner == 1)                                                                                            \
                row_##T(x, y, n, log);                                                                                 \
            else                                                                                                       \
                for (int j = 0; j < inner; j += TW_CHUNK)                                                              \
                    columns_##T(x + j, y + j, n, inner, inner - j < TW_CHUNK ? inner - j : TW_CHUNK, log);             \
    }

#define NORMS(T, TYPE)                                                                                                 \
    /* Sum of x - base, or of its squares, in double. */                                                               \
    static double spread_##T(const TYPE *x, int n, double base, int squared)                                           \
    {                                                                                                                  \
        double lane[LANES] = {0};                                                                                      \
        int whole = n - n % LANES;                                                                                     \
        for (int i = 0; i < whole; i += LANES)                                                                         \
            for (int l = 0; l < LANES; l++) {                                                                          \
                double v = x[i + l] - base;                                                                            \
                lane[l] += squared ? v * v : v;                                                                        \
            }                                                                                                          \
        for (int l = 0; whole + l < n; l++) {                                                                          \
            double v = x[whole + l] - base;                                                                            \
            lane[l] += squared ? v * v : v;                                                                            \
        }                                                                                                              \
        return sum_of_double(lane);                                                                                    \
    }                                                                                                                  \
    /* (x - mean) / sqrt(variance + eps) w + b; without `centred` the mean counts as 0, a null b as zeros. */          \
    static void normalise_##T(const TYPE *x, const TYPE *restrict w, const TYPE *restrict b, TYPE *y, int rows,        \
                              int n, double eps, int centred)                                                          \
    {                                                                                                                  \
        TYPE part[TW_CHUNK];                                                                                           \
        for (int r = 0; r < rows; r++, x += n, y += n) {                                                               \
            double mean = centred ? spread_##T(x, n, 0.0, 0) / n : 0.0;                                                \
            double scale = 1.0 / tw_sqrt_f64(spread_##T(x, n, mean, 1) / n + eps);                                     \
            for (int i = 0, count; i < n; i += count) {                                                                \
                count = n - i < TW_CHUNK ? n - i : TW_CHUNK;                                                           \
                for (int k = 0; k < count; k++)                                                                        \
                    part[k] = (TYPE)((x[i + k] - mean) * scale) * w[i + k];                                            \
                for (int k = 0; b != 0 && k < count; k++)                                                              \
                    part[k] += b[i + k];                                                                               \
                memcpy(y + i, part, (size_t)count * sizeof(TYPE));                                                     \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    void tw_layer_norm_##T(const TYPE *x, const TYPE *restrict w, const TYPE *restrict b, TYPE *y, int rows, int n,    \
                           double eps)                                                                                 \
    {                                                                                                                  \
        normalise_##T(x, w, b, y, rows, n, eps, 1);                                                                    \
    }

SOFTMAX(f32, float)
SOFTMAX(f64, double)
NORMS(f32, float)
NORMS(f64, double)

void tw_rms_norm_f64(const double *x, const double *restrict w, double *y, int rows, int n, double eps)
{
    normalise_f64(x, w, 0, y, rows, n, eps, 0);
}
