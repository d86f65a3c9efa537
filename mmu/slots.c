/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memslots: the snapshot, and KVM_SET_USER_MEMORY_REGION's changes to it. */
#include "mmu/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/pages.h"

/* From here an array is a mapping of its own, so that huge slots need no commit charge. */
#define MAP_THRESHOLD (128 * 1024)

/* ---- Per-page arrays ------------------------------------------------------------------------ */

struct page_array *page_array_create(size_t bytes)
{
	struct page_array *array;
	size_t total = sizeof(*array) + bytes;

	if (total < MAP_THRESHOLD) {
		total = (total + 63) / 64 * 64;
		array = aligned_alloc(64, total);
		if (!array)
			return NULL;
		memset(array, 0, total);
	} else {
		array = pages_alloc(total);
		if (!array)
			return NULL;
	}
	atomic_init(&array->references, 1);
	array->bytes = total;
	return array;
}

struct page_array *page_array_get(struct page_array *array)
{
	if (array)
		atomic_fetch_add_explicit(&array->references, 1, memory_order_relaxed);
	return array;
}

void page_array_put(struct page_array *array)
{
	if (!array)
		return;
	if (atomic_fetch_sub_explicit(&array->references, 1, memory_order_acq_rel) != 1)
		return;
	if (array->bytes < MAP_THRESHOLD)
		free(array);
	else
		pages_free(array, array->bytes);
}

/* ---- Snapshots ------------------------------------------------------------------------------ */

static void memslot_get(const struct memslot *slot)
{
	page_array_get(slot->dirty_array);
	page_array_get(slot->log_array);
	page_array_get(slot->code_array);
	private_part_get(slot->private);
}

static void memslot_put(const struct memslot *slot)
{
	page_array_put(slot->dirty_array);
	page_array_put(slot->log_array);
	page_array_put(slot->code_array);
	private_part_put(slot->private);
}

