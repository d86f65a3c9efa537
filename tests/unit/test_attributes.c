// SPDX-License-Identifier: GPL-2.0-or-later
/* Sets of pages against a plain array, and what a terabyte costs. */
#include <malloc.h>
#include <time.h>

#include "mmu/attributes.h"
#include "mmu_fixture.h"

#define PAGES 256

static struct page_set *set;

static void start(void)
{
	set = NULL;
}

static void stop(void)
{
	page_set_put(set);
}

static void change(uint64_t first, uint64_t end, bool present)
{
	ck_assert_int_eq(page_set_change(set, first, end, present, &set), 0);
}

static void check_form(void)
{
	for (unsigned i = 0; set && i < set->count; i++) {
		ck_assert_uint_lt(set->range[i].first, set->range[i].end);
		if (i)
			ck_assert_uint_gt(set->range[i].first, set->range[i - 1].end);
	}
}

START_TEST(empty)
{
	ck_assert(!page_set_has(set, 0));
	ck_assert(page_set_is(set, 0, ~0ull, false));
	ck_assert(!page_set_is(set, 0, 1, true));
	change(5, 9, false);
	ck_assert_ptr_null(set);
}
END_TEST

START_TEST(touching_ranges_are_one)
{
	change(10, 20, true);
	change(30, 40, true);
	change(20, 30, true);
	ck_assert_uint_eq(set->count, 1);
	ck_assert(page_set_is(set, 10, 40, true));
	ck_assert(!page_set_is(set, 10, 41, true));
	ck_assert(page_set_is(set, 40, 50, false));
	ck_assert(!page_set_is(set, 39, 50, false));
}
END_TEST

START_TEST(cut_in_two)
{
	change(0, 100, true);
	change(40, 60, false);
	ck_assert_uint_eq(set->count, 2);
	ck_assert(page_set_has(set, 39));
	ck_assert(!page_set_has(set, 40));
	ck_assert(!page_set_has(set, 59));
	ck_assert(page_set_has(set, 60));
	change(0, 100, false);
	ck_assert_ptr_null(set);
}
END_TEST

START_TEST(others_keep_their_set)
{
	struct page_set *before;

	change(0, 10, true);
	before = page_set_get(set);
	change(5, 15, true);
	ck_assert(!page_set_has(before, 12));
	ck_assert(page_set_has(set, 12));
	page_set_put(before);
}
END_TEST

START_TEST(same_as_an_array)
{
	bool model[PAGES] = { false };

	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned first = rand() % PAGES, end = first + 1 + rand() % (PAGES - first);
		bool present = rand() & 1, all = true, none = true;
		unsigned different = 0;

		if (rand() % 4)
			end = first + 1 + (end - first) % 4;
		if (end > PAGES)
			end = PAGES;
		for (unsigned i = first; i < end; i++)
			model[i] ? (none = false) : (all = false);
		ck_assert_int_eq(page_set_is(set, first, end, true), all);
		ck_assert_int_eq(page_set_is(set, first, end, false), none);
		change(first, end, present);
		for (unsigned i = first; i < end; i++)
			model[i] = present;
		check_form();
		for (unsigned i = 0; i < PAGES; i++)
			different += page_set_has(set, i) != model[i];
		ck_assert_uint_eq(different, 0);
	}
}
END_TEST

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* One call for 1 TiB, in a VM that has private ranges already. */
START_TEST(terabyte)
{
	static struct machine m;
	uint64_t start, took;
	size_t used;

	machine_start(&m);
	memory_allow_private(m.memory);
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert_int_eq(memory_set_attributes(m.memory, i << 14, 4096,
						       KVM_MEMORY_ATTRIBUTE_PRIVATE),
				 0);
	used = mallinfo2().uordblks;
	start = now();
	ck_assert_int_eq(memory_set_attributes(m.memory, 1ull << 40, 1ull << 40,
					       KVM_MEMORY_ATTRIBUTE_PRIVATE),
			 0);
	took = now() - start;
	ck_assert_uint_lt(took, 10000000);
	ck_assert_uint_lt(mallinfo2().uordblks - used, 1 << 20);
	ck_assert(memory_is_private(m.memory, (2ull << 40) - 1));
	ck_assert(!memory_is_private(m.memory, 2ull << 40));
	machine_stop(&m);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		empty,
		touching_ranges_are_one,
		cut_in_two,
		others_keep_their_set,
		same_as_an_array,
		terabyte,
	};

	return run_suite("attributes", tests, sizeof(tests) / sizeof(tests[0]), start, stop);
}
