/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals end KVM_RUN. The client's handlers run inside a wrapper that tells the core afterwards;
 * what sigaction() reports is the client's own disposition.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "preload/preload.h"
#include "util/guard.h"

static struct sigaction client_action[_NSIG];
static pthread_mutex_t action_lock = PTHREAD_MUTEX_INITIALIZER;

static void wrapper(int signo, siginfo_t *info, void *context)
{
	/* A copy: the handler may change its own disposition. */
	struct sigaction action = client_action[signo];
	int saved = errno;

	if (client_defer_signal(signo, info, context)) {
		errno = saved;
		return;
	}
	if (action.sa_flags & SA_RESETHAND)
		client_action[signo].sa_handler = SIG_DFL;
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(signo, info, context);
	else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
		action.sa_handler(signo);
	saved = errno;
	client_interrupt();
	errno = saved;
}

static int change(int signo, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction wrapped, previous, before;
	bool is_handler;
	int result;

	if (signo == SIGSEGV || signo == SIGBUS)
		return guard_client_sigaction(signo, act, old);
	if (signo < 1 || signo >= _NSIG)
		return REAL(sigaction)(signo, act, old);
	pthread_mutex_lock(&action_lock);
	before = client_action[signo];
	if (act) {
		wrapped = *act;
		is_handler = (act->sa_flags & SA_SIGINFO) ||
			     (act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN);
		if (is_handler) {
			wrapped.sa_flags |= SA_SIGINFO;
			wrapped.sa_sigaction = wrapper;
			/* Before the switch: the handler may run at once. */
			client_action[signo] = *act;
		}
		result = REAL(sigaction)(signo, &wrapped, &previous);
		if (result && is_handler)
			client_action[signo] = before;
	} else {
		result = REAL(sigaction)(signo, NULL, &previous);
	}
	if (!result && old) {
		*old = previous;
		if ((previous.sa_flags & SA_SIGINFO) && previous.sa_sigaction == wrapper)
			*old = before;
	}
	pthread_mutex_unlock(&action_lock);
	return result;
}

EXPORT int sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
	return change(signo, act, old);
}

EXPORT int __sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
	return change(signo, act, old);
}

static sighandler_t simple(int signo, sighandler_t handler, int flags)
{
	struct sigaction act, old;

	memset(&act, 0, sizeof(act));
	act.sa_handler = handler;
	act.sa_flags = flags;
	sigemptyset(&act.sa_mask);
	if (change(signo, &act, &old))
		return SIG_ERR;
	return old.sa_handler;
}

EXPORT sighandler_t signal(int signo, sighandler_t handler)
{
	return simple(signo, handler, SA_RESTART);
}

EXPORT sighandler_t bsd_signal(int signo, sighandler_t handler)
{
	return simple(signo, handler, SA_RESTART);
}

EXPORT sighandler_t sysv_signal(int signo, sighandler_t handler)
{
	return simple(signo, handler, SA_RESETHAND | SA_NODEFER);
}

EXPORT sighandler_t __sysv_signal(int signo, sighandler_t handler)
{
	return simple(signo, handler, SA_RESETHAND | SA_NODEFER);
}
