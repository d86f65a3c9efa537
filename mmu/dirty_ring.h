/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty rings: each vCPU tells user space in its own ring which pages it dirtied first.
 *
 * In a VM with rings the dirty bit of a page means "is in some ring, or was handed out and not reset
 * yet". The vCPU's thread alone adds entries; any thread resets them, under the slots lock. The
 * entries are a mapping that the client writes to as it likes: only its RESET flags are believed,
 * for entries that were handed out, and each slot and offset is checked again.
 *
 * Source: KVM document, 8.29 (KVM_CAP_DIRTY_LOG_RING).
 */
#ifndef FAUXKVM_MMU_DIRTY_RING_H
#define FAUXKVM_MMU_DIRTY_RING_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define DIRTY_RING_ENTRIES_MAX 65536
/*
 * Entries kept free when a ring counts as full, for what cannot wait until it was reset: the page
 * tables that one instruction touches, a task switch, an event's frame. Once it is full nothing new
 * is begun, so these are never used up: a page that finds no entry would be lost.
 */
#define DIRTY_RING_RESERVED 64

struct memory;

struct dirty_ring {
	struct kvm_dirty_gfn *entry; /* NULL: the VM has no rings */
	uint32_t size;               /* entries, a power of 2 */
	/* Free running; their difference is what is in the ring. */
	atomic_uint dirtied; /* the vCPU's thread writes it */
	atomic_uint reset;   /* under the slots lock */
};

/* @bytes of @entries, zeroed memory that the client sees too. */
void dirty_ring_init(struct dirty_ring *ring, void *entries, uint32_t bytes);

/* False: no entry is free. */
bool dirty_ring_push(struct dirty_ring *ring, uint32_t slot, uint64_t page);

static inline uint32_t dirty_ring_used(const struct dirty_ring *ring)
{
	return atomic_load_explicit(&ring->dirtied, memory_order_relaxed) -
	       atomic_load_explicit(&ring->reset, memory_order_relaxed);
}

/* The vCPU has to leave (KVM_EXIT_DIRTY_RING_FULL) until entries were reset. */
static inline bool dirty_ring_full(const struct dirty_ring *ring)
{
	return ring->entry && dirty_ring_used(ring) >= ring->size - DIRTY_RING_RESERVED;
}

/* The VM's vCPUs have rings. Before the first vCPU and at most once. */
void memory_use_dirty_rings(struct memory *memory);
/*
 * KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP: writes that are no vCPU's go to a bitmap. -EINVAL: no rings,
 * or there are slots already.
 */
int memory_use_ring_bitmap(struct memory *memory);

/*
 * KVM_RESET_DIRTY_RINGS for one ring: takes back the entries that user space has harvested, from the
 * oldest on, and returns their number. When that is not 0 for any ring, the caller calls
 * memory_revoke_writes() after the last one.
 */
unsigned memory_reset_dirty_ring(struct memory *memory, struct dirty_ring *ring);
void memory_revoke_writes(struct memory *memory);

#endif
