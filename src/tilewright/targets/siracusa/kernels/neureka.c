/* N-EUREKA: jobs from tables that the compiler made (targets/siracusa/neureka_job.py). Nobody waits here for a job. */
#include "tw_kernels.h"
#include "tw_cores.h"
#include "tw_xpulp.h"

enum {
    TRIGGER = 0x00, /* written: the job is complete, and begins once those before it are done */
    ACQUIRE = 0x04, /* read: the number of a job whose registers are written from now on, negative: both are in use */
    REGISTERS = 0x20,
    WEIGHT_MEMORY = 0x10400000
};

enum { WEIGHTS, INPUTS, RESULTS, MULTIPLIERS, SHIFTS, ADDENDS, IN_PIXEL, IN_LINE, OUT_GROUP = 9, OUT_PIXEL, OUT_LINE };
enum { WORD_STEP = 12, OUTPUT_STEP, SIZES = 15, PADDING = 20, LOW, CONF = 23 };
enum { DIGEST, VARYING, NEXT = VARYING + 13, LENGTH = NEXT + 5 }; /* of a job's part of a form */

#define JOB(n) TW_REGISTER(TW_NEUREKA + REGISTERS + 4 * (n))

/* Several at a time: a value can be stored the second instruction after its load. */
static inline void copy3(int at, const int32_t *v, int b, int c)
{
    int32_t first = v[0], second = v[1], third = v[2];
    JOB(at) = (uint32_t)first, JOB(b) = (uint32_t)second, JOB(c) = (uint32_t)third;
}

/* All registers but the addresses. A context keeps what was written: the digest of a form that is still there lies in
 * the address of shifts, which no job reads. */
static inline void describe(const int32_t *form)
{
    uint32_t there = JOB(SHIFTS), digest = (uint32_t)form[DIGEST];
    if (there == digest)
        return;
    const int32_t *v = form + VARYING;
    JOB(SHIFTS) = digest;
    JOB(OUT_GROUP) = JOB(WORD_STEP) = 32;
    copy3(IN_PIXEL, v, IN_LINE, OUT_PIXEL);
    copy3(OUT_LINE, v + 3, OUTPUT_STEP, SIZES);
    copy3(SIZES + 1, v + 6, SIZES + 2, SIZES + 3);
    copy3(SIZES + 4, v + 9, PADDING, LOW);
    JOB(CONF) = (uint32_t)v[12];
}

static inline uint32_t address(const void *base)
{
    return (uint32_t)(uintptr_t)base;
}

#define ARGUMENTS                                                                                                      \
    const void *x, const int8_t *w, const void *mul, const void *add, void *y, const int32_t *form, int32_t start,     \
        int32_t jobs

/* Start jobs: each goes on with what the form says to add. */
void tw_neureka_1x1(ARGUMENTS)
{
    uint32_t inputs = address(x) + (uint32_t)start, weights = address(w) - WEIGHT_MEMORY, results = address(y);
    uint32_t multipliers = address(mul), addends = address(add);
    __asm__ volatile("" ::: "memory");
    for (;;) {
        while ((int32_t)TW_REGISTER(TW_NEUREKA + ACQUIRE) < 0)
            tw_neureka_doze(1);
        describe(form);
        JOB(WEIGHTS) = weights, JOB(INPUTS) = inputs, JOB(RESULTS) = results;
        JOB(MULTIPLIERS) = multipliers, JOB(ADDENDS) = addends;
        TW_REGISTER(TW_NEUREKA + TRIGGER) = 0;
        if (--jobs <= 0)
            return;
        const int32_t *next = form + NEXT;
        inputs += (uint32_t)next[0], weights += (uint32_t)next[1], multipliers += (uint32_t)next[2];
        addends += (uint32_t)next[3], results += (uint32_t)next[4];
        form += LENGTH;
    }
}

/* Other arrangements differ in their tables. */
#define SAME(name) void name(ARGUMENTS) __attribute__((alias("tw_neureka_1x1")))
SAME(tw_neureka_one);
SAME(tw_neureka_three);
SAME(tw_neureka_nine);
SAME(tw_neureka_3x3);
SAME(tw_neureka_depthwise);
