/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mmu/dirty_ring.h"

#include "mmu/internal.h"

#include <errno.h>

void dirty_ring_init(struct dirty_ring *ring, void *entries, uint32_t bytes)
{
	ring->entry = entries;
	ring->size = bytes / sizeof(struct kvm_dirty_gfn);
	atomic_init(&ring->dirtied, 0);
	atomic_init(&ring->reset, 0);
}

bool dirty_ring_push(struct dirty_ring *ring, uint32_t slot, uint64_t page)
{
	uint32_t at = atomic_load_explicit(&ring->dirtied, memory_order_relaxed);
	struct kvm_dirty_gfn *entry = &ring->entry[at & (ring->size - 1)];

	if (dirty_ring_used(ring) >= ring->size)
		return false;
	entry->slot = slot;
	entry->offset = page;
	/*
	 * The flag says that the rest is there. Whoever sees it may have the entry reset at once, so
	 * it counts as handed out before.
	 */
	atomic_store_explicit(&ring->dirtied, at + 1, memory_order_relaxed);
	__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_DIRTY, __ATOMIC_RELEASE);
	return true;
}

void memory_use_dirty_rings(struct memory *memory)
{
	pthread_mutex_lock(&memory->slots_lock);
	memory->dirty_rings = true;
	pthread_mutex_unlock(&memory->slots_lock);
}

int memory_use_ring_bitmap(struct memory *memory)
{
	int r = -EINVAL;

	pthread_mutex_lock(&memory->slots_lock);
	if (memory->dirty_rings && !memory->current->count) {
		memory->ring_bitmap = true;
		r = 0;
	}
	pthread_mutex_unlock(&memory->slots_lock);
	return r;
}

/* What user space left in an entry; it may name a slot that is gone, or none that ever was. */
static void reset_page(const struct memory *memory, uint32_t id, uint64_t page)
{
	const struct memslot *slot;

	if (!slot_number_valid(memory, id))
		return;
	slot = slots_find_id(memory, id);
	if (slot && slot->dirty && page < memslot_pages(slot))
		atomic_fetch_and(&slot->dirty[page / 64], ~(1ul << page % 64));
}

unsigned memory_reset_dirty_ring(struct memory *memory, struct dirty_ring *ring)
{
	unsigned count = 0, at, used;

	if (!ring->entry)
		return 0;
	pthread_mutex_lock(&memory->slots_lock);
	at = atomic_load_explicit(&ring->reset, memory_order_relaxed);
	used = atomic_load_explicit(&ring->dirtied, memory_order_acquire) - at;
	for (; count < used; count++, at++) {
		struct kvm_dirty_gfn *entry = &ring->entry[at & (ring->size - 1)];
		uint64_t page;
		uint32_t id;

		if (!(__atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_RESET))
			break;
		id = __atomic_load_n(&entry->slot, __ATOMIC_RELAXED);
		page = __atomic_load_n(&entry->offset, __ATOMIC_RELAXED);
		__atomic_store_n(&entry->flags, 0, __ATOMIC_RELEASE);
		reset_page(memory, id, page);
	}
	atomic_store_explicit(&ring->reset, at, memory_order_release);
	pthread_mutex_unlock(&memory->slots_lock);
	return count;
}

void memory_revoke_writes(struct memory *memory)
{
	memory->listener.writes_revoked(memory->listener.opaque, NULL);
}
