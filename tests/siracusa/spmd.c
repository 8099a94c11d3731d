/* Kernels for hand-made programs: each core its range, or its part. */
#include "tw_kernels.h"

/* y[i] = a[i] * factor + b[i % n] */
void test_scale(const int32_t *a, const int32_t *b, int32_t *y, int32_t n, int32_t factor, int32_t first, int32_t last)
{
    for (int32_t i = first; i < last; i++)
        y[i] = a[i] * factor + b[i % n];
}

/* The same by way of scratch, from its end. */
void test_scratch(const int32_t *a, const int32_t *b, int32_t *y, int32_t *scratch, int32_t n, int32_t factor,
    int32_t first, int32_t last)
{
    for (int32_t i = first; i < last; i++)
        scratch[last - 1 - i] = a[i] * factor + b[i % n];
    for (int32_t i = first; i < last; i++)
        y[i] = scratch[last - 1 - i];
}

/* The same by a struct of what does not vary. */
void test_given(const struct test_given *given, int32_t *scratch, int32_t factor, int32_t first, int32_t last)
{
    test_scratch(given->a, given->b, given->y, scratch, given->n, factor + given->more, first, last);
}

/* y[i] = a[i] * factor + b[0], i < n */
void test_part(const int32_t *a, const int32_t *b, int32_t *y, int32_t n, int32_t factor)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = a[i] * factor + b[0];
}

void test_given_part(const struct test_given_part *given)
{
    test_part(given->a, given->b, given->y, given->n, given->factor);
}
