/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's signal handlers run inside a wrapper, so that a signal can end KVM_RUN.
 *
 * Nothing is wrapped before the program opens /dev/kvm. What sigaction() and its relatives report
 * is always what the client set. SIGSEGV and SIGBUS belong to util/guard.c, which keeps the
 * client's disposition itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "preload/preload.h"
#include "preload/real.h"
#include "util/guard.h"

typedef void handler_function(int signo, siginfo_t *info, void *context);

/* What the kernel no longer knows about a signal whose handler it believes to be our wrapper. */
struct disposition {
	handler_function *_Atomic handler; /* SIG_DFL and SIG_IGN too */
	atomic_int flags;                  /* the client's */
	atomic_bool wrapped;
};

static struct disposition dispositions[_NSIG];

static atomic_bool armed;
/* For changes. Held with all signals blocked: handlers call sigaction(). */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void lock_take(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
	pthread_mutex_lock(&lock);
}

static void lock_release(const sigset_t *saved)
{
	pthread_mutex_unlock(&lock);
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static bool is_guards(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS;
}

static bool is_handler(const struct sigaction *action)
{
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

/* ---- the wrapper ---- */

static void wrapper(int signo, siginfo_t *info, void *context);

/* From the kernel's record to the client's. */
static void reveal(int signo, struct sigaction *action)
{
	const int hidden = SA_SIGINFO | SA_RESETHAND;

	if (action->sa_sigaction != wrapper)
		return;
	action->sa_sigaction = atomic_load(&dispositions[signo].handler);
	action->sa_flags &= ~hidden;
	action->sa_flags |= atomic_load(&dispositions[signo].flags) & hidden;
}

static void set_default(int signo)
{
	struct sigaction action;

	if (real()->sigaction(signo, NULL, &action))
		return;
	reveal(signo, &action);
	action.sa_handler = SIG_DFL;
	atomic_store(&dispositions[signo].wrapped, false);
	real()->sigaction(signo, &action, NULL);
}

/* A fault of the instruction itself: it cannot wait until KVM_RUN has returned. */
static bool is_fault(int signo, const siginfo_t *info)
{
	return info->si_code > 0 &&
	       (signo == SIGILL || signo == SIGFPE || signo == SIGTRAP || signo == SIGSYS);
}

static void wrapper(int signo, siginfo_t *info, void *context)
{
	struct disposition *disposition = &dispositions[signo];
	handler_function *handler;
	int saved = errno;

	if (!is_fault(signo, info) && client_defer_signal(signo, info, context)) {
		errno = saved;
		return;
	}
	handler = atomic_load(&disposition->handler);
	if ((void *)handler == (void *)SIG_IGN)
		return;
	if ((void *)handler == (void *)SIG_DFL) {
		/* It comes again when this handler has returned, and finds the default. */
		set_default(signo);
		kernel_call(SYS_rt_tgsigqueueinfo, kernel_getpid(),
			    kernel_call(SYS_gettid, 0, 0, 0, 0, 0, 0), signo, (unsigned long)info,
			    0, 0);
		errno = saved;
		return;
	}
	/* Not the kernel's business, or a deferred signal would find the default. */
	if (atomic_load(&disposition->flags) & (int)SA_RESETHAND)
		set_default(signo);
	errno = saved;
	client_mask_changed();
	handler(signo, info, context);
	client_mask_changed();
	saved = errno;
	client_interrupt();
	errno = saved;
}

/* Under the lock: makes @action, a handler or not, reach the wrapper. */
static int wrap(int signo, const struct sigaction *action)
{
	struct disposition *disposition = &dispositions[signo];
	struct sigaction wrapped = *action;

	wrapped.sa_sigaction = wrapper;
	wrapped.sa_flags |= SA_SIGINFO;
	wrapped.sa_flags &= ~(int)SA_RESETHAND;
	/* First, because the wrapper may run at once. */
	atomic_store(&disposition->handler, action->sa_sigaction);
	atomic_store(&disposition->flags, action->sa_flags);
	atomic_store(&disposition->wrapped, true);
	return real()->sigaction(signo, &wrapped, NULL);
}

/* Under the lock: whatever is installed, if it is a handler of the client's. */
static void wrap_installed(int signo)
{
	struct sigaction action;

	if (is_guards(signo) || real()->sigaction(signo, NULL, &action))
		return;
	if (is_handler(&action) && action.sa_sigaction != wrapper)
		wrap(signo, &action);
}

void signals_arm(void)
{
	sigset_t saved;
	int signo;

	lock_take(&saved);
	guard_init();
	atomic_store(&armed, true);
	for (signo = 1; signo < _NSIG; signo++)
		wrap_installed(signo);
	lock_release(&saved);
}

void signals_stand_by(int signo)
{
	struct sigaction action;
	sigset_t saved;

	if (atomic_load_explicit(&dispositions[signo].wrapped, memory_order_relaxed))
		return;
	lock_take(&saved);
	/* A call that the default or SIG_IGN would not have disturbed goes on. */
	if (!real()->sigaction(signo, NULL, &action) && action.sa_sigaction != wrapper) {
		if (!is_handler(&action))
			action.sa_flags |= SA_RESTART;
		wrap(signo, &action);
	}
	atomic_store(&dispositions[signo].wrapped, true);
	lock_release(&saved);
}

/* ---- fork() ---- */

static __thread sigset_t fork_saved __attribute__((tls_model("initial-exec")));

static void fork_before(void)
{
	lock_take(&fork_saved);
}

static void fork_after(void)
{
	lock_release(&fork_saved);
}

__attribute__((constructor(103))) static void signals_init(void)
{
	pthread_atfork(fork_before, fork_after, fork_after);
}

/* ---- sigaction() and its relatives ---- */

static int change(int signo, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction before, action;
	sigset_t saved;
	int result;

	if (!atomic_load(&armed)) {
		result = real()->sigaction(signo, act, old);
		if (result || !act || !is_handler(act) || !atomic_load(&armed))
			return result;
		/* Another thread opened /dev/kvm meanwhile. */
		lock_take(&saved);
		wrap_installed(signo);
		lock_release(&saved);
		return 0;
	}
	if (is_guards(signo))
		return guard_client_sigaction(signo, act, old);
	if (act)
		action = *act;
	lock_take(&saved);
	result = real()->sigaction(signo, NULL, &before);
	if (!result)
		reveal(signo, &before);
	if (!result && act) {
		if (is_handler(&action)) {
			result = wrap(signo, &action);
		} else {
			atomic_store(&dispositions[signo].wrapped, false);
			result = real()->sigaction(signo, &action, NULL);
		}
	}
	lock_release(&saved);
	if (!result && old)
		*old = before;
	return result;
}

EXPORT int sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
	return change(signo, act, old);
}

int __sigaction(int signo, const struct sigaction *act, struct sigaction *old);

EXPORT int __sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
	return change(signo, act, old);
}

