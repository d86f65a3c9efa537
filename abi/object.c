/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects: references, the one entrance for ioctls, what mmap() and read() find. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/internal.h"

const char *object_kind_name(enum object_kind kind)
{
	static const char *const name[] = {
		[OBJECT_SYSTEM] = "system", [OBJECT_VM] = "vm",       [OBJECT_VCPU] = "vcpu",
		[OBJECT_DEVICE] = "device", [OBJECT_STATS] = "stats", [OBJECT_GUEST_MEMFD] = "gmem",
	};

	return name[kind];
}

/* ---- references ---- */

struct object *object_get(struct object *object)
{
	atomic_fetch_add(&object->references, 1);
	return object;
}

void object_put(struct object *object)
{
	if (atomic_fetch_sub(&object->references, 1) != 1)
		return;
	switch (object->kind) {
	case OBJECT_SYSTEM:
		free(object);
		break;
	case OBJECT_VM:
		vm_object_free((struct vm_object *)object);
		break;
	case OBJECT_VCPU: /* goes with its VM */
		object_put(&((struct vcpu_object *)object)->vm->object);
		break;
	case OBJECT_STATS:
		object_put(&((struct stats_object *)object)->vm->object);
		free(object);
		break;
	case OBJECT_GUEST_MEMFD:
		guest_memfd_object_free((struct guest_memfd_object *)object);
		break;
	case OBJECT_DEVICE: /* no device type exists */
		break;
	}
}

struct object *system_open(struct fauxkvm *fauxkvm)
{
	struct system_object *system = calloc(1, sizeof(*system));

	if (!system)
		return NULL;
	system->object.kind = OBJECT_SYSTEM;
	atomic_init(&system->object.references, 1);
	system->fauxkvm = fauxkvm;
	return &system->object;
}

long object_install(struct ioctl_call *call, struct object *object)
{
	int fd = call->client->ops->install(call->client, object);

	if (fd < 0)
		object_put(object);
	return fd;
}

/* The VM that @object belongs to, NULL for the system's. */
static struct vm_object *object_vm(const struct object *object)
{
	switch (object->kind) {
	case OBJECT_VM:
		return (struct vm_object *)object;
	case OBJECT_VCPU:
		return ((const struct vcpu_object *)object)->vm;
	case OBJECT_STATS:
		return ((const struct stats_object *)object)->vm;
	case OBJECT_GUEST_MEMFD:
		return ((const struct guest_memfd_object *)object)->vm;
	default:
		return NULL;
	}
}

struct space *object_space(const struct object *object)
{
	const struct vm_object *vm = object_vm(object);

	return vm ? vm->space : NULL;
}

const struct log *object_log(const struct object *object)
{
	const struct vm_object *vm = object_vm(object);

	return vm ? &vm->fauxkvm->log : &((const struct system_object *)object)->fauxkvm->log;
}

/* ---- ioctl ---- */

/* Has the caller the address space that the VM is bound to? */
static bool is_creator(const struct vm_object *vm, struct client *client)
{
	return vm->space ? vm->space->ops->is_callers(vm->space, client) :
			   __atomic_load_n(vm->creator, __ATOMIC_RELAXED);
}

static long call_handler(const struct ioctl_row *row, struct ioctl_call *call, void *data)
{
	long result;

	if (row->require) {
		result = row->require(call);
		if (result)
			return result;
	}
	switch (row->argument) {
	case ARGUMENT_IN:
	case ARGUMENT_INOUT:
		result = copy_in(call, data, call->argument, row->size);
		if (result)
			return result;
		break;
	case ARGUMENT_OUT:
		memset(data, 0, row->size);
		break;
	default:
		return row->handler(call);
	}
	call->data = data;
	result = row->handler(call);
	if (result >= 0 && row->argument != ARGUMENT_IN) {
		int r = copy_out(call, call->argument, data, row->size);

		if (r)
			return r;
	}
	return result;
}

/* A thread that is cancelled inside an ioctl must not leave a vCPU that nobody can use. */
static void vcpu_abandoned(void *argument)
{
	struct vcpu_object *object = argument;

	atomic_store(&object->vcpu->mode, VCPU_OUTSIDE);
	pthread_mutex_unlock(&object->mutex);
}

static long call_locked(struct vcpu_object *object, const struct ioctl_row *row,
			struct ioctl_call *call, void *data)
{
	long result;

	pthread_mutex_lock(&object->mutex);
	pthread_cleanup_push(vcpu_abandoned, object);
	result = call_handler(row, call, data);
	pthread_cleanup_pop(0);
	pthread_mutex_unlock(&object->mutex);
	return result;
}

