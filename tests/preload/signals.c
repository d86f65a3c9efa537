// SPDX-License-Identifier: GPL-2.0-or-later
/* Signal dispositions are the program's own, and signals end KVM_RUN as in the kernel. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#include "preload_test.h"

static volatile int calls;
static volatile siginfo_t last; /* libc's ioctl() is declared never to call back */

static void simple(int signo)
{
	(void)signo;
	calls++;
}

static void with_info(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	calls++;
	last = *info;
}

/* ---- what sigaction() says ---- */

/* libc shows its own flag of the kernel interface. */
#define SA_RESTORER 0x04000000

static int flags_of(const struct sigaction *action)
{
	return action->sa_flags & ~SA_RESTORER;
}

static void dispositions(void)
{
	struct sigaction action = { .sa_handler = simple, .sa_flags = SA_RESTART }, old;

	sigaddset(&action.sa_mask, SIGHUP);
	CHECK(!sigaction(SIGUSR1, &action, &old) && old.sa_handler == SIG_DFL);
	CHECK(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == simple);
	CHECK(flags_of(&old) == SA_RESTART && sigismember(&old.sa_mask, SIGHUP) == 1);
	action.sa_sigaction = with_info;
	action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
	CHECK(!sigaction(SIGUSR1, &action, &old) && old.sa_handler == simple);
	CHECK(!(old.sa_flags & SA_SIGINFO));
	CHECK(!sigaction(SIGUSR1, NULL, &old) && old.sa_sigaction == with_info);
	CHECK(flags_of(&old) == (SA_SIGINFO | SA_NODEFER | SA_ONSTACK));

	CHECK((void *)signal(SIGUSR1, SIG_IGN) == (void *)with_info);
	CHECK(signal(SIGUSR1, simple) == SIG_IGN);
	CHECK(!sigaction(SIGUSR1, NULL, &old) && flags_of(&old) == SA_RESTART);
	CHECK(!siginterrupt(SIGUSR1, 1) && !sigaction(SIGUSR1, NULL, &old) && !flags_of(&old));
	CHECK(!siginterrupt(SIGUSR1, 0));
	CHECK(sigset(SIGUSR1, SIG_HOLD) == simple && sigset(SIGUSR1, SIG_DFL) == SIG_HOLD);
	CHECK(sysv_signal(SIGUSR1, simple) == SIG_DFL);
	CHECK(!sigaction(SIGUSR1, NULL, &old));
	CHECK(flags_of(&old) == (int)(SA_RESETHAND | SA_NODEFER));
	CHECK(signal(SIGUSR1, SIG_DFL) == simple);
	CHECK_FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
	CHECK_FAILS(sigaction(65, &action, NULL), EINVAL);
	CHECK(signal(0, simple) == SIG_ERR && errno == EINVAL);

	/* SIGSEGV, which is shared with the guard. */
	CHECK(signal(SIGSEGV, simple) == SIG_DFL && signal(SIGSEGV, SIG_DFL) == simple);
}

static void runs(void)
{
	struct sigaction action = { .sa_sigaction = with_info, .sa_flags = SA_SIGINFO }, old;
	union sigval value = { .sival_int = 77 };

	calls = 0;
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !sigqueue(getpid(), SIGUSR1, value));
	CHECK(calls == 1 && last.si_value.sival_int == 77 && last.si_code == SI_QUEUE);
	action.sa_handler = simple;
	action.sa_flags = SA_RESETHAND;
	CHECK(!sigaction(SIGUSR1, &action, NULL) && !raise(SIGUSR1) && calls == 2);
	CHECK(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == SIG_DFL);
}

/* ---- KVM_RUN ---- */

static int vcpu;
static struct kvm_run *run;

