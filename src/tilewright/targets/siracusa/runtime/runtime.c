/* Siracusa: boot of the cluster, output, and what a freestanding compiler may call. */
#include "siracusa.h"

#include <stddef.h>

volatile uint32_t tw_exit_code;
static volatile uint32_t done;
static void (*volatile asked)(void); /* of the fabric controller */

extern char tw_cluster_start[];
extern uint32_t tw_near_begin[], tw_near_end[];
extern const uint32_t tw_near_stored[];

void tw_write(const void *text, uint32_t bytes)
{
    uint32_t hart = tw_hart();
    volatile uint8_t *out = (volatile uint8_t *)(uintptr_t)(TW_STDOUT + ((hart >> 5) << 7) + ((hart & 15) << 3));
    for (const uint8_t *at = text, *end = at + bytes; at < end;)
        *out = *at++;
}

void tw_put(char c)
{
    tw_write(&c, 1);
}

void tw_print(const char *text)
{
    while (*text != 0)
        tw_put(*text++);
}

void tw_print_number(uint32_t value)
{
    char digits[10];
    int count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0)
        tw_put(digits[--count]);
}

void tw_print_hex(uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        tw_put("0123456789abcdef"[value >> shift & 15]);
}

void tw_on_fabric(void (*work)(void))
{
    asked = work;
    while (asked != 0)
        ;
}

/* Every core of the cluster comes here. */
void tw_cluster_main(int core)
{
    TW_REGISTER(TW_EVENT_MASK) = 1u << TW_EVENT_BARRIER;
    if (core == 0) {
        uint32_t all = (1u << TW_CORES) - 1;
        TW_REGISTER(TW_BARRIER + 0x00) = all; /* who takes part */
        TW_REGISTER(TW_BARRIER + 0x0c) = all; /* who is woken */
        TW_REGISTER(TW_CLUSTER_TIMER) = 1;
        const uint32_t *from = tw_near_stored;
        for (uint32_t *to = tw_near_begin; to != tw_near_end; to++)
            *to = *from++;
        done = 1; /* the barrier is set up: the others may start */
    }
    tw_barrier();
    tw_program(core);
    tw_barrier();
    if (core == 0)
        done = 2;
    for (;;)
        tw_event_load(TW_EVENT_WAIT);
}

/* The fabric controller starts core 0 first, which sets the barrier up, then the others, and does what it is asked to
 * until all end. */
int tw_fabric_main(void)
{
    for (uint32_t core = 0; core < TW_CORES; core++)
        TW_REGISTER(TW_CLUSTER_CONTROL + 0x40 + 4 * core) = (uint32_t)(uintptr_t)tw_cluster_start;
    TW_REGISTER(TW_CLUSTER_ICACHE) = 1; /* off at reset */
    TW_REGISTER(TW_CLUSTER_CONTROL + 0x08) = 1;
    while (done == 0)
        ;
    TW_REGISTER(TW_CLUSTER_CONTROL + 0x08) = (1u << TW_CORES) - 1;
    while (done != 2)
        if (asked != 0) {
            asked();
            asked = 0;
        }
    return (int)tw_exit_code;
}

typedef uint32_t __attribute__((may_alias)) word;

/* What is copied lies in slow memory more often than where it goes: it is read by words. */
void *memcpy(void *restrict target, const void *restrict source, size_t count)
{
    unsigned char *to = target;
    const unsigned char *from = source;
    for (; count != 0 && ((uintptr_t)from & 3) != 0; count--)
        *to++ = *from++;
    for (; count >= 4; count -= 4, from += 4, to += 4) {
        uint32_t four = *(const word *)(const void *)from;
        to[0] = (unsigned char)four, to[1] = (unsigned char)(four >> 8);
        to[2] = (unsigned char)(four >> 16), to[3] = (unsigned char)(four >> 24);
    }
    for (; count != 0; count--)
        *to++ = *from++;
    return target;
}

void *memset(void *target, int value, size_t count)
{
    unsigned char *to = target;
    while (count-- != 0)
        *to++ = (unsigned char)value;
    return target;
}

void *memmove(void *target, const void *source, size_t count)
{
    unsigned char *to = target;
    const unsigned char *from = source;
    if ((uintptr_t)to <= (uintptr_t)from)
        return memcpy(target, source, count);
    while (count-- != 0)
        to[count] = from[count];
    return target;
}

/* By words, as soon as they are aligned: none of those reaches into memory that the text has no byte of. */
size_t strlen(const char *text)
{
    const char *at = text;
    for (; ((uintptr_t)at & 3) != 0; at++)
        if (*at == 0)
            return (size_t)(at - text);
    for (uint32_t four; four = *(const word *)(const void *)at, ((four - 0x01010101u) & ~four & 0x80808080u) == 0;)
        at += 4;
    while (*at != 0)
        at++;
    return (size_t)(at - text);
}
