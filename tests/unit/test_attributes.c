// SPDX-License-Identifier: GPL-2.0-or-later
/* Sets of pages against a plain array, and what a terabyte costs. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
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

/* The number of ranges, which are in order and do not touch. */
static unsigned check_form(void)
{
	const struct page_range *range, *before = NULL;
	unsigned count = 0;

	for (range = page_set_next(set, 0); range; range = page_set_next(set, range->end)) {
		ck_assert_uint_lt(range->first, range->end);
		if (before)
			ck_assert_uint_gt(range->first, before->end);
		before = range;
		count++;
	}
	return count;
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
	ck_assert_uint_eq(check_form(), 1);
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
	ck_assert_uint_eq(check_form(), 2);
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

/* Of this thread, as the machine may be busy. */
static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* The allocation that fails, counted from one; 0: none. */
static unsigned failing;

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

void *__wrap_malloc(size_t bytes)
{
	return failing && !--failing ? NULL : __real_malloc(bytes);
}

/* Whichever allocation fails, the set is what it was; no other one is kept. */
START_TEST(out_of_memory)
{
	unsigned fails = 0, i;
	size_t used;
	int r;

	for (i = 0; i < 1000; i++)
		change(4 * i, 4 * i + 2, true);
	for (bool done = false; !done; fails++) {
		used = mallinfo2().uordblks;
		failing = fails + 1;
		r = page_set_change(set, 1001, 2003, fails & 1, &set);
		done = failing;
		failing = 0;
		if (done)
			break;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_uint_eq(mallinfo2().uordblks, used);
		ck_assert_uint_eq(check_form(), 1000);
		ck_assert(page_set_has(set, 1004) && !page_set_has(set, 1006));
	}
	ck_assert_int_eq(r, 0);
	ck_assert_uint_gt(fails, 10);
}
END_TEST

/* Nanoseconds for each of @count ranges to come or go, in an order of @kind. */
static double scattered(unsigned count, int kind, bool present)
{
	uint64_t start = now();

	for (unsigned i = 0; i < count; i++) {
		uint64_t at = kind == 0 ? i : kind == 1 ? count - 1 - i : i * 40503ull % count;

		change(2 * at, 2 * at + 1, present);
	}
	return (double)(now() - start) / count;
}

/* In whatever order they come and go, eight times as many ranges cost about as much each. */
START_TEST(many_ranges)
{
	static const char *const orders[] = { "up", "down", "mixed" };

	for (int kind = 0; kind < 3; kind++) {
		double few, many, gone;

		few = scattered(1 << 13, kind, true);
		ck_assert_uint_eq(check_form(), 1 << 13);
		scattered(1 << 13, kind, false);
		ck_assert_ptr_null(set);
		many = scattered(1 << 16, kind, true);
		ck_assert_uint_eq(check_form(), 1 << 16);
		gone = scattered(1 << 16, kind, false);
		ck_assert_ptr_null(set);
		printf("ranges %s: %.0f ns for each of 8192, %.0f ns of 65536, gone in %.0f ns\n",
		       orders[kind], few, many, gone);
		ck_assert(many < 5 * few);
	}
}
END_TEST

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
		out_of_memory,
		many_ranges,
		terabyte,
	};

	return run_suite("attributes", tests, sizeof(tests) / sizeof(tests[0]), start, stop);
}