static void timers(void)
{
	struct itimerval once = { .it_value.tv_usec = 5000 };
	struct itimerspec often = { .it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	struct sigaction action = { .sa_sigaction = with_info, .sa_flags = SA_SIGINFO };
	timer_t timer;
	int i, before;

	calls = 0;
	CHECK(!sigaction(SIGALRM, &action, NULL) && !sigaction(SIGRTMIN, &action, NULL));
	CHECK(!setitimer(ITIMER_REAL, &once, NULL));
	CHECK_FAILS(ioctl(vcpu, KVM_RUN, 0), EINTR);
	CHECK(calls == 1 && last.si_signo == SIGALRM && last.si_code == SI_KERNEL);
	event.sigev_value.sival_int = 55;
	CHECK(!timer_create(CLOCK_MONOTONIC, &event, &timer));
	CHECK(!timer_settime(timer, 0, &often, NULL));
	for (i = 0; i < 10; i++) {
		/* One that comes too early for this KVM_RUN leaves the next to it. */
		before = calls;
		CHECK_FAILS(ioctl(vcpu, KVM_RUN, 0), EINTR);
		CHECK(calls > before);
		CHECK(last.si_code == SI_TIMER && last.si_value.sival_int == 55);
	}
	CHECK(!timer_delete(timer) && signal(SIGALRM, SIG_DFL) != SIG_ERR);
}

struct kick {
	pthread_t target;
	int signo, times;
};

static void *kick_main(void *argument)
{
	struct kick *kick = argument;
	struct timespec pause = { .tv_nsec = 20000000 };
	int i;

	for (i = 0; i < kick->times; i++) {
		nanosleep(&pause, NULL);
		pthread_kill(kick->target, kick->signo);
	}
	return NULL;
}

static int run_kicked(int signo, int times)
{
	struct kick kick = { .target = pthread_self(), .signo = signo, .times = times };
	pthread_t thread;
	int result, saved;

	CHECK(!pthread_create(&thread, NULL, kick_main, &kick));
	result = ioctl(vcpu, KVM_RUN, 0);
	saved = errno;
	pthread_join(thread, NULL);
	errno = saved;
	return result;
}

static void calls_kvm(int signo)
{
	struct kvm_regs regs;

	(void)signo;
	calls += !ioctl(vcpu, KVM_GET_REGS, &regs);
}

/* The handler runs when KVM_RUN is over: the vCPU is free for it. */
static void interrupted(void)
{
	struct sigaction action = { .sa_handler = calls_kvm };
	sigset_t mask;

	calls = 0;
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	CHECK_FAILS(run_kicked(SIGUSR1, 1), EINTR);
	CHECK(calls == 1 && run->exit_reason == KVM_EXIT_INTR);
	CHECK(!pthread_sigmask(SIG_BLOCK, NULL, &mask) && sigismember(&mask, SIGUSR1) == 0);

	/* Once, and the signal's default afterwards. */
	action.sa_flags = SA_RESETHAND;
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	CHECK_FAILS(run_kicked(SIGUSR1, 1), EINTR);
	CHECK(calls == 2 && signal(SIGUSR1, simple) == SIG_DFL);
}

static sigjmp_buf jump;

static void jumps(int signo)
{
	siglongjmp(jump, signo);
}

static void jumped_out(void)
{
	struct kvm_regs regs;

	CHECK(signal(SIGUSR1, jumps) != SIG_ERR);
	if (!sigsetjmp(jump, 1)) {
		run_kicked(SIGUSR1, 1);
		CHECK(!"reached");
	}
	CHECK(!ioctl(vcpu, KVM_GET_REGS, &regs));
	CHECK(signal(SIGUSR1, simple) == jumps);
	CHECK_FAILS(run_kicked(SIGUSR1, 1), EINTR);
}

static void set_mask(const uint64_t *set)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t set;
	} __attribute__((packed)) mask = { .head.len = 8, .set = set ? *set : 0 };

	CHECK(!ioctl(vcpu, KVM_SET_SIGNAL_MASK, set ? &mask : NULL));
}

/* Blocked in the thread, let in by KVM_RUN's mask: EINTR, and the signal still waits. */
static void waits(sighandler_t disposition)
{
	struct timespec now = { 0 };
	uint64_t nothing = 0;
	siginfo_t info;
	sigset_t usr1;

	calls = 0;
	CHECK(signal(SIGUSR1, disposition) != SIG_ERR);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	CHECK(!pthread_sigmask(SIG_BLOCK, &usr1, NULL));
	set_mask(&nothing);
	CHECK_FAILS(run_kicked(SIGUSR1, 1), EINTR);
	/* It ends the next KVM_RUN before its first instruction, too. */
	CHECK_FAILS(ioctl(vcpu, KVM_RUN, 0), EINTR);
	CHECK(calls == 0 && sigtimedwait(&usr1, &info, &now) == SIGUSR1);
	/* libc shows SI_TKILL as SI_USER. */
	CHECK(info.si_code == SI_USER && info.si_pid == getpid());
	CHECK_FAILS(sigtimedwait(&usr1, &info, &now), EAGAIN);
	set_mask(NULL);
	CHECK(!pthread_sigmask(SIG_UNBLOCK, &usr1, NULL));
	CHECK(signal(SIGUSR1, SIG_DFL) == disposition);
}

/* A signal that had to be caught behind a default disposition still has its default effect. */
static void child_dies(int signo)
{
	uint64_t nothing = 0;
	sigset_t set;
	int fd = kvm(), vm = ioctl(fd, KVM_CREATE_VM, 0);

	vcpu = spinning_vcpu(vm, &run);
	signal(signo, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signo);
	CHECK(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	set_mask(&nothing);
	CHECK_FAILS(run_kicked(signo, 1), EINTR);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	_exit(0);
}

int main(void)
{
	struct sigaction before = { .sa_handler = simple, .sa_flags = SA_RESTART };
	int fd, vm, status;

	/* Set before KVM is opened: wrapped then. */
	CHECK(!sigaction(SIGUSR2, &before, NULL));
	fd = kvm();
	CHECK(!sigaction(SIGUSR2, NULL, &before) && before.sa_handler == simple);
	CHECK(flags_of(&before) == SA_RESTART);
	vm = ioctl(fd, KVM_CREATE_VM, 0);
	vcpu = spinning_vcpu(vm, &run);
	CHECK_FAILS(run_kicked(SIGUSR2, 1), EINTR);
	CHECK(calls == 1);

	dispositions();
	runs();
	timers();
	interrupted();
	jumped_out();
	waits(simple);
	waits(SIG_DFL);
	waits(SIG_IGN);
	status = in_child(child_dies, SIGTERM);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	status = in_child(child_dies, SIGCHLD);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	return 0;
}
