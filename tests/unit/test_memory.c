/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mmu_fixture.h"

#include <errno.h>
#include <pthread.h>

#define SIZE 0x10000ull
#define BASE 0x10000000ull

static struct machine m;
static uint8_t *host;

static void setup(void)
{
	machine_start(&m);
	host = host_pages(SIZE);
}

static void teardown(void)
{
	munmap(host, SIZE);
	machine_stop(&m);
}

/* ---- Errors of KVM_SET_USER_MEMORY_REGION ---- */

static const struct {
	const char *what;
	struct kvm_userspace_memory_region region;
	int error;
} mistakes[] = {
	{"unknown flag", {1, 1u << 5, BASE, SIZE, 0}, -EINVAL},
	{"guest_memfd", {1, 1u << 2, BASE, SIZE, 0}, -EINVAL},
	{"odd size", {1, 0, BASE, SIZE + 1, 0}, -EINVAL},
	{"odd guest address", {1, 0, BASE + 0x800, SIZE, 0}, -EINVAL},
	{"odd host address", {1, 0, BASE, SIZE, 0x7800}, -EINVAL},
	{"kernel host address", {1, 0, BASE, SIZE, 0xffff800000000000}, -EINVAL},
	{"host end above user space", {1, 0, BASE, SIZE, 0x7fffffff0000}, -EINVAL},
	{"host overflow", {1, 0, BASE, 0xfffffffffffff000, 0x2000}, -EINVAL},
	{"slot number", {MEMORY_SLOTS_MAX, 0, BASE, SIZE, 0}, -EINVAL},
	{"address space", {1 | 2 << 16, 0, BASE, SIZE, 0}, -EINVAL},
	{"guest overflow", {1, 0, 0xfffffffffffff000, SIZE, 0}, -EINVAL},
	{"too many pages", {1, 0, BASE, 1ull << 43, 0}, -EINVAL},
	{"above the guest's addresses", {1, 0, 1ull << 52, SIZE, 0}, -EINVAL},
	{"across the guest's last address", {1, 0, (1ull << 52) - 0x1000, SIZE, 0}, -EINVAL},
	{"delete of nothing", {1, 0, 0, 0, 0}, -EINVAL},
	{"overlap", {1, 0, RAM_SIZE - 0x1000, SIZE, 0}, -EEXIST},
	{"size change", {0, 0, 0, SIZE, 0}, -EINVAL},
};

START_TEST(mistakes_have_the_kernels_errno)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
		int r = memory_set_region(m.memory, &mistakes[i].region);

		ck_assert_msg(r == mistakes[i].error, "%s: %d", mistakes[i].what, r);
	}
	ck_assert_uint_eq(m.mmu->slots->count, 1);
	ck_assert_uint_eq(m.slots_changed, 1);
}
END_TEST

START_TEST(host_address_of_a_slot_cannot_change)
{
	ck_assert_int_eq(set_slot(&m, 0, 0, 0, RAM_SIZE, m.ram + 0x1000), -EINVAL);
}
END_TEST

START_TEST(read_only_of_a_slot_cannot_change)
{
	ck_assert_int_eq(set_slot(&m, 0, KVM_MEM_READONLY, 0, RAM_SIZE, m.ram), -EINVAL);
}
END_TEST

START_TEST(last_byte_below_the_limit_is_allowed)
{
	memory_set_gpa_limit(m.memory, 1ull << 36);
	ck_assert_int_eq(set_slot(&m, 1, 0, (1ull << 36) - SIZE, SIZE, host), 0);
	ck_assert_int_eq(set_slot(&m, 2, 0, 1ull << 36, SIZE, host), -EINVAL);
}
END_TEST