void memslots_put(struct memslots *slots)
{
	if (!slots || atomic_fetch_sub_explicit(&slots->references, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < slots->count; i++)
		memslot_put(&slots->slot[i]);
	page_set_put(slots->private);
	free(slots);
}

struct memslots *memory_slots_get(struct memory *memory)
{
	struct memslots *slots;

	pthread_rwlock_rdlock(&memory->accessors);
	slots = memory->current;
	atomic_fetch_add_explicit(&slots->references, 1, memory_order_relaxed);
	pthread_rwlock_unlock(&memory->accessors);
	return slots;
}

/* Number of slots at or below (@as, @gpa): where a slot that starts after it belongs. */
static unsigned slots_upper_bound(const struct memslots *slots, unsigned as, uint64_t gpa)
{
	unsigned low = 0, high = slots->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		const struct memslot *slot = &slots->slot[middle];
		unsigned slot_as = slot->id >> 16;

		if (slot_as < as || (slot_as == as && slot->gpa <= gpa))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct memslot *memslots_lookup(const struct memslots *slots, unsigned as, uint64_t gpa)
{
	unsigned above = slots_upper_bound(slots, as, gpa);
	const struct memslot *slot;

	if (!above)
		return NULL;
	slot = &slots->slot[above - 1];
	return slot->id >> 16 == as && gpa - slot->gpa < slot->size ? slot : NULL;
}

static uint64_t *gpa_of_id(const struct memory *memory, uint32_t id)
{
	return &memory->gpa_of_id[(id >> 16) * MEMORY_SLOTS_MAX + (id & 0xffff)];
}

const struct memslot *slots_find_id(const struct memory *memory, uint32_t id)
{
	uint64_t gpa = *gpa_of_id(memory, id);

	return gpa ? memslots_lookup(memory->current, id >> 16, gpa & GUEST_PAGE_MASK) : NULL;
}

/* ---- Changes -------------------------------------------------------------------------------- */

/*
 * The current snapshot with room for one more slot, for nobody else to see: the published one
 * itself while only the memory refers to it (a client that sets up thousands of slots before it
 * runs copies none of them), else a copy that takes its place. Under both locks.
 */
struct memslots *slots_make_writable(struct memory *memory)
{
	struct memslots *old = memory->current, *copy;
	bool exclusive = atomic_load_explicit(&old->references, memory_order_acquire) == 1;
	unsigned capacity = old->count + old->count / 2 + 8;

	if (exclusive && old->count < old->capacity)
		return old;

	copy = malloc(sizeof(*copy) + capacity * sizeof(copy->slot[0]));
	if (!copy)
		return NULL;
	atomic_init(&copy->references, 1);
	copy->generation = old->generation;
	copy->count = old->count;
	copy->capacity = capacity;
	copy->private = old->private;
	memcpy(copy->slot, old->slot, old->count * sizeof(old->slot[0]));
	memory->current = copy;
	if (exclusive) {
		free(old);
	} else {
		for (unsigned i = 0; i < copy->count; i++)
			memslot_get(&copy->slot[i]);
		page_set_get(copy->private);
		memslots_put(old);
	}
	return copy;
}

static void slots_remove(struct memslots *slots, unsigned as, uint64_t gpa)
{
	unsigned index = slots_upper_bound(slots, as, gpa) - 1;

	memslot_put(&slots->slot[index]);
	slots->count--;
	memmove(&slots->slot[index], &slots->slot[index + 1],
		(slots->count - index) * sizeof(slots->slot[0]));
}

static void slots_insert(struct memslots *slots, const struct memslot *slot)
{
	unsigned index = slots_upper_bound(slots, slot->id >> 16, slot->gpa);

	memmove(&slots->slot[index + 1], &slots->slot[index],
		(slots->count - index) * sizeof(slots->slot[0]));
	slots->slot[index] = *slot;
	slots->count++;
}

/* Puts @new (with its references) in the place of the slot at @old_gpa; each may be missing. */
static int slots_replace(struct memory *memory, uint32_t id, const uint64_t *old_gpa,
			 const struct memslot *new)
{
	struct memslots *slots;
	int r = -ENOMEM;

	pthread_rwlock_wrlock(&memory->accessors);
	slots = slots_make_writable(memory);
	if (slots)
		r = new ? private_part_apply(slots, new) : 0;
	if (!r) {
		if (old_gpa)
			slots_remove(slots, id >> 16, *old_gpa);
		if (new)
			slots_insert(slots, new);
		slots->generation++;
		*gpa_of_id(memory, id) = new ? new->gpa | 1 : 0;
	}
	pthread_rwlock_unlock(&memory->accessors);
	return r;
}

/* Whether another slot than @id lies in [gpa, gpa + size). */
static bool slots_overlap(const struct memslots *slots, uint32_t id, uint64_t gpa, uint64_t size)
{
	unsigned as = id >> 16;
	unsigned index = slots_upper_bound(slots, as, gpa);

	if (index)
		index--;
	for (; index < slots->count; index++) {
		const struct memslot *slot = &slots->slot[index];

		if (slot->id >> 16 < as)
			continue;
		if (slot->id >> 16 > as || slot->gpa >= gpa + size)
			return false;
		if (slot->id != id && slot->gpa + slot->size > gpa)
			return true;
	}
	return false;
}

/* What can be said without looking at the slots; the kernel's order does not show: all -EINVAL. */
static int region_check(const struct memory *memory, const struct memory_region *region)
{
	const uint64_t offset = GUEST_PAGE_SIZE - 1;
	uint32_t allowed = KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY;

	/* Private memory has neither a dirty log nor the MMIO that a write to a ROM is. */
	if ((region->flags & KVM_MEM_GUEST_MEMFD) && memory->private_allowed)
		allowed = KVM_MEM_GUEST_MEMFD;
	if (region->flags & ~allowed)
		return -EINVAL;
	if ((region->size | region->gpa | region->hva) & offset)
		return -EINVAL;
	if (region->hva > MEMORY_HVA_END || region->size > MEMORY_HVA_END - region->hva)
		return -EINVAL;
	if ((region->flags & KVM_MEM_GUEST_MEMFD) &&
	    ((region->offset & offset) || region->offset + region->size < region->offset))
		return -EINVAL;
	if (!slot_number_valid(memory, region->id))
		return -EINVAL;
	if (region->gpa + region->size < region->gpa)
		return -EINVAL;
	if (region->size >> GUEST_PAGE_SHIFT > MEMORY_SLOT_PAGES_MAX)
		return -EINVAL;
	return 0;
}

static int memslot_init_arrays(const struct memory *memory, struct memslot *slot,
			       const struct memslot *old)
{
	slot->code_array = old ? page_array_get(old->code_array) :
				 page_array_create(memslot_pages(slot));
	if (!slot->code_array)
		return -ENOMEM;
	slot->code = (void *)slot->code_array->data;

	if (!(slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return 0;
	slot->dirty_array =
		old && old->dirty_array ?
			page_array_get(old->dirty_array) :
			dirty_array_create(memory, memslot_pages(slot), !memory->dirty_rings);
	if (!slot->dirty_array)
		goto no_memory;
	slot->dirty = (void *)slot->dirty_array->data;
	if (!memory->ring_bitmap)
		return 0;
	slot->log_array = old && old->log_array ?
				  page_array_get(old->log_array) :
				  dirty_array_create(memory, memslot_pages(slot), true);
	if (!slot->log_array)
		goto no_memory;
	slot->log = (void *)slot->log_array->data;
	return 0;

no_memory:
	memslot_put(slot);
	return -ENOMEM;
}

/* May @new take the place of @old? A slot keeps its memory until it is deleted. */
static bool change_allowed(const struct memslot *old, const struct memslot *new)
{
	const uint32_t fixed = KVM_MEM_READONLY | KVM_MEM_GUEST_MEMFD;

	return !(new->flags & KVM_MEM_GUEST_MEMFD) && new->hva == old->hva &&
	       new->size == old->size && !((new->flags ^ old->flags) & fixed);
}

/* 1: the slots changed; 0: nothing to do. Under slots_lock. */
static int region_apply(struct memory *memory, const struct memory_region *region)
{
	const struct memslot *old = slots_find_id(memory, region->id);
	const uint64_t old_gpa = old ? old->gpa : 0;
	struct memslot new = {
		.id = region->id,
		.flags = region->flags,
		.gpa = region->gpa,
		.size = region->size,
		.hva = (uint8_t *)(uintptr_t)region->hva,
	};
	int r;

	if (!new.size) {
		if (!old)
			return -EINVAL;
		r = slots_replace(memory, new.id, &old_gpa, NULL);
		return r ? r : 1;
	}

	if (old) {
		if (!change_allowed(old, &new))
			return -EINVAL;
		if (new.gpa == old->gpa && new.flags == old->flags)
			return 0;
	}
	if (!old || new.gpa != old->gpa) {
		if (slots_overlap(memory->current, new.id, new.gpa, new.size))
			return -EEXIST;
		if (new.gpa + new.size > memory->gpa_limit)
			return -EINVAL;
	}

	r = memslot_init_arrays(memory, &new, old);
	if (r)
		return r;
	if (new.flags & KVM_MEM_GUEST_MEMFD)
		r = region->file ? private_part_create(memory, region->file, region->offset,
						       new.size, &new.private)
				 : region->error;
	if (!r)
		r = slots_replace(memory, new.id, old ? &old_gpa : NULL, &new);
	if (r) {
		memslot_put(&new);
		return r;
	}
	return 1;
}

int memory_change_region(struct memory *memory, const struct memory_region *region)
{
	int r = region_check(memory, region);

	if (r)
		return r;
	pthread_mutex_lock(&memory->slots_lock);
	r = region_apply(memory, region);
	pthread_mutex_unlock(&memory->slots_lock);
	if (r <= 0)
		return r;
	memory->listener.slots_changed(memory->listener.opaque);
	return 0;
}

int memory_set_region(struct memory *memory, const struct kvm_userspace_memory_region *region)
{
	const struct memory_region plain = {
		.id = region->slot,
		.flags = region->flags,
		.gpa = region->guest_phys_addr,
		.size = region->memory_size,
		.hva = region->userspace_addr,
		.error = -EINVAL,
	};

	return memory_change_region(memory, &plain);
}

void memory_set_gpa_limit(struct memory *memory, uint64_t limit)
{
	pthread_mutex_lock(&memory->slots_lock);
	memory->gpa_limit = limit;
	pthread_mutex_unlock(&memory->slots_lock);
}
