/* Runs kernels three times each: the cores one after the other in both orders, then together, which is measured. */
#include "bench.h"
#include "siracusa.h"

#include <string.h>

static void restore(const tw_case *c)
{
    for (int i = 0; i < 2; i++) {
        uint32_t *to = (uint32_t *)(void *)c->images[i].at;
        const uint32_t *from = (const uint32_t *)(const void *)c->images[i].from;
        for (uint32_t words = c->images[i].bytes / 4; words > 0; words--)
            *to++ = *from++;
    }
}

static int differs(const tw_area *area)
{
    for (uint32_t i = 0; i < area->bytes; i++)
        if (area->at[i] != area->from[i])
            return 1;
    return 0;
}

/* Results of the first call are collected, those of later ones compared. */
static void check(const tw_case *c, uint32_t *damage, int first)
{
    for (uint32_t i = 0; i < c->kept_count && *damage == 0; i++)
        if (differs(&c->kept[i]))
            *damage = 1 + i;
    for (uint32_t i = 0; i < c->result_count && *damage == 0; i++)
        if (first)
            memcpy((uint8_t *)(uintptr_t)c->results[i].from, c->results[i].at, c->results[i].bytes);
        else if (differs(&c->results[i]))
            *damage = 0x8000;
}

static void call(const tw_case *c, int core, uint32_t *spent)
{
    int first = core * c->chunk, last = first + c->chunk;
    int shared = c->chunk > 0 && core < c->total;
    if (first > c->total)
        first = c->total;
    if (last > c->total)
        last = c->total;
    uint32_t began = tw_cycles();
    if (shared || core == 0 || c->meets)
        c->run(core, first, last);
    *spent = tw_cycles() - began;
}

void tw_program(int core)
{
    for (uint32_t i = 0; i < tw_case_count; i++)
        for (int round = 0; round < 3; round++) {
            const tw_case *c = &tw_cases[i];
            if (core == 0)
                restore(c);
            tw_barrier();
            for (int turn = 0; turn < TW_CORES && round < 2 && !c->meets; turn++) {
                if (core == (round == 0 ? TW_CORES - 1 - turn : turn))
                    call(c, core, &tw_spent[i][core]);
                tw_barrier();
            }
            if (round == 2 || c->meets)
                call(c, core, &tw_spent[i][core]);
            tw_barrier();
            if (core == 0)
                check(c, &tw_damage[i], round == 0);
        }
}
