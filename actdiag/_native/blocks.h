/* Blocks: how they lie in memory, how two become one, where quantiles lie. */
#ifndef ACTDIAG_BLOCKS_H
#define ACTDIAG_BLOCKS_H

#include <stddef.h>

#include "measure.h"

#define LAYOUT 4 /* goes up with every change of a block or of a call; actdiag/kernel.py expects the same */

/* The bytes of a block. */
size_t block_size(int64_t units, int64_t flags);

/* The parts of a block whose header says its units and flags. */
Block block_at(void *bytes);

/* Whether `size` bytes can be a block, as far as its header tells. */
int is_block(const void *bytes, size_t size);

/* Fill `merged`, whose header says its units and flags, from two blocks of as many units. */
void merge_blocks(const Block *a, const Block *b, const Block *merged);

/* Note in the header where the elements of rank ceil(share * n) lie among the finite bins in order of value;
 * -1 for n = 0. Done while the histogram is still in the cache. */
void find_quantiles(const Block *block);

#endif
