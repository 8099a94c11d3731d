/* What kernels and the language face take from the C library. */
#ifndef TW_STRING_H
#define TW_STRING_H

#include <stddef.h>

void *memcpy(void *restrict target, const void *restrict source, size_t count);
void *memmove(void *target, const void *source, size_t count);
void *memset(void *target, int value, size_t count);
size_t strlen(const char *text);

/* A freestanding compiler takes the names for any functions: these it knows, so that a few bytes are no call. */
#define memcpy(target, source, count) __builtin_memcpy(target, source, count)
#define memset(target, value, count) __builtin_memset(target, value, count)

#endif
