/* The inner loops over contiguous values, dispatched to the machine's widest vectors. */
#ifndef ACTDIAG_LOOPS_H
#define ACTDIAG_LOOPS_H

#include "measure.h"

#ifdef _MSC_VER
#define RESTRICT __restrict
#else
#define RESTRICT restrict
#endif

/* Counts as they grow; `tables` are four interleaved ones, or four times the same where zeroing costs more. */
typedef struct {
    uint32_t *tables[4];
    int64_t zeros, positive;
    uint32_t *linear;
    float low, factor;
} Counts;

/* Fold n values into the counts. */
void count(const float *x, int64_t n, Counts *counts);

/* Fold rows of `width` units into each unit's sums about its pivot and its extremes. */
void add_rows(const float *x, int64_t step, int64_t rows, int64_t width, const double *pivot, double *first,
              double *second, float *high, float *low);

/* The same for n values of one unit: sums[0] is the first, sums[1] the second, extremes[0] the highest. */
void add_run(const float *x, int64_t n, double pivot, double sums[2], float extremes[2]);

#endif
