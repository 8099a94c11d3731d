/* The chip's instructions that C does not reach: one inline function each, plain C on other machines, and macros for
 * blocks of assembly. Names in macros are operands: TW_X_LW(%[a], %[p], 4) is p.lw a, 4(p!). */
#ifndef TW_CLUSTER_H
#define TW_CLUSTER_H

#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TW_INLINE_X static inline __attribute__((always_inline, unused))
#else
#define TW_INLINE_X static inline
#endif

#ifdef __riscv

typedef uint32_t tw_any_word __attribute__((may_alias));

#define TW_X_BEGIN ".option push\n.option norvc\n.option norelax\n.balign 4\n"
#define TW_X_END ".option pop\n"
/* A hardware loop over the next `bytes` bytes; level 0 is the inner one. */
#define TW_X_LOOP(count, bytes) ".insn i 0x7b, 4, x0, " #count ", " #bytes " / 2\n"
/* Loads and stores that move the pointer afterwards. */
#define TW_X_LW(rd, ptr, step) ".insn i 0x0b, 2, " #rd ", " #ptr ", " #step "\n"
#define TW_X_LW_BY(rd, ptr, step) ".insn r 0x0b, 7, 0x10, " #rd ", " #ptr ", " #step "\n"
#define TW_X_SW(rs, ptr, step) ".insn s 0x2b, 2, " #rs ", " #step "(" #ptr ")\n"
#define TW_X_LBU_AT(rd, base, index) ".insn r 0x03, 7, 0x20, " #rd ", " #base ", " #index "\n"
#define TW_X_MAX(rd, a, b) ".insn r 0x33, 6, 2, " #rd ", " #a ", " #b "\n"
#define TW_X_MINU(rd, a, b) ".insn r 0x33, 5, 2, " #rd ", " #a ", " #b "\n"
#define TW_X_ADD_SHIFT(rd, a, shift) ".insn r 0x5b, 2, 0x20, " #rd ", " #a ", " #shift "\n" /* (rd + a) >> shift */
#define TW_X_DOT_I8(rd, a, b) ".insn r 0x57, 1, 0x4c, " #rd ", " #a ", " #b "\n"
#define TW_X_ADD_DOT_I8(rd, a, b) ".insn r 0x57, 1, 0x5c, " #rd ", " #a ", " #b "\n"
#define TW_X_ADD_DOT_U8(rd, a, b) ".insn r 0x57, 1, 0x50, " #rd ", " #a ", " #b "\n"
#define TW_X_ADD_DOT_U8_I8(rd, a, b) ".insn r 0x57, 1, 0x54, " #rd ", " #a ", " #b "\n"
#define TW_X_PACK_LOW(rd, high, low) ".insn r 0x57, 1, 0x70, " #rd ", " #high ", " #low "\n"
#define TW_X_PACK_HIGH(rd, high, low) ".insn r 0x57, 1, 0x6c, " #rd ", " #high ", " #low "\n"