START_TEST(neighbours_do_not_overlap)
{
	ck_assert_int_eq(set_slot(&m, 1, 0, BASE, SIZE, host), 0);
	ck_assert_int_eq(set_slot(&m, 2, 0, BASE + SIZE, SIZE, host), 0);
	ck_assert_int_eq(set_slot(&m, 3, 0, BASE - SIZE, SIZE, host), 0);
	ck_assert_int_eq(set_slot(&m, 4, 0, BASE + SIZE - 0x1000, 0x1000, host), -EEXIST);
	ck_assert_int_eq(set_slot(&m, 4, 0, BASE - 0x1000, 0x2000, host), -EEXIST);
	ck_assert_int_eq(set_slot(&m, 4, 0, BASE - 2 * SIZE, 8 * SIZE, host), -EEXIST);
}
END_TEST

START_TEST(unmapped_host_memory_is_allowed)
{
	munmap(host, SIZE);
	ck_assert_int_eq(set_slot(&m, 1, 0, BASE, SIZE, host), 0);
	host = host_pages(SIZE);
}
END_TEST

/* ---- Changes ---- */

START_TEST(no_change_tells_nobody)
{
	uint64_t generation = m.mmu->slots->generation;

	ck_assert_int_eq(set_slot(&m, 0, 0, 0, RAM_SIZE, m.ram), 0);
	ck_assert_uint_eq(m.slots_changed, 1);
	ck_assert_uint_eq(m.mmu->slots->generation, generation);
}
END_TEST

START_TEST(delete_removes_the_slot)
{
	ck_assert_int_eq(set_slot(&m, 0, 0, 0, 0, NULL), 0);
	ck_assert_ptr_null(memslots_lookup(m.mmu->slots, 0, PAGE));
	ck_assert_uint_eq(m.slots_changed, 2);
	ck_assert_int_eq(set_slot(&m, 0, 0, 0, 0, NULL), -EINVAL);
}
END_TEST

START_TEST(move_takes_the_slot_along)
{
	ck_assert_int_eq(set_slot(&m, 1, 0, BASE, SIZE, host), 0);
	ck_assert_int_eq(set_slot(&m, 1, 0, BASE + 0x1000, SIZE, host), 0);
	ck_assert_ptr_null(memslots_lookup(m.mmu->slots, 0, BASE));
	ck_assert_ptr_eq(memslots_lookup(m.mmu->slots, 0, BASE + SIZE)->hva, host);
	ck_assert_int_eq(set_slot(&m, 1, 0, 0x1000, SIZE, host), -EEXIST);
}
END_TEST

START_TEST(old_snapshot_stays_as_it_was)
{
	struct memslots *old = memory_slots_get(m.memory);

	ck_assert_int_eq(set_slot(&m, 0, 0, 0, 0, NULL), 0);
	ck_assert_ptr_nonnull(memslots_lookup(old, 0, PAGE));
	memslots_put(old);
}
END_TEST

START_TEST(flags_change_keeps_code_marks)
{
	struct mmu_result result;

	ck_assert(mmu_mark_code(m.mmu, PAGE));
	ck_assert_int_eq(set_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, RAM_SIZE, m.ram), 0);
	translate(&m, PAGE, ACCESS_WRITE, TLB_SUPER, &result);
	ck_assert(result.code);
}
END_TEST

START_TEST(lookup_finds_first_and_last_byte_only)
{
	const struct memslot *slot;

	ck_assert_int_eq(set_slot(&m, 7, 0, BASE, SIZE, host), 0);
	ck_assert_ptr_null(memslots_lookup(m.mmu->slots, 0, BASE - 1));
	slot = memslots_lookup(m.mmu->slots, 0, BASE);
	ck_assert_ptr_nonnull(slot);
	ck_assert_uint_eq(slot->id, 7);
	ck_assert_ptr_eq(memslots_lookup(m.mmu->slots, 0, BASE + SIZE - 1), slot);
	ck_assert_ptr_null(memslots_lookup(m.mmu->slots, 0, BASE + SIZE));
	ck_assert_ptr_null(memslots_lookup(m.mmu->slots, 1, BASE));
}
END_TEST

