/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mmu/attributes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct page_set *page_set_get(struct page_set *set)
{
	if (set)
		atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	return set;
}

void page_set_put(struct page_set *set)
{
	if (set && atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) == 1)
		free(set);
}

/* Number of ranges that end at or before @page. */
static unsigned ranges_before(const struct page_set *set, uint64_t page)
{
	unsigned low = 0, high = set ? set->count : 0;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (set->range[middle].end <= page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool page_set_has(const struct page_set *set, uint64_t page)
{
	unsigned index = ranges_before(set, page);

	return set && index < set->count && set->range[index].first <= page;
}

bool page_set_is(const struct page_set *set, uint64_t first, uint64_t end, bool present)
{
	unsigned index = ranges_before(set, first);
	const struct page_range *range;

	if (!set || index == set->count)
		return !present;
	range = &set->range[index];
	return present ? range->first <= first && range->end >= end : range->first >= end;
}

int page_set_change(struct page_set *old, uint64_t first, uint64_t end, bool present,
		    struct page_set **result)
{
	unsigned count = old ? old->count : 0, used = 0, i;
	struct page_range changed = { first, end };
	bool placed = !present;
	struct page_set *set;

	/* At most one range more: the new one, or the second part of one that is cut in two. */
	set = malloc(sizeof(*set) + (count + 1) * sizeof(set->range[0]));
	if (!set)
		return -ENOMEM;
	atomic_init(&set->references, 1);
	for (i = 0; i < count; i++) {
		const struct page_range *range = &old->range[i];

		if (present && range->end >= changed.first && range->first <= changed.end) {
			if (range->first < changed.first)
				changed.first = range->first;
			if (range->end > changed.end)
				changed.end = range->end;
			continue;
		}
		if (!placed && range->first > changed.end) {
			set->range[used++] = changed;
			placed = true;
		}
		if (present || range->end <= first || range->first >= end) {
			set->range[used++] = *range;
			continue;
		}
		if (range->first < first)
			set->range[used++] = (struct page_range){ range->first, first };
		if (range->end > end)
			set->range[used++] = (struct page_range){ end, range->end };
	}
	if (!placed)
		set->range[used++] = changed;
	set->count = used;
	if (!used) {
		free(set);
		set = NULL;
	}
	page_set_put(old);
	*result = set;
	return 0;
}
