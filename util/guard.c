/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE /* sigorset */
#include "util/guard.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

__thread struct guard *guard_current __attribute__((tls_model("initial-exec")));

/* ---- The kernel's own sigaction ------------------------------------------------------------- */

/*
 * A front end that interposes sigaction() would hand our own calls back to
 * guard_client_sigaction(), so the handlers go in by the bare system call.
 */
struct kernel_sigaction {
	void (*handler)(int signo, siginfo_t *info, void *context);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

#define KERNEL_SA_RESTORER 0x04000000ul

void guard_restorer(void) __attribute__((visibility("hidden")));

__asm__(".text\n"
	".hidden guard_restorer\n"
	".globl guard_restorer\n"
	".type guard_restorer, @function\n"
	".p2align 4\n"
	"	nop\n"
	"guard_restorer:\n"
	"	movq $15, %rax\n" /* rt_sigreturn: debuggers know a signal frame by these two */
	"	syscall\n"
	".size guard_restorer, . - guard_restorer\n");

static int kernel_sigaction(int signo, const struct kernel_sigaction *act,
			    struct kernel_sigaction *old)
{
	return (int)syscall(SYS_rt_sigaction, signo, act, old, sizeof(act->mask));
}

/* ---- The client's disposition --------------------------------------------------------------- */

/*
 * The signal handler must read a disposition that another thread, or the very code it interrupted,
 * is replacing. So writers fill the next of several records and then advance the sequence; a reader
 * takes the newest complete record and takes it again only if a whole round went by meanwhile.
 */
#define RECORDS 8

struct disposition {
	_Atomic(uint64_t) sequence;
	struct sigaction record[RECORDS];
};

static struct disposition dispositions[2];
static pthread_mutex_t dispositions_lock = PTHREAD_MUTEX_INITIALIZER;

static struct disposition *disposition_of(int signo)
{
	return &dispositions[signo == SIGBUS];
}

static struct sigaction disposition_read(struct disposition *disposition)
{
	struct sigaction action;
	uint64_t sequence;

	do {
		sequence = atomic_load_explicit(&disposition->sequence, memory_order_acquire);
		action = disposition->record[sequence % RECORDS];
		atomic_thread_fence(memory_order_acquire);
	} while (atomic_load_explicit(&disposition->sequence, memory_order_relaxed) - sequence >=
		 RECORDS - 1);
	return action;
}

static void disposition_write(struct disposition *disposition, const struct sigaction *action)
{
	uint64_t sequence = atomic_load_explicit(&disposition->sequence, memory_order_relaxed) + 1;

	disposition->record[sequence % RECORDS] = *action;
	atomic_store_explicit(&disposition->sequence, sequence, memory_order_release);
}

int guard_client_sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction new_action, old_action;
	sigset_t all, saved;

	if (signo != SIGSEGV && signo != SIGBUS) {
		errno = EINVAL;
		return -1;
	}
	if (act)
		new_action = *act;

	/* sigaction() may be called by any signal handler, so none may run under the lock. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	pthread_mutex_lock(&dispositions_lock);
	old_action = disposition_read(disposition_of(signo));
	if (act)
		disposition_write(disposition_of(signo), &new_action);
	pthread_mutex_unlock(&dispositions_lock);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);

	if (old)
		*old = old_action;
	return 0;
}

/* ---- The handler ---------------------------------------------------------------------------- */

static void die_of(int signo, bool fault)
{
	const struct kernel_sigaction dfl = {.handler = (void *)SIG_DFL};

	/* A fault comes back when the instruction runs again, and kills with the right core. */
	kernel_sigaction(signo, &dfl, NULL);
	if (!fault)
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signo);
}

static void call_client(int signo, siginfo_t *info, void *context, const struct sigaction *action)
{
	const struct ucontext_t *interrupted = context;
	struct guard *armed = guard_current;
	sigset_t mask, combined;

	sigemptyset(&mask);
	memcpy(&mask, &interrupted->uc_sigmask, sizeof(uint64_t)); /* the kernel's is that short */
	sigorset(&combined, &mask, &action->sa_mask);
	if (!(action->sa_flags & SA_NODEFER))
		sigaddset(&combined, signo);
	pthread_sigmask(SIG_SETMASK, &combined, NULL); /* sigreturn restores the interrupted one */

	/* A fault of the client's handler is not a fault of the region it interrupted. */
	guard_current = NULL;
	if (action->sa_flags & SA_SIGINFO)
		action->sa_sigaction(signo, info, context);
	else
		action->sa_handler(signo);
	guard_current = armed;
}

