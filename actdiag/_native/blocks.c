/* See blocks.h. */
#include "blocks.h"

#include <math.h>
#include <string.h>

#define STRIDE 40 /* bins that are added up before one is looked for among them */

size_t block_size(int64_t units, int64_t flags) {
    size_t sums = SUMS + (flags & HAS_ACROSS ? ACROSS : 0), bins = LOG_BINS + (flags & HAS_LINEAR ? LINEAR_BINS : 0);
    return 8 * (HEADER + sums * (size_t)units) + 4 * bins;
}

Block block_at(void *bytes) {
    Block block = {0};
    int64_t units, flags;
    block.header = bytes;
    units = block.header[UNITS], flags = block.header[FLAGS];
    block.sums = (double *)(block.header + HEADER);
    if (flags & HAS_ACROSS) block.across = block.sums + SUMS * units;
    block.log = (uint32_t *)(block.sums + (SUMS + (flags & HAS_ACROSS ? ACROSS : 0)) * units);
    if (flags & HAS_LINEAR) block.linear = block.log + LOG_BINS;
    return block;
}

int is_block(const void *bytes, size_t size) {
    const int64_t *header = bytes;
    if (size < 8 * HEADER || header[UNITS] < 0 || (uint64_t)header[UNITS] > size / 8) return 0;
    return (header[FLAGS] & ~(int64_t)(HAS_ACROSS | HAS_LINEAR)) == 0 &&
           size == block_size(header[UNITS], header[FLAGS]);
}

/* Four rows of sums (n, pivot, first, second) about another pivot, as moments._shift has it. */
static void shift(const double *sums, int64_t units, int64_t unit, double pivot, double found[2]) {
    double n = sums[N * units + unit], d = n > 0 ? sums[PIVOT * units + unit] - pivot : 0.0;
    double before = sums[FIRST * units + unit];
    found[0] = before + n * d;
    found[1] = sums[SECOND * units + unit] + d * (before + found[0]);
}

static void merge_moments(const double *a, const double *b, double *merged, int64_t units) {
    for (int64_t u = 0; u < units; u++) {
        double pivot = a[N * units + u] > 0 ? a[PIVOT * units + u] : b[PIVOT * units + u], one[2], other[2];
        shift(a, units, u, pivot, one);
        shift(b, units, u, pivot, other);
        merged[N * units + u] = a[N * units + u] + b[N * units + u];
        merged[PIVOT * units + u] = pivot;
        merged[FIRST * units + u] = one[0] + other[0];
        merged[SECOND * units + u] = one[1] + other[1];
    }
}

void merge_blocks(const Block *a, const Block *b, const Block *merged) {
    int64_t units = merged->header[UNITS], high = HIGHEST * units, low = LOWEST * units;
    for (int i = ELEMENTS; i <= INFS; i++) merged->header[i] = a->header[i] + b->header[i];
    merge_moments(a->sums, b->sums, merged->sums, units);
    for (int64_t u = 0; u < units; u++) {
        merged->sums[high + u] = fmax(a->sums[high + u], b->sums[high + u]);
        merged->sums[low + u] = fmin(a->sums[low + u], b->sums[low + u]);
    }
    if (merged->across)
        merge_moments(a->across ? a->across : a->sums, b->across ? b->across : b->sums, merged->across, units);
    for (int bin = 0; bin < LOG_BINS; bin++) merged->log[bin] = a->log[bin] + b->log[bin];
    if (merged->linear)
        for (int bin = 0; bin < LINEAR_BINS; bin++) merged->linear[bin] = a->linear[bin] + b->linear[bin];
}

/* The first bin of the place-th stride in order of value; bins then follow in direction `*way`. */
static const uint32_t *stride_at(const uint32_t *log, int place, int *way) {
    int negative = place < FINITE / STRIDE;
    *way = negative ? -1 : 1;
    return negative ? log + LOG_BINS / 2 + FINITE - 1 - place * STRIDE : log + place * STRIDE - FINITE;
}

DISPATCHED
static void add_strides(const uint32_t *log, uint32_t *sums) {
    for (int place = 0; place < 2 * FINITE / STRIDE; place++) {
        int way;
        const uint32_t *bins = stride_at(log, place, &way);
        uint32_t sum = 0; /* a block counts fewer than 2^32 elements */
        if (way < 0) bins -= STRIDE - 1;
        for (int i = 0; i < STRIDE; i++) sum += bins[i];
        sums[place] = sum;
    }
}

static int64_t place_of(const uint32_t *log, double rank, const int64_t *upto) {
    int place = 0, way, i = 0;
    int64_t below;
    const uint32_t *bins;
    while ((double)upto[place] < rank) place++;
    below = place ? upto[place - 1] : 0;
    bins = stride_at(log, place, &way);
    while ((double)(below += bins[way * i]) < rank) i++;
    return (int64_t)place * STRIDE + i;
}

void find_quantiles(const Block *block) {
    static const double shares[SHARES] = {0.01, 0.50, 0.99}; /* as quantiles.SHARES */
    int64_t upto[2 * FINITE / STRIDE], sum = 0;
    uint32_t sums[2 * FINITE / STRIDE];
    add_strides(block->log, sums);
    for (int place = 0; place < 2 * FINITE / STRIDE; place++) upto[place] = sum += sums[place];
    for (int i = 0; i < SHARES; i++) {
        double rank = ceil(shares[i] * (double)sum);
        block->header[PLACES + i] = sum ? place_of(block->log, rank < 1.0 ? 1.0 : rank, upto) : -1;
    }
}
