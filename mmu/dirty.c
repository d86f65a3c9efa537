/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty logging.
 *
 * A write right in a TLB means that the page's bit is set. So a harvest clears bits first and then
 * takes the rights away: a store in between goes to a page that this harvest reports, and the
 * client reads the page only after the ioctl returned, when no such right is left.
 */
#include "mmu/internal.h"

#include <errno.h>
#include <string.h>

struct page_array *dirty_array_create(const struct memory *memory, size_t pages)
{
	const uint64_t all = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	struct page_array *array = page_array_create(dirty_bitmap_bytes(pages));
	uint64_t *word;

	if (!array || (memory->manual_dirty_log & all) != all)
		return array;
	word = (void *)array->data;
	memset(word, 0xff, pages / 64 * 8);
	if (pages % 64)
		word[pages / 64] = (1ull << pages % 64) - 1;
	return array;
}

void memory_set_manual_dirty_log(struct memory *memory, uint64_t flags)
{
	pthread_mutex_lock(&memory->slots_lock);
	memory->manual_dirty_log = flags;
	pthread_mutex_unlock(&memory->slots_lock);
}

void memslot_mark_dirty(const struct memslot *slot, uint64_t gpa)
{
	size_t page = memslot_page_index(slot, gpa);

	if (!memslot_is_dirty(slot, gpa))
		atomic_fetch_or(&slot->dirty[page / 64], 1ul << page % 64);
}

/* Copies the bitmap out, and clears it unless the client does that. True: bits were cleared. */
static bool harvest(const struct memory *memory, const struct memslot *slot, uint64_t *bitmap)
{
	size_t words = dirty_bitmap_bytes(memslot_pages(slot)) / 8;
	bool manual = memory->manual_dirty_log & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	bool cleared = false;

	for (size_t i = 0; i < words; i++) {
		unsigned long word = atomic_load_explicit(&slot->dirty[i], memory_order_relaxed);

		if (word && !manual) {
			word = atomic_exchange(&slot->dirty[i], 0);
			cleared = true;
		}
		bitmap[i] = word;
	}
	return cleared;
}

int memory_get_dirty_log(struct memory *memory, uint32_t id, void *bitmap, size_t bytes,
			 size_t *needed)
{
	const struct memslot *slot;
	bool cleared = false;
	size_t size;
	int r = 0;

	if (!slot_number_valid(id))
		return -EINVAL;
	pthread_mutex_lock(&memory->slots_lock);
	slot = slots_find_id(memory, id);
	if (!slot || !slot->dirty) {
		r = -ENOENT;
		goto out;
	}
	size = dirty_bitmap_bytes(memslot_pages(slot));
	if (needed)
		*needed = size;
	if (!bitmap)
		goto out;
	if (bytes < size) {
		r = -EINVAL;
		goto out;
	}
	cleared = harvest(memory, slot, bitmap);
out:
	pthread_mutex_unlock(&memory->slots_lock);
	if (cleared)
		memory->listener.writes_revoked(memory->listener.opaque, NULL);
	return r;
}

int memory_clear_dirty_log(struct memory *memory, const struct kvm_clear_dirty_log *log,
			   const void *bitmap)
{
	const uint64_t *mask = bitmap;
	const struct memslot *slot;
	bool cleared = false;
	size_t pages, first;
	int r = 0;

	if (!slot_number_valid(log->slot) || log->first_page % 64)
		return -EINVAL;
	pthread_mutex_lock(&memory->slots_lock);
	slot = slots_find_id(memory, log->slot);
	if (!slot || !slot->dirty) {
		r = -ENOENT;
		goto out;
	}
	pages = memslot_pages(slot);
	/* A part of a word can only be the slot's last one. */
	if (log->first_page > pages || log->num_pages > pages - log->first_page ||
	    (log->num_pages < pages - log->first_page && log->num_pages % 64)) {
		r = -EINVAL;
		goto out;
	}
	if (!mask)
		goto out;
	first = log->first_page / 64;
	for (size_t i = 0; i < dirty_bitmap_bytes(log->num_pages) / 8; i++) {
		if (mask[i] && (atomic_fetch_and(&slot->dirty[first + i], ~mask[i]) & mask[i]))
			cleared = true;
	}
out:
	pthread_mutex_unlock(&memory->slots_lock);
	if (cleared)
		memory->listener.writes_revoked(memory->listener.opaque, NULL);
	return r;
}
