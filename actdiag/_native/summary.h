/* From blocks to the numbers of rows. */
#ifndef ACTDIAG_SUMMARY_H
#define ACTDIAG_SUMMARY_H

#include "measure.h"

/* The numbers of a row, in the order of schema.COUNTED. */
enum {
    SAMPLES, ROW_UNITS, POSITIONS, COUNT, MEAN, STD, STD_ACROSS, RMS, MIN, MAX, P01, P50, P99, ZERO_FRACTION,
    SATURATED_FRACTION, DEAD_UNITS, CONSTANT_UNITS, CORRELATION, GRAD_TO_WEIGHT, NAN_COUNT, INF_COUNT,
    SUBNORMAL_FRACTION, NUMBERS
};

/* What a block does not say of itself; `saturated` is NaN where saturation is not defined. */
typedef struct {
    int64_t samples, positions;
    double saturated;
    int dies;
} Facts;

/* Compute the numbers of a row; NaN where they are not defined. The formulas are those of summary.py. */
void summarise(const Block *block, const Facts *facts, double numbers[NUMBERS]);

#endif
