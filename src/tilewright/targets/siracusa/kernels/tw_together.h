/* For kernels whose cores share a call out among themselves: who am I, and barriers. Elsewhere there is one core. */
#ifndef TW_TOGETHER_H
#define TW_TOGETHER_H

#ifdef __riscv
#include "tw_cores.h"
#else
enum { TW_CORES = 1 };
static inline int tw_core(void)
{
    return 0;
}
static inline void tw_barrier(void)
{
}
#endif

#endif
