/* One visit of a tensor: a piece of it stays in the nearest cache while all statistics read it. */
#include "measure.h"

#include <math.h>
#include <string.h>

#include "loops.h"

#define TILE 512    /* units whose sums stay in the cache together */
#define PIECE 2048  /* values that do */
#define LARGE 16384 /* from here four histogram tables pay */
#define FAR 256.0   /* (mean - pivot)^2 over the variance from which the pivot is chosen again: costs 8 bits */

static double *row(const Block *block, int which) { return block->sums + which * block->header[UNITS]; }
static double *across_row(const Block *block, int which) { return block->across + which * block->header[UNITS]; }

static int runs_along(const View *view) {
    return view->positions > 1 ? view->position_step == 1 : view->sample_step == 1;
}

int is_readable(const View *view) { return view->unit_step == 1 || view->units == 1 || runs_along(view); }

static void count_piece(const float *x, int64_t step, int64_t rows, int64_t width, Counts *counts) {
    if (step == width) {
        count(x, rows * width, counts);
        return;
    }
    for (int64_t i = 0; i < rows; i++) count(x + i * step, width, counts);
}

/* Fold a sample's sum of deviations from the pivot into the sums of its mean over positions. */
static void add_sample(const Block *block, int64_t unit, double deviation, double positions) {
    double mean = deviation / positions;
    across_row(block, FIRST)[unit] += mean;
    across_row(block, SECOND)[unit] += mean * mean;
}

/* Read rows of units: a tile of units, then all its rows. */
static void measure_tile(const View *view, const Block *block, int64_t start, int64_t width, Counts *counts) {
    double pivot[TILE], first[TILE], second[TILE];
    float high[TILE], low[TILE];
    int several = view->positions > 1;
    int64_t outer = several ? view->samples : 1, rows = several ? view->positions : view->samples;
    int64_t step = several ? view->position_step : view->sample_step;
    int64_t group = PIECE / width < 4 ? 4 : PIECE / width, near = several ? rows : 1;
    const float *x = view->data + start;

    memset(first, 0, 8 * (size_t)width), memset(second, 0, 8 * (size_t)width);
    for (int64_t i = 0; i < near; i++)
        for (int64_t u = 0; u < width; u++) first[u] += x[i * step + u];
    for (int64_t u = 0; u < width; u++) pivot[u] = (float)(first[u] / near), high[u] = low[u] = x[u];
    memset(first, 0, 8 * (size_t)width);
    for (int64_t sample = 0; sample < outer; sample++, x += view->sample_step) {
        for (int64_t i = 0; i < rows; i += group) {
            int64_t size = rows - i < group ? rows - i : group;
            add_rows(x + i * step, step, size, width, pivot, first, second, high, low);
            count_piece(x + i * step, step, size, width, counts);
        }
        if (!several) break;
        for (int64_t u = 0; u < width; u++) {
            add_sample(block, start + u, first[u], (double)rows);
            row(block, FIRST)[start + u] += first[u], first[u] = 0.0;
        }
    }
    for (int64_t u = 0; u < width; u++) {
        row(block, PIVOT)[start + u] = pivot[u];
        row(block, FIRST)[start + u] += first[u];
        row(block, SECOND)[start + u] = second[u];
        row(block, HIGHEST)[start + u] = high[u];
        row(block, LOWEST)[start + u] = low[u];
    }
}

/* Read n values of one unit that lie side by side. */
static void measure_run(const Block *block, int64_t unit, const float *x, int64_t n, double *deviation, Counts *counts) {
    double pivot = row(block, PIVOT)[unit], sums[2] = {0.0, row(block, SECOND)[unit]};
    float extremes[2] = {(float)row(block, HIGHEST)[unit], (float)row(block, LOWEST)[unit]};
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t size = n - i < PIECE ? n - i : PIECE;
        add_run(x + i, size, pivot, sums, extremes);
        if (counts) count(x + i, size, counts);
    }
    row(block, SECOND)[unit] = sums[1];
    row(block, HIGHEST)[unit] = extremes[0], row(block, LOWEST)[unit] = extremes[1];
    *deviation = sums[0];
}

static void begin_run(const Block *block, int64_t unit, const float *x, int64_t near) {
    double parts[8] = {0.0}, sum = 0.0; /* side by side: one sum would wait for itself at each step */
    int64_t i = 0;
    for (; i + 8 <= near; i += 8)
        for (int lane = 0; lane < 8; lane++) parts[lane] += x[i + lane];
    for (; i < near; i++) sum += x[i];
    for (int lane = 0; lane < 8; lane++) sum += parts[lane];
    row(block, PIVOT)[unit] = (float)(sum / near);
    row(block, HIGHEST)[unit] = row(block, LOWEST)[unit] = x[0];
}

/* Read units whose positions (or, without positions, whose samples) lie side by side. */
static void measure_runs(const View *view, const Block *block, Counts *counts) {
    int several = view->positions > 1;
    int64_t outer = several ? view->samples : 1, size = several ? view->positions : view->samples;
    int64_t waiting = 0; /* values of short runs that lie side by side: they are counted together */
    int together = view->unit_step == size && size < PIECE;
    for (int64_t sample = 0; sample < outer; sample++) {
        for (int64_t unit = 0; unit < view->units; unit++) {
            const float *x = view->data + sample * view->sample_step + unit * view->unit_step;
            double deviation;
            if (sample == 0) begin_run(block, unit, x, several ? size : 1);
            measure_run(block, unit, x, size, &deviation, together ? NULL : counts);
            waiting += size;
            if (together && (waiting >= PIECE || unit + 1 == view->units)) {
                count(x + size - waiting, waiting, counts);
                waiting = 0;
            }
            row(block, FIRST)[unit] += deviation;
            if (several) add_sample(block, unit, deviation, (double)size);
        }
    }
}

