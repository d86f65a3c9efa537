/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/guard.h"
#include "util/log.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t *page; /* mapped, then taken away by the test */

static void setup(void)
{
	guard_init();
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
}

static void take_page(void)
{
	ck_assert_int_eq(mprotect(page, 4096, PROT_NONE), 0);
}

/* A page behind the end of its file raises SIGBUS. */
static uint8_t *bus_page(void)
{
	FILE *file = tmpfile();
	uint8_t *p;

	ck_assert_ptr_nonnull(file);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static int touch(volatile uint8_t *p, struct guard *guard)
{
	if (guard_enter(guard))
		return 1;
	(void)*p;
	guard_leave(guard);
	return 0;
}

START_TEST(present_page_passes)
{
	struct guard guard;

	ck_assert_int_eq(touch(page, &guard), 0);
	ck_assert_ptr_null(guard_current);
}
END_TEST

START_TEST(fault_comes_back_with_its_address)
{
	struct guard guard;

	take_page();
	ck_assert_int_eq(touch(page + 123, &guard), 1);
	ck_assert_uint_eq(guard.address, (uintptr_t)page + 123);
	ck_assert_int_eq(guard.signo, SIGSEGV);
	ck_assert_int_eq(guard.code, SEGV_ACCERR);
	ck_assert_ptr_null(guard_current);
}
END_TEST

START_TEST(fault_comes_back_every_time)
{
	struct guard guard;

	take_page();
	for (unsigned i = 0; i < 1000; i++)
		ck_assert_int_eq(touch(page, &guard), 1);
}
END_TEST

/* The handler that the jump leaves has a fresh MXCSR; guest code's rounding and flags go on. */
START_TEST(rounding_stays)
{
	uint32_t rounding = 0x7fa4, after, host;
	uint16_t control = 0x27f, control_after;
	struct guard guard;
	int fault;

	take_page();
	__asm__ volatile("fldcw %0" : : "m"(control));
	__asm__ volatile("stmxcsr %0; ldmxcsr %1" : "=m"(host) : "m"(rounding) : "memory");
	fault = touch(page, &guard);
	__asm__ volatile("stmxcsr %0; ldmxcsr %1" : "=m"(after) : "m"(host) : "memory");
	__asm__ volatile("fnstcw %0; fninit" : "=m"(control_after));
	ck_assert_int_eq(fault, 1);
	ck_assert_uint_eq(after, rounding);
	ck_assert_uint_eq(control_after, control);
}
END_TEST

START_TEST(truncated_file_comes_back)
{
	struct guard guard;

	ck_assert_int_eq(touch(bus_page(), &guard), 1);
	ck_assert_int_eq(guard.signo, SIGBUS);
	ck_assert_int_eq(guard.code, BUS_ADRERR);
}
END_TEST

START_TEST(inner_guard_catches_and_outer_stays_armed)
{
	struct guard outer, inner;

	take_page();
	if (guard_enter(&outer))
		ck_abort_msg("the outer guard caught it");
	ck_assert_int_eq(touch(page, &inner), 1);
	ck_assert_ptr_eq(guard_current, &outer);
	guard_leave(&outer);
	ck_assert_ptr_null(guard_current);
}
END_TEST

static int touch_and_pass_on(volatile uint8_t *p, struct guard *guard)
{
	struct guard inner;

	if (guard_enter(guard))
		return 1;
	if (guard_enter(&inner))
		guard_pass_on(&inner);
	(void)*p;
	guard_leave(&inner);
	guard_leave(guard);
	return 0;
}

START_TEST(inner_guard_hands_on)
{
	struct guard guard;

	take_page();
	ck_assert_int_eq(touch_and_pass_on(page + 5, &guard), 1);
	ck_assert_uint_eq(guard.address, (uintptr_t)page + 5);
	ck_assert_uint_ne(guard.pc, 0);
	ck_assert_int_eq(guard.signo, SIGSEGV);
	ck_assert_int_eq(guard.code, SEGV_ACCERR);
	ck_assert_ptr_null(guard_current);
}
END_TEST

START_TEST(outer_guard_catches_after_inner_left)
{
	static struct guard outer, inner;

	if (guard_enter(&outer)) {
		ck_assert_ptr_null(guard_current);
		return;
	}
	ck_assert_int_eq(touch(page, &inner), 0);
	take_page();
	(void)*(volatile uint8_t *)page;
	ck_abort_msg("no fault");
}
END_TEST

static void *touch_in_thread(void *argument)
{
	struct guard guard;

	for (unsigned i = 0; i < 1000; i++)
		if (!touch(argument, &guard) || guard.address != (uintptr_t)argument)
			return argument;
	return NULL;
}

START_TEST(threads_have_their_own_guards)
{
	pthread_t thread[2];

	take_page();
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, touch_in_thread, page + i), 0);
	for (unsigned i = 0; i < 2; i++) {
		void *result;

		pthread_join(thread[i], &result);
		ck_assert_ptr_null(result);
	}
}
END_TEST

