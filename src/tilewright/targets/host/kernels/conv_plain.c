/* Convolution with filters that are computed at run time, as they lie: w[co][ky][kx][ci]. */
#include "tw_kernels.h"

/* The sum over one window: x is the image [h][width][ci], w one filter; (iy, ix) is the window's first place. */
static float window(const float *restrict x, const float *restrict w, int h, int width, int ci, int ky, int kx, int dy,
                    int dx, int iy, int ix)
{
    float sum = 0.0f;
    for (int j = 0; j < ky; j++)
        for (int i = 0; i < kx; i++) {
            int row = iy + j * dy, column = ix + i * dx;
            if (row < 0 || row >= h || column < 0 || column >= width)
                continue;
            const float *restrict pixel = x + (row * width + column) * ci, *restrict filter = w + (j * kx + i) * ci;
            for (int c = 0; c < ci; c++)
                sum += pixel[c] * filter[c];
        }
    return sum;
}

/* x: [n][h][width][ci], b: [co] or null, y: [n][oy][ox][co]. */
void tw_conv2d_plain_f32(const float *restrict x, const float *restrict w, const float *restrict b, float *restrict y,
                         int n, int h, int width, int ci, int oy, int ox, int co, int ky, int kx, int sy, int sx,
                         int dy, int dx, int top, int left, float low, float high)
{
    for (int image = 0; image < n; image++, x += h * width * ci)
        for (int p = 0; p < oy; p++)
            for (int q = 0; q < ox; q++)
                for (int o = 0; o < co; o++) {
                    float sum = b != 0 ? b[o] : 0.0f;
                    sum += window(x, w + o * ky * kx * ci, h, width, ci, ky, kx, dy, dx, p * sy - top, q * sx - left);
                    *y++ = sum < low ? low : sum > high ? high : sum;
                }
}
