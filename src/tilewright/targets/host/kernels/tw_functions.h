/* Elementary functions without libm, the same bits from every compiler (build with -ffp-contract=off).
 *
 * In double: within a few ulp, except erf near 6 and angles beyond 2^30, which are first reduced by 2 pi as a double.
 * In float: the hot ones (exponentials, sigmoid, tanh, erf) in float within about 4 ulp, branch-free, so that loops
 * vectorise; the rest through double. Infinities, zeros and not-a-number as IEEE 754 says.
 */
#ifndef TW_FUNCTIONS_H
#define TW_FUNCTIONS_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TW_FUNCTION static inline __attribute__((unused))
#define TW_HOT static inline __attribute__((always_inline, unused)) /* a call would keep loops from vectorising */
#else
#define TW_FUNCTION static inline
#define TW_HOT static inline
#endif

TW_FUNCTION uint64_t tw_bits64(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

TW_FUNCTION double tw_double(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

TW_FUNCTION uint32_t tw_bits32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

TW_FUNCTION float tw_single(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

TW_FUNCTION double tw_infinity(void)
{
    return tw_double((uint64_t)0x7ff << 52);
}

TW_FUNCTION double tw_nan(void)
{
    return tw_double((uint64_t)0xfff << 51);
}

/* The magnitude of x with the sign of s. */
TW_FUNCTION double tw_with_sign(double x, double s)
{
    uint64_t sign = (uint64_t)1 << 63;
    return tw_double((tw_bits64(x) & ~sign) | (tw_bits64(s) & sign));
}

TW_FUNCTION float tw_with_sign32(float x, float s)
{
    return tw_single((tw_bits32(x) & 0x7fffffffu) | (tw_bits32(s) & 0x80000000u));
}

/* To a whole number, ties to even: beyond 2^52 (2^23) every number is whole, below it the addition rounds. */
TW_FUNCTION double tw_round_f64(double x)
{
    double a = tw_with_sign(x, 1.0), r = (a + 4503599627370496.0) - 4503599627370496.0;
    return a < 4503599627370496.0 ? tw_with_sign(r, x) : x;
}

TW_HOT float tw_round_f32(float x)
{
    float a = tw_with_sign32(x, 1.0f), r = (a + 8388608.0f) - 8388608.0f;
    return a < 8388608.0f ? tw_with_sign32(r, x) : x;
}

TW_FUNCTION double tw_floor_f64(double x)
{
    double r = tw_round_f64(x);
    return r > x ? r - 1.0 : r;
}

TW_HOT float tw_floor_f32(float x)
{
    float r = tw_round_f32(x);
    return r > x ? r - 1.0f : r;
}

TW_FUNCTION double tw_ceil_f64(double x)
{
    return -tw_floor_f64(-x);
}

TW_HOT float tw_ceil_f32(float x)
{
    return -tw_floor_f32(-x);
}

/* x 2^k for |k| <= 2044, rounded once unless the result is subnormal. */
TW_FUNCTION double tw_scaled(double x, int k)
{
    int half = k / 2;
    return x * tw_double((uint64_t)(half + 1023) << 52) * tw_double((uint64_t)(k - half + 1023) << 52);
}

/* e^x: x = k ln 2 + r, |r| <= ln 2 / 2, ln 2 in two parts so that k times the first is exact (Cody and Waite 1980);
 * e^r by its series; the power of two in two halves, so that the ends of the range overflow and underflow by
 * themselves. */
TW_FUNCTION double tw_exp_f64(double x)
{
    double top = x > 710.0 ? 710.0 : x, in = top < -746.0 ? -746.0 : top;
    double k = tw_round_f64(in * 0x1.71547652b82fep+0);
    double r = (in - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
    double p = 1.0;
    for (int n = 13; n > 0; n--)
        p = 1.0 + p * r / n;
    return x == x ? tw_scaled(p, (int)(x == x ? k : 0.0)) : x;
}

TW_HOT float tw_exp_f32(float x)
{
    const float magic = 12582912.0f; /* 1.5 2^23: adding it rounds to a whole number in the low bits */
    float top = x > 89.0f ? 89.0f : x, in = top < -104.0f ? -104.0f : top;
    float shifted = in * 1.44269504f + magic, k = shifted - magic;
    float r = (in - k * 0.693359375f) - k * -2.12194440e-4f, p = 1.9841270e-4f;
    p = p * r + 1.3888889e-3f;
    p = p * r + 8.3333333e-3f;
    p = p * r + 4.1666667e-2f;
    p = p * r + 1.6666667e-1f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    uint32_t whole = tw_bits32(shifted) - tw_bits32(magic) + 256u, half = whole >> 1; /* k + 256 */
    return p * tw_single((half - 1u) << 23) * tw_single((whole - half - 1u) << 23);
}

/* ln x = e ln 2 + ln m, m within sqrt(1/2) .. sqrt(2), ln m = 2 artanh((m - 1) / (m + 1)) by its series. */
TW_FUNCTION double tw_log_f64(double x)
{
    if (!(x > 0.0))
        return x == 0.0 ? -tw_infinity() : tw_nan();
    if (x == tw_infinity())
        return x;
    int e = -1023;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e -= 54;
    }
    uint64_t bits = tw_bits64(x);
    double m = tw_double((bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52);
    e += (int)(bits >> 52);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, p = 0.0;
    for (int n = 21; n > 1; n -= 2)
        p = (p + 1.0 / n) * z;
    return e * 0x1.62e42fee00000p-1 + (2.0 * (s + s * p) + e * 0x1.a39ef35793c76p-33);
}

/* e^x - 1, exact near 0. */
TW_FUNCTION double tw_expm1_f64(double x)
{
    if (!(x > -0.35 && x < 0.35))
        return tw_exp_f64(x) - 1.0;
    double p = 1.0;
    for (int n = 15; n > 1; n--)
        p = 1.0 + p * x / n;
    return x * p;
}

TW_HOT float tw_expm1_f32(float x)
{
    float near = 1.9841270e-4f, far = tw_exp_f32(x) - 1.0f;
    near = near * x + 1.3888889e-3f;
    near = near * x + 8.3333333e-3f;
    near = near * x + 4.1666667e-2f;
    near = near * x + 1.6666667e-1f;
    near = near * x + 0.5f;
    near = near * x * x + x;
    return x > -0.35f && x < 0.35f ? near : far;
}

/* ln(1 + x), exact near 0: what 1 + x lost in rounding is put back as a factor. */
TW_FUNCTION double tw_log1p_f64(double x)
{
    double u = 1.0 + x;
    return u == 1.0 || u == tw_infinity() ? x : tw_log_f64(u) * (x / (u - 1.0));
}

/* 1 / sqrt by Newton's method, then sqrt x = x / sqrt x, corrected once. */
TW_FUNCTION double tw_sqrt_f64(double x)
{
    if (!(x > 0.0))
        return x == 0.0 ? x : tw_nan();
    if (x == tw_infinity())
        return x;
    double scale = 1.0;
    if (x < 0x1p-900) {
        x *= 0x1p600;
        scale = 0x1p-300;
    }
    double y = tw_double(0x5fe6eb50c7b537a9u - (tw_bits64(x) >> 1));
    for (int i = 0; i < 4; i++)
        y += y * (0.5 - 0.5 * x * y * y);
    double root = x * y;
    return (root + 0.5 * y * (x - root * root)) * scale;
}

TW_FUNCTION float tw_sqrt_f32(float x)
{
#if defined(__riscv_flen)
    __asm__("fsqrt.s %0, %0" : "+f"(x));
    return x;
#else
    return (float)tw_sqrt_f64(x);
#endif
}

/* Remainder with the sign of a: long division of the significands, exact. */
TW_FUNCTION double tw_fmod_f64(double a, double b)
{
    double x = tw_with_sign(a, 1.0), y = tw_with_sign(b, 1.0);
    if (!(x < tw_infinity()) || !(y > 0.0))
        return tw_nan();
    if (x < y)
        return a;
    int ex = 0, ey = 0;
    if (y < 0x1p-1022) {
        y *= 0x1p54;
        ey = -54;
    }
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        ex = -54;
    }
    uint64_t one = (uint64_t)1 << 52, mx = (tw_bits64(x) & (one - 1)) | one, my = (tw_bits64(y) & (one - 1)) | one;
    ex += (int)(tw_bits64(x) >> 52);
    ey += (int)(tw_bits64(y) >> 52);
    for (; ex > ey; ex--)
        mx = (mx >= my ? mx - my : mx) << 1;
    mx = mx >= my ? mx - my : mx;
    return tw_with_sign(tw_scaled((double)mx, ey - 1075), a);
}

/* Remainder with the sign of b. */
TW_FUNCTION double tw_mod_f64(double a, double b)
{
    double r = tw_fmod_f64(a, b);
    return r == 0.0 ? tw_with_sign(r, b) : (r < 0.0) != (b < 0.0) ? r + b : r;
}

/* Sine of x + quarter turns: x = k pi/2 + r with pi/2 in three parts, then the series of sine or cosine. */
TW_FUNCTION double tw_turned(double x, int quarters)
{
    if (!(x > -0x1p30 && x < 0x1p30))
        x = tw_fmod_f64(x, 6.283185307179586);
    if (x != x)
        return x;
    double k = tw_round_f64(x * 0.6366197723675814);
    double r = ((x - k * 0x1.921fb54400000p+0) - k * 0x1.0b4611a600000p-34) - k * 0x1.3198a2e037073p-69;
    int turn = ((int)k + quarters) & 3;
    double z = r * r, p = 1.0;
    int n = turn & 1 ? 16 : 17;
    for (; n > 1; n -= 2)
        p = 1.0 - p * z / (n * (n - 1));
    double y = turn & 1 ? p : p * r;
    return turn & 2 ? -y : y;
}

TW_FUNCTION double tw_sin_f64(double x)
{
    return tw_turned(x, 0);
}

TW_FUNCTION double tw_cos_f64(double x)
{
    return tw_turned(x, 1);
}

TW_FUNCTION double tw_tan_f64(double x)
{
    return tw_turned(x, 0) / tw_turned(x, 1);
}

/* arctan: arguments above 1 by the reciprocal, above tan(pi/12) by turning pi/6 back, then the series. */
TW_FUNCTION double tw_atan_f64(double x)
{
    double a = tw_with_sign(x, 1.0), t = a > 1.0 ? 1.0 / a : a, base = 0.0;
    if (t > 0.2679491924311227) {
        t = (t * 1.7320508075688772 - 1.0) / (t + 1.7320508075688772);
        base = 0.5235987755982989;
    }
    double z = t * t, p = 0.0;
    for (int n = 27; n > 1; n -= 2)
        p = (1.0 / n - p) * z;
    double y = base + (t - t * p);
    return tw_with_sign(a > 1.0 ? 1.5707963267948966 - y : y, x);
}

TW_FUNCTION double tw_asin_f64(double x)
{
    return tw_atan_f64(x / tw_sqrt_f64((1.0 - x) * (1.0 + x)));
}

TW_FUNCTION double tw_acos_f64(double x)
{
    return x == -1.0 ? 3.141592653589793 : 2.0 * tw_atan_f64(tw_sqrt_f64((1.0 - x) / (1.0 + x)));
}

TW_FUNCTION double tw_sinh_f64(double x)
{
    double a = tw_with_sign(x, 1.0), half = tw_exp_f64(0.5 * a), t = tw_expm1_f64(a);
    double y = a > 30.0 ? 0.5 * half * half : 0.5 * (t + t / (t + 1.0));
    return tw_with_sign(y, x);
}

TW_FUNCTION double tw_cosh_f64(double x)
{
    double half = tw_exp_f64(0.5 * tw_with_sign(x, 1.0)), e = half * half;
    return 0.5 * half * half + 0.5 / e;
}

TW_FUNCTION double tw_tanh_f64(double x)
{
    double a = tw_with_sign(x, 1.0), t = tw_expm1_f64(2.0 * (a > 20.0 ? 20.0 : a));
    return tw_with_sign(t / (t + 2.0), x);
}

TW_HOT float tw_tanh_f32(float x)
{
    float a = tw_with_sign32(x, 1.0f), z = x * x;
    float small = a - a * z * (0.33333333f - z * (0.13333333f - z * (0.053968254f - z * 0.021869489f)));
    float large = 1.0f - 2.0f / (tw_exp_f32(2.0f * a) + 1.0f);
    return tw_with_sign32(a < 0.3f ? small : large, x);
}

TW_FUNCTION double tw_asinh_f64(double x)
{
    double a = tw_with_sign(x, 1.0);
    double y = a > 1e8 ? tw_log_f64(a) + 0.6931471805599453
                       : tw_log1p_f64(a + a * a / (1.0 + tw_sqrt_f64(a * a + 1.0)));
    return tw_with_sign(y, x);
}

TW_FUNCTION double tw_acosh_f64(double x)
{
    double t = x < 1.0 ? tw_nan() : x - 1.0;
    return x > 1e8 ? tw_log_f64(x) + 0.6931471805599453 : tw_log1p_f64(t + tw_sqrt_f64(2.0 * t + t * t));
}

TW_FUNCTION double tw_atanh_f64(double x)
{
    double a = tw_with_sign(x, 1.0);
    return tw_with_sign(0.5 * tw_log1p_f64(2.0 * a / (1.0 - a)), x);
}

/* erf: the series with all terms positive below 3, above it 1 - erfc by its continued fraction (Abramowitz and Stegun
 * 7.1.6 and 7.1.14). */
TW_FUNCTION double tw_erf_f64(double x)
{
    double a = tw_with_sign(x, 1.0), y = 1.0;
    if (a < 3.0) {
        double term = a, sum = a;
        for (int n = 1; n < 80 && term > 1e-18 * sum; n++) {
            term *= 2.0 * a * a / (2 * n + 1);
            sum += term;
        }
        y = 1.1283791670955126 * tw_exp_f64(-a * a) * sum;
    } else if (a < 6.0) {
        double below = a;
        for (int n = 40; n > 0; n--)
            below = a + 0.5 * n / below;
        y = 1.0 - 0.5641895835477563 * tw_exp_f64(-a * a) / below;
    }
    return x == x ? tw_with_sign(y, x) : x;
}

/* erf: its series below 1, above it 1 - e^(-x^2) p(1 / (1 + x/2)), p by interpolation at Chebyshev nodes for x within
 * 1 .. 4.3, error below 2e-8. */
TW_HOT float tw_erf_f32(float x)
{
    float a = tw_with_sign32(x, 1.0f), in = a < 4.3f ? a : 4.3f, z = in * in, t = 1.0f / (1.0f + 0.5f * in);
    float s = 1.480719282e-08f;
    s = s * z - 1.636584469e-07f;
    s = s * z + 1.646211437e-06f;
    s = s * z - 1.492565036e-05f;
    s = s * z + 1.205533298e-04f;
    s = s * z - 8.548327023e-04f;
    s = s * z + 5.223977625e-03f;
    s = s * z - 2.686617065e-02f;
    s = s * z + 1.128379167e-01f;
    s = s * z - 3.761263890e-01f;
    s = s * z + 1.128379167e+00f;
    float p = -2.156051601e-01f;
    p = p * t + 5.962467396e-01f;
    p = p * t - 2.179891347e-02f;
    p = p * t + 3.744965295e-01f;
    p = p * t + 2.654781836e-01f;
    p = p * t + 1.229505692e-03f;
    float near = in * s, far = 1.0f - tw_exp_f32(-z) * p;
    return x == x ? tw_with_sign32(a < 1.0f ? near : far, x) : x;
}

/* 1 / (1 + e^-x) without overflow. */
TW_FUNCTION double tw_sigmoid_f64(double x)
{
    double e = tw_exp_f64(-tw_with_sign(x, 1.0));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

TW_HOT float tw_sigmoid_f32(float x)
{
    float e = tw_exp_f32(-tw_with_sign32(x, 1.0f));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* a^b: whole exponents up to 64 by multiplication (exact where all products are), others by e^(b ln |a|). */
TW_FUNCTION double tw_pow_f64(double a, double b)
{
    double magnitude = tw_with_sign(a, 1.0), size = tw_with_sign(b, 1.0);
    int whole = tw_floor_f64(b) == b, odd = whole && size < 0x1p53 && tw_fmod_f64(size, 2.0) == 1.0;
    if (b == 0.0 || a == 1.0 || (a == -1.0 && size == tw_infinity()))
        return 1.0;
    if (a < 0.0 && !whole)
        return b != b ? b : a == -tw_infinity() ? (b < 0.0 ? 0.0 : tw_infinity()) : tw_nan();
    double y = 1.0;
    if (whole && size <= 64.0) {
        for (int n = (int)size; n > 0; n >>= 1, magnitude *= magnitude)
            y = n & 1 ? y * magnitude : y;
        y = b < 0.0 ? 1.0 / y : y;
    } else {
        y = tw_exp_f64(b * tw_log_f64(magnitude));
    }
    return odd ? tw_with_sign(y, a) : y;
}

#endif
