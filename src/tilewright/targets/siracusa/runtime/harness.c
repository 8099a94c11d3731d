/* Runs a network some times in a row: cycles of each call, checksums of its outputs, values that are not expected. */
#include "harness.h"
#include "siracusa.h"

#include <string.h>

/* FNV-1a of 32 bits. */
static uint32_t checksum(const uint8_t *bytes, uint32_t count)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

static int close(double got, double wanted)
{
    double error = got < wanted ? wanted - got : got - wanted, size = wanted < 0 ? -wanted : wanted;
    return error <= 1e-4 + 1e-4 * size || (got != got && wanted != wanted);
}

static uint32_t mismatches(const tw_output *output)
{
    const uint8_t *got = output->data, *wanted = output->expected;
    uint32_t wrong = 0, size = output->bytes / output->elements;
    for (uint32_t i = 0; i < output->elements; i++) {
        uint32_t equal = 1;
        for (uint32_t b = 0; b < size; b++)
            equal &= got[i * size + b] == wanted[i * size + b];
        if (!equal && output->kind == TW_FLOAT)
            equal = (uint32_t)close(((const float *)output->data)[i], ((const float *)output->expected)[i]);
        if (!equal && output->kind == TW_DOUBLE)
            equal = (uint32_t)close(((const double *)output->data)[i], ((const double *)output->expected)[i]);
        wrong += !equal;
    }
    return wrong;
}

static uint32_t repetition, cycles; /* of the call that ended last */

static void tell(void)
{
    tw_collect();
    tw_print("run ");
    tw_print_number(repetition);
    tw_print(" cycles ");
    tw_print_number(cycles);
    tw_print("\n");
    for (uint32_t i = 0; i < tw_output_count; i++) {
        const tw_output *output = &tw_outputs[i];
        tw_print("output ");
        tw_print_number(i);
        tw_print(" checksum ");
        tw_print_hex(checksum(output->data, output->bytes));
        if (output->expected != 0) {
            uint32_t wrong = mismatches(output);
            tw_print(" mismatches ");
            tw_print_number(wrong);
            if (wrong != 0)
                tw_exit_code = 1;
        }
        tw_print(" ");
        tw_print(output->name);
        tw_print("\n");
    }
}

/* The cluster computes; what is around its calls is the fabric controller's, as in an application. */
void tw_program(int core)
{
    if (core == 0)
        tw_on_fabric(tw_restart);
    for (uint32_t i = 0; i < tw_repeat; i++) {
        if (core == 0)
            tw_on_fabric(tw_load);
        tw_barrier();
        uint32_t began = tw_cycles();
        tw_call();
        tw_barrier();
        uint32_t ended = tw_cycles();
        if (core == 0) {
            repetition = i, cycles = ended - began;
            tw_on_fabric(tell);
        }
    }
}
