/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The caller of the core: this process, this thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/preload.h"
#include "util/guard.h"

struct thread_client {
	struct client client;
	struct object *running;          /* the vCPU of the KVM_RUN in progress */
	volatile sig_atomic_t interrupted;
	bool masked;                     /* KVM_SET_SIGNAL_MASK's mask is in effect */
	sigset_t saved;                  /* the thread's own meanwhile */
};

static __thread struct thread_client self;

static int copy_in(struct client *client, void *dst, uint64_t address, size_t bytes)
{
	(void)client;
	return guard_copy_from(dst, (const void *)address, bytes) ? -EFAULT : 0;
}

static int copy_out(struct client *client, uint64_t address, const void *src, size_t bytes)
{
	(void)client;
	return guard_copy_to((void *)address, src, bytes) ? -EFAULT : 0;
}

static int map(struct client *client, uint64_t address, uint64_t bytes, uint8_t **hva)
{
	(void)client, (void)bytes;
	*hva = (uint8_t *)address;
	return 0;
}

static void unmap(struct client *client, uint8_t *hva, uint64_t bytes)
{
	(void)client, (void)hva, (void)bytes;
}

static int get_fd(struct client *client, int fd)
{
	int copy = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, 0);

	(void)client;
	return copy < 0 ? -EBADF : copy;
}

static struct object *get_object(struct client *client, int fd)
{
	(void)client;
	return fds_get(fd);
}

static int install(struct client *client, struct object *object)
{
	(void)client;
	return fds_install(object, O_CLOEXEC);
}

static bool signal_pending(struct client *client)
{
	return ((struct thread_client *)client)->interrupted;
}

static void signal_mask(struct client *client, const uint64_t *set)
{
	struct thread_client *c = (struct thread_client *)client;
	sigset_t mask;

	if (set) {
		sigemptyset(&mask);
		memcpy(&mask, set, sizeof(*set));
		c->masked = true;
		pthread_sigmask(SIG_SETMASK, &mask, &c->saved);
	} else if (c->masked) {
		pthread_sigmask(SIG_SETMASK, &c->saved, NULL);
		c->masked = false;
	}
}

static const struct client_ops ops = {
	.copy_in = copy_in,
	.copy_out = copy_out,
	.map = map,
	.unmap = unmap,
	.get_fd = get_fd,
	.get_object = get_object,
	.install = install,
	.signal_pending = signal_pending,
	.signal_mask = signal_mask,
};

struct client *client_self(void)
{
	self.client.ops = &ops;
	return &self.client;
}

void client_enter(struct object *vcpu)
{
	self.interrupted = 0;
	self.running = vcpu;
}

void client_leave(void)
{
	self.running = NULL;
}

void client_interrupt(void)
{
	if (!self.running)
		return;
	self.interrupted = 1;
	object_kick(self.running);
}

/*
 * The kernel puts the thread's own mask back before a handler could run, so a signal that only
 * KVM_RUN's mask lets in stays pending. Here it has been taken already: it is blocked for the time
 * after this handler and sent again.
 */
bool client_defer_signal(int signo, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (!self.running || !self.masked || sigismember(&self.saved, signo) != 1)
		return false;
	sigaddset(&uc->uc_sigmask, signo);
	syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), signo, info);
	client_interrupt();
	return true;
}
