/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects behind descriptors. A front end keeps a table descriptor -> object and one reference for
 * each open file description; the last reference frees the object, and with it its hold on the VM.
 */
#ifndef FAUXKVM_ABI_OBJECT_H
#define FAUXKVM_ABI_OBJECT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "abi/client.h"
#include "util/log.h"

enum object_kind { OBJECT_SYSTEM, OBJECT_VM, OBJECT_VCPU, OBJECT_DEVICE, OBJECT_STATS,
		   OBJECT_GUEST_MEMFD };

struct object {
	enum object_kind kind;
	atomic_uint references;
};

struct fauxkvm; /* one "module": options and log; see fauxkvm.h */

struct object *object_get(struct object *object);
void object_put(struct object *object);

/* A new object for an open of /dev/kvm; NULL: out of memory. */
struct object *system_open(struct fauxkvm *fauxkvm);

/*
 * The one entrance. Negative errno or the ioctl's return value. -ENOTTY for a number that is
 * unknown or not valid on this kind of object (as x86 KVM: -EINVAL on /dev/kvm and vCPUs). Any
 * thread; blocks in KVM_RUN. The caller holds a reference to @object during the call.
 *
 * KVM's descriptors are bound to the address space that created the VM: in another process or a
 * child of fork(), everything on them is -EIO. The child's references may be dropped; what they stand for stays.
 */
long object_ioctl(struct object *object, struct client *client, unsigned request,
		  unsigned long argument);

/*
 * What backs mmap() of the object: for each page the memfd and offset that hold it. A vCPU:
 * page 0 kvm_run, page 1 PIO data, page 2 the VM's coalesced ring, from page 64
 * (KVM_DIRTY_LOG_PAGE_OFFSET) on its dirty ring. -EINVAL where there is nothing, -ENODEV when the
 * kind cannot be mapped.
 */
struct object_page {
	int fd;
	off_t offset;
};
int object_page(struct object *object, uint64_t page_index, struct object_page *page);
size_t object_mmap_size(struct object *object); /* bytes up to the last page; 0: not mappable */
/*
 * May @pages from page @first on be mapped with mmap()'s @prot and @flags? 0, -ENODEV, -EINVAL: a
 * dirty ring is shared and not executed.
 */
int object_mmap_check(struct object *object, uint64_t first, uint64_t pages, int prot, int flags);

/* read()/pread() of a stats object. Bytes read, or negative errno (-EINVAL for other kinds). */
ssize_t object_read(struct object *object, struct client *client, uint64_t address, size_t bytes,
		    off_t offset);

/*
 * A memfd that has the size and the holes of a guest_memfd object, or -1 for other kinds: the core's
 * own, for a front end that gives the client a descriptor of it, or asks its size. The client may
 * neither read, write, map nor resize it.
 */
int object_file(struct object *object);
/* Whether a new descriptor of it is close-on-exec: all but a guest_memfd's are. */
bool object_close_on_exec(const struct object *object);
/* fallocate(2) of a guest_memfd object with its own errors; -ENODEV for other kinds. */
int object_fallocate(struct object *object, int mode, off_t offset, off_t bytes);

/*
 * Makes KVM_RUN of a vCPU object look around soon (immediate_exit, signals); nothing for other
 * kinds. Any thread or signal handler.
 */
void object_kick(struct object *object);

/* The space of the VM that the object belongs to; NULL: there is none. */
struct space *object_space(const struct object *object);

const char *object_kind_name(enum object_kind kind);

#endif
