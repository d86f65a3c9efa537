/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guarded access to host memory that may not be there.
 *
 * Guest RAM and ioctl arguments belong to the client, who may unmap, truncate or protect them at
 * any time. A thread that is about to touch such memory arms a guard; SIGSEGV and SIGBUS raised by
 * the thread while a guard is armed come back as a non-zero return of guard_enter() instead of
 * killing the client. Signals without an armed guard go to whatever handler the client installed.
 *
 * The handlers are process wide (signals are); everything else is per thread. SIGSEGV and SIGBUS
 * must not be blocked in a thread that arms a guard: the kernel kills the process on a fault whose
 * signal is blocked.
 *
 * A guarded region is left through guard_leave() on every path and calls nothing that takes a lock
 * or resources: a fault jumps over whatever it would have released.
 */
#ifndef FAUXKVM_UTIL_GUARD_H
#define FAUXKVM_UTIL_GUARD_H

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard {
	sigjmp_buf env;
	struct guard *outer; /* the guard that was armed before */
	uintptr_t address;   /* host address of the fault, valid after guard_enter() returned 1 */
	uintptr_t pc;        /* of the host's instruction that faulted */
	int code;            /* si_code of the fault (BUS_MCEERR_AR for a poisoned page) */
	int signo;
};

/*
 * Innermost armed guard of this thread, or NULL. Initial-exec: the signal handler reads it, and a
 * first touch of dynamic TLS would allocate there.
 */
extern __thread struct guard *guard_current __attribute__((tls_model("initial-exec")));

/* Installs the handlers (once per process). Thread safe. */
void guard_init(void);

/*
 * Arms @g. Evaluates to 0 when armed and to 1 when a fault came back (then @g is disarmed).
 * Must be used directly in the condition of an if, as with setjmp().
 */
#define guard_enter(g)                                                                             \
	((g)->outer = guard_current, guard_current = (g), sigsetjmp((g)->env, 0))

static inline void guard_leave(struct guard *g)
{
	/* The guarded accesses stay in front of the disarming. */
	atomic_signal_fence(memory_order_seq_cst);
	guard_current = g->outer;
}

/* A fault came back, and is the affair of the guard that was armed before, which must exist. */
_Noreturn void guard_pass_on(const struct guard *g);

/* A fault came back: was the page there, but poisoned? */
static inline bool guard_poisoned(const struct guard *g)
{
	return g->signo == SIGBUS && g->code == BUS_MCEERR_AR;
}

/* Copies that answer a missing page with -EFAULT (-EHWPOISON for a poisoned one), else 0. */
int guard_copy_from(void *dst, const void *client, size_t bytes);
int guard_copy_to(void *client, const void *src, size_t bytes);
/* Whether the byte at @client can be read, and with @write written; its value stays. As above. */
int guard_probe(uint8_t *client, bool write);

/*
 * The client's own disposition for SIGSEGV/SIGBUS, as the front end sees sigaction() for them:
 * kept aside and called for faults that are not ours. Same contract as sigaction(2).
 */
int guard_client_sigaction(int signo, const struct sigaction *act, struct sigaction *old);

#endif