#define TW_X_FUNCTION(opcode, f3, f7)                                                                                  \
    int32_t rd;                                                                                                        \
    __asm__(".insn r " #opcode ", " #f3 ", " #f7 ", %0, %1, %2" : "=r"(rd) : "r"(a), "r"(b));                          \
    return rd
#define TW_X_ONTO(opcode, f3, f7)                                                                                      \
    __asm__(".insn r " #opcode ", " #f3 ", " #f7 ", %0, %1, %2" : "+r"(rd) : "r"(a), "r"(b));                          \
    return rd

/* rd + the sum of four products of bytes: signed; unsigned with signed. */
TW_INLINE_X int32_t tw_dot_i8(int32_t rd, uint32_t a, uint32_t b) { TW_X_ONTO(0x57, 1, 0x5c); }
TW_INLINE_X int32_t tw_dot_u8_i8(int32_t rd, uint32_t a, uint32_t b) { TW_X_ONTO(0x57, 1, 0x54); }
/* rd + the sum of two products of signed halves. */
TW_INLINE_X int32_t tw_dot_i16(int32_t rd, uint32_t a, uint32_t b) { TW_X_ONTO(0x57, 0, 0x5c); }
/* The upper bytes of a's halves, then those of rd's. */
TW_INLINE_X uint32_t tw_upper_bytes(uint32_t rd, uint32_t a)
{
    uint32_t b = 0x03010705u;
    __asm__(".insn r 0x57, 1, 0x64, %0, %1, %2" : "+r"(rd) : "r"(a), "r"(b));
    return rd;
}
/* rd + a * b and rd - a * b, modulo 2^32. */
TW_INLINE_X int32_t tw_mac(int32_t rd, int32_t a, int32_t b) { TW_X_ONTO(0x33, 0, 0x21); }
TW_INLINE_X int32_t tw_msu(int32_t rd, int32_t a, int32_t b) { TW_X_ONTO(0x33, 1, 0x21); }
/* -128 .. 127. */
TW_INLINE_X int32_t tw_clip_i8(int32_t a)
{
    int32_t rd;
    __asm__(".insn r 0x33, 1, 0x0a, %0, %1, x8" : "=r"(rd) : "r"(a));
    return rd;
}
/* -32768 .. 32767. */
TW_INLINE_X int32_t tw_clip_i16(int32_t a)
{
    int32_t rd;
    __asm__(".insn r 0x33, 1, 0x0a, %0, %1, x16" : "=r"(rd) : "r"(a));
    return rd;
}
/* table[index]. */
TW_INLINE_X int32_t tw_at_i16(const int16_t *table, int32_t index)
{
    int32_t rd, at = index * 2;
    __asm__(".insn r 0x03, 7, 0x08, %0, %1, %2" : "=r"(rd) : "r"(table), "r"(at), "m"(*(const int16_t(*)[256])table));
    return rd;
}
/* The place of the highest bit that is set; a is not 0. */
TW_INLINE_X int tw_high_bit(uint32_t a)
{
    int rd;
    __asm__(".insn r 0x33, 1, 0x08, %0, %1, x0" : "=r"(rd) : "r"(a));
    return rd;
}

#else

TW_INLINE_X int32_t tw_dot_i8(int32_t rd, uint32_t a, uint32_t b)
{
    for (int i = 0; i < 32; i += 8)
        rd += (int8_t)(a >> i) * (int8_t)(b >> i);
    return rd;
}
TW_INLINE_X int32_t tw_dot_u8_i8(int32_t rd, uint32_t a, uint32_t b)
{
    for (int i = 0; i < 32; i += 8)
        rd += (uint8_t)(a >> i) * (int8_t)(b >> i);
    return rd;
}
TW_INLINE_X int32_t tw_dot_i16(int32_t rd, uint32_t a, uint32_t b)
{
    uint32_t low = (uint32_t)((int16_t)a * (int16_t)b), high = (uint32_t)((int16_t)(a >> 16) * (int16_t)(b >> 16));
    return (int32_t)((uint32_t)rd + low + high);
}
TW_INLINE_X uint32_t tw_upper_bytes(uint32_t rd, uint32_t a)
{
    return (a >> 8 & 255) | (a >> 24) << 8 | (rd >> 8 & 255) << 16 | (rd >> 24) << 24;
}
TW_INLINE_X int32_t tw_mac(int32_t rd, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)rd + (uint32_t)a * (uint32_t)b);
}
TW_INLINE_X int32_t tw_msu(int32_t rd, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)rd - (uint32_t)a * (uint32_t)b);
}
TW_INLINE_X int32_t tw_clip_i8(int32_t a) { return a < -128 ? -128 : a > 127 ? 127 : a; }
TW_INLINE_X int32_t tw_clip_i16(int32_t a) { return a < -32768 ? -32768 : a > 32767 ? 32767 : a; }
TW_INLINE_X int32_t tw_at_i16(const int16_t *table, int32_t index) { return table[index]; }
TW_INLINE_X int tw_high_bit(uint32_t a)
{
    int place = 0;
    while (a >>= 1)
        place++;
    return place;
}

#endif

/* Four bytes from any address. */
TW_INLINE_X uint32_t tw_word(const void *p)
{
#ifdef __riscv
    return *(const tw_any_word *)p; /* misaligned ones take a cycle more */
#else
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
#endif
}

TW_INLINE_X void tw_put_word(void *p, uint32_t word)
{
#ifdef __riscv
    *(tw_any_word *)p = word;
#else
    memcpy(p, &word, sizeof word);
#endif
}

#endif