static void forward(int signo, siginfo_t *info, void *context, bool fault)
{
	struct sigaction action = disposition_read(disposition_of(signo));

	if (!(action.sa_flags & SA_SIGINFO)) {
		/* The kernel does not let a fault be ignored. */
		if (action.sa_handler == SIG_IGN && !fault)
			return;
		if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
			die_of(signo, fault);
			return;
		}
	}
	if (action.sa_flags & (int)SA_RESETHAND) {
		const struct sigaction dfl = {.sa_handler = SIG_DFL};

		guard_client_sigaction(signo, &dfl, NULL);
	}
	call_client(signo, info, context, &action);
}

static void handle_fault(int signo, siginfo_t *info, void *context)
{
	const struct ucontext_t *interrupted = context;
	struct guard *guard = guard_current;
	/* Sent by somebody, or a poisoned page that this thread did not touch: not a fault. */
	bool fault = info->si_code > 0 && !(signo == SIGBUS && info->si_code == BUS_MCEERR_AO);

	if (!guard || !fault) {
		int saved_errno = errno;

		forward(signo, info, context, fault);
		errno = saved_errno;
		return;
	}

	guard->address = (uintptr_t)info->si_addr;
	guard->pc = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
	guard->code = info->si_code;
	guard->signo = signo;
	guard_current = guard->outer;
	/* What is interrupted may have its own rounding and flags; the kernel made fresh ones. */
	__asm__ volatile("ldmxcsr %0; fldcw %1"
			 :
			 : "m"(interrupted->uc_mcontext.fpregs->mxcsr),
			   "m"(interrupted->uc_mcontext.fpregs->cwd)
			 : "memory");
	siglongjmp(guard->env, 1);
}

_Noreturn void guard_pass_on(const struct guard *guard)
{
	struct guard *outer = guard->outer;

	outer->address = guard->address;
	outer->pc = guard->pc;
	outer->code = guard->code;
	outer->signo = guard->signo;
	guard_current = outer->outer;
	siglongjmp(outer->env, 1);
}

static void install(void)
{
	/*
	 * SA_NODEFER: the handler is left by siglongjmp() without restoring a mask. SA_ONSTACK:
	 * runtimes with small stacks insist on it, and without an alternate stack it means nothing.
	 */
	const struct kernel_sigaction ours = {
		.handler = handle_fault,
		.flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | KERNEL_SA_RESTORER,
		.restorer = guard_restorer,
	};
	static const int signals[] = {SIGSEGV, SIGBUS};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct kernel_sigaction before;
		struct sigaction client = {.sa_handler = SIG_DFL};

		/* The record is complete before our handler can want it. */
		if (kernel_sigaction(signals[i], NULL, &before))
			continue;
		client.sa_sigaction = before.handler;
		client.sa_flags = (int)(before.flags & ~KERNEL_SA_RESTORER);
		memcpy(&client.sa_mask, &before.mask, sizeof(before.mask));
		guard_client_sigaction(signals[i], &client, NULL);
		kernel_sigaction(signals[i], &ours, NULL);
	}
}

void guard_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

/* ---- Copies --------------------------------------------------------------------------------- */

static int guard_errno(const struct guard *guard)
{
	return guard_poisoned(guard) ? -EHWPOISON : -EFAULT;
}

/* Not memcpy(): the pointer may be anything, which sanitizers and compilers take exception to. */
static int guarded_copy(void *dst, const void *src, size_t bytes)
{
	struct guard guard;

	if (guard_enter(&guard))
		return guard_errno(&guard);
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(bytes) : : "memory");
	guard_leave(&guard);
	return 0;
}

/* What can be user memory at all; beyond it are holes and the kernel. */
static int check_user(const void *client, size_t bytes)
{
	const uintptr_t limit = (uintptr_t)1 << 56, first = (uintptr_t)client;

	return first >= limit || bytes > limit - first ? -EFAULT : 0;
}

int guard_copy_from(void *dst, const void *client, size_t bytes)
{
	int error = check_user(client, bytes);

	return error ? error : guarded_copy(dst, client, bytes);
}

int guard_copy_to(void *client, const void *src, size_t bytes)
{
	int error = check_user(client, bytes);

	return error ? error : guarded_copy(client, src, bytes);
}

int guard_probe(uint8_t *client, bool write)
{
	int error = check_user(client, 1);
	struct guard guard;

	if (error)
		return error;
	if (guard_enter(&guard))
		return guard_errno(&guard);
	if (write)
		__atomic_fetch_or(client, 0, __ATOMIC_RELAXED);
	else
		(void)__atomic_load_n(client, __ATOMIC_RELAXED);
	guard_leave(&guard);
	return 0;
}
