// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "mmu_fixture.h"

#define SLOT 5
#define BASE 0x10000000ull
#define PAGES 1024
#define ENTRIES 256

static struct machine m;
static struct dirty_ring ring;
static struct kvm_dirty_gfn *entry;
static uint8_t *memory;

static void start(void)
{
	machine_start(&m);
	memory_use_dirty_rings(m.memory);
	entry = host_pages(ENTRIES * sizeof(*entry));
	dirty_ring_init(&ring, entry, ENTRIES * sizeof(*entry));
	m.mmu->ring = &ring;
	memory = host_pages(PAGES * GUEST_PAGE_SIZE);
	ck_assert_int_eq(set_slot(&m, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * GUEST_PAGE_SIZE,
				  memory),
			 0);
}

static void stop(void)
{
	machine_stop(&m);
}

static enum mmu_status store(uint64_t page)
{
	struct mmu_result result;

	return translate(&m, BASE + page * GUEST_PAGE_SIZE, ACCESS_WRITE, TLB_SUPER, &result);
}

START_TEST(first_store_is_an_entry)
{
	ck_assert_int_eq(store(7), MMU_RAM);
	ck_assert_int_eq(store(7), MMU_RAM);
	ck_assert_uint_eq(dirty_ring_used(&ring), 1);
	ck_assert_uint_eq(entry[0].flags, KVM_DIRTY_GFN_F_DIRTY);
	ck_assert_uint_eq(entry[0].slot, SLOT);
	ck_assert_uint_eq(entry[0].offset, 7);
	ck_assert_uint_eq(entry[1].flags, 0);
}
END_TEST

START_TEST(reset_takes_harvested_entries_only)
{
	for (unsigned i = 0; i < 3; i++)
		store(i);
	ck_assert_uint_eq(memory_reset_dirty_ring(m.memory, &ring), 0);
	entry[0].flags = entry[2].flags = KVM_DIRTY_GFN_F_RESET;
	ck_assert_uint_eq(memory_reset_dirty_ring(m.memory, &ring), 1);
	ck_assert_uint_eq(entry[0].flags, 0);
	ck_assert_uint_eq(entry[2].flags, KVM_DIRTY_GFN_F_RESET);
	entry[1].flags = KVM_DIRTY_GFN_F_RESET | KVM_DIRTY_GFN_F_DIRTY;
	ck_assert_uint_eq(memory_reset_dirty_ring(m.memory, &ring), 2);
	ck_assert_uint_eq(dirty_ring_used(&ring), 0);
}
END_TEST

START_TEST(reset_page_is_reported_again)
{
	store(7);
	entry[0].flags = KVM_DIRTY_GFN_F_RESET;
	ck_assert_uint_eq(memory_reset_dirty_ring(m.memory, &ring), 1);
	ck_assert_uint_eq(m.writes_revoked, 0);
	memory_revoke_writes(m.memory);
	ck_assert_uint_eq(m.writes_revoked, 1);
	ck_assert_ptr_null(
		mmu_lookup(m.mmu, BASE + 7 * GUEST_PAGE_SIZE, 1, ACCESS_WRITE, TLB_SUPER));
	store(7);
	ck_assert_uint_eq(entry[1].offset, 7);
	ck_assert_uint_eq(entry[1].flags, KVM_DIRTY_GFN_F_DIRTY);
}
END_TEST

START_TEST(full_before_the_last_entry)
{
	unsigned i;

	for (i = 0; !dirty_ring_full(&ring); i++)
		store(i);
	ck_assert_uint_eq(i, ENTRIES - DIRTY_RING_RESERVED);
	for (; i < ENTRIES; i++)
		store(i);
	ck_assert_uint_eq(dirty_ring_used(&ring), ENTRIES);
	/* No room: no entry is overwritten, and the page gets no right to be written unseen. */
	store(i);
	ck_assert_uint_eq(dirty_ring_used(&ring), ENTRIES);
	ck_assert_uint_eq(entry[0].offset, 0);
	ck_assert_ptr_null(
		mmu_lookup(m.mmu, BASE + i * GUEST_PAGE_SIZE, 1, ACCESS_WRITE, TLB_SUPER));
}
END_TEST

