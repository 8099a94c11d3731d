/* Siracusa's cluster: boot, timer, output. Addresses and protocols as the chip has them. */
#ifndef TW_SIRACUSA_H
#define TW_SIRACUSA_H

#include "tw_cores.h"

enum {
    TW_CLUSTER_CONTROL = 0x10200000,
    TW_CLUSTER_TIMER = 0x10200400,
    TW_CLUSTER_ICACHE = 0x10201400,
    TW_EVENT_WAIT = TW_EVENT_UNIT + 0x38,
    TW_STDOUT = 0x1a10f000
};

static inline uint32_t tw_hart(void)
{
    uint32_t value;
    __asm__ volatile("csrr %0, 0xf14" : "=r"(value));
    return value;
}

/* Cycles of the cluster's clock. */
static inline uint32_t tw_cycles(void)
{
    return TW_REGISTER(TW_CLUSTER_TIMER + 8);
}

void tw_write(const void *text, uint32_t bytes);
void tw_put(char c);
void tw_print(const char *text);
void tw_print_number(uint32_t value);
void tw_print_hex(uint32_t value);

/* By one core of the cluster: the fabric controller does this work, and the core waits. Code that runs between measured
 * calls leaves the cluster's instruction cache as it is. */
void tw_on_fabric(void (*work)(void));

/* The program, run by every core of the cluster between two barriers. */
void tw_program(int core);
/* What the program leaves for the exit code, 0: all is well. */
extern volatile uint32_t tw_exit_code;

#endif
