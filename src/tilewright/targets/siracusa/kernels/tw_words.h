/* Words at any address, and more instructions as text, beside those of tw_xpulp.h. */
#ifndef TW_WORDS_H
#define TW_WORDS_H

#include <string.h>

#include "tw_xpulp.h"

/* Four bytes at any address, as a word: where it is misaligned, it takes one cycle more. */
TW_X int32_t tw_word_at(const void *at)
{
    int32_t y;
    TW_SAY(__asm__("lw %0, %1" : "=r"(y) : "m"(*(const char (*)[4])at)), memcpy(&y, at, sizeof y));
    return y;
}
TW_X void tw_set_word(void *at, int32_t value)
{
    TW_SAY(__asm__("sw %1, %0" : "=m"(*(char (*)[4])at) : "r"(value)), memcpy(at, &value, sizeof value));
}

/* clip((sum mul + add) >> shift) */
TW_X int32_t tw_scaled(int32_t sum, int32_t mul, int32_t add, int32_t shift)
{
    int32_t y = (int32_t)((uint32_t)sum * (uint32_t)mul);
    TW_SAY(__asm__(".insn r 0x5b, 2, 0x20, %0, %1, %2" : "+r"(y) : "r"(add), "r"(shift)), /* p.addNr */
           y = (int32_t)((uint32_t)y + (uint32_t)add) >> shift);
    return tw_pclip(y, 8);
}

