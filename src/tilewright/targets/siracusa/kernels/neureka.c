/* N-EUREKA: jobs from tables that the compiler made (targets/siracusa/neureka_job.py). A job's registers are written
 * while the core would wait for the one before, so that its start is one store. */
#include "tw_kernels.h"
#include "tw_cores.h"
#include "tw_xpulp.h"

enum {
    TRIGGER = TW_NEUREKA,        /* written: the job is complete, and begins once those before it are done */
    ACQUIRE = TW_NEUREKA + 0x04, /* read: the number of a job whose registers are written from now on, negative: both
                                  * contexts are in use */
    REGISTERS = TW_NEUREKA + 0x20,
    PLACES = 6, /* the first of a job's registers: addresses */
    LENGTH = 24
};

/* Write the registers of the job at a1, once a context is free: addresses, then others that are not in the context yet.
 * The next job is at a1 then. It returns to t0 and changes a2 to a5: who calls it needs no frame. Where both contexts are
 * in use, it sleeps until a job ends, or has ended since the core slept so. */
__attribute__((naked, used, aligned(16))) TW_HELPER void write_registers(void)
{
    __asm__ volatile("lui a3, %[engine]\n1: lw a4, 4(a3)\nlw a2, 20(a1)\nbltz a4, 3f\n"
                     "lw a4, 0(a1)\nlw a5, 4(a1)\nsw a4, 32(a3)\nlw a4, 8(a1)\nsw a5, 36(a3)\nlw a5, 12(a1)\n"
                     "sw a4, 40(a3)\nlw a4, 16(a1)\nsw a5, 44(a3)\nlw a5, 0(a2)\nsw a4, 52(a3)\n"
                     "addi a1, a1, 24\naddi a2, a2, 4\nbeqz a5, 2f\n" TW_ASM_BEGIN TW_LOOP("0", "a5", "3")
                     TW_LW("a4", "a2", "4") TW_LW("a3", "a2", "4") "sw a4, 0(a3)\n" TW_ASM_END "2: jr t0\n"
                     "3: lui a4, %[events]\nlui a5, %[ours]\nsw a5, 0(a4)\n.insn i 0x03, 6, zero, 0x3c(a4)\n"
                     "lui a5, %[barrier]\nsw a5, 0(a4)\nj 1b\n"
                     :
                     : [engine] "i"(TW_NEUREKA >> 12), [events] "i"(TW_EVENT_UNIT >> 12),
                     [ours] "i"((1 << TW_EVENT_NEUREKA) >> 12), [barrier] "i"((1 << TW_EVENT_BARRIER) >> 12));
}

/* Describe a job, and return the next one. */
static inline const tw_neureka_job *describe(const tw_neureka_job *job)
{
    register const tw_neureka_job *at __asm__("a1") = job;
    __asm__ volatile("jal t0, %[write]"
                     : "+r"(at)
                     : [write] "i"(write_registers)
                     : "t0", "a2", "a3", "a4", "a5", "memory");
    return at;
}

void tw_neureka_describe(const tw_neureka_job *job)
{
    describe(job);
}

/* Jobs that are not described. */
TW_HELPER void start_others(tw_neureka_queue *queue, int32_t jobs)
{
    do {
        queue->next = describe(queue->next);
        TW_REGISTER(TRIGGER) = 0;
    } while (--jobs > 0);
}

__attribute__((aligned(16))) void tw_neureka_start(tw_neureka_queue *queue, int32_t jobs)
{
    if (__builtin_expect(queue->described, 1)) {
        __asm__ volatile("" ::: "memory");
        TW_REGISTER(TRIGGER) = 0;
        queue->described = 0;
        jobs--;
    }
    if (jobs)
        start_others(queue, jobs);
}

/* Jobs that are described or not done. */
static inline uint32_t taken(void)
{
    return (uint32_t)tw_pcnt((int32_t)TW_REGISTER(TW_NEUREKA_STATUS) & 0x101);
}

void tw_neureka_finish(tw_neureka_queue *queue)
{
    uint32_t left = 0;
    if (queue->next != queue->end) {
        queue->next = describe(queue->next);
        queue->described = left = 1;
    }
    if (__builtin_expect(taken() > left, 0))
        tw_neureka_wait(left);
}

/* The event is in the core's mask only here: it would end a barrier. Where one job is left, and no event of those before
 * it, the next event says that it is done. */
__attribute__((noinline)) void tw_neureka_wait(uint32_t left)
{
    TW_REGISTER(TW_EVENT_MASK) = 1u << TW_EVENT_NEUREKA;
    for (uint32_t jobs; (jobs = taken()) > left; tw_event_load(TW_EVENT_TAKE))
        if (jobs == left + 1) {
            TW_REGISTER(TW_EVENT_CLEAR) = 1u << TW_EVENT_NEUREKA;
            if (taken() == jobs)
                tw_event_load(TW_EVENT_TAKE);
            break;
        }
    TW_REGISTER(TW_EVENT_MASK) = 1u << TW_EVENT_BARRIER;
    __asm__ volatile("" ::: "memory");
}

#define ARGUMENTS                                                                                                      \
    const int8_t *w, const void *x, void *y, const void *mul, const int32_t *form, const void *add, int32_t jobs

/* Start a call by itself: all registers of its jobs are in `form`, of addresses what to add to them. */
void tw_neureka_1x1(ARGUMENTS)
{
    do {
        while ((int32_t)TW_REGISTER(ACQUIRE) < 0)
            ;
        volatile int32_t *at = (volatile int32_t *)REGISTERS;
        at[0] = (int32_t)(uintptr_t)w + form[0], at[1] = (int32_t)(uintptr_t)x + form[1];
        at[2] = (int32_t)(uintptr_t)y + form[2], at[3] = (int32_t)(uintptr_t)mul + form[3];
        at[5] = (int32_t)(uintptr_t)add + form[5];
        for (int i = PLACES; i < LENGTH; i++)
            at[i] = form[i];
        form += LENGTH;
        __asm__ volatile("" ::: "memory");
        TW_REGISTER(TRIGGER) = 0;
    } while (--jobs > 0);
}

/* Other arrangements differ in their tables. */
#define SAME(name) void name(ARGUMENTS) __attribute__((alias("tw_neureka_1x1")))
SAME(tw_neureka_one);
SAME(tw_neureka_three);
SAME(tw_neureka_nine);
SAME(tw_neureka_3x3);
SAME(tw_neureka_depthwise);
