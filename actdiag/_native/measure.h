/* What one visit of a float32 tensor leaves, and where its values lie. */
#ifndef ACTDIAG_MEASURE_H
#define ACTDIAG_MEASURE_H

#include <stdint.h>

#define LOG_BINS 4096
#define LINEAR_BINS 128
#define FINITE 2040 /* bins of one sign without those of Inf and NaN */
#define HEADER 12 /* int64 */
#define SHARES 3
#define SUMS 6
#define ACROSS 4
#define HAS_ACROSS 1
#define HAS_LINEAR 2

enum { ELEMENTS, ZEROS, POSITIVE, SUBNORMAL, NANS, INFS, UNITS, FLAGS, PLACES };
enum { N, PIVOT, FIRST, SECOND, HIGHEST, LOWEST };

/* A tensor as (samples, positions, units); steps are in elements. */
typedef struct {
    const float *data;
    int64_t samples, positions, units;
    int64_t sample_step, position_step, unit_step;
} View;

/* The parts of a block, see actdiag/statistics/native.py; across and linear may be NULL. */
typedef struct {
    int64_t *header;
    double *sums, *across; /* (6, units) and (4, units) */
    uint32_t *log, *linear;
    float low, factor; /* bin of x in linear: (x - low) * factor */
} Block;

/* Whether measure() can read this view where it lies. */
int is_readable(const View *view);

/* Fill a block; header[ELEMENTS], header[UNITS] and header[FLAGS] are set before. Fewer than 2^32 elements. */
void measure(const View *view, const Block *block);

/* One unit, with every value looked at: for units with NaN or Inf, or whose pivot was ill chosen. */
void measure_carefully(const View *view, const Block *block, int64_t unit);

/* Sum of squares of the finite values; counts of them, of NaN and of Inf. */
double sum_of_squares(const float *x, int64_t n, int64_t counts[3]);

/* How many lie below `below` or above `above`. */
int64_t count_outside(const float *x, int64_t n, float below, float above);

/* The instruction set that the loops below were dispatched to. */
const char *instructions(void);

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#include <features.h>
#ifdef __GLIBC__ /* others have no way to choose at load time */
#define DISPATCHED __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#endif
#ifndef DISPATCHED
#define DISPATCHED
#else
#define IS_DISPATCHED 1
#endif

/* Integer tests, since compilers and flush-to-zero modes have their own ideas of NaN and subnormals. */
static inline int is_finite32(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }
static inline int is_finite64(double x) {
    union { double x; uint64_t bits; } of = {x};
    return (of.bits & 0x7ff0000000000000ull) != 0x7ff0000000000000ull;
}
static inline uint32_t bits_of(float x) {
    union { float x; uint32_t bits; } of = {x};
    return of.bits;
}

#endif