START_TEST(copies_work)
{
	char data[4] = "";

	ck_assert_int_eq(guard_copy_to(page, "abc", 4), 0);
	ck_assert_int_eq(guard_copy_from(data, page, 4), 0);
	ck_assert_str_eq(data, "abc");
}
END_TEST

START_TEST(copies_from_a_missing_page_fail)
{
	char data[4];

	take_page();
	ck_assert_int_eq(guard_copy_to(page, "abc", 4), -EFAULT);
	ck_assert_int_eq(guard_copy_from(data, page, 4), -EFAULT);
	ck_assert_int_eq(guard_copy_from(data, bus_page(), 4), -EFAULT);
}
END_TEST

START_TEST(copy_from_a_wild_pointer_fails)
{
	/* Not canonical: the fault has no address and comes with SI_KERNEL. The asm hides the value
	 * from the sanitizers, whose shadow of it does not exist either. */
	volatile uint8_t *wild = (void *)0x8000000000000000;
	static struct guard guard;

	if (guard_enter(&guard))
		return;
	__asm__ volatile("movb (%0), %%al" : : "r"(wild) : "al", "memory");
	ck_abort_msg("no fault");
}
END_TEST

/* ---- The client's handlers ---- */

static volatile sig_atomic_t client_calls;
static struct guard *volatile client_saw_guard;
static volatile bool client_saw_usr1_blocked, client_saw_segv_blocked;
static void *volatile client_saw_address;