void measure_carefully(const View *view, const Block *block, int64_t unit) {
    const float *x = view->data + unit * view->unit_step;
    double n = 0, sum = 0, filled = 0, means = 0, first = 0, second = 0, high = -INFINITY, low = INFINITY;
    double pivot, about, first_across = 0, second_across = 0;
    for (int64_t sample = 0; sample < view->samples; sample++) {
        double here = 0, of = 0;
        for (int64_t i = 0; i < view->positions; i++) {
            float value = x[sample * view->sample_step + i * view->position_step];
            if (is_finite32(bits_of(value))) here += value, of++;
            else block->header[bits_of(value) & 0x7fffffu ? NANS : INFS]++;
        }
        n += of, sum += here;
        if (of > 0) filled++, means += here / of;
    }
    pivot = n > 0 ? (float)(sum / n) : 0.0;
    about = filled > 0 ? (float)(means / filled) : 0.0;
    for (int64_t sample = 0; sample < view->samples; sample++) {
        double here = 0, of = 0;
        for (int64_t i = 0; i < view->positions; i++) {
            float value = x[sample * view->sample_step + i * view->position_step];
            double deviation = value - pivot;
            if (!is_finite32(bits_of(value))) continue;
            here += deviation, of++, second += deviation * deviation;
            high = value > high ? value : high, low = value < low ? value : low;
        }
        first += here;
        if (of > 0) here = here / of + (pivot - about), first_across += here, second_across += here * here;
    }
    row(block, N)[unit] = n, row(block, PIVOT)[unit] = pivot;
    row(block, FIRST)[unit] = first, row(block, SECOND)[unit] = second;
    row(block, HIGHEST)[unit] = high, row(block, LOWEST)[unit] = low;
    if (!block->across) return;
    across_row(block, N)[unit] = filled, across_row(block, PIVOT)[unit] = about;
    across_row(block, FIRST)[unit] = first_across, across_row(block, SECOND)[unit] = second_across;
}

static int is_far(double n, double first, double second) {
    double offset = first * first / n;
    return offset > FAR * (second - offset);
}

/* Look again at units with NaN or Inf, and at those whose pivot turned out far from their mean. */
static void check_units(const View *view, const Block *block) {
    double n = (double)view->samples * (double)view->positions, samples = (double)view->samples;
    for (int64_t unit = 0; unit < view->units; unit++) {
        double first = row(block, FIRST)[unit], second = row(block, SECOND)[unit];
        int careful = !is_finite64(second) || !is_finite64(first) || is_far(n, first, second);
        row(block, N)[unit] = n;
        if (block->across) {
            across_row(block, N)[unit] = samples;
            across_row(block, PIVOT)[unit] = row(block, PIVOT)[unit];
            careful |= samples > 1 && is_far(samples, across_row(block, FIRST)[unit], across_row(block, SECOND)[unit]);
        }
        if (careful) measure_carefully(view, block, unit);
    }
}

static void add_tables(uint32_t *log, uint32_t *const tables[3]) {
    for (int bin = 0; bin < LOG_BINS; bin++) log[bin] += tables[0][bin] + tables[1][bin] + tables[2][bin];
}

static int64_t tiny(const uint32_t *log) {
    int64_t found = 0;
    for (int bin = 0; bin < 8; bin++) found += (int64_t)log[bin] + log[LOG_BINS / 2 + bin];
    return found;
}

static void read_all(const View *view, const Block *block, Counts *counts) {
    if (runs_along(view) && (view->unit_step != 1 || view->units == 1)) {
        measure_runs(view, block, counts);
        return;
    }
    for (int64_t start = 0; start < view->units; start += TILE)
        measure_tile(view, block, start, view->units - start < TILE ? view->units - start : TILE, counts);
}

static void read_with_four_tables(const View *view, const Block *block, Counts *counts) {
    uint32_t more[3][LOG_BINS];
    memset(more, 0, sizeof more);
    for (int i = 0; i < 3; i++) counts->tables[i + 1] = more[i];
    read_all(view, block, counts);
    add_tables(block->log, counts->tables + 1);
}

static void read_nothing(const Block *block) {
    for (int64_t unit = 0; unit < block->header[UNITS]; unit++)
        row(block, HIGHEST)[unit] = -INFINITY, row(block, LOWEST)[unit] = INFINITY;
}

void measure(const View *view, const Block *block) {
    Counts counts = {{block->log, block->log, block->log, block->log}, 0, 0, block->linear, block->low, block->factor};
    int64_t elements = block->header[ELEMENTS];
    if (elements == 0) {
        read_nothing(block);
        return;
    }
    if (elements < LARGE) read_all(view, block, &counts);
    else read_with_four_tables(view, block, &counts);
    check_units(view, block);
    block->header[ZEROS] = counts.zeros, block->header[POSITIVE] = counts.positive;
    block->header[SUBNORMAL] = tiny(block->log) - counts.zeros;
}
