/* See summary.h. Sums over units go twice over them: deviations are taken from the mean, never from zero. */
#include "summary.h"

#include <math.h>

typedef struct {
    const double *n, *pivot, *first, *second;
} Moments;

static Moments moments_at(const double *sums, int64_t units) {
    Moments found = {sums + N * units, sums + PIVOT * units, sums + FIRST * units, sums + SECOND * units};
    return found;
}

static double mean_of(const Moments *of, int64_t unit) { return of->pivot[unit] + of->first[unit] / of->n[unit]; }

/* The sum of squared deviations from the unit's mean. */
static double m2_of(const Moments *of, int64_t unit) {
    double m2 = of->second[unit] - of->first[unit] * (of->first[unit] / of->n[unit]);
    return m2 > 0.0 ? m2 : 0.0;
}

/* mean, std and rms over all units, by the law of total variance. */
static void pool(const Moments *of, int64_t units, double numbers[NUMBERS]) {
    double total = 0.0, sum = 0.0, inside = 0.0, apart = 0.0, mean, variance;
    for (int64_t u = 0; u < units; u++) {
        double n = of->n[u];
        if (n == 0.0) continue;
        total += n, sum += n * mean_of(of, u), inside += m2_of(of, u);
    }
    mean = sum / total;
    for (int64_t u = 0; u < units; u++) {
        double offset = of->n[u] == 0.0 ? 0.0 : mean_of(of, u) - mean;
        apart += of->n[u] * (offset * offset);
    }
    variance = (inside + apart) / total;
    numbers[MEAN] = mean, numbers[STD] = sqrt(variance), numbers[RMS] = sqrt(variance + mean * mean);
}

/* The spread of units across samples, and how alike two samples are. */
static void compare_samples(const Moments *of, int64_t units, double samples, double numbers[NUMBERS]) {
    double known = 0.0, variance = 0.0, square_of_mean = 0.0, deviation = 0.0, mean_of_square;
    for (int64_t u = 0; u < units; u++) {
        double mean, m2, n = of->n[u];
        if (n == 0.0) continue;
        m2 = m2_of(of, u);
        known++, variance += m2 / n;
        if (n != samples) continue; /* not finite on every sample */
        mean = mean_of(of, u);
        square_of_mean += mean * mean, deviation += m2;
    }
    mean_of_square = deviation / samples + square_of_mean;
    numbers[STD_ACROSS] = sqrt(variance / known);
    numbers[CORRELATION] = (samples * square_of_mean / mean_of_square - 1.0) / (samples - 1.0);
}

static void look_at_extremes(const double *sums, int64_t units, double numbers[NUMBERS]) {
    const double *n = sums + N * units, *highest = sums + HIGHEST * units, *lowest = sums + LOWEST * units;
    double high = -INFINITY, low = INFINITY, dead = 0.0, constant = 0.0, alive = 0.0;
    for (int64_t u = 0; u < units; u++) {
        if (n[u] == 0.0) continue;
        alive++, dead += highest[u] <= 0.0, constant += highest[u] == lowest[u];
        high = highest[u] > high ? highest[u] : high, low = lowest[u] < low ? lowest[u] : low;
    }
    numbers[MIN] = alive ? low : NAN, numbers[MAX] = alive ? high : NAN;
    numbers[DEAD_UNITS] = dead, numbers[CONSTANT_UNITS] = constant;
}

static double edge(int64_t bin) {
    union { uint32_t bits; float x; } of = {(uint32_t)bin << 20};
    return bin < FINITE ? of.x : 0x1p128;
}

/* The middle of a bin by its place in order of value, as quantiles.MIDDLES has it, not beyond the extremes. */
static double quantile(int64_t place, double low, double high) {
    int64_t bin = place < FINITE ? FINITE - 1 - place : place - FINITE;
    double middle = bin ? 0.5 * (edge(bin) + edge(bin + 1)) : 0.0;
    if (place < 0) return NAN;
    middle = place < FINITE ? -middle : middle;
    middle = middle < low ? low : middle;
    return middle > high ? high : middle;
}

void summarise(const Block *block, const Facts *facts, double numbers[NUMBERS]) {
    const int64_t *header = block->header, units = header[UNITS];
    double elements = (double)header[ELEMENTS], samples = (double)facts->samples;
    Moments pooled = moments_at(block->sums, units);
    Moments across = block->across ? moments_at(block->across, units) : pooled;

    numbers[SAMPLES] = samples, numbers[ROW_UNITS] = (double)units, numbers[POSITIONS] = (double)facts->positions;
    numbers[COUNT] = elements, numbers[GRAD_TO_WEIGHT] = NAN;
    numbers[NAN_COUNT] = (double)header[NANS], numbers[INF_COUNT] = (double)header[INFS];
    numbers[ZERO_FRACTION] = (double)header[ZEROS] / elements;
    numbers[SUBNORMAL_FRACTION] = (double)header[SUBNORMAL] / elements;
    numbers[SATURATED_FRACTION] = facts->saturated / elements;
    pool(&pooled, units, numbers);
    look_at_extremes(block->sums, units, numbers);
    for (int i = 0; i < SHARES; i++) numbers[P01 + i] = quantile(header[PLACES + i], numbers[MIN], numbers[MAX]);
    if (!facts->dies) numbers[DEAD_UNITS] = NAN;
    compare_samples(&across, units, samples, numbers);
    if (facts->samples < 2) numbers[STD_ACROSS] = numbers[CORRELATION] = numbers[CONSTANT_UNITS] = NAN;
}