/* ---- masks: what they block does not concern us, faults excepted ---- */

EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	if (set)
		client_mask_changed();
	return real()->pthread_sigmask(how, set, old);
}

EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	if (set)
		client_mask_changed();
	return real()->sigprocmask(how, set, old);
}

/* ---- signal() and its relatives ---- */

/* What siginterrupt() asked for, for signal(). */
static _Atomic uint64_t interrupting;

EXPORT int siginterrupt(int signo, int interrupt)
{
	struct sigaction action;

	if (change(signo, NULL, &action))
		return -1;
	if (interrupt) {
		atomic_fetch_or(&interrupting, 1ull << (signo - 1));
		action.sa_flags &= ~SA_RESTART;
	} else {
		atomic_fetch_and(&interrupting, ~(1ull << (signo - 1)));
		action.sa_flags |= SA_RESTART;
	}
	return change(signo, &action, NULL);
}

static sighandler_t set_handler(int signo, sighandler_t handler, int flags, bool mask_itself)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, old;

	sigemptyset(&action.sa_mask);
	if (handler == SIG_ERR || signo < 1 || signo >= _NSIG) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (mask_itself)
		sigaddset(&action.sa_mask, signo);
	if (change(signo, &action, &old))
		return SIG_ERR;
	return old.sa_handler;
}

static sighandler_t set_bsd_handler(int signo, sighandler_t handler)
{
	bool interrupt = signo >= 1 && signo < _NSIG &&
			 (atomic_load(&interrupting) >> (signo - 1) & 1);

	return set_handler(signo, handler, interrupt ? 0 : SA_RESTART, true);
}

EXPORT sighandler_t signal(int signo, sighandler_t handler)
{
	return set_bsd_handler(signo, handler);
}

sighandler_t bsd_signal(int signo, sighandler_t handler);

EXPORT sighandler_t bsd_signal(int signo, sighandler_t handler)
{
	return set_bsd_handler(signo, handler);
}

EXPORT sighandler_t ssignal(int signo, sighandler_t handler)
{
	return set_bsd_handler(signo, handler);
}

#define SYSV_FLAGS (SA_RESETHAND | SA_NODEFER)

EXPORT sighandler_t sysv_signal(int signo, sighandler_t handler)
{
	return set_handler(signo, handler, SYSV_FLAGS, false);
}

EXPORT sighandler_t __sysv_signal(int signo, sighandler_t handler)
{
	return set_handler(signo, handler, SYSV_FLAGS, false);
}

EXPORT sighandler_t sigset(int signo, sighandler_t handler)
{
	struct sigaction action;
	sighandler_t before;
	sigset_t set, old;

	sigemptyset(&set);
	if (sigaddset(&set, signo))
		return SIG_ERR;
	if (handler == SIG_HOLD) {
		if (change(signo, NULL, &action))
			return SIG_ERR;
		before = action.sa_handler;
		pthread_sigmask(SIG_BLOCK, &set, &old);
	} else {
		before = set_handler(signo, handler, 0, false);
		if (before == SIG_ERR)
			return SIG_ERR;
		pthread_sigmask(SIG_UNBLOCK, &set, &old);
	}
	return sigismember(&old, signo) ? SIG_HOLD : before;
}
