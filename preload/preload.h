/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The preload front end: what its files share.
 *
 * Interposed calls look whether they touch one of our descriptors or /dev/kvm and pass everything
 * else to libc unchanged. Each descriptor that a client gets is a memfd, so that the kernel keeps
 * the descriptor table; a side table says which object stands behind a number.
 */
#ifndef FAUXKVM_PRELOAD_PRELOAD_H
#define FAUXKVM_PRELOAD_PRELOAD_H

#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>

#include "abi/object.h"

#define EXPORT __attribute__((visibility("default")))

/* The next definition of @name after ours, resolved once. */
#define REAL(name)                                                                                 \
	({                                                                                         \
		static __typeof__(&name) real_##name;                                              \
		if (!real_##name)                                                                  \
			real_##name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                  \
		real_##name;                                                                       \
	})

/* ---- fds.c ---- */

/* The object behind @fd without a reference, or NULL. Lock free. */
struct object *fds_object(int fd);
/* The same with a reference; NULL also when the number was closed behind our back. */
struct object *fds_get(int fd);
/* -EIO: the object belongs to the process before a fork. */
bool fds_foreign(int fd);
/* A new descriptor for @object, whose reference it takes. @flags: O_CLOEXEC or 0. */
int fds_install(struct object *object, int flags);
void fds_duplicate(int old_fd, int new_fd);
/* Before the real close of @fd. True if it was ours. */
void fds_forget(int fd);
void fds_forget_range(unsigned first, unsigned last);

/* ---- client.c ---- */

/* The calling thread as a client of the core. */
struct client *client_self(void);
/* KVM_RUN brackets: which vCPU this thread runs. */
void client_enter(struct object *vcpu);
void client_leave(void);
/* From a signal handler of this thread: KVM_RUN must return. */
void client_interrupt(void);
/* In a handler: a signal that only KVM_RUN's mask lets in; true: keep it pending for later. */
bool client_defer_signal(int signo, siginfo_t *info, void *context);

/* ---- open.c ---- */

bool path_is_kvm(int directory, const char *path);
/* The system object of this process; options come from the environment. */
int kvm_open(int flags);

#endif
