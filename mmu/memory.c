/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory object, and access to it by guest-physical address. */
#include "mmu/internal.h"

#include "util/guard.h"

#include <errno.h>
#include <stdlib.h>

#define GPA_LIMIT_DEFAULT (1ull << 52)

static void ignore_slots_changed(void *opaque)
{
	(void)opaque;
}

static void ignore_mmu_event(void *opaque, struct mmu *self)
{
	(void)opaque;
	(void)self;
}

struct memory *memory_create(const struct memory_listener *listener)
{
	struct memory *memory = calloc(1, sizeof(*memory));
	pthread_rwlockattr_t attributes;

	if (!memory)
		return NULL;
	memory->gpa_of_id = calloc(MEMORY_ADDRESS_SPACES * MEMORY_SLOTS_MAX,
				   sizeof(memory->gpa_of_id[0]));
	memory->current = calloc(1, sizeof(*memory->current));
	if (!memory->gpa_of_id || !memory->current) {
		free(memory->current);
		free(memory->gpa_of_id);
		free(memory);
		return NULL;
	}
	atomic_init(&memory->current->references, 1);
	pthread_mutex_init(&memory->slots_lock, NULL);
	/* Busy devices must not keep a change of the slots waiting. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&memory->accessors, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	memory->gpa_limit = GPA_LIMIT_DEFAULT;
	if (listener)
		memory->listener = *listener;
	if (!memory->listener.slots_changed)
		memory->listener.slots_changed = ignore_slots_changed;
	if (!memory->listener.writes_revoked)
		memory->listener.writes_revoked = ignore_mmu_event;
	if (!memory->listener.code_written)
		memory->listener.code_written = ignore_mmu_event;
	guard_init();
	return memory;
}

void memory_destroy(struct memory *memory)
{
	if (!memory)
		return;
	memslots_put(memory->current);
	pthread_rwlock_destroy(&memory->accessors);
	pthread_mutex_destroy(&memory->slots_lock);
	free(memory->gpa_of_id);
	free(memory);
}

const struct memory_listener *memory_listener(const struct memory *memory)
{
	return &memory->listener;
}

/* ---- Access by guest-physical address ------------------------------------------------------- */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int slots_read(const struct memslots *slots, uint64_t gpa, uint8_t *data, size_t bytes)
{
	while (bytes) {
		const struct memslot *slot = memslots_lookup(slots, 0, gpa);
		size_t chunk = min_size(bytes, GUEST_PAGE_SIZE - (gpa & ~GUEST_PAGE_MASK));
		const uint8_t *hva = slot ? memslot_hva(slots, slot, gpa) : NULL;

		if (!hva || guard_copy_from(data, hva, chunk))
			return -EFAULT;
		gpa += chunk;
		data += chunk;
		bytes -= chunk;
	}
	return 0;
}

/* Page by page, so that no page is marked that could not be written. */
static int slots_write(const struct memslots *slots, uint64_t gpa, const uint8_t *data,
		       size_t bytes, struct dirty_ring *ring, bool *code)
{
	while (bytes) {
		const struct memslot *slot = memslots_lookup(slots, 0, gpa);
		size_t chunk = min_size(bytes, GUEST_PAGE_SIZE - (gpa & ~GUEST_PAGE_MASK));
		uint8_t *hva;

		if (!slot || (slot->flags & KVM_MEM_READONLY))
			return -EFAULT;
		hva = memslot_hva(slots, slot, gpa);
		if (!hva || guard_copy_to(hva, data, chunk))
			return -EFAULT;
		/*
		 * No handshake covers this store, as it does a vCPU's. It must be visible before
		 * the marks are looked at: a harvester who clears the dirty bit after we saw it
		 * set reads our bytes, and who sets the code mark after we saw none decodes them.
		 */
		atomic_thread_fence(memory_order_seq_cst);
		memslot_mark_dirty(slot, gpa, ring);
		*code |= memslot_clear_code(slot, gpa);
		gpa += chunk;
		data += chunk;
		bytes -= chunk;
	}
	return 0;
}

int memory_read(struct memory *memory, const struct memslots *slots, uint64_t gpa, void *data,
		size_t bytes)
{
	int r;

	if (slots)
		return slots_read(slots, gpa, data, bytes);
	pthread_rwlock_rdlock(&memory->accessors);
	r = slots_read(memory->current, gpa, data, bytes);
	pthread_rwlock_unlock(&memory->accessors);
	return r;
}

int memslots_prefault(const struct memslots *slots, unsigned as, uint64_t gpa)
{
	const struct memslot *slot = memslots_lookup(slots, as, gpa);
	uint8_t *hva;

	if (!slot)
		return page_is_private(slots, gpa) ? -EFAULT : -ENOENT;
	hva = memslot_hva(slots, slot, gpa);
	return hva ? guard_probe(hva, false) : -EFAULT;
}

int memory_write(struct memory *memory, const struct memslots *slots, uint64_t gpa,
		 const void *data, size_t bytes, struct mmu *self)
{
	struct dirty_ring *ring = self ? self->ring : NULL;
	bool code = false;
	int r;

	if (slots) {
		r = slots_write(slots, gpa, data, bytes, ring, &code);
	} else {
		pthread_rwlock_rdlock(&memory->accessors);
		r = slots_write(memory->current, gpa, data, bytes, ring, &code);
		pthread_rwlock_unlock(&memory->accessors);
	}
	if (code)
		memory->listener.code_written(memory->listener.opaque, NULL);
	return r;
}