#define TW_DOTUP "0x20<<1"
#define TW_SDOTUP "0x28<<1"
#define TW_DOT_H(code, rd, a, b) ".insn r 0x57, 0, " code ", " rd ", " a ", " b "\n"
#define TW_MINU(rd, a, b) ".insn r 0x33, 5, 0x02, " rd ", " a ", " b "\n"
#define TW_ADDN(rd, a, shift) ".insn r 0x5b, 2, 0x20, " rd ", " a ", " shift "\n"     /* rd = (rd + a) >> shift */
#define TW_ADDRN(rd, a, shift) ".insn r 0x5b, 6, 0x20, " rd ", " a ", " shift "\n"    /* rounded */
#define TW_MULS(rd, a, b) ".insn r 0x5b, 0, 0x40, " rd ", " a ", " b "\n"             /* product of lower halves */
#define TW_MULHHS(rd, a, b) ".insn r 0x5b, 0, 0x60, " rd ", " a ", " b "\n"           /* of upper halves */
#define TW_MACS(rd, a, b) ".insn r 0x5b, 1, 0x40, " rd ", " a ", " b "\n"             /* rd += product of lower halves */
#define TW_LBU_AT(rd, at, index) ".insn r 0x03, 7, 0x20, " rd ", " at ", " index "\n" /* rd = at[index] */
#define TW_LB_AT(rd, at, index) ".insn r 0x03, 7, 0, " rd ", " at ", " index "\n"
#define TW_LW_AT(rd, at, index) ".insn r 0x03, 7, 0x10, " rd ", " at ", " index "\n"    /* `index` in bytes */
#define TW_MSU(rd, a, b) ".insn r 0x33, 1, 0x21, " rd ", " a ", " b "\n"                /* rd -= a b */
#define TW_UPPER_WORD(rd, a, b) ".insn r 0x5b, 0, 1<<5|22, " rd ", " a ", " b "\n" /* product of upper halves, >> 22 */
#define TW_PACKLO(rd, b1, b0) ".insn r 0x57, 1, 0x70, " rd ", " b1 ", " b0 "\n"
#define TW_PACKHI(rd, b3, b2) ".insn r 0x57, 1, 0x6c, " rd ", " b3 ", " b2 "\n"
#define TW_LH(rd, at, step) ".insn i 0x0b, 1, " rd ", " at ", " step "\n"
#define TW_LH_AT(rd, at, index) ".insn r 0x03, 7, 0x08, " rd ", " at ", " index "\n" /* `index` in bytes */
#define TW_LHU(rd, at, step) ".insn i 0x0b, 5, " rd ", " at ", " step "\n"
#define TW_LHU_AT(rd, at, index) ".insn r 0x03, 7, 0x28, " rd ", " at ", " index "\n"
/* rd = a b >> shift, rd = (rd + a b) >> shift: of lower or of upper halves, without sign. */
#define TW_LOWER_UN(rd, a, b, shift) ".insn r 0x5b, 0, " shift ", " rd ", " a ", " b "\n"
#define TW_UPPER_UN(rd, a, b, shift) ".insn r 0x5b, 0, 1<<5|" shift ", " rd ", " a ", " b "\n"
#define TW_LOWER_MACUN(rd, a, b, shift) ".insn r 0x5b, 1, " shift ", " rd ", " a ", " b "\n"
#define TW_UPPER_MACUN(rd, a, b, shift) ".insn r 0x5b, 1, 1<<5|" shift ", " rd ", " a ", " b "\n"
#define TW_PACK_H(rd, upper, lower) ".insn r 0x57, 0, 0x68, " rd ", " upper ", " lower "\n"
#define TW_MIN_B(rd, a, b) ".insn r 0x57, 1, 0x10, " rd ", " a ", " b "\n"
#define TW_MAX_B(rd, a, b) ".insn r 0x57, 1, 0x18, " rd ", " a ", " b "\n"
#define TW_SUB_B(rd, a, b) ".insn r 0x57, 1, 0x04, " rd ", " a ", " b "\n"
#define TW_SIGNS_B(rd, a) ".insn r 0x57, 7, 0x24|1, " rd ", " a ", x3\n" /* shifted right by 7: 0 or -1 */
#define TW_UPPER_BYTES(rd, a) ".insn r 0x57, 6, 0x24, " rd ", " a ", x4\n" /* halves shifted right by 8 */
#define TW_LOWER_BYTES(rd, a) ".insn r 0x57, 6, 0x28, " rd ", " a ", x4\n" /* and left */
#define TW_MAX_H(rd, a, b) ".insn r 0x57, 0, 0x18, " rd ", " a ", " b "\n"
/* rd = a b, rounded and shifted: of lower halves, of them without sign, of upper halves. */
#define TW_ROUNDED_PRODUCT(rd, a, b, shift) ".insn r 0x5b, 4, 2<<5|" shift ", " rd ", " a ", " b "\n"
#define TW_UNSIGNED_PRODUCT(rd, a, b, shift) ".insn r 0x5b, 4, " shift ", " rd ", " a ", " b "\n"
#define TW_ROUNDED_PRODUCT_HH(rd, a, b, shift) ".insn r 0x5b, 4, 3<<5|" shift ", " rd ", " a ", " b "\n"
#define TW_ROUNDED_MAC(rd, a, b, shift) ".insn r 0x5b, 5, 2<<5|" shift ", " rd ", " a ", " b "\n" /* rd += a b, then */
#define TW_MACHHS(rd, a, b) ".insn r 0x5b, 1, 3<<5, " rd ", " a ", " b "\n" /* rd += the product of upper halves */
#define TW_CLIP(rd, a, bits) ".insn r 0x33, 1, 0x0a, " rd ", " a ", x" bits "\n"
/* rd = byte of a mul >> 16, rounded; mul has 15 bits and stands twice in its register. With a = 2^16 h + l and l >= 0
 * the sum of h mul and of l mul, rounded: two products of halves. rd is not a. 3 instructions, of a cycle each. */
#define TW_ROUNDED_BYTE(rd, a, mul) TW_UNSIGNED_PRODUCT(rd, a, mul, "16") TW_MACHHS(rd, a, mul) TW_CLIP(rd, rd, "8")
#define TW_BYTE(rd, word, at) ".insn r 0x33, 0, 0x67, " rd ", " word ", x" at "\n" /* from bit `at` on, signed */
#define TW_SHUFFLE2(rd, a, lanes) ".insn r 0x57, 1, 0x64, " rd ", " a ", " lanes "\n"

TW_X int32_t tw_twice(int32_t mul)
{
    return mul << 16 | mul;
}

/* The byte of a value that is shifted by 16, rounded. */
TW_X int32_t tw_rounded(int32_t value)
{
    return tw_pclip(tw_pmac(1 << 15, value, 1) >> 16, 8);
}

#endif
