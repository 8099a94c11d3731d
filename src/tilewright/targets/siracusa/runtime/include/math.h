/* Constants only: what kernels compute of floats is in the kernels. */
#ifndef TW_MATH_H_CONSTANTS
#define TW_MATH_H_CONSTANTS

#define NAN __builtin_nanf("")
#define INFINITY __builtin_inff()

#endif
