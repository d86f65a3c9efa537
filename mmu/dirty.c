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

struct page_array *dirty_array_create(const struct memory *memory, size_t pages, bool shown)
{
	const uint64_t all = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
	struct page_array *array = page_array_create(dirty_bitmap_bytes(pages));
	uint64_t *word;

	if (!array || !shown || (memory->manual_dirty_log & all) != all)
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

static bool set_bit(atomic_ulong *bitmap, size_t page)
{
	unsigned long bit = 1ul << page % 64;

	return !(atomic_fetch_or(&bitmap[page / 64], bit) & bit);
}

void memslot_mark_dirty(const struct memslot *slot, uint64_t gpa, struct dirty_ring *ring)
{
	size_t page = memslot_page_index(slot, gpa);

	if (memslot_is_dirty(slot, gpa))
		return;
	if (!ring && slot->log) {
		set_bit(slot->log, page);
		return;
	}
	/* Without room in the ring the page stays clean, and its next write comes here again. */
	if (set_bit(slot->dirty, page) && ring && !dirty_ring_push(ring, slot->id, page))
		atomic_fetch_and(&slot->dirty[page / 64], ~(1ul << page % 64));
}

static int without_bitmap(const struct memory *memory)
{
	return memory->dirty_rings && !memory->ring_bitmap ? -ENXIO : 0;
}

/* The bitmap that user space sees, or the errno that says why there is none. */
static int find_log(const struct memory *memory, uint32_t id, const struct memslot **slot,
		    atomic_ulong **log)
{
	if (!slot_number_valid(memory, id))
		return -EINVAL;
	*slot = slots_find_id(memory, id);
	if (!*slot || !(*slot)->dirty)
		return -ENOENT;
	*log = memory->dirty_rings ? (*slot)->log : (*slot)->dirty;
	return 0;
}

/* Copies the bitmap out, and clears it unless the client does that. True: bits were cleared. */
static bool harvest(const struct memory *memory, atomic_ulong *log, size_t words, uint64_t *bitmap)
{
	bool manual = memory->manual_dirty_log & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
	bool cleared = false;

	for (size_t i = 0; i < words; i++) {
		unsigned long word = atomic_load_explicit(&log[i], memory_order_relaxed);

		if (word && !manual) {
			word = atomic_exchange(&log[i], 0);
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
	atomic_ulong *log;
	size_t size;
	int r;

	pthread_mutex_lock(&memory->slots_lock);
	r = without_bitmap(memory);
	if (!r)
		r = find_log(memory, id, &slot, &log);
	if (r)
		goto out;
	size = dirty_bitmap_bytes(memslot_pages(slot));
	if (needed)
		*needed = size;
	if (!bitmap)
		goto out;
	if (bytes < size) {
		r = -EINVAL;
		goto out;
	}
	cleared = harvest(memory, log, size / 8, bitmap);
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
	atomic_ulong *dirty;
	int r;

	pthread_mutex_lock(&memory->slots_lock);
	r = without_bitmap(memory);
	if (!r && log->first_page % 64)
		r = -EINVAL;
	if (!r)
		r = find_log(memory, log->slot, &slot, &dirty);
	if (r)
		goto out;
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
		if (mask[i] && (atomic_fetch_and(&dirty[first + i], ~mask[i]) & mask[i]))
			cleared = true;
	}
out:
	pthread_mutex_unlock(&memory->slots_lock);
	if (cleared)
		memory->listener.writes_revoked(memory->listener.opaque, NULL);
	return r;
}