long object_ioctl(struct object *object, struct client *client, unsigned request,
		  unsigned long argument)
{
	struct ioctl_call call = { .object = object, .client = client, .argument = argument };
	struct vm_object *vm = object_vm(object);
	uint8_t data[IOCTL_DATA_MAX] __attribute__((aligned(64)));
	pthread_mutex_t *mutex = NULL;
	const struct ioctl_row *row;
	struct ioctl_trace trace;
	bool traced;
	long result;

	if (vm && object->kind != OBJECT_STATS && !is_creator(vm, client))
		return -EIO;
	row = ioctl_find(request, object->kind);
	traced = log_enabled(object_log(object), LOG_LEVEL_TRACE);
	if (traced)
		trace_given(&trace, row, &call);
	if (row && row->handler) {
		if (object->kind == OBJECT_VCPU && !row->without_lock)
			mutex = &((struct vcpu_object *)object)->mutex;
		if (mutex)
			result = call_locked((struct vcpu_object *)object, row, &call, data);
		else
			result = call_handler(row, &call, data);
	} else if (row) {
		result = -row->absent;
	} else {
		/* As x86 KVM answers: /dev/kvm and vCPUs say EINVAL, the others ENOTTY. */
		result = object->kind == OBJECT_SYSTEM || object->kind == OBJECT_VCPU ? -EINVAL :
											-ENOTTY;
	}
	if (traced)
		trace_ioctl(&trace, row, &call, request, result);
	return result;
}

void object_kick(struct object *object)
{
	if (object->kind == OBJECT_VCPU)
		vcpu_kick(((struct vcpu_object *)object)->vcpu);
}

/* ---- mmap and read ---- */

/* Where the dirty ring is in a vCPU's mapping; no pages when there is none. */
static bool in_dirty_ring(const struct vcpu_object *vcpu, uint64_t page_index)
{
	return page_index >= KVM_DIRTY_LOG_PAGE_OFFSET &&
	       page_index - KVM_DIRTY_LOG_PAGE_OFFSET < vcpu->vm->ring_bytes / GUEST_PAGE_SIZE;
}

size_t object_mmap_size(struct object *object)
{
	const struct vcpu_object *vcpu = (const struct vcpu_object *)object;

	if (object->kind != OBJECT_VCPU)
		return 0;
	if (vcpu->vm->ring_bytes)
		return KVM_DIRTY_LOG_PAGE_OFFSET * GUEST_PAGE_SIZE + vcpu->vm->ring_bytes;
	return VCPU_MMAP_PAGES * GUEST_PAGE_SIZE;
}

int object_mmap_check(struct object *object, uint64_t first, uint64_t pages, int prot, int flags)
{
	const struct vcpu_object *vcpu = (const struct vcpu_object *)object;

	/* The kernel's file system of such files is mounted noexec. */
	if (object->kind == OBJECT_GUEST_MEMFD && (prot & PROT_EXEC))
		return -EPERM;
	if (object->kind != OBJECT_VCPU)
		return -ENODEV;
	if (pages && ((prot & PROT_EXEC) || !(flags & MAP_SHARED)) &&
	    (in_dirty_ring(vcpu, first) || in_dirty_ring(vcpu, first + pages - 1)))
		return -EINVAL;
	return 0;
}

int object_page(struct object *object, uint64_t page_index, struct object_page *page)
{
	const struct vcpu_object *vcpu = (const struct vcpu_object *)object;

	if (object->kind != OBJECT_VCPU)
		return -ENODEV;
	page->fd = vcpu->vm->memfd;
	if (in_dirty_ring(vcpu, page_index))
		page->offset = vcpu->offset + (off_t)((page_index - KVM_DIRTY_LOG_PAGE_OFFSET + 2) *
						      GUEST_PAGE_SIZE);
	else if (page_index == KVM_COALESCED_MMIO_PAGE_OFFSET)
		page->offset = 0;
	else if (page_index < KVM_COALESCED_MMIO_PAGE_OFFSET)
		page->offset = vcpu->offset + (off_t)(page_index * GUEST_PAGE_SIZE);
	else
		return -EINVAL;
	return 0;
}

ssize_t object_read(struct object *object, struct client *client, uint64_t address, size_t bytes,
		    off_t offset)
{
	if (object->kind != OBJECT_STATS || offset < 0)
		return -EINVAL;
	return stats_read((struct stats_object *)object, client, address, bytes, offset);
}