START_TEST(full_ring_stops_who_can_wait)
{
	unsigned i;

	for (i = 0; !dirty_ring_full(&ring); i++)
		store(i);
	m.mmu->ring_stops = true;
	ck_assert_int_eq(store(i), MMU_RING_FULL);
	/* The page is in the ring already, but its page tables might not be. */
	ck_assert_int_eq(store(0), MMU_RING_FULL);
	ck_assert_uint_eq(dirty_ring_used(&ring), i);
	m.mmu->ring_stops = false;
	ck_assert_int_eq(store(i), MMU_RAM);
	ck_assert_uint_eq(dirty_ring_used(&ring), i + 1);
}
END_TEST

START_TEST(nothing_handed_out_nothing_reset)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		entry[i] = (struct kvm_dirty_gfn){ .flags = ~0u, .slot = ~0u, .offset = ~0ull };
	ck_assert_uint_eq(memory_reset_dirty_ring(m.memory, &ring), 0);
	ck_assert_uint_eq(dirty_ring_used(&ring), 0);
}
END_TEST

START_TEST(entries_that_name_nothing)
{
	static const struct {
		uint32_t slot;
		uint64_t page;
	} bad[] = {
		{ SLOT, PAGES },         { SLOT, ~0ull },       { SLOT + 1, 0 },     { 0, 0 },
		{ MEMORY_SLOTS_MAX, 0 }, { 1 << 16 | SLOT, 0 }, { ~0u, 1ull << 63 },
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		store(i);
		entry[i].slot = bad[i].slot;
		entry[i].offset = bad[i].page;
		entry[i].flags = KVM_DIRTY_GFN_F_RESET;
	}
	ck_assert_uint_eq(memory_reset_dirty_ring(m.memory, &ring), sizeof(bad) / sizeof(bad[0]));
}
END_TEST

START_TEST(indices_wrap)
{
	atomic_store(&ring.dirtied, ~0u - 1);
	atomic_store(&ring.reset, ~0u - 1);
	for (unsigned i = 0; i < 4; i++)
		store(i);
	ck_assert_uint_eq(dirty_ring_used(&ring), 4);
	ck_assert_uint_eq(entry[ENTRIES - 1].offset, 1);
	ck_assert_uint_eq(entry[0].offset, 2);
}
END_TEST

START_TEST(without_bitmap_there_is_no_log)
{
	const struct kvm_clear_dirty_log clear = { .slot = SLOT };

	ck_assert_int_eq(memory_get_dirty_log(m.memory, SLOT, NULL, 0, NULL), -ENXIO);
	ck_assert_int_eq(memory_clear_dirty_log(m.memory, &clear, NULL), -ENXIO);
	ck_assert_int_eq(memory_use_ring_bitmap(m.memory), -EINVAL);
}
END_TEST

START_TEST(bitmap_has_the_writes_of_others)
{
	uint64_t log[PAGES / 64];

	ck_assert_int_eq(set_slot(&m, SLOT, 0, BASE, 0, NULL), 0);
	ck_assert_int_eq(set_slot(&m, 0, 0, 0, 0, NULL), 0);
	ck_assert_int_eq(memory_use_ring_bitmap(m.memory), 0);
	ck_assert_int_eq(set_slot(&m, SLOT, KVM_MEM_LOG_DIRTY_PAGES, BASE, PAGES * GUEST_PAGE_SIZE,
				  memory),
			 0);
	store(1);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE + 2 * GUEST_PAGE_SIZE, "a", 1, NULL), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE + 3 * GUEST_PAGE_SIZE, "a", 1, m.mmu),
			 0);
	ck_assert_int_eq(memory_get_dirty_log(m.memory, SLOT, log, sizeof(log), NULL), 0);
	ck_assert_uint_eq(log[0], 1 << 2);
	ck_assert_int_eq(memory_get_dirty_log(m.memory, SLOT, log, sizeof(log), NULL), 0);
	ck_assert_uint_eq(log[0], 0);
	ck_assert_uint_eq(dirty_ring_used(&ring), 2);
	ck_assert_uint_eq(entry[0].offset, 1);
	ck_assert_uint_eq(entry[1].offset, 3);
	/* What is in the bitmap was told to nobody's ring. */
	store(2);
	ck_assert_uint_eq(entry[2].offset, 2);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		first_store_is_an_entry,
		reset_takes_harvested_entries_only,
		reset_page_is_reported_again,
		full_before_the_last_entry,
		full_ring_stops_who_can_wait,
		nothing_handed_out_nothing_reset,
		entries_that_name_nothing,
		indices_wrap,
		without_bitmap_there_is_no_log,
		bitmap_has_the_writes_of_others,
	};

	return run_suite("dirty_ring", tests, sizeof(tests) / sizeof(tests[0]), start, stop);
}
