/* A language model writes a story; behind the record separator (0x1e) it tells how many cycles that took. */
#include TW_HEADER
#include "siracusa.h"

static const char prompt[] = TW_PROMPT;
static const PREFIX_options options = TW_OPTIONS;
static uint32_t began, first, last;

static void print(const uint8_t *bytes, uint32_t length, void *context)
{
    (void)context;
    last = tw_cycles();
    if (first == 0)
        first = last;
    tw_write(bytes, length);
}

static void number(const char *name, uint32_t value)
{
    tw_print(name);
    tw_print_number(value);
}

void tw_program(int core)
{
    if (core == 0) {
        tw_print(prompt);
        began = tw_cycles();
    }
    int32_t tokens = PREFIX_generate(prompt, &options, print, 0);
    if (core != 0)
        return;
    tw_print("\n\036");
    if (tokens < 0) {
        tw_print("the prompt does not fit into the context\n");
        tw_exit_code = 2;
        return;
    }
    number("tokens ", (uint32_t)tokens);
    number(" positions ", (uint32_t)PREFIX_position());
    number(" prompt_cycles ", first - began);
    number(" decode_cycles ", last - first);
    tw_print("\n");
}
