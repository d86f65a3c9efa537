/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#include <sys/mman.h>
#include <x86intrin.h>

#include "devices/clock.h"

#define PAGE 0x3000ull
#define RAM_BYTES 0x10000ull
#define SECOND 1000000000ull
#define SLACK 10000 /* ns: what calibration and rounding may cost */

static struct clock *guest_clock;
static struct memory *memory;
static uint8_t *ram;

struct time_page {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
};

struct wall_page {
	uint32_t version, sec, nsec;
};

static void ignore_slots(void *opaque)
{
	(void)opaque;
}

static void ignore_mmu(void *opaque, struct mmu *self)
{
	(void)opaque;
	(void)self;
}

static void setup(void)
{
	const struct memory_listener listener = {
		.slots_changed = ignore_slots,
		.writes_revoked = ignore_mmu,
		.code_written = ignore_mmu,
	};
	struct kvm_userspace_memory_region region = { .memory_size = RAM_BYTES };

	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (uintptr_t)ram;
	memory = memory_create(&listener);
	ck_assert_int_eq(memory_set_region(memory, &region), 0);
	guest_clock = clock_create();
}

static void teardown(void)
{
	clock_destroy(guest_clock);
	memory_destroy(memory);
	munmap(ram, RAM_BYTES);
}

static struct time_page *time_page(void)
{
	return (struct time_page *)(ram + PAGE);
}

/* What a guest computes from its page. */
static uint64_t guest_time(const struct tsc *tsc)
{
	const struct time_page *page = time_page();
	uint64_t delta = tsc_read(tsc) - page->tsc_timestamp;

	delta = page->shift < 0 ? delta >> -page->shift : delta << page->shift;
	return page->system_time + (uint64_t)((unsigned __int128)delta * page->mul >> 32);
}

static int64_t apart(uint64_t a, uint64_t b)
{
	return llabs((int64_t)(a - b));
}

/* ---- TSC ---- */

START_TEST(host_frequency_is_right_and_constant)
{
	struct timespec before, after;
	uint64_t tsc, ns, expected;

	clock_gettime(CLOCK_MONOTONIC_RAW, &before);
	tsc = __rdtsc();
	sleep_ms(100);
	clock_gettime(CLOCK_MONOTONIC_RAW, &after);
	tsc = __rdtsc() - tsc;
	ns = (after.tv_sec - before.tv_sec) * SECOND + after.tv_nsec - before.tv_nsec;
	expected = tsc * 1000000 / ns;
	ck_assert_int_lt(apart(clock_host_tsc_khz(), expected), expected / 100);
	ck_assert_uint_eq(clock_host_tsc_khz(), clock_host_tsc_khz());
}
END_TEST

START_TEST(new_tsc_starts_at_zero)
{
	struct tsc tsc;

	tsc_init(&tsc);
	ck_assert_uint_lt(tsc_read(&tsc), clock_host_tsc_khz() * 1000);
}
END_TEST

START_TEST(written_tsc_reads_back)
{
	struct tsc tsc;

	tsc_init(&tsc);
	tsc_write(&tsc, 1ull << 60);
	ck_assert_uint_ge(tsc_read(&tsc), 1ull << 60);
	ck_assert_uint_lt(tsc_read(&tsc), (1ull << 60) + clock_host_tsc_khz() * 1000);
}
END_TEST

START_TEST(new_frequency_keeps_the_offset)
{
	struct tsc tsc;
	int64_t offset;

	tsc_init(&tsc);
	tsc_write(&tsc, 1ull << 50);
	offset = tsc.offset;
	ck_assert_int_eq(tsc_set_khz(&tsc, 1000000), 0);
	ck_assert_int_eq(tsc.offset, offset);
	ck_assert_uint_eq(tsc_read(&tsc) >> 40,
			  (tsc_scale(&tsc, __builtin_ia32_rdtsc()) + offset) >> 40);
}
END_TEST

START_TEST(scaled_tsc_has_the_frequency_asked_for)
{
	uint64_t start, end, ticks, before;
	struct tsc tsc;

	tsc_init(&tsc);
	tsc_set_khz(&tsc, 1000000);
	start = events_now();
	before = tsc_read(&tsc);
	sleep_ms(50);
	ticks = tsc_read(&tsc) - before;
	end = events_now();
	ck_assert_uint_ge(ticks, 50 * MS - SLACK);
	ck_assert_uint_le(ticks, end - start + SLACK);
}
END_TEST

START_TEST(impossible_frequency_is_refused)
{
	struct tsc tsc;

	tsc_init(&tsc);
	ck_assert_int_eq(tsc_set_khz(&tsc, 0), -EINVAL);
	ck_assert_int_eq(tsc_set_khz(&tsc, 0x7fffffff), -EINVAL);
	ck_assert_int_eq(tsc_set_khz(&tsc, UINT64_MAX), -EINVAL);
	ck_assert_uint_eq(tsc.khz, clock_host_tsc_khz());
}
END_TEST

