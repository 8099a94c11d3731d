/* What the program of a network tells the harness that runs it: how to call it, and its outputs. */
#ifndef TW_HARNESS_H
#define TW_HARNESS_H

#include <stdint.h>

enum { TW_EXACT, TW_FLOAT, TW_DOUBLE };

typedef struct {
    const char *name;
    const void *data;
    const void *expected; /* 0: nothing to compare with */
    uint32_t elements, bytes, kind;
} tw_output;

extern const tw_output tw_outputs[];
extern const uint32_t tw_output_count;
extern volatile uint32_t tw_repeat; /* runs in a row */

void tw_restart(void); /* by the fabric controller: the first state */
void tw_load(void);    /* by the same: inputs that are kept as state */
void tw_call(void);    /* by all cores of the cluster: what is measured */
void tw_collect(void); /* by the fabric controller: outputs to where tw_outputs says, those kept as state too */

#endif
