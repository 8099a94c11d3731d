/* What the generated part of a kernel bench tells the part that runs it: calls, memory images, what to look at. */
#ifndef TW_BENCH_H
#define TW_BENCH_H

#include <stdint.h>

/* Bytes of a pool. `at` is where they are, `from` what they have to be before each call. */
typedef struct {
    uint8_t *at;
    const uint8_t *from;
    uint32_t bytes;
} tw_area;

typedef struct {
    void (*run)(int core, int first, int last);
    tw_area images[2];
    const tw_area *kept; /* what no call may change */
    const tw_area *results; /* `from` is where they are collected */
    uint32_t kept_count, result_count;
    int total, chunk; /* indices that the cores share, and how many each takes; chunk 0: core 0 alone */
    int meets; /* every core calls: they meet in it */
} tw_case;

extern const tw_case tw_cases[];
extern const uint32_t tw_case_count;
extern uint32_t tw_spent[][TW_CORES]; /* cycles of every core in the last call */
extern uint32_t tw_damage[]; /* 0: none; 1 + n: kept area n was changed; 0x8000: cores write each other's results */

#endif
