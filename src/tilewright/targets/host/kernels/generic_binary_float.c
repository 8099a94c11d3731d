/* Arithmetic and comparison of floats. */
#include "tw_kernels.h"
#include "tw_binary.h"
#include "tw_functions.h"

#define FLOAT(T, TYPE)                                                                                                 \
    static void arithmetic_##T(const TYPE *restrict a, const TYPE *restrict b, TYPE *restrict y, int n, int function)  \
    {                                                                                                                  \
        switch (function) {                                                                                            \
            CASE(ADD, TYPE, TYPE, p + q)                                                                               \
            CASE(SUB, TYPE, TYPE, p - q)                                                                               \
            CASE(MUL, TYPE, TYPE, p * q)                                                                               \
            CASE(DIV, TYPE, TYPE, p / q)                                                                               \
            CASE(MOD, TYPE, TYPE, tw_mod_f64(p, q))                                                                    \
            CASE(FMOD, TYPE, TYPE, tw_fmod_f64(p, q))                                                                  \
            CASE(MIN, TYPE, TYPE, p < q || p != p ? p : q)                                                             \
            CASE(MAX, TYPE, TYPE, p > q || p != p ? p : q)                                                             \
            CASE(PRELU, TYPE, TYPE, p < 0 ? p * q : p)                                                                 \
            CASE(POW, TYPE, TYPE, tw_pow_f64(p, q))                                                                    \
        }                                                                                                              \
    }                                                                                                                  \
    KERNEL(tw_binary_##T, TYPE, TYPE, arithmetic_##T)

BRING(float)
BRING(double)
FLOAT(f32, float)
FLOAT(f64, double)
COMPARE(f32, float)
COMPARE(f64, double)
