/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The caller as the core sees it. A front end implements it for its transport: pointers in the same
 * process (preload), another process (cuse). Everything below the front end reaches the caller only
 * through this.
 */
#ifndef FAUXKVM_ABI_CLIENT_H
#define FAUXKVM_ABI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object;
struct client;

struct client_ops {
	/* 0 or -EFAULT. Never crash on a bad address. */
	int (*copy_in)(struct client *client, void *dst, uint64_t address, size_t bytes);
	int (*copy_out)(struct client *client, uint64_t address, const void *src, size_t bytes);
	/*
	 * Where @bytes of the client's memory at @address (a memslot's userspace_addr) are visible
	 * in this process. 0 or -EFAULT, -ENOMEM. The range need not be mapped now.
	 */
	int (*map)(struct client *client, uint64_t address, uint64_t bytes, uint8_t **hva);
	void (*unmap)(struct client *client, uint8_t *hva, uint64_t bytes);
	/* The core's own close-on-exec duplicate of the client's descriptor, or -EBADF. */
	int (*get_fd)(struct client *client, int fd);
	/* The object behind the client's descriptor with a new reference, or NULL. */
	struct object *(*get_object)(struct client *client, int fd);
	/*
	 * A new read-write descriptor in the client for @object (see object_close_on_exec()): the
	 * number or a negative errno. Takes over the caller's reference to @object on success.
	 */
	int (*install)(struct client *client, struct object *object);
	/* Does a signal wait that the thread does not block? */
	bool (*signal_pending)(struct client *client);
	/*
	 * While KVM_RUN is on this thread: the mask of KVM_SET_SIGNAL_MASK takes effect (@set,
	 * 8 bytes as the kernel's) and is taken back (NULL).
	 */
	void (*signal_mask)(struct client *client, const uint64_t *set);
};

struct client {
	const struct client_ops *ops;
};

#endif