START_TEST(tscs_set_one_after_the_other_are_equal)
{
	struct tsc tsc[3];

	for (int i = 0; i < 3; i++)
		tsc_init(&tsc[i]);
	clock_write_tsc(guest_clock, &tsc[0], 0, true);
	sleep_ms(5);
	clock_write_tsc(guest_clock, &tsc[1], 0, true);
	clock_write_tsc(guest_clock, &tsc[2], 1000, true);
	ck_assert_int_eq(tsc[0].offset, tsc[1].offset);
	ck_assert_int_eq(tsc[0].offset, tsc[2].offset);
}
END_TEST

START_TEST(tsc_far_from_the_others_is_its_own)
{
	struct tsc tsc[2];

	for (int i = 0; i < 2; i++)
		tsc_init(&tsc[i]);
	clock_write_tsc(guest_clock, &tsc[0], 0, true);
	clock_write_tsc(guest_clock, &tsc[1], 1ull << 60, true);
	ck_assert_uint_ge(tsc_read(&tsc[1]), 1ull << 60);
}
END_TEST

/* What new vCPUs got of themselves says nothing about what user space wants. */
START_TEST(first_tsc_of_user_space_is_taken_as_it_is)
{
	struct tsc tsc[3];

	for (int i = 0; i < 3; i++)
		tsc_init(&tsc[i]);
	clock_write_tsc(guest_clock, &tsc[0], 0, false);
	clock_write_tsc(guest_clock, &tsc[0], 200000000, true);
	ck_assert_uint_ge(tsc_read(&tsc[0]), 200000000);
	clock_write_tsc(guest_clock, &tsc[1], 0, false);
	clock_write_tsc(guest_clock, &tsc[2], 200000000, true);
	ck_assert_int_eq(tsc[0].offset, tsc[1].offset);
	ck_assert_int_eq(tsc[0].offset, tsc[2].offset);
}
END_TEST

START_TEST(offset_is_taken_as_it_is_and_followed)
{
	struct tsc tsc[3];

	for (int i = 0; i < 3; i++)
		tsc_init(&tsc[i]);
	clock_write_tsc(guest_clock, &tsc[0], 0, false);
	clock_write_tsc_offset(guest_clock, &tsc[0], 1234567);
	ck_assert_int_eq(tsc[0].offset, 1234567);
	clock_write_tsc(guest_clock, &tsc[1], tsc_read(&tsc[0]), true);
	clock_write_tsc(guest_clock, &tsc[2], 0, false);
	ck_assert_int_eq(tsc[1].offset, 1234567);
	ck_assert_int_eq(tsc[2].offset, 1234567);
}
END_TEST

/* ---- kvmclock ---- */

START_TEST(clock_starts_at_zero_and_runs)
{
	const uint64_t start = events_now();
	const uint64_t first = clock_now(guest_clock);
	uint64_t passed;

	ck_assert_uint_lt(first, SECOND);
	sleep_ms(50);
	passed = clock_now(guest_clock) - first;
	ck_assert_uint_ge(passed, 50 * MS - SLACK);
	ck_assert_uint_le(passed, events_now() - start + SLACK);
}
END_TEST

START_TEST(get_tells_all_three_times)
{
	struct kvm_clock_data data;
	struct timespec now;

	clock_get(guest_clock, &data);
	clock_gettime(CLOCK_REALTIME, &now);
	ck_assert_uint_eq(data.flags,
			  KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC);
	ck_assert_int_lt(apart(data.realtime, now.tv_sec * SECOND + now.tv_nsec), SECOND);
	ck_assert_uint_le(data.host_tsc, __rdtsc());
	ck_assert_uint_le(data.clock, clock_now(guest_clock));
}
END_TEST

START_TEST(set_clock_goes_on_from_there)
{
	const struct kvm_clock_data data = { .clock = 77 * SECOND };

	ck_assert_int_eq(clock_set(guest_clock, &data), 0);
	ck_assert_uint_ge(clock_now(guest_clock), 77 * SECOND);
	ck_assert_uint_lt(clock_now(guest_clock), 78 * SECOND);
}
END_TEST

START_TEST(set_with_realtime_adds_the_time_between)
{
	struct kvm_clock_data data;

	clock_get(guest_clock, &data);
	data.clock = 10 * SECOND;
	data.realtime -= 5 * SECOND;
	ck_assert_int_eq(clock_set(guest_clock, &data), 0);
	ck_assert_int_lt(apart(clock_now(guest_clock), 15 * SECOND), SECOND);
}
END_TEST

START_TEST(set_with_future_realtime_adds_nothing)
{
	struct kvm_clock_data data;

	clock_get(guest_clock, &data);
	data.clock = 10 * SECOND;
	data.realtime += 5 * SECOND;
	clock_set(guest_clock, &data);
	ck_assert_int_lt(apart(clock_now(guest_clock), 10 * SECOND), SECOND);
}
END_TEST

