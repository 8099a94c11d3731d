/* N-EUREKA: jobs from tables that the compiler made (targets/siracusa/neureka_job.py). A job's registers are written
 * while the core would wait for the one before, so that its start is one store. */
#include "tw_kernels.h"
#include "tw_cores.h"
#include "tw_xpulp.h"

enum {
    TRIGGER = 0x00, /* written: the job is complete, and begins once those before it are done */
    ACQUIRE = 0x04, /* read: the number of a job whose registers are written from now on, negative: both are in use */
    REGISTERS = 0x20
};
enum { PLACES = 6, OTHERS = 18, LENGTH = PLACES + OTHERS }; /* of a job's part of a form */

static const int32_t *describe_later(const tw_neureka_call *call, const int32_t *form);

/* Write the registers of a call's job, and return the form of the next: addresses, for which the form says what to add
 * (the call has its form in place of the address of shifts, which no job reads), then the others. A register can be stored
 * the second instruction after its load. */
TW_HELPER const int32_t *describe(const tw_neureka_call *call, const int32_t *form)
{
    if ((int32_t)TW_REGISTER(TW_NEUREKA + ACQUIRE) < 0)
        return describe_later(call, form);
    uint32_t at = TW_NEUREKA + REGISTERS, v, w;
    __asm__ volatile(TW_ASM_BEGIN TW_LOOP("0", "%[places]", "4") TW_LW("%[v]", "%[call]", "4")
                     TW_LW("%[w]", "%[form]", "4") "add %[v], %[v], %[w]\n" TW_SW("%[v]", "%[at]", "4")
                     TW_LOOP("0", "%[pairs]", "4") TW_LW("%[v]", "%[form]", "4") TW_LW("%[w]", "%[form]", "4")
                     TW_SW("%[v]", "%[at]", "4") TW_SW("%[w]", "%[at]", "4") TW_ASM_END
                     : [call] "+r"(call), [form] "+r"(form), [at] "+r"(at), [v] "=&r"(v), [w] "=&r"(w)
                     : [places] "r"(PLACES), [pairs] "r"(OTHERS / 2)
                     : "memory");
    return form;
}

/* Those before and after call these last, and keep nothing on the stack. */
TW_HELPER const int32_t *describe_later(const tw_neureka_call *call, const int32_t *form)
{
    tw_neureka_wait(1);
    return describe(call, form);
}

TW_HELPER void start_undescribed(tw_neureka_queue *queue)
{
    describe(queue->next, queue->next->form);
    queue->described = 1;
    tw_neureka_start(queue);
}

TW_HELPER void start_others(const tw_neureka_call *call)
{
    const int32_t *form = call->form + LENGTH;
    int32_t jobs = call->jobs;
    do {
        form = describe(call, form);
        TW_REGISTER(TW_NEUREKA + TRIGGER) = 0;
    } while (--jobs > 1);
}

__attribute__((aligned(16))) void tw_neureka_start(tw_neureka_queue *queue)
{
    if (!queue->described) {
        start_undescribed(queue);
        return;
    }
    __asm__ volatile("" ::: "memory");
    TW_REGISTER(TW_NEUREKA + TRIGGER) = 0;
    const tw_neureka_call *call = queue->next;
    queue->next = call + 1, queue->described = 0;
    if (call->jobs > 1)
        start_others(call);
}

/* A job that is described and not started counts as one that is not done. */
void tw_neureka_finish(tw_neureka_queue *queue)
{
    if (!queue->described && queue->next != queue->end) {
        describe(queue->next, queue->next->form);
        queue->described = 1;
    }
    tw_neureka_wait(queue->described);
}

/* Jobs that are described or not done. */
static inline uint32_t taken(void)
{
    return (uint32_t)tw_pcnt((int32_t)TW_REGISTER(TW_NEUREKA_STATUS) & 0x101);
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

/* Start a call by itself. */
void tw_neureka_1x1(ARGUMENTS)
{
    tw_neureka_call call = {w, x, y, mul, form, add, jobs};
    tw_neureka_queue queue = {&call, &call + 1, 0};
    tw_neureka_start(&queue);
}

/* Other arrangements differ in their tables. */
#define SAME(name) void name(ARGUMENTS) __attribute__((alias("tw_neureka_1x1")))
SAME(tw_neureka_one);
SAME(tw_neureka_three);
SAME(tw_neureka_nine);
SAME(tw_neureka_3x3);
SAME(tw_neureka_depthwise);