static void client_handler(int signo, siginfo_t *info, void *context)
{
	sigset_t mask;

	(void)context;
	client_calls++;
	client_saw_guard = guard_current;
	client_saw_address = info->si_addr;
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	client_saw_usr1_blocked = sigismember(&mask, SIGUSR1);
	client_saw_segv_blocked = sigismember(&mask, signo);
	if (info->si_code > 0)
		mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void install_client(int flags)
{
	struct sigaction action = {.sa_sigaction = client_handler, .sa_flags = SA_SIGINFO | flags};

	sigaddset(&action.sa_mask, SIGUSR1);
	ck_assert_int_eq(guard_client_sigaction(SIGSEGV, &action, NULL), 0);
}

START_TEST(client_handler_gets_unguarded_faults)
{
	install_client(0);
	take_page();
	*(volatile uint8_t *)(page + 9) = 1;
	ck_assert_int_eq(client_calls, 1);
	ck_assert_ptr_eq(client_saw_address, page + 9);
	ck_assert_uint_eq(page[9], 1);
}
END_TEST

START_TEST(client_handler_runs_with_its_mask)
{
	sigset_t mask;

	install_client(0);
	raise(SIGSEGV);
	ck_assert(client_saw_usr1_blocked);
	ck_assert(client_saw_segv_blocked);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	ck_assert(!sigismember(&mask, SIGUSR1));
	install_client(SA_NODEFER);
	raise(SIGSEGV);
	ck_assert(!client_saw_segv_blocked);
}
END_TEST

START_TEST(client_handler_does_not_get_guarded_faults)
{
	struct guard guard;

	install_client(0);
	take_page();
	ck_assert_int_eq(touch(page, &guard), 1);
	ck_assert_int_eq(client_calls, 0);
}
END_TEST

START_TEST(sent_signal_is_the_clients_even_under_a_guard)
{
	struct guard guard;

	install_client(0);
	if (guard_enter(&guard))
		ck_abort_msg("a sent signal is no fault");
	raise(SIGSEGV);
	ck_assert_ptr_eq(guard_current, &guard);
	guard_leave(&guard);
	ck_assert_int_eq(client_calls, 1);
	ck_assert_ptr_null(client_saw_guard);
}
END_TEST

START_TEST(one_shot_handler_is_reset)
{
	struct sigaction now;

	install_client(SA_RESETHAND);
	raise(SIGSEGV);
	ck_assert_int_eq(client_calls, 1);
	guard_client_sigaction(SIGSEGV, NULL, &now);
	ck_assert(now.sa_handler == SIG_DFL);
}
END_TEST

START_TEST(sigaction_gives_back_what_was_set)
{
	struct sigaction old;

	install_client(0);
	ck_assert_int_eq(guard_client_sigaction(SIGSEGV, NULL, &old), 0);
	ck_assert_ptr_eq(old.sa_sigaction, client_handler);
	ck_assert(old.sa_flags & SA_SIGINFO);
	ck_assert(sigismember(&old.sa_mask, SIGUSR1));
	ck_assert_int_eq(guard_client_sigaction(SIGBUS, NULL, &old), 0);
	ck_assert_ptr_ne(old.sa_sigaction, client_handler);
}
END_TEST

START_TEST(sigaction_of_another_signal_is_refused)
{
	ck_assert_int_eq(guard_client_sigaction(SIGUSR1, NULL, NULL), -1);
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

static void set_plain(void (*handler)(int))
{
	const struct sigaction action = {.sa_handler = handler};

	guard_client_sigaction(SIGSEGV, &action, NULL);
}

START_TEST(ignored_sent_signal_is_ignored)
{
	set_plain(SIG_IGN);
	raise(SIGSEGV);
}
END_TEST

START_TEST(default_fault_kills)
{
	set_plain(SIG_DFL);
	take_page();
	*(volatile uint8_t *)page = 1;
}
END_TEST

START_TEST(default_sent_signal_kills)
{
	set_plain(SIG_DFL);
	kill(getpid(), SIGSEGV);
	sleep(5);
}
END_TEST

START_TEST(ignored_fault_kills)
{
	set_plain(SIG_IGN);
	take_page();
	*(volatile uint8_t *)page = 1;
}
END_TEST

static void *keep_setting(void *argument)
{
	for (unsigned i = 0; i < 20000; i++)
		install_client(i & 1 ? SA_NODEFER : 0);
	return argument;
}

START_TEST(handlers_change_under_signals)
{
	pthread_t thread;
	int sent = 0;

	install_client(0);
	ck_assert_int_eq(pthread_create(&thread, NULL, keep_setting, NULL), 0);
	for (; sent < 20000; sent++)
		raise(SIGSEGV);
	pthread_join(thread, NULL);
	ck_assert_int_eq(client_calls, sent);
}
END_TEST

/* ---- Log ---- */

static char log_text[4096];

static void read_log(int fd)
{
	ssize_t n = read(fd, log_text, sizeof(log_text) - 1);

	log_text[n < 0 ? 0 : n] = '\0';
}

START_TEST(log_line_has_level_and_newline)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	errno = EPERM;
	log_printf(&(struct log){fd[1], LOG_LEVEL_WARN}, LOG_LEVEL_WARN, "slot %d", 3);
	ck_assert_int_eq(errno, EPERM);
	read_log(fd[0]);
	ck_assert_str_eq(log_text, "fauxkvm: warning: slot 3\n");
}
END_TEST

START_TEST(log_line_is_cut_but_ends)
{
	char text[3000];
	int fd[2];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(pipe(fd), 0);
	log_printf(&(struct log){fd[1], LOG_LEVEL_WARN}, LOG_LEVEL_ERROR, "%s", text);
	read_log(fd[0]);
	ck_assert_uint_lt(strlen(log_text), sizeof(text));
	ck_assert_ptr_eq(strchr(log_text, '\n'), log_text + strlen(log_text) - 1);
}
END_TEST

START_TEST(log_above_the_level_is_silent)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	log_printf(&(struct log){fd[1], LOG_LEVEL_WARN}, LOG_LEVEL_INFO, "no");
	log_printf(NULL, LOG_LEVEL_ERROR, "no");
	close(fd[1]);
	read_log(fd[0]);
	ck_assert_str_eq(log_text, "");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		present_page_passes,
		fault_comes_back_with_its_address,
		fault_comes_back_every_time,
		rounding_stays,
		truncated_file_comes_back,
		inner_guard_catches_and_outer_stays_armed,
		inner_guard_hands_on,
		outer_guard_catches_after_inner_left,
		threads_have_their_own_guards,
		copies_work,
		copies_from_a_missing_page_fail,
		copy_from_a_wild_pointer_fails,
		client_handler_gets_unguarded_faults,
		client_handler_runs_with_its_mask,
		client_handler_does_not_get_guarded_faults,
		sent_signal_is_the_clients_even_under_a_guard,
		one_shot_handler_is_reset,
		sigaction_gives_back_what_was_set,
		sigaction_of_another_signal_is_refused,
		ignored_sent_signal_is_ignored,
		handlers_change_under_signals,
		log_line_has_level_and_newline,
		log_line_is_cut_but_ends,
		log_above_the_level_is_silent,
	};
	const TTest *const deaths[] = {default_fault_kills, default_sent_signal_kills,
				       ignored_fault_kills};
	Suite *suite = suite_create("guard");
	TCase *tcase = tcase_create("guard");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, NULL);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++)
		tcase_add_test_raise_signal(tcase, deaths[i], SIGSEGV);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