START_TEST(unknown_flag_is_refused)
{
	const struct kvm_clock_data data = { .flags = 1 << 10 };

	ck_assert_int_eq(clock_set(guest_clock, &data), -EINVAL);
}
END_TEST

/* ---- pages ---- */

static const uint64_t guest_khz[] = { 0, 1000, 999999, 1000000, 2000000, 12345678 };

START_TEST(guest_computes_the_hosts_time)
{
	for (unsigned i = 0; i < sizeof(guest_khz) / sizeof(guest_khz[0]); i++) {
		uint64_t before, time;
		struct tsc tsc;

		tsc_init(&tsc);
		if (guest_khz[i])
			ck_assert_int_eq(tsc_set_khz(&tsc, guest_khz[i]), 0);
		sleep_ms(2);
		clock_write_vcpu_time(guest_clock, &tsc, memory, NULL, PAGE, false);
		before = clock_now(guest_clock);
		time = guest_time(&tsc);
		ck_assert_uint_ge(time, before - SLACK);
		ck_assert_uint_le(time, clock_now(guest_clock) + SLACK);
	}
}
END_TEST

START_TEST(vcpus_with_different_tscs_agree)
{
	struct tsc tsc[2];
	uint64_t time[2];

	for (int i = 0; i < 2; i++) {
		tsc_init(&tsc[i]);
		tsc_write(&tsc[i], i * 1000000000000ull);
		clock_write_vcpu_time(guest_clock, &tsc[i], memory, NULL, PAGE, false);
		time[i] = guest_time(&tsc[i]);
	}
	ck_assert_uint_ge(time[1], time[0]);
	ck_assert_int_lt(apart(time[0], time[1]), SECOND);
}
END_TEST

START_TEST(version_is_even_and_moves)
{
	struct tsc tsc;
	uint32_t version;

	tsc_init(&tsc);
	time_page()->version = 7;
	clock_write_vcpu_time(guest_clock, &tsc, memory, NULL, PAGE, false);
	version = time_page()->version;
	ck_assert_uint_eq(version & 1, 0);
	ck_assert_uint_gt(version, 7);
	clock_write_vcpu_time(guest_clock, &tsc, memory, NULL, PAGE, false);
	ck_assert_uint_eq(time_page()->version, version + 2);
}
END_TEST

START_TEST(flags_tell_stable_and_stopped)
{
	struct tsc tsc;

	tsc_init(&tsc);
	clock_write_vcpu_time(guest_clock, &tsc, memory, NULL, PAGE, false);
	ck_assert_uint_eq(time_page()->flags, 1);
	clock_write_vcpu_time(guest_clock, &tsc, memory, NULL, PAGE, true);
	ck_assert_uint_eq(time_page()->flags, 3);
	clock_write_vcpu_time(guest_clock, &tsc, memory, NULL, PAGE, false);
	ck_assert_uint_eq(time_page()->flags, 3);
}
END_TEST

START_TEST(page_outside_memory_is_an_error)
{
	struct tsc tsc;

	tsc_init(&tsc);
	ck_assert_int_eq(clock_write_vcpu_time(guest_clock, &tsc, memory, NULL, RAM_BYTES, false),
			 -EFAULT);
	ck_assert_int_eq(clock_write_wall_clock(guest_clock, memory, NULL, RAM_BYTES), -EFAULT);
}
END_TEST

START_TEST(wall_clock_is_the_time_of_boot)
{
	const struct kvm_clock_data data = { .clock = 1000 * SECOND };
	const struct wall_page *wall = (struct wall_page *)(ram + PAGE);

	clock_set(guest_clock, &data);
	ck_assert_int_eq(clock_write_wall_clock(guest_clock, memory, NULL, PAGE), 0);
	ck_assert_uint_eq(wall->version & 1, 0);
	ck_assert_int_lt(apart(wall->sec + 1000, time(NULL)), 3);
	ck_assert_uint_lt(wall->nsec, SECOND);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		host_frequency_is_right_and_constant,
		new_tsc_starts_at_zero,
		written_tsc_reads_back,
		new_frequency_keeps_the_offset,
		scaled_tsc_has_the_frequency_asked_for,
		impossible_frequency_is_refused,
		tscs_set_one_after_the_other_are_equal,
		tsc_far_from_the_others_is_its_own,
		first_tsc_of_user_space_is_taken_as_it_is,
		offset_is_taken_as_it_is_and_followed,
		clock_starts_at_zero_and_runs,
		get_tells_all_three_times,
		set_clock_goes_on_from_there,
		set_with_realtime_adds_the_time_between,
		set_with_future_realtime_adds_nothing,
		unknown_flag_is_refused,
		guest_computes_the_hosts_time,
		vcpus_with_different_tscs_agree,
		version_is_even_and_moves,
		flags_tell_stable_and_stopped,
		page_outside_memory_is_an_error,
		wall_clock_is_the_time_of_boot,
	};

	return run_suite("clock", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
