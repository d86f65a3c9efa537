/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The caller of the core: this process, this thread.
 *
 * A signal ends KVM_RUN. In the kernel the handler runs when KVM_RUN has returned, with the
 * thread's own mask. Here it is the wrapper of signals.c that runs, in the middle of our loop: it
 * blocks the signal, sends it to the thread again and asks the vCPU to stop. When the loop has been
 * left the mask is put back, and the client's handler runs then, or the signal stays pending if
 * only KVM_SET_SIGNAL_MASK's mask had let it in.
 */
#define _GNU_SOURCE
#include "abi/client.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <ucontext.h>

#include "preload/preload.h"
#include "preload/real.h"
#include "util/guard.h"
#include "util/own_fd.h"

#define SIGNAL_BIT(signo) (1ull << ((signo)-1))
#define SIGNALS_LAST 64
/* glibc's own: cancellation and set*id(). */
#define SIGNALS_OF_LIBC (SIGNAL_BIT(32) | SIGNAL_BIT(33))
/* Guarded accesses fault in KVM_RUN, and the kernel kills for a fault whose signal is blocked. */
#define SIGNALS_OF_GUARD (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS))

struct thread_client {
	struct client client;
	/* The ioctl in progress, for the names of descriptors. */
	struct object *object;
	unsigned long argument;

	struct object *volatile running; /* the vCPU of the KVM_RUN in progress */
	volatile sig_atomic_t interrupted;
	volatile uint64_t deferred; /* signals to unblock after KVM_RUN */
	bool masked;                /* KVM_SET_SIGNAL_MASK's mask is in effect */
	bool admits_faults;         /* the guard's signals are known not to be blocked */
	uint64_t own_mask;          /* the thread's own meanwhile */
};

static const struct client_ops ops;

/* Initial-exec: signal handlers read it. */
static __thread struct thread_client self __attribute__((tls_model("initial-exec"))) = {
	.client.ops = &ops,
};

/* ---- memory and descriptors ---- */

static int copy_in(struct client *client, void *dst, uint64_t address, size_t bytes)
{
	(void)client;
	return guard_copy_from(dst, (const void *)(uintptr_t)address, bytes) ? -EFAULT : 0;
}

static int copy_out(struct client *client, uint64_t address, const void *src, size_t bytes)
{
	(void)client;
	return guard_copy_to((void *)(uintptr_t)address, src, bytes) ? -EFAULT : 0;
}

static int map(struct client *client, uint64_t address, uint64_t bytes, uint8_t **hva)
{
	(void)client;
	(void)bytes;
	*hva = (uint8_t *)(uintptr_t)address;
	return 0;
}

static int get_fd(struct client *client, int fd)
{
	long own;

	(void)client;
	if (own_fd_is(fd))
		return -EBADF;
	own = kernel_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, OWN_FD_MIN, 0, 0, 0);
	if (own == -EINVAL || own == -EMFILE) /* RLIMIT_NOFILE */
		own = kernel_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
	return own;
}

static struct object *get_object(struct client *client, int fd)
{
	struct description *description = fds_get_checked(fd);
	struct object *object;

	(void)client;
	if (!description)
		return NULL;
	object = object_get(description_object(description));
	description_put(description);
	return object;
}

/* What /proc/self/fd shows, as the kernel names its files. */
static void name_object(const struct thread_client *c, const struct object *object, char name[32])
{
	switch (object->kind) {
	case OBJECT_VCPU:
		snprintf(name, 32, "kvm-vcpu:%lu", c->argument);
		break;
	case OBJECT_STATS:
		snprintf(name, 32, "kvm-%s-stats", object_kind_name(c->object->kind));
		break;
	default:
		snprintf(name, 32, "kvm-%s", object_kind_name(object->kind));
		break;
	}
}

static int install(struct client *client, struct object *object)
{
	int access = object->kind == OBJECT_STATS ? O_RDONLY : O_RDWR;
	char name[32];

	name_object((struct thread_client *)client, object, name);
	return fds_install(object, name, access | (object_close_on_exec(object) ? O_CLOEXEC : 0));
}

/* ---- signals ---- */

static bool signal_pending(struct client *client)
{
	return ((struct thread_client *)client)->interrupted;
}

static uint64_t change_mask(int how, const uint64_t *set)
{
	uint64_t before = 0;

	kernel_call(SYS_rt_sigprocmask, how, (unsigned long)set, (unsigned long)&before,
		    sizeof(before), 0, 0);
	return before;
}

