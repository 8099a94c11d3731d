/* N-EUREKA: jobs from tables that the compiler made (targets/siracusa/neureka_job.py). A job's registers are written
 * while the core would wait for the one before, so that its start is one store. */
#include "tw_kernels.h"
#include "tw_cores.h"
#include "tw_xpulp.h"

enum {
    TRIGGER = 0x00, /* written: the job is complete, and begins once those before it are done */
    ACQUIRE = 0x04, /* read: the number of a job whose registers are written from now on, negative: both are in use */
    REGISTERS = 0x20,
    WEIGHT_MEMORY = 0x10400000
};

enum { WEIGHTS, INPUTS, RESULTS, MULTIPLIERS, ADDENDS = 5, IN_PIXEL, IN_LINE, OUT_GROUP = 9, OUT_PIXEL, OUT_LINE };
enum { WORD_STEP = 12, OUTPUT_STEP, SIZES = 15, PADDING = 20, LOW, CONF = 23 };
enum { PLACES, VARYING = PLACES + 5, LENGTH = VARYING + 13 }; /* of a job's part of a form */

#define JOB(n) TW_REGISTER(TW_NEUREKA + REGISTERS + 4 * (n))

/* Several at a time: a value can be stored the second instruction after its load. */
static inline void copy3(int at, const int32_t *v, int b, int c)
{
    int32_t first = v[0], second = v[1], third = v[2];
    JOB(at) = (uint32_t)first, JOB(b) = (uint32_t)second, JOB(c) = (uint32_t)third;
}

static inline uint32_t place(const void *base, int32_t offset)
{
    return (uint32_t)(uintptr_t)base + (uint32_t)offset;
}

static void describe_later(const tw_neureka_call *call, const int32_t *form);

/* Write the registers of a call's job; the others are 0. */
static TW_HOT __attribute__((noinline)) void describe(const tw_neureka_call *call, const int32_t *form)
{
    if ((int32_t)TW_REGISTER(TW_NEUREKA + ACQUIRE) < 0) {
        describe_later(call, form);
        return;
    }
    const int32_t *at = form + PLACES, *v = form + VARYING;
    uint32_t inputs = place(call->x, at[0]), weights = place(call->w, at[1]), multipliers = place(call->mul, at[2]);
    JOB(INPUTS) = inputs, JOB(WEIGHTS) = weights - WEIGHT_MEMORY, JOB(MULTIPLIERS) = multipliers;
    uint32_t addends = place(call->add, at[3]), results = place(call->y, at[4]);
    JOB(ADDENDS) = addends, JOB(RESULTS) = results;
    JOB(OUT_GROUP) = JOB(WORD_STEP) = 32;
    copy3(IN_PIXEL, v, IN_LINE, OUT_PIXEL);
    copy3(OUT_LINE, v + 3, OUTPUT_STEP, SIZES);
    copy3(SIZES + 1, v + 6, SIZES + 2, SIZES + 3);
    copy3(SIZES + 4, v + 9, PADDING, LOW);
    JOB(CONF) = (uint32_t)v[12];
}

/* Those above call these last, and keep nothing on the stack. */
static TW_HOT __attribute__((noinline)) void describe_later(const tw_neureka_call *call, const int32_t *form)
{
    tw_neureka_wait(1);
    describe(call, form);
}

static TW_HOT __attribute__((noinline)) void start_undescribed(tw_neureka_queue *queue)
{
    describe(queue->next, queue->next->form);
    queue->described = 1;
    tw_neureka_start(queue);
}

static TW_HOT __attribute__((noinline)) void start_others(const tw_neureka_call *call)
{
    const int32_t *form = call->form;
    for (int32_t jobs = call->jobs; --jobs > 0;) {
        describe(call, form += LENGTH);
        TW_REGISTER(TW_NEUREKA + TRIGGER) = 0;
    }
}

TW_HOT __attribute__((aligned(16))) void tw_neureka_start(tw_neureka_queue *queue)
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
TW_HOT void tw_neureka_finish(tw_neureka_queue *queue)
{
    if (queue->next != queue->end) {
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
TW_HOT __attribute__((noinline)) void tw_neureka_wait(uint32_t left)
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
    const void *x, const int8_t *w, const void *mul, const void *add, void *y, const int32_t *form, int32_t jobs

/* Start a call by itself. */
void tw_neureka_1x1(ARGUMENTS)
{
    tw_neureka_call call = {x, w, mul, add, y, form, jobs};
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
