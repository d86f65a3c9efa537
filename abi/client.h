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
struct space;

struct client_ops {
	/* 0 or -EFAULT. Never crash on a bad address. */
	int (*copy_in)(struct client *client, void *dst, uint64_t address, size_t bytes);
	int (*copy_out)(struct client *client, uint64_t address, const void *src, size_t bytes);
	/*
	 * Where @bytes of the client's memory at @address (a memslot's userspace_addr) are visible
	 * in this process. 0 or -EFAULT, -ENOMEM. The range need not be mapped now.
	 */
	int (*map)(struct client *client, uint64_t address, uint64_t bytes, uint8_t **hva);
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
	 * 8 bytes as the kernel's, which stay) and is taken back (NULL). -EINTR: KVM_RUN has to
	 * return before it begins, and the front end sees to it that the client calls it again.
	 */
	int (*signal_mask)(struct client *client, const uint64_t *set);
	/*
	 * The caller's address space, for a new VM. NULL member: it is this process's, memory needs
	 * no mapping, and what only exists for a space (below) is not called.
	 */
	int (*space_create)(struct client *client, struct space **space);
	/*
	 * The guest touched @hva, of a memslot of the caller's space, and it was not there. 0: it is
	 * now, run again; or -EFAULT. -EINTR: KVM_RUN has to return first, and the front end sees to
	 * it that the client calls it again. Only for a space.
	 */
	int (*fault_in)(struct client *client, uint8_t *hva);
};

/*
 * The address space that made a VM, of a client that is another process. The VM has it until its
 * end, when there may be no client any more. Any thread.
 */
struct space_ops {
	bool (*is_callers)(struct space *space, struct client *client);
	/* The way back of client_ops.map. */
	void (*unmap)(struct space *space, uint8_t *hva, uint64_t bytes);
	/*
	 * The pages of @vcpu that mmap() of its descriptor shows, in the order of object_page(),
	 * zeroed and never taken away until pages_destroy(). 0 or negative errno.
	 */
	int (*pages_create)(struct space *space, struct object *vcpu, size_t count,
			    uint8_t **pages);
	void (*pages_destroy)(struct space *space, struct object *vcpu, uint8_t *pages);
	/*
	 * The VM has one more guest_memfd (@files), or may come to have @bytes in those: memory that
	 * is not the client's. 0 or -ENOMEM. And the way back.
	 */
	int (*reserve)(struct space *space, unsigned files, uint64_t bytes);
	void (*release)(struct space *space, unsigned files, uint64_t bytes);
	/* Nothing of the VM is left. */
	void (*destroy)(struct space *space);
};

struct space {
	const struct space_ops *ops;
	int pid; /* the process's, for names */
};

struct client {
	const struct client_ops *ops;
};

#endif