static int signal_mask(struct client *client, const uint64_t *set)
{
	struct thread_client *c = (struct thread_client *)client;
	uint64_t mask, newly_let_in;
	int signo;

	/* The way back is leave_run()'s, when no lock of the core is held. */
	if (!set)
		return 0;
	/* Less what only a deferred signal has blocked meanwhile. */
	c->own_mask = change_mask(SIG_BLOCK, NULL) & ~c->deferred;
	mask = *set & ~SIGNALS_OF_GUARD;
	mask = (mask & ~SIGNALS_OF_LIBC) | (c->own_mask & SIGNALS_OF_LIBC);
	newly_let_in = c->own_mask & ~mask & ~SIGNALS_OF_GUARD;
	for (signo = 1; signo <= SIGNALS_LAST; signo++)
		if (newly_let_in & SIGNAL_BIT(signo))
			signals_stand_by(signo);
	c->masked = true;
	change_mask(SIG_SETMASK, &mask);
	return 0;
}

/*
 * The guard's signals are let in while the core runs, whatever the thread blocks; those that it
 * blocked itself are returned. Threads do not usually, so that is only looked at when it may have
 * changed.
 */
static uint64_t admit_faults(void)
{
	const uint64_t guards = SIGNALS_OF_GUARD;
	uint64_t blocked;

	if (self.admits_faults)
		return 0;
	blocked = change_mask(SIG_UNBLOCK, &guards) & guards;
	self.admits_faults = !blocked;
	return blocked;
}

void client_mask_changed(void)
{
	self.admits_faults = false;
}

static void enter_run(struct object *vcpu)
{
	self.interrupted = 0;
	self.deferred = 0;
	self.masked = false;
	atomic_signal_fence(memory_order_seq_cst);
	self.running = vcpu;
}

/*
 * Puts back the thread's mask, in which admit_faults() found @blocked. Deferred handlers run in
 * here, and may well leave it with longjmp().
 */
static void leave_run(uint64_t blocked)
{
	uint64_t deferred = self.deferred, mask = self.own_mask | blocked;

	if (self.masked) {
		change_mask(SIG_SETMASK, &mask);
		return;
	}
	if (blocked)
		change_mask(SIG_BLOCK, &blocked);
	if (deferred)
		change_mask(SIG_UNBLOCK, &deferred);
}

bool client_defer_signal(int signo, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;
	uint64_t mask;

	if (!self.running) {
		/* An ioctl that takes long looks. */
		self.interrupted = 1;
		return false;
	}
	/* Without a place in the queue the handler runs now. */
	if (kernel_call(SYS_rt_tgsigqueueinfo, kernel_getpid(),
			kernel_call(SYS_gettid, 0, 0, 0, 0, 0, 0), signo, (unsigned long)info, 0,
			0))
		return false;
	memcpy(&mask, &interrupted->uc_sigmask, sizeof(mask));
	mask |= SIGNAL_BIT(signo);
	memcpy(&interrupted->uc_sigmask, &mask, sizeof(mask));
	self.deferred |= SIGNAL_BIT(signo);
	client_interrupt();
	return true;
}

void client_interrupt(void)
{
	struct object *vcpu = self.running;

	if (!vcpu)
		return;
	self.interrupted = 1;
	object_kick(vcpu);
}

/* ---- the calls ---- */

static const struct client_ops ops = {
	.copy_in = copy_in,
	.copy_out = copy_out,
	.map = map,
	.get_fd = get_fd,
	.get_object = get_object,
	.install = install,
	.signal_pending = signal_pending,
	.signal_mask = signal_mask,
};

int client_ioctl(struct description *description, unsigned request, unsigned long argument)
{
	struct object *object = description_object(description);
	bool run = request == KVM_RUN && object->kind == OBJECT_VCPU;
	uint64_t blocked = admit_faults();
	long result;

	if (run) {
		enter_run(object);
	} else {
		self.interrupted = 0;
		self.object = object;
		self.argument = argument;
	}
	result = object_ioctl(object, &self.client, request, argument);
	if (run) {
		self.running = NULL;
		atomic_signal_fence(memory_order_seq_cst);
	}
	description_put(description);
	if (run && (self.masked || self.deferred))
		leave_run(blocked);
	else if (blocked)
		change_mask(SIG_BLOCK, &blocked);
	return preload_result(result);
}

ssize_t client_read(struct description *description, void *buffer, size_t bytes, off_t offset)
{
	struct object *object = description_object(description);
	uint64_t blocked = admit_faults();
	ssize_t result = object_read(object, &self.client, (uintptr_t)buffer, bytes, offset);

	if (blocked)
		change_mask(SIG_BLOCK, &blocked);
	description_put(description);
	return preload_result(result);
}
