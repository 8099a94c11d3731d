/* Quotients of attention by reciprocals of enough digits: two products each, and nothing to correct. */
#ifndef TW_RECIPROCAL_H
#define TW_RECIPROCAL_H

#include "tw_words.h"

/* 255 2^39 / sum or little more, the sum one of some e below 2^16, from 2^15 on. All are multiples of 2^raised. Then
 * e r >> 39 is 255 e / sum where e sum < 2^(35 + raised) and sum >> raised is at most 2^20. */
TW_X uint32_t tw_reciprocal(uint32_t sum, uint32_t raised)
{
    uint32_t whole = (255u << 23) / sum, rest = (255u << 23) - whole * sum;
    return (whole << 16) + (((rest >> raised << 12) / (sum >> raised) + 1) << 4);
}

/* The same where e sum < 2^(39 + raised) and sum >> raised is below 2^24. */
TW_X uint32_t tw_close_reciprocal(uint32_t sum, uint32_t raised)
{
    uint32_t whole = (255u << 23) / sum, rest = ((255u << 23) - whole * sum) >> raised << 8;
    sum >>= raised;
    uint32_t next = rest / sum;
    return (whole << 16) + (next << 8) + ((rest - next * sum) << 8) / sum + 1;
}

/* The same where e sum < 2^(24 + 2 raised), both as raised: a single division. Tables of exponentials tell up to which
 * sum that is so. */
TW_X uint32_t tw_short_reciprocal(uint32_t sum, uint32_t raised)
{
    return ((255u << 24) / (sum >> raised) + 1) << (15 - raised);
}

/* The same as tw_close_reciprocal, by as few divisions as the sum allows; `most`: up to which sum one is enough. */
TW_X uint32_t tw_quick_reciprocal(uint32_t sum, uint32_t raised, uint32_t most)
{
    if (sum <= most)
        return tw_short_reciprocal(sum, raised);
    return sum >> raised < 1u << 19 ? tw_reciprocal(sum, raised) : tw_close_reciprocal(sum, raised);
}

#endif
