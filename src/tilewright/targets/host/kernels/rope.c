/* Rotary position embedding. */
#include "tw_kernels.h"

/* Turn the pairs (2i, 2i + 1) of every head of row t by the angles of position pos + t.
 * x, y: [tokens][heads][hd], table: [positions][hd], hd / 2 cosines and then hd / 2 sines; y may be x. */
void tw_rope_f32(const float *x, const float *restrict table, float *y, int tokens, int heads, int hd, int pos)
{
    int half = hd / 2;
    for (int t = 0; t < tokens; t++) {
        const float *restrict cosine = table + (pos + t) * hd, *restrict sine = cosine + half;
        for (int h = 0; h < heads; h++, x += hd, y += hd)
            for (int i = 0; i < half; i++) {
                float a = x[2 * i], b = x[2 * i + 1];
                y[2 * i] = a * cosine[i] - b * sine[i];
                y[2 * i + 1] = a * sine[i] + b * cosine[i];
            }
    }
}
