/* What a network compiled for Siracusa's cluster calls besides kernels: who am I, my share, barriers, transfers. */
#ifndef TW_CORES_H
#define TW_CORES_H

#include <stdint.h>

#ifndef TW_CORES
#define TW_CORES 8
#endif

#define TW_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define TW_NEAR __attribute__((section(".tw.near"))) /* tables that every call reads: in L1 from the start on */
#define TW_NEAR_CHANGING __attribute__((section(".tw.near.changing"))) /* the same, where calls write into them */
#define TW_ALIGNED __attribute__((aligned(16))) /* whole words of the memories, and of the DMA */

enum {
    TW_EVENT_UNIT = 0x10204000, /* each core's own view */
    TW_EVENT_MASK = TW_EVENT_UNIT,
    TW_EVENT_CLEAR = TW_EVENT_UNIT + 0x28,
    TW_EVENT_TAKE = TW_EVENT_UNIT + 0x3c, /* wait for an event of the mask, and clear it */
    TW_EVENT_NEUREKA = 12,
    TW_EVENT_BARRIER = 16,
    TW_BARRIER = TW_EVENT_UNIT + 0x200,
    TW_NEUREKA = 0x10201000,
    TW_NEUREKA_STATUS = TW_NEUREKA + 0x0c, /* bits 0 and 8: a job is in that context */
    TW_DMA_COMMAND = 0x10204400, /* each core's own view */
    TW_DMA_STATUS = 0x10204404,
    TW_DMA_IN = 1 << 17, /* into L1 */
    TW_DMA_STEP = 1 << 18,
    TW_DMA_LINES = 1 << 19,
    TW_DMA_PIECE = 0x1fff0 /* bytes of one command: it has 17 bits for them */
};

/* Read an event register: the core sleeps until an event of its mask is there (p.elw). */
static inline uint32_t tw_event_load(uint32_t address)
{
    uint32_t value;
    __asm__ volatile(".insn i 0x03, 6, %0, 0(%1)" : "=r"(value) : "r"(address) : "memory");
    return value;
}

/* All cores meet: 5 cycles after the last one arrives. What any of them wrote is visible to all. */
static inline void tw_barrier(void)
{
    tw_event_load(TW_BARRIER + 0x1c);
}

/* Number of this core, 0 .. TW_CORES - 1. */
static inline int tw_core(void)
{
    int value;
    __asm__("csrr %0, 0xf14" : "=r"(value));
    return value & 31;
}

/* Whether this is the core of that number. The compiler cannot tell: it would make two copies of what lies between two
 * such questions, and the instruction cache is small. */
static inline int tw_is(int core, int number)
{
    __asm__ volatile("" : "+r"(core));
    return core == number;
}

/* This core's part of the indices 0 .. total: *first up to before *last, multiples of `unit`, as even as can be. */
static inline void tw_share(int core, int32_t total, int32_t unit, int32_t *first, int32_t *last)
{
    uint32_t units = ((uint32_t)total + (uint32_t)unit - 1) / (uint32_t)unit;
    int32_t chunk = (int32_t)((units + TW_CORES - 1) / TW_CORES) * unit, begin = core * chunk;
    if (chunk * TW_CORES <= total) { /* the compiler knows: less code */
        *first = begin, *last = begin + chunk;
        return;
    }
    *first = begin < total ? begin : total;
    *last = begin + chunk < total ? begin + chunk : total;
}

/* The same where core 0 has up to `late` units less than the others: it starts something first. */
static inline void tw_share_late(int core, int32_t total, int32_t unit, int32_t late, int32_t *first, int32_t *last)
{
    uint32_t units = ((uint32_t)total + (uint32_t)unit - 1) / (uint32_t)unit + (uint32_t)late;
    int32_t chunk = (int32_t)((units + TW_CORES - 1) / TW_CORES) * unit;
    int32_t begin = core * chunk - late * unit, end = begin + chunk;
    begin = begin > 0 ? begin : 0, end = end > 0 ? end : 0;
    *first = begin < total ? begin : total;
    *last = end < total ? end : total;
}

/* A token for the transfers that this core starts from now on: one of the DMA's 16 counters. */
static inline uint32_t tw_token(void)
{
    return TW_REGISTER(TW_DMA_COMMAND);
}

/* Start a transfer under this core's newest token, in pieces that the DMA takes; nothing to do is done. No completion
 * event is asked for: one that is left in a core's event mask would end its next barrier. */