START_TEST(all_slot_numbers_can_be_used)
{
	/* In an order that is neither rising nor falling: 12007 has no factor in common. */
	for (unsigned i = 1; i < MEMORY_SLOTS_MAX; i++) {
		unsigned id = 1 + i * 12007u % (MEMORY_SLOTS_MAX - 1);
		const struct kvm_userspace_memory_region region = {
			.slot = id,
			.guest_phys_addr = BASE + id * 0x2000ull,
			.memory_size = 0x1000,
			.userspace_addr = (uintptr_t)host,
		};

		ck_assert_int_eq(memory_set_region(m.memory, &region), 0);
	}
	mmu_reload_slots(m.mmu);
	ck_assert_uint_eq(m.mmu->slots->count, MEMORY_SLOTS_MAX);
	for (unsigned id = 1; id < MEMORY_SLOTS_MAX; id++) {
		uint64_t gpa = BASE + id * 0x2000ull;

		ck_assert_uint_eq(memslots_lookup(m.mmu->slots, 0, gpa)->id, id);
		ck_assert_ptr_null(memslots_lookup(m.mmu->slots, 0, gpa + 0x1000));
	}
}
END_TEST

/* ---- Dirty log ---- */

static uint64_t bitmap[RAM_SIZE / GUEST_PAGE_SIZE / 64];

static int get_log(uint32_t id)
{
	memset(bitmap, 0xee, sizeof(bitmap));
	return memory_get_dirty_log(m.memory, id, bitmap, sizeof(bitmap), NULL);
}

static int log_slot(uint32_t flags)
{
	return set_slot(&m, 1, KVM_MEM_LOG_DIRTY_PAGES | flags, BASE, SIZE, host);
}

static int clear_log(uint64_t first_page, uint32_t pages, uint64_t mask)
{
	const struct kvm_clear_dirty_log log = {
		.slot = 1,
		.first_page = first_page,
		.num_pages = pages,
	};

	return memory_clear_dirty_log(m.memory, &log, &mask);
}

START_TEST(dirty_log_needs_a_logged_slot)
{
	ck_assert_int_eq(get_log(0), -ENOENT);
	ck_assert_int_eq(get_log(1), -ENOENT);
	ck_assert_int_eq(get_log(MEMORY_SLOTS_MAX), -EINVAL);
	ck_assert_int_eq(get_log(2 << 16), -EINVAL);
}
END_TEST

START_TEST(dirty_log_tells_its_size)
{
	size_t needed = 0;

	ck_assert_int_eq(set_slot(&m, 1, KVM_MEM_LOG_DIRTY_PAGES, BASE, 65 * 4096, host), 0);
	ck_assert_int_eq(memory_get_dirty_log(m.memory, 1, NULL, 0, &needed), 0);
	ck_assert_uint_eq(needed, 16);
	ck_assert_int_eq(memory_get_dirty_log(m.memory, 1, bitmap, 8, &needed), -EINVAL);
}
END_TEST

START_TEST(write_is_logged_and_harvested_once)
{
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE + 0x3ffe, "abcd", 4, NULL), 0);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 1 << 3 | 1 << 4);
	ck_assert_uint_eq(m.writes_revoked, 1);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 0);
	ck_assert_uint_eq(m.writes_revoked, 1);
}
END_TEST

START_TEST(guest_write_is_logged_again_after_a_harvest)
{
	struct mmu_result result;

	ck_assert_int_eq(log_slot(0), 0);
	for (unsigned i = 0; i < 2; i++) {
		translate(&m, BASE + 0x1000, ACCESS_WRITE, TLB_SUPER, &result);
		ck_assert_int_eq(get_log(1), 0);
		ck_assert_uint_eq(bitmap[0], 1 << 1);
	}
}
END_TEST

START_TEST(read_is_not_logged)
{
	struct mmu_result result;

	ck_assert_int_eq(log_slot(0), 0);
	translate(&m, BASE, ACCESS_READ, TLB_SUPER, &result);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 0);
}
END_TEST

START_TEST(move_keeps_the_log)
{
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE, "a", 1, NULL), 0);
	ck_assert_int_eq(set_slot(&m, 1, KVM_MEM_LOG_DIRTY_PAGES, 2 * BASE, SIZE, host), 0);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 1);
}
END_TEST

