/* See loops.h. Nothing here needs flags that let a compiler assume that there is no NaN. */
#include "loops.h"

#include <string.h>

#define LANES 16

DISPATCHED
static void count_signs(const float *x, int64_t n, uint32_t found[2]) {
    uint32_t zeros = 0, positive = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        zeros += (bits << 1) == 0;
        positive += bits - 1u < 0x7f800000u; /* 0 < x <= Inf */
    }
    found[0] = zeros, found[1] = positive;
}

static void count_bits(const float *x, int64_t n, uint32_t *const tables[4]) {
    uint32_t *a = tables[0], *b = tables[1], *c = tables[2], *d = tables[3];
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint64_t two, more;
        memcpy(&two, x + i, 8);
        memcpy(&more, x + i + 2, 8);
        a[(two >> 20) & (LOG_BINS - 1)]++;
        b[two >> 52]++;
        c[(more >> 20) & (LOG_BINS - 1)]++;
        d[more >> 52]++;
    }
    for (; i < n; i++) a[bits_of(x[i]) >> 20]++;
}

DISPATCHED
static void find_linear(const float *x, int64_t n, float low, float factor, int32_t *places) {
    for (int64_t i = 0; i < n; i++) {
        float place = (x[i] - low) * factor;
        place = place > 0.0f ? place : 0.0f; /* of NaN too, which is not kept */
        place = place < LINEAR_BINS - 1 ? place : LINEAR_BINS - 1;
        places[i] = is_finite32(bits_of(x[i])) ? (int32_t)place : LINEAR_BINS;
    }
}

static void count_linear(const float *x, int64_t n, Counts *counts) {
    int32_t places[512];
    uint32_t tables[2][LINEAR_BINS + 1] = {{0}};
    for (int64_t start = 0; start < n; start += 512) {
        int64_t size = n - start < 512 ? n - start : 512, i = 0;
        find_linear(x + start, size, counts->low, counts->factor, places);
        for (; i + 2 <= size; i += 2) tables[0][places[i]]++, tables[1][places[i + 1]]++;
        if (i < size) tables[0][places[i]]++;
    }
    for (int bin = 0; bin < LINEAR_BINS; bin++) counts->linear[bin] += tables[0][bin] + tables[1][bin];
}

void count(const float *x, int64_t n, Counts *counts) {
    uint32_t found[2];
    count_signs(x, n, found);
    counts->zeros += found[0], counts->positive += found[1];
    count_bits(x, n, counts->tables);
    if (counts->linear) count_linear(x, n, counts);
}

DISPATCHED
static void add_four(const float *RESTRICT x, int64_t step, int64_t width, const double *RESTRICT pivot,
                     double *RESTRICT first, double *RESTRICT second, float *RESTRICT high,
                     float *RESTRICT low) {
    for (int64_t u = 0; u < width; u++) {
        float x0 = x[u], x1 = x[u + step], x2 = x[u + 2 * step], x3 = x[u + 3 * step], p01, p23, m01, m23;
        double p = pivot[u], d0 = x0 - p, d1 = x1 - p, d2 = x2 - p, d3 = x3 - p;
        first[u] += (d0 + d1) + (d2 + d3);
        second[u] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
        p01 = x0 > x1 ? x0 : x1, p23 = x2 > x3 ? x2 : x3, p01 = p01 > p23 ? p01 : p23;
        m01 = x0 < x1 ? x0 : x1, m23 = x2 < x3 ? x2 : x3, m01 = m01 < m23 ? m01 : m23;
        high[u] = high[u] > p01 ? high[u] : p01;
        low[u] = low[u] < m01 ? low[u] : m01;
    }
}

DISPATCHED
static void add_one(const float *RESTRICT x, int64_t width, const double *RESTRICT pivot,
                    double *RESTRICT first, double *RESTRICT second, float *RESTRICT high,
                    float *RESTRICT low) {
    for (int64_t u = 0; u < width; u++) {
        double d = x[u] - pivot[u];
        first[u] += d;
        second[u] += d * d;
        high[u] = high[u] > x[u] ? high[u] : x[u];
        low[u] = low[u] < x[u] ? low[u] : x[u];
    }
}

void add_rows(const float *x, int64_t step, int64_t rows, int64_t width, const double *pivot, double *first,
              double *second, float *high, float *low) {
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) add_four(x + row * step, step, width, pivot, first, second, high, low);
    for (; row < rows; row++) add_one(x + row * step, width, pivot, first, second, high, low);
}

DISPATCHED
static int64_t add_lanes(const float *RESTRICT x, int64_t n, double pivot, double sums[2], float extremes[2]) {
    double first[LANES] = {0}, second[LANES] = {0};
    float high[LANES], low[LANES];
    int64_t i = 0;
    for (int j = 0; j < LANES; j++) high[j] = low[j] = x[0];
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            double d = x[i + j] - pivot;
            first[j] += d;
            second[j] += d * d;
            high[j] = high[j] > x[i + j] ? high[j] : x[i + j];
            low[j] = low[j] < x[i + j] ? low[j] : x[i + j];
        }
    }
    for (int j = 0; j < LANES; j++) {
        sums[0] += first[j], sums[1] += second[j];
        extremes[0] = extremes[0] > high[j] ? extremes[0] : high[j];
        extremes[1] = extremes[1] < low[j] ? extremes[1] : low[j];
    }
    return i;
}

void add_run(const float *x, int64_t n, double pivot, double sums[2], float extremes[2]) {
    int64_t i = n >= LANES ? add_lanes(x, n, pivot, sums, extremes) : 0;
    for (; i < n; i++) {
        double d = x[i] - pivot;
        sums[0] += d, sums[1] += d * d;
        extremes[0] = extremes[0] > x[i] ? extremes[0] : x[i];
        extremes[1] = extremes[1] < x[i] ? extremes[1] : x[i];
    }
}

DISPATCHED
static double add_squares(const float *x, int64_t n) {
    double lanes[LANES] = {0}, sum = 0.0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lanes[j] += (double)x[i + j] * x[i + j];
    for (; i < n; i++) sum += (double)x[i] * x[i];
    for (int j = 0; j < LANES; j++) sum += lanes[j];
    return sum;
}

double sum_of_squares(const float *x, int64_t n, int64_t counts[3]) {
    double sum = add_squares(x, n); /* squares of float32 do not leave float64 */
    counts[0] = n, counts[1] = counts[2] = 0;
    if (is_finite64(sum)) return sum;
    sum = 0.0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_of(x[i]);
        if (is_finite32(bits)) sum += (double)x[i] * x[i];
        else counts[(bits & 0x7fffffu) ? 1 : 2]++, counts[0]--;
    }
    return sum;
}

DISPATCHED
static uint32_t count_beyond(const float *x, int64_t n, float below, float above) {
    uint32_t found = 0;
    for (int64_t i = 0; i < n; i++) found += (x[i] < below) | (x[i] > above);
    return found;
}

int64_t count_outside(const float *x, int64_t n, float below, float above) {
    int64_t found = 0, chunk = 1 << 30;
    for (int64_t i = 0; i < n; i += chunk) found += count_beyond(x + i, n - i < chunk ? n - i : chunk, below, above);
    return found;
}

const char *instructions(void) {
#ifdef IS_DISPATCHED
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return "avx512f";
    if (__builtin_cpu_supports("avx2")) return "avx2";
#endif
    return "portable";
}