static inline void tw_copy_start(uint32_t direction, const void *near, const void *far, uint32_t bytes)
{
    uint32_t inside = (uint32_t)(uintptr_t)near, outside = (uint32_t)(uintptr_t)far;
    __asm__ volatile("" ::: "memory");
    for (uint32_t piece; bytes != 0; bytes -= piece, inside += piece, outside += piece) {
        piece = bytes < TW_DMA_PIECE ? bytes : TW_DMA_PIECE;
        TW_REGISTER(TW_DMA_COMMAND) = piece | direction | TW_DMA_STEP;
        TW_REGISTER(TW_DMA_COMMAND) = inside;
        TW_REGISTER(TW_DMA_COMMAND) = outside;
    }
}

/* `lines` lines of `bytes` each (at most TW_DMA_PIECE), `stride` bytes apart outside L1, one behind the other in it. */
static inline void tw_copy_start_lines(
    uint32_t direction, const void *near, const void *far, uint32_t bytes, uint32_t lines, uint32_t stride)
{
    uint32_t inside = (uint32_t)(uintptr_t)near, outside = (uint32_t)(uintptr_t)far;
    if (bytes == 0)
        return;
    __asm__ volatile("" ::: "memory");
    for (uint32_t piece; lines != 0; lines -= piece, inside += piece * bytes, outside += piece * stride) {
        piece = lines < TW_DMA_PIECE / bytes ? lines : TW_DMA_PIECE / bytes;
        TW_REGISTER(TW_DMA_COMMAND) = (bytes * piece) | direction | TW_DMA_STEP | TW_DMA_LINES;
        TW_REGISTER(TW_DMA_COMMAND) = inside;
        TW_REGISTER(TW_DMA_COMMAND) = outside;
        TW_REGISTER(TW_DMA_COMMAND) = bytes;
        TW_REGISTER(TW_DMA_COMMAND) = stride;
    }
}

/* From outside into L1, and out of it. */
static inline void tw_copy_in(void *to, const void *from, uint32_t bytes)
{
    tw_copy_start(TW_DMA_IN, to, from, bytes);
}

static inline void tw_copy_out(void *to, const void *from, uint32_t bytes)
{
    tw_copy_start(0, from, to, bytes);
}

static inline void tw_copy_lines_in(void *to, const void *from, uint32_t bytes, uint32_t lines, uint32_t stride)
{
    tw_copy_start_lines(TW_DMA_IN, to, from, bytes, lines, stride);
}

static inline void tw_copy_lines_out(void *to, const void *from, uint32_t bytes, uint32_t lines, uint32_t stride)
{
    tw_copy_start_lines(0, from, to, bytes, lines, stride);
}

/* `blocks` blocks of such lines, `apart` bytes apart outside L1, one behind the other in it. */
static inline void tw_copy_blocks_in(void *to, const void *from, uint32_t bytes, uint32_t lines, uint32_t stride,
    uint32_t blocks, uint32_t apart)
{
    char *near = to;
    const char *far = from;
    for (; blocks != 0; blocks--, near += bytes * lines, far += apart)
        tw_copy_start_lines(TW_DMA_IN, near, far, bytes, lines, stride);
}

static inline void tw_copy_blocks_out(void *to, const void *from, uint32_t bytes, uint32_t lines, uint32_t stride,
    uint32_t blocks, uint32_t apart)
{
    const char *near = from;
    char *far = to;
    for (; blocks != 0; blocks--, near += bytes * lines, far += apart)
        tw_copy_start_lines(0, near, far, bytes, lines, stride);
}

/* Wait until every transfer of a token is done; the token is free again. */
static inline void tw_wait(uint32_t token)
{
    while (TW_REGISTER(TW_DMA_STATUS) & 1u << token)
        ;
    TW_REGISTER(TW_DMA_STATUS) = 1u << token;
    __asm__ volatile("" ::: "memory");
}

/* One job of N-EUREKA. */
typedef struct {
    uint32_t w, x, y, mul, add; /* addresses, that of weights from the begin of weight memory on */
    const int32_t *others;      /* how many other registers have to be written, value and address of each */
} tw_neureka_job;

#define TW_AT(address, bytes) ((uint32_t)(uintptr_t)(address) + (uint32_t)(bytes))

/* A program's jobs in the order of their start, from the next one on that is not described. One core has it. */
typedef struct {
    const tw_neureka_job *next, *end;
    uint32_t described; /* whether the job before it is described, and not started: 0 or 1 */
} tw_neureka_queue;

/* Describe a program's first job: its queue begins behind it. */
void tw_neureka_describe(const tw_neureka_job *job);
/* Start the next call, of so many jobs. */
void tw_neureka_start(tw_neureka_queue *queue, int32_t jobs);
/* Wait for all that started; meanwhile, the next one is described. */
void tw_neureka_finish(tw_neureka_queue *queue);
/* Wait until at most so many jobs are described or not done. */
void tw_neureka_wait(uint32_t left);

#endif