START_TEST(logging_starts_anew_when_switched_off_and_on)
{
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE, "a", 1, NULL), 0);
	ck_assert_int_eq(set_slot(&m, 1, 0, BASE, SIZE, host), 0);
	ck_assert_int_eq(get_log(1), -ENOENT);
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 0);
}
END_TEST

START_TEST(manual_protect_does_not_clear)
{
	memory_set_manual_dirty_log(m.memory, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE, "a", 1, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(get_log(1), 0);
		ck_assert_uint_eq(bitmap[0], 1);
	}
	ck_assert_uint_eq(m.writes_revoked, 0);
}
END_TEST

START_TEST(initially_set_sets_the_slots_pages_only)
{
	memory_set_manual_dirty_log(m.memory, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE |
						      KVM_DIRTY_LOG_INITIALLY_SET);
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 0xffff);
}
END_TEST

START_TEST(clear_clears_what_it_is_told)
{
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE + 0xfff, "ab", 2, NULL), 0);
	ck_assert_int_eq(clear_log(0, 16, 0x2), 0);
	ck_assert_uint_eq(m.writes_revoked, 1);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 1);
}
END_TEST

START_TEST(clear_checks_its_range)
{
	ck_assert_int_eq(clear_log(0, 16, 0), -ENOENT);
	ck_assert_int_eq(log_slot(0), 0);
	ck_assert_int_eq(clear_log(1, 15, 0), -EINVAL);
	ck_assert_int_eq(clear_log(0, 17, 0), -EINVAL);
	ck_assert_int_eq(clear_log(0, 15, 0), -EINVAL);
	ck_assert_int_eq(clear_log(64, 0, 0), -EINVAL);
	ck_assert_int_eq(clear_log(0, 16, 0), 0);
}
END_TEST

/* ---- Access by guest-physical address ---- */

START_TEST(access_crosses_slots)
{
	char data[8] = "";
	uint8_t *other = host_pages(SIZE);

	ck_assert_int_eq(set_slot(&m, 1, 0, BASE, SIZE, host), 0);
	ck_assert_int_eq(set_slot(&m, 2, 0, BASE + SIZE, SIZE, other), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE + SIZE - 3, "abcdef", 6, NULL), 0);
	ck_assert_mem_eq(host + SIZE - 3, "abc", 3);
	ck_assert_mem_eq(other, "def", 3);
	ck_assert_int_eq(memory_read(m.memory, NULL, BASE + SIZE - 3, data, 6), 0);
	ck_assert_str_eq(data, "abcdef");
}
END_TEST

START_TEST(access_outside_slots_fails)
{
	char data[8];

	ck_assert_int_eq(memory_read(m.memory, NULL, RAM_SIZE - 4, data, 8), -EFAULT);
	ck_assert_int_eq(memory_write(m.memory, NULL, NO_RAM, data, 8, NULL), -EFAULT);
}
END_TEST

START_TEST(read_only_slot_can_only_be_read)
{
	char data[2];

	ck_assert_int_eq(set_slot(&m, 1, KVM_MEM_READONLY, BASE, SIZE, host), 0);
	ck_assert_int_eq(memory_read(m.memory, NULL, BASE, data, 2), 0);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE, data, 2, NULL), -EFAULT);
}
END_TEST

START_TEST(missing_host_page_is_an_error)
{
	char data[8] = "";

	ck_assert_int_eq(log_slot(0), 0);
	mprotect(host, SIZE, PROT_NONE);
	ck_assert_int_eq(memory_read(m.memory, NULL, BASE, data, 8), -EFAULT);
	ck_assert_int_eq(memory_write(m.memory, NULL, BASE, data, 8, NULL), -EFAULT);
	ck_assert_int_eq(get_log(1), 0);
	ck_assert_uint_eq(bitmap[0], 0);
}
END_TEST

