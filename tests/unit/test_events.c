/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>

static struct events *events;
static atomic_uint fired, inside;
static atomic_bool blocked;
static char order[16];

static void setup(void)
{
	events = events_create();
	fired = inside = 0;
	blocked = false;
	memset(order, 0, sizeof(order));
}

static void teardown(void)
{
	events_destroy(events);
}

static void count(void *opaque)
{
	(void)opaque;
	atomic_fetch_add(&fired, 1);
}

static void note(void *opaque)
{
	order[atomic_load(&fired)] = *(const char *)opaque;
	atomic_fetch_add(&fired, 1);
}

static void hold(void *opaque)
{
	(void)opaque;
	atomic_store(&inside, 1);
	while (atomic_load(&blocked))
		sleep_ms(1);
	atomic_store(&inside, 0);
	atomic_fetch_add(&fired, 1);
}

static unsigned threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

START_TEST(idle_has_no_thread)
{
	ck_assert_uint_eq(threads(), 1);
}
END_TEST

START_TEST(timer_fires_once_and_not_early)
{
	const uint64_t deadline = events_now() + 5 * MS;
	struct timer timer;

	timer_init(&timer, events, count, NULL);
	timer_arm(&timer, deadline);
	wait_for(fired);
	ck_assert_uint_ge(events_now(), deadline);
	sleep_ms(10);
	ck_assert_uint_eq(fired, 1);
}
END_TEST

START_TEST(past_deadline_fires)
{
	struct timer timer;

	timer_init(&timer, events, count, NULL);
	timer_arm(&timer, 0);
	wait_for(fired == 1);
}
END_TEST

START_TEST(timers_fire_in_order)
{
	static const char names[] = "abcde";
	const unsigned delay[] = { 25, 5, 20, 10, 15 };
	const uint64_t now = events_now();
	struct timer timer[5];

	for (int i = 0; i < 5; i++) {
		timer_init(&timer[i], events, note, (void *)&names[i]);
		timer_arm(&timer[i], now + delay[i] * MS);
	}
	wait_for(fired == 5);
	ck_assert_str_eq(order, "bdeca");
}
END_TEST

START_TEST(cancelled_timer_is_silent)
{
	struct timer timer[2];

	for (int i = 0; i < 2; i++) {
		timer_init(&timer[i], events, count, NULL);
		timer_arm(&timer[i], events_now() + 10 * MS);
	}
	timer_cancel(&timer[0]);
	ck_assert_uint_eq(timer[0].deadline, UINT64_MAX);
	sleep_ms(30);
	ck_assert_uint_eq(fired, 1);
}
END_TEST

START_TEST(new_deadline_replaces_the_old)
{
	struct timer timer;

	timer_init(&timer, events, count, NULL);
	timer_arm(&timer, events_now() + 60000 * MS);
	timer_arm(&timer, events_now() + 5 * MS);
	wait_for(fired == 1);
	timer_arm(&timer, events_now() + 5 * MS);
	timer_arm(&timer, events_now() + 60000 * MS);
	sleep_ms(20);
	ck_assert_uint_eq(fired, 1);
}
END_TEST

static void arm_again(void *opaque)
{
	struct timer *timer = opaque;

	if (atomic_fetch_add(&fired, 1) < 9)
		timer_arm(timer, events_now() + MS);
}

START_TEST(callback_may_arm_its_timer)
{
	struct timer timer;

	timer_init(&timer, events, arm_again, &timer);
	timer_arm(&timer, 0);
	wait_for(fired == 10);
	timer_fini(&timer);
}
END_TEST

static void *release(void *opaque)
{
	(void)opaque;
	sleep_ms(20);
	atomic_store(&blocked, false);
	return NULL;
}

START_TEST(fini_waits_for_the_callback)
{
	struct timer timer;
	pthread_t thread;

	blocked = true;
	timer_init(&timer, events, hold, NULL);
	timer_arm(&timer, 0);
	wait_for(inside);
	pthread_create(&thread, NULL, release, NULL);
	timer_fini(&timer);
	ck_assert_uint_eq(fired, 1);
	pthread_join(thread, NULL);
}
END_TEST

static void drain(void *opaque, int fd)
{
	uint64_t value;

	(void)opaque;
	ck_assert_int_eq(read(fd, &value, sizeof(value)), sizeof(value));
	atomic_fetch_add(&fired, value);
}

START_TEST(readable_descriptor_is_reported)
{
	int fd = eventfd(2, 0);
	struct watch *watch = events_watch(events, fd, drain, NULL);

	wait_for(fired == 2);
	eventfd_write(fd, 3);
	wait_for(fired == 5);
	events_unwatch(watch);
}
END_TEST

START_TEST(unwatched_descriptor_is_silent)
{
	int fd = eventfd(0, 0);
	struct watch *watch = events_watch(events, fd, drain, NULL);

	events_unwatch(watch);
	eventfd_write(fd, 1);
	sleep_ms(20);
	ck_assert_uint_eq(fired, 0);
}
END_TEST

START_TEST(many_descriptors_are_kept_apart)
{
	struct watch *watch[40];
	int fd[40];

	for (int i = 0; i < 40; i++) {
		fd[i] = eventfd(0, 0);
		watch[i] = events_watch(events, fd[i], drain, NULL);
		ck_assert_ptr_nonnull(watch[i]);
	}
	for (int i = 0; i < 40; i += 2)
		events_unwatch(watch[i]);
	for (int i = 0; i < 40; i++)
		eventfd_write(fd[i], 1);
	wait_for(fired == 20);
	for (int i = 1; i < 40; i += 2)
		events_unwatch(watch[i]);
}
END_TEST

START_TEST(descriptor_that_cannot_be_watched)
{
	ck_assert_ptr_null(events_watch(events, -1, drain, NULL));
}
END_TEST

static void check_mask(void *opaque)
{
	sigset_t mask;

	(void)opaque;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGALRM) &&
	    !sigismember(&mask, SIGSEGV))
		atomic_fetch_add(&fired, 1);
}

START_TEST(thread_takes_no_signals_but_faults)
{
	struct timer timer;

	timer_init(&timer, events, check_mask, NULL);
	timer_arm(&timer, 0);
	wait_for(fired == 1);
}
END_TEST

static void *arm_all_the_time(void *opaque)
{
	struct timer timer[8];

	(void)opaque;
	for (int i = 0; i < 8; i++)
		timer_init(&timer[i], events, count, NULL);
	for (int i = 0; i < 2000; i++)
		timer_arm(&timer[i % 8], events_now() + i % 3 * 10000);
	wait_for(fired);
	for (int i = 0; i < 8; i++)
		timer_fini(&timer[i]);
	return NULL;
}

START_TEST(threads_may_arm_at_once)
{
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, arm_all_the_time, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		idle_has_no_thread,
		timer_fires_once_and_not_early,
		past_deadline_fires,
		timers_fire_in_order,
		cancelled_timer_is_silent,
		new_deadline_replaces_the_old,
		callback_may_arm_its_timer,
		fini_waits_for_the_callback,
		readable_descriptor_is_reported,
		unwatched_descriptor_is_silent,
		many_descriptors_are_kept_apart,
		descriptor_that_cannot_be_watched,
		thread_takes_no_signals_but_faults,
		threads_may_arm_at_once,
	};

	return run_suite("events", tests, sizeof(tests) / sizeof(tests[0]), setup, teardown);
}
