/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of guest pages, as ranges in order: which pages are private. A set is immutable and reference
 * counted, so that a reader of a snapshot needs no lock; NULL is the empty one. Looking and changing
 * take time that grows with the logarithm of the number of ranges: a changed set shares with the one
 * before what is the same.
 */
#ifndef FAUXKVM_MMU_ATTRIBUTES_H
#define FAUXKVM_MMU_ATTRIBUTES_H

#include <stdbool.h>
#include <stdint.h>

struct page_range {
	uint64_t first, end; /* page numbers; @end is behind the last */
};

struct page_set;

struct page_set *page_set_get(struct page_set *set);
void page_set_put(struct page_set *set);

bool page_set_has(const struct page_set *set, uint64_t page);
/* Whether all of [@first, @end) is in the set (@present), or none of it (not @present). */
bool page_set_is(const struct page_set *set, uint64_t first, uint64_t end, bool present);
/*
 * The first range that ends behind @page, or NULL. Ranges are not empty and neither overlap nor
 * touch, so its own end is the @page for the next one.
 */
const struct page_range *page_set_next(const struct page_set *set, uint64_t page);
/*
 * The set that also has [@first, @end) (@present), or has none of it. Puts the reference to @old.
 * -ENOMEM: *@result is not written, and @old still the caller's.
 */
int page_set_change(struct page_set *old, uint64_t first, uint64_t end, bool present,
		    struct page_set **result);

#endif