START_TEST(access_uses_the_given_snapshot)
{
	struct memslots *old = memory_slots_get(m.memory);
	char data = 0;

	m.ram[PAGE] = 'x';
	ck_assert_int_eq(set_slot(&m, 0, 0, 0, 0, NULL), 0);
	ck_assert_int_eq(memory_read(m.memory, NULL, PAGE, &data, 1), -EFAULT);
	ck_assert_int_eq(memory_read(m.memory, old, PAGE, &data, 1), 0);
	ck_assert_int_eq(data, 'x');
	memslots_put(old);
}
END_TEST

START_TEST(device_write_to_code_is_told)
{
	uint64_t generation = m.mmu->generation;

	ck_assert(mmu_mark_code(m.mmu, PAGE));
	ck_assert_int_eq(memory_write(m.memory, NULL, PAGE, "a", 1, NULL), 0);
	ck_assert_uint_eq(m.code_written, 1);
	ck_assert_ptr_null(m.last_self);
	ck_assert_uint_eq(m.mmu->generation, generation);
	ck_assert_int_eq(memory_write(m.memory, NULL, PAGE, "a", 1, NULL), 0);
	ck_assert_uint_eq(m.code_written, 1);
}
END_TEST

START_TEST(own_write_to_code_is_told_to_the_writer_too)
{
	ck_assert(mmu_mark_code(m.mmu, PAGE));
	m.last_self = m.mmu;
	ck_assert_int_eq(memory_write(m.memory, m.mmu->slots, PAGE, "a", 1, m.mmu), 0);
	ck_assert_uint_eq(m.code_written, 1);
	ck_assert_ptr_null(m.last_self);
}
END_TEST

static _Atomic(bool) stop;
static atomic_uint readers;

static void *read_and_write(void *argument)
{
	const uint64_t gpa = BASE + atomic_fetch_add(&readers, 1) * 0x1000;
	uint64_t word = 0;

	while (!stop) {
		struct memslots *slots = memory_slots_get(argument);

		memory_write(argument, slots, gpa, &word, sizeof(word), NULL);
		memory_write(argument, NULL, gpa + 8, &word, sizeof(word), NULL);
		memory_read(argument, NULL, gpa, &word, sizeof(word));
		memslots_put(slots);
	}
	return NULL;
}

START_TEST(slots_change_under_readers)
{
	pthread_t reader[2];

	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&reader[i], NULL, read_and_write, m.memory), 0);
	for (unsigned i = 0; i < 3000; i++) {
		ck_assert_int_eq(log_slot(0), 0);
		ck_assert_int_eq(get_log(1), 0);
		ck_assert_int_eq(set_slot(&m, 1, 0, BASE, SIZE, host), 0);
		ck_assert_int_eq(set_slot(&m, 1, 0, 0, 0, NULL), 0);
	}
	stop = true;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(reader[i], NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		mistakes_have_the_kernels_errno,
		host_address_of_a_slot_cannot_change,
		read_only_of_a_slot_cannot_change,
		last_byte_below_the_limit_is_allowed,
		neighbours_do_not_overlap,
		unmapped_host_memory_is_allowed,
		no_change_tells_nobody,
		delete_removes_the_slot,
		move_takes_the_slot_along,
		old_snapshot_stays_as_it_was,
		flags_change_keeps_code_marks,
		lookup_finds_first_and_last_byte_only,
		all_slot_numbers_can_be_used,
		dirty_log_needs_a_logged_slot,
		dirty_log_tells_its_size,
		write_is_logged_and_harvested_once,
		guest_write_is_logged_again_after_a_harvest,
		read_is_not_logged,
		move_keeps_the_log,
		logging_starts_anew_when_switched_off_and_on,
		manual_protect_does_not_clear,
		initially_set_sets_the_slots_pages_only,
		clear_clears_what_it_is_told,
		clear_checks_its_range,
		access_crosses_slots,
		access_outside_slots_fails,
		read_only_slot_can_only_be_read,
		missing_host_page_is_an_error,
		access_uses_the_given_snapshot,
		device_write_to_code_is_told,
		own_write_to_code_is_told_to_the_writer_too,
		slots_change_under_readers,
	};

	return run_suite("memory", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
