/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this room share among themselves. */
#ifndef FAUXKVM_MMU_INTERNAL_H
#define FAUXKVM_MMU_INTERNAL_H

#include "mmu/attributes.h"
#include "mmu/mmu.h"

#include <pthread.h>

struct memory {
	struct memory_listener listener;
	/* One writer of the slots at a time; also keeps @current in place for its holder. */
	pthread_mutex_t slots_lock;
	/*
	 * Read side: who looks at @current without a reference. Write side: who replaces it, and
	 * thereby has waited for those. Inside slots_lock; never taken twice by one thread.
	 */
	pthread_rwlock_t accessors;
	struct memslots *current;
	uint64_t gpa_limit;
	uint64_t manual_dirty_log; /* KVM_DIRTY_LOG_* */
	bool dirty_rings;          /* the vCPUs have rings, see dirty_ring.h */
	bool ring_bitmap;          /* and slots a log for other writers */
	bool private_allowed;
	atomic_uint code_marks;    /* counts the mark tokens, see code.c */
	/* By address space and slot number: the slot's gpa | 1, or 0. */
	uint64_t *gpa_of_id;
};

/* ---- Per-page arrays of a slot (slots.c) ---- */

struct page_array {
	atomic_uint references;
	size_t bytes; /* of the whole allocation */
	_Alignas(64) unsigned char data[];
};

/* Zeroed, lazily: costs memory only where it is touched. NULL when out of memory. */
struct page_array *page_array_create(size_t bytes);
struct page_array *page_array_get(struct page_array *array); /* NULL allowed, as in _put */
void page_array_put(struct page_array *array);

/* ---- Slots ---- */

/* Slot with number @id in the current snapshot, or NULL. Under slots_lock. */
const struct memslot *slots_find_id(const struct memory *memory, uint32_t id);

static inline size_t memslot_pages(const struct memslot *slot)
{
	return slot->size >> GUEST_PAGE_SHIFT;
}

static inline size_t memslot_page_index(const struct memslot *slot, uint64_t gpa)
{
	return (gpa - slot->gpa) >> GUEST_PAGE_SHIFT;
}

static inline bool page_is_private(const struct memslots *slots, uint64_t gpa)
{
	return slots->private && page_set_has(slots->private, gpa >> GUEST_PAGE_SHIFT);
}

/* What is at @gpa, up to the end of its page. NULL: private, and the slot has nothing private. */
static inline uint8_t *memslot_hva(const struct memslots *slots, const struct memslot *slot,
				   uint64_t gpa)
{
	if (page_is_private(slots, gpa))
		return slot->private ? slot->private->hva + (gpa - slot->gpa) : NULL;
	return slot->hva + (gpa - slot->gpa);
}

static inline bool slot_number_valid(const struct memory *memory, uint32_t id)
{
	return (id >> 16) < memory_address_spaces(memory) && (id & 0xffff) < MEMORY_SLOTS_MAX;
}

/* The snapshot, for nobody else to see, with room for one more slot; NULL. Under both locks. */
struct memslots *slots_make_writable(struct memory *memory);

/* ---- Private memory (private.c) ---- */

/* @bytes of @file at @offset for a new slot: -EINVAL: outside or in use, -ENOMEM. */
int private_part_create(const struct memory *memory, struct guest_memfd *file, uint64_t offset,
			uint64_t bytes, struct private_part **part);
struct private_part *private_part_get(struct private_part *part);
void private_part_put(struct private_part *part); /* NULL allowed in both */
/*
 * Gives the pages of a new slot the attributes that they got through its file: all, or -ENOMEM and
 * none.
 */
int private_part_apply(struct memslots *slots, const struct memslot *slot);

/* Bytes of a dirty bitmap as KVM hands it out: whole 64-bit words. */
static inline size_t dirty_bitmap_bytes(size_t pages)
{
	return (pages + 63) / 64 * 8;
}

/* ---- Dirty state (dirty.c) ---- */

/*
 * A new bitmap for a slot of @pages pages. @shown: to the client, as its dirty log; all set when it
 * asked for that.
 */
struct page_array *dirty_array_create(const struct memory *memory, size_t pages, bool shown);
/* Sets the dirty bit of the page at @gpa, for the vCPU with @ring (NULL: for nobody). */
void memslot_mark_dirty(const struct memslot *slot, uint64_t gpa, struct dirty_ring *ring);

static inline bool memslot_is_dirty(const struct memslot *slot, uint64_t gpa)
{
	size_t page = memslot_page_index(slot, gpa);
	unsigned long word;

	if (!slot->dirty)
		return true;
	word = atomic_load_explicit(&slot->dirty[page / 64], memory_order_relaxed);
	return word >> page % 64 & 1;
}

/* ---- Code marks (code.c) ---- */

static inline bool memslot_has_code(const struct memslot *slot, uint64_t gpa)
{
	return atomic_load_explicit(&slot->code[memslot_page_index(slot, gpa)],
				    memory_order_relaxed) != 0;
}

/* Clears the mark after a store to the page; true: it was set, the listener must be told. */
bool memslot_clear_code(const struct memslot *slot, uint64_t gpa);

/* ---- TLB (tlb.c) ---- */

enum { RIGHT_READ = 1, RIGHT_WRITE = 2, RIGHT_EXEC = 4 };

/* The guest's mapping of a page. */
struct tlb_page {
	unsigned shift; /* log2 of its bytes */
	bool global;
};

/* Enters the page of @gva for @mode with @rights. */
void tlb_fill(struct mmu *mmu, enum tlb_mode mode, uint64_t gva, const uint8_t *hva,
	      unsigned rights, const struct tlb_page *page);
/* Number of linear pages whose valid entries lead to the host page of @hva, and one of them. */
unsigned tlb_find(const struct mmu *mmu, const uint8_t *hva, uint64_t *gva);
/* Drops the write right of every entry that leads to the host page of @hva. */
void tlb_drop_writes_to(struct mmu *mmu, const uint8_t *hva);

/* Slot of @gpa in the vCPU's own snapshot and address space, or NULL. */
static inline const struct memslot *mmu_find_slot(struct mmu *mmu, uint64_t gpa)
{
	const struct memslot *slot = mmu->last_slot;

	if (slot && gpa - slot->gpa < slot->size)
		return slot;
	slot = memslots_lookup(mmu->slots, mmu->as, gpa);
	if (slot)
		mmu->last_slot = slot;
	return slot;
}

/* ---- Walk (walk.c) ---- */

/* Makes mmu->plan from mmu->paging. */
void walk_plan_make(struct mmu *mmu);

#endif
